//! `control` against AWS in memory.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::result_large_err,
    clippy::large_futures,
    reason = "helpers of tests"
)]

#[path = "../../../shared/common/tests/support/mod.rs"]
mod support;
#[path = "../../../shared/common/tests/support/tasks.rs"]
mod tasks;

use std::sync::{Arc, Mutex};

use control::{Deps, handle};
use landfall_common::state::wait::{Wait, WaitKind};
use landfall_domain::control::Purpose;
use landfall_domain::finalize::{self, State, Step};
use landfall_domain::record::{LaunchTemplateChange, TestEvidence};
use landfall_domain::{MigrationRecord, Status};
use landfall_gates::Gates;
use serde_json::{Value, json};
use support::{Aws, Fault, now, record};
use tasks::{Ended, Tasks};

const OPERATOR: &str = "arn:aws:iam::123456789012:user/op";

#[derive(Default)]
struct Stage {
    aws: Aws,
    tasks: Arc<Mutex<Tasks>>,
}

impl Stage {
    /// A migration in a status, asleep in a wait where one is named.
    async fn new(status: Status, wait: Option<WaitKind>) -> Self {
        let stage = Self::default();
        let mut record = record("mig-1", status);
        record.test_evidence = Some(TestEvidence {
            settings_digest: "d".into(),
            effective_digest: None,
            verified_at: "2026-11-20T12:00:00Z".into(),
            job_id: "mgnjob-1".into(),
        });
        record.done.launch_template = Some(LaunchTemplateChange {
            template_id: "lt-1".into(),
            previous_version: 1,
            version: 2,
        });
        let record = stage.aws.put(record).await;
        if let Some(kind) = wait {
            let due = "2026-11-22T12:00:00Z".parse().unwrap();
            let wait = Wait::of(&record, kind, ("token-1".to_owned(), 0), now(), due);
            assert!(stage.aws.store().open_wait(&wait).await.unwrap());
        }
        stage
    }

    async fn order(&self, order: &str, emergency: bool) -> (u64, Value) {
        let body = json!({
            "migrationId": "mig-1", "order": order, "reason": "as the test says", "emergency": emergency,
        });
        self.send(&body).await
    }

    async fn send(&self, body: &Value) -> (u64, Value) {
        let event = json!({
            "body": body.to_string(),
            "requestContext": {"authorizer": {"iam": {"userArn": OPERATOR, "userId": "AIDA"}}},
        });
        let deps = Deps {
            journal: self.aws.journal(),
            sfn: tasks::sfn(&self.tasks, &self.aws.calls),
            gates: Gates::default(),
        };
        let answer = handle(&deps, event, support::invocation("request-1"))
            .await
            .unwrap();
        let said = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
        (answer["statusCode"].as_u64().unwrap(), said)
    }

    async fn record(&self) -> MigrationRecord {
        self.aws.record("mig-1").await
    }

    fn task(&self) -> Option<Ended> {
        self.tasks.lock().unwrap().get("token-1").cloned()
    }

    /// What of the world an order may change, without times and versions.
    async fn seen(&self) -> Value {
        let record = self.record().await;
        let waits = self
            .aws
            .store()
            .waits_of(&support::key("mig-1"))
            .await
            .unwrap();
        let task = self.task().map(|task| match task {
            Ended::Succeeded(_) => "succeeded".to_owned(),
            Ended::Failed(error, _) => error,
        });
        json!({
            "status": record.status, "attempt": record.attempt, "purpose": record.purpose,
            "paused": record.control.paused.is_some(), "cancelled": record.control.cancel.is_some(),
            "emergency": record.control.emergency.is_some(), "claims": record.claims,
            "template": record.done.launch_template.is_some(), "evidence": record.test_evidence.is_some(),
            "waits": waits.iter().map(|wait| wait.paused_at.is_some()).collect::<Vec<_>>(), "task": task,
            "history": self.aws.happened("mig-1").await,
        })
    }
}

