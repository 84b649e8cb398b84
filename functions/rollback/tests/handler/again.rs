//! What is begun again where it did not come to its end the first time.

use landfall_domain::rollback::TRIES;

use crate::stage::Stage;
use crate::world::TARGET;

#[tokio::test]
async fn a_termination_that_mgn_fails_is_begun_again() {
    let stage = Stage::moved().await;
    stage.parts.world().failing_terminations = 1;
    assert_eq!(stage.finish().await.unwrap()["status"], "ROLLED_BACK");
    let world = stage.parts.world();
    assert_eq!(world.count("TerminateTargetInstances"), 2);
    assert_eq!(world.instances[TARGET].state, "terminated");
    let record = world.record();
    let step = &record.rollback.as_ref().unwrap().steps["TERMINATE_TARGET"];
    assert_eq!(step.refused, 0, "{step:?}");
}

#[tokio::test]
async fn a_termination_that_mgn_always_fails_is_left_after_as_many_jobs_as_tries() {
    let stage = Stage::moved().await;
    stage.parts.world().failing_terminations = usize::MAX;
    assert_eq!(stage.finish().await.unwrap()["status"], "FROZEN");
    // With what MGN said of the last one.
    stage.assert_frozen("OperationNotPermitted");
    stage.assert_frozen(&format!("the last one mgnjob-terminate-{TRIES}"));
    let world = stage.parts.world();
    let jobs = world.count("TerminateTargetInstances");
    assert_eq!(jobs, TRIES as usize);
    let hand_over = world.record().hand_over.unwrap();
    let left: Vec<_> = hand_over.not_done.iter().collect();
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(left[0].compensation, "TERMINATE_TARGET");
    assert_eq!(world.instances[TARGET].state, "running");
}
