//! One thing that is wrong, said so that its reader can mend it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How much a finding weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Told, and the migration goes on.
    Warning,
    /// The migration cannot go on.
    Blocking,
}

/// A failed check: a stable code, where, what was found, what was wanted and what to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// A stable code such as `SUBNET_NOT_FOUND`, for scripts.
    pub code: String,
    /// Whether it stops the migration.
    pub severity: Severity,
    /// The JSON pointer of the request's field at fault, empty when no field is.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub pointer: String,
    /// One sentence that names the value and its problem.
    pub message: String,
    /// The value that was found.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub found: Value,
    /// The value or rule that was wanted.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub wanted: Value,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub remedy: String,
}

impl Finding {
    /// A finding that stops the migration.
    pub fn blocking(code: &str, pointer: &str, message: impl Into<String>) -> Self {
        Self {
            code: code.to_owned(),
            severity: Severity::Blocking,
            pointer: pointer.to_owned(),
            message: message.into(),
            found: Value::Null,
            wanted: Value::Null,
            remedy: String::new(),
        }
    }

    /// A finding that is only told.
    pub fn warning(code: &str, pointer: &str, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::blocking(code, pointer, message)
        }
    }

    /// Adds the evidence: the value found and the value or rule wanted.
    #[must_use]
    pub fn evidence(mut self, found: impl Into<Value>, wanted: impl Into<Value>) -> Self {
        self.found = found.into();
        self.wanted = wanted.into();
        self
    }

    /// Adds what to do.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = remedy.into();
        self
    }

    /// Whether the finding stops the migration.
    pub fn is_blocking(&self) -> bool {
        self.severity == Severity::Blocking
    }
}
