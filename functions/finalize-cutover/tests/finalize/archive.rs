//! The end of the retention.

use landfall_domain::rollback::{self, Estimates};
use landfall_domain::{ErrorName, MigrationRecord, StageError, Status};
use serde_json::{Value, json};

use crate::Stage;
use crate::world::{Fault, SOURCE};

/// A migration that has succeeded, whose source is to be deleted and somebody agreed.
async fn succeeded(kind: &str) -> Stage {
    let stage = match kind {
        "azure" => Stage::new().await,
        _ => Stage::on(kind).await,
    };
    stage.finish().await.unwrap();
    stage.parts.change_record(|record| {
        record.request.policy.retention = serde_json::from_value(json!({
            "archiveAfterDays": 30, "decommissionSource": true,
        }))
        .unwrap();
        let gate = json!({
            "gate": "decommission", "openedAt": "2026-12-21T12:00:00Z", "grantedAt": "2026-12-21T13:00:00Z",
            "answers": [{
                "by": "arn:aws:iam::123456789012:user/a", "approve": true, "reason": "done with it",
                "at": "2026-12-21T13:00:00Z",
            }],
        });
        record.gates.push(serde_json::from_value(gate).unwrap());
    });
    let mut world = stage.parts.world();
    world.calls.clear();
    world.events.clear();
    drop(world);
    stage
}

async fn archive(stage: &Stage) -> Result<Value, StageError> {
    let mut last = stage.run(json!({"phase": "archive"})).await;
    for _ in 0..10 {
        match &last {
            Err(error) if error.name.is_transient() => {
                last = stage.run(json!({"phase": "archive"})).await;
            }
            _ => break,
        }
    }
    last
}

fn assert_gone(stage: &Stage, what: &str) {
    let world = stage.parts.world();
    assert_eq!(world.power, "deleted", "{what}");
    assert_eq!(world.archived, 1, "{what}");
    let record = world.record();
    assert_eq!(record.status, Status::Succeeded, "{what}");
    assert!(record.done.archived_at.is_some(), "{what}");
    assert_eq!(
        world.event_types(),
        ["SourceDecommissioned", "ServerArchived"],
        "{what}"
    );
}

#[tokio::test]
async fn the_source_goes_first_and_its_server_is_archived_then() {
    for (kind, order) in [
        ("azure", "azure:DELETE:web-01"),
        ("ec2", "source:TerminateInstances"),
    ] {
        let stage = succeeded(kind).await;
        assert_eq!(archive(&stage).await.unwrap()["status"], "SUCCEEDED");
        assert_gone(&stage, kind);
        let world = stage.parts.world();
        let at = |call: &str| world.calls.iter().position(|c| c == call).unwrap();
        assert!(at(order) < at("MarkAsArchived"), "{:?}", world.calls);
        assert_eq!(world.count(order), 1);
        let (_, told) = &world.events[0];
        assert_eq!(
            told["evidence"]["approvedBy"],
            json!(["arn:aws:iam::123456789012:user/a"])
        );
    }
}

#[tokio::test]
async fn a_second_run_changes_nothing() {
    let stage = succeeded("azure").await;
    archive(&stage).await.unwrap();
    stage.parts.world().calls.clear();
    archive(&stage).await.unwrap();
    assert_eq!(stage.parts.world().calls, ["GetItem"]);
    assert_gone(&stage, "twice");
}

#[tokio::test]
async fn whatever_call_fails_once_the_next_run_goes_on() {
    for kind in ["azure", "ec2"] {
        let calls = {
            let stage = succeeded(kind).await;
            archive(&stage).await.unwrap();
            stage.parts.world().calls.clone()
        };
        for (index, call) in calls.iter().enumerate() {
            for fault in [Fault::Unavailable, Fault::Lost] {
                let stage = succeeded(kind).await;
                stage.parts.world().fault = Some((index, fault));
                let what = format!("{kind} {call} ({index}) {fault:?}");
                archive(&stage)
                    .await
                    .unwrap_or_else(|error| panic!("{what}: {error}"));
                let world = stage.parts.world();
                assert_eq!(
                    (world.power.as_str(), world.archived > 0),
                    ("deleted", true),
                    "{what}"
                );
                assert!(world.record().done.archived_at.is_some(), "{what}");
            }
        }
    }
}

