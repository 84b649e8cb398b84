//! The migration request: one message per server.
//!
//! The wire contract is `schemas/migration-request.schema.json`; these types are what a message that passed it
//! deserializes to. Unknown fields are refused in both places.

pub mod health;
mod retention;
mod rollback;
mod source;
mod window;

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use crate::gate::ApprovalRule;

pub use health::{DnsCheck, HealthCheck, HttpCheck, SsmCheck, Statuses, TcpCheck};
pub use retention::Retention;
pub use rollback::{AfterRollback, RollbackPolicy};
pub use source::{SourceControl, SourceControlKind};
pub use window::Window;

/// Whether a text can be the ID of a migration, or the name of its wave, application or tenant: the schema's `id`.
pub fn is_id(text: &str) -> bool {
    text.len() <= 128
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
}

/// The tenant of a request that names none.
pub const DEFAULT_TENANT: &str = "default";
/// The replication lag, in seconds, above which a server is not ready, unless the request says otherwise.
pub const DEFAULT_MAX_LAG_SECONDS: u32 = 300;
/// The longest soak, in seconds: seven days. The workflow's own time limit counts with it.
pub const MAX_SOAK_SECONDS: u32 = 604_800;

/// Where the server runs today.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names say it")]
pub enum SourcePlatform {
    Azure,
    Vmware,
    Hyperv,
    Gcp,
    Aws,
    Physical,
}

/// The deployment stage of the application that moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Environment {
    Dev,
    Test,
    Staging,
    Prod,
}

/// A phase of the migration; they run in this order, however the request lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// Source snapshot and change freeze.
    Freeze,
    /// Agent installation and replication until ready.
    Replicate,
    /// Test launch and its verification.
    Validate,
    /// Cutover and finalize.
    Switch,
}

/// One server's migration, as submitted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MigrationRequest {
    /// The version of the message format; absent means the present one, `1.0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema_version: Option<String>,
    /// The caller's ID of the migration, unique within the tenant.
    pub migration_id: String,
    /// The application the server belongs to.
    pub app_name: String,
    /// Where the server runs today.
    pub source: SourcePlatform,
    /// Where it goes; `aws` is the one target.
    pub target: String,
    /// The deployment stage.
    pub environment: Environment,
    /// The wave the server moves in.
    pub wave: String,
    /// The phases to run.
    pub steps: Vec<Step>,
    /// Where the outcome is sent, by POST.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub callback_url: Option<String>,
    /// The source's ID of the server; becomes the MGN agent's `--user-provided-id`.
    pub source_vm_id: String,
    /// The host name, full name or address by which MGN knows a server whose agent was installed without
    /// `sourceVmId`; absent means `sourceVmId` itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_host: Option<String>,
    /// The `Name` tag of the target instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_vm_name: Option<String>,
    /// The EC2 instance type of the target; absent leaves MGN's recommendation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_type: Option<String>,
    /// The subnet of the target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subnet_id: Option<String>,
    /// The security groups of the target, all in the subnet's VPC.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub security_group_ids: Vec<String>,
    /// A fixed private address in the subnet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private_ip: Option<String>,
    /// The name of the target's IAM instance profile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_profile: Option<String>,
    /// Tags of the target instance.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// Volumes of the target that are to be of another kind than MGN makes them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disks: Vec<DiskSettings>,
    /// The KMS key (ARN, ID or alias) that encrypts the staging disks, and with them the target's volumes; absent
    /// leaves what MGN has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kms_key_id: Option<String>,
    /// The tenant, for one deployment that serves several.
    #[serde(default = "default_tenant")]
    pub tenant_id: String,
    /// The target account and Region; absent means the deployment's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<Account>,
    /// How to reach and power the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_control: Option<SourceControl>,
    /// How the source gets to MGN; absent means that the agent is installed with the deployment's settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<Agent>,
    /// What must answer on the target before the migration goes on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub health_checks: Vec<HealthCheck>,
    /// The records to point at the target during finalize.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dns: Vec<DnsRecord>,
    /// The configuration item to update during finalize.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cmdb: Option<CmdbItem>,
    /// Limits, gates and exceptions.
    #[serde(default, skip_serializing_if = "Policy::is_empty")]
    pub policy: Policy,
    /// For cost attribution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_center: Option<String>,
    /// Who answers for the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The ARN of the IAM principal who asks for the migration, where a pipeline sends it for them: they may not approve it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested_by: Option<String>,
    /// For governance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_classification: Option<String>,
    /// The caller's own correlation ID; a message attribute of the same name wins over it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
}

