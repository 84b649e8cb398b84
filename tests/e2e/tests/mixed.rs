//! Sixty migrations at once, under the faults of `scenarios/mixed-60.json`: each ends as the scenario says, nothing is
//! launched twice, and MGN is asked in batches.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use landfall_domain::record::LaunchAction;
use landfall_domain::{EventType, MigrationRecord, Status};
use landfall_e2e::poll::poll_for;
use landfall_e2e::source::Source;
use landfall_e2e::{Migration, Stack, queue, text, unique};
use serde_json::{Value, json};

/// Sixty workflows on an emulator, with messages that come again.
const DEADLINE: Duration = Duration::from_mins(15);
/// The largest page of `DescribeSourceServers` with a filter, and the most servers of a job.
const BATCH: usize = 200;

/// The scenario, with the run's name in it.
fn scenario(run: &str) -> Value {
    let scenario = text("tests/e2e/scenarios/mixed-60.json").replace("{run}", run);
    serde_json::from_str(&scenario).expect("JSON")
}

/// The request of a machine of the scenario.
fn request(stack: &Stack, run: &str, machine: &Value) -> Source {
    let vm = machine["sourceVmId"].as_str().expect("an ID");
    let name = vm.rsplit('-').next().expect("a number");
    Source::new(stack, run, &format!("mixed-{name}"))
        .request("sourceVmId", vm)
        .request("steps", json!(["replicate", "validate", "switch"]))
}

