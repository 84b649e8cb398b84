//! Whether an invocation still speaks for its migration.

use landfall_common::StageInput;
use landfall_domain::{ErrorName, MigrationRecord, StageError};

/// Refuses an invocation of another attempt, of another execution, or for a migration that has ended.
pub(crate) fn check(record: &MigrationRecord, input: &StageInput) -> Result<(), StageError> {
    if record.attempt != input.attempt {
        return Err(StageError::new(
            ErrorName::Conflict,
            format!(
                "migration {} is in attempt {}, and this step belongs to attempt {}",
                record.migration_id, record.attempt, input.attempt
            ),
        ));
    }
    if record.execution_arn.as_deref() != Some(input.execution_arn.as_str()) {
        return Err(StageError::new(
            ErrorName::Conflict,
            format!(
                "migration {} belongs to another workflow execution",
                record.migration_id
            ),
        )
        .context(format!(
            "recorded {:?}, invoked by {}",
            record.execution_arn, input.execution_arn
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
