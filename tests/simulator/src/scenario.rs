//! A scenario: what there is, what goes wrong with it, and when, in one document. It is taken as a whole or not at all.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use serde_json::{Map, Value, json};

use crate::change::{Change, Doing, Step};
use crate::control::{QuotaOrder, set_quota};
use crate::faults::Rule;
use crate::quotas;
use crate::seed::{self, Seed};
use crate::sim::Sim;
use crate::switches::Switches;

/// The members of a scenario; each may be absent.
const MEMBERS: [&str; 8] = [
    "about",
    "randomSeed",
    "seed",
    "quotas",
    "switches",
    "faults",
    "servers",
    "expect",
];

/// A scenario that can be applied.
#[derive(Debug, Default)]
struct Scenario {
    random_seed: Option<u64>,
    seed: Seed,
    quotas: Vec<QuotaOrder>,
    switches: BTreeMap<String, String>,
    faults: Vec<Timed<Rule>>,
    servers: Vec<Timed<ServerOrder>>,
    /// Of tests; nobody here looks at it but for its names.
    expect: BTreeMap<String, Value>,
}

/// Something with the second of simulated time, from the scenario's beginning, at which it is to be done.
#[derive(Debug)]
struct Timed<T> {
    at_seconds: u32,
    what: T,
}

/// A change to a machine or server.
#[derive(Debug)]
struct ServerOrder {
    server: String,
    change: Change,
}

/// Takes a scenario; the answer is that of its seed.
///
/// # Errors
/// Everything that is wrong with it, each problem after the member it is about. Nothing was done then.
pub(crate) async fn apply(sim: &Sim, document: Value) -> Result<Value, Vec<String>> {
    let scenario = read(sim, document)?;
    {
        let mut world = sim.world();
        if let Some(random) = scenario.random_seed {
            world.faults.throw_by(random);
        }
        for (name, value) in &scenario.switches {
            // Tried before.
            drop(world.switches.set(&format!("{name}={value}")));
        }
        for quota in &scenario.quotas {
            drop(set_quota(&mut world, quota));
        }
    }
    let answer = seed::apply(sim, scenario.seed)
        .await
        .map_err(|problem| vec![format!("seed: {problem}")])?;
    let mut world = sim.world();
    let begin = world.now;
    let mut plan = |at_seconds: u32, doing| {
        let at = begin + SignedDuration::from_secs(at_seconds.into());
        world.timeline.push(Step { at, doing });
    };
    for Timed { at_seconds, what } in scenario.faults {
        plan(at_seconds, Doing::Arm(Box::new(what)));
    }
    for Timed { at_seconds, what } in scenario.servers {
        plan(
            at_seconds,
            Doing::Change(what.server, Box::new(what.change)),
        );
    }
    let wall = sim.now();
    world.advance(wall);
    Ok(answer)
}

/// Reads and judges a document.
fn read(sim: &Sim, document: Value) -> Result<Scenario, Vec<String>> {
    let Value::Object(mut members) = document else {
        return Err(vec!["the scenario is not a JSON object".into()]);
    };
    let mut problems: Vec<String> = members
        .keys()
        .filter(|name| !MEMBERS.contains(&name.as_str()))
        .map(|name| format!("{name}: not a member; there are {}", MEMBERS.join(", ")))
        .collect();
    let scenario = Scenario {
        random_seed: member(&mut members, "randomSeed", &mut problems),
        seed: member(&mut members, "seed", &mut problems).unwrap_or_default(),
        quotas: list(&mut members, "quotas", &mut problems, quota_order),
        switches: member(&mut members, "switches", &mut problems).unwrap_or_default(),
        faults: list(&mut members, "faults", &mut problems, |fault| {
            let (at_seconds, fault) = at_seconds(fault)?;
            let what: Rule = parse(fault)?;
            let wrong = what.problems();
            if wrong.is_empty() {
                Ok(Timed { at_seconds, what })
            } else {
                Err(wrong.join("; "))
            }
        }),
        servers: list(&mut members, "servers", &mut problems, server_order),
        expect: member(&mut members, "expect", &mut problems).unwrap_or_default(),
    };
    judge(sim, &scenario, &mut problems);
    if problems.is_empty() {
        Ok(scenario)
    } else {
        Err(problems)
    }
}

