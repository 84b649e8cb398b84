//! A source machine as the hypervisor and Systems Manager know it, whether or not MGN has heard of it.

use serde::{Deserialize, Serialize};

use super::place::Place;
use super::server::Disk;
use crate::change::PlannedStall;

/// One machine of the seed file.
#[allow(
    clippy::struct_excessive_bools,
    reason = "a seed's members are independent of one another"
)]
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Machine {
    /// The name by which the source side knows it; `--user-provided-id` of its agent.
    pub source_vm_id: String,
    /// The short name.
    pub hostname: String,
    /// The full name; the short one with `.corp.example.com` when absent.
    #[serde(default)]
    pub fqdn: Option<String>,
    /// Its addresses.
    #[serde(default)]
    pub ips: Vec<String>,
    /// `linux` or `windows`.
    #[serde(default = "linux")]
    pub os: Os,
    /// Its disks; one of 8 GiB when absent.
    #[serde(default = "one_disk")]
    pub disks: Vec<Disk>,
    /// The account that its node is registered in; home when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The Region of the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Its node in Systems Manager.
    #[serde(default)]
    pub ssm_instance_id: Option<String>,
    /// Whether its node answers.
    #[serde(default = "yes")]
    pub ssm_online: bool,
    /// Whether its target instance answers the health check.
    #[serde(default = "yes")]
    pub healthy: bool,
    /// `rawError` of the launch, if it must fail.
    #[serde(default)]
    pub launch_failure: Option<String>,
    /// Which launch fails; both when absent.
    #[serde(default)]
    pub launch_failure_on: Option<LaunchKind>,
    /// Where it fails.
    #[serde(default)]
    pub launch_failure_stage: FailureStage,
    /// Whether its launch never gets EC2's answer, so that its job does not end.
    #[serde(default)]
    pub launch_hangs: bool,
    /// Whether its target's status checks never become ok.
    #[serde(default)]
    pub never_passes_status: bool,
    /// A stall of its replication.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stall: Option<PlannedStall>,
    /// The text with which the installation of the agent fails.
    #[serde(default)]
    pub agent_failure: Option<String>,
    /// Whether the agent is installed from the start.
    #[serde(default)]
    pub agent_installed: bool,
    /// Whether replication has been done from the start, too.
    #[serde(default)]
    pub replicated: bool,
    /// What can switch it on and off.
    #[serde(default)]
    pub power: PowerKind,
    /// Whether VMware Tools run in it.
    #[serde(default = "yes")]
    pub vmware_tools: bool,
    /// Seconds that its initial sync takes.
    #[serde(default = "quarter_of_an_hour")]
    pub replication_seconds: u32,
    /// Tags of its node, and of its MGN record.
    #[serde(default)]
    pub tags: std::collections::BTreeMap<String, String>,
    /// Whether it runs.
    #[serde(default = "yes")]
    pub running: bool,
}

/// The operating system family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Os {
    Linux,
    Windows,
}

impl Os {
    /// As MGN names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Linux => "linux",
            Self::Windows => "windows",
        }
    }

    /// As Systems Manager names it.
    pub fn platform_type(self) -> &'static str {
        match self {
            Self::Linux => "Linux",
            Self::Windows => "Windows",
        }
    }
}

/// A kind of launch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum LaunchKind {
    Test,
    Cutover,
}

/// The stage of a launch that fails.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum FailureStage {
    Snapshot,
    Conversion,
    #[default]
    Launch,
}

/// What can switch a machine on and off.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum PowerKind {
    Azure,
    Vsphere,
    #[default]
    None,
}

impl Machine {
    /// Where its node is registered, and its agent goes.
    pub fn place(&self, home: &Place) -> Place {
        home.with(self.account.as_deref(), self.region.as_deref())
    }

    /// The full name.
    pub fn fqdn(&self) -> String {
        self.fqdn
            .clone()
            .unwrap_or_else(|| format!("{}.corp.example.com", self.hostname))
    }
}

fn linux() -> Os {
    Os::Linux
}

fn one_disk() -> Vec<Disk> {
    vec![Disk {
        device_name: "/dev/xvda".into(),
        bytes: 8 << 30,
    }]
}

fn yes() -> bool {
    true
}

fn quarter_of_an_hour() -> u32 {
    900
}
