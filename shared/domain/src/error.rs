//! The closed set of error names that the workflow matches on.
//!
//! A stage fails with a [`StageError`]; `landfall-common` turns it into the Lambda runtime's diagnostic, whose
//! `errorType` is [`ErrorName::as_str`]. A test compares the set with every `ErrorEquals` of the workflow.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::finding::Finding;

/// An error name as Step Functions sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ErrorName {
    /// The request, or what it names, is at fault.
    ValidationError,
    /// Something that must be true before work begins is not.
    PrerequisiteError,
    /// The source could not be prepared (agent, snapshot).
    SourcePreparationError,
    /// Replication or a test launch failed.
    MigrationExecutionError,
    /// A launched instance did not pass its checks.
    VerificationError,
    /// The cutover launch or a finalize step failed.
    CutoverError,
    /// A compensation failed: a person must look.
    RollbackError,
    /// Somebody whose agreement was wanted refused, or did not answer in time.
    ApprovalError,
    /// An operator ended the migration.
    Cancelled,
    /// AWS throttled us; try again later.
    Throttled,
    /// A dependency did not answer, or is not ready yet; try again later.
    DependencyUnavailable,
    /// Somebody else changed the same thing at the same time; try again.
    Conflict,
    /// A bug of ours.
    InternalError,
}

impl ErrorName {
    /// Every name.
    pub const ALL: [Self; 13] = [
        Self::ValidationError,
        Self::PrerequisiteError,
        Self::SourcePreparationError,
        Self::MigrationExecutionError,
        Self::VerificationError,
        Self::CutoverError,
        Self::RollbackError,
        Self::ApprovalError,
        Self::Cancelled,
        Self::Throttled,
        Self::DependencyUnavailable,
        Self::Conflict,
        Self::InternalError,
    ];

    /// The name as reported to Step Functions.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ValidationError => "ValidationError",
            Self::PrerequisiteError => "PrerequisiteError",
            Self::SourcePreparationError => "SourcePreparationError",
            Self::MigrationExecutionError => "MigrationExecutionError",
            Self::VerificationError => "VerificationError",
            Self::CutoverError => "CutoverError",
            Self::RollbackError => "RollbackError",
            Self::ApprovalError => "ApprovalError",
            Self::Cancelled => "Cancelled",
            Self::Throttled => "Throttled",
            Self::DependencyUnavailable => "DependencyUnavailable",
            Self::Conflict => "Conflict",
            Self::InternalError => "InternalError",
        }
    }

    /// Whether the same call may succeed later. Exhaustive, so that a new name forces a decision.
    pub const fn is_transient(self) -> bool {
        match self {
            Self::Throttled | Self::DependencyUnavailable | Self::Conflict => true,
            Self::ValidationError
            | Self::PrerequisiteError
            | Self::SourcePreparationError
            | Self::MigrationExecutionError
            | Self::VerificationError
            | Self::CutoverError
            | Self::RollbackError
            | Self::ApprovalError
            | Self::Cancelled
            | Self::InternalError => false,
        }
    }
}

impl fmt::Display for ErrorName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Why a stage failed: the name for the workflow, a message that is safe to show to anybody, context that only
/// the log sees, and the findings where there are several.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct StageError {
    /// What the workflow matches on.
    pub name: ErrorName,
    /// Short, without secrets, with what to do where that is known.
    pub message: String,
    /// For the log alone: codes, request IDs, the chain of causes.
    pub context: String,
    /// Everything that is wrong, when that is more than the message says.
    pub findings: Vec<Finding>,
}

impl StageError {
    /// An error with a message and nothing more.
    pub fn new(name: ErrorName, message: impl Into<String>) -> Self {
        Self {
            name,
            message: message.into(),
            context: String::new(),
            findings: Vec::new(),
        }
    }

    /// Adds context for the log.
    #[must_use]
    pub fn context(mut self, context: impl Into<String>) -> Self {
        self.context = context.into();
        self
    }

    /// Adds findings.
    #[must_use]
    pub fn findings(mut self, findings: Vec<Finding>) -> Self {
        self.findings = findings;
        self
    }

    /// The text of the diagnostic: the message, then each finding on a line. Step Functions keeps it as `Cause`
    /// (at most 32,768 characters), so it is cut at 8,000 characters on a character boundary.
    pub fn cause(&self) -> String {
        let mut text = self.message.clone();
        for finding in &self.findings {
            text.push_str("\n- ");
            text.push_str(&finding.code);
            if !finding.pointer.is_empty() {
                text.push_str(" at ");
                text.push_str(&finding.pointer);
            }
            text.push_str(": ");
            text.push_str(&finding.message);
            if !finding.remedy.is_empty() {
                text.push(' ');
                text.push_str(&finding.remedy);
            }
        }
        match text.char_indices().nth(8_000) {
            Some((end, _)) => {
                text.truncate(end);
                text.push('…');
                text
            }
            None => text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_do_not_take_the_prefix_that_step_functions_keeps() {
        for name in ErrorName::ALL {
            assert!(!name.as_str().starts_with("States."));
            assert_eq!(serde_json::to_value(name).unwrap(), name.as_str());
        }
    }

    #[test]
    fn the_cause_lists_every_finding_and_stays_short() {
        let error = StageError::new(ErrorName::ValidationError, "2 checks failed").findings(vec![
            Finding::blocking("A", "/subnetId", "no such subnet").remedy("Create it."),
            Finding::blocking("B", "", "x".repeat(20_000)),
        ]);
        let cause = error.cause();
        assert!(
            cause.starts_with(
                "2 checks failed\n- A at /subnetId: no such subnet Create it.\n- B: xx"
            )
        );
        assert_eq!(cause.chars().count(), 8_001);
    }
}
