//! The DynamoDB state manager: one table, conditional writes, an append-only history.
//!
//! | pk | sk | what |
//! |---|---|---|
//! | `TENANT#<tenant>#MIGRATION#<id>` | `STATE` | the record |
//! | | `EVENT#<seq>` | history; each entry holds the hash of the one before |
//! | | `REJECTION#<uuid v7>` | a message with this ID that was refused |
//! | | `WAIT#<kind>`, `INTENT#<action>#<attempt>` | what waits, with its task token ([`wait`]) |
//! | `TENANT#<tenant>#WAVE#<wave>` | `WAVE` | the wave's cutover window ([`wave`]) |
//! | `CLAIM#…` | `CLAIM` | which migration has a server, or an address ([`claim`]) |
//! | `LEASE#<name>` | `LEASE` | who may launch now ([`lease`]) |
//! | `ESTIMATES` | `ROLLBACK` | how long compensations took in the past |

mod change;
pub mod claim;
mod estimate;
pub mod item;
mod launch;
pub mod lease;
mod pause;
mod query;
pub mod wait;
pub mod wave;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{AttributeValue, Put, TransactWriteItem};
use jiff::Timestamp;
use landfall_domain::event::Detail;
use landfall_domain::{ErrorName, MigrationRecord, StageError, Status, digest};

use crate::aws_error::{AwsResultExt, stage_error};
use change::detail_of;
pub use change::{Change, HistoryEntry, Rejection, verify_history};
use claim::Taking;
pub use item::Key;
use item::{internal, text};

/// How long the record of an ended migration, its closed launches and a rejection are kept, in days. The history is kept
/// for good: it is the proof of what was done, and a migration submitted again under the ID goes on with it.
pub const RETENTION_DAYS: i64 = 400;

/// Reads and writes migrations.
#[derive(Clone, Debug)]
pub struct StateStore {
    pub(crate) client: Client,
    pub(crate) table: String,
}

impl StateStore {
    /// A store on one table.
    pub fn new(client: Client, table: impl Into<String>) -> Self {
        Self {
            client,
            table: table.into(),
        }
    }

    /// Reads a record, strongly consistent. `None` when there is no such migration.
    pub async fn get(&self, key: &Key) -> Result<Option<MigrationRecord>, StageError> {
        let answer = self
            .client
            .get_item()
            .table_name(&self.table)
            .consistent_read(true)
            .key("pk", text(&key.pk()))
            .key("sk", text(item::STATE))
            .send()
            .await
            .or_stage(ErrorName::InternalError, "GetItem")?;
        answer.item.map(item::record_of).transpose()
    }

    /// Reads a record that must be there.
    ///
    /// # Errors
    /// `InternalError` when it is not: a workflow runs only for migrations that were recorded.
    pub async fn require(&self, key: &Key) -> Result<MigrationRecord, StageError> {
        self.get(key).await?.ok_or_else(|| {
            StageError::new(
                ErrorName::InternalError,
                format!("there is no migration {key}"),
            )
        })
    }

    /// Writes the first record of a migration, with its first history entry. Where an earlier record of the ID has
    /// expired, the history goes on from its last entry and the attempts from its last one: what an attempt is known
    /// by elsewhere (an execution, a launch, a snapshot) is never met again.
    ///
    /// # Errors
    /// `Conflict` when the migration is there already.
    pub async fn create(
        &self,
        record: MigrationRecord,
        change: &Change,
        now: Timestamp,
    ) -> Result<(MigrationRecord, Detail), StageError> {
        match self.write(record.clone(), None, change, now).await {
            // Nearly every ID is new, so the history is asked for only once it is known to be in the way.
            Err(error) if error.name == ErrorName::Conflict => {
                match self.last_entry(&Key::of(&record)).await? {
                    Some(last) => self.write(after(last, record), None, change, now).await,
                    None => Err(error),
                }
            }
            written => written,
        }
    }

