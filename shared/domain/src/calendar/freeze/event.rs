//! One event of a freeze calendar (RFC 5545, 3.6.1).

use std::collections::BTreeSet;

use icalendar::parser::{Component, Property};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, ToSpan as _};

use super::{all, find};
use crate::calendar::ical::{self, Length};
use crate::calendar::recurrence::Recurrence;
use crate::calendar::window::instant;
use crate::calendar::{LONGEST, Span};

/// How much of an event's own name is repeated.
const MAX_NAME_CHARS: usize = 80;

/// A freeze, once or again and again.
#[derive(Clone, Debug)]
pub(super) struct Event {
    /// Its SUMMARY, else its UID.
    pub(super) name: String,
    uid: String,
    /// The start of the occurrence of the same UID that this one stands for.
    replaces: Option<When>,
    zone: TimeZone,
    whole_days: bool,
    start: DateTime,
    recurrence: Recurrence,
    extra: Vec<DateTime>,
    except: BTreeSet<DateTime>,
    lasts: Lasts,
}

/// How long an occurrence lasts (RFC 5545, 3.8.5.3): one with DTEND as long as the first, one with DURATION by the clock on the wall.
#[derive(Clone, Copy, Debug)]
enum Lasts {
    Exactly(SignedDuration),
    Nominally(Length),
}

/// A date or a time, as a property has it.
#[derive(Clone, Debug)]
enum When {
    Day(DateTime),
    Floating(DateTime),
    In(DateTime, TimeZone),
}

impl When {
    fn read(text: &str, property: &Property<'_>) -> Result<Self, String> {
        let name = property.name.as_str();
        let parameter = |key: &str| {
            let found = property
                .params
                .iter()
                .find(|it| it.key.as_str().eq_ignore_ascii_case(key));
            found
                .and_then(|it| it.val.as_ref())
                .map(|it| it.as_str().trim_matches('"'))
        };
        let bad =
            || format!("{name} {text:?} is neither a date (20261224) nor a time (20261224T180000)");
        let is_date = parameter("VALUE").is_some_and(|value| value.eq_ignore_ascii_case("DATE"));
        if is_date || text.len() == 8 {
            let day = ical::date(text).ok_or_else(bad)?;
            return Ok(Self::Day(day.at(0, 0, 0, 0)));
        }
        if let Some(utc) = text.strip_suffix('Z') {
            return Ok(Self::In(ical::time(utc).ok_or_else(bad)?, TimeZone::UTC));
        }
        let time = ical::time(text).ok_or_else(bad)?;
        match parameter("TZID") {
            None => Ok(Self::Floating(time)),
            Some(zone) => {
                let zone = TimeZone::get(zone).map_err(|_| {
                    format!(
                        "{name} has the TZID {zone:?}, which is no time zone of the IANA database"
                    )
                })?;
                Ok(Self::In(time, zone))
            }
        }
    }

    fn is_day(&self) -> bool {
        matches!(self, Self::Day(_))
    }

    /// By the clock of a zone, in which times without one are meant.
    fn by(&self, zone: &TimeZone) -> Option<DateTime> {
        match self {
            Self::Day(at) | Self::Floating(at) => Some(*at),
            Self::In(at, own) if own == zone => Some(*at),
            Self::In(at, own) => Some(zone.to_datetime(instant(*at, own)?)),
        }
    }
}

impl Event {
    /// Reads an event; `None` for one that was cancelled.
    ///
    /// # Errors
    /// What cannot be understood, with the event's name.
    pub(super) fn read(
        component: &Component<'_>,
        default: &TimeZone,
    ) -> Result<Option<Self>, String> {
        let text =
            |name: &str| find(&component.properties, name).map(|it| it.val.as_str().to_owned());
        let uid = text("UID").unwrap_or_default();
        let name = match text("SUMMARY") {
            Some(summary) if !summary.trim().is_empty() => readable(&summary),
            _ if !uid.is_empty() => readable(&uid),
            _ => "an event without a name".to_owned(),
        };
        let cancelled =
            text("STATUS").is_some_and(|status| status.eq_ignore_ascii_case("CANCELLED"));
        let read = Self::members(component, default, uid, name.clone());
        // One occurrence may be cancelled for itself: what it stands for is not frozen then.
        let read = read.map(|mut event| {
            if cancelled {
                event.lasts = Lasts::Exactly(SignedDuration::ZERO);
            }
            (!cancelled || event.replaces.is_some()).then_some(event)
        });
        read.map_err(|problem| format!("event {name:?}: {problem}"))
    }

    fn members(
        component: &Component<'_>,
        default: &TimeZone,
        uid: String,
        name: String,
    ) -> Result<Self, String> {
        let properties = component.properties.as_slice();
        for unknown in ["EXRULE"] {
            if find(properties, unknown).is_some() {
                return Err(format!(
                    "{unknown} is not supported; list the days in EXDATE"
                ));
            }
        }
        let begin = find(properties, "DTSTART").ok_or("it has no DTSTART")?;
        let begin = When::read(begin.val.as_str(), begin)?;
        let zone = match &begin {
            When::In(_, zone) => zone.clone(),
            When::Day(_) | When::Floating(_) => default.clone(),
        };
        let start = begin.by(&zone).ok_or("DTSTART is out of range")?;
        let lasts = Self::lasting(properties, &begin, start, &zone)?;
        let mut rules = all(properties, "RRULE");
        let recurrence = match rules.next() {
            None => Recurrence::once(start),
            Some(rule) => Recurrence::parse(rule.val.as_str(), start, &zone),
        };
        let recurrence = recurrence.map_err(|problem| format!("RRULE or DTSTART: {problem}"))?;
        if rules.next().is_some() {
            return Err("it has several RRULE".to_owned());
        }
        let replaces = match find(properties, "RECURRENCE-ID") {
            None => None,
            Some(id)
                if id
                    .params
                    .iter()
                    .any(|it| it.key.as_str().eq_ignore_ascii_case("RANGE")) =>
            {
                return Err(
                    "RECURRENCE-ID with RANGE is not supported; end the series and begin another"
                        .to_owned(),
                );
            }
            Some(id) => Some(When::read(id.val.as_str(), id)?),
        };
        Ok(Self {
            name,
            uid,
            replaces,
            whole_days: begin.is_day(),
            extra: Self::times(properties, "RDATE", &begin, &zone)?,
            except: Self::times(properties, "EXDATE", &begin, &zone)?
                .into_iter()
                .collect(),
            zone,
            start,
            recurrence,
            lasts,
        })
    }

