//! Workers of every stage die in the middle of their work, and no migration is lost or done twice.
#![cfg(target_os = "linux")]
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

use std::collections::BTreeSet;
use std::time::Duration;

use landfall_domain::Status;
use landfall_e2e::source::{Source, seed};
use landfall_e2e::worker::Killer;
use landfall_e2e::{Migration, Stack, unique};

/// How long a wave may take whose messages come back only after their queue's visibility time-out, several times.
const DEADLINE: Duration = Duration::from_mins(7);

/// How many workers of each function die.
const KILLS: usize = 2;

/// The folders of `functions/`.
const FUNCTIONS: [&str; 9] = [
    "callback",
    "finalize-cutover",
    "ingress",
    "prepare-source",
    "rollback",
    "trigger-migration",
    "validate-input",
    "verify-migration",
    "watch-migrations",
];

/// The statuses that a record goes through only once.
const ONCE: [Status; 6] = [
    Status::Preparing,
    Status::Replicating,
    Status::Testing,
    Status::CuttingOver,
    Status::Finalizing,
    Status::Succeeded,
];

/// A time into an invocation that nobody chose: another one in every run, printed for the one that fails.
fn delays() -> Vec<Duration> {
    let random = uuid::Uuid::new_v4().into_bytes();
    let delays: Vec<_> = random.into_iter().take(KILLS).collect();
    let delays = delays
        .into_iter()
        .map(|byte| Duration::from_millis(u64::from(byte) % 40))
        .collect();
    println!("workers die this long after they began: {delays:?}");
    delays
}

#[tokio::test]
async fn a_worker_that_dies_loses_nothing_and_doubles_nothing() {
    let (stack, run) = (Stack::load().await, unique());
    let sources: Vec<_> = ["one", "two", "three", "four", "unhealthy"]
        .into_iter()
        .map(|name| {
            let source = Source::new(&stack, &run, name);
            source.machine("healthy", name != "unhealthy")
        })
        .collect();
    stack.seed(&seed(&sources)).await;
    let killer = Killer::start(&stack, delays());
    for source in &sources {
        // One by one, so that ingress is called more than once.
        stack.submit(&[source.message()]).await;
    }

    for source in &sources {
        let migration = Migration::new(&stack, source.id());
        let record = migration.ended_within(DEADLINE).await;
        let healthy = source.machine["healthy"] == true;
        let (end, cutovers) = if healthy {
            (Status::Succeeded, 1)
        } else {
            (Status::RolledBack, 0)
        };
        assert_eq!(record.status, end, "{}: {:?}", source.id(), record.failure);
        assert_eq!(record.attempt, 1);

        let server = record.source_server_id.clone().expect("a source server");
        assert_eq!(stack.calls("StartTest", &server).await, 1);
        assert_eq!(stack.calls("StartCutover", &server).await, cutovers);
        assert_eq!(stack.calls("FinalizeCutover", &server).await, cutovers);
        let history = migration.history().await;
        for status in ONCE {
            let entered = history
                .iter()
                .filter(|entry| entry.detail.to == status && entry.detail.from != Some(status));
            assert!(entered.count() <= 1, "{status} twice");
        }

        // At least once, and always under the same ID, by which a receiver tells a repetition.
        let ids = received(&stack, source.id()).await;
        assert_eq!(ids.len(), 1, "{ids:?}");
    }
    let deaths = killer.stop();
    println!("killed: {deaths:?}");
    for function in FUNCTIONS {
        let name = format!("landfall-{function}");
        assert!(deaths.get(&name).is_some_and(|n| *n > 0), "{name} lived");
    }
}

/// The webhook IDs under which a migration called back.
async fn received(stack: &Stack, migration_id: &str) -> BTreeSet<String> {
    landfall_e2e::poll(&format!("the callback of {migration_id}"), async || {
        let callbacks = stack.simulator("callbacks").await;
        let all = callbacks.as_array().expect("a list of callbacks").iter();
        let ids: BTreeSet<_> = all
            .filter(|callback| callback["name"] == migration_id)
            .map(|callback| callback["headers"]["webhook-id"].to_string())
            .collect();
        if ids.is_empty() {
            Err("none".to_owned())
        } else {
            Ok(ids)
        }
    })
    .await
}
