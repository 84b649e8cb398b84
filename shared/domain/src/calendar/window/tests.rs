use super::*;
use crate::calendar::around;
use proptest::prelude::*;

fn window(start: &str, end: &str, zone: &str, rule: Option<&str>) -> Window {
    Window {
        start: start.into(),
        end: end.into(),
        time_zone: zone.into(),
        recurrence: rule.map(str::to_owned),
    }
}

fn opening(start: &str, end: &str, zone: &str, rule: Option<&str>) -> Opening {
    let window = window(start, end, zone, rule);
    Opening::of(&window).unwrap_or_else(|faults| panic!("{window:?}: {faults:?}"))
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// The openings around an instant, as texts; the first few that end after it.
fn next(opening: &Opening, now: &str, count: usize) -> Vec<String> {
    let now = at(now);
    let spans = opening.spans(around(now));
    let later = spans.iter().filter(|span| span.to > now);
    later
        .take(count)
        .map(|span| format!("{} {}", span.from, span.to))
        .collect()
}

const NIGHT: (&str, &str) = ("2026-11-28T22:00", "2026-11-29T04:00");

#[test]
fn a_window_is_open_by_the_clock_of_its_zone() {
    let once = opening(NIGHT.0, NIGHT.1, "Europe/Berlin", None);
    let expected = ["2026-11-28T21:00:00Z 2026-11-29T03:00:00Z"];
    assert_eq!(next(&once, "2026-11-21T12:00:00Z", 9), expected);
    // Still open, and then over for good.
    assert_eq!(next(&once, "2026-11-29T02:59:59Z", 9), expected);
    assert!(next(&once, "2026-11-29T03:00:00Z", 9).is_empty());
    // More than a year ahead is out of sight.
    assert!(next(&once, "2025-11-01T00:00:00Z", 9).is_empty());
    assert_eq!(once.length(), SignedDuration::from_hours(6));
}

#[test]
fn it_comes_again_by_its_rule() {
    let (start, end) = NIGHT;
    for (rule, now, expected) in [
        (
            "FREQ=WEEKLY;BYDAY=SA",
            "2026-12-01T00:00:00Z",
            &[
                "2026-12-05T21:00:00Z 2026-12-06T03:00:00Z",
                "2026-12-12T21:00:00Z 2026-12-13T03:00:00Z",
            ][..],
        ),
        // In the middle of one, over midnight.
        (
            "FREQ=WEEKLY;BYDAY=SA",
            "2026-12-06T00:30:00Z",
            &[
                "2026-12-05T21:00:00Z 2026-12-06T03:00:00Z",
                "2026-12-12T21:00:00Z 2026-12-13T03:00:00Z",
            ],
        ),
        (
            "FREQ=MONTHLY;BYDAY=-1SA",
            "2026-12-01T00:00:00Z",
            &[
                "2026-12-26T21:00:00Z 2026-12-27T03:00:00Z",
                "2027-01-30T21:00:00Z 2027-01-31T03:00:00Z",
            ],
        ),
        (
            "FREQ=WEEKLY;COUNT=2",
            "2026-12-01T00:00:00Z",
            &["2026-12-05T21:00:00Z 2026-12-06T03:00:00Z"],
        ),
        // UNTIL is the last start; as an instant it is read by the zone's clock.
        (
            "FREQ=WEEKLY;UNTIL=20261205T210000Z",
            "2026-12-01T00:00:00Z",
            &["2026-12-05T21:00:00Z 2026-12-06T03:00:00Z"],
        ),
        (
            "FREQ=WEEKLY;UNTIL=20261205T205959Z",
            "2026-12-01T00:00:00Z",
            &[],
        ),
        (
            "FREQ=WEEKLY;UNTIL=20261205T220000",
            "2026-12-01T00:00:00Z",
            &["2026-12-05T21:00:00Z 2026-12-06T03:00:00Z"],
        ),
        (
            "FREQ=WEEKLY;UNTIL=20261205",
            "2026-12-01T00:00:00Z",
            &["2026-12-05T21:00:00Z 2026-12-06T03:00:00Z"],
        ),
        ("freq=weekly;until=20261204", "2026-12-01T00:00:00Z", &[]),
        // Every day, so each opening ends before the next begins.
        (
            "FREQ=DAILY",
            "2026-12-01T00:00:00Z",
            &[
                "2026-11-30T21:00:00Z 2026-12-01T03:00:00Z",
                "2026-12-01T21:00:00Z 2026-12-02T03:00:00Z",
            ],
        ),
    ] {
        let opening = opening(start, end, "Europe/Berlin", Some(rule));
        assert_eq!(next(&opening, now, 2), expected, "{rule} at {now}");
    }
}

#[test]
fn openings_that_touch_are_one() {
    let always = opening(
        "2026-01-01T00:00",
        "2026-01-02T00:00",
        "UTC",
        Some("FREQ=DAILY"),
    );
    let now = at("2026-11-21T12:00:00Z");
    let span = always.spans(around(now)).at(now).unwrap();
    assert!(span.to > at("2027-11-01T00:00:00Z"), "{span:?}");
}

/// A migration may have been accepted with one, and must not be told that it never opens.
#[test]
fn one_that_opens_again_before_it_has_shut_is_refused_and_computed() {
    let (start, end) = (NIGHT.0, "2026-12-02T04:00");
    let asked = window(start, end, "UTC", Some("FREQ=DAILY;COUNT=3"));
    let found = faults(&asked, "/policy/window");
    assert!(found[0].message.contains("opens again"), "{found:?}");
    let opening = Opening::of(&asked).unwrap();
    let expected = ["2026-11-28T22:00:00Z 2026-12-04T04:00:00Z"];
    assert_eq!(next(&opening, "2026-11-21T12:00:00Z", 9), expected);
}

#[test]
fn the_clock_may_change_while_it_is_open_or_as_it_opens() {
    let berlin = |start: &str, end: &str| opening(start, end, "Europe/Berlin", Some("FREQ=DAILY"));
    for (opening, now, expected) in [
        // The spring night is an hour shorter, the autumn night an hour longer: the window shuts at 04:00 all the same.
        (
            berlin("2026-03-01T22:00", "2026-03-02T04:00"),
            "2026-03-29T01:30:00Z",
            "2026-03-28T21:00:00Z 2026-03-29T02:00:00Z",
        ),
        (
            berlin("2026-03-01T22:00", "2026-03-02T04:00"),
            "2026-10-25T01:30:00Z",
            "2026-10-24T20:00:00Z 2026-10-25T03:00:00Z",
        ),
        // From 02:30, which that night does not have: 03:30, with the offset before the gap.
        (
            berlin("2026-03-01T02:30", "2026-03-01T05:00"),
            "2026-03-29T00:00:00Z",
            "2026-03-29T01:30:00Z 2026-03-29T03:00:00Z",
        ),
        // Both ends in the gap: it is as long as ever, after it.
        (
            berlin("2026-03-01T02:10", "2026-03-01T02:40"),
            "2026-03-29T00:00:00Z",
            "2026-03-29T01:10:00Z 2026-03-29T01:40:00Z",
        ),
        // From 02:30, which that night has twice: the first.
        (
            berlin("2026-03-01T02:30", "2026-03-01T05:00"),
            "2026-10-25T00:00:00Z",
            "2026-10-25T00:30:00Z 2026-10-25T04:00:00Z",
        ),
    ] {
        assert_eq!(next(&opening, now, 1), [expected], "{now}");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn each_fault_names_its_member_and_the_problem() {
    let good = || window(NIGHT.0, NIGHT.1, "Europe/Berlin", None);
    let rule = |rule: &str| Window {
        recurrence: Some(rule.into()),
        ..good()
    };
    let table: &[(Window, &[(&str, &str)])] = &[
        (good(), &[]),
        (rule("FREQ=WEEKLY;BYDAY=SA"), &[]),
        (
            Window::default(),
            &[
                ("start", "no local time"),
                ("end", "no local time"),
                ("timeZone", "no time zone"),
            ],
        ),
        (
            Window {
                start: "2026-02-30T22:00".into(),
                ..good()
            },
            &[("start", "no local time")],
        ),
        (
            Window {
                start: "2026-11-28T22:00Z".into(),
                ..good()
            },
            &[("start", "no local time")],
        ),
        (
            Window {
                start: "2026-11-28T22+01".into(),
                ..good()
            },
            &[("start", "no local time")],
        ),
        (
            Window {
                start: "1026-11-28T22:00".into(),
                ..good()
            },
            &[("start", "1026")],
        ),
        (
            Window {
                end: "2026-11-28T22:00".into(),
                ..good()
            },
            &[("end", "not after")],
        ),
        (
            Window {
                time_zone: "Mars/Olympus".into(),
                ..good()
            },
            &[("timeZone", "Mars/Olympus")],
        ),
        (
            Window {
                time_zone: "CET-1CEST,M3.5.0,M10.5.0/3".into(),
                ..good()
            },
            &[("timeZone", "no time zone")],
        ),
        (
            Window {
                time_zone: "Mars/Olympus".into(),
                ..rule("FREQ=HOURLY")
            },
            &[("timeZone", "Mars/Olympus"), ("recurrence", "HOURLY")],
        ),
        // A month that was mistyped.
        (
            Window {
                end: "2026-12-29T04:00".into(),
                ..rule("FREQ=DAILY")
            },
            &[("end", "opens again at 2026-11-29T22:00:00, before")],
        ),
        (
            Window {
                end: "2026-11-29T23:00".into(),
                ..rule("FREQ=WEEKLY;BYDAY=SA,SU")
            },
            &[("end", "opens again at 2026-11-29T22:00:00")],
        ),
        (rule(""), &[("recurrence", "NAME=VALUE")]),
        (rule("RRULE:FREQ=WEEKLY"), &[("recurrence", "':'")]),
        (rule("FREQ=WEEKLY\nFREQ=DAILY"), &[("recurrence", "'\\n'")]),
        (rule("FREQ=FORTNIGHTLY"), &[("recurrence", "FORTNIGHTLY")]),
        (rule("BYDAY=SA"), &[("recurrence", "FREQ")]),
        (rule("FREQ=WEEKLY;FREQ=DAILY"), &[("recurrence", "FREQ")]),
        (rule("FREQ=WEEKLY;BYDAY=XX"), &[("recurrence", "XX")]),
        (rule("FREQ=WEEKLY;BYMOON=1"), &[("recurrence", "BYMOON")]),
        (rule("FREQ=HOURLY"), &[("recurrence", "HOURLY")]),
        (
            rule("FREQ=DAILY;BYMINUTE=0,30"),
            &[("recurrence", "BYMINUTE")],
        ),
        (
            rule("FREQ=WEEKLY;INTERVAL=0"),
            &[("recurrence", "INTERVAL")],
        ),
        (
            rule("FREQ=WEEKLY;COUNT=0"),
            &[("recurrence", "none of the times")],
        ),
        (
            rule("FREQ=WEEKLY;UNTIL=soon"),
            &[("recurrence", "UNTIL=SOON")],
        ),
        (
            rule("FREQ=WEEKLY;UNTIL=20270101;COUNT=3"),
            &[("recurrence", "both COUNT and UNTIL")],
        ),
        (
            rule("FREQ=WEEKLY;UNTIL=20270101;UNTIL=20280101"),
            &[("recurrence", "two UNTIL")],
        ),
        (
            rule("FREQ=WEEKLY;UNTIL=20261127"),
            &[("recurrence", "none of the times")],
        ),
        (
            rule("FREQ=WEEKLY;BYDAY=SU"),
            &[("recurrence", "none of the times")],
        ),
    ];
    for (window, expected) in table {
        let found = faults(window, "/policy/window");
        let told: Vec<_> = found
            .iter()
            .map(|it| (it.pointer.as_str(), it.message.as_str()))
            .collect();
        assert_eq!(told.len(), expected.len(), "{window:?}: {told:?}");
        for ((pointer, message), (member, part)) in told.iter().zip(*expected) {
            assert_eq!(*pointer, format!("/policy/window/{member}"), "{window:?}");
            assert!(message.contains(part), "{window:?}: {message}");
        }
        assert!(found.iter().all(|it| !it.remedy.is_empty()));
    }
}

fn any_rule() -> impl Strategy<Value = String> {
    let frequency = proptest::sample::select(vec!["DAILY", "WEEKLY", "MONTHLY", "YEARLY"]);
    let parts = proptest::sample::select(vec![
        "INTERVAL=2",
        "INTERVAL=400",
        "COUNT=5",
        "BYDAY=SA",
        "BYDAY=MO,-1FR",
        "BYDAY=5SU",
        "BYMONTH=2",
        "BYMONTHDAY=30,31",
        "BYMONTHDAY=-1",
        "BYYEARDAY=366",
        "BYWEEKNO=53",
        "BYSETPOS=-1",
        "BYHOUR=1,2,23",
        "WKST=SU",
        "BYMINUTE=59",
        "UNTIL=20270615T120000Z",
        "UNTIL=20261231",
    ]);
    (frequency, proptest::collection::vec(parts, 0..4)).prop_map(|(frequency, parts)| {
        format!("FREQ={frequency};{}", parts.join(";"))
            .trim_end_matches(';')
            .to_owned()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the rule, and whatever the clock does: an opening begins at a start of the rule by the zone's own clock, and
    /// asking from a later instant tells of the same openings.
    #[test]
    fn openings_do_not_depend_on_when_one_asks(
        rule in any_rule(),
        zone in proptest::sample::select(vec!["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC"]),
        hour in 0_u8..24, hours in 1_i64..40, days in 0_i64..300,
    ) {
        let start: DateTime = format!("2026-08-29T{hour:02}:30").parse().unwrap();
        let end = start.checked_add(SignedDuration::from_hours(hours)).unwrap();
        let opening = Opening::of(&window(&start.to_string(), &end.to_string(), zone, Some(&rule)));
        // Many rules do not give the start.
        let Ok(opening) = opening else { return Ok(()) };
        let first = at("2026-09-01T00:00:00Z");
        let later = first.checked_add(SignedDuration::from_hours(days * 24)).unwrap();
        let (early, late) = (opening.spans(around(first)), opening.spans(around(later)));
        let horizon = around(first).to;
        let common: Vec<Span> = early.iter().filter(|span| span.from > later && span.to < horizon).collect();
        let again: Vec<Span> = late.iter().filter(|span| span.from > later && span.to < horizon).collect();
        prop_assert_eq!(&common, &again);
        for span in early.iter() {
            let local = opening.zone().to_datetime(span.from);
            prop_assert!(local >= start, "{local} is before the first, {start}");
            // A gap moves a start on, and by an hour at most in these zones.
            prop_assert!(matches!(local.minute(), 0 | 30 | 59), "{local}");
        }
    }

    #[test]
    fn no_text_is_too_odd_to_be_refused(rule in "[A-Z0-9=;,+é -]{0,40}", time in "[0-9T:Z+-]{0,20}") {
        let _ = Opening::of(&window(NIGHT.0, NIGHT.1, "UTC", Some(&rule)));
        let _ = Opening::of(&window(NIGHT.0, NIGHT.1, "UTC", Some(&format!("FREQ=DAILY;{rule}"))));
        let _ = Opening::of(&window(&time, &time, &time, None));
    }
}
