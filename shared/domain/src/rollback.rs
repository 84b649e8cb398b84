//! What a rollback must undo, computed from the record of what was done.

use serde::{Deserialize, Serialize};

use crate::record::{
    DnsChange, Done, LaunchAction, LaunchTemplateChange, MigrationRecord, PreviousStatus,
};
use crate::status::Status;

/// One thing to undo. Each is idempotent, and verified by the rollback function after it is done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(
    tag = "kind",
    rename_all = "SCREAMING_SNAKE_CASE",
    rename_all_fields = "camelCase"
)]
pub enum Compensation {
    /// Power the source on again.
    PowerOnSource,
    /// Put a DNS record back, or remove it where there was none.
    RestoreDns {
        /// What was changed.
        change: DnsChange,
    },
    /// Put the configuration item back.
    RestoreCmdb,
    /// Take the server's MGN lifecycle back: it must be left before a target may be terminated.
    RevertLifecycle {
        /// Which launch is undone, or was made ready; a test goes back to `READY_FOR_TEST`, a cutover to
        /// `READY_FOR_CUTOVER` where a test preceded it in this attempt, else to `READY_FOR_TEST`.
        action: LaunchAction,
        /// The MGN lifecycle state to return to.
        to: String,
    },
    /// Terminate the instance that was launched.
    TerminateTarget {
        /// Which launch made it.
        action: LaunchAction,
        /// The job that made it: a target of another job is not ours to terminate.
        job_id: String,
    },
    /// Let MGN choose the instance type as before. Ahead of the launch template: MGN may write a version of its own.
    RestoreRightSizing {
        /// The method before: `BASIC` or `IN_AWS`.
        method: String,
    },
    /// Let MGN give the target the source's address again.
    RestoreCopyPrivateIp,
    /// Make the earlier launch template version the default again.
    RestoreLaunchTemplate {
        /// What was changed.
        change: LaunchTemplateChange,
    },
    /// Put the CMF record's status back.
    RestoreCmf {
        /// The record and the status it had.
        before: PreviousStatus,
    },
}

impl Compensation {
    /// A stable name for history and messages, for example `TERMINATE_TARGET`.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::PowerOnSource => "POWER_ON_SOURCE",
            Self::RestoreDns { .. } => "RESTORE_DNS",
            Self::RestoreCmdb => "RESTORE_CMDB",
            Self::RevertLifecycle { .. } => "REVERT_LIFECYCLE",
            Self::TerminateTarget { .. } => "TERMINATE_TARGET",
            Self::RestoreRightSizing { .. } => "RESTORE_RIGHT_SIZING",
            Self::RestoreCopyPrivateIp => "RESTORE_COPY_PRIVATE_IP",
            Self::RestoreLaunchTemplate { .. } => "RESTORE_LAUNCH_TEMPLATE",
            Self::RestoreCmf { .. } => "RESTORE_CMF",
        }
    }
}

/// What a rollback does, keeps and cannot undo.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RollbackPlan {
    /// To be done in this order: users back on the source first, then the target away.
    pub compensations: Vec<Compensation>,
    /// What stays on purpose, for the hand-over text.
    pub kept: Vec<String>,
    /// What can no longer be undone; not empty means that a person must look.
    pub irreversible: Vec<String>,
}

