//! Aligned columns.

use super::text::{clean, wrapped};

/// No column of a table that must fit gets narrower.
const NARROWEST: usize = 8;
/// What stands between two columns.
const GAP: usize = 2;

/// A cell: what is printed, and how wide that is on the screen (colour codes take no room).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    text: String,
    width: usize,
}

impl Cell {
    /// A text that is shown in another guise, such as in colour.
    pub fn painted(plain: &str, painted: String) -> Self {
        Self {
            text: painted,
            width: plain.chars().count(),
        }
    }

    /// The cell in lines of a width. One in another guise stays whole: its codes cannot be cut.
    fn folded(&self, width: usize) -> Vec<Self> {
        if self.width <= width || self.text.chars().count() != self.width {
            return vec![self.clone()];
        }
        wrapped(&self.text, width)
            .into_iter()
            .map(Self::from)
            .collect()
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        // What others chose must not steer the terminal.
        let text = clean(&text);
        let width = text.chars().count();
        Self { text, width }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

/// Lines of a table, the header first: columns two spaces apart, nothing after the last cell of a line.
pub fn lines<const N: usize>(header: [&str; N], rows: Vec<[Cell; N]>) -> Vec<String> {
    let rows = with_header(header, rows);
    let widths = widths(&rows);
    rows.iter().map(|row| aligned(row, widths)).collect()
}

/// The same within so many characters a line, as far as that goes: the cells of the widest columns are folded.
pub fn fitted<const N: usize>(
    header: [&str; N],
    rows: Vec<[Cell; N]>,
    width: usize,
) -> Vec<String> {
    let rows = with_header(header, rows);
    let widths = within(
        widths(&rows),
        width.saturating_sub(GAP * N.saturating_sub(1)),
    );
    let mut lines = Vec::new();
    for row in &rows {
        let folded: [Vec<Cell>; N] =
            std::array::from_fn(|column| row[column].folded(widths[column]));
        let height = folded.iter().map(Vec::len).max().unwrap_or_default();
        for line in 0..height {
            let cells = folded
                .each_ref()
                .map(|cell| cell.get(line).cloned().unwrap_or_else(|| "".into()));
            lines.push(aligned(&cells, widths));
        }
    }
    lines
}

fn with_header<const N: usize>(header: [&str; N], rows: Vec<[Cell; N]>) -> Vec<[Cell; N]> {
    std::iter::once(header.map(Cell::from))
        .chain(rows)
        .collect()
}

fn widths<const N: usize>(rows: &[[Cell; N]]) -> [usize; N] {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.width.max(*width);
        }
    }
    widths
}

/// The widths, the widest of them cut to one measure so that all are within the room.
fn within<const N: usize>(widths: [usize; N], room: usize) -> [usize; N] {
    let cut = |measure: usize| widths.map(|width| width.min(measure));
    let fits = |measure: &usize| cut(*measure).iter().sum::<usize>() <= room;
    let widest = widths.into_iter().max().unwrap_or_default();
    let measure = (NARROWEST..=widest).rev().find(fits);
    cut(measure.unwrap_or(NARROWEST))
}

fn aligned<const N: usize>(row: &[Cell; N], widths: [usize; N]) -> String {
    let mut line = String::new();
    for (cell, width) in row.iter().zip(widths) {
        line.push_str(&cell.text);
        line.extend(std::iter::repeat_n(
            ' ',
            (width + GAP).saturating_sub(cell.width),
        ));
    }
    line.truncate(line.trim_end().len());
    line
}

/// The same as one text.
pub fn text<const N: usize>(header: [&str; N], rows: Vec<[Cell; N]>) -> String {
    lines(header, rows).join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_by_what_is_seen() {
        let rows = vec![
            [
                "mig-1".into(),
                Cell::painted("OK", "\x1b[32mOK\x1b[0m".into()),
                "1s".into(),
            ],
            ["→ 2".into(), "FAILED".into(), "".into()],
        ];
        assert_eq!(
            text(["ID", "STATUS", "TIME"], rows),
            "ID     STATUS  TIME\n\
             mig-1  \x1b[32mOK\x1b[0m      1s\n\
             → 2    FAILED\n"
        );
    }

    #[test]
    fn the_widest_columns_are_folded_until_the_table_fits() {
        let rows = || {
            vec![
                [
                    Cell::painted("bad", "\x1b[31mbad\x1b[0m".into()),
                    "A_LONG_CODE_OF_ITS_OWN".into(),
                    "there is more to say than fits".into(),
                ],
                ["ok".into(), "SHORT".into(), "".into()],
            ]
        };
        let header = ["HOW", "CODE", "WHAT"];
        assert_eq!(fitted(header, rows(), 80), lines(header, rows()));
        assert_eq!(
            fitted(header, rows(), 35),
            [
                "HOW  CODE            WHAT",
                "\x1b[31mbad\x1b[0m  A_LONG_CODE_    there is more",
                "     OF_ITS_OWN      to say than",
                "                     fits",
                "ok   SHORT",
            ]
        );
        // Too narrow for any table: it is as narrow as can be read.
        let narrow = fitted(header, rows(), 1);
        let widest = narrow.iter().map(|line| line.chars().count()).max();
        assert!(
            widest <= Some(3 + 2 + NARROWEST + 2 + NARROWEST + 9),
            "{narrow:#?}"
        );
    }
}