    /// Replaces the record of an ended attempt with the first one of the next; the history goes on.
    ///
    /// # Errors
    /// `Conflict` when the record changed since `ended` was read.
    pub async fn start_attempt(
        &self,
        ended: &MigrationRecord,
        mut next: MigrationRecord,
        change: &Change,
        now: Timestamp,
    ) -> Result<(MigrationRecord, Detail), StageError> {
        next.version = ended.version;
        next.event_seq = ended.event_seq;
        next.event_hash.clone_from(&ended.event_hash);
        self.write(next, Some(ended.status), change, now).await
    }

    /// Writes a changed record with a new status and a history entry, in one transaction that is conditional
    /// on the version and status the record was read with.
    ///
    /// # Errors
    /// `InternalError` for an illegal transition (nothing is written); `Conflict` when the record changed
    /// since it was read.
    pub async fn transition(
        &self,
        record: MigrationRecord,
        change: &Change,
        now: Timestamp,
    ) -> Result<(MigrationRecord, Detail), StageError> {
        if change.to != record.status && record.stands_as() != Some(change.to) {
            record
                .status
                .transition_to(change.to)
                .map_err(|error| StageError::new(ErrorName::InternalError, error.to_string()))?;
        }
        if let Some(back) = record.held_from
            && change.to != back
            && !change.to.is_held()
            && !change.to.is_end()
        {
            return Err(internal(format!(
                "a migration that was held in {back} cannot go on as {}",
                change.to
            )));
        }
        let from = record.status;
        self.write(record, Some(from), change, now).await
    }

    /// Writes that a frozen migration is frozen no more, by a person's order: the one way out of an end that is no new
    /// attempt. What it had for itself is given back.
    ///
    /// # Errors
    /// `InternalError` when it is not frozen; `Conflict` when the record changed since it was read.
    pub async fn release(
        &self,
        record: MigrationRecord,
        change: &Change,
        now: Timestamp,
    ) -> Result<(MigrationRecord, Detail), StageError> {
        if record.status != Status::Frozen || change.to != Status::Failed {
            return Err(internal(
                "only a frozen migration is released, and to FAILED",
            ));
        }
        self.write(record, Some(Status::Frozen), change, now).await
    }

    /// Writes a changed record without a history entry, for notes on work under way (command IDs, progress).
    ///
    /// # Errors
    /// `Conflict` when the record changed since it was read.
    pub async fn save(
        &self,
        mut record: MigrationRecord,
        now: Timestamp,
    ) -> Result<MigrationRecord, StageError> {
        let expected = record.version;
        record.version += 1;
        record.updated_at = now.to_string();
        let put = self.put_of(&record, Some((expected, record.status)))?;
        self.transact(vec![put]).await?;
        Ok(record)
    }

    /// [`StateStore::save`], taking claims in the same transaction.
    ///
    /// # Errors
    /// `Conflict` when the record changed since it was read, or somebody else took a claim meanwhile.
    pub async fn save_taking(
        &self,
        mut record: MigrationRecord,
        takings: &[Taking],
        now: Timestamp,
    ) -> Result<MigrationRecord, StageError> {
        let expected = (record.version, record.status);
        record.version += 1;
        record.updated_at = now.to_string();
        let claims = self.take(&record, takings)?;
        hold(&mut record, takings);
        let put = self.put_of(&record, Some(expected))?;
        self.transact([vec![put], claims].concat()).await?;
        Ok(record)
    }

