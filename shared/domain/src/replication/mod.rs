//! The replication gate: whether a server may launch, decided on numbers and not on a state name alone.
//!
//! Sources: MGN API `DataReplicationInfo` ("launchable" means `lagDuration` is not null), and the observed
//! duration forms `P0D` and `PT16H20M38.697305S`.

pub mod stall;

use jiff::{Span, SpanRelativeTo, Timestamp, Unit};
use serde_json::{Value, json};

use crate::finding::Finding;
use crate::record::Progress;
use crate::request::Policy;

pub use stall::ReplicationError;

/// What MGN says of a server's replication.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Replication {
    /// `dataReplicationState`, as MGN names it.
    pub state: String,
    /// `lagDuration` as sent; `None` means the server is not launchable.
    pub lag_duration: Option<String>,
    /// `lastSnapshotDateTime` as sent.
    pub last_snapshot: Option<String>,
    /// `etaDateTime` as sent.
    pub eta: Option<String>,
    /// Σ `replicatedDisks[].totalStorageBytes`; 0 means unknown.
    pub total_bytes: i64,
    /// Σ `replicatedDisks[].replicatedStorageBytes`.
    pub replicated_bytes: i64,
    /// Σ `replicatedDisks[].backloggedStorageBytes`.
    pub backlog_bytes: i64,
    /// Why data does not flow, where MGN says so.
    pub error: Option<ReplicationError>,
    /// The first step of the initiation that FAILED, for example `BOOT_REPLICATION_SERVER`.
    pub failed_step: Option<String>,
    /// When MGN tries the initiation again, as sent.
    pub next_attempt: Option<String>,
}

impl Replication {
    /// The lag in whole seconds, rounded up. `None` when MGN reports none, or reports something unreadable:
    /// an unreadable lag is no reason to launch.
    pub fn lag_seconds(&self) -> Option<u64> {
        self.lag_duration
            .as_deref()
            .and_then(parse_duration_seconds)
    }

    /// How much of the initial sync is done, 0 to 100. `None` while MGN reports no sizes.
    pub fn percent(&self) -> Option<u8> {
        if self.total_bytes <= 0 {
            return None;
        }
        let done = self.replicated_bytes.clamp(0, self.total_bytes);
        u8::try_from(i128::from(done) * 100 / i128::from(self.total_bytes)).ok()
    }

    /// Whether anything is replicated that a new initial sync would throw away.
    pub fn has_data(&self) -> bool {
        self.replicated_bytes > 0 || self.lag_duration.is_some()
    }

    /// The form that is stored for `watch`.
    pub fn progress(&self, now: Timestamp) -> Progress {
        Progress {
            state: self.state.clone(),
            percent: self.percent(),
            lag_seconds: self.lag_seconds(),
            backlog_bytes: (self.backlog_bytes > 0).then_some(self.backlog_bytes),
            eta: self.eta.clone(),
            observed_at: now.to_string(),
            stall: None,
        }
    }

    /// The numbers that the gate looks at, for an event's evidence.
    pub fn evidence(&self, now: Timestamp) -> Value {
        json!({
            "state": self.state,
            "lagSeconds": self.lag_seconds(),
            "backlogBytes": self.backlog_bytes,
            "lastSnapshot": self.last_snapshot,
            "snapshotAgeSeconds": self.snapshot_age_seconds(now),
        })
    }

    /// How old the last snapshot is.
    fn snapshot_age_seconds(&self, now: Timestamp) -> Option<i64> {
        let taken = parse_timestamp(self.last_snapshot.as_deref()?)?;
        Some(now.duration_since(taken).as_secs())
    }
}

/// Parses an ISO 8601 duration as MGN sends it, into whole seconds rounded up; days have 24 hours.
pub fn parse_duration_seconds(text: &str) -> Option<u64> {
    let span: Span = text.parse().ok()?;
    let seconds = span
        .total((Unit::Second, SpanRelativeTo::days_are_24_hours()))
        .ok()?
        .ceil();
    // A negative lag makes no sense; the comparison also refuses NaN.
    if (0.0..1e15).contains(&seconds) {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "range checked above"
        )]
        Some(seconds as u64)
    } else {
        None
    }
}

