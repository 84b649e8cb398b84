//! Running programs that end by themselves.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use super::StackError;

/// Runs a program and returns its standard output.
pub(super) fn output(command: &mut Command, what: &str) -> Result<Vec<u8>, StackError> {
    let Output {
        status,
        stdout,
        stderr,
    } = command
        .stdin(Stdio::null())
        .output()
        .map_err(spawn_error(command))?;
    if status.success() {
        return Ok(stdout);
    }
    Err(StackError::Command {
        what: what.to_owned(),
        status: status.to_string(),
        detail: last_lines(&String::from_utf8_lossy(&stderr), 20),
    })
}

/// For `map_err` on starting a program.
pub(super) fn spawn_error(command: &Command) -> impl FnOnce(std::io::Error) -> StackError + use<> {
    let program = command.get_program().to_string_lossy().into_owned();
    move |source| StackError::Spawn { program, source }
}

/// Takes the caller's AWS settings from a program that must see the local stack's only.
///
/// A profile, a session token or an endpoint for one service would otherwise send it to a real account.
pub(super) fn local_aws<'a>(command: &'a mut Command, endpoint: &str) -> &'a mut Command {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("AWS_") {
            command.env_remove(name);
        }
    }
    command
        .env("AWS_ENDPOINT_URL", endpoint)
        .env("AWS_REGION", super::REGION)
        .env("AWS_DEFAULT_REGION", super::REGION)
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("NO_PROXY", "127.0.0.1,localhost")
        .env("no_proxy", "127.0.0.1,localhost")
}

/// The end of a log, for an error message. A log that cannot be read has no end to show.
pub(super) fn tail(path: &Path) -> String {
    let content = fs::read(path).unwrap_or_default();
    last_lines(&String::from_utf8_lossy(&content), 12)
}

fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_program_shows_the_end_of_what_it_said() {
        let error = output(
            Command::new("sh").args(["-c", "echo reason >&2; exit 3"]),
            "the attempt",
        )
        .unwrap_err();
        assert_eq!(
            error.to_string(),
            "the attempt failed (exit status: 3):\nreason"
        );
    }

    #[test]
    fn an_absent_program_is_named() {
        let error =
            output(&mut Command::new("landfall-no-such-program"), "the attempt").unwrap_err();
        assert_eq!(error.to_string(), "cannot start landfall-no-such-program");
    }

    #[test]
    fn only_the_last_lines_are_shown() {
        assert_eq!(last_lines("a\nb\nc\n", 2), "b\nc");
        assert_eq!(last_lines("", 2), "");
    }
}
