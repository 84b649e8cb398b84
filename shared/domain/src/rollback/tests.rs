//! The plan of what was done, and how it is carried out.

mod progress;

use jiff::Timestamp;

use super::{
    Compensation, Estimates, HandOver, Outcome, PastRuns, Progress, Risk, RollbackPlan, TRIES,
};
use crate::record::tests::record;
use crate::record::{
    AgentCommand, DnsChange, EncryptionKeyChange, Launch, LaunchAction, LaunchTemplateChange,
    MigrationRecord, PreviousStatus,
};
use crate::status::Status;

fn plan(record: &MigrationRecord) -> RollbackPlan {
    super::plan(record, &Estimates::default())
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn launch(job: &str) -> Launch {
    Launch {
        job_id: job.into(),
        settings_digest: String::new(),
        started_at: String::new(),
        instance_id: None,
        verified_at: None,
    }
}

fn names(record: &MigrationRecord) -> Vec<&'static str> {
    plan(record)
        .compensations
        .iter()
        .map(|step| step.compensation.name())
        .collect()
}

#[test]
fn nothing_done_nothing_undone() {
    assert_eq!(plan(&record()), RollbackPlan::default());
}

#[test]
fn an_installed_agent_is_kept_and_said_so() {
    let mut record = record();
    record.done.agent_command = Some(AgentCommand {
        command_id: "c".into(),
        instance_id: "mi-1".into(),
    });
    assert!(plan(&record).compensations.is_empty());
    assert_eq!(plan(&record).kept.len(), 1);
    // MGN's FinalizeCutover has ended what it is there for.
    record.done.finalized_at = Some("2026-11-21T11:30:00Z".into());
    assert_eq!(plan(&record).kept, ["the target instance"]);
}

#[test]
fn whoever_was_told_to_power_the_source_off_is_told_to_power_it_on() {
    let mut record = record();
    assert!(record.request.controlled_source().is_none());
    assert!(plan(&record).kept.is_empty(), "nobody was told yet");
    record.status = Status::Finalizing;
    let told = &plan(&record).kept[0];
    assert!(
        told.contains("left to a person") && told.contains("power it on"),
        "{told}"
    );
    record.request.source_control = serde_json::from_value(serde_json::json!({
        "kind": "ec2", "instanceId": "i-1", "region": "eu-west-1"
    }))
    .unwrap();
    assert!(plan(&record).kept.is_empty(), "somebody else's power-off");
}

#[test]
fn a_server_s_status_in_cmf_goes_back_and_its_wave_s_does_not() {
    let mut record = record();
    let before = |id: &str, previous: &str| {
        Some(PreviousStatus {
            id: id.into(),
            previous: previous.into(),
        })
    };
    record.done.cmf = before("7", "Ready");
    record.done.cmf_wave = before("3", "Planning");
    assert_eq!(names(&record), ["RESTORE_CMF"]);
    let kept = &plan(&record).kept;
    assert!(
        kept[0].contains("the wave 3") && kept[0].contains("Planning"),
        "{kept:?}"
    );
}

#[test]
fn a_key_that_was_changed_stays_and_the_history_says_why() {
    let mut record = record();
    record.done.encryption_key = Some(EncryptionKeyChange {
        previous: None,
        key: "arn:new".into(),
        changed_at: "2026-01-01T00:00:00Z".into(),
    });
    let plan = plan(&record);
    assert!(plan.compensations.is_empty());
    let said = &plan.kept[0];
    assert!(
        said.contains("arn:new") && said.contains("default key"),
        "{said}"
    );
}

#[test]
fn the_lifecycle_is_left_before_the_target_goes() {
    let mut record = record();
    record.done.test = Some(launch("mgnjob-1"));
    assert_eq!(names(&record), ["REVERT_LIFECYCLE", "TERMINATE_TARGET"]);
}