/// Parses a timestamp as MGN sends it: with `Z` or with an offset.
pub fn parse_timestamp(text: &str) -> Option<Timestamp> {
    text.parse().ok()
}

/// Everything that speaks against a launch now; empty means ready. Order: state, error, initiation, lag, backlog, snapshot.
pub fn blockers(replication: &Replication, policy: &Policy, now: Timestamp) -> Vec<Finding> {
    let mut findings = Vec::new();
    let block = |code: &str, message: String| Finding::blocking(code, "", message);
    if replication.state == "DISCONNECTED" {
        findings.push(
            block(
                "SERVER_DISCONNECTED",
                "the source server is disconnected from MGN.".into(),
            )
            .evidence("DISCONNECTED", "CONTINUOUS")
            .remedy("Reinstall the replication agent on the source, then resubmit."),
        );
    } else if replication.state != "CONTINUOUS" {
        findings.push(
            block(
                "REPLICATION_NOT_CONTINUOUS",
                format!("replication is in state {}.", replication.state),
            )
            .evidence(replication.state.clone(), "CONTINUOUS"),
        );
    }
    if let Some(error) = &replication.error {
        findings.push(
            block(
                "REPLICATION_ERROR",
                format!("MGN reports the replication error {error}."),
            )
            .evidence(error.to_string(), "none")
            .remedy(stall::advice(&error.name).remedy),
        );
    }
    if let Some(step) = &replication.failed_step {
        let again = match &replication.next_attempt {
            Some(at) => format!("MGN tries again at {at}"),
            None => "MGN names no time for another try".to_owned(),
        };
        findings.push(
            block(
                "INITIATION_STEP_FAILED",
                format!("the step {step} of its initiation failed; {again}."),
            )
            .evidence(format!("{step} FAILED"), "SUCCEEDED"),
        );
    }
    let limit = u64::from(policy.max_lag_seconds());
    match (replication.lag_seconds(), &replication.lag_duration) {
        (Some(lag), _) if lag > limit => findings.push(
            block(
                "LAG_TOO_HIGH",
                format!("replication lags by {lag} s; at most {limit} s are allowed."),
            )
            .evidence(lag, limit)
            .remedy("Wait, lower the write load, or raise policy.maxLagSeconds."),
        ),
        (Some(_), _) => {}
        (None, Some(text)) => findings.push(
            block(
                "LAG_UNREADABLE",
                format!("MGN sent the lag {text:?}, which is no ISO 8601 duration."),
            )
            .evidence(text.clone(), "an ISO 8601 duration"),
        ),
        (None, None) => findings.push(
            block(
                "NOT_LAUNCHABLE",
                "MGN has no launchable snapshot of the server yet.".into(),
            )
            .evidence("no lagDuration", "a lagDuration"),
        ),
    }
    findings.extend(backlog(replication, policy));
    findings.extend(snapshot_age(replication, policy, now));
    findings
}

/// What is not replicated yet, where the request limits it; else the lag alone decides, for a busy server always has some.
fn backlog(replication: &Replication, policy: &Policy) -> Option<Finding> {
    let bytes = replication.backlog_bytes;
    let limit = policy.max_backlog_bytes?;
    u64::try_from(bytes)
        .is_ok_and(|bytes| bytes > limit)
        .then(|| {
            Finding::blocking(
                "BACKLOG_TOO_LARGE",
                "",
                format!("{bytes} bytes wait to be replicated; at most {limit} are allowed."),
            )
            .evidence(bytes, limit)
            .remedy("Wait, lower the write load, or raise policy.maxBacklogBytes.")
        })
}

