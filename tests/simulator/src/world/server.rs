//! A source server as MGN knows it: identity, life cycle, markers, launched instance.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::replication::Replication;

/// `lifeCycle.state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs)]
pub enum LifeCycle {
    PendingInstallation,
    Stopped,
    NotReady,
    ReadyForTest,
    Testing,
    ReadyForCutover,
    CuttingOver,
    Cutover,
    Disconnected,
}

impl LifeCycle {
    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::PendingInstallation => "PENDING_INSTALLATION",
            Self::Stopped => "STOPPED",
            Self::NotReady => "NOT_READY",
            Self::ReadyForTest => "READY_FOR_TEST",
            Self::Testing => "TESTING",
            Self::ReadyForCutover => "READY_FOR_CUTOVER",
            Self::CuttingOver => "CUTTING_OVER",
            Self::Cutover => "CUTOVER",
            Self::Disconnected => "DISCONNECTED",
        }
    }
}

/// A disk of the source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Disk {
    /// `/dev/xvda`, `c:0`.
    pub device_name: String,
    /// Its size.
    pub bytes: i64,
}

/// `lastTest` or `lastCutover`.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Marks {
    /// When a launch was asked for, and the job.
    pub initiated: Option<(Timestamp, String)>,
    /// When it was taken back.
    pub reverted: Option<Timestamp>,
    /// When it was finalized.
    pub finalized: Option<Timestamp>,
}

/// The instance that the last launch made.
#[derive(Debug, Clone, Serialize)]
pub struct Launched {
    /// Its identifier in EC2.
    pub instance_id: String,
    /// The job that made it.
    pub job_id: String,
    /// When the job had it.
    pub at: Timestamp,
    /// Whether the launch disposition started it.
    pub started: bool,
}

/// One source server.
#[derive(Debug, Clone, Serialize)]
pub struct Server {
    /// `s-…`.
    pub id: String,
    /// `--user-provided-id` of the installer.
    pub user_provided_id: Option<String>,
    /// Where actions reach it.
    pub fqdn_for_action_framework: Option<String>,
    /// The short name.
    pub hostname: String,
    /// The full name.
    pub fqdn: String,
    /// Its addresses.
    pub ips: Vec<String>,
    /// `linux` or `windows`.
    pub os: String,
    /// The disks that replicate.
    pub disks: Vec<Disk>,
    /// Set by `MarkAsArchived`.
    pub archived: bool,
    /// `AGENT_BASED` or `SNAPSHOT_SHIPPING`.
    pub replication_type: String,
    /// Where it is in its life.
    pub life_cycle: LifeCycle,
    /// Its data.
    pub replication: Replication,
    /// When the service first saw it.
    pub added: Timestamp,
    /// When replication ended, for `elapsedReplicationDuration`.
    pub ended: Option<Timestamp>,
    /// The last test.
    pub last_test: Marks,
    /// The last cutover.
    pub last_cutover: Marks,
    /// The launched instance, if one is alive.
    pub launched: Option<Launched>,
    /// The instance that was shown before the launch, while the new one is not shown yet.
    pub shown_before: Option<Launched>,
    /// The application it belongs to.
    pub application_id: Option<String>,
    /// The connector action, as given.
    pub connector_action: Option<Value>,
    /// Tags.
    pub tags: BTreeMap<String, String>,
    /// The EC2 launch template, once made.
    pub template_id: Option<String>,
    /// Launch configuration members, as MGN shows them.
    pub launch_configuration: Value,
    /// Replication configuration members.
    pub replication_configuration: Value,
    /// Post-launch actions by identifier.
    pub actions: BTreeMap<String, Value>,
    /// Whether `READY_FOR_TEST` has been announced.
    pub announced: bool,
}

impl Server {
    /// Whether the agent talks to the service.
    pub fn connected(&self) -> bool {
        self.life_cycle != LifeCycle::PendingInstallation
            && self.replication.state != super::replication::State::Disconnected
    }

    /// Bytes over all disks.
    pub fn total_bytes(&self) -> i64 {
        self.disks.iter().map(|d| d.bytes).sum()
    }
}