#[test]
fn a_cutover_after_a_verified_test_goes_back_to_ready_for_cutover() {
    let mut record = record();
    let to = |record: &MigrationRecord| match &plan(record).compensations[0].compensation {
        Compensation::RevertLifecycle { to, .. } => to.clone(),
        other => panic!("{other:?}"),
    };
    record.done.cutover = Some(launch("mgnjob-2"));
    assert_eq!(to(&record), "READY_FOR_TEST");
    record.done.test = Some(Launch {
        verified_at: Some("x".into()),
        ..launch("mgnjob-1")
    });
    assert_eq!(to(&record), "READY_FOR_CUTOVER");
    assert!(
        plan(&record)
            .compensations
            .iter()
            .any(|step| step.compensation
                == Compensation::TerminateTarget {
                    action: LaunchAction::Cutover,
                    job_id: "mgnjob-2".into()
                })
    );
}

#[test]
fn mgn_s_own_settings_come_back_before_the_template() {
    let mut record = record();
    record.done.right_sizing = Some("BASIC".into());
    record.done.copied_private_ip = true;
    record.done.launch_template = Some(LaunchTemplateChange {
        template_id: "lt-1".into(),
        previous_version: 1,
        version: 2,
    });
    assert_eq!(
        names(&record),
        [
            "RESTORE_RIGHT_SIZING",
            "RESTORE_COPY_PRIVATE_IP",
            "RESTORE_LAUNCH_TEMPLATE"
        ]
    );
}

#[test]
fn a_server_that_was_moved_on_untested_goes_back_even_without_a_launch() {
    let mut record = record();
    record.done.moved_to_cutover = true;
    let back = Compensation::RevertLifecycle {
        action: LaunchAction::Cutover,
        to: "READY_FOR_TEST".into(),
    };
    assert_eq!(plan(&record).compensations.len(), 1);
    assert_eq!(plan(&record).compensations[0].compensation, back);
    record.done.cutover = Some(launch("mgnjob-2"));
    // Whatever was tested, it came from READY_FOR_TEST.
    record.done.test = Some(Launch {
        verified_at: Some("x".into()),
        ..launch("mgnjob-1")
    });
    assert_eq!(plan(&record).compensations[0].compensation, back);
    assert_eq!(names(&record), ["REVERT_LIFECYCLE", "TERMINATE_TARGET"]);
    record.done.finalized_at = Some("x".into());
    assert!(names(&record).is_empty(), "CUTOVER is for good");
}

/// A migration that failed in the middle of its finalize.
fn moved() -> MigrationRecord {
    let mut record = record();
    record.status = Status::Finalizing;
    record.source_server_id = Some("s-1".into());
    record.done.cutover = Some(launch("mgnjob-2"));
    record.done.source_powered_off_at = Some("x".into());
    record.done.cmdb_previous = Some(serde_json::json!({"ip_address": "192.0.2.10"}));
    record.done.cmf = Some(PreviousStatus {
        id: "7".into(),
        previous: "Ready".into(),
    });
    record.done.right_sizing = Some("BASIC".into());
    record.done.launch_template = Some(LaunchTemplateChange {
        template_id: "lt-1".into(),
        previous_version: 1,
        version: 2,
    });
    let change = DnsChange {
        hosted_zone_id: "Z".into(),
        name: "a".into(),
        record_type: "A".into(),
        previous: None,
        value: crate::record::DnsValue {
            ttl: 60,
            values: vec![],
        },
    };
    record.done.dns = vec![
        change.clone(),
        DnsChange {
            name: "b".into(),
            ..change
        },
    ];
    record
}

#[test]
fn users_come_back_to_the_source_before_anything_else_and_what_is_independent_has_no_order() {
    let plan = plan(&moved());
    let order: Vec<(&str, Vec<&str>)> = plan
        .compensations
        .iter()
        .map(|step| {
            let after = step.after.iter().map(String::as_str).collect();
            (step.id.as_str(), after)
        })
        .collect();
    let (a, b) = ("RESTORE_DNS A a Z", "RESTORE_DNS A b Z");
    assert_eq!(
        order,
        [
            ("POWER_ON_SOURCE", vec![]),
            (b, vec!["POWER_ON_SOURCE"]),
            (a, vec!["POWER_ON_SOURCE"]),
            ("CHECK_TRAFFIC", vec![b, a]),
            ("RESTORE_CMDB", vec!["CHECK_TRAFFIC"]),
            ("REVERT_LIFECYCLE", vec!["CHECK_TRAFFIC"]),
            ("TERMINATE_TARGET", vec!["REVERT_LIFECYCLE"]),
            ("RESTORE_RIGHT_SIZING", vec!["REVERT_LIFECYCLE"]),
            ("RESTORE_LAUNCH_TEMPLATE", vec!["RESTORE_RIGHT_SIZING"]),
            ("RESTORE_CMF", vec!["CHECK_TRAFFIC"]),
        ]
    );
}