fn snapshot_age(replication: &Replication, policy: &Policy, now: Timestamp) -> Option<Finding> {
    let max_age = policy.max_snapshot_age_seconds?;
    match replication.snapshot_age_seconds(now) {
        Some(age) if age <= i64::from(max_age) => None,
        Some(age) => Some(
            Finding::blocking(
                "SNAPSHOT_TOO_OLD",
                "",
                format!("the last snapshot is {age} s old; at most {max_age} s are allowed."),
            )
            .evidence(age, max_age),
        ),
        None => Some(
            Finding::blocking(
                "SNAPSHOT_MISSING",
                "",
                "MGN names no last snapshot.".to_owned(),
            )
            .evidence("none", max_age),
        ),
    }
}

/// What speaks against a launch after everything had to be copied again: a snapshot from before. MGN may well show the
/// old state for a while.
pub fn old_snapshot(replication: &Replication, restarted_at: &str) -> Option<Finding> {
    let taken = replication.last_snapshot.as_deref();
    let fresh = taken
        .and_then(parse_timestamp)
        .zip(parse_timestamp(restarted_at))
        .is_some_and(|(taken, restarted)| taken > restarted);
    (!fresh).then(|| {
        Finding::blocking(
            "SNAPSHOT_BEFORE_RESYNC",
            "",
            format!("MGN has no snapshot from after the resync that began at {restarted_at}."),
        )
        .evidence(taken.unwrap_or("none"), restarted_at)
    })
}