/// The account and Region the server moves to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Account {
    /// The 12-digit account ID.
    pub id: String,
    /// The Region, for example `eu-central-1`.
    pub region: String,
    /// The role to assume there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role_arn: Option<String>,
    /// The external ID the role's trust policy asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
}

/// A type of EBS volumes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names say it")]
pub enum VolumeType {
    Gp2,
    Gp3,
    Io1,
    Io2,
    St1,
    Sc1,
    Standard,
}

impl VolumeType {
    /// The name that EC2 knows it by.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gp2 => "gp2",
            Self::Gp3 => "gp3",
            Self::Io1 => "io1",
            Self::Io2 => "io2",
            Self::St1 => "st1",
            Self::Sc1 => "sc1",
            Self::Standard => "standard",
        }
    }
}

/// What volume a disk of the source becomes. Its size is the source's: MGN forbids to change it in the template.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DiskSettings {
    /// The name of the disk on the source, for example `/dev/xvda` or `c:0`.
    pub device_name: String,
    /// The volume's type.
    pub volume_type: VolumeType,
    /// I/O operations per second, for types that are provisioned with them; absent means EC2's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iops: Option<u32>,
    /// MiB/s, for `gp3` alone; absent means EC2's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub throughput: Option<u32>,
}

/// How a source gets to MGN.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AgentKind {
    /// The agent is installed through SSM, unless it is there.
    #[default]
    Install,
    /// Somebody else installs it, with `--user-provided-id` = `sourceVmId`.
    Preinstalled,
    /// MGN's vCenter client ships snapshots: there is no agent.
    Agentless,
}

/// The replication agent. What is about its installation overrides the deployment's own setting.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Agent {
    /// Who brings the source to MGN.
    #[serde(default)]
    pub kind: AgentKind,
    /// The proxy of installer and agent (`https_proxy`), without credentials: SSM would keep and show them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_url: Option<String>,
    /// The hosts that are reached without it, separated by commas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_proxy: Option<String>,
    /// The host name of MGN's interface endpoint (`--endpoint`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mgn_endpoint: Option<String>,
    /// The host name of S3's interface endpoint (`--s3-endpoint`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s3_endpoint: Option<String>,
    /// The disks to replicate, `/dev/sda` or `c:`; absent means all. MGN always adds the root disk.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<String>,
}

/// The type of a DNS record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub enum DnsType {
    A,
    #[serde(rename = "CNAME")]
    Cname,
}

/// A record to point at the target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DnsRecord {
    /// The Route 53 hosted zone.
    pub hosted_zone_id: String,
    /// The fully qualified name.
    pub name: String,
    /// The record type.
    #[serde(rename = "type")]
    pub record_type: DnsType,
    /// The value; absent means the target's private address (A records only).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// The time to live, in seconds.
    #[serde(default = "default_ttl")]
    pub ttl: u32,
}

/// A ServiceNow-style configuration item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CmdbItem {
    /// The table, for example `cmdb_ci_server`.
    pub table: String,
    /// The record's `sys_id`.
    pub sys_id: String,
}

/// Limits, gates and exceptions of one migration.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Policy {
    /// The highest replication lag a launch may start with; [`DEFAULT_MAX_LAG_SECONDS`] when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_lag_seconds: Option<u32>,
    /// The highest age of the last snapshot a launch may start with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_snapshot_age_seconds: Option<u32>,
    /// How many bytes may wait to be replicated when a launch starts; absent leaves it to the lag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_backlog_bytes: Option<u64>,
    /// How long the target runs before finalize, in seconds; [`MAX_SOAK_SECONDS`] at most.
    #[serde(
        default,
        deserialize_with = "soak_within_limit",
        skip_serializing_if = "Option::is_none"
    )]
    pub soak_seconds: Option<u32>,
    /// How old a test may be for a cutover without a new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_max_age_days: Option<u32>,
    /// Gates that ask people, beside those of the deployment.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approvals: Vec<ApprovalRule>,
    /// When the switch may happen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// Allows a cutover that no test of the same settings preceded.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_untested_cutover: bool,
    /// Why; for the history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub untested_cutover_reason: Option<String>,
    /// Allows a change that makes MGN copy every disk again, which another KMS key is.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_resync: bool,
    /// How a rollback is to be done.
    #[serde(default, skip_serializing_if = "RollbackPolicy::is_default")]
    pub rollback: RollbackPolicy,
    /// What becomes of the source once the migration has succeeded; absent leaves it as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<Retention>,
}

