//! The state manager's records and history against a real table.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::ToSpan as _;
use landfall_common::Key;
use landfall_common::state::{Change, verify_history};
use landfall_domain::{ErrorName, EventType, MigrationRecord, Status};
use landfall_e2e::poll;
use landfall_e2e::table::{Table, noon, requested};

fn validating() -> Change {
    Change::to(Status::Validating, EventType::ValidationPassed)
}

#[tokio::test]
async fn a_migration_is_created_once() {
    let table = Table::new().await;
    let record = table.created("once").await;
    assert_eq!((record.version, record.event_seq), (1, 1));
    let key = Key::of(&record);
    let before = table.items(&key).await;
    assert_eq!(table.store.get(&key).await.expect("get"), Some(record));

    let again = table
        .store
        .create(table.record("once"), &requested(), noon())
        .await;
    assert_eq!(
        again.expect_err("a second create").name,
        ErrorName::Conflict
    );
    assert_eq!(table.items(&key).await, before);
    table.drop().await;
}

#[tokio::test]
async fn of_two_writers_one_wins_and_the_other_writes_nothing() {
    let table = Table::new().await;
    let stale = table.created("race").await;
    let key = Key::of(&stale);
    let winner = table
        .store
        .transition(stale.clone(), &validating(), noon())
        .await;
    let (winner, detail) = winner.expect("a transition");
    assert_eq!(
        (detail.from, detail.to),
        (Some(Status::Requested), Status::Validating)
    );

    let before = table.items(&key).await;
    let loser = table
        .store
        .transition(stale.clone(), &validating(), noon())
        .await;
    assert_eq!(
        loser.expect_err("a stale version").name,
        ErrorName::Conflict
    );
    let loser = table.store.save(stale, noon()).await;
    assert_eq!(
        loser.expect_err("a stale version").name,
        ErrorName::Conflict
    );
    assert_eq!(table.items(&key).await, before);
    assert_eq!(table.store.require(&key).await.expect("the record"), winner);
    table.drop().await;
}

#[tokio::test]
async fn an_illegal_transition_writes_nothing() {
    let table = Table::new().await;
    let record = table.created("illegal").await;
    let key = Key::of(&record);
    let before = table.items(&key).await;
    let change = Change::to(Status::CuttingOver, EventType::CutoverLaunchStarted);
    let error = table.store.transition(record, &change, noon()).await;
    let error = error.expect_err("an illegal transition");
    assert_eq!(error.name, ErrorName::InternalError);
    assert!(
        error.message.contains("REQUESTED") && error.message.contains("CUTTING_OVER"),
        "{error}"
    );
    assert_eq!(table.items(&key).await, before);
    table.drop().await;
}

#[tokio::test]
async fn the_history_shows_who_altered_it() {
    let table = Table::new().await;
    let mut record = table.created("history").await;
    let key = Key::of(&record);
    for (to, event) in [
        (Status::Validating, EventType::ValidationPassed),
        (Status::Preparing, EventType::PreparationStarted),
        (Status::Failed, EventType::MigrationFailed),
    ] {
        let written = table
            .store
            .transition(record, &Change::to(to, event), noon())
            .await;
        record = written.expect("a transition").0;
    }
    let history = table.store.history(&key).await.expect("history");
    assert_eq!(history.len(), 4);
    assert_eq!(verify_history(&history), Ok(()));
    assert_eq!(
        history.last().map(|entry| &entry.hash),
        Some(&record.event_hash)
    );

    // Somebody with access to the table makes the past nicer than it was.
    let update = table.stack.dynamodb.update_item().table_name(&table.name);
    let update = update
        .key("pk", AttributeValue::S(key.pk()))
        .key("sk", AttributeValue::S("EVENT#000002".into()))
        .update_expression("SET detail.#to = :to")
        .expression_attribute_names("#to", "to")
        .expression_attribute_values(":to", AttributeValue::S("SUCCEEDED".into()));
    update.send().await.expect("UpdateItem");
    let altered = table.store.history(&key).await.expect("history");
    assert_eq!(verify_history(&altered), Err(2));
    // An entry that is gone shows as the place where the next one does not fit.
    let gap: Vec<_> = history
        .iter()
        .filter(|entry| entry.seq != 3)
        .cloned()
        .collect();
    assert_eq!(verify_history(&gap), Err(4));
    table.drop().await;
}

