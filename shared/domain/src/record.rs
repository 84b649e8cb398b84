//! The record of one migration: what the state manager stores, and what a rollback later undoes.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::control::{Control, Purpose};
use crate::error::StageError;
use crate::finalize::{Note, State};
use crate::finding::Finding;
use crate::gate::GateRecord;
use crate::health::{Baseline, Health};
use crate::outage::Phases;
use crate::replication::stall::Stall;
use crate::request::{MigrationRequest, Step};
use crate::rollback;
use crate::soak::Soak;
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

    /// Where the work stands, whatever is waited for: the status, or while a gate holds it the one before.
    pub fn stage(&self) -> Status {
        self.held_from.unwrap_or(self.status)
    }
}

/// What was done to the world. Each member is written when its effect is known, and read by the rollback.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Done {
    /// The source snapshot (`freeze`): its name from before it is asked for, its ID once it is taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<String>,
    /// The SSM command that installs the agent, while and after it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_command: Option<AgentCommand>,
    /// The CMF server record and the status it had before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cmf: Option<PreviousStatus>,
    /// The CMF wave that began with this server, and the status it had before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cmf_wave: Option<PreviousStatus>,
    /// What went wrong beside the migration and did not stop it: records of others that were not found or not changed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Finding>,
    /// MGN's right-sizing method before it was switched off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub right_sizing: Option<String>,
    /// Whether MGN gave targets the source's address before that was switched off.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub copied_private_ip: bool,
    /// The EC2 launch template version that was made the default, and the one before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub launch_template: Option<LaunchTemplateChange>,
    /// [`crate::launch::EffectiveSettings::digest`] of what this attempt launches with, read back after it was set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settings_digest: Option<String>,
    /// The key that the server replicates with since this attempt, and the one before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encryption_key: Option<EncryptionKeyChange>,
    /// The test launch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test: Option<Launch>,
    /// Whether an untested server was moved from `READY_FOR_TEST` to `READY_FOR_CUTOVER` in MGN, noted before it is.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub moved_to_cutover: bool,
    /// The cutover launch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cutover: Option<Launch>,
    /// How the health checks of the latest launch stand, with what they saw.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
    /// What was looked at just before the cutover.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub baseline: Option<Baseline>,
    /// How the soak stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub soak: Option<Soak>,
    /// The steps of finalize, each from before it is taken.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub finalize: Vec<Note>,
    /// DNS records changed, each with what was there before.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dns: Vec<DnsChange>,
    /// The configuration item's fields before the change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cmdb_previous: Option<Value>,
    /// When the source was powered off by us.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_powered_off_at: Option<String>,
    /// When MGN accepted `FinalizeCutover`: the point of no return.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finalized_at: Option<String>,
    /// The end of the source on its platform, from before it is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decommission: Option<Decommission>,
    /// When MGN accepted `MarkAsArchived`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub archived_at: Option<String>,
}

impl Done {
    /// The launch of an action.
    pub fn launch(&self, action: LaunchAction) -> Option<&Launch> {
        match action {
            LaunchAction::Test => self.test.as_ref(),
            LaunchAction::Cutover => self.cutover.as_ref(),
        }
    }

    /// The launch of an action, to be changed.
    pub fn launch_mut(&mut self, action: LaunchAction) -> &mut Option<Launch> {
        match action {
            LaunchAction::Test => &mut self.test,
            LaunchAction::Cutover => &mut self.cutover,
        }
    }
}

/// An SSM command.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentCommand {
    /// The SSM command ID.
    pub command_id: String,
    /// The managed instance it runs on.
    pub instance_id: String,
}

/// A foreign record whose status was changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PreviousStatus {
    /// The record's ID.
    pub id: String,
    /// The status before.
    pub previous: String,
}

/// A launch template whose default version was changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LaunchTemplateChange {
    /// The EC2 launch template.
    pub template_id: String,
    /// The default version before.
    pub previous_version: i64,
    /// The version made for this migration.
    pub version: i64,
}

/// A replication that was given another KMS key. No rollback gives the old one back: MGN would copy everything again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EncryptionKeyChange {
    /// The ARN of the key before; absent for the account's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<String>,
    /// The ARN of the key.
    pub key: String,
    /// When it was last asked for: what was replicated before counts for nothing.
    pub changed_at: String,
}

/// One launch by MGN.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Launch {
    /// The MGN job.
    pub job_id: String,
    /// The digest of the settings it was launched with.
    pub settings_digest: String,
    /// When MGN accepted it.
    pub started_at: String,
    /// The instance, once the job made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<String>,
    /// When its checks had passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified_at: Option<String>,
}

/// A test that passed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TestEvidence {
    /// The digest of the settings that were tested, as the request says them.
    pub settings_digest: String,
    /// [`Done::settings_digest`] of the test; absent in evidence from before it was recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective_digest: Option<String>,
    /// When the test was verified.
    pub verified_at: String,
    /// The MGN job of the test.
    pub job_id: String,
}

/// One DNS record that was changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DnsChange {
    /// The hosted zone.
    pub hosted_zone_id: String,
    /// The record's name.
    pub name: String,
    /// The record's type.
    pub record_type: String,
    /// What was there before: `{ttl, values}`; absent where there was no record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<DnsValue>,
    /// What we put there.
    pub value: DnsValue,
}

/// The value of a DNS record set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DnsValue {
    /// The time to live in seconds.
    pub ttl: i64,
    /// The values.
    pub values: Vec<String>,
}

/// The deletion of a source from its platform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Decommission {
    /// Whether it has begun or is done.
    pub state: State,
    /// Since when.
    pub at: String,
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
