//! The three programs that a newcomer must bring: Rust, Python and Terraform.

use std::ffi::OsString;
use std::process::{Command, Stdio};

use serde::Deserialize;

use super::StackError;
use super::layout::Layout;

const PYTHON: &str = "Python 3.10 or newer";
const PYTHON_REMEDY: &str = "Install it from https://www.python.org/downloads/ or with your package manager, or name it in LANDFALL_PYTHON";
const TERRAFORM: &str = "Terraform 1.9 or newer";
const TERRAFORM_REMEDY: &str = "Get it from https://developer.hashicorp.com/terraform/install";
const CARGO: &str = "Rust (cargo)";
const CARGO_REMEDY: &str = "Get it from https://rustup.rs";

/// The programs, as they are to be called.
#[derive(Debug)]
pub(super) struct Tools {
    pub(super) cargo: OsString,
    pub(super) python: OsString,
    pub(super) terraform: OsString,
}

/// Finds all of them, or says which one is missing and how to get it.
pub(super) fn find(layout: &Layout) -> Result<Tools, StackError> {
    Ok(Tools {
        cargo: cargo(layout)?,
        python: python()?,
        terraform: terraform(layout)?,
    })
}

fn cargo(layout: &Layout) -> Result<OsString, StackError> {
    // Cargo names itself to what it runs; with rustup, a name found in PATH may be another toolchain.
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    match answer(
        Command::new(&program)
            .arg("--version")
            .current_dir(layout.root()),
    ) {
        Some(_) => Ok(program),
        None => Err(missing(CARGO, CARGO_REMEDY)),
    }
}

fn python() -> Result<OsString, StackError> {
    let candidates: Vec<OsString> = match std::env::var_os("LANDFALL_PYTHON") {
        Some(chosen) => vec![chosen],
        None => [
            "python3",
            "python3.14",
            "python3.13",
            "python3.12",
            "python3.11",
            "python3.10",
            "python",
        ]
        .map(OsString::from)
        .to_vec(),
    };
    let mut found = None;
    for program in candidates {
        let script = "import sys; print('%d.%d' % sys.version_info[:2])";
        let Some(version) = answer(Command::new(&program).args(["-c", script])) else {
            continue;
        };
        if at_least(version.trim(), 3, 10) {
            return Ok(program);
        }
        found.get_or_insert(version.trim().to_owned());
    }
    Err(found.map_or_else(
        || missing(PYTHON, PYTHON_REMEDY),
        |version| too_old(PYTHON, &version, PYTHON_REMEDY),
    ))
}

fn terraform(layout: &Layout) -> Result<OsString, StackError> {
    #[derive(Deserialize)]
    struct Version {
        terraform_version: String,
    }

    let program = OsString::from("terraform");
    let Some(text) = answer(
        Command::new(&program)
            .args(["version", "-json"])
            .current_dir(layout.root()),
    ) else {
        return Err(missing(TERRAFORM, TERRAFORM_REMEDY));
    };
    match serde_json::from_str::<Version>(&text) {
        Ok(version) if at_least(&version.terraform_version, 1, 9) => Ok(program),
        Ok(version) => Err(too_old(
            TERRAFORM,
            &version.terraform_version,
            TERRAFORM_REMEDY,
        )),
        Err(_) => Err(missing(TERRAFORM, TERRAFORM_REMEDY)),
    }
}

/// What a program prints, if there is such a program and it ends well.
fn answer(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).output().ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

fn at_least(version: &str, major: u32, minor: u32) -> bool {
    let mut parts = version.split('.').map(str::parse::<u32>);
    match (parts.next(), parts.next()) {
        (Some(Ok(found_major)), Some(Ok(found_minor))) => {
            (found_major, found_minor) >= (major, minor)
        }
        _ => false,
    }
}

fn missing(tool: &'static str, remedy: &'static str) -> StackError {
    StackError::Tool {
        tool,
        problem: "is needed and was not found".to_owned(),
        remedy,
    }
}

fn too_old(tool: &'static str, found: &str, remedy: &'static str) -> StackError {
    StackError::Tool {
        tool,
        problem: format!("is needed; found {found}"),
        remedy,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_number() {
        for (version, expected) in [
            ("3.10", true),
            ("3.9", false),
            ("4.0", true),
            ("2.99", false),
            ("3.10.1", true),
            ("3", false),
            ("x", false),
        ] {
            assert_eq!(at_least(version, 3, 10), expected, "{version}");
        }
    }

    #[test]
    fn a_missing_tool_says_where_to_get_it() {
        assert_eq!(
            missing(TERRAFORM, TERRAFORM_REMEDY).to_string(),
            "Terraform 1.9 or newer is needed and was not found. Get it from https://developer.hashicorp.com/terraform/install"
        );
    }
}