    fn lasting(
        properties: &[Property<'_>],
        begin: &When,
        start: DateTime,
        zone: &TimeZone,
    ) -> Result<Lasts, String> {
        let out = "DTSTART or DTEND is out of range";
        let duration = find(properties, "DURATION").map(|it| it.val.as_str());
        if let Some(end) = find(properties, "DTEND") {
            if duration.is_some() {
                return Err("it has both DTEND and DURATION".to_owned());
            }
            let end = When::read(end.val.as_str(), end)?;
            if end.is_day() != begin.is_day() {
                return Err("one of DTSTART and DTEND is a date and the other a time".to_owned());
            }
            let at = end.by(zone).ok_or(out)?;
            let exact = instant(at, zone)
                .ok_or(out)?
                .duration_since(instant(start, zone).ok_or(out)?);
            if exact <= SignedDuration::ZERO {
                return Err("DTEND is not after DTSTART".to_owned());
            }
            if !begin.is_day() {
                return within_limit(Lasts::Exactly(exact));
            }
            let days = start.date().until(at.date()).map_err(|_| out)?.get_days();
            let time = SignedDuration::ZERO;
            return within_limit(Lasts::Nominally(Length { days, time }));
        }
        match duration {
            Some(text) => ical::length(text)
                .map(Lasts::Nominally)
                .ok_or_else(|| {
                    format!("DURATION {text:?} is no length of time such as P1D or PT8H")
                })
                .and_then(within_limit),
            None if begin.is_day() => Ok(Lasts::Nominally(Length {
                days: 1,
                time: SignedDuration::ZERO,
            })),
            None => Err("it has neither DTEND nor DURATION, and would last no time".to_owned()),
        }
    }

    /// The times of a property that lists them, by the event's clock.
    fn times(
        properties: &[Property<'_>],
        name: &str,
        begin: &When,
        zone: &TimeZone,
    ) -> Result<Vec<DateTime>, String> {
        let mut times = Vec::new();
        for property in all(properties, name) {
            for text in property.val.as_str().split(',') {
                let when = When::read(text, property)?;
                if when.is_day() != begin.is_day() {
                    return Err(format!(
                        "one of DTSTART and {name} is a date and the other a time"
                    ));
                }
                times.extend(when.by(zone));
            }
        }
        Ok(times)
    }

    /// When it is in force, as far as that touches a stretch of time.
    pub(super) fn spans(&self, within: Span) -> impl Iterator<Item = Span> + '_ {
        let before = self.zone.to_datetime(within.to);
        // What a rule does not give of DTSTART itself is frozen all the same: calendars show it.
        let mut starts: BTreeSet<DateTime> = self.recurrence.starts(before).collect();
        starts.extend(
            self.extra
                .iter()
                .chain([&self.start])
                .filter(|at| **at < before),
        );
        let starts = starts.into_iter().filter(|at| !self.except.contains(at));
        starts
            .filter_map(|start| self.span(start))
            .filter(move |span| span.to > within.from && span.from < within.to)
    }

    fn span(&self, start: DateTime) -> Option<Span> {
        let from = instant(start, &self.zone)?;
        let to = match self.lasts {
            Lasts::Exactly(length) => from.checked_add(length).ok()?,
            Lasts::Nominally(length) => {
                let end = start.checked_add(length.days.days()).ok()?;
                instant(end, &self.zone)?.checked_add(length.time).ok()?
            }
        };
        Some(Span { from, to })
    }
}

/// A freeze that lasts longer than is looked back for would not be seen from its end.
fn within_limit(lasts: Lasts) -> Result<Lasts, String> {
    let length = match lasts {
        Lasts::Exactly(length) => length,
        Lasts::Nominally(length) => {
            SignedDuration::from_hours(i64::from(length.days) * 24).saturating_add(length.time)
        }
    };
    if length > LONGEST {
        return Err("it lasts longer than a year; let it recur".to_owned());
    }
    Ok(lasts)
}

/// Takes the occurrences out of their series that have an event of their own.
pub(super) fn replace(events: &mut [Event]) {
    let replaced: Vec<(String, When)> = events
        .iter()
        .filter_map(|event| Some((event.uid.clone(), event.replaces.clone()?)))
        .collect();
    for event in events.iter_mut().filter(|event| event.replaces.is_none()) {
        for (uid, when) in &replaced {
            if *uid == event.uid && when.is_day() == event.whole_days {
                event.except.extend(when.by(&event.zone));
            }
        }
    }
}

/// A text of the calendar's, on one line and not too long.
fn readable(text: &str) -> String {
    let text = text
        .replace("\\n", " ")
        .replace("\\N", " ")
        .replace('\\', "");
    let clean = text.chars().filter(|c| !c.is_control());
    clean
        .take(MAX_NAME_CHARS)
        .collect::<String>()
        .trim()
        .to_owned()
}
