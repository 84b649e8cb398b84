//! What a rollback must undo, computed from the record of what was done: compensations as a graph, how far they are
//! carried out, and what is handed over to a person when one of them cannot be.

mod estimate;
mod handover;
mod plan;
mod progress;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::record::{DnsChange, LaunchAction, LaunchTemplateChange, PreviousStatus};

pub use estimate::{Estimates, PastRuns};
pub use handover::{HandOver, Line};
pub use plan::plan;
pub use progress::{Outcome, Progress, StepState, TRIES};

/// One thing to undo. Each is idempotent, and verified by the rollback function after it is done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(
    tag = "kind",
    rename_all = "SCREAMING_SNAKE_CASE",
    rename_all_fields = "camelCase"
)]
pub enum Compensation {
    /// Power the source on again, and see that it answers what it answered before the cutover.
    PowerOnSource,
    /// See that the source runs and answers as before the cutover, where Landfall did not power it off and so does not power
    /// it on: somebody else may have, and users come back to it next.
    CheckSource,
    /// Put a DNS record back, or remove it where there was none.
    RestoreDns {
        /// What was changed.
        change: DnsChange,
    },
    /// See that users get to the source: every name that was put back is answered so by Route 53's own servers.
    CheckTraffic,
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
    /// Terminate the instance that was launched, and wait for MGN's job that does it.
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
    /// Disconnect the server from MGN, where the request says that a rollback ends its replication.
    StopReplication,
}

impl Compensation {
    /// A stable name for history, estimates and messages, for example `TERMINATE_TARGET`.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::PowerOnSource => "POWER_ON_SOURCE",
            Self::CheckSource => "CHECK_SOURCE",
            Self::RestoreDns { .. } => "RESTORE_DNS",
            Self::CheckTraffic => "CHECK_TRAFFIC",
            Self::RestoreCmdb => "RESTORE_CMDB",
            Self::RevertLifecycle { .. } => "REVERT_LIFECYCLE",
            Self::TerminateTarget { .. } => "TERMINATE_TARGET",
            Self::RestoreRightSizing { .. } => "RESTORE_RIGHT_SIZING",
            Self::RestoreCopyPrivateIp => "RESTORE_COPY_PRIVATE_IP",
            Self::RestoreLaunchTemplate { .. } => "RESTORE_LAUNCH_TEMPLATE",
            Self::RestoreCmf { .. } => "RESTORE_CMF",
            Self::StopReplication => "STOP_REPLICATION",
        }
    }

    /// What tells it from the others of a plan: its name, and for a DNS record which one.
    pub fn id(&self) -> String {
        match self {
            Self::RestoreDns { change } => {
                let (zone, kind) = (&change.hosted_zone_id, &change.record_type);
                format!("{} {kind} {} {zone}", self.name(), change.name)
            }
            other => other.name().to_owned(),
        }
    }

    /// How it is known to be done, in words.
    pub const fn verification(&self) -> &'static str {
        match self {
            Self::PowerOnSource => {
                "its platform says that it runs, and it answers what it answered before the cutover"
            }
            Self::CheckSource => {
                "its platform, where it can be asked, says that it runs, and it answers what it answered before the cutover"
            }
            Self::RestoreDns { .. } => "the change is INSYNC on all of Route 53's name servers",
            Self::CheckTraffic => "Route 53's name servers answer with the values of before",
            Self::RestoreCmdb => "the item, read back, has the fields of before",
            Self::RevertLifecycle { .. } => "MGN shows the lifecycle of before the launch",
            Self::TerminateTarget { .. } => {
                "EC2 says that the instance is going or gone, and MGN's job is completed"
            }
            Self::RestoreRightSizing { .. } | Self::RestoreCopyPrivateIp => {
                "the launch configuration, read back, has the value of before"
            }
            Self::RestoreLaunchTemplate { .. } => "EC2 answers with the default version of before",
            Self::RestoreCmf { .. } => "the record, read back, has the status of before",
            Self::StopReplication => "MGN shows the server DISCONNECTED",
        }
    }
}

/// What a compensation may cost beside what it undoes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Risk {
    /// Nobody notices.
    Low,
    /// Somebody may notice: two copies run for a while, a new attempt begins with a full sync.
    Medium,
    /// Users are interrupted, or what they wrote on the target since the switch stays behind.
    High,
}

impl Risk {
    /// The name as stored and shown, for example `HIGH`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "LOW",
            Self::Medium => "MEDIUM",
            Self::High => "HIGH",
        }
    }
}

/// A compensation in its place in the plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// [`Compensation::id`].
    pub id: String,
    /// What to undo.
    #[serde(flatten)]
    pub compensation: Compensation,
    /// The IDs of those that must be done before.
    pub after: Vec<String>,
    /// What it may cost.
    pub risk: Risk,
    /// How long it takes, in seconds: the mean of past runs, or a default before there are any.
    pub estimate_seconds: u32,
    /// [`Compensation::verification`].
    pub verification: String,
}

/// What a rollback does, keeps and cannot undo.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RollbackPlan {
    /// Each after those that it names; those that name none of each other may be done at the same time.
    pub compensations: Vec<Step>,
    /// What stays on purpose, for the hand-over text.
    pub kept: Vec<String>,
    /// What can no longer be undone; not empty means that a person must look.
    pub irreversible: Vec<String>,
    /// How long all of it takes, in seconds, where independent ones are done at the same time.
    pub estimate_seconds: u32,
}

impl RollbackPlan {
    /// The highest risk in it; none where there is nothing to do.
    pub fn risk(&self) -> Option<Risk> {
        self.compensations.iter().map(|step| step.risk).max()
    }

    /// Whether it should be approved where somebody is asked for approval at all.
    pub fn is_risky(&self) -> bool {
        self.risk() == Some(Risk::High)
    }
}
