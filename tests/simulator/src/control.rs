//! `/_sim/…`: what a test may see and do that the simulated services do not offer.

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::change::{Refusal, change};
use crate::faults::Rule;
use crate::quotas;
use crate::scenario;
use crate::seed::{self, Seed};
use crate::sim::Sim;
use crate::sink::Answers;
use crate::source_apis::Answer;
use crate::world::World;
use crate::world::place::{Ebs, Local, Place};

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
        ("GET", "tokens") => Ok(json!(sim.world().sources.tokens)),
        ("GET", "clock") => Ok(clock(&sim.world())),
        ("POST", "clock") => set_clock(&mut sim.world(), &parse(body)?, sim.now()),
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
            let rule = parse::<Rule>(body)?;
            let problems = rule.problems();
            if !problems.is_empty() {
                return Err((400, problems.join("; ")));
            }
            let mut world = sim.world();
            world.faults.add(rule);
            Ok(json!(world.faults.rules()))
        }
        ("POST", "scenario") => scenario::apply(sim, parse(body)?)
            .await
            .map_err(|problems| (400, problems.join("\n"))),
        ("GET", "held") => Ok(sim.world().held.values().cloned().collect()),
        ("POST", "release") => {
            let held = sim.world().held.len();
            sim.releases.send_modify(|releases| *releases += 1);
            Ok(json!({ "released": held }))
        }
        ("DELETE", "faults") => {
            let mut world = sim.world();
            match query.iter().find(|(name, _)| name == "server") {
                Some((_, server)) => world.faults.clear_of(server),
                None => world.faults.clear(),
            }
            Ok(json!(world.faults.rules()))
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

fn set_clock(world: &mut World, order: &ClockOrder, wall: Timestamp) -> Result<Value, Refusal> {
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

/// A quota's value, where it is not the default.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct QuotaOrder {
    pub(crate) quota_code: String,
    /// None brings the default back.
    value: Option<u32>,
    account: Option<String>,
    region: Option<String>,
}

/// Sets a quota; what there is then.
pub(crate) fn set_quota(world: &mut World, order: &QuotaOrder) -> Result<Value, Refusal> {
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