/// What only the world tells, or two members together.
fn judge(sim: &Sim, scenario: &Scenario, problems: &mut Vec<String>) {
    let mut tried = Switches::default();
    for (name, value) in &scenario.switches {
        if let Err(problem) = tried.set(&format!("{name}={value}")) {
            problems.push(format!("switches.{name}: {problem}"));
        }
    }
    for machine in &scenario.seed.servers {
        if let Some(problem) = machine.stall.as_ref().and_then(|it| it.stall.problem()) {
            problems.push(format!(
                "seed.servers {}: stall: {problem}",
                machine.source_vm_id
            ));
        }
    }
    let world = sim.world();
    let seeded = scenario.seed.servers.iter().map(|m| &m.source_vm_id);
    let machines: BTreeSet<&String> = seeded.chain(world.machines.keys()).collect();
    let is_server = |name: &String| {
        let mut places = world.everywhere();
        places.any(|(_, local)| local.servers.contains_key(name))
    };
    let mut known = |member: String, name: &String| {
        if !machines.contains(name) && !is_server(name) {
            problems.push(format!(
                "{member}: no seeded machine or server is named {name}"
            ));
        }
    };
    for (at, order) in scenario.servers.iter().enumerate() {
        known(format!("servers[{at}]"), &order.what.server);
    }
    for (at, fault) in scenario.faults.iter().enumerate() {
        for name in fault
            .what
            .server
            .iter()
            .flat_map(super::faults::Names::each)
        {
            known(format!("faults[{at}]"), name);
        }
    }
    for name in scenario.expect.keys() {
        known("expect".into(), name);
    }
}

fn quota_order(order: Value) -> Result<QuotaOrder, String> {
    let order: QuotaOrder = parse(order)?;
    if quotas::known(&order.quota_code) {
        Ok(order)
    } else {
        Err(format!("no quota has the code `{}`", order.quota_code))
    }
}

fn server_order(order: Value) -> Result<Timed<ServerOrder>, String> {
    let (at_seconds, mut order) = at_seconds(order)?;
    let server = order.as_object_mut().and_then(|it| it.remove("server"));
    let Some(Value::String(server)) = server else {
        return Err("`server` names no machine".into());
    };
    let change: Change = parse(order)?;
    if let Some(problem) = change.problem() {
        return Err(problem);
    }
    Ok(Timed {
        at_seconds,
        what: ServerOrder { server, change },
    })
}

/// Takes `atSeconds` out of an order; the beginning when absent.
fn at_seconds(mut order: Value) -> Result<(u32, Value), String> {
    let given = order.as_object_mut().and_then(|it| it.remove("atSeconds"));
    let seconds = parse(given.unwrap_or_else(|| json!(0)));
    Ok((seconds.map_err(|e| format!("atSeconds: {e}"))?, order))
}

fn parse<T: serde::de::DeserializeOwned>(value: Value) -> Result<T, String> {
    serde_json::from_value(value).map_err(|e| e.to_string())
}

fn member<T: serde::de::DeserializeOwned>(
    members: &mut Map<String, Value>,
    name: &str,
    problems: &mut Vec<String>,
) -> Option<T> {
    let read = parse(members.remove(name)?);
    read.map_err(|e| problems.push(format!("{name}: {e}"))).ok()
}

/// Reads a list item by item, so that one that is wrong hides no other.
fn list<T>(
    members: &mut Map<String, Value>,
    name: &str,
    problems: &mut Vec<String>,
    read: impl Fn(Value) -> Result<T, String>,
) -> Vec<T> {
    let items: Vec<Value> = member(members, name, problems).unwrap_or_default();
    let mut all = Vec::new();
    for (at, item) in items.into_iter().enumerate() {
        match read(item) {
            Ok(item) => all.push(item),
            Err(e) => problems.push(format!("{name}[{at}]: {e}")),
        }
    }
    all
}
