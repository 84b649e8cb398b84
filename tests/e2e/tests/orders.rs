//! Operators: pause and resume, retry from the last good phase, release. A cancel has tests of its own.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

use std::time::Duration;

use jiff::Timestamp;
use landfall_common::state::Change;
use landfall_domain::gate::Gate;
use landfall_domain::{EventType, MigrationRecord, Status};
use landfall_e2e::people::Person;
use landfall_e2e::source::{Source, seed};
use landfall_e2e::{Migration, Stack, account, poll, unique};
use serde_json::{Value, json};

const LONG: Duration = Duration::from_mins(3);

async fn submitted(stack: &Stack, source: &Source) -> Migration {
    let migration = Migration::new(stack, source.id());
    stack.seed(&seed([source])).await;
    stack.submit(&[source.message()]).await;
    migration
}

#[tokio::test]
async fn a_paused_migration_begins_nothing_until_it_is_resumed() {
    let (stack, run) = (Stack::load().await, unique());
    let op = Person::new(&stack, &run, "op").await;
    let waking = account::wake(&stack);
    let source = Source::new(&stack, &run, "paused").machine("replicationSeconds", 2400);
    let migration = submitted(&stack, &source).await;
    let id = migration.key.migration_id.as_str();
    let replicates = |it: &MigrationRecord| it.status == Status::Replicating;
    migration.until(LONG, "replicates", replicates).await;
    for _ in 0..2 {
        let (status, said) = op.order(&stack, id, "pause").await;
        assert_eq!(status, 200, "{said}");
    }
    // The sweep sees the replication ready, and still opens nothing: it has looked at it since.
    let server = async || migration.server().await;
    poll("the end of the first sync", async || {
        let state = server().await["replication"]["state"].clone();
        if state == "CONTINUOUS" {
            Ok(())
        } else {
            Err(state.to_string())
        }
    })
    .await;
    // Others' sweeps are none of ours: one of ours asks for its server among others, or for all.
    let record = migration.record().await.expect("a record");
    let ours = json!(record.source_server_id.expect("a server"));
    let looks = async || {
        let calls = stack.simulator("calls?operation=DescribeSourceServers");
        let calls = calls.await;
        let looks = |call: &&Value| {
            let asked = call["sourceServerIDs"].as_array();
            call["application"] == "watch-migrations"
                && asked.is_some_and(|ids| ids.is_empty() || ids.contains(&ours))
        };
        calls
            .as_array()
            .map_or(0, |it| it.iter().filter(looks).count())
    };
    let before = looks().await;
    poll("three more looks", async || {
        let now = looks().await;
        if now > before + 3 {
            Ok(())
        } else {
            Err(format!("{now} after {before}"))
        }
    })
    .await;
    let record = migration.record().await.expect("a record");
    assert_eq!(record.status, Status::Replicating);
    let (status, said) = op.order(&stack, id, "resume").await;
    assert_eq!(status, 200, "{said}");
    assert_eq!(migration.ended_within(LONG).await.status, Status::Succeeded);
    waking.abort();
    let events = migration.events().await;
    let count = |wanted| events.iter().filter(|it| **it == wanted).count();
    assert_eq!(count(EventType::MigrationPaused), 1, "twice is once");
    assert_eq!(count(EventType::MigrationResumed), 1);
}

#[tokio::test]
async fn a_retry_keeps_the_test_that_was_passed() {
    let (stack, run) = (Stack::load().await, unique());
    let (ann, op) = (
        Person::new(&stack, &run, "ann").await,
        Person::new(&stack, &run, "op").await,
    );
    let source = Source::new(&stack, &run, "again").request(
        "policy",
        json!({"approvals": [{"gate": "cutover", "approvers": [&ann.arn]}]}),
    );
    let migration = submitted(&stack, &source).await;
    let id = migration.key.migration_id.as_str();
    let asked = |it: &MigrationRecord| it.gate(Gate::Cutover).is_some();
    migration.until(LONG, "asks", asked).await;
    assert_eq!(
        op.order(&stack, id, "retry").await.0,
        409,
        "it is under way"
    );
    assert_eq!(ann.answer(&stack, id, "cutover", "deny").await.0, 200);
    let first = migration.ended_within(LONG).await;
    assert_eq!(first.status, Status::RolledBack);
    let (status, said) = op.order(&stack, id, "retry").await;
    assert_eq!((status, &said["attempt"]), (200, &json!(2)), "{said}");
    let again = |it: &MigrationRecord| it.attempt == 2 && asked(it);
    migration.until(LONG, "asks again", again).await;
    assert_eq!(ann.answer(&stack, id, "cutover", "approve").await.0, 200);
    let second = migration.ended_within(LONG).await;
    assert_eq!(
        (second.status, second.attempt),
        (Status::Succeeded, 2),
        "{:?}",
        second.failure
    );
    let history = migration.history().await;
    let of = |attempt: u32, wanted: EventType| {
        let mut all = history.iter().filter(|it| it.detail.attempt == attempt);
        all.any(|it| it.event_type == wanted)
    };
    assert!(of(1, EventType::TestLaunchStarted) && !of(2, EventType::TestLaunchStarted));
    assert!(of(2, EventType::CutoverLaunchStarted));
    let server = second.source_server_id.expect("a server");
    assert_eq!(stack.calls("StartTest", &server).await, 1);
}

#[tokio::test]
async fn a_frozen_migration_waits_for_its_release() {
    let (stack, run) = (Stack::load().await, unique());
    let op = Person::new(&stack, &run, "op").await;
    let source = Source::new(&stack, &run, "frozen").request("steps", json!(["replicate"]));
    // Frozen before anything else touches it: no workflow knows it.
    let request = serde_json::from_value(source.request.clone()).expect("a request");
    let now = Timestamp::now();
    let record = MigrationRecord::new(request, "d".into(), "c", 1, now.to_string());
    let requested = Change::to(Status::Requested, EventType::MigrationRequested);
    let (record, _) = stack
        .store
        .create(record, &requested, now)
        .await
        .expect("a record");
    let frozen = Change::to(Status::Frozen, EventType::MigrationFrozen);
    stack
        .store
        .transition(record, &frozen, now)
        .await
        .expect("frozen");
    let migration = Migration::new(&stack, source.id());
    let id = migration.key.migration_id.as_str();
    let (status, said) = op.order(&stack, id, "retry").await;
    assert_eq!(
        (status, &said["finding"]["code"]),
        (409, &json!("STATUS_FORBIDS"))
    );
    let (status, said) = op.order(&stack, id, "release").await;
    assert_eq!((status, &said["status"]), (200, &json!("FAILED")), "{said}");
    stack.seed(&seed([&source])).await;
    stack.submit(&[source.message()]).await;
    let second = |it: &MigrationRecord| it.attempt == 2;
    let record = migration.until(LONG, "is under way", second).await;
    assert_eq!(record.attempt, 2);
    assert_eq!(migration.ended_within(LONG).await.status, Status::Succeeded);
}
