//! Every stage runs twice, one run right after the other, and the second one changes nothing: the same history and the same
//! calls that change something as where each runs once.
#![allow(
    clippy::expect_used,
    clippy::panic,
    dead_code,
    reason = "a test stops at the first surprise, and uses a part of what it shares with another"
)]

#[path = "restored/workflow.rs"]
mod failing;
#[path = "restored/world.rs"]
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use failing::Place;
use landfall_domain::gate::Gate;
use landfall_domain::{EventType, MigrationRecord, Status};
use landfall_e2e::people::Person;
use landfall_e2e::{Migration, Stack, account, unique};
use serde_json::{Value, json};
use world::{Known, Zone};

/// How long the migrations of a round may take together.
const DEADLINE: Duration = Duration::from_mins(5);

/// What each case is, and how it ends.
const CASES: [(&str, Status); 8] = [
    ("success", Status::Succeeded),
    // Without an agent, which is installed.
    ("bare", Status::Succeeded),
    ("rehearsal", Status::Succeeded),
    // Its retention is over, and its source is deleted.
    ("archived", Status::Succeeded),
    ("unhealthy", Status::RolledBack),
    ("refusedfinalize", Status::RolledBack),
    // Its rollback dies before it begins.
    ("frozen", Status::Frozen),
    ("invalid", Status::Failed),
];

/// States that one of the cases each comes to, beside those of a success.
const SELDOM: [&str; 3] = ["Archive", "Rollback", "Freeze"];

/// Some of what a success changes, beside its names: each is among its calls, or they are not found.
const MOVES: [&str; 7] = [
    "mgn StartTest",
    "mgn StartCutover",
    "mgn FinalizeCutover",
    "azure POST /subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/HOST/deallocate",
    "cmdb PATCH /api/now/table/cmdb_ci_server/ITEM",
    "ec2 CreateTags",
    "ec2 ModifyInstanceAttribute",
];

/// What a migration did: its history, and how often it called what changes something.
#[derive(Debug, PartialEq)]
struct Deeds {
    status: Status,
    events: Vec<EventType>,
    calls: BTreeMap<String, usize>,
    callbacks: usize,
}

#[tokio::test]
async fn a_stage_that_runs_twice_changes_nothing_the_second_time() {
    let stack = Stack::load().await;
    stack.delete("faults").await;
    let waking = account::wake(&stack);
    let definition = failing::read(&stack).await;
    let fails = [(Place::before("Rollback"), vec!["frozen".to_owned()])];
    let single = failing::failing(&definition, &BTreeMap::from(fails));
    failing::write(&stack, &single).await;
    // In a task of its own, so that the definition is put back whatever comes of it.
    let local = tokio::task::LocalSet::new();
    let rounds = local.spawn_local({
        let stack = stack.clone();
        async move {
            let once = round(&stack, false).await;
            failing::write(&stack, &doubled(&single)).await;
            (once, round(&stack, true).await)
        }
    });
    let rounds = local.run_until(rounds).await;
    failing::write(&stack, &definition).await;
    waking.abort();
    stack.delete("faults").await;
    let rounds = rounds.unwrap_or_else(|failed| std::panic::resume_unwind(failed.into_panic()));
    let ((once, names), (twice, again)) = rounds;
    assert!(names > 0);
    assert_eq!(again, names, "changes of names");
    for (case, status) in CASES {
        assert_eq!(once[case].status, status, "{case}");
        assert_eq!(twice[case], once[case], "{case}");
    }
    let moved = &once["success"].calls;
    for call in MOVES {
        assert!(moved.contains_key(call), "no {call} in {moved:?}");
    }
    let installed = &once["bare"].calls;
    assert!(installed.contains_key("ssm SendCommand"), "{installed:?}");
    let archived = &once["archived"].calls;
    assert_eq!(archived.get("mgn MarkAsArchived"), Some(&1), "{archived:?}");
}