/// What to do about a replication that cannot go on: `Some(text)` where waiting does not help.
pub fn hopeless(replication: &Replication) -> Option<String> {
    if replication.state == "DISCONNECTED" {
        return Some(
            "the source server is disconnected from MGN (DISCONNECTED); reinstall the replication agent, then resubmit"
                .to_owned(),
        );
    }
    let error = replication.error.as_ref()?;
    let advice = stall::advice(&error.name);
    (advice.handling == stall::Handling::Stop)
        .then(|| format!("replication cannot go on: {error}. {}", advice.remedy))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn healthy() -> Replication {
        Replication {
            state: "CONTINUOUS".into(),
            lag_duration: Some("P0D".into()),
            last_snapshot: Some("2026-11-21T12:00:00.123456+00:00".into()),
            total_bytes: 100,
            replicated_bytes: 100,
            ..Replication::default()
        }
    }

    fn codes(replication: &Replication, policy: &Policy) -> Vec<String> {
        let now = "2026-11-21T12:10:00Z".parse().unwrap();
        blockers(replication, policy, now)
            .into_iter()
            .map(|f| f.code)
            .collect()
    }

    #[test]
    fn durations_as_mgn_sends_them() {
        for (text, seconds) in [
            ("P0D", Some(0)),
            ("PT0S", Some(0)),
            ("PT16H20M38.697305S", Some(58_839)),
            ("P1DT2H3M4.5S", Some(93_785)),
            ("PT5M", Some(300)),
            ("soon", None),
            ("", None),
            ("-PT5S", None),
        ] {
            assert_eq!(parse_duration_seconds(text), seconds, "{text}");
        }
    }

    #[test]
    fn timestamps_in_both_forms() {
        assert_eq!(
            parse_timestamp("2022-08-31T15:42:30.904212+00:00"),
            parse_timestamp("2022-08-31T15:42:30.904212Z")
        );
        assert!(parse_timestamp("2022-08-31T15:42:30.904212+00:00").is_some());
    }

    #[test]
    fn each_number_counts() {
        let policy = Policy::default();
        assert!(codes(&healthy(), &policy).is_empty());
        let check = |change: fn(&mut Replication), expected: &[&str]| {
            let mut replication = healthy();
            change(&mut replication);
            assert_eq!(codes(&replication, &Policy::default()), expected);
        };
        check(
            |r| r.state = "RESCAN".into(),
            &["REPLICATION_NOT_CONTINUOUS"],
        );
        check(
            |r| r.lag_duration = Some("PT5M1S".into()),
            &["LAG_TOO_HIGH"],
        );
        check(|r| r.lag_duration = Some("PT5M".into()), &[]);
        check(|r| r.lag_duration = None, &["NOT_LAUNCHABLE"]);
        check(|r| r.lag_duration = Some("?".into()), &["LAG_UNREADABLE"]);
        check(
            |r| r.error = Some(ReplicationError::named("NOT_CONVERGING")),
            &["REPLICATION_ERROR"],
        );
        check(
            |r| r.failed_step = Some("BOOT_REPLICATION_SERVER".into()),
            &["INITIATION_STEP_FAILED"],
        );
        check(|r| r.backlog_bytes = 1, &[]);
        check(
            |r| {
                r.state = "DISCONNECTED".into();
                r.lag_duration = None;
            },
            &["SERVER_DISCONNECTED", "NOT_LAUNCHABLE"],
        );
    }

    #[test]
    fn a_backlog_is_measured_where_the_policy_says() {
        let policy = Policy {
            max_backlog_bytes: Some(1_000),
            ..Policy::default()
        };
        let mut replication = healthy();
        replication.backlog_bytes = 1_000;
        assert_eq!(codes(&replication, &policy), Vec::<String>::new());
        replication.backlog_bytes = 1_001;
        assert_eq!(codes(&replication, &policy), ["BACKLOG_TOO_LARGE"]);
    }

    #[test]
    fn only_what_waiting_cannot_mend_is_hopeless() {
        let mut replication = healthy();
        assert_eq!(hopeless(&replication), None);
        replication.error = Some(ReplicationError::named("AGENT_NOT_SEEN"));
        assert_eq!(hopeless(&replication), None);
        replication.error = Some(ReplicationError::named("UNSUPPORTED_VM_CONFIGURATION"));
        assert!(hopeless(&replication).is_some_and(|text| text.contains("UNSUPPORTED_VM")));
        replication.state = "DISCONNECTED".into();
        assert!(hopeless(&replication).is_some_and(|text| text.contains("DISCONNECTED")));
    }

    #[test]
    fn the_snapshot_age_counts_only_where_the_policy_says() {
        let policy = |seconds| Policy {
            max_snapshot_age_seconds: Some(seconds),
            ..Policy::default()
        };
        assert_eq!(codes(&healthy(), &policy(600)), Vec::<String>::new());
        assert_eq!(codes(&healthy(), &policy(60)), ["SNAPSHOT_TOO_OLD"]);
        let mut missing = healthy();
        missing.last_snapshot = None;
        assert_eq!(codes(&missing, &policy(600)), ["SNAPSHOT_MISSING"]);
    }

    #[test]
    fn after_a_resync_only_a_later_snapshot_counts() {
        let check = |snapshot: Option<&str>, restarted: &str, expected: Option<&str>| {
            let mut replication = healthy();
            replication.last_snapshot = snapshot.map(str::to_owned);
            let code = old_snapshot(&replication, restarted).map(|finding| finding.code);
            assert_eq!(code.as_deref(), expected, "{snapshot:?} {restarted}");
        };
        let old = Some("SNAPSHOT_BEFORE_RESYNC");
        let noon = "2026-11-21T12:00:00Z";
        check(Some("2026-11-21T12:00:00.1+00:00"), noon, None);
        check(Some(noon), noon, old);
        check(Some("2026-11-21T13:00:00+02:00"), noon, old);
        check(Some("soon"), noon, old);
        check(None, noon, old);
        check(Some(noon), "unreadable", old);
    }

    #[test]
    fn data_is_what_has_been_copied_or_could_be_launched() {
        let nothing = Replication {
            total_bytes: 100,
            ..Replication::default()
        };
        assert!(!nothing.has_data());
        let copied = Replication {
            replicated_bytes: 1,
            ..nothing.clone()
        };
        let launchable = Replication {
            lag_duration: Some("PT0S".into()),
            ..nothing
        };
        assert!(copied.has_data() && launchable.has_data());
    }

    proptest! {
        #[test]
        fn percent_is_never_out_of_range(total in any::<i64>(), replicated in any::<i64>()) {
            let replication = Replication { total_bytes: total, replicated_bytes: replicated, ..Replication::default() };
            prop_assert!(replication.percent().is_none_or(|p| p <= 100));
        }

        #[test]
        fn parsing_never_panics(text in ".*") {
            let _ = parse_duration_seconds(&text);
            let _ = parse_timestamp(&text);
        }
    }
}
