//! `approvals` and the gates behind it, against AWS in memory.
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

use approvals::{Deps, handle};
use landfall_common::Invocation;
use landfall_common::state::wait::{Wait, WaitKind};
use landfall_domain::control::Order;
use landfall_domain::gate::{Gate, GateRecord};
use landfall_domain::rollback::Progress;
use landfall_domain::{MigrationRecord, Status};
use landfall_gates::Gates;
use serde_json::{Value, json};
use support::{Aws, Fault, now, record};
use tasks::{Ended, Tasks};

const ANN: &str = "arn:aws:iam::123456789012:user/ann";
const BOB: &str = "arn:aws:iam::123456789012:user/bob";

/// A migration at the cutover gate, where ann and bob are asked.
struct Stage {
    aws: Aws,
    tasks: Arc<Mutex<Tasks>>,
    wait: Wait,
}

impl Stage {
    async fn new(rule: Value) -> Self {
        let aws = Aws::default();
        let mut record = record("mig-1", Status::ReadyForCutover);
        record.request.policy.approvals = vec![serde_json::from_value(rule).unwrap()];
        let record = aws.put(record).await;
        let token = ("token-1".to_owned(), 0);
        let wait = Wait::of(&record, WaitKind::CutoverGate, token, now(), now());
        assert!(aws.store().open_wait(&wait).await.unwrap());
        Self {
            aws,
            tasks: Arc::default(),
            wait,
        }
    }

    /// The same, where the question was asked.
    async fn asked(rule: Value) -> Self {
        let stage = Self::new(rule).await;
        stage.settle("2026-11-21T12:00:00Z").await.unwrap();
        assert_eq!(stage.record().await.status, Status::AwaitingApproval);
        stage
    }

    fn deps(&self) -> Deps {
        Deps {
            journal: self.aws.journal(),
            sfn: tasks::sfn(&self.tasks, &self.aws.calls),
            gates: Gates::default(),
        }
    }

    /// A look of the sweep at the wait as it is stored.
    async fn settle(&self, at: &str) -> Result<(), landfall_domain::StageError> {
        let Some(wait) = self.aws.store().get_wait(&self.wait).await.unwrap() else {
            return Ok(());
        };
        let deps = self.deps();
        let now = at.parse().unwrap();
        deps.gates
            .settle(&deps.journal, &deps.sfn, &wait, now)
            .await
    }

    async fn answer(&self, who: &str, decision: &str) -> (u64, Value) {
        self.answer_at("cutover", who, decision).await
    }

    async fn answer_at(&self, gate: &str, who: &str, decision: &str) -> (u64, Value) {
        let body = json!({
            "migrationId": "mig-1", "gate": gate, "decision": decision, "reason": "as the test says",
        });
        let event = json!({
            "body": body.to_string(),
            "requestContext": {"authorizer": {"iam": {"userArn": who, "userId": "AIDA"}}},
        });
        let invocation = Invocation {
            now: now(),
            ..support::invocation("request-1")
        };
        let answer = handle(&self.deps(), event, invocation).await.unwrap();
        let body = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
        (answer["statusCode"].as_u64().unwrap(), body)
    }

    async fn record(&self) -> landfall_domain::MigrationRecord {
        self.aws.record("mig-1").await
    }

    fn task(&self) -> Option<Ended> {
        self.tasks.lock().unwrap().get("token-1").cloned()
    }
}

fn both() -> Value {
    json!({"gate": "cutover", "approvers": [ANN, BOB], "count": 2})
}

fn one() -> Value {
    json!({"gate": "cutover", "approvers": [ANN, BOB]})
}

#[tokio::test]
async fn asking_converges_after_a_fault_of_any_call() {
    let calls = {
        let stage = Stage::new(one()).await;
        stage.settle("2026-11-21T12:00:00Z").await.unwrap();
        stage.aws.calls.made()
    };
    assert!(calls.len() >= 3, "{calls:?}");
    for (nth, call) in calls.iter().enumerate() {
        for fault in Fault::ALL {
            let case = format!("call {nth} {call} {fault:?}");
            let stage = Stage::new(one()).await;
            stage.aws.calls.fail_nth(nth, fault);
            let _ = stage.settle("2026-11-21T12:00:00Z").await;
            stage.settle("2026-11-21T12:00:00Z").await.unwrap();
            let record = stage.record().await;
            assert_eq!(record.status, Status::AwaitingApproval, "{case}");
            assert_eq!(record.stage(), Status::ReadyForCutover, "{case}");
            assert_eq!(record.gates.len(), 1, "{case}");
            assert_eq!(
                stage.aws.happened("mig-1").await,
                ["ApprovalRequested"],
                "{case}"
            );
            assert_eq!(stage.task(), None, "{case}");
        }
    }
}

