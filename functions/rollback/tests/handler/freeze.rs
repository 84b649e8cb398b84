//! The record tells of a rollback that died.

use std::process::Command;

use landfall_domain::record::Failure;
use landfall_domain::{ErrorName, Status};
use rollback::handle;
use serde_json::{Value, json};

use crate::stage::Stage;
use crate::world::{self, Fault};

/// What the workflow sends once its Rollback state has failed.
fn freeze() -> Value {
    world::event(json!({
        "action": "freeze",
        "failure": {"error": "CutoverError", "cause": "no such zone", "state": "FinalizeCutover"},
        "caught": {"error": "States.Timeout", "state": "Rollback"},
    }))
}

/// What belongs to the table and the bus.
const OWN: [&str; 3] = ["GetItem", "TransactWriteItems", "PutEvents"];

#[tokio::test]
async fn nothing_is_touched_and_the_record_says_why() {
    let stage = Stage::moved().await;
    let before = stage.parts.world().outside();
    let answer = handle(&stage.deps, freeze(), world::invocation()).await;
    assert_eq!(answer.unwrap()["status"], "FROZEN");
    let world = stage.parts.world();
    assert_eq!(world.outside(), before);
    assert_eq!(world.calls, OWN);
    assert_eq!(world.event_types(), ["MigrationFrozen"]);
    let record = world.record();
    assert_eq!(record.status, Status::Frozen);
    let wanted = Failure {
        error: "CutoverError".into(),
        message: "no such zone".into(),
        state: "FinalizeCutover".into(),
        findings: vec![],
    };
    assert_eq!(record.failure, Some(wanted));
    let detail = &world.events[0].1;
    assert_eq!(detail["reasonCode"], "CutoverError");
    let evidence = &detail["evidence"];
    assert_eq!(evidence["caught"]["error"], "States.Timeout");
    let because = "the rollback died: States.Timeout: Rollback did not finish in its time";
    assert_eq!(evidence["because"], because);
    let plan = evidence["plan"]["compensations"].as_array().unwrap();
    assert_eq!(plan.len(), 11);
}

#[tokio::test]
async fn a_second_run_adds_nothing_and_an_end_stays_what_it_is() {
    let stage = Stage::moved().await;
    for _ in 0..2 {
        let answer = handle(&stage.deps, freeze(), world::invocation()).await;
        assert_eq!(answer.unwrap()["status"], "FROZEN");
    }
    assert_eq!(stage.parts.world().event_types(), ["MigrationFrozen"]);
    // The rollback was done, and only its answer was lost.
    let stage = Stage::moved().await;
    stage.finish().await.unwrap();
    let answer = handle(&stage.deps, freeze(), world::invocation()).await;
    assert_eq!(answer.unwrap()["status"], "ROLLED_BACK");
    assert_eq!(stage.parts.world().record().status, Status::RolledBack);
}

#[tokio::test]
async fn whatever_fails_once_the_next_run_freezes() {
    for (index, call) in OWN.iter().enumerate() {
        for fault in [Fault::Unavailable, Fault::Lost] {
            let stage = Stage::moved().await;
            stage.parts.world().fault = Some((index, fault));
            let what = format!("{call} {fault:?}");
            let error = handle(&stage.deps, freeze(), world::invocation())
                .await
                .unwrap_err();
            assert_eq!(error.name, ErrorName::DependencyUnavailable, "{what}");
            let answer = handle(&stage.deps, freeze(), world::invocation()).await;
            assert_eq!(answer.unwrap()["status"], "FROZEN", "{what}");
            let history = stage.deps.journal.store.history(&world::key()).await;
            assert_eq!(history.unwrap().len(), 1, "{what}");
        }
    }
}

#[test]
fn every_frozen_migration_is_counted() {
    // Metrics go past the test's capture to standard output, so another process has to say them.
    for (test, times) in [
        ("freeze::nothing_is_touched_and_the_record_says_why", 1),
        ("launches::patience_ends_in_frozen", 1),
        ("undo::everything_is_undone_in_order", 0),
    ] {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains("1 passed"), "{test}: {text}");
        let lines = text
            .lines()
            .filter_map(|line| line.find('{').map(|at| &line[at..]));
        let metrics: Vec<Value> = lines
            .filter_map(|line| serde_json::from_str(line).ok())
            .filter(|line: &Value| line["FrozenMigrations"] == 1.0)
            .collect();
        assert_eq!(metrics.len(), times, "{test}: {text}");
        for metric in metrics {
            assert_eq!(metric["Function"], "rollback");
            let described = &metric["_aws"]["CloudWatchMetrics"][0];
            assert_eq!(described["Namespace"], "Landfall");
        }
    }
}
