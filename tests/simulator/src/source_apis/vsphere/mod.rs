//! A vCenter Server of 8.0 Update 1, as much of it as switches virtual machines on and off ([`automation`]) and takes
//! their snapshots ([`vim`]). The two APIs have sessions of their own; one account may sign in.

mod automation;
mod vim;

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::Answer;
use crate::world::World;
use crate::world::machine::{Machine, PowerKind};

/// The account that may sign in.
pub const USERNAME: &str = "landfall@vsphere.local";
/// Its password: one that stands nowhere else, so that a search for it finds a leak.
pub const PASSWORD: &str = "simulated-vcenter-password";
/// The header that carries a session's ID.
pub const SESSION_HEADER: &str = "vmware-api-session-id";

/// How long an operating system takes to shut down.
const SHUTDOWN: SignedDuration = SignedDuration::from_secs(20);
/// How long a snapshot takes.
const SNAPSHOT: SignedDuration = SignedDuration::from_secs(30);
/// How long an ended task stays among a machine's recent ones.
const RECENT: SignedDuration = SignedDuration::from_mins(10);

/// A request below `/vsphere/`.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The HTTP method.
    pub method: &'a str,
    /// The path, decoded.
    pub path: &'a str,
    /// Its query.
    pub query: &'a [(String, String)],
    /// The `Authorization` header.
    pub authorization: Option<&'a str>,
    /// The session's header.
    pub session: Option<&'a str>,
    /// The body; null where there is none.
    pub body: &'a Value,
}

/// What vCenter has stored.
#[derive(Debug, Default)]
pub struct Vsphere {
    /// Managed object IDs by `sourceVmId`.
    ids: BTreeMap<String, String>,
    /// Sessions of the Automation API.
    sessions: BTreeSet<String>,
    /// Sessions of the JSON API.
    vim_sessions: BTreeSet<String>,
    /// Guests that shut down, by `sourceVmId`, and when they will be off.
    going_off: BTreeMap<String, Timestamp>,
    /// Snapshots by `sourceVmId`, each the child of the one before.
    snapshots: BTreeMap<String, Vec<Snapshot>>,
    /// Every snapshot task, oldest first.
    tasks: Vec<Task>,
}

#[derive(Debug, Clone)]
struct Snapshot {
    id: String,
    name: String,
    description: String,
    taken: Timestamp,
}

#[derive(Debug)]
struct Task {
    id: String,
    source_vm_id: String,
    snapshot: Snapshot,
    queued: Timestamp,
    ends: Timestamp,
    done: bool,
}

impl Vsphere {
    /// The names of the snapshots that were taken, by `sourceVmId`.
    pub fn snapshot_names(&self) -> Value {
        let names = |taken: &Vec<Snapshot>| taken.iter().map(|one| one.name.clone()).collect();
        let all: BTreeMap<&String, Vec<String>> = self
            .snapshots
            .iter()
            .map(|(vm, taken)| (vm, names(taken)))
            .collect();
        json!(all)
    }

    /// Whether a snapshot of the machine is being taken.
    fn is_busy(&self, source_vm_id: &str) -> bool {
        let mut tasks = self.tasks.iter();
        tasks.any(|task| task.source_vm_id == source_vm_id && !task.done)
    }
}

/// Answers a request below `/vsphere/`.
pub fn answer(world: &mut World, request: &Request<'_>) -> Answer {
    register(world);
    settle(world);
    let parts: Vec<&str> = request.path.trim_matches('/').split('/').collect();
    match &parts[..] {
        ["api", rest @ ..] => automation::answer(world, request, rest),
        ["sdk", "vim25", release, rest @ ..] => vim::answer(world, request, release, rest),
        _ => Answer::new(404, Value::Null),
    }
}

/// Gives an ID to every machine that is seen for the first time.
fn register(world: &mut World) {
    let vsphere = &mut world.sources.vsphere;
    for machine in world.machines.values() {
        if machine.power == PowerKind::Vsphere && !vsphere.ids.contains_key(&machine.source_vm_id) {
            let id = format!("vm-{}", 1_001 + vsphere.ids.len());
            vsphere.ids.insert(machine.source_vm_id.clone(), id);
        }
    }
}

/// Does what has come to its end by now.
fn settle(world: &mut World) {
    let now = world.now;
    let vsphere = &mut world.sources.vsphere;
    vsphere.going_off.retain(|source_vm_id, at| {
        if *at > now {
            return true;
        }
        if let Some(machine) = world.machines.get_mut(source_vm_id) {
            machine.running = false;
        }
        false
    });
    for task in &mut vsphere.tasks {
        if !task.done && task.ends <= now {
            task.done = true;
            let taken = vsphere.snapshots.entry(task.source_vm_id.clone());
            taken.or_default().push(task.snapshot.clone());
        }
    }
}

/// The machine with a managed object ID.
fn machine<'a>(world: &'a mut World, id: &str) -> Option<&'a mut Machine> {
    let mut ids = world.sources.vsphere.ids.iter();
    let (source_vm_id, _) = ids.find(|(_, known)| *known == id)?;
    world.machines.get_mut(source_vm_id)
}

/// Whether a header holds the account's name and password.
fn signs_in(authorization: Option<&str>) -> bool {
    let wanted = STANDARD.encode(format!("{USERNAME}:{PASSWORD}"));
    authorization.and_then(|header| header.strip_prefix("Basic ")) == Some(wanted.as_str())
}