#[tokio::test]
async fn an_answer_converges_after_a_fault_of_any_call() {
    for (decision, ends) in [
        (
            "approve",
            ["ApprovalRequested", "ApprovalAnswered", "ApprovalGranted"],
        ),
        (
            "deny",
            ["ApprovalRequested", "ApprovalAnswered", "ApprovalDenied"],
        ),
    ] {
        let (before, calls) = {
            let stage = Stage::asked(one()).await;
            let before = stage.aws.calls.made().len();
            assert_eq!(stage.answer(ANN, decision).await.0, 200);
            (before, stage.aws.calls.made())
        };
        assert!(calls.len() - before > 6, "{calls:?}");
        for (nth, call) in calls.iter().skip(before).enumerate() {
            for fault in Fault::ALL {
                let case = format!("{decision}: call {nth} {call} {fault:?}");
                let stage = Stage::asked(one()).await;
                stage.aws.calls.fail_nth(nth, fault);
                let (status, said) = stage.answer(ANN, decision).await;
                assert!(matches!(status, 200 | 500 | 503), "{case}: {said}");
                let (status, said) = stage.answer(ANN, decision).await;
                assert_eq!(status, 200, "{case}: {said}");
                // What the function could not do any more is the sweep's.
                stage.settle("2026-11-21T12:00:00Z").await.unwrap();
                assert_eq!(stage.aws.happened("mig-1").await, ends, "{case}");
                let record = stage.record().await;
                assert_eq!(record.gates[0].answers.len(), 1, "{case}");
                match stage.task() {
                    Some(Ended::Succeeded(_)) => {
                        assert_eq!(
                            (decision, record.status),
                            ("approve", Status::ReadyForCutover),
                            "{case}"
                        );
                    }
                    Some(Ended::Failed(error, _)) => {
                        assert_eq!(
                            (decision, error.as_str()),
                            ("deny", "ApprovalError"),
                            "{case}"
                        );
                    }
                    None => panic!("{case}: the workflow was not told"),
                }
                assert!(
                    stage
                        .aws
                        .store()
                        .waits_of(&stage.wait.key)
                        .await
                        .unwrap()
                        .is_empty(),
                    "{case}"
                );
            }
        }
    }
}

#[tokio::test]
async fn one_of_two_is_not_enough_and_twice_one_is_one() {
    let stage = Stage::asked(both()).await;
    for _ in 0..2 {
        let (status, said) = stage.answer(ANN, "approve").await;
        assert_eq!(
            (status, &said["granted"], &said["missing"][0]["count"]),
            (200, &json!(false), &json!(1))
        );
    }
    assert_eq!(stage.task(), None);
    // Somebody who has agreed may still refuse: that ends it.
    let (status, _) = stage.answer(ANN, "deny").await;
    assert_eq!(status, 200);
    assert!(matches!(stage.task(), Some(Ended::Failed(error, _)) if error == "ApprovalError"));
    let (status, said) = stage.answer(BOB, "approve").await;
    assert_eq!(
        (status, &said["finding"]["code"]),
        (409, &json!("GATE_DECIDED"))
    );
}

#[tokio::test]
async fn what_is_not_asked_is_refused_before_anything_is_written() {
    let stage = Stage::asked(one()).await;
    stage
        .aws
        .change("mig-1", |record| {
            record.request.requested_by = Some(ANN.to_owned());
        })
        .await;
    let version = stage.record().await.version;
    for (who, gate, tenant, status, code) in [
        (ANN, "cutover", "default", 403, "REQUESTER_MAY_NOT_APPROVE"),
        (
            "arn:aws:iam::123456789012:user/eve",
            "cutover",
            "default",
            403,
            "NOT_AN_APPROVER",
        ),
        (BOB, "finalize", "default", 409, "GATE_NOT_OPEN"),
        (BOB, "cutover", "other", 404, "MIGRATION_UNKNOWN"),
    ] {
        let body = json!({
            "tenantId": tenant, "migrationId": "mig-1", "gate": gate, "decision": "approve", "reason": "why not",
        });
        let event = json!({
            "body": body.to_string(),
            "requestContext": {"authorizer": {"iam": {"userArn": who, "userId": "AIDA"}}},
        });
        let answer = handle(&stage.deps(), event, support::invocation("r"))
            .await
            .unwrap();
        let said: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
        assert_eq!(
            (&answer["statusCode"], &said["finding"]["code"]),
            (&json!(status), &json!(code))
        );
    }
    assert_eq!(stage.record().await.version, version);
}

