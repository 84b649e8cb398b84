//! The freeze calendar of a deployment: an iCalendar file whose every event is a time in which nothing is switched.
//!
//! Whatever cannot be understood makes the whole calendar unreadable, and an unreadable one is no open one: a freeze that
//! is overlooked does more harm than one that holds too much. For the same reason an event counts however it shows its
//! owner (`TRANSP`); only a cancelled one does not.

mod event;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::{Span, Spans};
use event::Event;
use icalendar::parser::{Component, Property};

/// Freezes, ready to be asked.
#[derive(Clone, Debug, Default)]
pub struct Freezes {
    events: Vec<Event>,
}

/// A freeze in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Active {
    /// What its event is called.
    pub name: String,
    /// From when to when.
    pub span: Span,
}

impl Freezes {
    /// Reads an iCalendar file (RFC 5545) with events that may be of whole days, in time zones of the IANA database, and
    /// recurring. Times without a zone are of the calendar's `X-WR-TIMEZONE`, else UTC.
    ///
    /// # Errors
    /// Everything that cannot be understood, each with its event.
    pub fn parse(text: &str) -> Result<Self, Vec<String>> {
        // A calendar that passed through an editor or a shell may have lost its last line's end, or have ends of two kinds: a
        // line would then reach over whole events to the next end of the other kind, and their freezes would be lost.
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        let text =
            icalendar::parser::unfold(&format!("{}\n", text.trim_start_matches('\u{feff}').trim()));
        let whole =
            text.starts_with("BEGIN:VCALENDAR") && text.trim_end().ends_with("END:VCALENDAR");
        let calendar = icalendar::parser::read_calendar(&text);
        let calendar = match calendar {
            Ok(calendar) if whole => calendar,
            _ => {
                return Err(vec![
                    "it is no iCalendar file: BEGIN:VCALENDAR … END:VCALENDAR".to_owned(),
                ]);
            }
        };
        let zone = match find(&calendar.properties, "X-WR-TIMEZONE") {
            None => TimeZone::UTC,
            Some(named) => TimeZone::get(named.val.as_str()).map_err(|_| {
                vec![format!(
                    "X-WR-TIMEZONE {:?} is no time zone of the IANA database",
                    named.val.as_str()
                )]
            })?,
        };
        let components: Vec<&Component<'_>> = calendar
            .components
            .iter()
            .filter(|it| it.name.as_str().eq_ignore_ascii_case("VEVENT"))
            .collect();
        let (mut events, mut faults) = (Vec::new(), Vec::new());
        for component in components {
            match Event::read(component, &zone) {
                Ok(event) => events.extend(event),
                Err(fault) => faults.push(fault),
            }
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        event::replace(&mut events);
        Ok(Self { events })
    }

    /// When something is frozen, as far as that touches a stretch of time.
    pub fn spans(&self, within: Span) -> Spans {
        let all = self.events.iter().flat_map(|event| event.spans(within));
        Spans::of(all.collect())
    }

    /// The freezes in force at an instant; the one that lasts longest first.
    pub fn active(&self, now: Timestamp) -> Vec<Active> {
        let within = super::around(now);
        let mut active: Vec<Active> = Vec::new();
        for event in &self.events {
            let spans = Spans::of(event.spans(within).collect());
            active.extend(spans.at(now).map(|span| Active {
                name: event.name.clone(),
                span,
            }));
        }
        active.sort_by(|one, other| (other.span.to, &one.name).cmp(&(one.span.to, &other.name)));
        active
    }
}

/// The first property of a name.
fn find<'a, 'b>(properties: &'a [Property<'b>], name: &str) -> Option<&'a Property<'b>> {
    all(properties, name).next()
}

/// Every property of a name.
fn all<'a, 'b>(
    properties: &'a [Property<'b>],
    name: &str,
) -> impl Iterator<Item = &'a Property<'b>> {
    properties
        .iter()
        .filter(move |it| it.name.as_str().eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests;
