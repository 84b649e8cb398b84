//! Azure Resource Manager, as much of it as switches a virtual machine on and off, deletes it and takes its snapshots.

use serde_json::{Value, json};

use super::Answer;
use crate::world::World;
use crate::world::machine::{Machine, PowerKind};

/// Answers a request below `/azure/`.
pub fn answer(
    world: &mut World,
    method: &str,
    path: &str,
    authorization: Option<&str>,
    body: &Value,
) -> Answer {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    if let ("POST", [_, "oauth2", "v2.0", "token"]) = (method, &parts[..]) {
        let token = world.sources.tokens.hand_out("azure");
        return Answer::new(
            200,
            json!({"token_type": "Bearer", "expires_in": 3599, "access_token": token}),
        );
    }
    let token = authorization.and_then(|header| header.strip_prefix("Bearer "));
    if !token.is_some_and(|token| world.sources.tokens.knows("azure", token)) {
        return failure(
            401,
            "AuthenticationFailed",
            "Authentication failed. The 'Authorization' header is missing, or its token is none of ours.",
        );
    }
    let [
        "subscriptions",
        _,
        "resourceGroups",
        _,
        "providers",
        "Microsoft.Compute",
        kind,
        rest @ ..,
    ] = &parts[..]
    else {
        return failure(404, "ResourceNotFound", "The resource was not found.");
    };
    match (method, *kind, rest) {
        (_, "virtualMachines", [name, action @ ..]) => {
            machine(world, method, name, action.first().copied(), path)
        }
        ("PUT", "snapshots", [name]) => take_snapshot(world, name, path, body),
        ("GET", "snapshots", [_]) => match finished(world, path) {
            Some(snapshot) => Answer::new(200, snapshot),
            None => failure(404, "ResourceNotFound", "The snapshot was not found."),
        },
        ("DELETE", "snapshots", [_]) => Answer::new(
            if world.sources.snapshots.remove(path).is_some() {
                202
            } else {
                204
            },
            Value::Null,
        ),
        _ => failure(
            405,
            "MethodNotAllowed",
            "The method is not allowed on this resource.",
        ),
    }
}

/// Azure answers at once and works on: who asks first hears `Creating`, who asks again that it is done.
fn take_snapshot(world: &mut World, name: &str, path: &str, body: &Value) -> Answer {
    if !body.is_object() {
        return failure(
            400,
            "InvalidRequestContent",
            "The request content was invalid: it is not a JSON object.",
        );
    }
    if let Some(snapshot) = finished(world, path) {
        return Answer::new(200, snapshot);
    }
    let mut snapshot = body.clone();
    snapshot["id"] = format!("/{path}").into();
    snapshot["name"] = name.into();
    snapshot["properties"]["provisioningState"] = "Creating".into();
    snapshot["properties"]["timeCreated"] = world.clock.wall(world.now).to_string().into();
    world
        .sources
        .snapshots
        .insert(path.to_owned(), snapshot.clone());
    Answer::new(202, snapshot)
}

/// A snapshot that was begun before; by now it is taken.
fn finished(world: &mut World, path: &str) -> Option<Value> {
    let snapshot = world.sources.snapshots.get_mut(path)?;
    snapshot["properties"]["provisioningState"] = "Succeeded".into();
    Some(snapshot.clone())
}

fn machine(
    world: &mut World,
    method: &str,
    name: &str,
    action: Option<&str>,
    path: &str,
) -> Answer {
    let is =
        |m: &Machine| m.power == PowerKind::Azure && (m.source_vm_id == name || m.hostname == name);
    let Some(machine) = world.machines.values_mut().find(|m| is(m)) else {
        if method == "DELETE" {
            return Answer::new(204, Value::Null);
        }
        return failure(
            404,
            "ResourceNotFound",
            &format!(
                "The virtual machine {name} was not found: seed it with \"power\": \"azure\"."
            ),
        );
    };
    let statuses = |running: bool| {
        json!([
            {"code": "ProvisioningState/succeeded", "level": "Info", "displayStatus": "Provisioning succeeded"},
            {"code": if running { "PowerState/running" } else { "PowerState/deallocated" }, "level": "Info"},
        ])
    };
    match (method, action) {
        // Azure deletes a machine that runs as well; whoever asks must not.
        ("DELETE", None) => {
            let gone = machine.source_vm_id.clone();
            world.machines.remove(&gone);
            Answer::new(202, Value::Null)
        }
        ("POST", Some("deallocate" | "powerOff")) => {
            machine.running = false;
            Answer::new(202, Value::Null)
        }
        ("POST", Some("start")) => {
            machine.running = true;
            Answer::new(202, Value::Null)
        }
        ("GET", Some("instanceView")) => {
            Answer::new(200, json!({"statuses": statuses(machine.running)}))
        }
        ("GET", None) => Answer::new(
            200,
            json!({
                "id": format!("/{path}"), "name": name, "location": "westeurope",
                "properties": {
                    "provisioningState": "Succeeded", "instanceView": {"statuses": statuses(machine.running)},
                    "storageProfile": {"osDisk": {"name": format!("{name}_OsDisk"), "managedDisk": {
                        "id": path.split("/virtualMachines").next().map(|p| format!("/{p}/disks/{name}_OsDisk")),
                    }}},
                },
            }),
        ),
        _ => failure(
            405,
            "MethodNotAllowed",
            "The method is not allowed on this resource.",
        ),
    }
}

fn failure(status: u16, code: &str, message: &str) -> Answer {
    Answer::new(status, json!({"error": {"code": code, "message": message}}))
}