#[tokio::test]
async fn nothing_goes_that_nobody_agreed_to_or_that_is_used_again() {
    #[expect(clippy::type_complexity, reason = "what is said, where, and why")]
    let table: [(&str, &str, fn(&mut MigrationRecord)); 5] = [
        ("nobody has agreed", "azure", |r| {
            r.gates
                .retain(|it| it.gate != landfall_domain::gate::Gate::Decommission);
        }),
        ("nobody has agreed", "azure", |r| {
            r.gates[1].granted_at = None;
        }),
        // A gate that asks nobody is no agreement.
        ("nobody has agreed", "azure", |r| r.gates[1].answers.clear()),
        ("decommission_instance_arns", "ec2", |r| {
            let control = r.request.source_control.as_mut().unwrap();
            control.region = Some("eu-west-2".into());
        }),
        ("no machine in vSphere", "vsphere", |_| {}),
    ];
    for (told, kind, change) in table {
        let stage = succeeded(kind).await;
        stage.parts.change_record(change);
        for _ in 0..2 {
            let error = archive(&stage).await.unwrap_err();
            assert_eq!(error.name, ErrorName::CutoverError, "{error}");
            assert!(error.message.contains(told), "{error}");
        }
        let world = stage.parts.world();
        let warnings = world.record().done.warnings;
        assert_eq!(warnings.len(), 1);
        assert_eq!(warnings[0].code, "NOT_ARCHIVED");
        assert!(warnings[0].message.contains(told), "{warnings:?}");
        assert_eq!(
            (world.power.as_str(), world.archived),
            ("deallocated", 0),
            "{told}"
        );
    }
    for kind in ["azure", "ec2"] {
        let stage = succeeded(kind).await;
        stage.parts.world().power = "running".into();
        for _ in 0..2 {
            let error = archive(&stage).await.unwrap_err();
            assert!(error.message.contains("is not off"), "{error}");
            let world = stage.parts.world();
            assert_eq!((world.power.as_str(), world.archived), ("running", 0));
            // It was not deleted, so an order to roll back goes back to it.
            let record = world.record();
            assert_eq!(record.done.decommission, None, "{kind}");
            assert_eq!(record.done.warnings.len(), 1, "{kind}");
            let plan = rollback::plan(&record, &Estimates::default());
            assert!(!plan.compensations.is_empty(), "{kind}");
        }
    }
    let stage = succeeded("azure").await;
    stage.parts.world().lifecycle = "READY_FOR_TEST".into();
    stage.parts.change_record(|record| {
        record
            .request
            .policy
            .retention
            .as_mut()
            .unwrap()
            .decommission_source = false;
    });
    let error = archive(&stage).await.unwrap_err();
    assert!(error.message.contains("READY_FOR_TEST"), "{error}");
    assert_eq!(stage.parts.world().archived, 0);
}

#[tokio::test]
async fn that_the_server_is_archived_is_noted_before_and_after() {
    let stage = succeeded("azure").await;
    stage.parts.world().refused = Some("MarkAsArchived".into());
    let error = archive(&stage).await.unwrap_err();
    assert_eq!(error.name, ErrorName::CutoverError);
    {
        let mut world = stage.parts.world();
        let done = world.record().done;
        assert!(done.archiving_at.is_some());
        assert_eq!((done.archived_at, world.archived), (None, 0));
        world.refused = None;
    }
    archive(&stage).await.unwrap();
    assert_gone(&stage, "the second time");
    let told = stage.parts.world().events[1].1["evidence"]["outcome"].clone();
    assert_eq!(told, "archived");
    stage.parts.world().calls.clear();
    archive(&stage).await.unwrap();
    assert_eq!(stage.parts.world().calls, ["GetItem"]);
}

#[tokio::test]
async fn without_a_decommission_the_source_stays() {
    let stage = succeeded("azure").await;
    stage.parts.change_record(|record| {
        record
            .request
            .policy
            .retention
            .as_mut()
            .unwrap()
            .decommission_source = false;
    });
    archive(&stage).await.unwrap();
    let world = stage.parts.world();
    assert_eq!((world.power.as_str(), world.archived), ("deallocated", 1));
    assert_eq!(world.event_types(), ["ServerArchived"]);
    assert_eq!(world.record().done.decommission, None);
}

#[tokio::test]
async fn only_what_has_succeeded_is_archived() {
    let stage = Stage::new().await;
    let error = archive(&stage).await.unwrap_err();
    assert_eq!(error.name, ErrorName::ValidationError, "{SOURCE}");
    assert_eq!(stage.parts.world().archived, 0);
}