/// The definition in which each stage is asked twice for the same.
fn doubled(definition: &Value) -> Value {
    let mut changed = definition.clone();
    let states = changed["States"].as_object_mut().expect("states");
    let stages: Vec<String> = states
        .iter()
        .filter(|(_, state)| state["Resource"] == "arn:aws:states:::lambda:invoke")
        .map(|(name, _)| name.clone())
        .collect();
    assert!(stages.len() > 10, "{stages:?}");
    for name in stages {
        let again = states[&name].clone();
        let other = format!("{name} again");
        states[&name]["Next"] = other.clone().into();
        states.insert(other, again);
    }
    changed
}

/// How often Route 53 was told to change something, by anybody.
async fn changes_of_names(stack: &Stack) -> usize {
    let calls = stack
        .simulator("calls?operation=ChangeResourceRecordSets")
        .await;
    let calls = calls.as_array().expect("a list of calls");
    calls.iter().filter(|call| call["ok"] == true).count()
}

/// What each migration of a round did, and how many changes of names there were in it.
async fn round(stack: &Stack, twice: bool) -> (BTreeMap<&'static str, Deeds>, usize) {
    let before = changes_of_names(stack).await;
    let run = unique();
    let zone = Zone::new(stack, &run).await;
    let secret = format!("landfall/source/e2e-{run}");
    let content = json!({"tenantId": "t", "clientId": "c", "clientSecret": "e2e-client-secret"});
    let create = stack.secrets.create_secret().name(&secret);
    let create = create.secret_string(content.to_string());
    create.send().await.expect("CreateSecret");
    let approver = Person::new(stack, &run, "ann").await;
    let mut sources = Vec::new();
    for (case, _) in CASES {
        let source = world::source(stack, &run, case, &secret, &zone).await;
        sources.push(match case {
            "success" => source.request("policy", json!({"soakSeconds": 5})),
            "bare" => source
                .machine("agentInstalled", false)
                .machine("replicated", false),
            "rehearsal" => source.request("steps", json!(["freeze", "replicate", "validate"])),
            "archived" => source.request(
                "policy",
                json!({
                    "retention": {"archiveAfterDays": 1, "decommissionSource": true},
                    "approvals": [{"gate": "decommission", "approvers": [&approver.arn]}],
                }),
            ),
            "unhealthy" | "frozen" => source.machine("healthy", false),
            "invalid" => source.request("subnetId", "subnet-0fffffffffffffff0"),
            _ => source,
        });
    }
    let mut seed = landfall_e2e::source::seed(&sources);
    let known = sources.iter().map(world::known);
    let (cmf, cmdb): (Vec<Value>, Vec<Value>) = known.unzip();
    seed["cmf"] = json!(cmf);
    seed["cmdb"] = json!(cmdb);
    let servers = stack.seed(&seed).await["servers"].clone();
    let mut known = Vec::new();
    for ((case, _), source) in CASES.iter().zip(&sources) {
        // MGN learns of the bare one later.
        let seen = servers[source.vm()].is_string();
        known.push(if seen {
            Some(Known::of(stack, source, &servers).await)
        } else {
            None
        });
        if *case == "refusedfinalize" {
            let rule = json!({
                "service": "mgn", "operation": "FinalizeCutover", "kind": "error",
                "error": "AccessDeniedException", "server": servers[source.vm()], "count": 1_000,
            });
            stack.post("faults", &rule).await;
        }
    }
    let messages: Vec<_> = sources
        .iter()
        .map(landfall_e2e::source::Source::message)
        .collect();
    stack.submit(&messages).await;
    let mut deeds = BTreeMap::new();
    let mut entered = BTreeSet::new();
    for (((case, _), source), known) in CASES.into_iter().zip(&sources).zip(known) {
        let migration = Migration::new(stack, source.id());
        let record = migration.ended_within(DEADLINE).await;
        migration.callback().await;
        if case == "archived" {
            agree(stack, &migration, &approver).await;
        }
        let end = if record.status == Status::Succeeded {
            "SUCCEEDED"
        } else {
            "FAILED"
        };
        let states = migration.states(end).await;
        let again = states.iter().any(|state| state.ends_with(" again"));
        assert_eq!(again, twice, "{case}: {states:?}");
        entered.extend(states);
        let known = known.unwrap_or_else(|| {
            let template = record.done.launch_template.as_ref();
            Known {
                source: source.clone(),
                server: record.source_server_id.clone().expect("MGN's ID"),
                template: template.expect("a launch template").template_id.clone(),
            }
        });
        deeds.insert(case, deeds_of(stack, &known, &migration, &record).await);
    }
    for state in SELDOM {
        let second = format!("{state} again");
        let seen = entered.contains(state) && entered.contains(&second) == twice;
        assert!(seen, "{state}: {entered:?}");
    }
    stack.delete("faults").await;
    (deeds, changes_of_names(stack).await - before)
}

