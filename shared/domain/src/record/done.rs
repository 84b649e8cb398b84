//! What a migration has done to the world, in enough detail to undo it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::LaunchAction;
use crate::finalize::{Note, State};
use crate::finding::Finding;
use crate::health::{Baseline, Health};
use crate::soak::Soak;

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
    /// Since when MGN is asked to archive the server, from before it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub archiving_at: Option<String>,
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