/// The same, where somebody else powered the source off, or nobody did.
fn moved_without_power() -> MigrationRecord {
    let mut record = moved();
    record.done.source_powered_off_at = None;
    record
}

#[test]
fn a_source_that_landfall_did_not_power_off_is_looked_at_before_users_come_back() {
    let mut record = moved_without_power();
    let left = |record: &MigrationRecord| {
        let kept = plan(record).kept;
        kept.iter().any(|line| line.contains("left to a person"))
    };
    assert_eq!(names(&record)[0], "RESTORE_DNS", "nothing can be asked");
    assert!(left(&record));
    let check = serde_json::json!([{
        "kind": "http", "url": "http://{privateIp}/", "source": {"url": "http://192.0.2.10/"},
    }]);
    record.request.health_checks = serde_json::from_value(check).unwrap();
    assert_eq!(names(&record)[0], "CHECK_SOURCE");
    assert!(left(&record), "whoever must do it reads it in the plan");
    let failed = serde_json::json!({"samples": [{"check": 0, "url": "u", "seen": "503"}]});
    record.done.baseline = serde_json::from_value(failed).unwrap();
    assert_eq!(names(&record)[0], "RESTORE_DNS", "it did not pass before");
    record.request.source_control = serde_json::from_value(serde_json::json!({
        "kind": "ec2", "instanceId": "i-1", "region": "eu-west-1"
    }))
    .unwrap();
    assert!(!left(&record));
    let order = plan(&record).compensations;
    assert_eq!(order[0].id, "CHECK_SOURCE");
    assert_eq!(order[0].risk, Risk::Low);
    assert_eq!(order[1].after, ["CHECK_SOURCE"]);
    // Without names of its own it comes before all else.
    record.done.dns.clear();
    let rest = plan(&record).compensations;
    let after = |id: &str| {
        rest.iter()
            .find(|step| step.id == id)
            .unwrap()
            .after
            .clone()
    };
    for id in ["RESTORE_CMDB", "REVERT_LIFECYCLE", "RESTORE_CMF"] {
        assert_eq!(after(id), ["CHECK_SOURCE"], "{id}");
    }
    // Before finalize nobody was moved.
    record.status = Status::CutoverVerified;
    assert_eq!(names(&record)[0], "RESTORE_CMDB");
}

#[test]
fn once_finalize_has_noted_anything_the_source_may_be_off_and_a_look_alone_is_no_plan() {
    let mut record = moved_without_power();
    record.status = Status::Succeeded;
    record.done.dns.clear();
    record.request.source_control = serde_json::from_value(serde_json::json!({
        "kind": "ec2", "instanceId": "i-1", "region": "eu-west-1"
    }))
    .unwrap();
    let (step, now) = (crate::finalize::Step::SourcePowerOff, at(0));
    let seen = "was off before".into();
    crate::finalize::set(
        &mut record.done,
        step,
        crate::finalize::State::Done,
        seen,
        now,
    );
    assert_eq!(names(&record)[0], "CHECK_SOURCE");
    record.done.finalized_at = Some("x".into());
    assert_eq!(
        names(&record),
        ["CHECK_SOURCE", "RESTORE_CMDB", "RESTORE_CMF"]
    );
    record.done.cmdb_previous = None;
    record.done.cmf = None;
    assert!(names(&record).is_empty(), "nothing comes after it");
}

#[test]
fn the_power_that_was_left_to_a_person_is_named_after_the_end_too() {
    let mut record = record();
    record.status = Status::Requested;
    let (step, now) = (crate::finalize::Step::SourcePowerOff, at(0));
    let left = crate::finalize::State::Left;
    crate::finalize::set(&mut record.done, step, left, "left to a person".into(), now);
    let told = &plan(&record).kept[0];
    assert!(told.contains("power it on"), "{told}");
}

