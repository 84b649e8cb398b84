use super::*;
use crate::calendar::around;
use proptest::prelude::*;

fn calendar(events: &str) -> String {
    format!("BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//test//EN\r\n{events}END:VCALENDAR\r\n")
}

fn event(lines: &str) -> String {
    let lines = lines.trim().replace('\n', "\r\n");
    calendar(&format!(
        "BEGIN:VEVENT\r\nUID:one\r\n{lines}\r\nEND:VEVENT\r\n"
    ))
}

fn spans(text: &str, now: &str) -> Vec<String> {
    let freezes = Freezes::parse(text).unwrap_or_else(|faults| panic!("{faults:?}"));
    let now: Timestamp = now.parse().unwrap();
    let spans = freezes.spans(around(now));
    let later = spans.iter().filter(|span| span.to > now).take(3);
    later
        .map(|span| format!("{} {}", span.from, span.to))
        .collect()
}

#[test]
fn events_are_read_as_calendars_write_them() {
    let now = "2026-12-01T00:00:00Z";
    for (lines, expected) in [
        // Whole days, in UTC unless the calendar says otherwise; the end is the day after the last.
        (
            "SUMMARY:Year end\nDTSTART;VALUE=DATE:20261224\nDTEND;VALUE=DATE:20270102",
            &["2026-12-24T00:00:00Z 2027-01-02T00:00:00Z"][..],
        ),
        (
            "DTSTART;VALUE=DATE:20261224",
            &["2026-12-24T00:00:00Z 2026-12-25T00:00:00Z"],
        ),
        (
            "DTSTART:20261224",
            &["2026-12-24T00:00:00Z 2026-12-25T00:00:00Z"],
        ),
        (
            "DTSTART:20261224T120000Z\nDTEND:20261224T180000Z",
            &["2026-12-24T12:00:00Z 2026-12-24T18:00:00Z"],
        ),
        (
            "DTSTART;TZID=Europe/Berlin:20261224T180000\nDURATION:PT8H",
            &["2026-12-24T17:00:00Z 2026-12-25T01:00:00Z"],
        ),
        (
            "DTSTART;TZID=\"Europe/Berlin\":20261224T180000\nDTEND:20261225T000000Z",
            &["2026-12-24T17:00:00Z 2026-12-25T00:00:00Z"],
        ),
        (
            "DTSTART:20261224T120000\nDURATION:P1DT1H",
            &["2026-12-24T12:00:00Z 2026-12-25T13:00:00Z"],
        ),
        // However the event shows its owner.
        (
            "DTSTART;VALUE=DATE:20261224\nTRANSP:TRANSPARENT",
            &["2026-12-24T00:00:00Z 2026-12-25T00:00:00Z"],
        ),
        ("DTSTART;VALUE=DATE:20261224\nSTATUS:CANCELLED", &[]),
        (
            "DTSTART;VALUE=DATE:20201224\nDTEND;VALUE=DATE:20201227\nRRULE:FREQ=YEARLY",
            &["2026-12-24T00:00:00Z 2026-12-27T00:00:00Z"],
        ),
        (
            "DTSTART;VALUE=DATE:20261207\nRRULE:FREQ=WEEKLY;COUNT=3\nEXDATE;VALUE=DATE:20261214",
            &[
                "2026-12-07T00:00:00Z 2026-12-08T00:00:00Z",
                "2026-12-21T00:00:00Z 2026-12-22T00:00:00Z",
            ],
        ),
        // An instant stands for the local time that it is.
        (
            "DTSTART;TZID=Europe/Berlin:20261207T090000\nDURATION:PT1H\nRRULE:FREQ=DAILY;UNTIL=20261209T080000Z\nEXDATE:20261208T080000Z",
            &[
                "2026-12-07T08:00:00Z 2026-12-07T09:00:00Z",
                "2026-12-09T08:00:00Z 2026-12-09T09:00:00Z",
            ],
        ),
        (
            "DTSTART;VALUE=DATE:20261207\nRDATE;VALUE=DATE:20261210,20261212",
            &[
                "2026-12-07T00:00:00Z 2026-12-08T00:00:00Z",
                "2026-12-10T00:00:00Z 2026-12-11T00:00:00Z",
                "2026-12-12T00:00:00Z 2026-12-13T00:00:00Z",
            ],
        ),
        // DTSTART is frozen although the rule does not give it, a Monday.
        (
            "DTSTART;VALUE=DATE:20261207\nRRULE:FREQ=WEEKLY;BYDAY=TU;COUNT=1",
            &["2026-12-07T00:00:00Z 2026-12-09T00:00:00Z"],
        ),
        (
            "SUMMARY:A long\n  name\nDTSTART:20261224",
            &["2026-12-24T00:00:00Z 2026-12-25T00:00:00Z"],
        ),
    ] {
        assert_eq!(spans(&event(lines), now), expected, "{lines}");
    }
    assert_eq!(spans(&calendar(""), now), Vec::<String>::new());
    let lines_of_unix = event("DTSTART:20261224").replace("\r\n", "\n");
    assert_eq!(spans(lines_of_unix.trim_end(), now).len(), 1);
}

