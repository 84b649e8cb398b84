//! Whether the switch may go on now.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::json;

use super::window::Opening;
use super::{Freezes, Span, Spans, around};
use crate::finding::Finding;
use crate::request::Window;

/// Everything that says when a switch may happen.
#[derive(Clone, Copy, Debug)]
pub struct Timetable<'a> {
    /// The window of the request.
    pub request: Option<&'a Window>,
    /// The wave's name, and the window that was set for it.
    pub wave: Option<(&'a str, &'a Window)>,
    /// The deployment's freezes.
    pub freezes: &'a Freezes,
}

/// The switch may not go on.
#[derive(Clone, Debug, PartialEq)]
pub struct Closed {
    /// What is in the way: `OUTSIDE_WINDOW` or `FREEZE_ACTIVE`.
    pub finding: Finding,
    /// When nothing of it will be in the way any more; `None` when that is not within [`super::HORIZON`].
    pub until: Option<Timestamp>,
}

/// Judges an instant; `None` when every window is open and no freeze is in force.
pub fn judge(timetable: &Timetable<'_>, now: Timestamp) -> Option<Closed> {
    let within = around(now);
    let windows = [
        timetable
            .request
            .map(|window| ("the request's window".to_owned(), "/policy/window", window)),
        timetable
            .wave
            .map(|(wave, window)| (format!("the window of wave {wave}"), "", window)),
    ];
    let mut open = Spans::of(vec![Span {
        from: now,
        to: within.to,
    }]);
    let mut shut = None;
    let mut clock = TimeZone::UTC;
    for (whose, pointer, window) in windows.into_iter().flatten() {
        let (spans, zone) = match Opening::of(window) {
            Ok(opening) => (opening.spans(within), opening.zone().clone()),
            // Nobody could have set it; one that is there all the same is no reason to go on.
            Err(_) => (Spans::default(), TimeZone::UTC),
        };
        if spans.at(now).is_none() && shut.is_none() {
            shut = Some(outside(&whose, pointer, &spans, &zone, now));
        }
        clock = zone;
        open = open.and(&spans);
    }
    let open = open.without(&timetable.freezes.spans(within));
    let until = match open.at(now) {
        Some(_) => return None,
        None => open.after(now).map(|span| span.from),
    };
    let mut finding = match frozen(timetable.freezes, &clock, now) {
        Some(frozen) => frozen,
        None => shut?,
    };
    let later = match until {
        Some(at) => format!(" The switch may go on from {}.", local(at, &clock)),
        None => " There is no time within a year at which the switch may go on.".to_owned(),
    };
    finding.message.push_str(&later);
    Some(Closed { finding, until })
}

fn outside(whose: &str, pointer: &str, spans: &Spans, zone: &TimeZone, now: Timestamp) -> Finding {
    let told = |at: Timestamp| local(at, zone);
    let next = spans.after(now);
    let message = match next {
        Some(next) => format!("{whose} is shut; it opens at {}.", told(next.from)),
        None => format!("{whose} is shut, and does not open again within a year."),
    };
    let wanted = next.map(|next| json!({"opens": told(next.from), "shuts": told(next.to)}));
    Finding::blocking("OUTSIDE_WINDOW", pointer, message)
        .evidence(told(now), wanted.unwrap_or_default())
        .remedy("Wait for the window, or set the wave's with `landfall window set`; the step that is under way is finished.")
}

fn frozen(freezes: &Freezes, clock: &TimeZone, now: Timestamp) -> Option<Finding> {
    let active = freezes.active(now);
    let names: Vec<String> = active.iter().map(|it| format!("{:?}", it.name)).collect();
    let last = active.first()?;
    let message = format!(
        "a change freeze is in force: {}, until {}.",
        names.join(", "),
        local(last.span.to, clock)
    );
    Some(
        Finding::blocking("FREEZE_ACTIVE", "", message)
            .evidence(
                local(now, clock),
                json!({"ends": local(last.span.to, clock)}),
            )
            .remedy("Wait for its end, or have whoever keeps the freeze calendar change it."),
    )
}