#[tokio::test]
async fn another_attempt_goes_on_with_the_history() {
    let table = Table::new().await;
    let first = table.created("again").await;
    let key = Key::of(&first);
    let failed = Change::to(Status::Failed, EventType::MigrationFailed);
    let (ended, _) = table
        .store
        .transition(first, &failed, noon())
        .await
        .expect("an end");
    assert!(ended.ended_at.is_some());

    let mut next = table.record("again");
    next.attempt = 2;
    let started = table
        .store
        .start_attempt(&ended, next.clone(), &requested(), noon())
        .await;
    let (started, detail) = started.expect("a second attempt");
    assert_eq!(
        (started.status, started.attempt, started.event_seq),
        (Status::Requested, 2, 3)
    );
    assert_eq!((detail.from, detail.attempt), (Some(Status::Failed), 2));
    assert_eq!(started.ended_at, None);
    let history = table.store.history(&key).await.expect("history");
    assert_eq!((history.len(), verify_history(&history)), (3, Ok(())));

    let twice = table
        .store
        .start_attempt(&ended, next, &requested(), noon())
        .await;
    assert_eq!(
        twice.expect_err("a third attempt").name,
        ErrorName::Conflict
    );
    table.drop().await;
}

#[tokio::test]
async fn a_migration_whose_record_expired_goes_on_with_its_history() {
    let table = Table::new().await;
    let first = table.created("expired").await;
    let key = Key::of(&first);
    let failed = Change::to(Status::Failed, EventType::MigrationFailed);
    let ended = table.store.transition(first, &failed, noon()).await;
    let (ended, _) = ended.expect("an end");
    table.forget(&key).await;

    let again = table.created("expired").await;
    assert_eq!(
        (again.status, again.attempt, again.event_seq),
        (Status::Requested, ended.attempt + 1, ended.event_seq + 1)
    );
    let history = table.store.history(&key).await.expect("history");
    assert_eq!((history.len(), verify_history(&history)), (3, Ok(())));
    let twice = table
        .store
        .create(table.record("expired"), &requested(), noon())
        .await;
    assert_eq!(twice.expect_err("a third create").name, ErrorName::Conflict);
    table.drop().await;
}

#[tokio::test]
async fn migrations_are_found_by_wave_by_application_and_by_status() {
    let table = Table::new().await;
    let (one, two) = (table.created("one").await, table.created("two").await);
    let later = noon() + 1.minute();
    table
        .store
        .transition(two, &validating(), later)
        .await
        .expect("a transition");
    let (wave, app) = (one.request.wave.as_str(), one.request.app_name.as_str());
    let tenant = one.tenant_id.as_str();
    let ids = |found: Vec<MigrationRecord>| -> Vec<String> {
        let mut ids: Vec<_> = found
            .into_iter()
            .map(|record| record.migration_id)
            .collect();
        ids.sort();
        ids
    };
    let (id_one, id_two) = ("e2e-state-one".to_owned(), "e2e-state-two".to_owned());
    let both = [id_one.clone(), id_two.clone()];

    // The indexes are eventually consistent.
    poll("both in the wave", async || {
        let found = ids(table
            .store
            .by_wave(tenant, wave, None)
            .await
            .expect("by_wave"));
        if found == both {
            Ok(())
        } else {
            Err(format!("{found:?}"))
        }
    })
    .await;
    assert_eq!(
        ids(table.store.by_app(tenant, app, None).await.expect("by_app")),
        both
    );
    for (status, expected) in [
        (Status::Requested, vec![id_one]),
        (Status::Validating, vec![id_two]),
        (Status::Failed, vec![]),
    ] {
        let status_of = Some(status);
        let by_wave = table
            .store
            .by_wave(tenant, wave, status_of)
            .await
            .expect("by_wave");
        assert_eq!(ids(by_wave), expected, "{status} by wave");
        let by_app = table
            .store
            .by_app(tenant, app, status_of)
            .await
            .expect("by_app");
        assert_eq!(ids(by_app), expected, "{status} by application");
        let by_status = table
            .store
            .by_status(tenant, status)
            .await
            .expect("by_status");
        assert_eq!(ids(by_status), expected, "{status} by status");
    }
    assert!(
        table
            .store
            .by_wave("another", wave, None)
            .await
            .expect("by_wave")
            .is_empty()
    );
    table.drop().await;
}
