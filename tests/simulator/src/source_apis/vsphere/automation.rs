//! The vSphere Automation API: sessions, the list of machines, their power and that of their guests.

use serde_json::{Value, json};

use super::{Request, SHUTDOWN, machine, signs_in};
use crate::source_apis::Answer;
use crate::world::World;
use crate::world::machine::PowerKind;

/// Answers a request below `/api/`.
pub(super) fn answer(world: &mut World, request: &Request<'_>, path: &[&str]) -> Answer {
    if let ("POST", ["session"]) = (request.method, path) {
        if !signs_in(request.authorization) {
            return unauthenticated();
        }
        let session = world.sources.tokens.hand_out("vsphere");
        world.sources.vsphere.sessions.insert(session.clone());
        return Answer::new(201, session.into());
    }
    let known = |session: &str| world.sources.vsphere.sessions.contains(session);
    let Some(session) = request.session.filter(|session| known(session)) else {
        return unauthenticated();
    };
    match (request.method, path) {
        ("DELETE", ["session"]) => {
            world.sources.vsphere.sessions.remove(session);
            Answer::new(204, Value::Null)
        }
        ("GET", ["vcenter", "vm"]) => list(world, request.query),
        (method, ["vcenter", "vm", id, rest @ ..]) => {
            let action = request.query.iter().find(|(name, _)| name == "action");
            let action = action.map(|(_, value)| value.as_str());
            if machine(world, id).is_none() {
                let text = format!("The virtual machine {id} was not found.");
                return failure(404, "NOT_FOUND", &text);
            }
            one(world, id, method, rest, action)
        }
        _ => failure(404, "NOT_FOUND", "There is no such resource."),
    }
}

/// Machines by name and by ID: every filter that is given must fit.
fn list(world: &World, query: &[(String, String)]) -> Answer {
    let fits = |filter: &str, value: &str| {
        let mut wanted = query.iter().filter(|(name, _)| name == filter).peekable();
        wanted.peek().is_none() || wanted.any(|(_, wanted)| wanted == value)
    };
    let machines = world.machines.values();
    let of_vcenter = machines.filter(|machine| machine.power == PowerKind::Vsphere);
    let found = of_vcenter.filter_map(|machine| {
        let id = world.sources.vsphere.ids.get(&machine.source_vm_id)?;
        (fits("names", &machine.hostname) && fits("vms", id)).then(|| {
            json!({
                "vm": id, "name": machine.hostname, "power_state": powered(machine.running),
                "cpu_count": 2, "memory_size_MiB": 4096,
            })
        })
    });
    Answer::new(200, found.collect())
}

fn powered(running: bool) -> &'static str {
    if running { "POWERED_ON" } else { "POWERED_OFF" }
}

/// What one machine is asked.
fn one(world: &mut World, id: &str, method: &str, path: &[&str], action: Option<&str>) -> Answer {
    let now = world.now;
    let Some(machine) = machine(world, id) else {
        return failure(404, "NOT_FOUND", "The virtual machine was not found.");
    };
    let (running, tools) = (machine.running, machine.vmware_tools);
    let key = machine.source_vm_id.clone();
    let vsphere = &mut world.sources.vsphere;
    let going_off = vsphere.going_off.contains_key(&key);
    let done = || Answer::new(204, Value::Null);
    match (method, path, action) {
        ("GET", ["power"], _) => Answer::new(200, json!({"state": powered(running)})),
        ("GET", ["tools"], _) => {
            let version = if tools { "CURRENT" } else { "NOT_INSTALLED" };
            let state = if tools && running {
                "RUNNING"
            } else {
                "NOT_RUNNING"
            };
            Answer::new(
                200,
                json!({
                    "auto_update_supported": tools, "upgrade_policy": "MANUAL",
                    "version_status": version, "run_state": state,
                }),
            )
        }
        ("GET", ["guest", "power"], _) => {
            let state = match (running && tools, going_off) {
                (false, _) => "NOT_RUNNING",
                (true, true) => "SHUTTING_DOWN",
                (true, false) => "RUNNING",
            };
            let ready = state == "RUNNING";
            Answer::new(200, json!({"state": state, "operations_ready": ready}))
        }
        ("POST", ["guest", "power"], Some("shutdown")) => match (running, tools) {
            (false, _) => failure(
                400,
                "NOT_ALLOWED_IN_CURRENT_STATE",
                "The virtual machine is not powered on.",
            ),
            (true, false) => failure(503, "SERVICE_UNAVAILABLE", "VMware Tools is not running."),
            (true, true) => {
                vsphere.going_off.entry(key).or_insert(now + SHUTDOWN);
                done()
            }
        },
        ("POST", ["power"], Some(action @ ("start" | "stop"))) => {
            if vsphere.is_busy(&key) {
                let text = "The virtual machine is performing another operation.";
                return failure(400, "RESOURCE_BUSY", text);
            }
            if running == (action == "start") {
                let text = format!("The virtual machine is already {}.", powered(running));
                return failure(400, "ALREADY_IN_DESIRED_STATE", &text);
            }
            vsphere.going_off.remove(&key);
            if let Some(machine) = world.machines.get_mut(&key) {
                machine.running = action == "start";
            }
            done()
        }
        _ => failure(404, "NOT_FOUND", "There is no such operation."),
    }
}

fn unauthenticated() -> Answer {
    failure(401, "UNAUTHENTICATED", "Authentication required.")
}

fn failure(status: u16, kind: &str, message: &str) -> Answer {
    let id = format!("com.landfall.simulator.{}", kind.to_lowercase());
    let message = json!({"id": id, "default_message": message, "args": []});
    Answer::new(status, json!({"error_type": kind, "messages": [message]}))
}
