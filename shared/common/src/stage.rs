//! What the workflow passes to a stage function.

use landfall_domain::{ErrorName, MigrationRecord, StageError};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::state::Key;

/// The members every stage gets.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StageInput {
    /// The tenant.
    pub tenant_id: String,
    /// The caller's ID of the migration.
    pub migration_id: String,
    /// Which submission of it.
    pub attempt: u32,
    /// The correlation ID, for logs before the record is read.
    pub correlation_id: String,
    /// The workflow execution.
    pub execution_arn: String,
}

impl StageInput {
    /// Refuses an invocation that no longer speaks for its migration.
    ///
    /// # Errors
    /// `Conflict` for another attempt or another execution; `ValidationError` when the migration has ended.
    pub fn check(&self, record: &MigrationRecord) -> Result<(), StageError> {
        if record.attempt != self.attempt {
            return Err(StageError::new(
                ErrorName::Conflict,
                format!(
                    "migration {} is in attempt {}, and this step belongs to attempt {}",
                    record.migration_id, record.attempt, self.attempt
                ),
            ));
        }
        if record.execution_arn.as_deref() != Some(self.execution_arn.as_str()) {
            return Err(StageError::new(
                ErrorName::Conflict,
                format!(
                    "migration {} belongs to another workflow execution",
                    record.migration_id
                ),
            )
            .context(format!(
                "recorded {:?}, invoked by {}",
                record.execution_arn, self.execution_arn
            )));
        }
        if record.status.is_end() {
            return Err(StageError::new(
                ErrorName::ValidationError,
                format!(
                    "migration {} has already ended in {}; submit it again to start a new attempt",
                    record.migration_id, record.status
                ),
            ));
        }
        Ok(())
    }

    /// The record's key.
    pub fn key(&self) -> Key {
        Key::new(&self.tenant_id, &self.migration_id)
    }
}

/// Reads an event of ours.
///
/// # Errors
/// `InternalError` that names the member at fault: the workflow sent it, so it is no user's doing.
pub fn read<T: DeserializeOwned>(event: Value) -> Result<T, StageError> {
    serde_json::from_value(event).map_err(|error| {
        StageError::new(
            ErrorName::InternalError,
            format!("the event is not what this function takes: {error}"),
        )
    })
}
