//! `/_sim/…`: what a test may see and do that the simulated services do not offer.

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::faults::Rule;
use crate::quotas;
use crate::seed::{self, Seed};
use crate::sim::Sim;
use crate::sink::Answers;
use crate::source_apis::Answer;
use crate::world::World;
use crate::world::machine::{FailureStage, LaunchKind};
use crate::world::place::{Ebs, Local, Place};
use crate::world::replication::{Fault, STEPS, State};
use crate::world::server::Server;

/// Answers a request below `/_sim/`.
pub(crate) async fn answer(
    sim: &Sim,
    method: &str,
    path: &str,
    query: &[(String, String)],
    body: &[u8],
) -> Answer {
    match dispatch(sim, method, path, query, body).await {
        Ok(body) => Answer::new(200, body),
        Err((status, message)) => Answer::new(status, json!({"error": message})),
    }
}

type Refusal = (u16, String);

async fn dispatch(
    sim: &Sim,
    method: &str,
    path: &str,
    query: &[(String, String)],
    body: &[u8],
) -> Result<Value, Refusal> {
    match (method, path) {
        ("GET", "health") => Ok(
            json!({"status": "ok", "scale": sim.world().clock.scale(), "ministack": sim.ministack.is_some()}),
        ),
        ("POST", "seed") => seed::apply(sim, parse::<Seed>(body)?)
            .await
            .map_err(|e| (400, e)),
        ("GET", "state") => Ok(state(&sim.world())),
        ("POST", "quotas") => set_quota(&mut sim.world(), &parse(body)?),
        ("POST", "ebs") => Ok(set_ebs(&mut sim.world(), parse(body)?)),
        ("GET", "calls") => {
            let wanted = |name: &str| {
                query
                    .iter()
                    .find(|(k, _)| k == name)
                    .map(|(_, v)| v.as_str())
            };
            let fits = |call: &&Value| {
                ["service", "operation", "account", "region"]
                    .iter()
                    .all(|m| wanted(m).is_none_or(|w| call[*m] == w))
            };
            Ok(sim.world().calls.iter().filter(fits).cloned().collect())
        }
        ("DELETE", "calls") => {
            sim.world().calls.clear();
            Ok(json!({}))
        }
        ("GET", "clock") => Ok(clock(&sim.world())),
        ("POST", "clock") => set_clock(&mut sim.world(), &parse(body)?),
        ("GET", "callbacks") => Ok(json!(sim.world().sink.received)),
        ("DELETE", "callbacks") => {
            sim.world().sink.received.clear();
            Ok(json!([]))
        }
        ("POST", "sink") => {
            let SinkOrder { name, status } = parse(body)?;
            sim.world().sink.answer_with(&name, status);
            Ok(json!({}))
        }
        ("GET", "faults") => Ok(json!(sim.world().faults.rules())),
        ("POST", "faults") => {
            sim.world().faults.add(parse::<Rule>(body)?);
            Ok(json!(sim.world().faults.rules()))
        }
        ("DELETE", "faults") => {
            sim.world().faults.clear();
            Ok(json!([]))
        }
        ("GET", "switches") => Ok(sim.world().switches.listing()),
        ("POST", "switches") => {
            let orders: std::collections::BTreeMap<String, String> = parse(body)?;
            let mut world = sim.world();
            for (name, value) in orders {
                world
                    .switches
                    .set(&format!("{name}={value}"))
                    .map_err(|e| (400, e))?;
            }
            Ok(world.switches.listing())
        }
        ("GET", "events") => Ok(json!(sim.world().events)),
        ("POST", other) if other.starts_with("servers/") => {
            change(&mut sim.world(), &other["servers/".len()..], parse(body)?)
        }
        _ => Err((404, format!("there is no {method} /_sim/{path}"))),
    }
}

