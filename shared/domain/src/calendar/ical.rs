//! The forms in which iCalendar writes dates, times and durations (RFC 5545, 3.3.4 to 3.3.6).

use jiff::civil::{Date, DateTime, Time};
use jiff::{SignedDuration, Span};

/// A date, `20270131`.
pub fn date(text: &str) -> Option<Date> {
    if text.len() != 8 {
        return None;
    }
    Date::new(
        number(text, 0..4)?,
        i8::try_from(number(text, 4..6)?).ok()?,
        i8::try_from(number(text, 6..8)?).ok()?,
    )
    .ok()
}

/// A local time, `20270131T220000`. A leap second is the one before it, as RFC 5545 reads it.
pub fn time(text: &str) -> Option<DateTime> {
    let (day, time) = text.split_once('T')?;
    if time.len() != 6 {
        return None;
    }
    let part = |range| i8::try_from(number(time, range)?).ok();
    let time = Time::new(part(0..2)?, part(2..4)?, part(4..6)?.min(59), 0).ok()?;
    Some(date(day)?.to_datetime(time))
}

fn number(text: &str, range: std::ops::Range<usize>) -> Option<i16> {
    let digits = text.get(range)?;
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten()
}

/// How long something lasts: whole days by the clock on the wall, and a time by any clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Length {
    /// Days, weeks among them.
    pub days: i32,
    /// What comes on top.
    pub time: SignedDuration,
}

impl Length {
    /// The days, to be counted by the clock on the wall.
    pub fn nominal(self) -> Span {
        Span::new().try_days(self.days).unwrap_or_default()
    }
}

/// A duration, such as `P1D`, `PT8H30M` or `P2W`; not a negative one, and not an empty one.
pub fn length(text: &str) -> Option<Length> {
    let text = text.strip_prefix('+').unwrap_or(text).strip_prefix('P')?;
    let (days, time) = text.split_once('T').unwrap_or((text, ""));
    let mut length = Length {
        days: 0,
        time: SignedDuration::ZERO,
    };
    for (count, unit) in parts(days)? {
        let each = match unit {
            'W' => 7,
            'D' => 1,
            _ => return None,
        };
        length.days = i32::try_from(count)
            .ok()?
            .checked_mul(each)?
            .checked_add(length.days)?;
    }
    for (count, unit) in parts(time)? {
        let seconds = match unit {
            'H' => 3600,
            'M' => 60,
            'S' => 1,
            _ => return None,
        };
        let seconds = count.checked_mul(seconds)?;
        length.time = length
            .time
            .checked_add(SignedDuration::from_secs(seconds))?;
    }
    let empty = length.days == 0 && length.time.is_zero();
    (!empty).then_some(length)
}

/// Numbers, each with its unit.
fn parts(text: &str) -> Option<Vec<(i64, char)>> {
    let mut parts = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit())?;
        let (digits, unit) = rest.split_at(end);
        parts.push((digits.parse().ok()?, unit.chars().next()?));
        rest = unit.get(1..)?;
    }
    Some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_times_are_read_in_their_one_form() {
        for (text, read) in [
            ("20270131", Some("2027-01-31")),
            ("20270229", None),
            ("2027-01-31", None),
            ("+0270131", None),
            ("2027013", None),
            ("2027013é", None),
        ] {
            let expected = read.map(|it| it.parse::<Date>().unwrap());
            assert_eq!(date(text), expected, "{text}");
        }
        for (text, read) in [
            ("20270131T220000", Some("2027-01-31T22:00:00")),
            ("20270131T235960", Some("2027-01-31T23:59:59")),
            ("20270131T240000", None),
            ("20270131T2200", None),
            ("20270131 220000", None),
            ("20270131T220000Z", None),
        ] {
            let expected = read.map(|it| it.parse::<DateTime>().unwrap());
            assert_eq!(time(text), expected, "{text}");
        }
    }

    #[test]
    fn durations_are_days_and_a_time() {
        for (text, read) in [
            ("P1D", Some((1, 0))),
            ("P2W", Some((14, 0))),
            ("PT8H30M", Some((0, 30_600))),
            ("+P1DT1S", Some((1, 1))),
            ("P0D", None),
            ("-P1D", None),
            ("P1Y", None),
            ("PT5", None),
            ("1D", None),
            ("P99999999999D", None),
            ("PT9223372036854775807H", None),
        ] {
            let expected = read.map(|(days, seconds)| Length {
                days,
                time: SignedDuration::from_secs(seconds),
            });
            assert_eq!(length(text), expected, "{text}");
        }
    }
}
