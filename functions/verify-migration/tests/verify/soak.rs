//! The soak: the checks once more, a round each time.

use landfall_common::state::Change;
use landfall_domain::{ErrorName, EventType, Status};
use serde_json::{Value, json};

use crate::stage::Stage;
use crate::support;

/// A target that has begun to soak at second 0, and answers so from then on.
async fn soaking(seconds: u32, answers: &[u16]) -> Stage {
    let all: Vec<u16> = std::iter::once(200)
        .chain(answers.iter().copied())
        .collect();
    let stage = Stage::new(Status::CuttingOver, &all).await;
    let soak = |record: &mut landfall_domain::MigrationRecord| {
        record.request.policy.soak_seconds = Some(seconds);
    };
    stage.aws.change("mig-1", soak).await;
    let output = stage.verify("cutover", 0).await.unwrap();
    assert_eq!(output, json!({ "status": "SOAKING" }));
    stage
}

fn answer(soaked: bool) -> Value {
    json!({ "status": "SOAKING", "soaked": soaked })
}

#[tokio::test]
async fn the_checks_are_repeated_in_each_round_until_the_last() {
    let stage = soaking(120, &[200, 200]).await;
    // Too early, and the second time in a round: nothing is asked.
    for (second, soaked, asked) in [
        (59, false, 1),
        (60, false, 2),
        (61, false, 2),
        (119, false, 2),
        (120, true, 3),
        (121, true, 3),
        (500, true, 3),
    ] {
        let output = stage.verify_after("soak", second).await.unwrap();
        assert_eq!(output, answer(soaked), "{second}");
        assert_eq!(stage.target.requests().len(), asked, "{second}");
    }
    let happened = stage.aws.happened("mig-1").await;
    assert_eq!(
        happened,
        [
            "HealthCheckPassed",
            "SoakStarted",
            "SoakChecked",
            "SoakChecked"
        ]
    );
    let soak = stage.aws.record("mig-1").await.done.soak.unwrap();
    assert_eq!((soak.round, soak.rounds, soak.checking), (2, 2, false));
}

#[tokio::test]
async fn a_check_that_fails_in_the_second_round_fails_the_soak() {
    // It may fail twice of its three tries in the first round, and starts again in the second.
    let stage = soaking(120, &[500, 500, 200, 500, 500, 500]).await;
    let mut second = 60;
    for soaked in [None, None, Some(false), None, None] {
        let output = stage.verify_after("soak", second).await;
        if let Some(soaked) = soaked {
            assert_eq!(output.unwrap(), answer(soaked), "{second}");
            second += 60;
        } else {
            let error = output.unwrap_err();
            assert_eq!(error.name, ErrorName::DependencyUnavailable, "{second}");
        }
        second += 30;
    }
    let error = stage.verify_after("soak", second).await.unwrap_err();
    assert_eq!(error.name, ErrorName::VerificationError);
    let happened = stage.aws.happened("mig-1").await;
    assert_eq!(happened[2..], ["SoakChecked", "HealthCheckFailed"]);
    let record = stage.aws.record("mig-1").await;
    assert_eq!(record.done.soak.unwrap().round, 1);
    assert_eq!(record.failure.unwrap().error, "VerificationError");
}

#[tokio::test]
async fn a_target_that_is_gone_does_not_soak() {
    let stage = soaking(60, &[]).await;
    stage.instance(Some("terminated"), "ok");
    let error = stage.verify_after("soak", 60).await.unwrap_err();
    assert_eq!(error.name, ErrorName::VerificationError);
    assert!(error.cause().contains("terminated"), "{}", error.cause());
}

#[tokio::test]
async fn a_soak_of_before_its_rounds_were_kept_is_checked_all_the_same() {
    let stage = soaking(60, &[200]).await;
    stage
        .aws
        .change("mig-1", |record| record.done.soak = None)
        .await;
    assert_eq!(stage.verify_after("soak", 60).await.unwrap(), answer(true));
    assert_eq!(stage.target.requests().len(), 2);
}

#[tokio::test]
async fn a_late_run_finds_the_soak_over() {
    let stage = soaking(60, &[]).await;
    let record = stage.aws.record("mig-1").await;
    let change = Change::to(Status::Finalizing, EventType::FinalizeStarted);
    let store = stage.aws.store();
    store
        .transition(record, &change, support::now())
        .await
        .unwrap();
    let output = stage.verify_after("soak", 60).await.unwrap();
    assert_eq!(output, json!({ "status": "FINALIZING", "soaked": true }));
    assert_eq!(stage.target.requests().len(), 1);
}