fn parse<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|e| (400, format!("the body does not fit: {e}")))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SinkOrder {
    name: String,
    status: Answers,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ClockOrder {
    scale: Option<f64>,
    skip_seconds: Option<i64>,
}

fn clock(world: &World) -> Value {
    json!({"scale": world.clock.scale(), "simulated": world.now, "wall": world.clock.wall(world.now)})
}

fn set_clock(world: &mut World, order: &ClockOrder) -> Result<Value, Refusal> {
    let wall = Timestamp::now();
    if let Some(scale) = order.scale {
        if !(scale > 0.0 && scale <= 1e6) {
            return Err((
                400,
                format!("scale {scale} is not between 0 and 1000000 simulated seconds per second"),
            ));
        }
        world.clock.rescale(wall, scale);
    }
    if let Some(seconds) = order.skip_seconds {
        if !(0..=31_536_000).contains(&seconds) {
            return Err((
                400,
                format!("skipSeconds {seconds} is not between 0 and a year"),
            ));
        }
        world.clock.skip(wall, SignedDuration::from_secs(seconds));
        world.advance(wall);
    }
    Ok(clock(world))
}

fn state(world: &World) -> Value {
    json!({
        "account": world.home.account, "region": world.home.region, "initialized": world.usable(), "clock": clock(world),
        "machines": world.machines, "servers": world.here.servers, "jobs": world.here.jobs, "applications": world.here.applications,
        "waves": world.here.waves, "replicationTemplates": world.here.replication_templates, "launchTemplates": world.here.launch_templates,
        "ec2Aliases": world.aliases, "cmf": world.sources.cmf, "cmdb": world.sources.cmdb, "snapshots": world.sources.snapshots,
        "vsphereSnapshots": world.sources.vsphere.snapshot_names(),
        "commands": world.here.commands, "faults": world.faults.rules(),
        "elsewhere": world.elsewhere.iter().map(elsewhere).collect::<Vec<_>>(),
    })
}

fn elsewhere((place, local): (&Place, &Local)) -> Value {
    let mut holdings = json!(local);
    holdings["account"] = place.account.clone().into();
    holdings["region"] = place.region.clone().into();
    holdings
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct QuotaOrder {
    quota_code: String,
    /// None brings the default back.
    value: Option<u32>,
    account: Option<String>,
    region: Option<String>,
}

fn set_quota(world: &mut World, order: &QuotaOrder) -> Result<Value, Refusal> {
    let code = &order.quota_code;
    if !quotas::known(code) {
        return Err((
            400,
            format!("no quota has the code `{code}`: see ListServiceQuotas"),
        ));
    }
    let place = world
        .home
        .with(order.account.as_deref(), order.region.as_deref());
    world.enter(&place);
    let quotas = &mut world.here.quotas;
    match order.value {
        Some(value) => quotas.insert(code.clone(), value),
        None => quotas.remove(code),
    };
    Ok(json!(quotas))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct EbsOrder {
    encrypted_by_default: bool,
    kms_key_id: Option<String>,
    account: Option<String>,
    region: Option<String>,
}

fn set_ebs(world: &mut World, order: EbsOrder) -> Value {
    let place = world
        .home
        .with(order.account.as_deref(), order.region.as_deref());
    world.enter(&place);
    world.here.ebs = Ebs {
        encrypted_by_default: order.encrypted_by_default,
        kms_key_id: order.kms_key_id,
    };
    json!(world.here.ebs)
}

/// Changes to a machine or its server while the world runs.
#[allow(
    clippy::option_option,
    reason = "null clears a member, an absent one leaves it"
)]
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Change {
    healthy: Option<bool>,
    running: Option<bool>,
    ssm_online: Option<bool>,
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
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct ReplicationChange {
    stall: Option<Stall>,
    recover: bool,
    rescan: bool,
    #[serde(deserialize_with = "given")]
    lag_seconds: Option<Option<i64>>,
    backlog_bytes: Option<i64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Stall {
    error: String,
    #[serde(default)]
    raw_error: String,
    /// The step of the initiation that fails.
    step: Option<String>,
}

fn change(world: &mut World, key: &str, change: Change) -> Result<Value, Refusal> {
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
        let fault = Fault {
            error: stall.error,
            raw_error: stall.raw_error,
        };
        let step =
            match stall.step {
                None => None,
                Some(name) => Some(STEPS.iter().position(|s| *s == name).ok_or_else(|| {
                    (400, format!("`{name}` is not a step: {}", STEPS.join(", ")))
                })?),
            };
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
