//! How long users had to do without a server, and how long each phase of its migration took.
//!
//! The outage begins when the source is *quiesced*. Nothing stops the source's users at the cutover launch, but MGN
//! launches from what it had replicated then: what is written on the source afterwards does not arrive on the target.
//! From that moment on the source is no longer the server that users may rely on, so the outage counts from there, or
//! from the source's power-off where that came first. It ends when the target has passed its checks; the users'
//! names follow later, once somebody agreed to it, and that wait is told by the phases.
//!
//! Of a switch that was undone nobody was ever to use the target: the outage is the time in which the source was off.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::record::MigrationRecord;
use crate::rollback::Compensation;
use crate::status::Status;

/// The outage of one server. Timestamps are RFC 3339 in UTC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Outage {
    /// When the source was quiesced.
    pub quiesced_at: String,
    /// When the target had passed its checks, or the source answered again after a rollback; absent while it has not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified_at: Option<String>,
    /// The whole seconds between the two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outage_seconds: Option<u64>,
}

impl Outage {
    /// The outage of a migration; `None` where its cutover was not launched, or was undone before the source was off. A
    /// rollback that came to a halt counts as far as the source: users have it again, whatever else is still to be undone.
    pub fn of(record: &MigrationRecord) -> Option<Self> {
        let cutover = record.done.cutover.as_ref()?;
        let back = source_back(record);
        let undone = matches!(record.status, Status::RolledBack | Status::Cancelled);
        if (undone || back.is_some()) && record.done.finalized_at.is_none() {
            let off = record.done.source_powered_off_at.as_deref()?;
            return Some(Self::between(off, back));
        }
        let moments = [
            Some(cutover.started_at.as_str()),
            record.done.source_powered_off_at.as_deref(),
        ];
        let first = moments
            .into_iter()
            .flatten()
            .filter_map(|at| Some((at.parse::<Timestamp>().ok()?, at)))
            .min();
        Some(Self::between(first?.1, cutover.verified_at.as_deref()))
    }

    fn between(quiesced: &str, verified: Option<&str>) -> Self {
        let time = |at: &str| at.parse::<Timestamp>().ok();
        let seconds = verified.and_then(time).zip(time(quiesced));
        let seconds = seconds.map(|(end, start)| end.duration_since(start).as_secs());
        Self {
            quiesced_at: quiesced.to_owned(),
            verified_at: verified.map(str::to_owned),
            outage_seconds: seconds.and_then(|seconds| u64::try_from(seconds).ok()),
        }
    }
}

/// When the source answered again: the first time, where an ordered rollback goes on with one that came to a halt.
fn source_back(record: &MigrationRecord) -> Option<&str> {
    let before = record.undoes.as_ref().and_then(|it| it.rollback.as_ref());
    let rollbacks = before.into_iter().chain(record.rollback.as_ref());
    let steps = rollbacks.filter_map(|it| it.steps.get(Compensation::PowerOnSource.name()));
    let done = steps.filter_map(|step| step.done_at.as_deref());
    done.filter_map(|at| Some((at.parse::<Timestamp>().ok()?, at)))
        .min()
        .map(|(_, at)| at)
}

/// How long an attempt was in each status it has left, in milliseconds. A status that was entered several times counts
/// with all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Phases(pub BTreeMap<Status, u64>);

impl Phases {
    /// Whether no status has been left yet.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Notes that a status, entered at `since` (RFC 3339), is left at `now`.
    pub fn leave(&mut self, status: Status, since: &str, now: Timestamp) {
        let Ok(since) = since.parse::<Timestamp>() else {
            return;
        };
        // Clocks of two Lambda functions may differ: a phase never takes less than no time.
        let spent = u64::try_from(now.duration_since(since).as_millis()).unwrap_or(0);
        let so_far = self.0.entry(status).or_default();
        *so_far = so_far.saturating_add(spent);
    }
}

/// How a number of values is spread, by the nearest-rank method: each is one of the values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Spread {
    /// How many values there are.
    pub count: usize,
    /// Half of them are no greater.
    pub p50: u64,
    /// Nine of ten are no greater.
    pub p90: u64,
    /// The greatest.
    pub max: u64,
}

