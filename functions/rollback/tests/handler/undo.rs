//! The walk through the plan, and how it ends.

use landfall_domain::cmf::Weight;
use landfall_domain::record::{DnsValue, LaunchAction};
use landfall_domain::{ErrorName, Status};

use crate::stage::Stage;
use crate::world::{self, Fault, TARGET};

#[tokio::test]
async fn everything_is_undone_in_order() {
    let stage = Stage::moved().await;
    let answer = stage.finish().await.unwrap();
    assert_eq!(answer["status"], "ROLLED_BACK");
    assert_eq!(answer["failure"]["error"], "CutoverError");
    stage.assert_undone("");
    let world = stage.parts.world();
    assert_eq!(
        world.event_types(),
        ["RollbackStarted", "RollbackCompleted"]
    );
    let at = |call: &str| world.calls.iter().position(|c| c == call).unwrap();
    let order = [
        at("azure:POST:start"),
        at("ChangeResourceRecordSets"),
        at("cmdb:PATCH:abc"),
        at("ChangeServerLifeCycleState"),
        at("ModifyInstanceAttribute"),
        at("TerminateTargetInstances"),
        at("UpdateLaunchConfiguration"),
        at("ModifyLaunchTemplate"),
        at("cmf:PUT:7"),
    ];
    assert!(order.is_sorted(), "{:?}", world.calls);
    let plan = &world.events[0].1["evidence"]["plan"]["compensations"];
    assert_eq!(plan.as_array().unwrap().len(), 10);
    let done = &world.events[1].1["evidence"]["done"];
    assert_eq!(done.as_array().unwrap().len(), 10);
}

#[tokio::test]
async fn an_ended_migration_is_answered_and_left_alone() {
    let stage = Stage::moved().await;
    stage.finish().await.unwrap();
    stage.parts.world().calls.clear();
    let answer = stage.run(world::NOW).await.unwrap();
    assert_eq!(answer["status"], "ROLLED_BACK");
    assert_eq!(stage.parts.world().calls, ["GetItem"]);
}

#[tokio::test]
async fn whatever_call_fails_once_the_next_run_goes_on() {
    let calls = {
        let stage = Stage::moved().await;
        stage.finish().await.unwrap();
        stage.parts.world().calls.clone()
    };
    assert!(calls.len() > 40, "{calls:?}");
    for (index, call) in calls.iter().enumerate() {
        for fault in [Fault::Unavailable, Fault::Lost] {
            let stage = Stage::moved().await;
            stage.parts.world().fault = Some((index, fault));
            let what = format!("{call} ({index}) {fault:?}");
            stage
                .finish()
                .await
                .unwrap_or_else(|error| panic!("{what}: {error}"));
            stage.assert_undone(&what);
        }
    }
}

#[tokio::test]
async fn a_source_is_started_wherever_it_runs() {
    for (kind, order) in [
        ("vsphere", "vsphere:POST:power"),
        ("ec2", "source:StartInstances"),
    ] {
        let stage = Stage::moved().await;
        stage.parts.source_on(kind);
        assert_eq!(stage.finish().await.unwrap()["status"], "ROLLED_BACK");
        stage.assert_undone(kind);
        let calls = stage.parts.world().calls.clone();
        let at = |call: &str| calls.iter().position(|c| c == call).unwrap();
        assert!(at(order) < at("ChangeResourceRecordSets"), "{calls:?}");
        for (index, call) in calls.iter().enumerate() {
            // What comes before and after is no other than with Azure.
            if !call.starts_with("vsphere:") && !call.starts_with("source:") {
                continue;
            }
            for fault in [Fault::Unavailable, Fault::Lost] {
                let stage = Stage::moved().await;
                stage.parts.source_on(kind);
                stage.parts.world().fault = Some((index, fault));
                let what = format!("{call} ({index}) {fault:?}");
                stage
                    .finish()
                    .await
                    .unwrap_or_else(|error| panic!("{what}: {error}"));
                stage.assert_undone(&what);
            }
        }
    }
}

