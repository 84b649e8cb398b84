//! Changes to machines and servers while the world runs: by order, or at a time that was set before.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::faults::Rule;
use crate::world::World;
use crate::world::machine::{FailureStage, LaunchKind, Machine};
use crate::world::replication::{Fault, STEPS, State};
use crate::world::server::Server;

/// A status and a text for whoever ordered it.
pub(crate) type Refusal = (u16, String);

/// Changes to a machine or its server.
#[allow(
    clippy::option_option,
    reason = "null clears a member, an absent one leaves it"
)]
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Change {
    healthy: Option<bool>,
    running: Option<bool>,
    ssm_online: Option<bool>,
    never_passes_status: Option<bool>,
    launch_hangs: Option<bool>,
    #[serde(deserialize_with = "given")]
    launch_failure: Option<Option<String>>,
    #[serde(deserialize_with = "given")]
    launch_failure_on: Option<Option<LaunchKind>>,
    launch_failure_stage: Option<FailureStage>,
    #[serde(deserialize_with = "given")]
    agent_failure: Option<Option<String>>,
    replication: Option<ReplicationChange>,
}

/// Tells `null` from an absent member.
#[allow(
    clippy::option_option,
    reason = "null clears a member, an absent one leaves it"
)]
fn given<'de, D: serde::Deserializer<'de>, T: Deserialize<'de>>(
    input: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(input).map(Some)
}

#[allow(
    clippy::option_option,
    reason = "null clears a member, an absent one leaves it"
)]
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct ReplicationChange {
    stall: Option<Stall>,
    recover: bool,
    rescan: bool,
    #[serde(deserialize_with = "given")]
    lag_seconds: Option<Option<i64>>,
    backlog_bytes: Option<i64>,
}

/// A replication that stops to flow.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Stall {
    /// One of the 18 error names.
    pub error: String,
    /// The text beside it.
    #[serde(default)]
    pub raw_error: String,
    /// The step of the initiation that fails; none for a stall of the data flow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
}

/// A stall that a machine is seeded with.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedStall {
    /// What stalls. (serde refuses no unknown member of a flattened struct.)
    #[serde(flatten)]
    pub stall: Stall,
    /// Seconds after the server appeared in MGN.
    #[serde(default)]
    pub after_seconds: u32,
    /// After how many more seconds it recovers; never when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_seconds: Option<u32>,
}

impl Stall {
    pub(crate) fn problem(&self) -> Option<String> {
        let name = self.step.as_deref()?;
        let known = STEPS.contains(&name);
        (!known).then(|| format!("`{name}` is not a step: {}", STEPS.join(", ")))
    }
}

/// A change at a set time.
#[derive(Debug)]
pub struct Step {
    /// Simulated.
    pub(crate) at: Timestamp,
    pub(crate) doing: Doing,
}

#[derive(Debug)]
pub(crate) enum Doing {
    /// Arms a fault.
    Arm(Box<Rule>),
    /// Changes a machine or server of this name.
    Change(String, Box<Change>),
}

impl Step {
    pub(crate) fn apply(self, world: &mut World) {
        match self.doing {
            Doing::Arm(rule) => world.faults.add(*rule),
            Doing::Change(key, order) => {
                if let Err((_, why)) = change(world, &key, *order) {
                    tracing::warn!(server = key, "a change that was planned is not made: {why}");
                }
                let home = world.home.clone();
                world.enter(&home);
            }
        }
    }
}

impl Change {
    /// A change by which nothing flows any more, or flows again.
    fn of_replication(replication: ReplicationChange) -> Self {
        Self {
            replication: Some(replication),
            ..Self::default()
        }
    }

    /// What is wrong with it whatever it is applied to.
    pub(crate) fn problem(&self) -> Option<String> {
        self.replication.as_ref()?.stall.as_ref()?.problem()
    }
}

impl World {
    /// The next step of the timeline up to an instant, taken from it.
    pub(crate) fn next_step(&mut self, now: Timestamp) -> Option<Step> {
        let due = self.timeline.iter().enumerate();
        let (at, _) = due
            .filter(|(_, step)| step.at <= now)
            .min_by_key(|(_, step)| step.at)?;
        Some(self.timeline.remove(at))
    }

