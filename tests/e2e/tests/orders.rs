//! Operators: pause and resume, cancel in each phase, retry from the last good one, release.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

use std::time::Duration;

use landfall_common::state::Change;
use landfall_domain::gate::Gate;
use landfall_domain::{EventType, MigrationRecord, Status};
use landfall_e2e::people::Person;
use landfall_e2e::source::{Source, seed};
use landfall_e2e::{Migration, Stack, account, poll, unique};
use serde_json::json;

const LONG: Duration = Duration::from_mins(3);

async fn submitted(stack: &Stack, source: &Source) -> Migration {
    let migration = Migration::new(stack, source.id());
    stack.seed(&seed([source])).await;
    stack.submit(&[source.message()]).await;
    migration
}

/// Waits until a migration stands where it is wanted.
async fn until(
    migration: &Migration,
    what: &str,
    there: impl Fn(&MigrationRecord) -> bool,
) -> MigrationRecord {
    poll::poll_for(
        LONG,
        &format!("{} {what}", migration.key),
        async || match migration.record().await {
            Some(record) if there(&record) => Ok(record),
            Some(record) if record.status.is_end() && record.status != Status::Failed => {
                panic!("{} is {}", migration.key, record.status)
            }
            other => Err(format!("{:?}", other.map(|it| it.status))),
        },
    )
    .await
}

/// Nothing of the migration waits, runs or is held.
async fn assert_nothing_left(migration: &Migration, record: &MigrationRecord) {
    let stack = &migration.stack;
    let waits = stack.store.waits_of(&migration.key).await;
    assert_eq!(waits.expect("waits").len(), 0, "{}", migration.key);
    assert_eq!(record.claims, Vec::<String>::new(), "{}", migration.key);
    for launch in [&record.done.test, &record.done.cutover]
        .into_iter()
        .flatten()
    {
        if let Some(instance) = &launch.instance_id {
            let state = stack.instance_state(instance).await;
            assert!(
                state
                    .as_deref()
                    .is_none_or(|it| it == "terminated" || it == "shutting-down"),
                "{}: {instance} is {state:?}",
                migration.key
            );
        }
    }
    // Its execution ends, too.
    migration.states("FAILED").await;
}

/// The phases in which a migration is cancelled: a name, what its record shows then, and where MGN has the server after it.
type Phase = (&'static str, fn(&MigrationRecord) -> bool, &'static str);

const PHASES: [Phase; 7] = [
    (
        "replicating",
        |it| it.status == Status::Replicating,
        "NOT_READY",
    ),
    (
        "testing",
        |it| it.status == Status::Testing,
        "READY_FOR_TEST",
    ),
    (
        "asked",
        |it| it.status == Status::AwaitingApproval,
        "READY_FOR_TEST",
    ),
    (
        "cuttingover",
        |it| it.status == Status::CuttingOver,
        "READY_FOR_CUTOVER",
    ),
    (
        "soaking",
        |it| it.status == Status::Soaking,
        "READY_FOR_CUTOVER",
    ),
    (
        "paused",
        |it| it.status == Status::AwaitingWindow,
        "READY_FOR_TEST",
    ),
    (
        "preparing",
        |it| it.status == Status::Preparing,
        "NOT_READY",
    ),
];

#[tokio::test]
async fn a_cancelled_migration_leaves_nothing_whatever_phase_it_was_in() {
    let (stack, run) = (Stack::load().await, unique());
    let (ann, op) = (
        Person::new(&stack, &run, "ann").await,
        Person::new(&stack, &run, "op").await,
    );
    let clock = stack.simulator("clock").await;
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a scale is between 0 and a million"
    )]
    let simulated = (60.0 * clock["scale"].as_f64().expect("the clock's scale")) as u32;
    let sources: Vec<Source> = PHASES
        .iter()
        .map(|(name, ..)| {
            let source = Source::new(&stack, &run, name);
            match *name {
                // Long enough to be met on its way, at whatever scale.
                "replicating" => source.machine("replicationSeconds", simulated),
                "asked" => source.request(
                    "policy",
                    json!({"approvals": [{"gate": "cutover", "approvers": [&ann.arn]}]}),
                ),
                "soaking" => source.request("policy", json!({"soakSeconds": 3600})),
                _ => source,
            }
        })
        .collect();
    stack.seed(&seed(&sources)).await;
    let messages: Vec<_> = sources.iter().map(Source::message).collect();
    stack.submit(&messages).await;
    let work = PHASES
        .iter()
        .zip(&sources)
        .map(|((name, there, lifecycle), source)| {
            let (stack, op) = (stack.clone(), op.clone());
            let migration = Migration::new(&stack, source.id());
            async move {
                let id = migration.key.migration_id.clone();
                if *name == "paused" {
                    until(&migration, "exists", |_| true).await;
                    until(&migration, "was tested", |it| it.done.test.is_some()).await;
                    assert_eq!(op.order(&stack, &id, "pause").await.0, 200);
                }
                let met = until(&migration, name, there).await;
                let (status, said) = op.order(&stack, &id, "cancel").await;
                assert_eq!(status, 200, "{name} at {}: {said}", met.status);
                let record = migration.ended_within(LONG).await;
                assert_eq!(record.status, Status::Cancelled, "{name}");
                let failure = record.failure.as_ref().expect("why");
                assert_eq!(failure.error, "Cancelled", "{name}");
                assert!(
                    failure.message.contains(&op.arn),
                    "{name}: {}",
                    failure.message
                );
                assert_nothing_left(&migration, &record).await;
                if record.source_server_id.is_some() {
                    let server = migration.server().await;
                    let seen = server["life_cycle"].as_str().unwrap_or_default();
                    // An agent may have gone on replicating: it is kept.
                    let kept = *lifecycle == "NOT_READY";
                    assert!(seen == *lifecycle || kept, "{name} is {seen}");
                }
                // Again it changes nothing, and says so.
                let (status, said) = op.order(&stack, &id, "cancel").await;
                assert_eq!(
                    (status, &said["finding"]["code"]),
                    (409, &json!("STATUS_FORBIDS"))
                );
            }
        });
    futures_util::future::join_all(work).await;
}

#[tokio::test]
async fn a_paused_migration_begins_nothing_until_it_is_resumed() {
    let (stack, run) = (Stack::load().await, unique());
    let op = Person::new(&stack, &run, "op").await;
    let waking = account::wake(&stack);
    let source = Source::new(&stack, &run, "paused").machine("replicationSeconds", 1200);
    let migration = submitted(&stack, &source).await;
    let id = migration.key.migration_id.as_str();
    until(&migration, "replicates", |it| {
        it.status == Status::Replicating
    })
    .await;
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
    let looks = async || {
        stack
            .simulator("calls?operation=DescribeSourceServers")
            .await
            .as_array()
            .map_or(0, Vec::len)
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
    until(&migration, "asks", asked).await;
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
    until(&migration, "asks again", |it| it.attempt == 2 && asked(it)).await;
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
    let record = MigrationRecord::new(request, "d".into(), "c", 1, "2026-11-21T12:00:00Z");
    let now = "2026-11-21T12:00:00Z".parse().expect("a time");
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
    let record = until(&migration, "is under way", |it| it.attempt == 2).await;
    assert_eq!(record.attempt, 2);
    assert_eq!(migration.ended_within(LONG).await.status, Status::Succeeded);
}
