//! The record of one migration: what the state manager stores, and what a rollback later undoes.

mod done;

use serde::{Deserialize, Serialize};

pub use done::{
    AgentCommand, Decommission, DnsChange, DnsValue, Done, EncryptionKeyChange, Launch,
    LaunchTemplateChange, PreviousStatus, TestEvidence,
};

use crate::control::{Control, Purpose};
use crate::error::StageError;
use crate::finding::Finding;
use crate::gate::GateRecord;
use crate::outage::Phases;
use crate::replication::stall::Stall;
use crate::request::{MigrationRequest, Step};
use crate::rollback;
use crate::status::Status;

/// Which launch of a server is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum LaunchAction {
    /// MGN `StartTest`.
    Test,
    /// MGN `StartCutover`.
    Cutover,
}

impl LaunchAction {
    /// `TEST` or `CUTOVER`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Test => "TEST",
            Self::Cutover => "CUTOVER",
        }
    }
}

/// One migration. Timestamps are RFC 3339 in UTC.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MigrationRecord {
    /// The tenant.
    pub tenant_id: String,
    /// The caller's ID.
    pub migration_id: String,
    /// 1 for the first submission, one more for each resubmission after an end.
    pub attempt: u32,
    /// Grows by one with every write; every write is conditional on it.
    pub version: u64,
    /// Where the migration stands.
    pub status: Status,
    /// The status that is returned to when a gate is passed: set while the migration is `AWAITING_APPROVAL` or
    /// `AWAITING_WINDOW`, and then what [`MigrationRecord::stage`] answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_from: Option<Status>,
    /// What this attempt is for.
    #[serde(default, skip_serializing_if = "Purpose::is_migrate")]
    pub purpose: Purpose,
    /// Whether the test of an earlier attempt stands for the one that the request asks for: a retry makes no second one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub test_kept: bool,
    /// How the attempt had ended that this one is to undo: it stands so again where people refuse that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undoes: Option<Box<Ended>>,
    /// What operators have ordered.
    #[serde(default, skip_serializing_if = "Control::is_empty")]
    pub control: Control,
    /// The gates that this attempt has come to, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<GateRecord>,
    /// One ID through logs, events, MGN job tags and callbacks.
    pub correlation_id: String,
    /// Who sent the message, by the unique ID of the IAM principal that SQS saw (`SenderId`): nobody may approve their
    /// own migration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sender_id: Option<String>,
    /// The request as accepted.
    pub request: MigrationRequest,
    /// [`MigrationRequest::digest`] of it.
    pub request_digest: String,
    /// The workflow execution that claimed this attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution_arn: Option<String>,
    /// What the migration has for itself until it ends: keys of items in the state table.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub claims: Vec<String>,
    /// The sequence number of the last history entry.
    pub event_seq: u32,
    /// The hash of the last history entry.
    pub event_hash: String,
    /// When this attempt was accepted.
    pub created_at: String,
    /// When the record last changed.
    pub updated_at: String,
    /// When the status was entered.
    pub status_since: String,
    /// How long this attempt was in each status that it has left.
    #[serde(default, skip_serializing_if = "Phases::is_empty")]
    pub phase_millis: Phases,
    /// When the migration ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
    /// The MGN source server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_server_id: Option<String>,
    /// What was done to the world, in enough detail to undo it.
    #[serde(default)]
    pub done: Done,
    /// The last verified test, kept over attempts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_evidence: Option<TestEvidence>,
    /// How replication stood when it was last looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// What a launch waits for, with the numbers as they were when it began to; absent once it has started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<Finding>,
    /// Why the migration failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// How far its rollback is, once that has begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback: Option<rollback::Progress>,
    /// What a person must do who goes on where the rollback could not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hand_over: Option<rollback::HandOver>,
    /// What became of the callback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub callback: Option<CallbackDelivery>,
}

impl MigrationRecord {
    /// The first record of an attempt that starts at a time, with nothing done.
    pub fn new(
        request: MigrationRequest,
        request_digest: String,
        correlation_id: impl Into<String>,
        attempt: u32,
        at: impl Into<String>,
    ) -> Self {
        let at = at.into();
        Self {
            tenant_id: request.tenant_id.clone(),
            migration_id: request.migration_id.clone(),
            attempt,
            version: 0,
            status: Status::Requested,
            held_from: None,
            purpose: Purpose::default(),
            test_kept: false,
            undoes: None,
            control: Control::default(),
            gates: Vec::new(),
            correlation_id: correlation_id.into(),
            sender_id: None,
            request,
            request_digest,
            execution_arn: None,
            claims: Vec::new(),
            event_seq: 0,
            event_hash: String::new(),
            created_at: at.clone(),
            updated_at: at.clone(),
            status_since: at,
            phase_millis: Phases::default(),
            ended_at: None,
            source_server_id: None,
            done: Done::default(),
            test_evidence: None,
            progress: None,
            held: None,
            failure: None,
            rollback: None,
            hand_over: None,
            callback: None,
        }
    }

