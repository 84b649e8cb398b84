//! The Python environment `.venv`: MiniStack, cargo-lambda and the tests' Python clients, pinned with hashes.

use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use super::StackError;
use super::command::output;
use super::console::Console;
use super::layout::{Layout, replace};

/// Makes `.venv` hold what `tests/requirements.txt` lists, and returns its interpreter.
pub(super) fn install(
    layout: &Layout,
    python: &OsStr,
    console: Console,
) -> Result<PathBuf, StackError> {
    let interpreter = layout.venv().join("bin/python");
    let requirements = layout.requirements();
    let wanted = fs::read(&requirements).map_err(StackError::file("read", &requirements))?;

    // Pip takes seconds to find that there is nothing to do; the copy of what it installed last answers at once.
    let installed = layout.venv().join("landfall-requirements.txt");
    if interpreter.exists() && fs::read(&installed).is_ok_and(|current| current == wanted) {
        return Ok(interpreter);
    }

    let started = Instant::now();
    console.say("python: installing MiniStack and the test tools into .venv");
    output(
        Command::new(python).args(["-m", "venv"]).arg(layout.venv()),
        "creating .venv (Debian and Ubuntu need the package python3-venv)",
    )?;
    output(
        Command::new(&interpreter)
            .args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--require-hashes",
                "--requirement",
            ])
            .arg(&requirements),
        "installing tests/requirements.txt into .venv",
    )?;
    replace(&installed, &wanted)?;
    console.done("python: .venv is ready", started);
    Ok(interpreter)
}
