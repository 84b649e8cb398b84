//! Orders to a migration that is under way, and what is asked of every order.
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
use landfall_domain::finalize::{self, State, Step};
use landfall_domain::{MigrationRecord, Status};
use serde_json::json;
use stage::{OPERATOR, Stage};
use support::{Fault, now};
use tasks::Ended;

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
