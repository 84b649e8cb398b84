//! How far a command is, for the person who waits at a terminal.

use std::io::{self, IsTerminal as _, Write as _};

/// A line of standard error that counts, and goes when the work is done. Where standard error is no terminal there is
/// none: a log gets results only.
#[derive(Debug)]
pub struct Progress {
    verb: &'static str,
    done: usize,
    total: usize,
    shown: bool,
}

impl Progress {
    /// Begins to count to a total: `verb` says what is done to each.
    pub fn new(verb: &'static str, total: usize) -> Self {
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let progress = Self {
            verb,
            done: 0,
            total,
            shown: total > 1 && !dumb && io::stderr().is_terminal(),
        };
        progress.show();
        progress
    }

    /// One more is done.
    pub fn step(&mut self) {
        self.done += 1;
        self.show();
    }

    fn show(&self) {
        if self.shown {
            let line = format!("\r\x1b[K{} {} of {}", self.verb, self.done, self.total);
            write(&line);
        }
    }
}

/// A closed standard error is no reason to stop working.
fn write(text: &str) {
    let mut out = io::stderr().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown {
            write("\r\x1b[K");
        }
    }
}
