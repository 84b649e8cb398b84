//! Where `watch` draws: in place on a terminal, line by line into anything else.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Stdout, Write};

use landfall_domain::Status;

use super::rows::{HEADER, Row, tally};
use super::table::{self, Cell};
use super::text::Palette;

/// Lines beside the rows: title, header, the line that counts what is left out, and the cursor's own.
const FRAME_LINES: usize = 4;

/// Whether standard output is a terminal that understands cursor movements.
pub fn stdout_is_terminal() -> bool {
    io::stdout().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// A place to show rows again and again.
#[derive(Debug)]
pub struct Screen<W> {
    out: W,
    palette: Palette,
    /// The height of the terminal; `None` writes lines that only ever grow.
    height: Option<fn() -> usize>,
    /// How many lines the last drawing left above the cursor.
    drawn: usize,
    /// What was last written of each migration.
    told: BTreeMap<String, String>,
    notice: String,
}

impl Screen<Stdout> {
    /// Standard output, whatever it is.
    pub fn stdout() -> Self {
        let height: Option<fn() -> usize> = stdout_is_terminal().then_some(terminal_height);
        Self::new(io::stdout(), Palette::of_stdout(), height)
    }
}

impl<W: Write> Screen<W> {
    fn new(out: W, palette: Palette, height: Option<fn() -> usize>) -> Self {
        Self {
            out,
            palette,
            height,
            drawn: 0,
            told: BTreeMap::new(),
            notice: String::new(),
        }
    }

    /// Shows how everything stands now. `clock` is the time since the watch began.
    pub fn show(&mut self, title: &str, clock: &str, rows: &[Row]) -> io::Result<()> {
        match self.height {
            Some(height) => self.redraw(title, clock, rows, height()),
            None => self.tell(clock, rows),
        }
    }

    /// Says something beside the rows, once for as long as it stays the same.
    pub fn notice(&mut self, text: &str) -> io::Result<()> {
        if self.notice == text {
            return Ok(());
        }
        text.clone_into(&mut self.notice);
        if text.is_empty() {
            return Ok(());
        }
        self.drawn = 0;
        writeln!(self.out, "{text}")?;
        self.out.flush()
    }

    fn redraw(&mut self, title: &str, clock: &str, rows: &[Row], height: usize) -> io::Result<()> {
        let shown = rows_that_fit(rows, height.saturating_sub(FRAME_LINES).max(1));
        let cells: Vec<[Cell; 7]> = shown.iter().map(|row| row.cells(self.palette)).collect();
        let mut lines = vec![self.palette.heading(&format!(
            "{title}  {clock}  {}",
            if rows.is_empty() {
                "nothing yet".to_owned()
            } else {
                tally(rows)
            }
        ))];
        if !shown.is_empty() {
            lines.extend(table::lines(HEADER, cells));
        }
        if shown.len() < rows.len() {
            lines.push(format!("… and {} more", rows.len() - shown.len()));
        }
        // Up to where the last drawing began, then clear downwards. Automatic wrapping is off meanwhile, so that a
        // line longer than the terminal is wide stays one line, and the next drawing finds its way back.
        let mut frame = String::from("\x1b[?7l");
        if self.drawn > 0 {
            let _ = write!(frame, "\x1b[{}A\r\x1b[J", self.drawn);
        }
        for line in &lines {
            frame.push_str(line);
            frame.push('\n');
        }
        frame.push_str("\x1b[?7h");
        self.drawn = lines.len();
        self.out.write_all(frame.as_bytes())?;
        self.out.flush()
    }

    fn tell(&mut self, clock: &str, rows: &[Row]) -> io::Result<()> {
        for row in rows {
            let landmark = format!("{:?}", row.landmark());
            if self.told.get(&row.migration_id) != Some(&landmark) {
                writeln!(self.out, "{clock:>7}  {}", row.log_line())?;
                self.told.insert(row.migration_id.clone(), landmark);
            }
        }
        self.out.flush()
    }
}

/// The rows to show where not all fit: those on their way before those that need a person, before those at rest.
fn rows_that_fit(rows: &[Row], room: usize) -> Vec<&Row> {
    let mut shown: Vec<&Row> = rows.iter().collect();
    if shown.len() > room {
        shown.sort_by_key(|row| match row.status {
            Status::Succeeded => 2,
            status if status.is_end() => 1,
            _ => 0,
        });
        shown.truncate(room);
        shown.sort_by(|a, b| a.migration_id.cmp(&b.migration_id));
    }
    shown
}

fn terminal_height() -> usize {
    rustix::termios::tcgetwinsize(io::stdout())
        .map(|size| usize::from(size.ws_row))
        .ok()
        .filter(|rows| *rows > 0)
        .unwrap_or(24)
}

/// How many characters a line of standard output takes; `None` where it is no terminal, and lines may be of any length.
pub fn width() -> Option<usize> {
    stdout_is_terminal().then(|| {
        rustix::termios::tcgetwinsize(io::stdout())
            .map(|size| usize::from(size.ws_col))
            .ok()
            .filter(|columns| *columns > 0)
            .unwrap_or(80)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::rows::tests::row;

    fn written(screen: &Screen<Vec<u8>>) -> String {
        String::from_utf8(screen.out.clone()).unwrap()
    }

    #[test]
    fn a_log_gets_a_line_for_each_change_and_no_escape_codes() {
        let mut screen = Screen::new(Vec::new(), Palette::OFF, None);
        let mut row = row("mig-1", Status::Replicating);
        screen.show("wave w", "1s", &[row.clone()]).unwrap();
        row.lag = Some(3);
        screen.show("wave w", "2s", &[row.clone()]).unwrap();
        row.status = Status::ReadyForTest;
        screen.show("wave w", "3s", &[row]).unwrap();
        assert_eq!(
            written(&screen),
            "     1s  mig-1  vm-1001  REPLICATING  replication 52 %  lag 12s\n     \
             3s  mig-1  vm-1001  READY_FOR_TEST  replication 52 %  lag 3s\n"
        );
    }

    #[test]
    fn a_terminal_is_redrawn_in_place() {
        let mut screen = Screen::new(Vec::new(), Palette::OFF, Some(|| 24));
        let rows = [row("mig-1", Status::Replicating)];
        screen.show("wave w", "1s", &rows).unwrap();
        assert_eq!(screen.drawn, 3);
        screen.out.clear();
        screen.show("wave w", "2s", &rows).unwrap();
        let text = written(&screen);
        assert!(
            text.starts_with("\x1b[?7l\x1b[3A\r\x1b[Jwave w  2s  1 REPLICATING\nMIGRATION"),
            "{text:?}"
        );
        assert!(text.ends_with("\x1b[?7h"), "{text:?}");
    }

    #[test]
    fn what_does_not_fit_is_counted_and_what_moves_is_shown_first() {
        let mut screen = Screen::new(Vec::new(), Palette::OFF, Some(|| 6));
        let rows = [
            row("a", Status::Succeeded),
            row("b", Status::Failed),
            row("c", Status::Replicating),
        ];
        screen.show("wave w", "1s", &rows).unwrap();
        let text = written(&screen);
        assert!(text.contains("\nb ") && text.contains("\nc "), "{text}");
        assert!(
            !text.contains("\na ") && text.contains("… and 1 more"),
            "{text}"
        );
    }

    #[test]
    fn a_notice_is_said_once() {
        let mut screen = Screen::new(Vec::new(), Palette::OFF, None);
        for text in ["no answer", "no answer", "", "no answer"] {
            screen.notice(text).unwrap();
        }
        assert_eq!(written(&screen), "no answer\nno answer\n");
    }
}