    /// Plans the stall that a machine was seeded with, as its server appears.
    pub(crate) fn plan_stall(&mut self, machine: &Machine) {
        let Some(planned) = machine.stall.clone() else {
            return;
        };
        let mut plan = |at, replication| {
            let change = Box::new(Change::of_replication(replication));
            let doing = Doing::Change(machine.source_vm_id.clone(), change);
            self.timeline.push(Step { at, doing });
        };
        let begins = self.now + SignedDuration::from_secs(planned.after_seconds.into());
        let stall = ReplicationChange {
            stall: Some(planned.stall),
            ..ReplicationChange::default()
        };
        plan(begins, stall);
        if let Some(seconds) = planned.for_seconds {
            let ends = begins + SignedDuration::from_secs(seconds.into());
            let recover = ReplicationChange {
                recover: true,
                ..ReplicationChange::default()
            };
            plan(ends, recover);
        }
    }
}

/// Changes a machine or its server by name, wherever it is; the machine as it is then.
pub(crate) fn change(world: &mut World, key: &str, change: Change) -> Result<Value, Refusal> {
    let named = |s: &&Server| s.id == key || s.user_provided_id.as_deref() == Some(key);
    let found = world.everywhere().find_map(|(place, local)| {
        let server = local.servers.values().find(named)?;
        Some((
            place.clone(),
            server.id.clone(),
            server.user_provided_id.clone(),
        ))
    });
    let server_id = found.map(|(place, id, vm)| {
        world.enter(&place);
        (id, vm)
    });
    let machine_id = server_id
        .as_ref()
        .and_then(|(_, vm)| vm.clone())
        .unwrap_or_else(|| key.to_owned());
    let Some(machine) = world.machines.get_mut(&machine_id) else {
        return Err((404, format!("no seeded machine or server is named {key}")));
    };
    set(&mut machine.healthy, change.healthy);
    set(&mut machine.running, change.running);
    set(&mut machine.ssm_online, change.ssm_online);
    set(&mut machine.never_passes_status, change.never_passes_status);
    set(&mut machine.launch_hangs, change.launch_hangs);
    set(&mut machine.launch_failure, change.launch_failure);
    set(&mut machine.launch_failure_on, change.launch_failure_on);
    set(
        &mut machine.launch_failure_stage,
        change.launch_failure_stage,
    );
    set(&mut machine.agent_failure, change.agent_failure);
    let machine = json!(machine);
    if let Some(order) = change.replication {
        let Some((id, _)) = server_id else {
            return Err((
                409,
                format!("{key} has not appeared in MGN yet, so it does not replicate"),
            ));
        };
        replicate(world, &id, order)?;
    }
    Ok(machine)
}

fn replicate(world: &mut World, id: &str, order: ReplicationChange) -> Result<(), Refusal> {
    let now = world.now;
    let Some(server) = world.here.servers.get_mut(id) else {
        return Ok(());
    };
    let replication = &mut server.replication;
    let mut announced = None;
    if let Some(stall) = order.stall {
        if let Some(problem) = stall.problem() {
            return Err((400, problem));
        }
        let fault = Fault {
            error: stall.error,
            raw_error: stall.raw_error,
        };
        let step = stall
            .step
            .and_then(|name| STEPS.iter().position(|s| *s == name));
        if step.is_some() && replication.first_byte.is_none() {
            // It will fail when the initiation comes there.
            replication.fault = Some(fault);
            replication.failing_step = step;
        } else {
            replication.stall(now, fault, None);
            announced = Some(true);
        }
    }
    if order.recover {
        announced = (replication.state == State::Stalled).then_some(false);
        replication.recover(now);
    }
    if order.rescan {
        replication.rescan(now);
    }
    if let Some(lag) = order.lag_seconds {
        replication.held_lag = lag.map(SignedDuration::from_secs);
    }
    set(&mut replication.held_backlog, order.backlog_bytes);
    if let Some(stalled) = announced {
        world.announce_stall(id, stalled);
    }
    Ok(())
}

fn set<T>(target: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *target = value;
    }
}
