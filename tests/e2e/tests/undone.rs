//! The way back after the end: people are asked before a risky rollback, an emergency asks nobody, and what can be undone is.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

use std::time::Duration;

use landfall_domain::control::Purpose;
use landfall_domain::gate::Gate;
use landfall_domain::{EventType, MigrationRecord, Status};
use landfall_e2e::people::Person;
use landfall_e2e::source::{Source, seed};
use landfall_e2e::zone::Zone;
use landfall_e2e::{Migration, Stack, account, poll, unique, workflow};
use serde_json::{Value, json};

const LONG: Duration = Duration::from_mins(5);

/// Where users came to before the migration.
const OLD_ADDRESS: &str = "192.0.2.10";

/// A migration that has succeeded, with users on its target.
struct Moved {
    stack: Stack,
    migration: Migration,
    zone: Zone,
    ann: Person,
    op: Person,
}

impl Moved {
    async fn new(name: &str) -> Self {
        let (stack, run) = (Stack::load().await, unique());
        let (ann, op) = (
            Person::new(&stack, &run, "ann").await,
            Person::new(&stack, &run, "op").await,
        );
        let zone = Zone::new(&stack, &run).await;
        zone.put("app", 1, OLD_ADDRESS).await;
        let source = Source::new(&stack, &run, name)
            .request(
                "dns",
                json!([{"hostedZoneId": zone.id, "name": zone.name("app"), "type": "A"}]),
            )
            .request(
                "policy",
                json!({
                    "approvals": [{"gate": "rollback", "approvers": [&ann.arn]}],
                    "retention": {"archiveAfterDays": 1},
                }),
            );
        stack.seed(&seed([&source])).await;
        stack.submit(&[source.message()]).await;
        let migration = Migration::new(&stack, source.id());
        // Once nobody keeps the old address any more, it need not wait for the next minute.
        let waking = account::wake(&stack);
        let record = migration.ended_within(LONG).await;
        waking.abort();
        assert_eq!(record.status, Status::Succeeded, "{:?}", record.failure);
        let moved = Self {
            stack,
            migration,
            zone,
            ann,
            op,
        };
        assert_ne!(moved.address().await, OLD_ADDRESS);
        moved
    }

    async fn address(&self) -> String {
        self.zone.held("app").await.1
    }

    fn id(&self) -> &str {
        &self.migration.key.migration_id
    }

    async fn order(&self, emergency: bool) -> (u16, Value) {
        let order = json!({
            "migrationId": self.id(), "order": "rollback", "reason": "the month-end run fails", "emergency": emergency,
        });
        self.op.send(&self.stack, "orders", &order).await
    }

    /// Waits until the second attempt is as wanted.
    async fn until(&self, what: &str, there: impl Fn(&MigrationRecord) -> bool) -> MigrationRecord {
        poll::poll_for(
            LONG,
            &format!("{what} of {}", self.id()),
            async || match self.migration.record().await {
                Some(record) if record.attempt == 2 && there(&record) => Ok(record),
                other => Err(format!("{:?}", other.map(|it| (it.attempt, it.status)))),
            },
        )
        .await
    }

    async fn evidence(&self, wanted: EventType) -> Value {
        let history = self.migration.history().await;
        let mut entries = history.into_iter().filter(|it| it.detail.attempt == 2);
        let entry = entries.find(|it| it.event_type == wanted);
        let entry = entry.unwrap_or_else(|| panic!("no {wanted} of {}", self.id()));
        serde_json::to_value(entry.detail).expect("JSON")
    }
}

fn ended(record: &MigrationRecord) -> bool {
    record.status.is_end()
}

