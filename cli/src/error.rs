//! How a command ends: its exit code, and for a failure one line of what and one of what to do.

use std::error::Error as _;
use std::fmt;
use std::io::ErrorKind;

use landfall_domain::{ErrorName, StageError};

use crate::stack::StackError;

/// The exit codes, as the help documents them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// What was asked for happened.
    Ok = 0,
    /// It did not: a migration ended otherwise, something blocks one, AWS refused, or the stack does not stand.
    Failed = 1,
    /// The command line or a request is wrong, and nothing was sent; or a request could not be checked.
    Invalid = 2,
    /// There is no such migration.
    Unknown = 3,
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CliError {
    /// What happened.
    pub what: String,
    /// What to do about it; empty when `what` says so itself.
    pub remedy: String,
    /// What the process reports.
    pub exit: Exit,
    /// Nobody reads the output any more (`landfall watch | head`): not worth a message.
    pub silent: bool,
}

impl CliError {
    /// A failure with [`Exit::Failed`].
    pub fn new(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            remedy: remedy.into(),
            exit: Exit::Failed,
            silent: false,
        }
    }

    /// The same with another exit code.
    #[must_use]
    pub const fn exit(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }

    /// A failed call of the deployment; `advice` says what to look at in that deployment.
    pub fn of_call(error: &StageError, advice: &str) -> Self {
        let remedy = match error.name {
            ErrorName::Throttled => "AWS throttled the call; run the same command again.",
            _ => advice,
        };
        Self::new(error.cause(), remedy)
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.what)?;
        if !self.remedy.is_empty() {
            write!(f, "\n help: {}", self.remedy)?;
        }
        Ok(())
    }
}

impl std::error::Error for CliError {}

impl From<StackError> for CliError {
    fn from(error: StackError) -> Self {
        let exit = match error {
            StackError::Option { .. } => Exit::Invalid,
            _ => Exit::Failed,
        };
        let mut what = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            what = format!("{what}: {error}");
            cause = error.source();
        }
        Self::new(what, "").exit(exit)
    }
}

/// Failures to write the output.
impl From<std::io::Error> for CliError {
    fn from(error: std::io::Error) -> Self {
        Self {
            silent: error.kind() == ErrorKind::BrokenPipe,
            ..Self::new(
                format!("the output cannot be written: {error}"),
                "Check where standard output goes.",
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_what_and_one_line_what_to_do() {
        let error = CliError::new("no table is known", "Name it with --table.");
        assert_eq!(
            error.to_string(),
            "error: no table is known\n help: Name it with --table."
        );
        assert_eq!(CliError::new("it broke", "").to_string(), "error: it broke");
    }

    #[test]
    fn throttling_asks_for_patience_and_all_else_for_a_look_at_the_deployment() {
        let advice = |name| CliError::of_call(&StageError::new(name, "x"), "look").remedy;
        assert!(advice(ErrorName::Throttled).contains("again"));
        assert_eq!(advice(ErrorName::DependencyUnavailable), "look");
    }
}