impl Policy {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Why a cutover is allowed that no test of the same settings preceded.
    pub fn untested_cutover_reason(&self) -> &str {
        let reason = self.untested_cutover_reason.as_deref();
        // The schema asks for one; a record that was accepted before it did has none.
        reason.unwrap_or("no reason was asked for when the request was accepted")
    }

    /// The lag limit in force.
    pub fn max_lag_seconds(&self) -> u32 {
        self.max_lag_seconds.unwrap_or(DEFAULT_MAX_LAG_SECONDS)
    }
}

impl MigrationRequest {
    /// Whether the request asks for a phase.
    pub fn wants(&self, step: Step) -> bool {
        self.steps.contains(&step)
    }

    /// How the source gets to MGN.
    pub fn agent_kind(&self) -> AgentKind {
        self.agent
            .as_ref()
            .map_or_else(AgentKind::default, |agent| agent.kind)
    }

    /// How the source is controlled, unless that is left to a person.
    pub fn controlled_source(&self) -> Option<&SourceControl> {
        self.source_control
            .as_ref()
            .filter(|control| control.kind != SourceControlKind::None)
    }

    /// The digest that tells a resubmission from a changed request. The correlation ID is no part of it: a
    /// sender that retries may well send a new one.
    pub fn digest(&self) -> Result<String, serde_json::Error> {
        let mut content = self.clone();
        content.correlation_id = None;
        crate::digest::of_json(&content)
    }

    /// The digest of what the request says of a launch; a test counts for a cutover only while this stays the same.
    /// [`crate::launch::EffectiveSettings::digest`] is that of everything a launch would be made with.
    pub fn launch_settings_digest(&self) -> Result<String, serde_json::Error> {
        let mut settings = serde_json::json!({
            "instanceType": self.instance_type,
            "subnetId": self.subnet_id,
            "securityGroupIds": self.security_group_ids,
            "privateIp": self.private_ip,
            "instanceProfile": self.instance_profile,
            "targetVmName": self.target_vm_name,
            "tags": self.tags,
        });
        // Left out where the request is silent: the digests of requests from before these members stay what they were.
        if !self.disks.is_empty() {
            settings["disks"] = serde_json::to_value(&self.disks)?;
        }
        if let Some(key) = &self.kms_key_id {
            settings["kmsKeyId"] = key.as_str().into();
        }
        crate::digest::of_json(&settings)
    }
}

/// The schema refuses a longer soak in a message. A record that was accepted under an earlier schema must stay
/// readable, and its soak still has to fit the execution: it is cut.
fn soak_within_limit<'de, D: Deserializer<'de>>(source: D) -> Result<Option<u32>, D::Error> {
    let seconds = Option::<u32>::deserialize(source)?;
    Ok(seconds.map(|seconds| seconds.min(MAX_SOAK_SECONDS)))
}

fn default_tenant() -> String {
    DEFAULT_TENANT.to_owned()
}
const fn default_ttl() -> u32 {
    60
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_soak_of_an_earlier_schema_is_cut_and_one_within_the_limit_is_not() {
        for (stored, soak) in [
            (json!({"soakSeconds": 2_592_000}), Some(MAX_SOAK_SECONDS)),
            (json!({"soakSeconds": 604_800}), Some(604_800)),
            (json!({"soakSeconds": 60}), Some(60)),
            (json!({}), None),
        ] {
            let policy: Policy = serde_json::from_value(stored.clone()).unwrap();
            assert_eq!(policy.soak_seconds, soak, "{stored}");
        }
    }

    #[test]
    fn a_message_with_a_longer_soak_is_refused() {
        let message = |seconds: u32| {
            let mut message = serde_json::to_value(crate::record::tests::request()).unwrap();
            message["policy"] = json!({ "soakSeconds": seconds });
            crate::schema::parse(&message.to_string())
        };
        assert!(message(MAX_SOAK_SECONDS).is_ok());
        let refused = message(MAX_SOAK_SECONDS + 1).unwrap_err();
        assert_eq!(refused.findings[0].pointer, "/policy/soakSeconds");
    }
}
