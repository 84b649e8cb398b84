//! What people have a say in: whether a risky rollback begins, and what ends a migration that nothing failed.

use landfall_domain::control::{Order, Purpose};
use landfall_domain::outage::Phases;
use landfall_domain::record::{Ended, Failure, LaunchAction};
use landfall_domain::request::Retention;
use landfall_domain::rollback::{HandOver, Progress};
use landfall_domain::{MigrationRecord, Status};
use rollback::handle;
use serde_json::{Value, json};

use crate::stage::Stage;
use crate::world::{self, TARGET};

fn order() -> Order {
    Order {
        by: "arn:aws:iam::123456789012:user/olga".into(),
        reason: "the users cannot log in".into(),
        at: world::NOW.into(),
    }
}

#[tokio::test]
async fn a_risky_rollback_waits_for_its_gate_and_touches_nothing_before() {
    let stage = Stage::unapproved().await;
    let before = stage.parts.world().outside();
    for _ in 0..2 {
        let answer = stage.run(world::NOW).await.unwrap();
        assert_eq!(answer["approvalWanted"], true);
        assert_eq!(answer["status"], "FINALIZING");
    }
    let world = stage.parts.world();
    assert_eq!(world.outside(), before);
    assert!(world.events.is_empty(), "{:?}", world.event_types());
    let record = world.record();
    assert_eq!(record.failure.unwrap().message, "no such zone");
    assert_eq!(record.rollback, None);
}

#[tokio::test]
async fn a_rollback_that_nobody_notices_asks_nobody() {
    let stage = Stage::new().await;
    let answer = stage.finish().await.unwrap();
    assert_eq!(answer["status"], "ROLLED_BACK");
    assert_eq!(answer["approvalWanted"], false);
}

#[tokio::test]
async fn an_emergency_asks_nobody_and_says_so() {
    let stage = Stage::unapproved().await;
    stage
        .parts
        .change_record(|record| record.control.emergency = Some(order()));
    assert_eq!(stage.finish().await.unwrap()["status"], "ROLLED_BACK");
    stage.assert_undone("");
    let world = stage.parts.world();
    let (event, detail) = &world.events[0];
    assert_eq!(event, "RollbackStarted");
    assert_eq!(detail["reasonCode"], "EMERGENCY");
    assert_eq!(detail["evidence"]["emergency"]["by"], order().by);
}

#[tokio::test]
async fn a_cancelled_migration_is_undone_and_ends_cancelled() {
    for (stage, undone) in [
        (Stage::moved().await, true),
        (Stage::before_launch(LaunchAction::Test).await, false),
    ] {
        stage
            .parts
            .change_record(|record| record.control.cancel = Some(order()));
        assert_eq!(stage.finish().await.unwrap()["status"], "CANCELLED");
        let world = stage.parts.world();
        let (event, detail) = world.events.last().unwrap();
        assert_eq!(event, "MigrationCancelled");
        assert_eq!(detail["reasonCode"], "Cancelled");
        assert_eq!(detail["evidence"]["order"]["reason"], order().reason);
        let done = detail["evidence"]["done"].as_array().unwrap();
        assert_eq!(!done.is_empty(), undone);
        assert_eq!(world.record().status, Status::Cancelled);
        if undone {
            assert_eq!(world.instances[TARGET].state, "terminated");
        }
    }
}

/// An attempt that undoes what the one before did, whose record it has.
async fn ordered() -> Stage {
    let stage = Stage::moved().await;
    stage.parts.change_record(|record| {
        record.purpose = Purpose::Rollback;
        record.status = Status::Requested;
        record.failure = None;
    });
    stage
}

#[tokio::test]
async fn an_attempt_that_has_ended_is_undone_by_order() {
    let stage = ordered().await;
    assert_eq!(stage.finish().await.unwrap()["status"], "ROLLED_BACK");
    // Its target was protected by the finalize of the attempt before.
    stage.assert_undone("");
}

