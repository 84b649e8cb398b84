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

use std::collections::BTreeMap;
use std::time::Duration;

use landfall_domain::{EventType, MigrationRecord, Status};
use landfall_e2e::{Migration, Stack, account, unique};
use serde_json::{Value, json};
use world::{Known, Zone};

/// How long the migrations of a round may take together.
const DEADLINE: Duration = Duration::from_mins(5);

/// What each case is, and how it ends.
const CASES: [(&str, Status); 5] = [
    ("success", Status::Succeeded),
    ("rehearsal", Status::Succeeded),
    ("unhealthy", Status::RolledBack),
    ("refusedfinalize", Status::RolledBack),
    ("invalid", Status::Failed),
];

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
    let once = round(&stack, false).await;
    failing::write(&stack, &doubled(&definition)).await;
    let local = tokio::task::LocalSet::new();
    let again = local.spawn_local({
        let stack = stack.clone();
        async move { round(&stack, true).await }
    });
    let twice = local.run_until(again).await;
    failing::write(&stack, &definition).await;
    waking.abort();
    stack.delete("faults").await;
    let twice = twice.unwrap_or_else(|failed| std::panic::resume_unwind(failed.into_panic()));
    let ((once, names), (twice, again)) = (once, twice);
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
    let mut sources = Vec::new();
    for (case, _) in CASES {
        let source = world::source(stack, &run, case, &secret, &zone).await;
        sources.push(match case {
            "success" => source.request("policy", json!({"soakSeconds": 5})),
            "rehearsal" => source.request("steps", json!(["freeze", "replicate", "validate"])),
            "unhealthy" => source.machine("healthy", false),
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
    for source in &sources {
        known.push(Known::of(stack, source, &servers).await);
    }
    stack
        .post(
            "faults",
            &json!({
                "service": "mgn", "operation": "FinalizeCutover", "kind": "error",
                "error": "AccessDeniedException", "server": known[3].server, "count": 1_000,
            }),
        )
        .await;
    let messages: Vec<_> = sources
        .iter()
        .map(landfall_e2e::source::Source::message)
        .collect();
    stack.submit(&messages).await;
    let mut deeds = BTreeMap::new();
    for ((case, _), known) in CASES.into_iter().zip(&known) {
        let migration = Migration::new(stack, known.source.id());
        let record = migration.ended_within(DEADLINE).await;
        migration.callback().await;
        let end = if record.status == Status::Succeeded {
            "SUCCEEDED"
        } else {
            "FAILED"
        };
        let states = migration.states(end).await;
        let again = states.iter().any(|state| state.ends_with(" again"));
        assert_eq!(again, twice, "{case}: {states:?}");
        deeds.insert(case, deeds_of(stack, known, &migration, &record).await);
    }
    stack.delete("faults").await;
    (deeds, changes_of_names(stack).await - before)
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
    Deeds {
        status: record.status,
        events: migration.events().await,
        calls: counts,
        callbacks: received.filter(|it| it["name"] == id).count(),
    }
}
