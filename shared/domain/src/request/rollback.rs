//! What a rollback leaves behind on purpose.

use serde::{Deserialize, Serialize};

/// What becomes of the replication in a rollback.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AfterRollback {
    /// It goes on, so that a resubmission needs no new full sync.
    #[default]
    Keep,
    /// The server is disconnected from MGN, and costs nothing any more.
    Stop,
}

/// How a rollback is to be done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RollbackPolicy {
    /// What becomes of the replication.
    #[serde(default)]
    pub replication: AfterRollback,
}

impl RollbackPolicy {
    /// Whether a rollback ends the replication.
    pub const fn stops_replication(self) -> bool {
        matches!(self.replication, AfterRollback::Stop)
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
