//! Recurrence rules of RFC 5545 (3.3.10), expanded by the clock on the wall.
//!
//! The crate `rrule` expands the rule as though the clock never changed; what it gives are local times, which become
//! instants elsewhere. `UNTIL` is looked at here, because it may be an instant, and because `rrule` wants it in other
//! forms than calendars have it.

use chrono::{Datelike as _, NaiveDate, NaiveDateTime, TimeZone as _, Timelike as _};
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use rrule::{Frequency, RRule, RRuleSet, Tz, Unvalidated};

/// The years in which a recurrence may begin: the rule is expanded from there on.
const YEARS: std::ops::RangeInclusive<i16> = 1970..=2200;

/// The first local time, and the rule by which others follow it.
#[derive(Clone, Debug)]
pub(super) struct Recurrence {
    start: DateTime,
    rule: Option<RRuleSet>,
    until: Option<Until>,
}

/// The last local time at which something may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Until {
    Day(Date),
    Time(DateTime),
}

impl Until {
    fn allows(self, at: DateTime) -> bool {
        match self {
            Self::Day(day) => at.date() <= day,
            Self::Time(time) => at <= time,
        }
    }
}

impl Recurrence {
    /// What happens once.
    ///
    /// # Errors
    /// Why the start cannot be one.
    pub(super) fn once(start: DateTime) -> Result<Self, String> {
        if !YEARS.contains(&start.year()) {
            let (first, last) = (YEARS.start(), YEARS.end());
            return Err(format!(
                "the year {} is not from {first} to {last}",
                start.year()
            ));
        }
        Ok(Self {
            start,
            rule: None,
            until: None,
        })
    }

    /// What happens again and again. The zone is for an `UNTIL` that is an instant.
    ///
    /// # Errors
    /// What is wrong with the rule.
    pub(super) fn parse(rule: &str, start: DateTime, zone: &TimeZone) -> Result<Self, String> {
        let once = Self::once(start)?;
        // Rules are of letters, digits and a few signs; nothing else reaches the parser.
        if let Some(odd) = rule
            .chars()
            .find(|c| !c.is_ascii_alphanumeric() && !"=;,+-".contains(*c))
        {
            return Err(format!("{odd:?} has no place in a recurrence rule"));
        }
        let rule = rule.to_ascii_uppercase();
        let (mut until, mut rest) = (None, Vec::new());
        for part in rule.split(';') {
            match part.split_once('=') {
                Some(("UNTIL", _)) if until.is_some() => return Err("it has two UNTIL".to_owned()),
                Some(("UNTIL", value)) => until = Some(read_until(value, zone)?),
                Some((_, "")) => return Err(format!("{part} has no value")),
                Some(_) => rest.push(part),
                None => return Err(format!("{part:?} is not of the form NAME=VALUE")),
            }
        }
        if until.is_some() && rest.iter().any(|part| part.starts_with("COUNT=")) {
            return Err("it has both COUNT and UNTIL".to_owned());
        }
        let parsed: RRule<Unvalidated> = rest
            .join(";")
            .parse()
            .map_err(|error: rrule::RRuleError| words(&error))?;
        coarse_enough(&rest, parsed.get_freq())?;
        if parsed.get_interval() == 0 {
            return Err("INTERVAL is 0".to_owned());
        }
        let set = parsed
            .build(to_chrono(start)?)
            .map_err(|error| words(&error))?;
        Ok(Self {
            rule: Some(set.limit()),
            until,
            ..once
        })
    }

    /// Whether the start is itself one of those that the rule gives, as RFC 5545 wants it (3.8.5.3).
    pub(super) fn is_synchronized(&self) -> bool {
        let Some(rule) = &self.rule else {
            return true;
        };
        let first = rule.into_iter().next().and_then(of_chrono);
        first == Some(self.start) && self.until.is_none_or(|until| until.allows(self.start))
    }

    /// The local times that the rule gives, up to one.
    pub(super) fn starts(&self, before: DateTime) -> impl Iterator<Item = DateTime> + '_ {
        let given = self
            .rule
            .iter()
            .flat_map(std::iter::IntoIterator::into_iter);
        let alone = self.rule.is_none().then_some(self.start);
        given
            .map_while(of_chrono)
            .chain(alone)
            .take_while(move |at| *at < before && self.until.is_none_or(|until| until.allows(*at)))
    }
}

/// Refuses what recurs more often than by the hour: no window and no freeze does, and it would take long to expand.
fn coarse_enough(parts: &[&str], frequency: Frequency) -> Result<(), String> {
    if matches!(
        frequency,
        Frequency::Hourly | Frequency::Minutely | Frequency::Secondly
    ) {
        return Err(format!(
            "FREQ={frequency} is finer than this takes: DAILY, WEEKLY, MONTHLY or YEARLY"
        ));
    }
    let list = parts.iter().find(|part| {
        (part.starts_with("BYMINUTE=") || part.starts_with("BYSECOND=")) && part.contains(',')
    });
    match list {
        Some(part) => Err(format!("{part} lists several, and one is taken")),
        None => Ok(()),
    }
}

fn read_until(value: &str, zone: &TimeZone) -> Result<Until, String> {
    let read = match value.strip_suffix('Z') {
        Some(time) => super::ical::time(time)
            .and_then(|time| TimeZone::UTC.to_timestamp(time).ok())
            .map(|at| Until::Time(zone.to_datetime(at))),
        None => super::ical::date(value)
            .map(Until::Day)
            .or_else(|| super::ical::time(value).map(Until::Time)),
    };
    read.ok_or_else(|| {
        format!("UNTIL={value} is neither a date (20270131) nor a time (20270131T220000Z)")
    })
}

/// The parser's own words, without those of its errors that only say that something is invalid.
fn words(error: &rrule::RRuleError) -> String {
    let text = match error {
        rrule::RRuleError::ParserError(error) => error.to_string(),
        rrule::RRuleError::ValidationError(error) => error.to_string(),
        rrule::RRuleError::IterError(text) => text.clone(),
    };
    text.trim_end_matches('.').to_owned()
}

/// The local time, called UTC: `rrule` must not know that clocks change.
fn to_chrono(at: DateTime) -> Result<chrono::DateTime<Tz>, String> {
    let positive = |value: i8| u32::try_from(value).unwrap_or_default();
    let (date, time) = (at.date(), at.time());
    NaiveDate::from_ymd_opt(
        date.year().into(),
        positive(date.month()),
        positive(date.day()),
    )
    .and_then(|it| {
        it.and_hms_opt(
            positive(time.hour()),
            positive(time.minute()),
            positive(time.second()),
        )
    })
    .map(|it: NaiveDateTime| Tz::UTC.from_utc_datetime(&it))
    .ok_or_else(|| format!("{at} cannot be computed with"))
}

/// The local time again; `None` past the years that jiff has.
fn of_chrono(at: chrono::DateTime<Tz>) -> Option<DateTime> {
    let part = |value: u32| i8::try_from(value).ok();
    DateTime::new(
        i16::try_from(at.year()).ok()?,
        part(at.month())?,
        part(at.day())?,
        part(at.hour())?,
        part(at.minute())?,
        part(at.second())?,
        0,
    )
    .ok()
}
