//! The soak: how long the target runs before the finalize, and how often it is checked in that time.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// The most rounds that a soak has: the number of the workflow's transitions must not grow with its length.
pub const MAX_ROUNDS: u32 = 4;

/// After how many rounds of equal length a soak of so many seconds is over. The checks are repeated at the end of each; no
/// round is shorter than a minute, which is how often the sweep looks, but the only one of a shorter soak.
pub fn rounds(soak_seconds: u32) -> u32 {
    (soak_seconds / 60).clamp(1, MAX_ROUNDS)
}

/// How long a round is, in seconds, rounded up.
pub fn round_seconds(soak_seconds: u32) -> u32 {
    soak_seconds.div_ceil(rounds(soak_seconds))
}

/// How a soak stands. Timestamps are RFC 3339 in UTC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Soak {
    /// When it began.
    pub started_at: String,
    /// How many rounds have passed.
    pub round: u32,
    /// How many there are.
    pub rounds: u32,
    /// How long each is, in seconds.
    pub round_seconds: u32,
    /// When the last round had passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checked_at: Option<String>,
    /// Whether the checks of the next round are under way.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub checking: bool,
}

/// What a soak wants when it is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// A round of checks.
    Checks,
    /// More time.
    Time,
    /// Nothing: it is over.
    Nothing,
}

impl Soak {
    /// A soak that begins now.
    pub fn begin(soak_seconds: u32, now: Timestamp) -> Self {
        Self {
            started_at: now.to_string(),
            round: 0,
            rounds: rounds(soak_seconds),
            round_seconds: round_seconds(soak_seconds),
            checked_at: None,
            checking: false,
        }
    }

    /// Whether every round has passed.
    pub const fn is_over(&self) -> bool {
        self.round >= self.rounds
    }

    /// What it wants now. Who asks a second time, because the answer was lost, hears that the round it asked for is
    /// done: the next one is not due before it has lasted.
    pub fn wants(&self, now: Timestamp) -> Want {
        if self.is_over() {
            return Want::Nothing;
        }
        if self.checking {
            return Want::Checks;
        }
        let last = self.checked_at.as_deref().unwrap_or(&self.started_at);
        let lasts = SignedDuration::from_secs(i64::from(self.round_seconds));
        // A time that cannot be read is no reason to wait for ever.
        match last.parse::<Timestamp>() {
            Ok(last) if now.duration_since(last) < lasts => Want::Time,
            _ => Want::Checks,
        }
    }

    /// Notes that a round has passed.
    pub fn pass(&mut self, now: Timestamp) {
        self.round += 1;
        self.checked_at = Some(now.to_string());
        self.checking = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_soak_has_up_to_four_rounds_of_a_minute_at_least() {
        for (soak, wanted) in [
            (1, (1, 1)),
            (59, (1, 59)),
            (119, (1, 119)),
            (120, (2, 60)),
            (241, (4, 61)),
            (604_800, (4, 151_200)),
        ] {
            assert_eq!((rounds(soak), round_seconds(soak)), wanted, "{soak}");
        }
    }

    #[test]
    fn a_round_is_due_when_it_has_lasted_and_only_once() {
        let at = |seconds: i64| {
            let start: Timestamp = "2026-11-21T10:00:00Z".parse().unwrap();
            start + SignedDuration::from_secs(seconds)
        };
        let mut soak = Soak::begin(120, at(0));
        assert_eq!(soak.wants(at(59)), Want::Time);
        assert_eq!(soak.wants(at(60)), Want::Checks);
        soak.checking = true;
        // Begun is begun, whatever the clock of the next try says.
        assert_eq!(soak.wants(at(10)), Want::Checks);
        soak.pass(at(75));
        assert_eq!(soak.wants(at(76)), Want::Time);
        assert_eq!(soak.wants(at(134)), Want::Time);
        assert_eq!(soak.wants(at(135)), Want::Checks);
        soak.pass(at(140));
        assert!(soak.is_over());
        assert_eq!(soak.wants(at(0)), Want::Nothing);
        assert_eq!(soak.wants(at(9_999)), Want::Nothing);
    }
}