impl Spread {
    /// Of some values; `None` of none.
    pub fn of(values: impl IntoIterator<Item = u64>) -> Option<Self> {
        let mut values: Vec<u64> = values.into_iter().collect();
        values.sort_unstable();
        let max = *values.last()?;
        let count = values.len();
        let rank = |percent: usize| {
            let rank = count.saturating_mul(percent).div_ceil(100).max(1);
            values.get(rank - 1).copied().unwrap_or(max)
        };
        Some(Self {
            count,
            p50: rank(50),
            p90: rank(90),
            max,
        })
    }
}

/// How a wave fared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WaveTimes {
    /// The outages in seconds that are over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outage_seconds: Option<Spread>,
    /// The milliseconds in each status, of the servers that have left it.
    pub phase_millis: BTreeMap<Status, Spread>,
}

impl WaveTimes {
    /// Of a wave's records.
    pub fn of(records: &[MigrationRecord]) -> Self {
        let outages = records.iter().filter_map(Outage::of);
        let phases = Status::ALL.into_iter().filter_map(|status| {
            let spent = records.iter();
            let spent = spent.filter_map(|record| record.phase_millis.0.get(&status).copied());
            Some((status, Spread::of(spent)?))
        });
        Self {
            outage_seconds: Spread::of(outages.filter_map(|outage| outage.outage_seconds)),
            phase_millis: phases.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::record;
    use serde_json::json;

    fn cut_over(started: &str, verified: Option<&str>, off: Option<&str>) -> MigrationRecord {
        let mut record = record();
        let launch = json!({
            "jobId": "mgnjob-1", "settingsDigest": "d", "startedAt": started, "verifiedAt": verified
        });
        record.done.cutover = serde_json::from_value(launch).unwrap();
        record.done.source_powered_off_at = off.map(str::to_owned);
        record
    }

    #[test]
    fn the_outage_counts_from_what_came_first() {
        let at = |time: &str| format!("2026-11-21T{time}Z");
        for (started, verified, off, quiesced, seconds) in [
            ("10:00:00", Some("10:20:30"), None, "10:00:00", Some(1230)),
            // Powered off by us in finalize, as always: after the launch.
            (
                "10:00:00",
                Some("10:20:30"),
                Some("11:00:00"),
                "10:00:00",
                Some(1230),
            ),
            (
                "10:00:00",
                Some("10:20:30"),
                Some("09:50:30"),
                "09:50:30",
                Some(1800),
            ),
            ("10:00:00", None, None, "10:00:00", None),
            // A clock that went back: no outage is shorter than none, and none is made up.
            ("10:00:00", Some("09:59:00"), None, "10:00:00", None),
        ] {
            let verified = verified.map(at);
            let off = off.map(at);
            let record = cut_over(&at(started), verified.as_deref(), off.as_deref());
            let outage = Outage::of(&record).unwrap();
            assert_eq!(outage.quiesced_at, at(quiesced));
            assert_eq!(outage.verified_at, verified);
            assert_eq!(outage.outage_seconds, seconds, "{started} {off:?}");
        }
        assert_eq!(Outage::of(&record()), None);
    }

    #[test]
    fn of_a_switch_that_was_undone_only_the_time_without_a_source_counts() {
        let at = |time: &str| format!("2026-11-21T{time}Z");
        let undone = |off: Option<&str>, back: Option<&str>| {
            let off = off.map(at);
            let mut record = cut_over(&at("10:00:00"), Some(&at("10:20:00")), off.as_deref());
            record.status = Status::RolledBack;
            let steps = back.map_or(
                json!({}),
                |back| json!({"POWER_ON_SOURCE": {"beganAt": at("11:01:00"), "doneAt": at(back)}}),
            );
            record.rollback = serde_json::from_value(json!({"steps": steps})).unwrap();
            record
        };
        assert_eq!(Outage::of(&undone(None, None)), None);
        let outage = Outage::of(&undone(Some("11:00:00"), Some("11:02:00"))).unwrap();
        assert_eq!(outage.quiesced_at, at("11:00:00"));
        assert_eq!(outage.outage_seconds, Some(120));
        // The rollback came to a halt with the source back, and a person ordered the rest of it next morning.
        let mut frozen = undone(Some("11:00:00"), Some("11:02:00"));
        frozen.status = Status::Frozen;
        assert_eq!(Outage::of(&frozen).unwrap().outage_seconds, Some(120));
        let mut ordered = undone(Some("11:00:00"), Some("18:00:00"));
        ordered.undoes = Some(Box::new(crate::record::Ended::of(&frozen)));
        assert_eq!(Outage::of(&ordered).unwrap().outage_seconds, Some(120));
        // Frozen before that: users are without it still.
        frozen = undone(Some("11:00:00"), None);
        frozen.status = Status::Frozen;
        assert_eq!(
            Outage::of(&frozen).unwrap().verified_at,
            Some(at("10:20:00"))
        );
        // Past the point of no return the target is what users had.
        let mut finalized = undone(Some("11:00:00"), Some("11:02:00"));
        finalized.done.finalized_at = Some(at("11:00:30"));
        assert_eq!(Outage::of(&finalized).unwrap().outage_seconds, Some(1200));
    }

    #[test]
    fn percentiles_are_values_that_were_seen() {
        let spread = |values: &[u64]| {
            Spread::of(values.iter().copied()).map(|s| (s.count, s.p50, s.p90, s.max))
        };
        assert_eq!(spread(&[]), None);
        assert_eq!(spread(&[7]), Some((1, 7, 7, 7)));
        assert_eq!(spread(&[9, 1]), Some((2, 1, 9, 9)));
        assert_eq!(
            spread(&[10, 9, 8, 7, 6, 5, 4, 3, 2, 1]),
            Some((10, 5, 9, 10))
        );
        let hundred: Vec<u64> = (1..=100).collect();
        assert_eq!(spread(&hundred), Some((100, 50, 90, 100)));
    }

    #[test]
    fn a_status_counts_with_every_stay_in_it() {
        let mut phases = Phases::default();
        let now = |at: &str| at.parse().unwrap();
        phases.leave(
            Status::Soaking,
            "2026-11-21T10:00:00Z",
            now("2026-11-21T10:00:01.5Z"),
        );
        phases.leave(
            Status::Soaking,
            "2026-11-21T11:00:00Z",
            now("2026-11-21T11:00:02Z"),
        );
        // A clock behind the other one, and a time that is none.
        phases.leave(
            Status::Testing,
            "2026-11-21T11:00:00Z",
            now("2026-11-21T10:59:59Z"),
        );
        phases.leave(Status::Preparing, "", now("2026-11-21T11:00:02Z"));
        assert_eq!(
            serde_json::to_value(&phases).unwrap(),
            json!({"TESTING": 0, "SOAKING": 3500})
        );
    }

    #[test]
    fn a_wave_tells_of_those_that_got_there() {
        let mut one = cut_over("2026-11-21T10:00:00Z", Some("2026-11-21T10:10:00Z"), None);
        let mut two = cut_over("2026-11-21T10:00:00Z", Some("2026-11-21T10:20:00Z"), None);
        let three = cut_over("2026-11-21T10:00:00Z", None, None);
        one.phase_millis.0.insert(Status::Testing, 5_000);
        two.phase_millis.0.insert(Status::Testing, 9_000);
        two.phase_millis.0.insert(Status::Soaking, 60_000);
        let times = serde_json::to_value(WaveTimes::of(&[one, two, three, record()])).unwrap();
        assert_eq!(
            times,
            json!({
                "outageSeconds": {"count": 2, "p50": 600, "p90": 1200, "max": 1200},
                "phaseMillis": {
                    "TESTING": {"count": 2, "p50": 5000, "p90": 9000, "max": 9000},
                    "SOAKING": {"count": 1, "p50": 60000, "p90": 60000, "max": 60000},
                },
            })
        );
        assert_eq!(
            serde_json::to_value(WaveTimes::of(&[])).unwrap(),
            json!({"phaseMillis": {}})
        );
    }
}