#[tokio::test]
async fn a_refusal_of_a_rollback_that_has_begun_or_asks_nobody_is_not_taken() {
    type Change = fn(&mut MigrationRecord);
    let table: [(Change, u64); 3] = [
        (|_| {}, 200),
        (
            |record| {
                let started_at = now().to_string();
                record.rollback = Some(Progress {
                    started_at,
                    ..Progress::default()
                });
            },
            409,
        ),
        (
            |record| {
                record.control.emergency = Some(Order {
                    by: ANN.into(),
                    reason: "customers cannot pay".into(),
                    at: now().to_string(),
                });
            },
            409,
        ),
    ];
    for (change, wanted) in table {
        let stage = Stage::new(json!({"gate": "rollback", "approvers": [BOB]})).await;
        stage
            .aws
            .change("mig-1", |record| {
                record.gates.push(GateRecord {
                    gate: Gate::Rollback,
                    opened_at: now().to_string(),
                    answers: Vec::new(),
                    escalated_at: None,
                    refused_at: None,
                    granted_at: None,
                });
                change(record);
            })
            .await;
        let (status, said) = stage.answer_at("rollback", BOB, "deny").await;
        assert_eq!(status, wanted, "{said}");
        let noted = stage.record().await.gates[0].answers.len();
        assert_eq!(noted, usize::from(wanted == 200));
    }
}

#[tokio::test]
async fn a_gate_where_nobody_is_asked_is_passed_at_once_and_a_pause_holds_it() {
    let stage = Stage::new(json!({"gate": "finalize", "approvers": [ANN]})).await;
    let order = Order {
        by: BOB.into(),
        reason: "wait".into(),
        at: now().to_string(),
    };
    stage
        .aws
        .change("mig-1", |record| record.control.paused = Some(order))
        .await;
    for _ in 0..2 {
        stage.settle("2026-11-21T12:00:00Z").await.unwrap();
    }
    let record = stage.record().await;
    assert_eq!(
        (record.status, record.stage()),
        (Status::AwaitingWindow, Status::ReadyForCutover)
    );
    assert_eq!(record.held.as_ref().unwrap().code, "PAUSED");
    assert_eq!(stage.aws.happened("mig-1").await, ["SwitchHeld"]);
    assert_eq!(stage.task(), None);
    stage
        .aws
        .change("mig-1", |record| record.control.paused = None)
        .await;
    stage.settle("2026-11-21T12:10:00Z").await.unwrap();
    assert!(matches!(stage.task(), Some(Ended::Succeeded(_))));
    let record = stage.record().await;
    assert_eq!(
        (record.status, record.held.clone(), record.held_from),
        (Status::ReadyForCutover, None, None)
    );
    assert!(record.may_pass(Gate::Cutover));
    assert_eq!(
        stage.aws.happened("mig-1").await,
        ["SwitchHeld", "SwitchContinued"]
    );
}

#[tokio::test]
async fn nobody_s_answer_expires_and_is_told_once() {
    let stage =
        Stage::asked(json!({"gate": "cutover", "approvers": [ANN], "deadlineSeconds": 60})).await;
    stage.settle("2026-11-21T12:00:59Z").await.unwrap();
    assert_eq!(stage.task(), None);
    for _ in 0..2 {
        stage.settle("2026-11-21T12:01:00Z").await.unwrap();
    }
    assert!(matches!(stage.task(), Some(Ended::Failed(error, _)) if error == "ApprovalError"));
    assert_eq!(
        stage.aws.happened("mig-1").await,
        ["ApprovalRequested", "ApprovalDenied"]
    );
}
