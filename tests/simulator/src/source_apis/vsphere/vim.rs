//! The Virtual Infrastructure JSON API: sessions, snapshots, and the tasks that take them.

use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    PASSWORD, RECENT, Request, SESSION_HEADER, SNAPSHOT, Snapshot, Task, USERNAME, machine,
};
use crate::source_apis::Answer;
use crate::world::World;

/// The releases of the API that this vCenter serves.
const RELEASES: [&str; 1] = ["8.0.1.0"];

/// Answers a request below `/sdk/vim25/{release}/`.
pub(super) fn answer(
    world: &mut World,
    request: &Request<'_>,
    release: &str,
    path: &[&str],
) -> Answer {
    if !RELEASES.contains(&release) {
        return Answer::new(404, Value::Null);
    }
    let body = request.body;
    if let ("POST", ["SessionManager", "SessionManager", "Login"]) = (request.method, path) {
        if body["userName"] != USERNAME || body["password"] != PASSWORD {
            return fault(
                "InvalidLogin",
                "Cannot complete login: incorrect name or password.",
            );
        }
        let session = world.sources.tokens.hand_out("vim");
        world.sources.vsphere.vim_sessions.insert(session.clone());
        let user = json!({"_typeName": "UserSession", "key": session, "userName": USERNAME});
        return Answer::new(200, user).with_header(SESSION_HEADER, session);
    }
    let known = |session: &str| world.sources.vsphere.vim_sessions.contains(session);
    let Some(session) = request.session.filter(|session| known(session)) else {
        return fault("NotAuthenticated", "The session is not authenticated.");
    };
    match (request.method, path) {
        ("POST", ["SessionManager", "SessionManager", "Logout"]) => {
            world.sources.vsphere.vim_sessions.remove(session);
            Answer::new(204, Value::Null)
        }
        ("GET", ["Task", id, "info"]) => task(world, id),
        (method, ["VirtualMachine", id, member]) => {
            let Some(machine) = machine(world, id) else {
                return fault("ManagedObjectNotFound", "The object has been deleted.");
            };
            let key = machine.source_vm_id.clone();
            match (method, *member) {
                ("GET", "recentTask") => Answer::new(200, recent_tasks(world, &key)),
                ("GET", "snapshot") => Answer::new(200, snapshots(world, &key)),
                ("POST", "CreateSnapshotEx_Task") => create(world, &key, body),
                _ => Answer::new(404, Value::Null),
            }
        }
        _ => Answer::new(404, Value::Null),
    }
}

fn reference(kind: &str, id: &str) -> Value {
    json!({"_typeName": "ManagedObjectReference", "type": kind, "value": id})
}

fn recent_tasks(world: &World, source_vm_id: &str) -> Value {
    let tasks = world.sources.vsphere.tasks.iter();
    tasks
        .filter(|task| task.source_vm_id == source_vm_id && task.ends + RECENT > world.now)
        .map(|task| reference("Task", &task.id))
        .collect()
}

/// The tree of a machine's snapshots; a property that is not set has no body.
fn snapshots(world: &World, source_vm_id: &str) -> Value {
    let vsphere = &world.sources.vsphere;
    let Some(taken) = vsphere.snapshots.get(source_vm_id) else {
        return Value::Null;
    };
    let mut tree = json!([]);
    for (number, one) in taken.iter().enumerate().rev() {
        let mut node = json!({
            "_typeName": "VirtualMachineSnapshotTree",
            "snapshot": reference("VirtualMachineSnapshot", &one.id),
            "vm": reference("VirtualMachine", &vsphere.ids[source_vm_id]),
            "name": one.name, "description": one.description, "id": number + 1,
            "createTime": world.clock.wall(one.taken), "state": "poweredOff", "quiesced": false,
        });
        if tree.as_array().is_some_and(|children| !children.is_empty()) {
            node["childSnapshotList"] = tree;
        }
        tree = json!([node]);
    }
    let current = taken.last().map(|one| one.id.as_str()).unwrap_or_default();
    json!({
        "_typeName": "VirtualMachineSnapshotInfo",
        "currentSnapshot": reference("VirtualMachineSnapshot", current), "rootSnapshotList": tree,
    })
}

fn create(world: &mut World, source_vm_id: &str, body: &Value) -> Answer {
    let (Some(name), Some(_)) = (body["name"].as_str(), body["memory"].as_bool()) else {
        return fault(
            "InvalidRequest",
            "A required member is missing: name, memory.",
        );
    };
    let now = world.now;
    let vsphere = &mut world.sources.vsphere;
    if vsphere.is_busy(source_vm_id) {
        return fault("TaskInProgress", "Another task is already in progress.");
    }
    let number = vsphere.tasks.len() + 1;
    let snapshot = Snapshot {
        id: format!("snapshot-{}", 2_000 + number),
        name: name.to_owned(),
        description: body["description"].as_str().unwrap_or_default().to_owned(),
        taken: now,
    };
    let id = format!("task-{}", 3_000 + number);
    vsphere.tasks.push(Task {
        id: id.clone(),
        source_vm_id: source_vm_id.to_owned(),
        snapshot,
        queued: now,
        ends: now + SNAPSHOT,
        done: false,
    });
    Answer::new(200, reference("Task", &id))
}

fn task(world: &World, id: &str) -> Answer {
    let vsphere = &world.sources.vsphere;
    let Some(task) = vsphere.tasks.iter().find(|task| task.id == id) else {
        return fault("ManagedObjectNotFound", "The object has been deleted.");
    };
    let key = &task.source_vm_id;
    let mut info = json!({
        "_typeName": "TaskInfo", "key": id, "task": reference("Task", id),
        "name": "CreateSnapshotEx_Task", "descriptionId": "VirtualMachine.createSnapshotEx",
        "entity": reference("VirtualMachine", &vsphere.ids[key]),
        "entityName": world.machines.get(key).map(|machine| &machine.hostname),
        "cancelled": false, "cancelable": false, "eventChainId": 1,
        "queueTime": world.clock.wall(task.queued),
        "state": if task.done { "success" } else { "running" },
    });
    if task.done {
        info["result"] = reference("VirtualMachineSnapshot", &task.snapshot.id);
        info["completeTime"] = json!(world.clock.wall(task.ends));
    }
    Answer::new(200, info)
}

/// A fault: the API tells them apart by their type, not by their status.
fn fault(kind: &str, message: &str) -> Answer {
    let key = format!("simulator.{}", Uuid::new_v4().simple());
    let message = json!({"_typeName": "LocalizableMessage", "key": key, "message": message});
    Answer::new(500, json!({"_typeName": kind, "faultMessage": [message]}))
}