    /// Whether this attempt goes through a phase.
    pub fn wants(&self, step: Step) -> bool {
        self.request.wants(step) && !(step == Step::Validate && self.test_kept)
    }

    /// The status that this attempt may end with because the one that it was to undo had ended so.
    pub fn stands_as(&self) -> Option<Status> {
        let before = self
            .undoes
            .as_ref()
            .filter(|_| self.purpose == Purpose::Rollback);
        before.map(|before| before.status)
    }

    /// Whether its rollback has begun to undo anything.
    pub fn is_being_undone(&self) -> bool {
        let begun = |progress: &rollback::Progress| !progress.started_at.is_empty();
        self.rollback.as_ref().is_some_and(begun)
    }

    /// Where the work stands, whatever is waited for: the status, or while a gate holds it the one before.
    pub fn stage(&self) -> Status {
        self.held_from.unwrap_or(self.status)
    }
}

/// How an attempt had ended, as far as the next one does not go on with it anyway.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ended {
    /// With which status.
    pub status: Status,
    /// Why it had failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// How far its rollback had come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback: Option<rollback::Progress>,
    /// How long it was in each status.
    #[serde(default, skip_serializing_if = "Phases::is_empty")]
    pub phase_millis: Phases,
}

impl Ended {
    /// Of an attempt.
    pub fn of(record: &MigrationRecord) -> Self {
        Self {
            status: record.status,
            failure: record.failure.clone(),
            rollback: record.rollback.clone(),
            phase_millis: record.phase_millis.clone(),
        }
    }
}

/// How replication stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// MGN's `dataReplicationState`.
    pub state: String,
    /// 0 to 100; absent while MGN reports no sizes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<u8>,
    /// The replication lag in seconds; absent before the first snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag_seconds: Option<u64>,
    /// MGN's estimate of the end of the initial sync.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eta: Option<String>,
    /// Bytes that wait to be replicated, where there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backlog_bytes: Option<i64>,
    /// When it was looked at.
    pub observed_at: String,
    /// The stall that lasts, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stall: Option<Stall>,
}

/// Why a migration failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// The error name of the stage, for example `VerificationError`.
    pub error: String,
    /// What a person should read.
    pub message: String,
    /// The workflow state that failed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub state: String,
    /// Everything that was wrong.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
}

impl Failure {
    /// A stage's error; the workflow adds the state's name.
    pub fn of(error: &StageError) -> Self {
        Self {
            error: error.name.to_string(),
            message: error.message.clone(),
            state: String::new(),
            findings: error.findings.clone(),
        }
    }

    /// Whether it is this error, whatever its findings measured.
    pub fn is(&self, error: &StageError) -> bool {
        self.error == error.name.as_str() && self.message == error.message
    }
}

/// What became of the callback.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CallbackDelivery {
    /// The webhook ID, the same for every try.
    pub id: String,
    /// Whether the receiver took it.
    pub delivered: bool,
    /// The receiver's status, or why there was none.
    pub outcome: String,
    /// When it was last tried.
    pub at: String,
    /// How often the workflow has tried so far.
    #[serde(default)]
    pub tries: u32,
    /// When it will be tried again; absent once it is delivered or given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_try_at: Option<String>,
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A request with every phase and nothing optional, for the tests of this crate.
    pub(crate) fn request() -> MigrationRequest {
        serde_json::from_value(serde_json::json!({
            "migrationId": "mig-1", "appName": "app", "source": "azure", "target": "aws",
            "environment": "prod", "wave": "wave-1", "sourceVmId": "vm-1",
            "steps": ["freeze", "replicate", "validate", "switch"]
        }))
        .unwrap()
    }

    /// A fresh record of [`request`].
    pub(crate) fn record() -> MigrationRecord {
        let digest = request().digest().unwrap();
        MigrationRecord {
            version: 1,
            event_seq: 1,
            ..MigrationRecord::new(request(), digest, "mig-c", 1, "2026-01-01T00:00:00Z")
        }
    }

    #[test]
    fn a_record_from_before_a_member_was_there_is_read_and_the_member_keeps_its_name() {
        let mut done: Done = serde_json::from_value(serde_json::json!({})).unwrap();
        assert!(!done.moved_to_cutover);
        assert_eq!(serde_json::to_value(&done).unwrap(), serde_json::json!({}));
        done.moved_to_cutover = true;
        done.copied_private_ip = true;
        let stored = serde_json::to_value(&done).unwrap();
        let members = serde_json::json!({"movedToCutover": true, "copiedPrivateIp": true});
        assert_eq!(stored, members);
        let evidence = serde_json::json!({"settingsDigest": "d", "verifiedAt": "t", "jobId": "j"});
        let read: TestEvidence = serde_json::from_value(evidence.clone()).unwrap();
        assert_eq!(read.effective_digest, None);
        assert_eq!(serde_json::to_value(&read).unwrap(), evidence);
    }

    #[test]
    fn a_record_round_trips() {
        let record = record();
        let again: MigrationRecord =
            serde_json::from_value(serde_json::to_value(&record).unwrap()).unwrap();
        assert_eq!(again, record);
    }
}
