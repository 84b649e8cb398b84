//! The state manager's waits, launches and leases against a real table.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

use jiff::ToSpan as _;
use landfall_common::Key;
use landfall_common::state::wait::{Phase, Wait, WaitKind};
use landfall_domain::MigrationRecord;
use landfall_domain::request::Policy;
use landfall_e2e::table::{Table, noon};

fn wait(record: &MigrationRecord, kind: WaitKind, token: &str) -> Wait {
    let launch = kind.action().is_some();
    Wait {
        key: Key::of(record),
        attempt: record.attempt,
        correlation_id: record.correlation_id.clone(),
        kind,
        phase: if launch {
            Phase::Pending
        } else {
            Phase::Waiting
        },
        task_token: token.to_owned(),
        retry_count: 0,
        due_at: "2026-11-21T14:00:00Z".into(),
        created_at: noon().to_string(),
        source_vm_id: record.request.source_vm_id.clone(),
        source_server_id: Some("s-0123456789abcdef0".into()),
        account: None,
        command: None,
        policy: Policy::default(),
        intent_id: None,
        job_id: None,
        held: None,
        intents: Vec::new(),
        claimed_at: None,
        paused_at: None,
        closed: false,
        barred: false,
    }
}

#[tokio::test]
async fn a_wait_is_open_until_its_own_token_is_used() {
    let table = Table::new().await;
    let record = table.created("wait").await;
    let old = wait(&record, WaitKind::Replication, "old");
    let new = Wait {
        retry_count: 1,
        ..wait(&record, WaitKind::Replication, "new")
    };
    assert!(table.store.open_wait(&old).await.expect("open"));
    assert!(table.store.open_wait(&new).await.expect("open again"));
    assert!(!table.store.open_wait(&old).await.expect("a late one"));

    // The sweep read the old one before the retried state replaced it.
    assert!(!table.store.close_wait(&old).await.expect("close"));
    let waits = table.store.waits(Phase::Waiting).await.expect("waits");
    assert_eq!(waits, std::slice::from_ref(&new));
    assert!(table.store.close_wait(&new).await.expect("close"));
    assert!(
        table
            .store
            .waits(Phase::Waiting)
            .await
            .expect("waits")
            .is_empty()
    );
    assert!(!table.store.close_wait(&new).await.expect("close twice"));
    table.drop().await;
}

#[tokio::test]
async fn a_launch_is_claimed_by_one_batch_and_never_starts_twice() {
    let table = Table::new().await;
    let record = table.created("launch").await;
    let launch = wait(&record, WaitKind::TestLaunch, "token");
    let store = &table.store;
    store.open_launch(&launch).await.expect("open");
    assert_eq!(
        store.waits(Phase::Pending).await.expect("waits"),
        std::slice::from_ref(&launch)
    );

    assert!(
        store
            .claim_launch(&launch, "batch-1", noon())
            .await
            .expect("claim")
    );
    assert!(
        !store
            .claim_launch(&launch, "batch-2", noon())
            .await
            .expect("claim by another")
    );
    assert!(
        !store
            .release_launch(&launch, "batch-2")
            .await
            .expect("release by another")
    );
    assert!(
        store
            .release_launch(&launch, "batch-1")
            .await
            .expect("release")
    );
    assert!(
        store
            .claim_launch(&launch, "batch-2", noon())
            .await
            .expect("claim after release")
    );

    assert!(
        store
            .launch_started(&launch, "mgnjob-1", noon() + 3.hours())
            .await
            .expect("start")
    );
    assert!(store.waits(Phase::Pending).await.expect("waits").is_empty());
    let waiting = store.waits(Phase::Waiting).await.expect("waits");
    assert_eq!(waiting.len(), 1);
    assert_eq!(
        waiting.first().and_then(|wait| wait.job_id.as_deref()),
        Some("mgnjob-1")
    );

    // A later try of the state brings its token, and starts nothing.
    let later = Wait {
        retry_count: 1,
        ..wait(&record, WaitKind::TestLaunch, "later")
    };
    let found = store.open_launch(&later).await.expect("open again");
    assert_eq!(found.job_id.as_deref(), Some("mgnjob-1"));
    assert_eq!(found.task_token, "later");
    let found = store.open_launch(&launch).await.expect("a late one");
    assert_eq!(found.task_token, "later");

    assert!(store.close_wait(&later).await.expect("close"));
    assert!(store.waits(Phase::Waiting).await.expect("waits").is_empty());
    // A doubled message finds the closed launch and opens nothing.
    let found = store.open_launch(&launch).await.expect("open again");
    assert!(found.closed);
    assert_eq!(found.job_id.as_deref(), Some("mgnjob-1"));
    assert!(
        !store
            .claim_launch(&launch, "batch-3", noon())
            .await
            .expect("claim of a closed one")
    );
    table.drop().await;
}

#[tokio::test]
async fn a_rollback_closes_everything_of_its_migration_alone() {
    let table = Table::new().await;
    let (record, other) = (table.created("mine").await, table.created("other").await);
    let store = &table.store;
    store
        .open_wait(&wait(&record, WaitKind::Agent, "a"))
        .await
        .expect("open");
    store
        .open_launch(&wait(&record, WaitKind::TestLaunch, "b"))
        .await
        .expect("open");
    let theirs = wait(&other, WaitKind::CutoverLaunch, "c");
    store.open_launch(&theirs).await.expect("open");

    let closed = store
        .close_all_waits(&Key::of(&record))
        .await
        .expect("close all");
    assert_eq!(closed.len(), 2);
    assert!(store.waits(Phase::Waiting).await.expect("waits").is_empty());
    assert_eq!(store.waits(Phase::Pending).await.expect("waits"), [theirs]);
    let launch = wait(&record, WaitKind::TestLaunch, "b");
    assert!(
        !store
            .claim_launch(&launch, "batch", noon())
            .await
            .expect("claim")
    );
    assert!(store.open_launch(&launch).await.expect("open again").closed);
    table.drop().await;
}

#[tokio::test]
async fn a_lease_has_one_owner_at_a_time() {
    let table = Table::new().await;
    let store = &table.store;
    let name = "launch#000000000000#us-east-1";
    let (first, second) = tokio::join!(
        store.take_lease(name, "one", 60, noon()),
        store.take_lease(name, "two", 60, noon()),
    );
    let (first, second) = (first.expect("a lease"), second.expect("a lease"));
    assert!(first.is_some() != second.is_some(), "{first:?} {second:?}");
    let (held, owner, other) = match (first, second) {
        (Some(held), None) => (held, "one", "two"),
        (None, Some(held)) => (held, "two", "one"),
        both => panic!("{both:?}"),
    };

    // Its owner may renew it, nobody else take it; after its time anybody may.
    let renewed = store
        .take_lease(name, owner, 60, noon() + 30.seconds())
        .await;
    assert!(renewed.expect("a renewal").is_some());
    let early = store
        .take_lease(name, other, 60, noon() + 80.seconds())
        .await;
    assert_eq!(early.expect("a refusal"), None);
    let late = store
        .take_lease(name, other, 60, noon() + 91.seconds())
        .await;
    let late = late.expect("a lease").expect("an expired lease is free");

    // Whoever lost it gives nothing back.
    store.release_lease(&held).await.expect("release");
    let taken = store
        .take_lease(name, owner, 60, noon() + 92.seconds())
        .await;
    assert_eq!(taken.expect("a refusal"), None);
    store.release_lease(&late).await.expect("release");
    let freed = store
        .take_lease(name, owner, 60, noon() + 92.seconds())
        .await;
    assert!(freed.expect("a lease").is_some());
    table.drop().await;
}
