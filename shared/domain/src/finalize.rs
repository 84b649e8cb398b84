//! The steps of finalize, in their order; what the record knows of each; and what must be proved before the last one.

mod guard;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::record::{Done, MigrationRecord};

pub use guard::{Evidence, beforehand, guard, missing};

/// A step of finalize. They are taken in this order, so that a rollback can walk back the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Step {
    /// The users' names point at the target, on all name servers of Route 53.
    Dns,
    /// The configuration item tells of the target.
    Cmdb,
    /// The target is protected against termination, and tagged.
    TargetSealed,
    /// The source is off.
    SourcePowerOff,
    /// Cloud Migration Factory knows of the cutover.
    Cmf,
    /// MGN `FinalizeCutover`: the point of no return.
    MgnFinalize,
}

impl Step {
    /// As it is stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dns => "DNS",
            Self::Cmdb => "CMDB",
            Self::TargetSealed => "TARGET_SEALED",
            Self::SourcePowerOff => "SOURCE_POWER_OFF",
            Self::Cmf => "CMF",
            Self::MgnFinalize => "MGN_FINALIZE",
        }
    }
}

/// How a step stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum State {
    /// Noted before anything is changed; it may have taken effect.
    Begun,
    /// Done, and seen to be.
    Done,
    /// Left to a person; the evidence says why.
    Left,
}

/// What the record knows of a step. Timestamps are RFC 3339 in UTC.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Note {
    /// Which step.
    pub step: Step,
    /// How it stands.
    pub state: State,
    /// When it came to stand so.
    pub at: String,
    /// What was seen; of a step that has begun, what is about to be done.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub evidence: Value,
}

/// What the record knows of a step, if anything.
pub fn note(done: &Done, step: Step) -> Option<&Note> {
    done.finalize.iter().find(|note| note.step == step)
}

/// Whether a step is over: done, or left to a person.
pub fn is_over(done: &Done, step: Step) -> bool {
    note(done, step).is_some_and(|note| note.state != State::Begun)
}

/// Notes how a step stands, in place of what was noted before.
pub fn set(done: &mut Done, step: Step, state: State, evidence: Value, now: Timestamp) {
    let note = Note {
        step,
        state,
        at: now.to_string(),
        evidence,
    };
    match done.finalize.iter_mut().find(|noted| noted.step == step) {
        Some(noted) => *noted = note,
        None => done.finalize.push(note),
    }
}

/// Until when somebody may still be sent to the source: a resolver that asked just before the names were changed keeps
/// the old answer for its time to live. `None` where no name sent anybody there, or that time is over.
pub fn old_answers_until(record: &MigrationRecord, now: Timestamp) -> Option<Timestamp> {
    let changed = note(&record.done, Step::Dns).filter(|note| note.state == State::Done)?;
    let changed: Timestamp = changed.at.parse().ok()?;
    let names = record.done.dns.iter();
    let old = names.filter_map(|change| {
        let previous = change.previous.as_ref()?;
        // Of a record that had the target's value before, every answer is a good one; and one of no time to live is
        // kept by nobody.
        let misleads = previous.ttl > 0 && previous.values != change.value.values;
        misleads.then_some(previous.ttl)
    });
    let until = changed
        .checked_add(SignedDuration::from_secs(old.max()?))
        .ok()?;
    (until > now).then_some(until)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::record;
    use crate::record::{DnsChange, DnsValue};
    use serde_json::json;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_step_is_noted_once_and_over_when_it_is_done_or_left() {
        let mut done = Done::default();
        let now = at("2026-11-21T10:00:00Z");
        assert!(!is_over(&done, Step::Dns));
        for (state, over) in [
            (State::Begun, false),
            (State::Done, true),
            (State::Left, true),
        ] {
            set(&mut done, Step::Dns, state, json!("x"), now);
            assert_eq!(is_over(&done, Step::Dns), over);
            assert_eq!(done.finalize.len(), 1);
        }
        set(&mut done, Step::Cmdb, State::Begun, Value::Null, now);
        assert_eq!(
            serde_json::to_value(&done.finalize).unwrap(),
            json!([
                {"step": "DNS", "state": "LEFT", "at": "2026-11-21T10:00:00Z", "evidence": "x"},
                {"step": "CMDB", "state": "BEGUN", "at": "2026-11-21T10:00:00Z"},
            ])
        );
    }

    #[test]
    fn names_are_shown_as_they_are_stored() {
        for step in [
            Step::Dns,
            Step::Cmdb,
            Step::TargetSealed,
            Step::SourcePowerOff,
            Step::Cmf,
            Step::MgnFinalize,
        ] {
            assert_eq!(json!(step), step.as_str());
        }
    }

    #[test]
    fn the_longest_old_answer_is_waited_for() {
        let value = |ttl, value: &str| DnsValue {
            ttl,
            values: vec![value.to_owned()],
        };
        let change = |previous: Option<DnsValue>| DnsChange {
            hosted_zone_id: "Z1".into(),
            name: "app.example.com".into(),
            record_type: "A".into(),
            previous,
            value: value(60, "10.0.0.1"),
        };
        let (old, longer) = (value(300, "192.0.2.1"), value(900, "192.0.2.1"));
        let same = value(86_400, "10.0.0.1");
        for (changes, state, now, until) in [
            (vec![], State::Done, "10:00:01", None),
            (vec![None], State::Done, "10:00:01", None),
            (vec![Some(same)], State::Done, "10:00:01", None),
            (
                vec![Some(value(0, "192.0.2.1"))],
                State::Done,
                "09:59:59",
                None,
            ),
            (
                vec![Some(old.clone())],
                State::Done,
                "10:04:59",
                Some("10:05:00"),
            ),
            (vec![Some(old.clone())], State::Done, "10:05:00", None),
            (vec![Some(old.clone())], State::Begun, "10:00:01", None),
            (
                vec![Some(old), None, Some(longer)],
                State::Done,
                "10:05:00",
                Some("10:15:00"),
            ),
        ] {
            let mut record = record();
            record.done.dns = changes.into_iter().map(change).collect();
            let changed = at("2026-11-21T10:00:00Z");
            set(&mut record.done, Step::Dns, state, Value::Null, changed);
            let day = |time: &str| at(&format!("2026-11-21T{time}Z"));
            assert_eq!(
                old_answers_until(&record, day(now)),
                until.map(day),
                "{now}"
            );
        }
    }
}
