//! What the workflow needs to know of a request: which phases run and how long it soaks.

use serde::{Deserialize, Serialize};

use crate::record::MigrationRecord;
use crate::request::{MigrationRequest, Retention, Step};

/// The output of `validate-input`; the workflow keeps it in a variable and branches on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a branch of the workflow"
)]
pub struct WorkflowPlan {
    /// Whether replication is awaited.
    pub replicate: bool,
    /// Whether a test launch runs.
    pub validate: bool,
    /// Whether the cutover runs.
    pub switch: bool,
    /// How long the cutover instance runs before finalize; 0 skips the soak.
    pub soak_seconds: u32,
    /// How long after the end the source server is archived in MGN; 0 never.
    #[serde(default)]
    pub archive_after_seconds: u32,
    /// Whether the source goes then, where people agree.
    #[serde(default)]
    pub decommission: bool,
}

impl WorkflowPlan {
    /// The plan of a request. Replication is awaited before any launch too: a launch from a server that does
    /// not replicate is what the gate exists to prevent.
    pub fn of(request: &MigrationRequest) -> Self {
        let validate = request.wants(Step::Validate);
        let switch = request.wants(Step::Switch);
        let retention = request.policy.retention.as_ref().filter(|_| switch);
        Self {
            replicate: request.wants(Step::Replicate) || validate || switch,
            validate,
            switch,
            soak_seconds: if switch {
                request.policy.soak_seconds.unwrap_or(0)
            } else {
                0
            },
            archive_after_seconds: retention.map_or(0, Retention::archive_after_seconds),
            decommission: retention.is_some_and(|retention| retention.decommission_source),
        }
    }
}

impl WorkflowPlan {
    /// What is left to do for a migration that has succeeded: the end of its retention, until that is over.
    pub fn after_success(record: &MigrationRecord) -> Self {
        let whole = Self::of(&record.request);
        let kept = record.done.archived_at.is_none();
        Self {
            replicate: false,
            validate: false,
            switch: false,
            soak_seconds: 0,
            archive_after_seconds: if kept { whole.archive_after_seconds } else { 0 },
            decommission: kept && whole.decommission,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::{record, request};

    #[test]
    fn a_retention_follows_a_switch_and_nothing_else() {
        let mut request = request();
        let of = |request: &MigrationRequest| {
            let plan = WorkflowPlan::of(request);
            (plan.archive_after_seconds, plan.decommission)
        };
        assert_eq!(of(&request), (0, false));
        for (days, decommission_source) in [(1, false), (90, true)] {
            request.policy.retention = Some(Retention {
                archive_after_days: days,
                decommission_source,
            });
            assert_eq!(of(&request), (days * 86_400, decommission_source));
        }
        request.steps = vec![Step::Validate];
        assert_eq!(of(&request), (0, false));
    }

    #[test]
    fn after_success_only_the_retention_is_left_until_it_is_over() {
        let mut record = record();
        let none = WorkflowPlan::of(&MigrationRequest {
            steps: vec![Step::Freeze],
            ..request()
        });
        assert_eq!(WorkflowPlan::after_success(&record), none);
        record.request.policy.retention = Some(Retention {
            archive_after_days: 2,
            decommission_source: true,
        });
        let kept = WorkflowPlan {
            archive_after_seconds: 2 * 86_400,
            decommission: true,
            ..none
        };
        assert_eq!(WorkflowPlan::after_success(&record), kept);
        record.done.archived_at = Some("2026-01-01T00:00:00Z".into());
        assert_eq!(WorkflowPlan::after_success(&record), none);
    }

    #[test]
    fn steps_select_phases() {
        let check = |steps: &[Step], replicate, validate, switch| {
            let mut request = request();
            request.steps = steps.to_vec();
            request.policy.soak_seconds = Some(7);
            let soak_seconds = if switch { 7 } else { 0 };
            assert_eq!(
                WorkflowPlan::of(&request),
                WorkflowPlan {
                    replicate,
                    validate,
                    switch,
                    soak_seconds,
                    archive_after_seconds: 0,
                    decommission: false
                },
                "{steps:?}"
            );
        };
        check(&[Step::Freeze], false, false, false);
        check(&[Step::Replicate], true, false, false);
        check(&[Step::Validate], true, true, false);
        check(&[Step::Switch], true, false, true);
        check(
            &[Step::Switch, Step::Validate, Step::Replicate, Step::Freeze],
            true,
            true,
            true,
        );
    }
}