#[tokio::test]
async fn a_source_that_still_goes_off_is_started_when_it_is_off() {
    for kind in ["vsphere", "ec2"] {
        let stage = Stage::moved().await;
        stage.parts.source_on(kind);
        stage.parts.world().power = "deallocating".into();
        assert_eq!(stage.finish().await.unwrap()["status"], "ROLLED_BACK");
        stage.assert_undone(kind);
    }
}

#[tokio::test]
async fn a_person_is_told_of_the_power_on() {
    let stage = Stage::moved().await;
    stage.parts.source_on("none");
    stage
        .parts
        .change_record(|record| record.done.source_powered_off_at = None);
    stage.finish().await.unwrap();
    let world = stage.parts.world();
    for (event, place) in [
        (0, &world.events[0].1["evidence"]["plan"]["kept"]),
        (1, &world.events[1].1["evidence"]["kept"]),
    ] {
        let kept = place.to_string();
        assert!(
            kept.contains("left to a person: power it on"),
            "{event}: {kept}"
        );
    }
}

#[tokio::test]
async fn a_compensation_that_is_refused_freezes_and_the_rest_is_left() {
    let calls = {
        let stage = Stage::moved().await;
        stage.finish().await.unwrap();
        stage.parts.world().calls.clone()
    };
    for (index, call) in calls.iter().enumerate() {
        let stage = Stage::moved().await;
        stage.parts.world().fault = Some((index, Fault::Refused));
        let result = stage.finish().await;
        let what = format!("{call} ({index})");
        let own = [
            "GetItem",
            "Query",
            "UpdateItem",
            "DeleteItem",
            "PutItem",
            "TransactWriteItems",
            "PutEvents",
        ];
        if own.contains(&call.as_str()) {
            // Without its table or its bus it cannot even freeze, unless that works the next moment.
            if let Err(error) = result {
                assert_eq!(error.name, ErrorName::InternalError, "{what}");
            }
            continue;
        }
        let answer = result.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(answer["status"], "FROZEN", "{what}");
        let world = stage.parts.world();
        if world.power != "running" {
            assert_eq!(
                world.name("app.example.com", "A").unwrap().values,
                ["10.1.0.11"],
                "{what}"
            );
        }
        if world.name("app.example.com", "A").unwrap().values == ["10.1.0.11"] {
            assert_eq!(world.instances[TARGET].state, "running", "{what}");
        }
    }
}

#[tokio::test]
async fn a_key_that_was_changed_stays_and_the_end_says_so() {
    let stage = Stage::moved().await;
    stage.parts.change_record(|record| {
        record.done.encryption_key = Some(landfall_domain::record::EncryptionKeyChange {
            previous: Some("arn:old".into()),
            key: "arn:new".into(),
            changed_at: "2026-11-21T10:00:00Z".into(),
        });
    });
    assert_eq!(stage.finish().await.unwrap()["status"], "ROLLED_BACK");
    stage.assert_undone("");
    let world = stage.parts.world();
    assert_eq!(world.count("UpdateReplicationConfiguration"), 0);
    let kept = world.events[1].1["evidence"]["kept"].to_string();
    assert!(
        kept.contains("arn:new") && kept.contains("arn:old"),
        "{kept}"
    );
}

#[tokio::test]
async fn nothing_done_is_just_failed() {
    for status in [Status::Validating, Status::Preparing, Status::ReadyForTest] {
        let stage = Stage::before_launch(LaunchAction::Test).await;
        stage.parts.change_record(|record| record.status = status);
        let answer = stage.finish().await.unwrap();
        assert_eq!(answer["status"], "FAILED", "{status}");
        let world = stage.parts.world();
        assert_eq!(world.event_types(), ["RollbackStarted", "MigrationFailed"]);
        assert_eq!(world.events[1].1["reasonCode"], "CutoverError");
    }
}

#[tokio::test]
async fn the_failure_of_the_pre_flight_is_kept() {
    let stage = Stage::before_launch(LaunchAction::Test).await;
    stage.parts.change_record(|record| {
        record.status = Status::Validating;
        record.failure = Some(landfall_domain::record::Failure {
            error: "ValidationError".into(),
            message: "2 checks failed".into(),
            state: "ValidateInput".into(),
            findings: vec![],
        });
    });
    let answer = stage.finish().await.unwrap();
    assert_eq!(answer["failure"]["message"], "2 checks failed");
    assert_eq!(
        stage.parts.world().event_types(),
        ["RollbackStarted", "MigrationFailed"]
    );
}

