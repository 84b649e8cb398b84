//! What a look at the replication shows: steps, counters, lag, snapshots. All computed from the time of looking.

use jiff::{SignedDuration, Timestamp};

use super::{
    FLUSH, INITIATION, Replication, SNAPSHOT, SNAPSHOT_EVERY_SECONDS, STEPS, State, seconds,
    share_of_steps,
};

/// The counters of one server, in bytes over all disks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counters {
    /// Share of the disks that has been copied, 0..=1 as millionths.
    pub replicated_ppm: i64,
    /// Share that has been read again, in millionths.
    pub rescanned_ppm: i64,
    /// Bytes that wait to be sent.
    pub backlog: i64,
}

impl Replication {
    /// The eleven steps with their statuses at `now`.
    pub fn steps(&self, now: Timestamp) -> [&'static str; 11] {
        let initiating = match self.state {
            State::Stalled | State::Paused => self.interrupted == Some(State::Initiating),
            state => state == State::Initiating,
        };
        let mut statuses = ["NOT_STARTED"; 11];
        if self.initiated_at.is_none() {
            return statuses;
        }
        if !initiating {
            return ["SUCCEEDED"; 11];
        }
        let (running, mark) = match (self.state, self.failing_step) {
            (State::Stalled, Some(step)) => (step, "FAILED"),
            _ => (self.present_step(now), "IN_PROGRESS"),
        };
        statuses[..running].fill("SUCCEEDED");
        statuses[running] = mark;
        statuses
    }

    /// The counters at `now` for disks of `total` bytes.
    pub fn counters(&self, now: Timestamp, total: i64) -> Counters {
        let state = self.interrupted.unwrap_or(self.state);
        let share = (self.elapsed(now) / self.length(state).max(0.001)).clamp(0.0, 1.0);
        let all = 1_000_000;
        let (replicated_ppm, rescanned_ppm, backlog) = match state {
            State::Stopped | State::Initiating | State::Disconnected => (0, 0, 0),
            State::InitialSync => (part(all, share), 0, 0),
            State::Backlog => (all, all, part(total / 50, 1.0 - share)),
            State::Rescan => (all, part(all, share), 0),
            State::CreatingSnapshot | State::Continuous | State::Paused | State::Stalled => {
                (all, all, 0)
            }
        };
        Counters {
            replicated_ppm,
            rescanned_ppm,
            backlog: backlog + self.held_backlog,
        }
    }

    /// `lagDuration`; `None` while no instance can be launched.
    pub fn lag(&self, now: Timestamp) -> Option<SignedDuration> {
        self.launchable_since?;
        Some(match (self.held_lag, self.state) {
            (Some(lag), _) => lag,
            (None, State::Continuous) => SignedDuration::ZERO,
            (None, _) => now.duration_since(self.since),
        })
    }

    /// `etaDateTime`: when the initial sync will be done.
    pub fn eta(&self, now: Timestamp) -> Option<Timestamp> {
        matches!(
            self.state,
            State::InitialSync | State::Backlog | State::CreatingSnapshot
        )
        .then(|| {
            let rest: f64 = match self.state {
                State::InitialSync => FLUSH + SNAPSHOT,
                State::Backlog => SNAPSHOT,
                _ => 0.0,
            };
            Some(self.deadline()?.max(now) + seconds(rest * f64::from(self.seconds)))
        })
        .flatten()
    }

    /// `lastSnapshotDateTime`: a snapshot is taken every ten minutes while data flows.
    pub fn last_snapshot(&self, now: Timestamp) -> Option<Timestamp> {
        let first = self.launchable_since?;
        let until = if matches!(self.state, State::Continuous | State::Rescan) {
            now
        } else {
            self.since
        };
        let age = until.duration_since(first).as_secs().max(0);
        Some(first + SignedDuration::from_secs(age - age % SNAPSHOT_EVERY_SECONDS))
    }

    fn present_step(&self, now: Timestamp) -> usize {
        let share = self.elapsed(now) / INITIATION.as_secs_f64();
        (1..STEPS.len())
            .take_while(|step| share >= share_of_steps(*step))
            .count()
    }
}

#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)]
fn part(whole: i64, share: f64) -> i64 {
    (whole as f64 * share) as i64
}