#[tokio::test]
async fn sixty_migrations_under_mixed_faults_end_as_the_scenario_says() {
    let (stack, run, since) = (Stack::load().await, unique(), Timestamp::now());
    let scenario = scenario(&run);
    let machines = scenario["seed"]["servers"].as_array().expect("servers");
    let sources: Vec<_> = machines
        .iter()
        .map(|machine| request(&stack, &run, machine))
        .collect();
    assert_eq!(sources.len(), 60);
    stack.delete("calls").await;
    stack.delete("faults").await;
    stack.post("scenario", &scenario).await;
    let messages: Vec<_> = sources.iter().map(Source::message).collect();
    // SQS takes ten at a time. A message is taken five times at most, and on a slow machine an invocation may not come to it.
    for some in messages.chunks(10) {
        stack.submit(some).await;
        queue::all_taken(&stack).await;
    }

    let expected = scenario["expect"].as_object().expect("expectations");
    let deadline = std::time::Instant::now() + DEADLINE;
    let mut ends = Vec::new();
    for source in &sources {
        let vm = source.request["sourceVmId"].as_str().expect("an ID");
        let wanted = expected[vm].as_str().expect("an expectation").to_owned();
        let migration = Migration::new(&stack, source.id());
        let left = deadline.saturating_duration_since(std::time::Instant::now());
        let record = poll_for(left, vm, async || match migration.record().await {
            Some(record) if is_there(&record, &wanted) || record.status.is_end() => Ok(record),
            Some(record) => Err(format!("{} instead of {wanted}", record.status)),
            None => Err("it was not accepted".to_owned()),
        })
        .await;
        ends.push((migration, wanted, record));
    }
    let calls = stack.simulator("calls").await;
    let left = stack.simulator("faults").await;
    stack.delete("faults").await;
    let seconds = Timestamp::now().duration_since(since).as_secs();

    let mut wrong = Vec::new();
    for (_, wanted, record) in &ends {
        if record.status.as_str() != wanted {
            let why = record.failure.as_ref().map(|failure| &failure.message);
            wrong.push(format!(
                "{}: {} instead of {wanted}: {why:?}",
                record.migration_id, record.status
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for (migration, _, record) in &ends {
        launched_once(migration, record, &calls).await;
    }
    raw_errors(&ends, machines).await;
    batched(&calls, ends.len());
    asked_in_pages(&stack, &calls, ends.len(), seconds).await;
    met(&left);
    mend(&stack, &ends).await;
}

/// No fault that is sure to be met is left: the test is of the faults, not of a quiet day. How many calls there are to be
/// slowed depends on how the launches fall into rounds.
fn met(left: &Value) {
    let left: Vec<_> = left
        .as_array()
        .expect("a list")
        .iter()
        .filter(|rule| rule["probability"].is_null() || rule["probability"] == 1.0)
        .filter(|rule| rule["kind"] != "slow")
        .collect();
    assert!(left.is_empty(), "faults that were not met: {left:?}");
}

/// Whether a migration is where the scenario wants it; one that waits for ever has stalled and said so.
fn is_there(record: &MigrationRecord, wanted: &str) -> bool {
    let stalled = || record.progress.as_ref().is_some_and(|p| p.stall.is_some());
    record.status.as_str() == wanted && (record.status.is_end() || stalled())
}

/// One job at most has started each launch of a server, whatever answers were lost.
async fn launched_once(migration: &Migration, record: &MigrationRecord, calls: &Value) {
    let server = record.source_server_id.as_deref().unwrap_or("none");
    let history = migration.events().await;
    for (operation, action, started) in [
        (
            "StartTest",
            LaunchAction::Test,
            EventType::TestLaunchStarted,
        ),
        (
            "StartCutover",
            LaunchAction::Cutover,
            EventType::CutoverLaunchStarted,
        ),
    ] {
        let effective = starts(calls, operation).filter(|call| {
            let servers = call["sourceServerIDs"].as_array().expect("a list");
            call["ok"] == true && servers.iter().any(|id| id == server)
        });
        let (effective, id) = (effective.count(), &record.migration_id);
        assert!(
            effective <= 1,
            "{id}: {operation} took effect {effective} times"
        );
        let noted = history.iter().filter(|event| **event == started).count();
        assert_eq!(noted, effective, "{id}: {history:?}");
        assert!(
            record.done.launch(action).is_none() || effective == 1,
            "{id}: {operation}"
        );
    }
}

fn starts<'a>(calls: &'a Value, operation: &'a str) -> impl Iterator<Item = &'a Value> {
    let calls = calls.as_array().expect("a list").iter();
    calls.filter(move |call| call["operation"] == operation)
}

/// Whoever's launch failed is told MGN's own words, in the record and in the history.
async fn raw_errors(ends: &[(Migration, String, MigrationRecord)], machines: &[Value]) {
    let mut seen = 0;
    for ((migration, _, record), machine) in ends.iter().zip(machines) {
        let Some(raw) = machine["launchFailure"].as_str() else {
            continue;
        };
        let message = &record.failure.as_ref().expect("a failure").message;
        assert!(message.contains(raw), "{}: {message}", record.migration_id);
        let history = migration.history().await;
        let told = history.iter().any(|entry| {
            let evidence = entry.detail.evidence.as_ref();
            evidence.is_some_and(|it| it["rawError"].as_str().is_some_and(|it| it.contains(raw)))
        });
        assert!(told, "{}: {history:?}", record.migration_id);
        seen += 1;
    }
    assert!(seen >= 2, "the scenario has failed launches");
}

/// A round of launches takes ceil(servers / 200) calls: between two looks at the jobs by `trigger-migration`, which
/// every round begins with, there are no more of one action. A call that was refused for a server is made again without it.
fn batched(calls: &Value, servers: usize) {
    let most = servers.div_ceil(BATCH);
    let mut round: BTreeMap<&str, usize> = BTreeMap::new();
    let (mut rounds, mut accepted) = (0, 0);
    for call in calls.as_array().expect("a list") {
        if call["application"] != "trigger-migration" {
            continue;
        }
        match call["operation"].as_str().expect("a name") {
            "DescribeJobs" => {
                round.clear();
                rounds += 1;
            }
            operation @ ("StartTest" | "StartCutover") if call["error"] != "ConflictException" => {
                let made = round.entry(operation).or_default();
                *made += 1;
                assert!(
                    *made <= most,
                    "{operation} was called {made} times in one round"
                );
                accepted += usize::from(call["ok"] == true);
            }
            _ => {}
        }
    }
    println!("{accepted} launches accepted in {rounds} rounds for {servers} servers");
    // Sixty tests and some fifty cutovers, in a few calls.
    assert!(accepted <= servers / 3, "the servers were not put together");
}

/// What the sweep asks MGN depends on how often it is woken, not on how many wait.
async fn asked_in_pages(stack: &Stack, calls: &Value, servers: usize, seconds: i64) {
    let asked = |operation: &str| {
        let calls = calls.as_array().expect("a list").iter();
        calls
            .filter(|call| {
                call["application"] == "watch-migrations" && call["operation"] == operation
            })
            .count()
    };
    let events = stack.simulator("events").await;
    let events = events.as_array().expect("a list").len();
    // Woken by each event, by each minute, by each message that opens a wait.
    let woken = events + usize::try_from(seconds / 60 + 1).unwrap_or(1) + 2 * servers;
    let looks = asked("DescribeSourceServers");
    println!("{looks} DescribeSourceServers in {seconds} s, woken {woken} times at most");
    // Some are throttled or lost by the scenario, and asked again by the SDK.
    let repeated = 30;
    assert!(
        looks <= woken + repeated,
        "{looks} looks for {woken} wakings"
    );
    assert!(asked("DescribeJobs") <= woken + repeated);
    assert!(asked("GetLaunchConfiguration") == 0);
}

/// Lets those that wait for ever go on, so that nothing is left behind.
async fn mend(stack: &Stack, ends: &[(Migration, String, MigrationRecord)]) {
    for (migration, _, record) in ends {
        if record.status != Status::Replicating {
            continue;
        }
        let server = record.source_server_id.as_deref().expect("a server");
        let recover = json!({"replication": {"recover": true}});
        stack.post(&format!("servers/{server}"), &recover).await;
        let record = migration.ended_within(DEADLINE).await;
        assert_eq!(record.status, Status::Succeeded, "{:?}", record.failure);
        let events = migration.events().await;
        assert!(
            events.contains(&EventType::ReplicationResumed)
                || events.contains(&EventType::ReplicationHealthy)
        );
    }
}
