//! Launches and their targets: pending, under way, unnoticed, failed, and those of others.

use landfall_common::state::wait::{Wait, WaitKind};
use landfall_domain::control::Purpose;
use landfall_domain::record::{Ended, LaunchAction};
use landfall_domain::{ErrorName, Status};
use rollback::handle;
use serde_json::json;

use crate::stage::{Stage, wait};
use crate::world::{self, CUTOVER_JOB, Instance, Job, TARGET, key, running};

#[tokio::test]
async fn a_launch_that_is_under_way_is_let_end_first() {
    let stage = Stage::new().await;
    stage.parts.world().jobs[0].completed = false;
    let error = stage.run(world::NOW).await.unwrap_err();
    assert_eq!(error.name, ErrorName::DependencyUnavailable);
    assert!(error.message.contains(CUTOVER_JOB), "{error}");
    assert_eq!(stage.parts.world().lifecycle, "CUTTING_OVER");
    stage.parts.world().jobs[0].completed = true;
    assert_eq!(stage.finish().await.unwrap()["status"], "ROLLED_BACK");
    let world = stage.parts.world();
    assert_eq!(
        world.event_types(),
        ["RollbackStarted", "RollbackCompleted"]
    );
}

#[tokio::test]
async fn patience_ends_in_frozen() {
    let stage = Stage::new().await;
    stage.parts.world().jobs[0].completed = false;
    stage.run(world::NOW).await.unwrap_err();
    let answer = stage.run("2026-11-21T13:31:00Z").await.unwrap();
    assert_eq!(answer["status"], "FROZEN");
    stage.assert_frozen("REVERT_LIFECYCLE");
}

#[tokio::test]
async fn a_launch_that_made_nothing_has_nothing_to_terminate() {
    let stage = Stage::new().await;
    {
        let mut world = stage.parts.world();
        world.launched = None;
        world.instances.clear();
        world.jobs[0].status = "FAILED".into();
        world.jobs[0].instance = None;
    }
    stage.parts.change_record(|record| {
        record.done.cutover.as_mut().unwrap().instance_id = None;
    });
    assert_eq!(stage.finish().await.unwrap()["status"], "ROLLED_BACK");
    let world = stage.parts.world();
    assert_eq!(world.terminations, 0);
    assert_eq!(world.lifecycle, "READY_FOR_CUTOVER");
}

#[tokio::test]
async fn the_target_of_another_job_stays() {
    let stage = Stage::new().await;
    {
        let mut world = stage.parts.world();
        world.launched = Some((
            "i-00000000000000009".into(),
            "mgnjob-00000000000000009".into(),
        ));
        world
            .instances
            .insert("i-00000000000000009".into(), running());
    }
    assert_eq!(stage.finish().await.unwrap()["status"], "ROLLED_BACK");
    assert_eq!(stage.parts.world().terminations, 0);
}

#[tokio::test]
async fn mgn_s_own_text_says_why_a_target_could_not_go() {
    let stage = Stage::new().await;
    // Protected by somebody else: this migration has not come to its finalize.
    stage.parts.world().instances.insert(
        TARGET.into(),
        Instance {
            protected: true,
            ..running()
        },
    );
    assert_eq!(stage.finish().await.unwrap()["status"], "FROZEN");
    stage.assert_frozen("OperationNotPermitted");
    assert_eq!(
        stage.parts.world().terminations,
        3,
        "as often as it is tried"
    );
}

#[tokio::test]
async fn a_pending_launch_never_starts() {
    let stage = Stage::before_launch(LaunchAction::Test).await;
    let pending = wait(WaitKind::TestLaunch);
    stage.open(&pending).await;
    stage.open(&wait(WaitKind::Replication)).await;
    assert_eq!(stage.finish().await.unwrap()["status"], "FAILED");
    let stored = stage.stored(&pending).await.unwrap();
    assert!(stored.closed);
    let world = stage.parts.world();
    let keys: Vec<&str> = world.items.keys().map(|(_, sk)| sk.as_str()).collect();
    assert!(!keys.contains(&"WAIT#REPLICATION"), "{keys:?}");
    let intent = &world.items[&(key().pk(), "INTENT#TEST#1".to_owned())];
    assert!(!intent.contains_key("waitKey"), "it has left the index");
}

#[tokio::test]
async fn a_launch_whose_message_is_still_in_the_queue_never_starts() {
    for (action, kind) in [
        (LaunchAction::Test, WaitKind::TestLaunch),
        (LaunchAction::Cutover, WaitKind::CutoverLaunch),
    ] {
        let stage = Stage::before_launch(action).await;
        assert_eq!(stage.finish().await.unwrap()["status"], "FAILED");
        // The message comes after all: its intent is there already, and closed.
        let late = stage
            .deps
            .journal
            .store
            .open_launch(&wait(kind))
            .await
            .unwrap();
        assert!(late.closed);
    }
}