/// A block that was put into an exported file by hand: none of its events may be lost.
#[test]
fn ends_of_lines_of_any_kind_are_ends() {
    let now = "2026-11-21T12:00:00Z";
    let one = |day: &str| {
        format!("BEGIN:VEVENT\r\nUID:{day}\r\nDTSTART:{day}\r\nSUMMARY:Year end\r\nEND:VEVENT\r\n")
    };
    let (first, second) = (one("20261224"), one("20261231"));
    for by_hand in [first.replace("\r\n", "\n"), first.replace("\r\n", "\r")] {
        for events in [format!("{by_hand}{second}"), format!("{second}{by_hand}")] {
            assert_eq!(spans(&calendar(&events), now).len(), 2, "{events:?}");
        }
    }
}

#[test]
fn an_event_keeps_to_its_clock_when_that_changes() {
    // 2027-03-28 has 23 hours in Berlin.
    let now = "2027-03-27T23:30:00Z";
    let berlin = |lines: &str| {
        event(lines).replace("VERSION:2.0", "VERSION:2.0\r\nX-WR-TIMEZONE:Europe/Berlin")
    };
    for (lines, expected) in [
        (
            "DTSTART;VALUE=DATE:20270328",
            "2027-03-27T23:00:00Z 2027-03-28T22:00:00Z",
        ),
        // With DTEND as long as the first was, with DURATION by the clock on the wall.
        (
            "DTSTART:20270301T000000\nDTEND:20270302T000000\nRRULE:FREQ=DAILY;BYMONTHDAY=1,28",
            "2027-03-27T23:00:00Z 2027-03-28T23:00:00Z",
        ),
        (
            "DTSTART:20270301T000000\nDURATION:P1D\nRRULE:FREQ=DAILY;BYMONTHDAY=1,28",
            "2027-03-27T23:00:00Z 2027-03-28T22:00:00Z",
        ),
    ] {
        assert_eq!(spans(&berlin(lines), now)[0], expected, "{lines}");
    }
}

#[test]
fn one_occurrence_may_be_moved_or_cancelled_for_itself() {
    let series = "BEGIN:VEVENT\r\nUID:s\r\nDTSTART:20261207T090000Z\r\nDURATION:PT1H\r\nRRULE:FREQ=DAILY;COUNT=3\r\nEND:VEVENT\r\n";
    let one = |lines: &str| {
        calendar(&format!(
            "{series}BEGIN:VEVENT\r\nUID:s\r\nRECURRENCE-ID:20261208T090000Z\r\n{lines}END:VEVENT\r\n"
        ))
    };
    let (first, last) = (
        "2026-12-07T09:00:00Z 2026-12-07T10:00:00Z",
        "2026-12-09T09:00:00Z 2026-12-09T10:00:00Z",
    );
    let now = "2026-12-01T00:00:00Z";
    let moved = one("DTSTART:20261208T150000Z\r\nDURATION:PT2H\r\n");
    assert_eq!(
        spans(&moved, now),
        [first, "2026-12-08T15:00:00Z 2026-12-08T17:00:00Z", last]
    );
    let cancelled = one("STATUS:CANCELLED\r\nDTSTART:20261208T090000Z\r\nDURATION:PT1H\r\n");
    assert_eq!(spans(&cancelled, now), [first, last]);
}

