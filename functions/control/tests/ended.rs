//! Orders to a migration that has ended, or that nobody goes on with.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::result_large_err,
    clippy::large_futures,
    reason = "helpers of tests"
)]

mod stage;
#[path = "../../../shared/common/tests/support/mod.rs"]
mod support;
#[path = "../../../shared/common/tests/support/tasks.rs"]
mod tasks;

use landfall_common::state::wait::WaitKind;
use landfall_domain::control::Purpose;
use landfall_domain::gate::{Gate, GateRecord};
use landfall_domain::{MigrationRecord, Status};
use serde_json::json;
use stage::Stage;
use support::{now, record};
use tasks::Ended;

#[tokio::test]
async fn undoing_an_end_takes_over_what_was_done_and_a_retry_does_not() {
    let stage = Stage::new(Status::Succeeded, None).await;
    assert_eq!(stage.order("rollback", false).await.0, 200);
    let next = stage.record().await;
    assert_eq!(
        (next.purpose, next.attempt, next.status),
        (Purpose::Rollback, 2, Status::Requested)
    );
    assert!(next.done.launch_template.is_some());
    assert_eq!(next.source_server_id.as_deref(), Some("s-mig-1"));
    assert_eq!(next.claims.len(), 1, "{:?}", next.claims);
    assert_eq!(stage.aws.published(), ["RollbackRequested"]);
    // Somebody else moves the server by now.
    let stage = Stage::new(Status::Succeeded, None).await;
    let mut other = record("mig-2", Status::Replicating);
    other.request.source_vm_id = "vm-mig-1".into();
    let other = stage.aws.put(other).await;
    let claim =
        landfall_common::state::claim::Claim::server("123456789012", "eu-central-1", "vm-mig-1");
    let key = support::key("mig-2");
    let taking = stage
        .aws
        .store()
        .look_at_claim(claim, &key)
        .await
        .unwrap()
        .unwrap();
    stage
        .aws
        .store()
        .save_taking(other, &[taking], now())
        .await
        .unwrap();
    let (code, said) = stage.order("rollback", true).await;
    assert_eq!(
        (code, &said["finding"]["code"]),
        (409, &json!("ALREADY_MIGRATING"))
    );
    let stage = Stage::new(Status::Failed, None).await;
    assert_eq!(stage.order("retry", false).await.0, 200);
    let next = stage.record().await;
    assert_eq!((next.purpose, next.attempt), (Purpose::Retry, 2));
    assert!(next.done.launch_template.is_none() && next.test_evidence.is_some());
}

#[tokio::test]
async fn what_left_nothing_to_undo_is_not_rolled_back() {
    let stage = Stage::new(Status::Succeeded, None).await;
    stage
        .aws
        .change("mig-1", |record| {
            record.done.finalized_at = Some("2026-11-21T11:30:00Z".into());
        })
        .await;
    let before = stage.seen().await;
    let (status, said) = stage.order("rollback", true).await;
    assert_eq!(
        (status, &said["finding"]["code"]),
        (409, &json!("NOTHING_TO_UNDO"))
    );
    let text = said["finding"]["message"].as_str().unwrap();
    assert!(text.contains("MGN FinalizeCutover at 2026-11-21"), "{text}");
    assert_eq!(stage.seen().await, before);
}

#[tokio::test]
async fn what_no_execution_drives_any_more_is_frozen_by_an_order_and_undone_by_the_next() {
    for (order, undoes) in [("cancel", false), ("rollback", false), ("rollback", true)] {
        let stage = Stage::new(Status::Finalizing, None).await;
        let change = |record: &mut MigrationRecord| {
            if undoes {
                record.purpose = Purpose::Rollback;
            } else {
                record.done.finalized_at = Some(now().to_string());
            }
        };
        stage.aws.change("mig-1", change).await;
        let arn = stage.record().await.execution_arn.unwrap();
        let died = Ended::Failed("FAILED".to_owned(), String::new());
        stage.tasks.lock().unwrap().insert(arn, died);
        let (code, said) = stage.order(order, false).await;
        assert_eq!((code, &said["status"]), (200, &json!("FROZEN")), "{said}");
        let (code, said) = stage.order("rollback", false).await;
        assert_eq!((code, &said["attempt"]), (200, &json!(2)), "{said}");
    }
}

#[tokio::test]
async fn an_emergency_after_the_refusal_is_told_to_come_again() {
    for refused in [false, true] {
        let stage = Stage::new(Status::Requested, Some(WaitKind::RollbackGate)).await;
        let gate = GateRecord {
            gate: Gate::Rollback,
            opened_at: now().to_string(),
            answers: Vec::new(),
            escalated_at: None,
            refused_at: refused.then(|| now().to_string()),
            granted_at: None,
        };
        let change = |record: &mut MigrationRecord| {
            record.purpose = Purpose::Rollback;
            record.gates = vec![gate.clone()];
        };
        stage.aws.change("mig-1", change).await;
        let (code, said) = stage.order("rollback", true).await;
        assert_eq!(code, if refused { 409 } else { 200 }, "{said}");
        let ordered = stage.record().await.control.emergency.is_some();
        assert_eq!(ordered, !refused);
    }
}
