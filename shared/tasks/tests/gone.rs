//! What is handed over of a migration whose execution has ended and it has not, with the table and Step Functions in memory.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::result_large_err,
    clippy::large_futures,
    reason = "helpers of tests"
)]

#[path = "../../common/tests/support/mod.rs"]
mod support;
#[path = "../../common/tests/support/tasks.rs"]
mod tasks;

use std::sync::{Arc, Mutex};

use jiff::ToSpan as _;
use landfall_common::state::wait::{Wait, WaitKind};
use landfall_domain::record::PreviousStatus;
use landfall_domain::rollback::{Outcome, Progress};
use landfall_domain::{MigrationRecord, StageError, Status};
use landfall_tasks::{bury, freeze_if_gone};
use serde_json::json;

use support::{Aws, EXECUTION, Fault, key, now, record};
use tasks::{Ended, Tasks};

/// A migration whose source is off and whose factory knows of it, and whose execution was stopped.
struct Stage {
    aws: Aws,
    tasks: Arc<Mutex<Tasks>>,
    wait: Wait,
}

impl Stage {
    async fn new(change: impl FnOnce(&mut MigrationRecord)) -> Self {
        let aws = Aws::default();
        let mut moving = record("mig-1", Status::Finalizing);
        moving.done.source_powered_off_at = Some(now().to_string());
        moving.done.cmf = Some(PreviousStatus {
            id: "7".into(),
            previous: "Ready".into(),
        });
        change(&mut moving);
        let moving = aws.put(moving).await;
        let token = ("token-1".to_owned(), 0);
        let wait = Wait::of(&moving, WaitKind::FinalizeGate, token, now(), now());
        assert!(aws.store().open_wait(&wait).await.unwrap());
        let ended = Ended::Failed("ABORTED".into(), String::new());
        let tasks = Tasks::from([(EXECUTION.to_owned(), ended)]);
        Self {
            aws,
            tasks: Arc::new(Mutex::new(tasks)),
            wait,
        }
    }

    /// By the sweep, which finds the wait, or by an order.
    async fn find(&self, by_order: bool) -> Result<(), StageError> {
        let (journal, sfn) = (self.aws.journal(), tasks::sfn(&self.tasks, &self.aws.calls));
        if !by_order {
            return bury(&journal, &sfn, &self.wait, now()).await;
        }
        let record = self.aws.record("mig-1").await;
        if record.status.is_end() {
            return Ok(());
        }
        freeze_if_gone(&journal, &sfn, record, now()).await?;
        Ok(())
    }
}

fn half_way(record: &mut MigrationRecord) {
    let mut progress = Progress {
        started_at: now().to_string(),
        ..Progress::default()
    };
    let soon = now() + 5.seconds();
    let started = Outcome::Did("vm-1 was started".to_owned());
    progress.done("POWER_ON_SOURCE", &started, now(), soon);
    record.rollback = Some(progress);
}

#[tokio::test]
async fn a_rollback_that_was_stopped_says_what_is_done_what_is_not_and_what_to_do() {
    for by_order in [false, true] {
        let stage = Stage::new(half_way).await;
        for _ in 0..2 {
            stage.find(by_order).await.unwrap();
        }
        let record = stage.aws.record("mig-1").await;
        assert_eq!(record.status, Status::Frozen);
        assert_eq!(stage.aws.happened("mig-1").await, ["MigrationFrozen"]);
        let told = record.hand_over.unwrap();
        assert!(
            told.because.contains("in the middle of it (ABORTED)"),
            "{told:?}"
        );
        assert_eq!(told.done[0].compensation, "POWER_ON_SOURCE");
        assert_eq!(told.done[0].said, "vm-1 was started");
        let left: Vec<_> = told.not_done.iter().map(|it| &*it.compensation).collect();
        assert_eq!(left, ["RESTORE_CMF"]);
        assert_eq!(told.by_hand.len(), 1, "{told:?}");
        let events = stage.aws.events.lock().unwrap();
        let (_, detail) = events.last().unwrap();
        assert_eq!(detail["reasonCode"], "EXECUTION_GONE");
        let evidence = &detail["evidence"];
        assert_eq!(
            (&evidence["execution"], &evidence["status"]),
            (&json!("ABORTED"), &json!("FINALIZING"))
        );
        assert_eq!(evidence["notDone"], json!(left));
        assert_eq!(evidence["handOver"], told.text());
    }
}

#[tokio::test]
async fn one_that_was_stopped_before_its_rollback_says_that_nothing_is_undone() {
    let stage = Stage::new(|_| ()).await;
    stage.find(false).await.unwrap();
    let told = stage.aws.record("mig-1").await.hand_over.unwrap();
    assert!(
        told.because.contains("before it began (ABORTED)"),
        "{told:?}"
    );
    let left: Vec<_> = told.not_done.iter().map(|it| &*it.compensation).collect();
    assert_eq!(
        (told.done.len(), left),
        (0, vec!["POWER_ON_SOURCE", "RESTORE_CMF"])
    );
}

#[tokio::test]
async fn every_call_may_fail_once_and_it_is_frozen_once() {
    for by_order in [false, true] {
        let calls = {
            let stage = Stage::new(half_way).await;
            stage.find(by_order).await.unwrap();
            stage.aws.calls.made()
        };
        for (nth, call) in calls.iter().enumerate() {
            for fault in Fault::ALL {
                let case = format!("{by_order} call {nth} {call} {fault:?}");
                let stage = Stage::new(half_way).await;
                stage.aws.calls.fail_nth(nth, fault);
                while stage.find(by_order).await.is_err() {}
                let record = stage.aws.record("mig-1").await;
                assert_eq!(record.status, Status::Frozen, "{case}");
                assert_eq!(record.hand_over.unwrap().done.len(), 1, "{case}");
                let happened = stage.aws.happened("mig-1").await;
                assert_eq!(happened, ["MigrationFrozen"], "{case}");
                if !by_order {
                    let open = stage.aws.store().waits_of(&key("mig-1")).await.unwrap();
                    assert!(open.is_empty(), "{case}: {open:?}");
                }
            }
        }
    }
}
