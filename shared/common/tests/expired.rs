//! What the state manager leaves behind, and what it finds when the time to live has taken a record.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a helper of a test fails as the test does"
)]

#[path = "support/mod.rs"]
mod support;

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::ToSpan as _;
use landfall_common::state::wait::{Phase, Wait, WaitKind};
use landfall_common::state::{Change, RETENTION_DAYS, verify_history};
use landfall_domain::{ErrorName, EventType, MigrationRecord, Status};
use support::{Aws, key, now, record};

fn requested() -> Change {
    Change::to(Status::Requested, EventType::MigrationRequested)
}

/// A migration that failed, and whose record has expired since.
async fn expired(aws: &Aws) -> MigrationRecord {
    let mut first = record("mig-1", Status::Requested);
    first.attempt = 2;
    let first = aws.put(first).await;
    let failed = Change::to(Status::Failed, EventType::MigrationFailed);
    let (ended, _) = aws.store().transition(first, &failed, now()).await.unwrap();
    let state = (key("mig-1").pk(), "STATE".to_owned());
    let item = aws.items.lock().unwrap().remove(&state).unwrap();
    assert_eq!(item["expiresAt"], expiry(&ended.ended_at.clone().unwrap()));
    ended
}

/// The time to live of something that ended or began at a time.
fn expiry(at: &str) -> AttributeValue {
    let at: jiff::Timestamp = at.parse().unwrap();
    let expires = at + (RETENTION_DAYS * 24).hours();
    AttributeValue::N(expires.as_second().to_string())
}

#[tokio::test]
async fn a_migration_whose_record_expired_goes_on_with_its_history() {
    let aws = Aws::default();
    let ended = expired(&aws).await;
    let again = record("mig-1", Status::Requested);
    let (created, detail) = aws
        .store()
        .create(again.clone(), &requested(), now())
        .await
        .unwrap();
    assert_eq!(created.event_seq, ended.event_seq + 1);
    assert_eq!((created.attempt, detail.attempt), (3, 3));
    assert_eq!((created.version, detail.from), (1, None));
    let history = aws.store().history(&key("mig-1")).await.unwrap();
    assert_eq!((history.len(), verify_history(&history)), (3, Ok(())));
    assert_eq!(history[2].hash, created.event_hash);

    // And from here on as any other.
    let before = aws.items.lock().unwrap().clone();
    let twice = aws.store().create(again, &requested(), now()).await;
    assert_eq!(twice.unwrap_err().name, ErrorName::Conflict);
    assert_eq!(*aws.items.lock().unwrap(), before);
}

#[tokio::test]
async fn a_migration_that_is_there_is_not_created_again() {
    let aws = Aws::default();
    aws.put(record("mig-1", Status::Requested)).await;
    let before = aws.items.lock().unwrap().clone();
    let again = record("mig-1", Status::Requested);
    let error = aws.store().create(again, &requested(), now()).await;
    assert_eq!(error.unwrap_err().name, ErrorName::Conflict);
    assert_eq!(*aws.items.lock().unwrap(), before);
}

#[tokio::test]
async fn a_new_migration_takes_one_call() {
    let aws = Aws::default();
    let journal = aws.journal();
    let new = record("mig-1", Status::Requested);
    journal
        .store
        .create(new, &requested(), now())
        .await
        .unwrap();
    assert_eq!(aws.calls.made(), ["TransactWriteItems"]);
}

#[tokio::test]
async fn a_closed_launch_does_not_keep_its_task_token_for_ever() {
    let aws = Aws::default();
    let store = aws.store();
    let launch = |kind| Wait {
        retry_count: 0,
        key: key("mig-1"),
        attempt: 1,
        correlation_id: "c-1".into(),
        kind,
        phase: Phase::Pending,
        task_token: "token".into(),
        due_at: (now() + 1.hour()).to_string(),
        created_at: now().to_string(),
        source_vm_id: "vm-1".into(),
        source_server_id: None,
        account: None,
        command: None,
        policy: landfall_domain::request::Policy::default(),
        intent_id: None,
        job_id: None,
        held: None,
        intents: Vec::new(),
        claimed_at: None,
        paused_at: None,
        closed: false,
        barred: false,
    };
    let expires = |sk: &str| {
        let items = aws.items.lock().unwrap();
        items[&(key("mig-1").pk(), sk.to_owned())]
            .get("expiresAt")
            .cloned()
    };
    let (test, cutover) = (
        launch(WaitKind::TestLaunch),
        launch(WaitKind::CutoverLaunch),
    );
    store.open_launch(&test).await.unwrap();
    store.open_launch(&cutover).await.unwrap();
    assert_eq!(expires("INTENT#TEST#1"), None);
    assert!(store.close_wait(&test).await.unwrap());
    assert_eq!(expires("INTENT#TEST#1"), Some(expiry(&test.created_at)));
    assert_eq!(expires("INTENT#CUTOVER#1"), None);
    store.close_all_waits(&key("mig-1")).await.unwrap();
    assert_eq!(
        expires("INTENT#CUTOVER#1"),
        Some(expiry(&cutover.created_at))
    );
    // A doubled message still finds it closed.
    assert!(store.open_launch(&test).await.unwrap().closed);
}
