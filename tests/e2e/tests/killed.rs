//! Workers of every stage die in the middle of their work, and no migration is lost or done twice.
#![cfg(target_os = "linux")]
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

use std::collections::BTreeSet;
use std::time::Duration;

use landfall_domain::gate::Gate;
use landfall_domain::{EventType, MigrationRecord, Status};
use landfall_e2e::chats::Chats;
use landfall_e2e::people::Person;
use landfall_e2e::poll::poll_for;
use landfall_e2e::source::{Source, seed};
use landfall_e2e::worker::Killer;
use landfall_e2e::{Migration, Stack, unique};
use serde_json::{Value, json};

/// How long a wave may take whose messages come back only after their queue's visibility time-out, several times.
const DEADLINE: Duration = Duration::from_mins(7);

/// How many workers of each function die.
const KILLS: usize = 2;

/// The folders of `functions/`.
const FUNCTIONS: [&str; 12] = [
    "approvals",
    "callback",
    "control",
    "finalize-cutover",
    "ingress",
    "notify",
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

/// Says something again and again until a worker of the function has died over it and another one has answered: what was
/// said stands, and saying it again changes nothing.
async fn said(killer: &Killer, function: &str, say: impl AsyncFn() -> (u16, Value)) {
    poll_for(DEADLINE, &format!("a death of {function}"), async || {
        let (status, said) = say().await;
        let deaths = killer.deaths(function);
        if status == 200 && deaths > 0 {
            Ok(())
        } else {
            Err(format!("{deaths} deaths; {status} {said}"))
        }
    })
    .await;
}

/// People pause a migration at its cutover gate, let it go on, and agree, while the functions that hear them die.
async fn decided(stack: &Stack, killer: &Killer, ann: &Person, migration: &Migration) {
    let asked = |it: &MigrationRecord| it.gate(Gate::Cutover).is_some();
    migration.until(DEADLINE, "asks", asked).await;
    let id = migration.key.migration_id.as_str();
    let control = "landfall-control";
    for order in ["pause", "resume"] {
        said(killer, control, async || ann.order(stack, id, order).await).await;
    }
    let agree = async || ann.answer(stack, id, "cutover", "approve").await;
    said(killer, "landfall-approvals", agree).await;
}

#[tokio::test]
async fn a_worker_that_dies_loses_nothing_and_doubles_nothing() {
    let (stack, run) = (Stack::load().await, unique());
    let ann = Person::new(&stack, &run, "ann").await;
    let chats = Chats::open(&stack, &run, [200, 200]).await;
    let asks = json!({"approvals": [{"gate": "cutover", "approvers": [&ann.arn]}]});
    let sources: Vec<_> = ["one", "two", "three", "four", "unhealthy", "ill"]
        .into_iter()
        .map(|name| {
            let source = Source::new(&stack, &run, name);
            match name {
                "one" => source
                    .machine("healthy", true)
                    .request("policy", asks.clone()),
                // Two, so that rollbacks there are enough to be killed in.
                _ => source.machine("healthy", !matches!(name, "unhealthy" | "ill")),
            }
        })
        .collect();
    stack.seed(&seed(&sources)).await;
    let killer = Killer::start(&stack, delays());
    for source in &sources {
        // One by one, so that ingress is called more than once.
        stack.submit(&[source.message()]).await;
    }
    let one = Migration::new(&stack, sources[0].id());
    decided(&stack, &killer, &ann, &one).await;

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
        let words = if healthy {
            "succeeded"
        } else {
            "rollback is done"
        };
        chats.heard(&chats.names[0], &[source.id(), words]).await;
    }
    let events = one.events().await;
    for event in [
        EventType::MigrationPaused,
        EventType::MigrationResumed,
        EventType::ApprovalRequested,
        EventType::ApprovalAnswered,
        EventType::ApprovalGranted,
    ] {
        let times = events.iter().filter(|it| **it == event).count();
        assert_eq!(times, 1, "{event} in {events:?}");
    }
    chats.close().await;
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