/// Order, whether it is an emergency, the status before, what the migration waits in.
const ORDERS: [(&str, bool, Status, Option<WaitKind>); 8] = [
    (
        "pause",
        false,
        Status::Replicating,
        Some(WaitKind::Replication),
    ),
    (
        "cancel",
        false,
        Status::Replicating,
        Some(WaitKind::Replication),
    ),
    (
        "cancel",
        false,
        Status::CuttingOver,
        Some(WaitKind::CutoverLaunch),
    ),
    ("rollback", true, Status::Soaking, Some(WaitKind::Soak)),
    ("retry", false, Status::RolledBack, None),
    ("release", false, Status::Frozen, None),
    ("rollback", false, Status::Succeeded, None),
    ("rollback", true, Status::Frozen, None),
];

#[tokio::test]
async fn an_order_given_twice_is_given_once_whatever_call_fails() {
    for (order, emergency, status, wait) in ORDERS {
        let (wanted, calls) = {
            let stage = Stage::new(status, wait).await;
            let (code, said) = stage.order(order, emergency).await;
            assert_eq!(code, 200, "{order}: {said}");
            let calls = stage.aws.calls.made();
            let wanted = stage.seen().await;
            assert_eq!(stage.order(order, emergency).await.0, 200, "{order} again");
            assert_eq!(stage.seen().await, wanted, "{order} again");
            (wanted, calls)
        };
        for (nth, call) in calls.iter().enumerate() {
            for fault in Fault::ALL {
                let case = format!("{order} at {status}: call {nth} {call} {fault:?}");
                let stage = Stage::new(status, wait).await;
                stage.aws.calls.fail_nth(nth, fault);
                let (code, said) = stage.order(order, emergency).await;
                assert!(matches!(code, 200 | 500 | 503), "{case}: {said}");
                let (code, said) = stage.order(order, emergency).await;
                assert_eq!(code, 200, "{case}: {said}");
                assert_eq!(stage.seen().await, wanted, "{case}");
            }
        }
    }
}

#[tokio::test]
async fn what_a_cancel_ends_is_told_to_the_workflow_and_stands_with_its_reason() {
    let stage = Stage::new(Status::Replicating, Some(WaitKind::Replication)).await;
    assert_eq!(stage.order("cancel", false).await.0, 200);
    let Some(Ended::Failed(error, cause)) = stage.task() else {
        panic!("{:?}", stage.task());
    };
    assert_eq!(error, "Cancelled");
    assert!(
        cause.contains(OPERATOR) && cause.contains("as the test says"),
        "{cause}"
    );
    let order = stage.record().await.control.cancel.unwrap();
    assert_eq!(
        (order.by.as_str(), order.reason.as_str()),
        (OPERATOR, "as the test says")
    );
    // It ends, and is neither paused nor tried again before it has.
    for order in ["pause", "retry", "release"] {
        assert_eq!(stage.order(order, false).await.0, 409, "{order}");
    }
}

#[tokio::test]
async fn a_pause_is_taken_back_and_reaches_every_wait() {
    let stage = Stage::new(Status::ReadyForTest, Some(WaitKind::TestLaunch)).await;
    assert_eq!(stage.order("pause", false).await.0, 200);
    assert_eq!(stage.seen().await["waits"], json!([true]));
    for _ in 0..2 {
        assert_eq!(stage.order("resume", false).await.0, 200);
    }
    let seen = stage.seen().await;
    assert_eq!(
        (&seen["waits"], &seen["paused"]),
        (&json!([false]), &json!(false))
    );
    assert_eq!(
        seen["history"],
        json!(["MigrationPaused", "MigrationResumed"])
    );
}

