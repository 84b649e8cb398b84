//! How the checks of a launched instance stand, kept in the record from round to round.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::finding::Finding;
use crate::health::{Judged, Seen};
use crate::record::LaunchAction;
use crate::request::HealthCheck;

/// So many of a check's last tries are kept.
const KEPT_TRIES: usize = 5;
/// How long Systems Manager tries to hand a script over, in seconds; 30 is the least it takes.
pub const DELIVERY_SECONDS: u32 = 60;
/// So much longer than it may take, in seconds, the result of a script is waited for.
const RESULT_SECONDS: u32 = 120;

/// How the checks of one instance stand.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Health {
    /// The instance that is checked.
    pub instance_id: String,
    /// The request's checks, in their order.
    pub checks: Vec<CheckState>,
}

/// How one check stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CheckState {
    /// Whether its last try passed.
    pub passed: bool,
    /// How many of its tries failed.
    pub failed: u32,
    /// Its last tries, oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tries: Vec<Try>,
    /// What its last try found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finding: Option<Finding>,
    /// The script that runs now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<Command>,
}

/// One try.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Try {
    /// When.
    pub at: String,
    /// Whether it passed.
    pub passed: bool,
    /// What was seen, in words.
    pub seen: String,
}

/// A script on the target: noted before it is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Command {
    /// When it was noted.
    pub asked_at: String,
    /// The SSM command, once it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command_id: Option<String>,
}

/// What a round of checks means.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Everything is as expected.
    Healthy,
    /// Something is not, and has tries left; or has no result yet, and then there may be no finding.
    TryAgain(Vec<Finding>),
    /// Something is not, and had all its tries.
    Unhealthy(Vec<Finding>),
}

impl Health {
    /// Nothing tried yet.
    pub fn new(instance_id: &str, checks: &[HealthCheck]) -> Self {
        Self {
            instance_id: instance_id.to_owned(),
            checks: vec![CheckState::default(); checks.len()],
        }
    }

    /// What an earlier round left of this instance's checks, or a beginning.
    pub fn of(kept: Option<&Self>, instance_id: &str, checks: &[HealthCheck]) -> Self {
        match kept {
            Some(kept) if kept.instance_id == instance_id && kept.checks.len() == checks.len() => {
                kept.clone()
            }
            _ => Self::new(instance_id, checks),
        }
    }

    /// The checks to try now, by their places in the request: those of this launch whose interval is over.
    pub fn due(&self, checks: &[HealthCheck], action: LaunchAction, now: Timestamp) -> Vec<usize> {
        let states = self.checks.iter().zip(checks).enumerate();
        states
            .filter(|(_, (state, check))| check.is_for(action) && state.is_due(check, now))
            .map(|(index, _)| index)
            .collect()
    }

    /// What the last tries mean.
    pub fn verdict(&self, checks: &[HealthCheck], action: LaunchAction) -> Verdict {
        let ours = || {
            let states = self.checks.iter().zip(checks);
            states.filter(|(_, check)| check.is_for(action))
        };
        if ours().all(|(state, _)| state.passed) {
            return Verdict::Healthy;
        }
        let open = ours().filter(|(state, _)| !state.passed);
        let findings = open.filter_map(|(state, _)| state.finding.clone());
        let findings = findings.collect();
        let is_over = |(state, check): (&CheckState, &HealthCheck)| {
            !state.passed && state.failed >= check.pace().attempts
        };
        if ours().any(is_over) {
            Verdict::Unhealthy(findings)
        } else {
            Verdict::TryAgain(findings)
        }
    }

    /// How many checks of a launch have not passed.
    pub fn open(&self, checks: &[HealthCheck], action: LaunchAction) -> usize {
        let states = self.checks.iter().zip(checks);
        states
            .filter(|(state, check)| check.is_for(action) && !state.passed)
            .count()
    }
}

impl CheckState {
    /// Whether it is to be tried: a script that runs is always looked at, and a script that ended well is not sent again.
    fn is_due(&self, check: &HealthCheck, now: Timestamp) -> bool {
        if self.command.is_some() {
            return true;
        }
        if self.passed && matches!(check, HealthCheck::Ssm(_)) {
            return false;
        }
        let interval = SignedDuration::from_secs(i64::from(check.pace().interval_seconds));
        let last = self.tries.last().and_then(|last| time(&last.at));
        last.is_none_or(|last| now.duration_since(last) >= interval)
    }

    /// Notes a result. One that is not known yet is no try.
    pub fn note(&mut self, seen: &Seen, judged: Judged, now: Timestamp) {
        if matches!(seen, Seen::Unknown(_)) {
            return;
        }
        self.command = None;
        self.passed = judged.finding.is_none();
        self.failed += u32::from(!self.passed);
        self.finding = judged.finding;
        self.tries.push(Try {
            at: now.to_string(),
            passed: self.passed,
            seen: judged.seen,
        });
        let surplus = self.tries.len().saturating_sub(KEPT_TRIES);
        self.tries.drain(..surplus);
    }
}

impl Command {
    /// One that is about to be sent.
    pub fn new(now: Timestamp) -> Self {
        Self {
            asked_at: now.to_string(),
            command_id: None,
        }
    }

    /// Whether its result is later than it can be.
    pub fn is_overdue(&self, timeout_seconds: u32, now: Timestamp) -> bool {
        let limit = i64::from(timeout_seconds + DELIVERY_SECONDS + RESULT_SECONDS);
        time(&self.asked_at).is_none_or(|at| now.duration_since(at).as_secs() > limit)
    }
}

fn time(text: &str) -> Option<Timestamp> {
    text.parse().ok()
}
