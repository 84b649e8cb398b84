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
    // What follows from nothing of each other may come in any order.
    for order in [
        &[
            "azure:POST:start",
            "ChangeResourceRecordSets",
            "TestDNSAnswer",
            "cmdb:PATCH:abc",
        ][..],
        &["TestDNSAnswer", "cmf:PUT:7"],
        &[
            "TestDNSAnswer",
            "ChangeServerLifeCycleState",
            "ModifyInstanceAttribute",
            "TerminateTargetInstances",
        ],
        &[
            "ChangeServerLifeCycleState",
            "UpdateLaunchConfiguration",
            "ModifyLaunchTemplate",
        ],
    ] {
        let order: Vec<usize> = order.iter().map(|&call| at(call)).collect();
        assert!(order.is_sorted(), "{:?}", world.calls);
    }
    let plan = &world.events[0].1["evidence"]["plan"]["compensations"];
    assert_eq!(plan.as_array().unwrap().len(), 11);
    let done = &world.events[1].1["evidence"]["done"];
    assert_eq!(done.as_array().unwrap().len(), 11);
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

/// The calls of a whole rollback that belong to the table and the bus.
const OWN: [&str; 7] = [
    "GetItem",
    "Query",
    "UpdateItem",
    "DeleteItem",
    "PutItem",
    "TransactWriteItems",
    "PutEvents",
];

#[tokio::test]
async fn a_compensation_that_is_refused_once_is_tried_again() {
    let calls = {
        let stage = Stage::moved().await;
        stage.finish().await.unwrap();
        stage.parts.world().calls.clone()
    };
    for (index, call) in calls.iter().enumerate() {
        if OWN.contains(&call.as_str()) {
            continue;
        }
        let stage = Stage::moved().await;
        stage.parts.world().fault = Some((index, Fault::Refused));
        let what = format!("{call} ({index})");
        let answer = stage.finish().await;
        let answer = answer.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(answer["status"], "ROLLED_BACK", "{what}");
        stage.assert_undone(&what);
    }
}

#[tokio::test]
async fn a_compensation_that_stays_refused_freezes_and_only_what_rests_on_it_is_left() {
    // By the call that is refused: what is not done then.
    let all = [
        "POWER_ON_SOURCE",
        "RESTORE_DNS CNAME www.example.com Z1",
        "RESTORE_DNS A app.example.com Z1",
        "CHECK_TRAFFIC",
        "RESTORE_CMDB",
        "REVERT_LIFECYCLE",
        "TERMINATE_TARGET",
        "RESTORE_RIGHT_SIZING",
        "RESTORE_COPY_PRIVATE_IP",
        "RESTORE_LAUNCH_TEMPLATE",
        "RESTORE_CMF",
    ];
    for (call, left) in [
        ("azure:POST:start", &all[..]),
        ("ChangeResourceRecordSets", &all[1..]),
        ("TestDNSAnswer", &all[3..]),
        ("cmdb:PATCH:abc", &all[4..5]),
        ("ChangeServerLifeCycleState", &all[5..10]),
        ("TerminateTargetInstances", &all[6..7]),
        ("UpdateLaunchConfiguration", &all[7..10]),
        ("ModifyLaunchTemplate", &all[9..10]),
        ("cmf:PUT:7", &all[10..]),
    ] {
        let stage = Stage::moved().await;
        stage.parts.world().refused = Some(call.to_owned());
        let answer = stage.finish().await;
        let answer = answer.unwrap_or_else(|error| panic!("{call}: {error}"));
        assert_eq!(answer["status"], "FROZEN", "{call}");
        let world = stage.parts.world();
        let made = world.count(call);
        assert!(made >= 3, "{call} was tried {made} times");
        let record = world.record();
        let hand_over = record.hand_over.as_ref().unwrap();
        let not_done: Vec<&str> = hand_over
            .not_done
            .iter()
            .map(|line| line.compensation.as_str())
            .collect();
        assert_eq!(not_done, left, "{call}");
        assert_eq!(hand_over.by_hand.len(), left.len(), "{call}");
        assert_eq!(hand_over.done.len(), all.len() - left.len(), "{call}");
        let evidence = &world.events.last().unwrap().1["evidence"];
        assert_eq!(evidence["notDone"], serde_json::json!(left), "{call}");
        let text = evidence["handOver"].as_str().unwrap();
        assert!(text.contains("refused 3 times"), "{call}: {text}");
        // Users never work on a target that is on its way out.
        if world.name("app.example.com", "A").unwrap().values == ["10.1.0.11"] {
            assert_eq!(world.instances[TARGET].state, "running", "{call}");
        }
    }
}

