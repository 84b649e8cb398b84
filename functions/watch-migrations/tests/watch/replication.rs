//! The wait for replication.

use jiff::ToSpan as _;
use landfall_domain::Status;

use crate::failed;
use crate::stage::Stage;
use crate::tasks::Ended;

#[tokio::test]
async fn replication_that_is_ready_at_once_is_seen_when_the_wait_opens() {
    let stage = Stage::replicating().await;
    stage.await_replication("token-1").await;
    let record = stage.aws.record("mig-1").await;
    assert_eq!(record.status, Status::ReadyForTest);
    assert_eq!(record.progress.unwrap().percent, Some(100));
    assert_eq!(stage.aws.happened("mig-1").await, ["ReplicationHealthy"]);
    assert!(matches!(stage.task(), Some(Ended::Succeeded(_))));
}

#[tokio::test]
async fn a_lag_saves_its_progress_once_and_completes_when_it_is_gone() {
    let stage = Stage::replicating().await;
    stage.server(|server| {
        server.lag = Some("PT1H".into());
        server.replicated = 40;
    });
    stage.await_replication("token-1").await;
    let progress = stage.aws.record("mig-1").await.progress.unwrap();
    assert_eq!(
        (progress.percent, progress.lag_seconds),
        (Some(40), Some(3600))
    );
    let writes = stage.aws.calls.count("TransactWriteItems");
    stage.sweep().await.unwrap();
    assert_eq!(
        stage.aws.calls.count("TransactWriteItems"),
        writes,
        "nothing is new"
    );
    assert_eq!(stage.task(), None);
    stage.server(|server| server.lag = Some("PT0S".into()));
    stage.sweep().await.unwrap();
    assert!(matches!(stage.task(), Some(Ended::Succeeded(_))));
    assert_eq!(stage.aws.happened("mig-1").await, ["ReplicationHealthy"]);
}

#[tokio::test]
async fn after_another_key_only_a_later_snapshot_is_ready() {
    let stage = Stage::replicating().await;
    let mut record = stage.aws.record("mig-1").await;
    record.done.encryption_key = Some(landfall_domain::record::EncryptionKeyChange {
        previous: None,
        key: "arn:new".into(),
        changed_at: "2026-11-21T11:30:00Z".into(),
    });
    let saved = stage.aws.store().save(record, crate::support::now()).await;
    saved.unwrap();
    // MGN has not begun anew, and shows what was replicated with the key before.
    stage.server(|server| server.snapshot = Some("2026-11-21T11:29:59+00:00".into()));
    stage.await_replication("token-1").await;
    assert_eq!(stage.task(), None);
    assert!(stage.aws.happened("mig-1").await.is_empty());
    stage.server(|server| {
        server.state = "INITIAL_SYNC".into();
        (server.lag, server.snapshot) = (None, None);
    });
    stage.sweep().await.unwrap();
    assert_eq!(stage.task(), None);
    stage.server(|server| {
        server.state = "CONTINUOUS".into();
        server.lag = Some("PT0S".into());
        server.snapshot = Some("2026-11-21T11:50:00.123+00:00".into());
    });
    stage.sweep().await.unwrap();
    assert!(matches!(stage.task(), Some(Ended::Succeeded(_))));
    assert_eq!(stage.aws.happened("mig-1").await, ["ReplicationHealthy"]);
}

#[tokio::test]
async fn a_stall_is_told_when_it_begins_when_it_is_over_and_again_after_that() {
    let stage = Stage::replicating().await;
    stage.server(|server| {
        server.state = "STALLED".into();
        server.error = Some("NOT_CONVERGING".into());
    });
    stage.await_replication("token-1").await;
    stage.sweep().await.unwrap();
    stage.sweep().await.unwrap();
    assert_eq!(stage.aws.happened("mig-1").await, ["ReplicationStalled"]);
    let (_, detail) = stage.aws.events.lock().unwrap()[0].clone();
    assert_eq!(detail["reasonCode"], "NOT_CONVERGING");
    assert_eq!(detail["evidence"]["handling"], "tell");
    let remedy = detail["evidence"]["remedy"].as_str().unwrap();
    assert!(remedy.contains("replication server"), "{remedy}");
    let stall = stage.aws.record("mig-1").await.progress.unwrap().stall;
    assert_eq!(stall.unwrap().error, "NOT_CONVERGING");
    stage.server(|server| server.state = "RESCAN".into());
    stage.sweep().await.unwrap();
    assert_eq!(
        stage.aws.record("mig-1").await.progress.unwrap().stall,
        None
    );
    stage.server(|server| server.state = "STALLED".into());
    stage.sweep().await.unwrap();
    assert_eq!(
        stage.aws.happened("mig-1").await,
        [
            "ReplicationStalled",
            "ReplicationResumed",
            "ReplicationStalled"
        ]
    );
    assert_eq!(stage.task(), None);
    assert!(stage.account.lock().unwrap().retried.is_empty());
}

#[tokio::test]
async fn a_stall_that_lasts_is_retried_three_times_and_then_told_again() {
    let stage = Stage::replicating().await;
    stage.server(|server| {
        server.state = "STALLED".into();
        server.error = Some("UNSTABLE_NETWORK".into());
    });
    stage.await_replication("token-1").await;
    let start = crate::support::now();
    for minutes in 0..=300 {
        let at = start + minutes.minutes();
        stage.sweep_at(&at.to_string()).await.unwrap();
    }
    let retried = "ReplicationRetried";
    assert_eq!(
        stage.aws.happened("mig-1").await,
        [
            "ReplicationStalled",
            retried,
            retried,
            retried,
            "ReplicationStalled"
        ]
    );
    assert_eq!(stage.account.lock().unwrap().retried, ["s-mig-1"; 3]);
    assert_eq!(stage.task(), None, "it may still recover");
    stage.server(|server| {
        server.state = "CONTINUOUS".into();
        server.error = None;
    });
    stage.sweep().await.unwrap();
    assert!(matches!(stage.task(), Some(Ended::Succeeded(_))));
}

#[tokio::test]
async fn an_error_that_no_waiting_mends_stops_at_once() {
    let stage = Stage::replicating().await;
    stage.server(|server| {
        server.state = "STALLED".into();
        server.error = Some("UNSUPPORTED_VM_CONFIGURATION".into());
    });
    stage.await_replication("token-1").await;
    let (name, cause) = failed(stage.task());
    assert_eq!(name, "MigrationExecutionError");
    assert!(cause.contains("UNSUPPORTED_VM_CONFIGURATION"), "{cause}");
    assert!(cause.contains("install the agent"), "{cause}");
}

#[tokio::test]
async fn what_waiting_cannot_mend_fails_the_task() {
    let stage = Stage::replicating().await;
    stage.server(|server| server.state = "DISCONNECTED".into());
    stage.await_replication("token-1").await;
    let (name, cause) = failed(stage.task());
    assert_eq!(name, "MigrationExecutionError");
    assert!(cause.contains("reinstall the replication agent"), "{cause}");
    assert!(cause.contains("SERVER_DISCONNECTED"), "{cause}");

    let stage = Stage::replicating().await;
    stage.account.lock().unwrap().servers.clear();
    stage.await_replication("token-1").await;
    let (name, cause) = failed(stage.task());
    assert_eq!(name, "MigrationExecutionError");
    assert!(cause.contains("no longer knows"), "{cause}");
}
