//! Whose migration it is.

use landfall_domain::record::{Done, LaunchAction};
use landfall_domain::{ErrorName, Status};
use rollback::handle;
use serde_json::{Value, json};

use crate::stage::Stage;
use crate::world::{self, EXECUTION, Fault};

/// What the workflow sends after its claim was not answered.
fn unanswered() -> Value {
    world::event(json!({
        "failure": {"error": "States.Timeout", "state": "ClaimMigration"},
    }))
}

/// A migration that no execution has claimed.
async fn unclaimed() -> Stage {
    let stage = Stage::before_launch(LaunchAction::Test).await;
    stage.parts.change_record(|record| {
        record.status = Status::Requested;
        record.execution_arn = None;
        record.done = Done::default();
    });
    stage
}

#[tokio::test]
async fn another_execution_s_migration_is_left_alone() {
    for action in ["roll-back", "freeze"] {
        let stage = Stage::moved().await;
        for members in [json!({"executionArn": "other"}), json!({"attempt": 2})] {
            let mut event = world::event(members);
            event["action"] = action.into();
            let error = handle(&stage.deps, event, world::invocation())
                .await
                .unwrap_err();
            assert_eq!(error.name, ErrorName::PrerequisiteError, "{action}");
        }
        assert_eq!(stage.parts.world().calls, ["GetItem", "GetItem"]);
    }
}

#[tokio::test]
async fn a_migration_that_nobody_claimed_ends_as_failed() {
    let stage = unclaimed().await;
    let answer = handle(&stage.deps, unanswered(), world::invocation()).await;
    assert_eq!(answer.unwrap()["status"], "FAILED");
    let world = stage.parts.world();
    let record = world.record();
    // So that no late execution claims it.
    assert_eq!(record.execution_arn.as_deref(), Some(EXECUTION));
    let failure = record.failure.as_ref().unwrap();
    assert_eq!(failure.state, "ClaimMigration");
    assert_eq!(world.event_types(), ["RollbackStarted", "MigrationFailed"]);
}

#[tokio::test]
async fn an_unclaimed_migration_of_another_attempt_is_left_alone() {
    let stage = unclaimed().await;
    let mut event = unanswered();
    event["attempt"] = json!(2);
    let error = handle(&stage.deps, event, world::invocation())
        .await
        .unwrap_err();
    assert_eq!(error.name, ErrorName::PrerequisiteError);
    assert_eq!(stage.parts.world().record().execution_arn, None);
}

#[tokio::test]
async fn of_two_that_claim_at_the_same_time_one_gives_way() {
    let stage = unclaimed().await;
    // The other's write comes between the read and the write of this one.
    stage.parts.world().fault = Some((1, Fault::Overtaken));
    let error = handle(&stage.deps, unanswered(), world::invocation())
        .await
        .unwrap_err();
    assert_eq!(error.name, ErrorName::Conflict);
    stage
        .parts
        .change_record(|record| record.execution_arn = Some("other".into()));
    let error = handle(&stage.deps, unanswered(), world::invocation())
        .await
        .unwrap_err();
    assert_eq!(error.name, ErrorName::PrerequisiteError);
    assert_eq!(stage.parts.world().record().status, Status::Requested);
}
