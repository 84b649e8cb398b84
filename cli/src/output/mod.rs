//! What people read: tables, durations, colours and the live screen. Nothing here calls AWS.

pub mod progress;
pub mod rows;
pub mod screen;
pub mod summary;
pub mod table;
pub mod text;
pub mod timeline;
pub mod validation;
pub mod wave;
pub mod window;

use std::io::Write as _;

/// Writes to standard output. Unlike `print!` it does not panic when nobody reads.
pub fn print(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Writes a JSON value to standard output, for scripts.
pub fn print_json(value: &serde_json::Value) -> std::io::Result<()> {
    print(&format!("{value:#}\n"))
}
