//! A transition and its event together: first the state, then the bus.
//!
//! The history in the table is the truth. When the write succeeded and the publish did not, the stage fails
//! with a transient error and runs again; it then finds the status already there.

use aws_config::SdkConfig;
use jiff::Timestamp;
use landfall_domain::record::Failure;
use landfall_domain::{MigrationRecord, StageError};

use crate::config::Env;
use crate::events::EventPublisher;
use crate::state::{Change, StateStore};

/// Writes transitions and publishes their events.
#[derive(Clone, Debug)]
pub struct Journal {
    /// The state.
    pub store: StateStore,
    /// The bus.
    pub events: EventPublisher,
}

impl Journal {
    /// From `LANDFALL_TABLE` and `LANDFALL_BUS`.
    pub fn load(aws: &SdkConfig, env: &mut Env<'_>) -> Self {
        Self {
            store: StateStore::new(
                aws_sdk_dynamodb::Client::new(aws),
                env.required("LANDFALL_TABLE"),
            ),
            events: EventPublisher::new(
                aws_sdk_eventbridge::Client::new(aws),
                env.required("LANDFALL_BUS"),
            ),
        }
    }

    /// Writes a changed record with its new status, then publishes what happened.
    ///
    /// # Errors
    /// See [`StateStore::transition`]; and a transient error when the bus did not take the event.
    pub async fn advance(
        &self,
        mut record: MigrationRecord,
        change: Change,
        now: Timestamp,
    ) -> Result<MigrationRecord, StageError> {
        if change.to != record.status && !change.to.is_end() {
            // Noted by a stage that died before it could say so, and went well when it ran again.
            record.failure = None;
        }
        Box::pin(self.tell(record, change, now)).await
    }

    /// Lets go of a frozen migration, then publishes it.
    ///
    /// # Errors
    /// See [`StateStore::release`].
    pub async fn release(
        &self,
        record: MigrationRecord,
        change: Change,
        now: Timestamp,
    ) -> Result<MigrationRecord, StageError> {
        let (record, detail) = self.store.release(record, &change, now).await?;
        self.events.publish(change.event, &detail).await?;
        Ok(record)
    }

    async fn tell(
        &self,
        record: MigrationRecord,
        change: Change,
        now: Timestamp,
    ) -> Result<MigrationRecord, StageError> {
        let (record, detail) = self.store.transition(record, &change, now).await?;
        tracing::info!(
            event = change.event.as_str(),
            status = record.status.as_str(),
            jobId = change.job_id,
            reasonCode = change.reason_code,
            "{} is {} ({})",
            record.migration_id,
            record.status,
            change.event,
        );
        self.events.publish(change.event, &detail).await?;
        Ok(record)
    }

    /// Writes why the migration fails, with the event that tells it, once: a stage that died after this and runs again
    /// finds its own words and leaves them.
    ///
    /// # Errors
    /// See [`Journal::advance`].
    pub async fn fail(
        &self,
        mut record: MigrationRecord,
        change: Change,
        error: &StageError,
        now: Timestamp,
    ) -> Result<MigrationRecord, StageError> {
        if record.failure.as_ref().is_some_and(|noted| noted.is(error)) {
            return Ok(record);
        }
        record.failure = Some(Failure::of(error));
        Box::pin(self.tell(record, change, now)).await
    }
}
