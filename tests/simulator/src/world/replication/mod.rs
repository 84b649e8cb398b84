//! How one server's data gets to the staging area: initiation steps, initial sync, backlog, first snapshot.
//!
//! All of it is a function of simulated time: [`Replication::advance`] passes every deadline that is due, and
//! the counters are computed when somebody looks.

mod gauges;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

pub use gauges::Counters;

/// The steps of the initiation, in order (captured from the live service).
pub const STEPS: [&str; 11] = [
    "WAIT",
    "CREATE_SECURITY_GROUP",
    "LAUNCH_REPLICATION_SERVER",
    "BOOT_REPLICATION_SERVER",
    "AUTHENTICATE_WITH_SERVICE",
    "DOWNLOAD_REPLICATION_SOFTWARE",
    "CREATE_STAGING_DISKS",
    "ATTACH_STAGING_DISKS",
    "PAIR_REPLICATION_SERVER_WITH_AGENT",
    "CONNECT_AGENT_TO_REPLICATION_SERVER",
    "START_DATA_TRANSFER",
];

const INITIATION: SignedDuration = SignedDuration::from_secs(120);
const RETRY_AFTER: SignedDuration = SignedDuration::from_mins(5);
const RESCAN: SignedDuration = SignedDuration::from_mins(5);
const SNAPSHOT_EVERY_SECONDS: i64 = 600;
/// Shares of `replicationSeconds`: the copy itself, flushing what changed meanwhile, the first snapshot.
const COPY: f64 = 0.90;
const FLUSH: f64 = 0.05;
const SNAPSHOT: f64 = 0.05;

/// `dataReplicationState`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs)]
pub enum State {
    Stopped,
    Initiating,
    InitialSync,
    Backlog,
    CreatingSnapshot,
    Continuous,
    Rescan,
    Paused,
    Stalled,
    Disconnected,
}

/// `dataReplicationError`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// One of the 18 error names.
    pub error: String,
    /// The text beside it.
    pub raw_error: String,
}

/// What happened while time passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Happened {
    /// The first launchable snapshot exists.
    Launchable,
    /// Data flows no more.
    Stalled,
    /// Data flows again.
    Recovered,
}

/// One server's replication.
#[derive(Debug, Clone, Serialize)]
pub struct Replication {
    /// Where it is.
    pub state: State,
    /// When it came there.
    pub since: Timestamp,
    /// When the present attempt of the initiation began.
    pub initiated_at: Option<Timestamp>,
    /// When the first byte went over.
    pub first_byte: Option<Timestamp>,
    /// When it first became launchable.
    pub launchable_since: Option<Timestamp>,
    /// What is wrong.
    pub fault: Option<Fault>,
    /// The step that fails, while a fault of the initiation is injected.
    pub failing_step: Option<usize>,
    /// Seconds that the initial sync takes as a whole.
    pub seconds: u32,
    /// Seconds of the present state that were spent before it was interrupted.
    spent: f64,
    /// The state that a pause or stall interrupted.
    interrupted: Option<State>,
    /// Injected lag and backlog, until cleared.
    pub held_lag: Option<SignedDuration>,
    /// Injected backlog in bytes.
    pub held_backlog: i64,
}

impl Replication {
    /// A server that begins to replicate.
    pub fn begin(now: Timestamp, seconds: u32) -> Self {
        let mut replication = Self::stopped(now, seconds);
        replication.initiate(now);
        replication
    }

    /// A server whose replication has not been started.
    pub fn stopped(now: Timestamp, seconds: u32) -> Self {
        Self {
            state: State::Stopped,
            since: now,
            initiated_at: None,
            first_byte: None,
            launchable_since: None,
            fault: None,
            failing_step: None,
            seconds,
            spent: 0.0,
            interrupted: None,
            held_lag: None,
            held_backlog: 0,
        }
    }

    /// A server that has replicated for long.
    pub fn settled(now: Timestamp, seconds: u32) -> Self {
        let mut replication = Self::stopped(now, seconds);
        replication.initiated_at = Some(now);
        replication.first_byte = Some(now);
        replication.launchable_since = Some(now);
        replication.enter(State::Continuous, now);
        replication
    }

    /// Starts from the first step.
    pub fn initiate(&mut self, now: Timestamp) {
        self.initiated_at = Some(now);
        self.launchable_since = None;
        self.interrupted = None;
        self.fault = None;
        self.enter(State::Initiating, now);
    }

    /// Stops by request; a restart begins from the initial sync.
    pub fn stop(&mut self, now: Timestamp) {
        self.launchable_since = None;
        self.initiated_at = None;
        self.fault = None;
        self.enter(State::Stopped, now);
    }

    /// Ends it for good.
    pub fn disconnect(&mut self, now: Timestamp) {
        self.stop(now);
        self.state = State::Disconnected;
    }

    /// Holds it where it is.
    pub fn pause(&mut self, now: Timestamp) {
        self.interrupt(State::Paused, now);
    }

    /// Goes on after [`Self::pause`].
    pub fn resume(&mut self, now: Timestamp) {
        self.take_up(now);
    }