#[tokio::test]
async fn users_go_back_once_somebody_has_agreed() {
    let moved = Moved::new("agreed").await;
    let (status, said) = moved.order(false).await;
    assert_eq!((status, &said["attempt"]), (200, &json!(2)), "{said}");
    let asked = moved
        .until("the question", |it| it.gate(Gate::Rollback).is_some())
        .await;
    assert_eq!(asked.purpose, Purpose::Rollback);
    assert_ne!(moved.address().await, OLD_ADDRESS, "nobody has agreed yet");
    let (status, said) = moved
        .ann
        .answer(&moved.stack, moved.id(), "rollback", "approve")
        .await;
    assert_eq!((status, &said["granted"]), (200, &json!(true)), "{said}");
    let record = moved.until("the end", ended).await;
    assert_eq!(record.status, Status::RolledBack, "{:?}", record.failure);
    assert_eq!(moved.address().await, OLD_ADDRESS);
    // What cannot be undone is said: the target stays, and MGN has finalized.
    let told = moved
        .evidence(EventType::RollbackCompleted)
        .await
        .to_string();
    assert!(told.contains("FinalizeCutover"), "{told}");
    let cutover = record.done.cutover.expect("a cutover");
    let instance = cutover.instance_id.expect("its instance");
    assert_eq!(
        moved.stack.instance_state(&instance).await.as_deref(),
        Some("running")
    );
    assert_eq!(record.claims, Vec::<String>::new());
    // Again: there is nothing left to undo.
    assert_eq!(moved.order(false).await.0, 409);
}

#[tokio::test]
async fn an_emergency_asks_nobody_and_says_so() {
    let moved = Moved::new("emergency").await;
    assert_eq!(moved.order(true).await.0, 200);
    let record = moved.until("the end", ended).await;
    assert_eq!(record.status, Status::RolledBack, "{:?}", record.failure);
    assert_eq!(moved.address().await, OLD_ADDRESS);
    let started = moved.evidence(EventType::RollbackStarted).await;
    assert_eq!(started["reasonCode"], "EMERGENCY");
    assert_eq!(started["evidence"]["emergency"]["by"], moved.op.arn);
    let events = moved.migration.events().await;
    assert!(
        !events.contains(&EventType::ApprovalRequested),
        "{events:?}"
    );
}

#[tokio::test]
async fn a_refused_rollback_leaves_the_migration_as_it_had_ended() {
    let moved = Moved::new("refused").await;
    assert_eq!(moved.order(false).await.0, 200);
    moved
        .until("the question", |it| it.gate(Gate::Rollback).is_some())
        .await;
    let (status, said) = moved
        .ann
        .answer(&moved.stack, moved.id(), "rollback", "deny")
        .await;
    assert_eq!(status, 200, "{said}");
    let record = moved.until("the end", ended).await;
    assert_eq!((record.status, record.failure), (Status::Succeeded, None));
    assert_eq!(record.claims, Vec::<String>::new());
    assert_ne!(moved.address().await, OLD_ADDRESS);
    let denied = moved.evidence(EventType::ApprovalDenied).await;
    assert_eq!(denied["reasonCode"], "APPROVAL_DENIED");
    let told = moved.evidence(EventType::RollbackRefused).await;
    assert_eq!(told["to"], "SUCCEEDED");
    // Its retention begins anew.
    let arn = record.execution_arn.expect("an execution");
    poll::poll("the retention", async || {
        let states = workflow::entered(&moved.stack, &arn).await;
        if states.ends_with(&["Outcome".to_owned(), "Retention".to_owned()]) {
            Ok(())
        } else {
            Err(format!("{states:?}"))
        }
    })
    .await;
    // A person may still order it.
    assert_eq!(moved.order(true).await.0, 200);
    let last = poll::poll_for(LONG, "the third attempt", async || {
        match moved.migration.record().await {
            Some(record) if record.attempt == 3 && ended(&record) => Ok(record),
            other => Err(format!("{:?}", other.map(|it| (it.attempt, it.status)))),
        }
    })
    .await;
    assert_eq!(last.status, Status::RolledBack, "{:?}", last.failure);
    assert_eq!(moved.address().await, OLD_ADDRESS);
}
