//! Cutover windows: what they must be, and when they are open.
//!
//! A window keeps to the clock on the wall at both ends: one from 22:00 to 04:00 shuts at 04:00 in the night in which the
//! clock changes, too.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, Unit};

use super::recurrence::Recurrence;
use super::{Span, Spans};
use crate::finding::Finding;
use crate::request::Window;

/// A window that can be computed with.
#[derive(Clone, Debug)]
pub struct Opening {
    zone: TimeZone,
    recurrence: Recurrence,
    /// From start to end, by the clock on the wall.
    length: jiff::Span,
}

/// What is wrong with a member of a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The member's name.
    pub member: &'static str,
    /// What its value's problem is, without a full stop.
    pub problem: String,
    found: String,
    wanted: &'static str,
    remedy: &'static str,
}

const TIME_FORM: &str = "a local time such as 2026-11-28T22:00";
const TIME_REMEDY: &str = "Give date and time by the clock of timeZone, without an offset.";
const RULE_FORM: &str = "a recurrence rule of RFC 5545 such as FREQ=WEEKLY;BYDAY=SA";

impl Opening {
    /// Reads a window.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn of(window: &Window) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let start = keep(local_time("start", &window.start), &mut faults);
        let end = keep(local_time("end", &window.end), &mut faults);
        let zone = keep(zone(&window.time_zone), &mut faults);
        let Some(start) = start else {
            return Err(faults);
        };
        // Read even where the zone is not known: everything wrong is told at once.
        let any = zone.clone().unwrap_or(TimeZone::UTC);
        let recurrence = keep(recurrence(window, start, &any), &mut faults);
        let Some(end) = end else {
            return Err(faults);
        };
        if end <= start {
            faults.push(Fault {
                member: "end",
                problem: format!("{end} is not after the start, {start}"),
                found: window.end.clone(),
                wanted: "a time after the start",
                remedy: "Give the end with its own date: a window over midnight ends on the next day.",
            });
        }
        let length = start.until((Unit::Day, end)).unwrap_or_default();
        match (zone, recurrence) {
            (Some(zone), Some(recurrence)) if faults.is_empty() => Ok(Self {
                zone,
                recurrence,
                length,
            }),
            _ => Err(faults),
        }
    }

    /// When it opens again before it has shut, if it ever does in the first year.
    fn overlap(&self) -> Option<DateTime> {
        let first = self.recurrence.starts(DateTime::MAX).next()?;
        let year = first.checked_add(jiff::Span::new().days(366)).ok()?;
        let starts: Vec<DateTime> = self.recurrence.starts(year).collect();
        let mut pairs = starts.windows(2);
        let overlaps = |pair: &&[DateTime]| {
            pair[0]
                .checked_add(self.length)
                .is_ok_and(|end| pair[1] < end)
        };
        pairs.find(overlaps).map(|pair| pair[1])
    }

    /// When it is open, as far as that touches a stretch of time; each opening whole.
    pub fn spans(&self, within: Span) -> Spans {
        let before = self.zone.to_datetime(within.to);
        let spans = self.recurrence.starts(before).filter_map(|start| {
            let end = start.checked_add(self.length).ok()?;
            Some(Span {
                from: instant(start, &self.zone)?,
                to: instant(end, &self.zone)?,
            })
        });
        Spans::of(spans.filter(|span| span.to > within.from).collect())
    }

    /// Whether it is open or opens within [`HORIZON`](super::HORIZON).
    pub fn opens(&self, now: Timestamp) -> bool {
        let spans = self.spans(super::around(now));
        spans.iter().any(|span| span.to > now)
    }

    /// The zone whose clock it keeps to.
    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// How long it is open at a time, by the clock on the wall.
    pub fn length(&self) -> SignedDuration {
        let length = self
            .length
            .to_duration(jiff::SpanRelativeTo::days_are_24_hours());
        length.unwrap_or_default()
    }
}

fn keep<T>(read: Result<T, Fault>, faults: &mut Vec<Fault>) -> Option<T> {
    read.map_err(|fault| faults.push(fault)).ok()
}

/// The instant of a local time: after a gap as long as the time is into it, and the first of two.
pub(super) fn instant(at: DateTime, zone: &TimeZone) -> Option<Timestamp> {
    zone.to_timestamp(at).ok()
}

fn recurrence(window: &Window, start: DateTime, zone: &TimeZone) -> Result<Recurrence, Fault> {
    let once = || {
        Recurrence::once(start).map_err(|problem| Fault {
            member: "start",
            problem,
            found: window.start.clone(),
            wanted: TIME_FORM,
            remedy: TIME_REMEDY,
        })
    };
    let Some(rule) = &window.recurrence else {
        return once();
    };
    once()?;
    let fault = |problem| Fault {
        member: "recurrence",
        problem,
        found: rule.clone(),
        wanted: RULE_FORM,
        remedy: "Correct the rule, or leave it out for a window that opens once.",
    };
    let read = Recurrence::parse(rule, start, zone);
    let read = read.map_err(|problem| fault(format!("{rule:?} cannot be used: {problem}")))?;
    if read.is_synchronized() {
        return Ok(read);
    }
    Err(fault(format!(
        "{start} is none of the times that {rule:?} gives"
    )))
}

/// Only the one form: jiff would read more, and take an offset without using it.
fn local_time(member: &'static str, text: &str) -> Result<DateTime, Fault> {
    let form: String = text
        .chars()
        .map(|c| if c.is_ascii_digit() { '0' } else { c })
        .collect();
    let read = match form.as_str() {
        "0000-00-00T00:00" | "0000-00-00T00:00:00" => text.parse().ok(),
        _ => None,
    };
    read.ok_or_else(|| Fault {
        member,
        problem: format!("{text:?} is no local time"),
        found: text.to_owned(),
        wanted: TIME_FORM,
        remedy: TIME_REMEDY,
    })
}

fn zone(name: &str) -> Result<TimeZone, Fault> {
    // POSIX forms and the zone of the machine are no names that two people agree on.
    TimeZone::get(name).map_err(|_| Fault {
        member: "timeZone",
        problem: format!("{name:?} is no time zone of the IANA database"),
        found: name.to_owned(),
        wanted: "a name such as Europe/Berlin",
        remedy: "Give the zone by its name in the IANA database; UTC is one.",
    })
}

/// What is wrong with a window that somebody asks for, as findings at a JSON pointer. One that opens again before it has shut
/// can be computed with, but is nobody's wish.
pub fn faults(window: &Window, pointer: &str) -> Vec<Finding> {
    let faults = match Opening::of(window) {
        Err(faults) => faults,
        Ok(opening) => {
            let overlap = opening.overlap().map(|again| Fault {
                member: "end",
                problem: format!("the window opens again at {again}, before it has shut"),
                found: window.end.clone(),
                wanted: "a time before it opens again",
                remedy: "Give the end of one opening; how often it comes is said by recurrence.",
            });
            overlap.into_iter().collect()
        }
    };
    let finding = |fault: Fault| {
        let pointer = format!("{pointer}/{}", fault.member);
        Finding::blocking("SCHEMA_INVALID", &pointer, format!("{}.", fault.problem))
            .evidence(fault.found, fault.wanted)
            .remedy(fault.remedy)
    };
    faults.into_iter().map(finding).collect()
}

#[cfg(test)]
mod tests;