#[tokio::test]
async fn a_launch_that_nobody_noted_is_found_by_its_tag_and_undone() {
    unnoted(Stage::before_launch(LaunchAction::Test).await, 1).await;
    // The rollback of the attempt died before it looked, and an operator orders it again.
    let stage = Stage::before_launch(LaunchAction::Test).await;
    stage.parts.change_record(|record| {
        record.status = Status::Frozen;
        record.undoes = Some(Box::new(Ended::of(record)));
        record.status = Status::Requested;
        record.purpose = Purpose::Rollback;
    });
    unnoted(stage, 0).await;
}

/// With a launch of an attempt that MGN took, and nobody lived to note; the rollback is the first one's.
async fn unnoted(stage: Stage, attempt: u32) {
    let claimed = Wait {
        attempt,
        intent_id: Some("int-1".into()),
        ..wait(WaitKind::TestLaunch)
    };
    stage.open(&claimed).await;
    {
        let mut world = stage.parts.world();
        world.lifecycle = "TESTING".into();
        world.launched = Some((TARGET.into(), "mgnjob-00000000000000001".into()));
        world.instances.insert(TARGET.into(), running());
        world.jobs.push(Job {
            id: "mgnjob-00000000000000001".into(),
            completed: true,
            status: "LAUNCHED".into(),
            instance: Some(TARGET.into()),
            intent: "int-1".into(),
            terminates: false,
        });
    }
    assert_eq!(stage.finish().await.unwrap()["status"], "ROLLED_BACK");
    let world = stage.parts.world();
    assert_eq!(world.lifecycle, "READY_FOR_TEST");
    assert_eq!(world.instances[TARGET].state, "terminated");
    let test = world.record().done.test.unwrap();
    assert_eq!(test.job_id, "mgnjob-00000000000000001");
}

#[tokio::test]
async fn a_claimed_launch_that_mgn_never_saw_leaves_nothing_behind() {
    let stage = Stage::before_launch(LaunchAction::Cutover).await;
    let claimed = Wait {
        intent_id: Some("int-1".into()),
        ..wait(WaitKind::CutoverLaunch)
    };
    stage.open(&claimed).await;
    assert_eq!(stage.finish().await.unwrap()["status"], "FAILED");
    assert!(stage.stored(&claimed).await.unwrap().closed);
}

#[tokio::test]
async fn while_launches_are_being_started_the_rollback_waits() {
    let stage = Stage::before_launch(LaunchAction::Test).await;
    let pending = wait(WaitKind::TestLaunch);
    stage.open(&pending).await;
    let store = &stage.deps.journal.store;
    let now = world::invocation().now;
    let lease = store
        .take_lease("LAUNCH#123456789012#eu-central-1", "another", 120, now)
        .await
        .unwrap();
    let error = stage.run(world::NOW).await.unwrap_err();
    assert_eq!(error.name, ErrorName::DependencyUnavailable);
    assert!(!stage.stored(&pending).await.unwrap().closed);
    store.release_lease(&lease.unwrap()).await.unwrap();
    assert_eq!(stage.finish().await.unwrap()["status"], "FAILED");
}

#[tokio::test]
async fn a_server_that_was_moved_on_untested_is_ready_for_its_test_again() {
    for (before, after) in [
        ("READY_FOR_CUTOVER", "READY_FOR_TEST"),
        // Noted, and not done any more.
        ("READY_FOR_TEST", "READY_FOR_TEST"),
        // Somebody launched it outside Landfall since.
        ("CUTTING_OVER", "CUTTING_OVER"),
    ] {
        let stage = Stage::before_launch(LaunchAction::Cutover).await;
        stage
            .parts
            .change_record(|record| record.done.moved_to_cutover = true);
        stage.parts.world().lifecycle = before.into();
        assert_eq!(stage.finish().await.unwrap()["status"], "ROLLED_BACK");
        let world = stage.parts.world();
        assert_eq!(world.lifecycle, after, "{before}");
        assert_eq!(world.terminations, 0, "{before}");
    }
}

#[tokio::test]
async fn patience_with_launches_that_are_being_started_ends_in_frozen_too() {
    let stage = Stage::before_launch(LaunchAction::Test).await;
    let store = &stage.deps.journal.store;
    let hold = async |now: &str| {
        let now = world::at(now).now;
        let lease = store
            .take_lease("LAUNCH#123456789012#eu-central-1", "another", 120, now)
            .await;
        assert!(lease.unwrap().is_some());
    };
    let run = async |now: &str| {
        let event = world::event(json!({"since": world::NOW}));
        handle(&stage.deps, event, world::at(now)).await
    };
    let within = "2026-11-21T13:29:00Z";
    hold(within).await;
    let error = run(within).await.unwrap_err();
    assert_eq!(error.name, ErrorName::DependencyUnavailable);
    let after = "2026-11-21T13:31:00Z";
    hold(after).await;
    assert_eq!(run(after).await.unwrap()["status"], "FROZEN");
    stage.assert_frozen("STOP_LAUNCHES");
}
