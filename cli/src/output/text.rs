//! Small pieces of text: durations, times, colours, and foreign text made safe to show.

use jiff::Timestamp;
use landfall_domain::Status;
use landfall_domain::text::steers;

/// A duration at the precision a person wants: `42s`, `3m 05s`, `2h 07m`, `3d 04h`.
pub fn duration(seconds: i64) -> String {
    let seconds = seconds.max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{minutes}m {:02}s", seconds % 60),
        3_600..86_400 => format!("{hours}h {:02}m", minutes % 60),
        _ => format!("{days}d {:02}h", hours % 24),
    }
}

/// Whole seconds from one RFC 3339 time to a moment; `None` when the text is no time.
pub fn seconds_since(since: &str, now: Timestamp) -> Option<i64> {
    let since: Timestamp = since.parse().ok()?;
    Some(now.duration_since(since).as_secs())
}

/// The time between two RFC 3339 times, as [`duration`]; `?` when one is no time.
pub fn between(from: &str, to: &str) -> String {
    to.parse()
        .ok()
        .and_then(|to| seconds_since(from, to))
        .map_or_else(|| "?".to_owned(), duration)
}

/// An RFC 3339 time in whole seconds; what is no time stays as it is.
pub fn moment(at: &str) -> String {
    at.parse::<Timestamp>()
        .map_or_else(|_| at.to_owned(), |at| format!("{at:.0}"))
}

/// Foreign text (MGN's raw errors, callers' names) without the control characters that could drive a terminal.
pub fn clean(text: &str) -> String {
    text.chars()
        .map(|c| if steers(c) { ' ' } else { c })
        .collect()
}

/// The text in lines of at most so many characters, broken between words; a word that is longer than a line is broken
/// after one of its marks (`_`, `/`, `-`, …), else where the line ends.
pub fn wrapped(text: &str, width: usize) -> Vec<String> {
    let width = width.max(1);
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut room = width;
    for word in text.split_whitespace() {
        let mut rest: Vec<char> = word.chars().collect();
        if !line.is_empty() {
            if rest.len() < room {
                line.push(' ');
                room -= 1;
            } else {
                lines.push(std::mem::take(&mut line));
                room = width;
            }
        }
        while rest.len() > room {
            let marked = rest[..room].iter().rposition(|c| "_/-.,:;=&?".contains(*c));
            // A mark early in the line is no reason to leave the rest of it empty.
            let end = marked
                .map(|mark| mark + 1)
                .filter(|end| *end >= room / 2)
                .unwrap_or(room)
                .max(1);
            lines.push(rest.drain(..end).collect());
        }
        room -= rest.len();
        line.extend(rest);
    }
    if !line.is_empty() || lines.is_empty() {
        lines.push(line);
    }
    lines
}

/// Whether and how colours are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Palette {
    on: bool,
}

impl Palette {
    /// Colours.
    pub const ON: Self = Self { on: true };
    /// No colours.
    pub const OFF: Self = Self { on: false };

    /// Colours if standard output is a terminal that shows them and `NO_COLOR` is not set (no-color.org).
    pub fn of_stdout() -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self {
            on: wanted && super::screen::stdout_is_terminal(),
        }
    }

    /// A text in the colour of a status.
    pub fn status(self, status: Status, text: &str) -> String {
        let code = match status {
            Status::Succeeded => 32,
            Status::RolledBack | Status::Cancelled => 33,
            Status::Failed | Status::Frozen | Status::Rejected => 31,
            _ => 36,
        };
        self.paint(code, text)
    }

    /// Good news.
    pub fn good(self, text: &str) -> String {
        self.paint(32, text)
    }

    /// News to think about.
    pub fn caution(self, text: &str) -> String {
        self.paint(33, text)
    }

    /// Bad news.
    pub fn bad(self, text: &str) -> String {
        self.paint(31, text)
    }

    /// A heading.
    pub fn heading(self, text: &str) -> String {
        self.paint(1, text)
    }

    fn paint(self, code: u8, text: &str) -> String {
        if self.on {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_others_steers_the_terminal() {
        assert_eq!(clean("a\u{1b}[2J\u{202e}b\u{200b}\r\n"), "a [2J b   ");
        assert_eq!(clean("Büro 東京"), "Büro 東京");
    }

    #[test]
    fn lines_are_broken_between_words_and_long_words_after_a_mark() {
        let table: [(&str, usize, &[&str]); 8] = [
            ("", 5, &[""]),
            ("one two three", 13, &["one two three"]),
            ("one  two\nthree", 7, &["one two", "three"]),
            ("a bcdefghijk l", 4, &["a", "bcde", "fghi", "jk l"]),
            (
                "LAUNCH_SETTINGS_CHANGED_SINCE_TEST",
                16,
                &["LAUNCH_SETTINGS_", "CHANGED_SINCE_", "TEST"],
            ),
            ("/sourceControl", 8, &["/sourceC", "ontrol"]),
            ("Büro 東京", 4, &["Büro", "東京"]),
            ("ab", 0, &["a", "b"]),
        ];
        for (text, width, lines) in table {
            assert_eq!(wrapped(text, width), lines, "{text}");
        }
    }

    #[test]
    fn durations_keep_two_units() {
        let table = [
            (-5, "0s"),
            (0, "0s"),
            (59, "59s"),
            (60, "1m 00s"),
            (185, "3m 05s"),
            (3_600, "1h 00m"),
            (7_620, "2h 07m"),
            (273_600, "3d 04h"),
        ];
        for (seconds, text) in table {
            assert_eq!(duration(seconds), text);
        }
    }

    #[test]
    fn times_between_and_times_that_are_none() {
        assert_eq!(
            between("2026-01-01T00:00:00Z", "2026-01-01T00:01:02.9Z"),
            "1m 02s"
        );
        assert_eq!(between("soon", "2026-01-01T00:01:02Z"), "?");
    }

    #[test]
    fn foreign_text_cannot_drive_the_terminal() {
        assert_eq!(clean("a\x1b[2Jb\nc"), "a [2Jb c");
    }

    #[test]
    fn colours_are_only_there_when_wanted() {
        assert_eq!(Palette::OFF.status(Status::Failed, "x"), "x");
        assert_eq!(Palette::ON.status(Status::Failed, "x"), "\x1b[31mx\x1b[0m");
    }
}
