//! What a write says of itself, and what the history keeps of it.

use landfall_domain::event::{Detail, SCHEMA_VERSION};
use landfall_domain::{EventType, Finding, MigrationRecord, Status, digest};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::claim::Taking;

/// What a transition says of itself, beside the record.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The status after; the same as before for an event that changes none.
    pub to: Status,
    /// What happened.
    pub event: EventType,
    /// A stable code saying why.
    pub reason_code: Option<String>,
    /// The MGN job it is about.
    pub job_id: Option<String>,
    /// What was seen.
    pub evidence: Option<Value>,
    /// What the migration takes for itself until it ends.
    pub takings: Vec<Taking>,
}

impl Change {
    /// A change to a status by an event.
    pub fn to(to: Status, event: EventType) -> Self {
        Self {
            to,
            event,
            reason_code: None,
            job_id: None,
            evidence: None,
            takings: Vec::new(),
        }
    }

    /// Adds the reason.
    #[must_use]
    pub fn reason(mut self, code: impl Into<String>) -> Self {
        self.reason_code = Some(code.into());
        self
    }

    /// Adds the job.
    #[must_use]
    pub fn job(mut self, job_id: impl Into<String>) -> Self {
        self.job_id = Some(job_id.into());
        self
    }

    /// Adds evidence.
    #[must_use]
    pub fn evidence(mut self, evidence: Value) -> Self {
        self.evidence = Some(evidence);
        self
    }

    /// Takes claims.
    #[must_use]
    pub fn taking(mut self, takings: Vec<Taking>) -> Self {
        self.takings = takings;
        self
    }
}

/// One entry of the history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HistoryEntry {
    /// Counts from 1 over all attempts.
    pub seq: u32,
    /// What happened.
    pub event_type: EventType,
    /// The event as published.
    pub detail: Detail,
    /// The hash of the entry before; empty for the first.
    pub previous_hash: String,
    /// [`digest::chain`] of `previous_hash` and `detail`.
    pub hash: String,
}

/// A message that was refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rejection {
    /// The stable reason, for example `SCHEMA_INVALID`.
    pub reason: String,
    /// Everything that was wrong.
    pub findings: Vec<Finding>,
    /// The message's correlation ID.
    pub correlation_id: String,
    /// When it was refused.
    pub rejected_at: String,
}

/// The event of a change, from the record as it is after it.
pub(super) fn detail_of(
    record: &MigrationRecord,
    from: Option<Status>,
    change: &Change,
    at: String,
) -> Detail {
    Detail {
        schema_version: SCHEMA_VERSION.to_owned(),
        tenant_id: record.tenant_id.clone(),
        migration_id: record.migration_id.clone(),
        correlation_id: record.correlation_id.clone(),
        app_name: record.request.app_name.clone(),
        wave: record.request.wave.clone(),
        from,
        to: change.to,
        attempt: record.attempt,
        source_server_id: record.source_server_id.clone(),
        job_id: change.job_id.clone(),
        reason_code: change.reason_code.clone(),
        evidence: change.evidence.clone(),
        occurred_at: at,
    }
}

/// Verifies the chain of a history: the sequence numbers and every hash.
///
/// # Errors
/// The sequence number of the first entry that does not fit.
pub fn verify_history(entries: &[HistoryEntry]) -> Result<(), u32> {
    let mut previous = String::new();
    for (index, entry) in entries.iter().enumerate() {
        let hash = digest::chain(&previous, &entry.detail);
        let in_order = u32::try_from(index + 1).is_ok_and(|seq| seq == entry.seq);
        if !in_order || entry.previous_hash != previous || hash.ok().as_ref() != Some(&entry.hash) {
            return Err(entry.seq);
        }
        previous.clone_from(&entry.hash);
    }
    Ok(())
}
