//! Progress for the person who waits.

use std::io::Write;
use std::time::{Duration, Instant};

/// Where progress goes: standard error, or nowhere. Results go to standard output and are not its business.
#[derive(Debug, Clone, Copy)]
pub(super) struct Console {
    quiet: bool,
}

impl Console {
    pub(super) const fn new(quiet: bool) -> Self {
        Self { quiet }
    }

    /// Whether programs that talk by themselves should be asked not to.
    pub(super) const fn is_quiet(self) -> bool {
        self.quiet
    }

    /// Says one thing. A closed standard error is no reason to stop working.
    pub(super) fn say(self, text: &str) {
        if !self.quiet {
            let _ = writeln!(std::io::stderr().lock(), "{text}");
        }
    }

    /// Says that something took a while, when it did.
    pub(super) fn done(self, what: &str, since: Instant) {
        self.say(&format!("{what} ({})", seconds(since.elapsed())));
    }
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}