#[tokio::test]
async fn after_the_point_of_no_return_an_order_undoes_what_can_be() {
    let stage = ordered().await;
    stage.parts.world().lifecycle = "CUTOVER".into();
    stage.parts.change_record(|record| {
        record.done.finalized_at = Some("2026-11-21T11:30:00Z".into());
    });
    assert_eq!(stage.finish().await.unwrap()["status"], "ROLLED_BACK");
    let world = stage.parts.world();
    assert_eq!(world.power, "running");
    assert_eq!(world.name("app.example.com", "A").unwrap().ttl, 300);
    assert_eq!(world.cmdb["ip_address"], "192.0.2.10");
    assert_eq!(world.cmf_status, "Not started");
    assert_eq!(world.instances[TARGET].state, "running", "the target stays");
    assert_eq!(world.lifecycle, "CUTOVER");
    let record = world.record();
    let hand_over = record.hand_over.unwrap();
    assert!(hand_over.irreversible[0].contains("FinalizeCutover"));
    assert!(hand_over.not_done.is_empty());
    assert!(
        hand_over.by_hand[0].contains(TARGET),
        "{:?}",
        hand_over.by_hand
    );
    let text = hand_over.text();
    assert!(
        text.starts_with("What could still be undone is undone"),
        "{text}"
    );
    assert_eq!(hand_over.kept, ["the target instance"]);
    let evidence = &world.events.last().unwrap().1["evidence"];
    assert_eq!(evidence["irreversible"].as_array().unwrap().len(), 1);
}

/// What the workflow sends once the gate of the rollback was refused.
fn refused() -> Value {
    world::event(json!({
        "action": "freeze",
        "failure": {"error": "RollbackRequested", "cause": "the users cannot log in", "state": "ClaimMigration"},
        "caught": {"error": "ApprovalError", "cause": "ann refused the rollback: it works", "state": "RollbackGate"},
    }))
}

#[tokio::test]
async fn a_refused_order_leaves_the_migration_as_it_had_ended() {
    for before in [Status::Succeeded, Status::Frozen, Status::Failed] {
        let stage = ordered().await;
        let mut phases = Phases::default();
        phases.0.insert(Status::Soaking, 5_000);
        let earlier = Ended {
            status: before,
            failure: (before != Status::Succeeded).then(|| Failure {
                error: "CutoverError".into(),
                message: "no such zone".into(),
                state: "FinalizeCutover".into(),
                findings: vec![],
            }),
            rollback: (before == Status::Frozen).then(|| Progress {
                started_at: world::NOW.into(),
                ..Progress::default()
            }),
            phase_millis: phases,
        };
        let known = HandOver {
            because: "TERMINATE_TARGET: refused".into(),
            ..HandOver::default()
        };
        stage.parts.change_record(|record| {
            record.undoes = Some(Box::new(earlier.clone()));
            record.hand_over = Some(known.clone());
            record.request.policy.retention = Some(Retention {
                archive_after_days: 7,
                decommission_source: true,
            });
        });
        let outside = stage.parts.world().outside();
        // Once more, for an answer that was lost.
        for _ in 0..2 {
            let answer = handle(&stage.deps, refused(), world::invocation()).await;
            let answer = answer.unwrap();
            assert_eq!(answer["status"], before.as_str());
            let kept = (before == Status::Succeeded).then_some(7 * 86_400);
            assert_eq!(answer["plan"]["archiveAfterSeconds"].as_u64(), kept);
            assert_eq!(answer["plan"]["decommission"].as_bool(), kept.map(|_| true));
        }
        let world = stage.parts.world();
        assert_eq!(world.outside(), outside);
        assert_eq!(world.event_types(), ["RollbackRefused"]);
        let detail = &world.events[0].1;
        assert_eq!(detail["to"], before.as_str());
        assert!(
            detail["evidence"]["because"]
                .as_str()
                .unwrap()
                .contains("it works")
        );
        let record = world.record();
        assert_eq!(record.hand_over, Some(known));
        assert_eq!(Ended::of(&record), earlier);
    }
}

#[tokio::test]
async fn a_rollback_that_has_begun_is_never_taken_for_one_that_was_refused() {
    let stage = ordered().await;
    stage.parts.change_record(|record| {
        record.undoes = Some(Box::new(Ended::of(&MigrationRecord {
            status: Status::Succeeded,
            ..record.clone()
        })));
        record.rollback = Some(Progress {
            started_at: world::NOW.into(),
            ..Progress::default()
        });
    });
    let answer = handle(&stage.deps, refused(), world::invocation()).await;
    assert_eq!(answer.unwrap()["status"], "FROZEN");
    let because = stage.parts.world().record().hand_over.unwrap().because;
    assert!(because.starts_with("the rollback died"), "{because}");
}
