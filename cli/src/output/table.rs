//! Aligned columns.

use super::text::clean;

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
    let rows: Vec<[Cell; N]> = std::iter::once(header.map(Cell::from))
        .chain(rows)
        .collect();
    let mut widths = [0; N];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.width.max(*width);
        }
    }
    rows.iter()
        .map(|row| {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(widths) {
                line.push_str(&cell.text);
                line.extend(std::iter::repeat_n(' ', width + 2 - cell.width));
            }
            line.truncate(line.trim_end().len());
            line
        })
        .collect()
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
}