#[tokio::test]
async fn how_long_it_took_is_the_next_one_s_estimate() {
    let stage = Stage::moved().await;
    stage.finish().await.unwrap();
    let estimates = stage.deps.journal.store.rollback_estimates().await.unwrap();
    let of = |name: &str| estimates.0[name].runs;
    assert_eq!(of("POWER_ON_SOURCE"), 1);
    assert_eq!(of("RESTORE_DNS"), 2, "each name counts");
    assert_eq!(estimates.0.len(), 10, "{estimates:?}");
}

#[tokio::test]
async fn the_plan_is_told_in_any_status_and_nothing_is_touched() {
    let ask = serde_json::json!({"action": "plan", "tenantId": "default", "migrationId": "mig-1"});
    let stage = Stage::moved().await;
    let plan = rollback::handle(&stage.deps, ask.clone(), world::invocation())
        .await
        .unwrap();
    assert_eq!(stage.parts.world().calls, ["GetItem", "GetItem"]);
    assert_eq!(
        (&plan["risk"], &plan["status"]),
        (&"HIGH".into(), &"FINALIZING".into())
    );
    let steps = plan["plan"]["compensations"].as_array().unwrap();
    assert_eq!(steps.len(), 11);
    assert_eq!(steps[0]["kind"], "POWER_ON_SOURCE");
    assert_eq!(steps[1]["after"][0], "POWER_ON_SOURCE");
    assert_eq!(plan["progress"], serde_json::Value::Null);

    stage.finish().await.unwrap();
    let after = rollback::handle(&stage.deps, ask, world::invocation())
        .await
        .unwrap();
    assert_eq!(after["status"], "ROLLED_BACK");
    assert!(after["progress"]["steps"]["CHECK_TRAFFIC"]["doneAt"].is_string());

    let unknown = serde_json::json!({"action": "plan", "tenantId": "default", "migrationId": "x"});
    let error = rollback::handle(&stage.deps, unknown, world::invocation()).await;
    assert_eq!(error.unwrap_err().name, ErrorName::ValidationError);
}

#[tokio::test]
async fn names_of_a_private_zone_are_read_in_the_zone() {
    let stage = Stage::moved().await;
    stage.parts.world().private_zones = true;
    assert_eq!(stage.finish().await.unwrap()["status"], "ROLLED_BACK");
    stage.assert_undone("");
}

#[tokio::test]
async fn the_replication_ends_where_the_request_says_so() {
    for (stops, replicates) in [("keep", true), ("stop", false)] {
        let stage = Stage::moved().await;
        stage.parts.change_record(|record| {
            let policy = serde_json::json!({"rollback": {"replication": stops}});
            record.request.policy = serde_json::from_value(policy).unwrap();
        });
        assert_eq!(stage.finish().await.unwrap()["status"], "ROLLED_BACK");
        let world = stage.parts.world();
        assert_eq!(world.replicates, replicates, "{stops}");
        assert_eq!(world.instances[TARGET].state, "terminated", "{stops}");
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
        assert!(
            evidence["handOver"]
                .as_str()
                .unwrap()
                .contains("Cannot be undone:")
        );
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
        // Once: it is tried again.
        let mut stage = Stage::moved().await;
        stage.deps.cmf.as_mut().unwrap().weight = Weight::Told;
        stage.parts.world().fault = Some((index, fault));
        assert_eq!(stage.finish().await.unwrap()["status"], "ROLLED_BACK");
        stage.assert_undone("");
    }
    {
        let mut stage = Stage::moved().await;
        stage.deps.cmf.as_mut().unwrap().weight = Weight::Told;
        stage.parts.world().refused = Some("cmf:PUT:7".to_owned());
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

#[tokio::test]
async fn a_cmdb_that_lets_nobody_in_freezes_and_says_where_its_account_is() {
    let stage = Stage::moved().await;
    stage.parts.world().cmdb_password = "old-password";
    let answer = stage.finish().await.unwrap();
    assert_eq!(answer["status"], "FROZEN");
    let world = stage.parts.world();
    assert_eq!(world.cmdb["ip_address"], "10.1.0.11");
    let told = format!("{:?}", world.events);
    for part in ["answered 401", "the secret landfall/cmdb"] {
        assert!(told.contains(part), "{told}");
    }
    assert!(!told.contains("old-password"), "{told}");
}