#[test]
fn the_replication_ends_last_and_only_where_the_request_says_so() {
    let mut record = moved();
    assert!(!names(&record).contains(&"STOP_REPLICATION"));
    record.request.policy =
        serde_json::from_value(serde_json::json!({"rollback": {"replication": "stop"}})).unwrap();
    let stopped = plan(&record);
    let step = stopped
        .compensations
        .iter()
        .find(|step| step.id == "STOP_REPLICATION");
    assert_eq!(
        step.unwrap().after,
        [
            "TERMINATE_TARGET",
            "RESTORE_RIGHT_SIZING",
            "RESTORE_LAUNCH_TEMPLATE"
        ]
    );
    record.done.finalized_at = Some("x".into());
    assert!(
        !names(&record).contains(&"STOP_REPLICATION"),
        "it has ended"
    );
}

#[test]
fn a_rollback_is_risky_from_when_users_may_have_worked_on_the_target() {
    let mut record = record();
    assert_eq!(plan(&record).risk(), None);
    record.done.test = Some(launch("mgnjob-1"));
    assert_eq!(plan(&record).risk(), Some(Risk::Low));
    record.done.cutover = Some(launch("mgnjob-2"));
    assert_eq!(plan(&record).risk(), Some(Risk::Medium));
    assert!(!plan(&record).is_risky());
    assert!(plan(&moved()).is_risky());
}

#[test]
fn after_the_point_of_no_return_users_can_still_go_back_and_the_target_stays() {
    let mut record = record();
    record.done.cutover = Some(launch("mgnjob-2"));
    record.done.finalized_at = Some("2026-01-01T00:00:00Z".into());
    let plan = plan(&record);
    assert!(plan.compensations.is_empty());
    assert_eq!(plan.irreversible.len(), 1);
    assert_eq!(plan.kept, ["the target instance"]);
}

#[test]
fn what_can_be_undone_after_the_point_of_no_return_is_still_planned() {
    let mut record = moved();
    record.done.finalized_at = Some("2026-01-01T00:00:00Z".into());
    let wanted = [
        "POWER_ON_SOURCE",
        "RESTORE_DNS",
        "RESTORE_DNS",
        "CHECK_TRAFFIC",
        "RESTORE_CMDB",
        "RESTORE_CMF",
    ];
    assert_eq!(names(&record), wanted);
    assert!(plan(&record).irreversible[0].contains("FinalizeCutover"));
}

#[test]
fn without_its_source_nothing_goes_back() {
    let mut record = moved();
    record.done.finalized_at = Some("2026-01-01T00:00:00Z".into());
    record.done.decommission = Some(crate::record::Decommission {
        state: crate::finalize::State::Done,
        at: "2026-02-01T00:00:00Z".into(),
    });
    let plan = plan(&record);
    assert!(plan.compensations.is_empty());
    assert_eq!(plan.irreversible.len(), 2);
    assert!(plan.irreversible[1].contains("deleted from its platform"));
}

#[test]
fn a_source_that_nobody_has_seen_gone_is_gone_back_to() {
    use crate::finalize::State;
    let mut whole = moved();
    whole.done.finalized_at = Some("2026-01-01T00:00:00Z".into());
    let usual = plan(&whole);
    for (state, goes_back) in [
        (None, true),
        (Some(State::Begun), true),
        (Some(State::Left), true),
        (Some(State::Done), false),
    ] {
        let mut record = whole.clone();
        record.done.decommission = state.map(|state| crate::record::Decommission {
            state,
            at: "2026-02-01T00:00:00Z".into(),
        });
        let plan = plan(&record);
        assert_eq!(plan.compensations.is_empty(), !goes_back, "{state:?}");
        if goes_back {
            assert_eq!(plan.compensations, usual.compensations, "{state:?}");
            let told = plan.kept.iter();
            let told = told.filter(|it| it.contains("asked for at 2026-02-01T00:00:00Z"));
            assert_eq!(told.count(), usize::from(state.is_some()), "{state:?}");
        }
    }
}
