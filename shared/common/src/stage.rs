//! What the workflow passes to a stage function.

use landfall_domain::control::Order;
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
    /// Refuses an invocation of an execution that does not own the migration. The record may have ended: for a stage
    /// that has an answer to that.
    ///
    /// # Errors
    /// `PrerequisiteError` for another attempt or another execution. A record that was given to somebody else never
    /// comes back, so the name is none that the workflow retries.
    pub fn speaks_for(&self, record: &MigrationRecord) -> Result<(), StageError> {
        if record.attempt != self.attempt {
            return Err(StageError::new(
                ErrorName::PrerequisiteError,
                format!(
                    "migration {} is in attempt {}, and this step belongs to attempt {}",
                    record.migration_id, record.attempt, self.attempt
                ),
            ));
        }
        if record.execution_arn.as_deref() != Some(self.execution_arn.as_str()) {
            return Err(StageError::new(
                ErrorName::PrerequisiteError,
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
        Ok(())
    }

    /// Refuses an invocation that no longer speaks for its migration, or whose migration has ended or is to end.
    ///
    /// # Errors
    /// Those of [`StageInput::speaks_for`]; `ValidationError` when the migration has ended; `Cancelled` when an operator
    /// has ended it.
    pub fn check(&self, record: &MigrationRecord) -> Result<(), StageError> {
        self.speaks_for(record)?;
        if record.status.is_end() {
            return Err(StageError::new(
                ErrorName::ValidationError,
                format!(
                    "migration {} has already ended in {}; submit it again to start a new attempt",
                    record.migration_id, record.status
                ),
            ));
        }
        if let Some(order) = &record.control.cancel {
            return Err(cancelled(order));
        }
        Ok(())
    }

    /// The record's key.
    pub fn key(&self) -> Key {
        Key::new(&self.tenant_id, &self.migration_id)
    }
}

/// Why a stage does not go on with a migration that an operator has ended.
pub fn cancelled(order: &Order) -> StageError {
    StageError::new(
        ErrorName::Cancelled,
        format!("cancelled by {}: {}", order.by, order.reason),
    )
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

#[cfg(test)]
mod tests {
    use super::*;
    use landfall_domain::Status;
    use serde_json::json;

    fn input() -> StageInput {
        read(json!({
            "tenantId": "default", "migrationId": "mig-1", "attempt": 2, "correlationId": "c-1",
            "executionArn": "arn:mine",
        }))
        .unwrap()
    }

    fn record(execution_arn: Option<&str>, attempt: u32, status: Status) -> MigrationRecord {
        let at = "2026-11-21T12:00:00Z";
        serde_json::from_value(json!({
            "tenantId": "default", "migrationId": "mig-1", "attempt": attempt, "version": 1,
            "status": status, "correlationId": "c-1", "requestDigest": "d", "eventSeq": 1,
            "eventHash": "h", "createdAt": at, "updatedAt": at, "statusSince": at,
            "executionArn": execution_arn,
            "request": {
                "migrationId": "mig-1", "appName": "app", "source": "azure", "target": "aws",
                "environment": "prod", "wave": "wave-1", "sourceVmId": "vm-1", "steps": ["freeze"],
            },
        }))
        .unwrap()
    }

    #[test]
    fn only_the_owner_speaks_and_only_while_the_migration_runs() {
        let none = None::<ErrorName>;
        let refused = Some(ErrorName::PrerequisiteError);
        let ended = Some(ErrorName::ValidationError);
        for (arn, attempt, status, speaks, check) in [
            (Some("arn:mine"), 2, Status::Testing, none, none),
            (Some("arn:mine"), 2, Status::Succeeded, none, ended),
            (Some("arn:mine"), 3, Status::Testing, refused, refused),
            (Some("arn:other"), 2, Status::Testing, refused, refused),
            (Some("arn:other"), 2, Status::Failed, refused, refused),
            (None, 2, Status::Requested, refused, refused),
        ] {
            let record = record(arn, attempt, status);
            let name = |result: Result<(), StageError>| result.err().map(|error| error.name);
            let case = format!("{arn:?} {attempt} {status}");
            assert_eq!(name(input().speaks_for(&record)), speaks, "{case}");
            assert_eq!(name(input().check(&record)), check, "{case}");
        }
    }

    #[test]
    fn a_lost_migration_is_not_waited_for() {
        // The workflow would retry a transient name for hours.
        let error = input()
            .speaks_for(&record(Some("arn:other"), 2, Status::Testing))
            .unwrap_err();
        assert!(!error.name.is_transient());
    }
}