#[test]
fn what_cannot_be_understood_is_told_with_its_event() {
    for (text, expected) in [
        (String::new(), "no iCalendar file"),
        ("x".to_owned(), "no iCalendar file"),
        ("{\"freezes\": []}".to_owned(), "no iCalendar file"),
        (
            event("DTSTART:20261224").replace("END:VCALENDAR\r\n", ""),
            "no iCalendar file",
        ),
        (
            event("DTSTART:20261224").replace("END:VEVENT\r\n", ""),
            "no iCalendar file",
        ),
        (
            event("SUMMARY:Year\\, end\nDESCRIPTION:x"),
            "event \"Year, end\": it has no DTSTART",
        ),
        (
            event("DTSTART:tomorrow"),
            "event \"one\": DTSTART \"tomorrow\"",
        ),
        (event("DTSTART;VALUE=DATE:20261224T000000"), "DTSTART"),
        (event("DTSTART:20261224T180000Z"), "would last no time"),
        (
            event("DTSTART;TZID=W. Europe Standard Time:20261224T180000\nDURATION:PT1H"),
            "W. Europe Standard Time",
        ),
        (
            event("DTSTART:20261224T180000Z\nDTEND:20261224T180000Z"),
            "not after DTSTART",
        ),
        (
            event("DTSTART:20261224T180000Z\nDTEND;VALUE=DATE:20261225"),
            "a date and the other a time",
        ),
        (
            event("DTSTART:20261224T180000Z\nDTEND:20261225T180000Z\nDURATION:P1D"),
            "both DTEND and DURATION",
        ),
        (event("DTSTART:20261224T180000Z\nDURATION:-P1D"), "DURATION"),
        (
            event("DTSTART:20261224\nDURATION:P400D"),
            "longer than a year",
        ),
        (event("DTSTART:20261224\nRRULE:FREQ=HOURLY"), "HOURLY"),
        (
            event("DTSTART:20261224\nRRULE:FREQ=YEARLY\nRRULE:FREQ=DAILY"),
            "several RRULE",
        ),
        (
            event("DTSTART:20261224\nRRULE:FREQ=YEARLY\nEXRULE:FREQ=YEARLY"),
            "EXRULE",
        ),
        (
            event("DTSTART:20261224\nRRULE:FREQ=YEARLY\nEXDATE:20271224T000000Z"),
            "EXDATE",
        ),
        (
            event("DTSTART:20261224\nRDATE;VALUE=PERIOD:20261224T000000Z/PT1H"),
            "RDATE",
        ),
        (
            event("DTSTART:20261224\nRECURRENCE-ID;RANGE=THISANDFUTURE:20261224"),
            "RANGE",
        ),
        (
            event("DTSTART:20261224").replace("VERSION:2.0", "X-WR-TIMEZONE:Nowhere"),
            "Nowhere",
        ),
    ] {
        let faults = Freezes::parse(&text)
            .err()
            .unwrap_or_else(|| panic!("{text} was read"));
        assert!(
            faults.len() == 1 && faults[0].contains(expected),
            "{text}: {faults:?}"
        );
    }
    // All of them at once.
    let two =
        "BEGIN:VEVENT\r\nSUMMARY:a\r\nEND:VEVENT\r\nBEGIN:VEVENT\r\nSUMMARY:b\r\nEND:VEVENT\r\n";
    assert_eq!(Freezes::parse(&calendar(two)).unwrap_err().len(), 2);
}

#[test]
fn those_in_force_are_told_by_name() {
    let text = calendar(
        "BEGIN:VEVENT\r\nSUMMARY:Day\r\nDTSTART:20261224\r\nEND:VEVENT\r\n\
         BEGIN:VEVENT\r\nSUMMARY:Week\r\nDTSTART:20261221\r\nDURATION:P1W\r\nEND:VEVENT\r\n",
    );
    let freezes = Freezes::parse(&text).unwrap();
    let names = |now: &str| -> Vec<String> {
        let active = freezes.active(now.parse().unwrap());
        active.into_iter().map(|it| it.name).collect()
    };
    assert_eq!(names("2026-12-24T10:00:00Z"), ["Week", "Day"]);
    assert_eq!(names("2026-12-25T00:00:00Z"), ["Week"]);
    assert!(names("2026-12-28T00:00:00Z").is_empty());
}

proptest! {
    #[test]
    fn no_text_is_too_odd_to_be_refused(text in "[A-Z:;=/0-9TZ\\r\\n é-]{0,80}") {
        let _ = Freezes::parse(&text);
        let _ = Freezes::parse(&event(&text));
    }
}
