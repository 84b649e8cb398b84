//! A wave's window as a person reads it.

use jiff::Timestamp;
use landfall_domain::calendar::around;
use landfall_domain::calendar::window::Opening;
use landfall_domain::request::Window;

use super::text::clean;

/// A window in words, with its next opening.
pub fn words(wave: &str, window: Option<&Window>, now: Timestamp) -> String {
    let wave = clean(wave);
    let Some(window) = window else {
        return format!("The wave {wave} has no window of its own.");
    };
    let again = window
        .recurrence
        .as_deref()
        .map_or_else(String::new, |it| format!(", {it}"));
    let rule = clean(&format!(
        "{} to {} {}{again}",
        window.start, window.end, window.time_zone
    ));
    let Ok(opening) = Opening::of(window) else {
        return format!("The window of the wave {wave} cannot be read: {rule}.");
    };
    let local = |at: Timestamp| {
        at.to_zoned(opening.zone().clone())
            .strftime("%Y-%m-%d %H:%M %Z")
            .to_string()
    };
    let spans = opening.spans(around(now));
    let next = match (spans.at(now), spans.after(now)) {
        (Some(open), _) => format!("It is open until {}.", local(open.to)),
        (None, Some(next)) => format!(
            "It opens at {} and shuts at {}.",
            local(next.from),
            local(next.to)
        ),
        (None, None) => "It does not open any more within a year.".to_owned(),
    };
    format!("The window of the wave {wave}: {rule}. {next}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_told_with_its_next_opening() {
        let window = |rule: Option<&str>| {
            Some(Window {
                start: "2026-11-28T22:00".into(),
                end: "2026-11-29T04:00".into(),
                time_zone: "Europe/Berlin".into(),
                recurrence: rule.map(str::to_owned),
            })
        };
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let weekly = Some("FREQ=WEEKLY");
        for (window, now, part) in [
            (None, "2026-11-21T12:00:00Z", "has no window of its own"),
            (
                window(None),
                "2026-11-21T12:00:00Z",
                "opens at 2026-11-28 22:00 CET and shuts at 2026-11-29 04:00 CET",
            ),
            (
                window(None),
                "2026-11-28T21:00:00Z",
                "open until 2026-11-29 04:00 CET",
            ),
            (
                window(None),
                "2026-11-29T03:00:00Z",
                "does not open any more",
            ),
            (
                window(weekly),
                "2026-11-29T03:00:00Z",
                "Europe/Berlin, FREQ=WEEKLY. It opens at 2026-12-05 22:00 CET",
            ),
            (
                Some(Window::default()),
                "2026-11-29T03:00:00Z",
                "cannot be read",
            ),
        ] {
            let told = words("wave-3", window.as_ref(), at(now));
            assert!(told.contains(part), "{told}");
        }
    }
}
