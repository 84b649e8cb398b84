//! What the workflow passes to a stage function.

use landfall_domain::{ErrorName, StageError};
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