/// Agrees that the source of a migration may be deleted.
async fn agree(stack: &Stack, migration: &Migration, approver: &Person) {
    let asked = |record: &MigrationRecord| record.gate(Gate::Decommission).is_some();
    migration
        .until(DEADLINE, "is to be decommissioned", asked)
        .await;
    let id = &migration.key.migration_id;
    let (status, said) = approver.answer(stack, id, "decommission", "approve").await;
    assert_eq!((status, &said["granted"]), (200, &json!(true)), "{said}");
}

async fn deeds_of(
    stack: &Stack,
    known: &Known,
    migration: &Migration,
    record: &MigrationRecord,
) -> Deeds {
    let id = known.source.id();
    let text = |member: &str| known.source.machine[member].as_str().unwrap_or_default();
    let (vm, host) = (text("sourceVmId"), text("hostname"));
    let item = world::item(vm);
    let launches = [&record.done.test, &record.done.cutover];
    let targets = launches.into_iter().flatten();
    let targets: Vec<&str> = targets.filter_map(|it| it.instance_id.as_deref()).collect();
    let about_it = [
        known.server.as_str(),
        &known.template,
        text("ssmInstanceId"),
        &item,
    ];
    let calls = stack.simulator("calls").await;
    let mut counts = BTreeMap::new();
    for call in calls.as_array().expect("a list of calls") {
        let (service, operation) = (
            &call["service"],
            call["operation"].as_str().unwrap_or_default(),
        );
        let about = call["sourceServerIDs"].to_string() + &call["resources"].to_string();
        let mut named = about_it.iter().chain(&targets);
        let is_ours = named.any(|it| about.contains(*it) || operation.contains(*it))
            || [id, vm, host]
                .iter()
                .any(|it| operation.ends_with(it) || operation.contains(&format!("{it}/")));
        // Looking changes nothing.
        let looks = ["Describe", "Get", "List", "Test", "GET "]
            .iter()
            .any(|it| operation.starts_with(it));
        if is_ours && !looks && call["ok"] == true {
            let plain = operation
                .replace(vm, "VM")
                .replace(host, "HOST")
                .replace(id, "ID")
                .replace(&item, "ITEM");
            let service = service.as_str().unwrap_or_default();
            *counts.entry(format!("{service} {plain}")).or_insert(0) += 1;
        }
    }
    let received = stack.simulator("callbacks").await;
    let received = received.as_array().expect("a list of callbacks").iter();
    // Whether old answers of DNS hold it, for a second, is a matter of how long the steps before took.
    let clocks = [EventType::SwitchHeld, EventType::SwitchContinued];
    let mut events = migration.events().await;
    events.retain(|it| !clocks.contains(it));
    Deeds {
        status: record.status,
        events,
        calls: counts,
        callbacks: received.filter(|it| it["name"] == id).count(),
    }
}