#[tokio::test]
async fn a_switch_goes_on_outside_its_window_when_somebody_says_so() {
    let stage = Stage::new(Status::Finalizing, Some(WaitKind::FinalizeGate)).await;
    stage
        .aws
        .change("mig-1", |record| {
            let window = json!({"start": "2026-11-20T22:00:00", "end": "2026-11-21T02:00:00", "timeZone": "UTC"});
            record.request.policy.window = Some(serde_json::from_value(window).unwrap());
        })
        .await;
    assert_eq!(stage.order("resume", false).await.0, 200);
    let held = stage.record().await;
    assert_eq!(
        (held.status, held.stage()),
        (Status::AwaitingWindow, Status::Finalizing)
    );
    assert_eq!(held.held.unwrap().code, "WINDOW_NEVER_OPENS");
    assert_eq!(
        stage.task(),
        None,
        "past the cutover it holds, and a person decides"
    );
    let body = json!({
        "migrationId": "mig-1", "order": "resume", "reason": "the owner has agreed", "pastWindow": true,
    });
    for _ in 0..2 {
        assert_eq!(stage.send(&body).await.0, 200);
    }
    assert!(matches!(stage.task(), Some(Ended::Succeeded(_))));
    assert_eq!(stage.record().await.status, Status::Finalizing);
    assert_eq!(
        stage.aws.happened("mig-1").await,
        ["SwitchHeld", "MigrationResumed", "SwitchContinued"]
    );
}

#[tokio::test]
async fn past_the_point_of_no_return_nothing_is_cancelled() {
    let at = now();
    // MGN has finalized; it may have; it has not, and people are asked about the rollback.
    for (done, asked, code) in [(true, false, 409), (false, false, 409), (false, true, 200)] {
        let stage = Stage::new(Status::Finalizing, None).await;
        let begun = |record: &mut MigrationRecord| {
            finalize::set(
                &mut record.done,
                Step::MgnFinalize,
                State::Begun,
                json!({}),
                at,
            );
            record.done.finalized_at = done.then(|| at.to_string());
            let gate = json!({"gate": "rollback", "openedAt": at.to_string()});
            let gate = asked.then(|| serde_json::from_value(gate).unwrap());
            record.gates.extend(gate);
        };
        stage.aws.change("mig-1", begun).await;
        let (status, said) = stage.order("rollback", true).await;
        assert_eq!(status, code, "{said}");
        let control = stage.record().await.control;
        assert_eq!(
            (control.cancel.is_some(), control.emergency.is_some()),
            (asked, asked)
        );
    }
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
async fn what_a_status_forbids_is_refused_with_what_to_do() {
    for (status, allowed) in [
        (
            Status::Replicating,
            &["pause", "resume", "cancel", "rollback"][..],
        ),
        (Status::Succeeded, &["rollback"]),
        (Status::Failed, &["retry"]),
        (Status::Cancelled, &["retry"]),
        (Status::Frozen, &["release", "rollback"]),
        (Status::Rejected, &[]),
    ] {
        for order in ["pause", "resume", "cancel", "retry", "release", "rollback"] {
            let stage = Stage::new(status, None).await;
            let (code, said) = stage.order(order, false).await;
            let expected = if allowed.contains(&order) { 200 } else { 409 };
            assert_eq!(code, expected, "{order} at {status}: {said}");
            if code == 409 {
                let remedy = said["finding"]["remedy"].as_str().unwrap_or_default();
                assert!(!remedy.is_empty(), "{order} at {status}");
            }
        }
    }
}

#[tokio::test]
async fn nonsense_is_refused_with_the_member_at_fault() {
    let stage = Stage::new(Status::Replicating, None).await;
    for (body, status, said) in [
        (
            json!({"migrationId": "mig-1", "order": "stop", "reason": "why"}),
            400,
            "unknown variant",
        ),
        (
            json!({"migrationId": "mig-1", "order": "pause"}),
            400,
            "reason",
        ),
        (
            json!({"migrationId": "mig-1", "order": "pause", "reason": " "}),
            400,
            "too short",
        ),
        (
            json!({"migrationId": "mig-1", "order": "pause", "reason": "why", "by": "me"}),
            400,
            "unknown field",
        ),
        (
            json!({"migrationId": "mig-1", "order": "pause", "reason": "why", "emergency": true}),
            400,
            "rollback alone",
        ),
        (
            json!({"migrationId": "mig-9", "order": "pause", "reason": "why"}),
            404,
            "mig-9",
        ),
    ] {
        let (code, answer) = stage.send(&body).await;
        assert_eq!(code, status, "{answer}");
        let message = answer["finding"]["message"].as_str().unwrap();
        assert!(message.contains(said), "{message}");
    }
}
