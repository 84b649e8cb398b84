//! What a migration has for itself, against a real table.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

use landfall_common::Key;
use landfall_common::state::Change;
use landfall_common::state::claim::{Claim, Taking};
use landfall_domain::{ErrorName, EventType, MigrationRecord, StageError, Status};
use landfall_e2e::table::{Table, noon};

fn server() -> Claim {
    Claim::server("123456789012", "eu-central-1", "vm-1")
}

/// What a migration may take, or who is in its way.
async fn look(table: &Table, record: &MigrationRecord) -> Result<Taking, String> {
    let own = Key::of(record);
    let seen = table.store.look_at_claim(server(), &own).await;
    seen.expect("a look")
        .map_err(|rival| rival.holder.key.migration_id)
}

async fn pass(
    table: &Table,
    record: &MigrationRecord,
    taking: Taking,
) -> Result<MigrationRecord, StageError> {
    let change = Change::to(Status::Validating, EventType::ValidationPassed).taking(vec![taking]);
    let written = table
        .store
        .transition(record.clone(), &change, noon())
        .await;
    written.map(|(record, _)| record)
}

async fn end(table: &Table, record: MigrationRecord, status: Status) -> MigrationRecord {
    let change = Change::to(status, EventType::MigrationFailed);
    let written = table.store.transition(record, &change, noon()).await;
    written.expect("an end").0
}

#[tokio::test]
async fn of_two_that_look_at_the_same_time_one_goes_on() {
    let table = Table::new().await;
    let (one, two) = (table.created("one").await, table.created("two").await);
    let (first, second) = (look(&table, &one).await, look(&table, &two).await);
    let one = pass(&table, &one, first.expect("free"))
        .await
        .expect("the first passes");
    assert_eq!(one.claims, [server().as_str()]);
    let lost = pass(&table, &two, second.expect("free")).await;
    assert_eq!(lost.expect_err("the second").name, ErrorName::Conflict);
    let stored = table.store.get(&Key::of(&two)).await.expect("get");
    assert_eq!(stored, Some(two.clone()), "the loser wrote nothing");
    assert_eq!(look(&table, &two).await, Err(one.migration_id.clone()));
    // Its own claim is in nobody's way: a pre-flight may run again.
    assert!(look(&table, &one).await.is_ok());
    table.drop().await;
}

#[tokio::test]
async fn the_end_gives_it_back() {
    let table = Table::new().await;
    let (one, two) = (table.created("one").await, table.created("two").await);
    let taking = look(&table, &one).await.expect("free");
    let one = pass(&table, &one, taking).await.expect("a pass");
    let ended = end(&table, one, Status::Failed).await;
    assert!(ended.claims.is_empty());
    let taking = look(&table, &two).await.expect("free again");
    assert_eq!(taking.from, None);
    pass(&table, &two, taking).await.expect("the other passes");
    table.drop().await;
}

#[tokio::test]
async fn what_a_frozen_migration_had_is_taken_over_knowingly() {
    let table = Table::new().await;
    let (one, two) = (table.created("one").await, table.created("two").await);
    let taking = look(&table, &one).await.expect("free");
    let one = pass(&table, &one, taking).await.expect("a pass");
    end(&table, one, Status::Frozen).await;
    let taking = look(&table, &two).await.expect("a person submitted it");
    assert!(taking.frozen);
    let two = pass(&table, &two, taking).await.expect("a pass");
    end(&table, two, Status::Failed).await;
    let three = table.created("three").await;
    let taking = look(&table, &three).await.expect("free");
    assert_eq!((taking.from, taking.frozen), (None, false));
    table.drop().await;
}

#[tokio::test]
async fn what_a_forgotten_migration_had_can_be_taken_once() {
    let table = Table::new().await;
    let gone = table.created("gone").await;
    let taking = look(&table, &gone).await.expect("free");
    pass(&table, &gone, taking).await.expect("a pass");
    table.forget(&Key::of(&gone)).await;

    let (one, two) = (table.created("one").await, table.created("two").await);
    let (first, second) = (look(&table, &one).await, look(&table, &two).await);
    let first = first.expect("nobody's any more");
    assert_eq!(
        first.from.as_ref().map(|holder| &holder.key),
        Some(&Key::of(&gone))
    );
    pass(&table, &one, first).await.expect("the first");
    let lost = pass(&table, &two, second.expect("nobody's")).await;
    assert_eq!(lost.expect_err("the second").name, ErrorName::Conflict);
    table.drop().await;
}