    async fn write(
        &self,
        mut record: MigrationRecord,
        from: Option<Status>,
        change: &Change,
        now: Timestamp,
    ) -> Result<(MigrationRecord, Detail), StageError> {
        let expected = from.map(|status| (record.version, status));
        let at = now.to_string();
        if from != Some(change.to) {
            let stands = record.stands_as() == Some(change.to);
            if let Some(from) = from.filter(|from| !from.is_end() && !stands) {
                record.phase_millis.leave(from, &record.status_since, now);
            }
            record.status_since.clone_from(&at);
        }
        record.held_from = match (change.to.is_held(), from) {
            (true, Some(from)) if !from.is_held() => Some(from),
            (true, _) => record.held_from,
            (false, _) => None,
        };
        record.status = change.to;
        record.version += 1;
        record.event_seq += 1;
        record.updated_at.clone_from(&at);
        if change.to.is_end() {
            // Nothing is waited for any more.
            record.held = None;
        }
        if change.to.is_end() && record.ended_at.is_none() {
            record.ended_at = Some(at.clone());
        }
        let mut claims = self.take(&record, &change.takings)?;
        hold(&mut record, &change.takings);
        if change.to.is_end() && change.to != Status::Frozen {
            claims.extend(self.give_back(&record)?);
            record.claims.clear();
        }
        let detail = detail_of(&record, from, change, at);
        let hash = digest::chain(&record.event_hash, &detail).map_err(internal)?;
        let entry = HistoryEntry {
            seq: record.event_seq,
            event_type: change.event,
            detail: detail.clone(),
            previous_hash: std::mem::replace(&mut record.event_hash, hash.clone()),
            hash,
        };
        let event = Put::builder()
            .table_name(&self.table)
            .set_item(Some(item::history_item(&record, &entry)?))
            .condition_expression("attribute_not_exists(pk)")
            .build()
            .map_err(internal)?;
        let put = self.put_of(&record, expected)?;
        let event = TransactWriteItem::builder().put(event).build();
        self.transact([vec![put, event], claims].concat()).await?;
        Ok((record, detail))
    }

    fn put_of(
        &self,
        record: &MigrationRecord,
        expected: Option<(u64, Status)>,
    ) -> Result<TransactWriteItem, StageError> {
        let put = Put::builder()
            .table_name(&self.table)
            .set_item(Some(item::record_item(record)?));
        let put = match expected {
            None => put.condition_expression("attribute_not_exists(pk)"),
            Some((version, status)) => put
                .condition_expression("#version = :version AND #status = :status")
                .expression_attribute_names("#version", "version")
                .expression_attribute_names("#status", "status")
                .expression_attribute_values(":version", AttributeValue::N(version.to_string()))
                .expression_attribute_values(":status", text(status.as_str())),
        };
        Ok(TransactWriteItem::builder()
            .put(put.build().map_err(internal)?)
            .build())
    }

    async fn transact(&self, items: Vec<TransactWriteItem>) -> Result<(), StageError> {
        match self
            .client
            .transact_write_items()
            .set_transact_items(Some(items))
            .send()
            .await
        {
            Ok(_) => Ok(()),
            Err(error) if is_conflict(&error) => Err(StageError::new(
                ErrorName::Conflict,
                "the migration was changed by somebody else at the same time; the step runs again",
            )),
            Err(error) => Err(stage_error(
                &error,
                ErrorName::InternalError,
                "TransactWriteItems",
            )),
        }
    }

    /// Remembers a refused message under its ID.
    pub async fn put_rejection(
        &self,
        key: &Key,
        rejection: &Rejection,
        now: Timestamp,
    ) -> Result<(), StageError> {
        let id = uuid::Uuid::now_v7();
        self.client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(item::sub_item(
                key,
                &format!("REJECTION#{id}"),
                rejection,
                Some(item::expiry(now)),
            )?))
            .send()
            .await
            .or_stage(ErrorName::InternalError, "PutItem")?;
        Ok(())
    }
}

/// Remembers in a record what it takes.
fn hold(record: &mut MigrationRecord, takings: &[Taking]) {
    for taking in takings {
        let claim = taking.claim.as_str();
        if !record.claims.iter().any(|held| held == claim) {
            record.claims.push(claim.to_owned());
        }
    }
}

/// A first record that goes on from the last entry of an older one.
fn after(last: HistoryEntry, mut record: MigrationRecord) -> MigrationRecord {
    record.attempt = record.attempt.max(last.detail.attempt.saturating_add(1));
    record.event_seq = last.seq;
    record.event_hash = last.hash;
    record
}

/// Whether a transaction failed because of its conditions, or because another one held an item.
fn is_conflict<R>(error: &SdkError<TransactWriteItemsError, R>) -> bool {
    error.as_service_error().is_some_and(|error| match error {
        TransactWriteItemsError::TransactionCanceledException(cancelled) => {
            cancelled.cancellation_reasons().iter().any(|reason| {
                matches!(
                    reason.code(),
                    Some("ConditionalCheckFailed" | "TransactionConflict")
                )
            })
        }
        _ => false,
    })
}