/// An instant by the clock of a zone, for people.
fn local(at: Timestamp, zone: &TimeZone) -> String {
    at.to_zoned(zone.clone())
        .strftime("%Y-%m-%d %H:%M %Z")
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn window(start: &str, end: &str, rule: Option<&str>) -> Window {
        Window {
            start: start.into(),
            end: end.into(),
            time_zone: "Europe/Berlin".into(),
            recurrence: rule.map(str::to_owned),
        }
    }

    fn freezes(lines: &str) -> Freezes {
        let text = format!(
            "BEGIN:VCALENDAR\nBEGIN:VEVENT\nSUMMARY:Year end\n{lines}\nEND:VEVENT\nEND:VCALENDAR\n"
        );
        Freezes::parse(&text).unwrap()
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    #[expect(
        clippy::type_complexity,
        clippy::too_many_lines,
        reason = "a table of what speaks against a switch"
    )]
    fn every_window_must_be_open_and_no_freeze_in_force() {
        let saturdays = window("2026-11-28T22:00", "2026-11-29T04:00", Some("FREQ=WEEKLY"));
        let second = window("2026-12-05T23:00", "2026-12-06T01:00", None);
        let (none, december) = (
            Freezes::default(),
            freezes("DTSTART:20261205T223000Z\nDTEND:20270101T000000Z"),
        );
        let (request, wave) = (Some(&saturdays), Some(("w1", &second)));
        let table: [(
            Option<&Window>,
            Option<(&str, &Window)>,
            &Freezes,
            &str,
            Option<(&str, &str, Option<&str>)>,
        ); 10] = [
            (None, None, &none, "2026-12-01T00:00:00Z", None),
            (request, None, &none, "2026-11-28T21:00:00Z", None),
            (
                request,
                None,
                &none,
                "2026-11-29T03:00:00Z",
                Some((
                    "OUTSIDE_WINDOW",
                    "the request's window is shut; it opens at 2026-12-05 22:00 CET.",
                    Some("2026-12-05T21:00:00Z"),
                )),
            ),
            // Open by the request, shut by the wave: both count.
            (
                request,
                wave,
                &none,
                "2026-11-28T22:00:00Z",
                Some((
                    "OUTSIDE_WINDOW",
                    "the window of wave w1 is shut",
                    Some("2026-12-05T22:00:00Z"),
                )),
            ),
            (request, wave, &none, "2026-12-05T22:00:00Z", None),
            (
                request,
                wave,
                &none,
                "2026-12-06T00:00:00Z",
                Some((
                    "OUTSIDE_WINDOW",
                    "does not open again within a year. There is no time within a year",
                    None,
                )),
            ),
            // A freeze leaves half an hour of what is common to both.
            (request, wave, &december, "2026-12-05T22:29:59Z", None),
            (
                request,
                wave,
                &december,
                "2026-12-05T22:30:00Z",
                Some((
                    "FREEZE_ACTIVE",
                    "a change freeze is in force: \"Year end\", until 2027-01-01 01:00 CET. There is no time",
                    None,
                )),
            ),
            (
                request,
                None,
                &december,
                "2026-12-05T22:30:00Z",
                Some((
                    "FREEZE_ACTIVE",
                    "The switch may go on from 2027-01-02 22:00 CET.",
                    Some("2027-01-02T21:00:00Z"),
                )),
            ),
            (
                None,
                None,
                &december,
                "2026-12-31T23:59:59Z",
                Some((
                    "FREEZE_ACTIVE",
                    "until 2027-01-01 00:00 UTC. The switch may go on from 2027-01-01 00:00 UTC.",
                    Some("2027-01-01T00:00:00Z"),
                )),
            ),
        ];
        for (request, wave, freezes, now, expected) in table {
            let timetable = Timetable {
                request,
                wave,
                freezes,
            };
            let closed = judge(&timetable, at(now));
            match (closed, expected) {
                (None, None) => {}
                (Some(closed), Some((code, part, until))) => {
                    assert_eq!(closed.finding.code, code, "{now}: {:?}", closed.finding);
                    assert!(
                        closed.finding.message.contains(part),
                        "{now}: {}",
                        closed.finding.message
                    );
                    assert_eq!(closed.until, until.map(at), "{now}");
                }
                (closed, expected) => panic!("{now}: {closed:?}, expected {expected:?}"),
            }
        }
    }

    #[test]
    fn a_window_that_cannot_be_read_is_no_open_one() {
        let odd = Window::default();
        let timetable = Timetable {
            request: Some(&odd),
            wave: None,
            freezes: &Freezes::default(),
        };
        let closed = judge(&timetable, at("2026-12-01T00:00:00Z")).unwrap();
        assert_eq!(
            (closed.finding.code.as_str(), closed.until),
            ("OUTSIDE_WINDOW", None)
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        /// What is told to be the next opening is one, and a second earlier is not.
        #[test]
        fn the_opening_that_is_told_is_the_next(
            hour in 0_u8..24, hours in 1_u8..23, frozen in 1_u8..28, days in 1_u8..6, minutes in 0_i64..200_000,
        ) {
            let daily = window("2026-11-01T20:00", "2026-11-02T06:00", Some("FREQ=DAILY"));
            let weekly = window(&format!("2026-11-06T{hour:02}:00"), "2026-11-07T23:30", Some("FREQ=WEEKLY"));
            let freezes = freezes(&format!("DTSTART:202611{frozen:02}T{hours:02}0000Z\nDURATION:P{days}D\nRRULE:FREQ=MONTHLY"));
            let timetable = Timetable { request: Some(&daily), wave: Some(("w", &weekly)), freezes: &freezes };
            let now = at("2026-11-10T00:00:00Z").checked_add(jiff::SignedDuration::from_mins(minutes)).unwrap();
            if let Some(closed) = judge(&timetable, now) {
                let until = closed.until.unwrap();
                prop_assert!(until > now);
                prop_assert!(judge(&timetable, until).is_none());
                let before = until.checked_sub(jiff::SignedDuration::from_secs(1)).unwrap();
                if before > now {
                    prop_assert_eq!(judge(&timetable, before).unwrap().until, Some(until));
                }
            }
        }
    }
}
