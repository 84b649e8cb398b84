//! What becomes of a migration's source once it is over.

use serde::{Deserialize, Serialize};

const SECONDS_PER_DAY: u32 = 86_400;

/// How long the source and its MGN record are kept after the migration has succeeded, and what happens then.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Retention {
    /// After so many days, 1 to 90, the source server is archived in MGN.
    pub archive_after_days: u32,
    /// Whether the source machine is then deleted from its platform, once somebody has agreed to it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub decommission_source: bool,
}

impl Retention {
    /// The time to the archive, in seconds.
    pub const fn archive_after_seconds(&self) -> u32 {
        self.archive_after_days.saturating_mul(SECONDS_PER_DAY)
    }
}