    /// Data stops to flow, with an error, and at a step of the initiation when that still runs.
    pub fn stall(&mut self, now: Timestamp, fault: Fault, step: Option<usize>) {
        self.fault = Some(fault);
        self.failing_step = step;
        if self.state != State::Stalled {
            self.interrupt(State::Stalled, now);
        }
    }

    /// What was wrong has been set right.
    pub fn recover(&mut self, now: Timestamp) {
        self.fault = None;
        self.failing_step = None;
        if self.state == State::Stalled {
            self.take_up(now);
        }
    }

    /// The agent reads all blocks again, as after a reboot.
    pub fn rescan(&mut self, now: Timestamp) {
        if self.state == State::Continuous {
            self.enter(State::Rescan, now);
        }
    }

    /// `RetryDataReplication`: the initiation begins again now instead of at the next attempt.
    pub fn retry(&mut self, now: Timestamp) {
        match self.interrupted {
            Some(State::Initiating) | None => self.initiate(now),
            Some(_) => self.recover(now),
        }
    }

    /// Whether instances can be launched from it, i.e. whether `lagDuration` is present.
    pub fn launchable(&self) -> bool {
        self.launchable_since.is_some()
    }

    /// When the initiation will be tried again.
    pub fn next_attempt(&self) -> Option<Timestamp> {
        (self.state == State::Stalled && self.interrupted == Some(State::Initiating))
            .then(|| self.since + RETRY_AFTER)
    }

    /// Passes every deadline up to `now`.
    pub fn advance(&mut self, now: Timestamp) -> Vec<(Timestamp, Happened)> {
        let mut happened = Vec::new();
        while let Some(due) = self.deadline().filter(|due| *due <= now) {
            match self.state {
                State::Initiating if self.failing_step.is_some() => {
                    self.spent = 0.0;
                    self.interrupt(State::Stalled, due);
                    happened.push((due, Happened::Stalled));
                }
                State::Initiating => {
                    self.first_byte.get_or_insert(due);
                    self.enter(State::InitialSync, due);
                }
                State::InitialSync => self.enter(State::Backlog, due),
                State::Backlog => self.enter(State::CreatingSnapshot, due),
                State::CreatingSnapshot => {
                    self.enter(State::Continuous, due);
                    self.launchable_since = Some(due);
                    happened.push((due, Happened::Launchable));
                }
                State::Rescan => self.enter(State::Continuous, due),
                State::Stalled => {
                    self.initiate(due);
                    if self.failing_step.is_none() {
                        happened.push((due, Happened::Recovered));
                    }
                }
                State::Stopped | State::Continuous | State::Paused | State::Disconnected => break,
            }
        }
        happened
    }

    /// When the present state ends by itself.
    pub fn deadline(&self) -> Option<Timestamp> {
        match self.state {
            State::Stopped | State::Continuous | State::Paused | State::Disconnected => None,
            State::Stalled => self.next_attempt(),
            State::Initiating => {
                // A failing step ends the attempt when it would have ended itself.
                let until = self
                    .failing_step
                    .map_or(1.0, |step| share_of_steps(step + 1));
                Some(self.since + seconds(INITIATION.as_secs_f64() * until - self.spent))
            }
            state => Some(self.since + seconds(self.length(state) - self.spent)),
        }
    }

    fn length(&self, state: State) -> f64 {
        let whole = f64::from(self.seconds);
        match state {
            State::Initiating => INITIATION.as_secs_f64(),
            State::InitialSync => whole * COPY,
            State::Backlog => whole * FLUSH,
            State::CreatingSnapshot => whole * SNAPSHOT,
            State::Rescan => RESCAN.as_secs_f64(),
            _ => 0.0,
        }
    }

    /// Seconds spent in the state that is shown, without the time it was interrupted.
    fn elapsed(&self, now: Timestamp) -> f64 {
        if self.interrupted.is_some() {
            return self.spent;
        }
        self.spent + now.duration_since(self.since).as_secs_f64()
    }

    fn interrupt(&mut self, state: State, now: Timestamp) {
        self.spent = self.elapsed(now);
        // A stall during a pause still goes back to what the pause interrupted.
        self.interrupted = self.interrupted.or(Some(self.state));
        self.state = state;
        self.since = now;
    }

    fn take_up(&mut self, now: Timestamp) {
        if let Some(state) = self.interrupted.take() {
            self.state = state;
            self.since = now;
        }
    }

    fn enter(&mut self, state: State, now: Timestamp) {
        self.state = state;
        self.since = now;
        self.spent = 0.0;
        self.interrupted = None;
    }
}

fn share_of_steps(steps: usize) -> f64 {
    // Eleven at most.
    f64::from(u32::try_from(steps).unwrap_or(0)) / 11.0
}

fn seconds(value: f64) -> SignedDuration {
    SignedDuration::try_from_secs_f64(value.max(0.0)).unwrap_or(SignedDuration::ZERO)
}

#[cfg(test)]
mod tests;
