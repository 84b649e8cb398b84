//! How long compensations take, by those of the past.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Compensation;

/// The past runs of each compensation, by its name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Estimates(pub BTreeMap<String, PastRuns>);

/// How often something was done, and how long that took in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastRuns {
    /// How often.
    pub runs: u64,
    /// How long in all, in seconds.
    pub seconds: u64,
}

impl Estimates {
    /// How long a compensation takes, in seconds.
    pub fn of(&self, compensation: &Compensation) -> u32 {
        let past = self.0.get(compensation.name());
        let mean = past.and_then(|past| past.seconds.checked_div(past.runs));
        mean.map_or_else(
            || default_seconds(compensation),
            |seconds| u32::try_from(seconds).unwrap_or(u32::MAX),
        )
    }
}

/// Before there is a past: what the platforms usually take.
#[expect(clippy::match_same_arms, reason = "each has a reason of its own")]
const fn default_seconds(compensation: &Compensation) -> u32 {
    match compensation {
        // A machine boots, and its application starts.
        Compensation::PowerOnSource => 300,
        // Route 53 brings a change to its servers within 60 seconds.
        Compensation::RestoreDns { .. } => 60,
        // MGN terminates in minutes.
        Compensation::TerminateTarget { .. } => 300,
        Compensation::RevertLifecycle { .. } | Compensation::StopReplication => 30,
        Compensation::CheckSource
        | Compensation::CheckTraffic
        | Compensation::RestoreRightSizing { .. }
        | Compensation::RestoreCopyPrivateIp => 10,
        Compensation::RestoreCmdb
        | Compensation::RestoreCmf { .. }
        | Compensation::RestoreLaunchTemplate { .. } => 5,
    }
}