/// Computes the plan. Only what the record says was done is undone.
pub fn plan(record: &MigrationRecord) -> RollbackPlan {
    let done = &record.done;
    let mut plan = RollbackPlan::default();
    if let Some(at) = &done.finalized_at {
        plan.irreversible.push(format!(
            "MGN FinalizeCutover at {at}: replication has ended; going back means a new agent and a full sync"
        ));
    }
    if done.source_powered_off_at.is_some() {
        plan.compensations.push(Compensation::PowerOnSource);
    } else if record.stage() == Status::Finalizing && record.request.controlled_source().is_none() {
        plan.kept.push(format!(
            "the power of the source {}, which is left to a person: power it on if it was powered off",
            record.request.source_vm_id
        ));
    }
    plan.compensations.extend(
        done.dns
            .iter()
            .rev()
            .map(|change| Compensation::RestoreDns {
                change: change.clone(),
            }),
    );
    if done.cmdb_previous.is_some() {
        plan.compensations.push(Compensation::RestoreCmdb);
    }
    // After FinalizeCutover the lifecycle is CUTOVER for good, and the target may be all that is left: keep it.
    if done.finalized_at.is_none() {
        // The cutover's launch removed the test's instance, so only the latest launch has one.
        let latest = done
            .cutover
            .as_ref()
            .map(|launch| (LaunchAction::Cutover, launch))
            .or_else(|| {
                done.test
                    .as_ref()
                    .map(|launch| (LaunchAction::Test, launch))
            });
        let ready_for = latest.map(|(action, _)| action);
        // Without a launch there may still be a server that was made ready for its cutover untested.
        let moved = done.moved_to_cutover.then_some(LaunchAction::Cutover);
        if let Some(action) = ready_for.or(moved) {
            plan.compensations.push(Compensation::RevertLifecycle {
                action,
                to: lifecycle_before(done, action).to_owned(),
            });
        }
        if let Some((action, launch)) = latest {
            plan.compensations.push(Compensation::TerminateTarget {
                action,
                job_id: launch.job_id.clone(),
            });
        }
        if let Some(method) = &done.right_sizing {
            plan.compensations.push(Compensation::RestoreRightSizing {
                method: method.clone(),
            });
        }
        if done.copied_private_ip {
            plan.compensations.push(Compensation::RestoreCopyPrivateIp);
        }
        if let Some(change) = &done.launch_template {
            plan.compensations
                .push(Compensation::RestoreLaunchTemplate {
                    change: change.clone(),
                });
        }
    } else {
        plan.kept.push("the target instance".to_owned());
    }
    if let Some(before) = &done.cmf {
        plan.compensations.push(Compensation::RestoreCmf {
            before: before.clone(),
        });
    }
    if let Some(wave) = &done.cmf_wave {
        // Others of its servers may be under way, or even done: whether it has begun is no longer this migration's to say.
        plan.kept.push(format!(
            "the status of the wave {} in Cloud Migration Factory, which was {:?}",
            wave.id, wave.previous
        ));
    }
    if done.agent_command.is_some() {
        plan.kept.push(
            "the replication agent, so that a resubmission needs no new full sync".to_owned(),
        );
    }
    if let Some(change) = &done.encryption_key {
        let before = change
            .previous
            .as_deref()
            .unwrap_or("the account's default key for EBS");
        plan.kept.push(format!(
            "the replication's encryption key {}: with {before} again MGN would copy every disk once more",
            change.key
        ));
    }
    if let Some(snapshot) = &done.snapshot {
        plan.kept.push(format!("the source snapshot {snapshot}"));
    }
    plan
}

/// The MGN lifecycle that a launch, or the move before it, began from.
fn lifecycle_before(done: &Done, action: LaunchAction) -> &'static str {
    let tested = done
        .test
        .as_ref()
        .is_some_and(|test| test.verified_at.is_some());
    match action {
        LaunchAction::Cutover if tested && !done.moved_to_cutover => "READY_FOR_CUTOVER",
        LaunchAction::Cutover | LaunchAction::Test => "READY_FOR_TEST",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::record;
    use crate::record::{AgentCommand, EncryptionKeyChange, Launch};

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
            .map(Compensation::name)
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
        let to = |record: &MigrationRecord| match &plan(record).compensations[0] {
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
                .contains(&Compensation::TerminateTarget {
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
        assert_eq!(plan(&record).compensations, std::slice::from_ref(&back));
        record.done.cutover = Some(launch("mgnjob-2"));
        // Whatever was tested, it came from READY_FOR_TEST.
        record.done.test = Some(Launch {
            verified_at: Some("x".into()),
            ..launch("mgnjob-1")
        });
        assert_eq!(plan(&record).compensations[0], back);
        assert_eq!(names(&record), ["REVERT_LIFECYCLE", "TERMINATE_TARGET"]);
        record.done.finalized_at = Some("x".into());
        assert!(names(&record).is_empty(), "CUTOVER is for good");
    }

    #[test]
    fn users_come_back_to_the_source_before_the_target_goes() {
        let mut record = record();
        record.done.cutover = Some(launch("mgnjob-2"));
        record.done.source_powered_off_at = Some("x".into());
        record.done.cmdb_previous = Some(serde_json::json!({}));
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
        assert_eq!(
            names(&record),
            [
                "POWER_ON_SOURCE",
                "RESTORE_DNS",
                "RESTORE_DNS",
                "RESTORE_CMDB",
                "REVERT_LIFECYCLE",
                "TERMINATE_TARGET"
            ]
        );
    }

    #[test]
    fn after_the_point_of_no_return_the_target_stays() {
        let mut record = record();
        record.done.cutover = Some(launch("mgnjob-2"));
        record.done.finalized_at = Some("2026-01-01T00:00:00Z".into());
        let plan = plan(&record);
        assert!(plan.compensations.is_empty());
        assert_eq!(plan.irreversible.len(), 1);
        assert_eq!(plan.kept, ["the target instance"]);
    }
}
