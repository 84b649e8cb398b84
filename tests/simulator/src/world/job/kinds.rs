//! The words of a job: why it runs, how far it is, how each server fares.

use serde::Serialize;

/// What a job is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs)]
pub enum Purpose {
    Test,
    Cutover,
    Terminate,
}

impl Purpose {
    /// `initiatedBy`.
    pub fn initiated_by(self) -> &'static str {
        match self {
            Self::Test => "START_TEST",
            Self::Cutover => "START_CUTOVER",
            Self::Terminate => "TERMINATE",
        }
    }

    /// `type`.
    pub fn job_type(self) -> &'static str {
        if self == Self::Terminate {
            "TERMINATE"
        } else {
            "LAUNCH"
        }
    }
}

/// `status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs)]
pub enum Status {
    Pending,
    Started,
    Completed,
}

/// `participatingServers[].launchStatus`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs)]
pub enum LaunchStatus {
    Pending,
    InProgress,
    Launched,
    Failed,
    Terminated,
}

/// Where one server is within a job. Waiting stages end when EC2 has answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[allow(missing_docs)]
pub enum Stage {
    Queued,
    CleaningUp,
    Snapshot,
    Conversion,
    Launching,
    Done,
}