#[tokio::test]
async fn trap_finalize_uninstalls_the_agent_and_nothing_after_it_is_undone() {
    // Noted, or carried out by MGN with the answer lost.
    for noted in [true, false] {
        let stage = Stage::moved().await;
        stage.parts.world().lifecycle = "CUTOVER".into();
        if noted {
            stage.parts.change_record(|record| {
                record.done.finalized_at = Some("2026-11-21T11:30:00Z".into());
            });
        }
        let before = stage.parts.world().outside();
        assert_eq!(stage.finish().await.unwrap()["status"], "FROZEN");
        stage.assert_frozen("the point of no return");
        let world = stage.parts.world();
        assert_eq!(world.outside(), before);
        assert!(world.record().done.finalized_at.is_some());
        let evidence = &world.events.last().unwrap().1["evidence"];
        assert_eq!(evidence["notDone"][0], "POWER_ON_SOURCE");
        assert_eq!(evidence["irreversible"].as_array().unwrap().len(), 1);
    }
}

#[tokio::test]
async fn a_name_that_somebody_changed_since_is_left_and_the_target_stays() {
    let stage = Stage::moved().await;
    {
        let mut world = stage.parts.world();
        let key = ("Z1".into(), "app.example.com".into(), "A".into());
        let value = DnsValue {
            ttl: 60,
            values: vec!["203.0.113.9".into()],
        };
        world.names.insert(key, value);
    }
    assert_eq!(stage.finish().await.unwrap()["status"], "FROZEN");
    stage.assert_frozen("203.0.113.9");
    assert_eq!(stage.parts.world().instances[TARGET].state, "running");
}

#[tokio::test]
async fn a_factory_that_does_not_take_its_status_back_freezes_only_who_requires_it() {
    let index = {
        let probe = Stage::moved().await;
        probe.finish().await.unwrap();
        let world = probe.parts.world();
        world.calls.iter().position(|it| it == "cmf:PUT:7").unwrap()
    };
    for fault in [Fault::Refused, Fault::Unavailable] {
        let mut stage = Stage::moved().await;
        stage.deps.cmf.as_mut().unwrap().weight = Weight::Told;
        stage.parts.world().fault = Some((index, fault));
        assert_eq!(stage.finish().await.unwrap()["status"], "ROLLED_BACK");
        let world = stage.parts.world();
        let done = &world.events.last().unwrap().1["evidence"]["done"];
        let last = done.as_array().unwrap().last().unwrap();
        assert_eq!(last["compensation"], "RESTORE_CMF");
        let outcome = last["outcome"].as_str().unwrap();
        assert!(
            outcome.contains("left to a person") && outcome.contains("Not started"),
            "{outcome}"
        );
    }
    // Whoever takes it out of the deployment no longer wants it kept.
    let mut stage = Stage::moved().await;
    stage.deps.cmf = None;
    assert_eq!(stage.finish().await.unwrap()["status"], "ROLLED_BACK");
}

#[tokio::test]
async fn trap_nothing_is_terminated_in_testing_or_cutting_over() {
    let stage = Stage::moved().await;
    assert_eq!(stage.parts.world().lifecycle, "CUTTING_OVER");
    stage.finish().await.unwrap();
    let world = stage.parts.world();
    let at = |call: &str| world.calls.iter().position(|c| c == call).unwrap();
    assert!(at("ChangeServerLifeCycleState") < at("TerminateTargetInstances"));
    assert_eq!(world.terminations, 1);
}

#[tokio::test]
async fn a_lifecycle_that_cannot_change_without_a_lag_is_waited_for() {
    let stage = Stage::moved().await;
    stage.parts.world().lag = None;
    let error = stage.finish().await.unwrap_err();
    assert_eq!(error.name, ErrorName::DependencyUnavailable);
    assert!(error.message.contains("launchable snapshot"), "{error}");
    assert_eq!(stage.parts.world().terminations, 0);
    stage.parts.world().lag = Some("PT1S");
    assert_eq!(stage.finish().await.unwrap()["status"], "ROLLED_BACK");
}
