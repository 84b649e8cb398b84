//! MGN's shapes, cut down to what Landfall reads.

use landfall_domain::agent::Standing;
use landfall_domain::replication::Replication;

/// A source server.
#[derive(Clone, Debug, PartialEq)]
pub struct Server {
    /// `s-` and 17 hexadecimal digits.
    pub id: String,
    /// The agent's `--user-provided-id`.
    pub user_provided_id: Option<String>,
    /// What vSphere calls the machine (its UUID), where MGN replicates it without an agent.
    pub vmware_uuid: Option<String>,
    /// The host name the agent reported.
    pub hostname: Option<String>,
    /// The fully qualified name the agent reported.
    pub fqdn: Option<String>,
    /// Every address of every network interface.
    pub ips: Vec<String>,
    /// Archived servers stay in answers.
    pub archived: bool,
    /// `lifeCycle.state` as MGN names it.
    pub lifecycle: String,
    /// How its replication stands.
    pub replication: Replication,
    /// What runs for it; may still be the instance of an earlier job.
    pub launched: Option<LaunchedInstance>,
}

impl Server {
    /// Whether it is the server that a request calls by this ID: the agent was given it, or, for want of an agent, it
    /// is the machine's UUID in vSphere.
    pub fn is_known_by(&self, source_vm_id: &str) -> bool {
        self.user_provided_id.as_deref() == Some(source_vm_id)
            || self
                .vmware_uuid
                .as_deref()
                .is_some_and(|uuid| uuid.eq_ignore_ascii_case(source_vm_id))
    }

    /// Whether MGN has no launchable snapshot of it now and may have one later: until then it refuses to change the
    /// lifecycle (API model: `lagDuration` is null).
    pub fn has_no_lag_yet(&self) -> bool {
        self.replication.lag_duration.is_none() && self.replication.state != "DISCONNECTED"
    }

    /// How far it is on its way into MGN.
    pub fn standing(&self) -> Standing {
        Standing::of(&self.lifecycle, &self.replication.state)
    }
}

/// An instance that MGN launched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaunchedInstance {
    /// The EC2 instance.
    pub instance_id: String,
    /// The job that launched it.
    pub job_id: String,
    /// `firstBoot`: WAITING until the launched system has reported, then SUCCEEDED; STOPPED, UNKNOWN.
    pub first_boot: Option<String>,
}

/// A job. There is no failed job: success is per server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// `mgnjob-` and 17 hexadecimal digits.
    pub id: String,
    /// Whether it is COMPLETED.
    pub completed: bool,
    /// `endDateTime`, as sent.
    pub ended_at: Option<String>,
    /// The servers that take part.
    pub participants: Vec<Participant>,
    /// The intent that started it, from its tag.
    pub intent_id: Option<String>,
}

/// A server's part in a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Participant {
    /// The source server.
    pub server_id: String,
    /// How far it is.
    pub status: LaunchStatus,
    /// The instance, once there is one.
    pub instance_id: Option<String>,
    /// What MGN ran on it after the launch, and how that went.
    pub actions: Vec<PostLaunchAction>,
}

/// A post-launch action of a launched server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostLaunchAction {
    /// Its name, or that of its SSM document.
    pub name: String,
    /// `IN_PROGRESS`, `SUCCESS` or `FAILED`.
    pub status: String,
    /// Why it failed, in MGN's words.
    pub failure: Option<String>,
    /// Whether its failure counts as the launch's, as the action was configured.
    pub must_succeed: bool,
}

/// `launchStatus`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LaunchStatus {
    /// PENDING or IN_PROGRESS.
    Running,
    /// The instance exists.
    Launched,
    /// There is none; the job's log says why.
    Failed,
    /// It was terminated.
    Terminated,
    /// A value this build does not know; never taken for success.
    Unknown(String),
}

/// A line of a job's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobLogLine {
    /// The event, for example `LAUNCH_FAILED`.
    pub event: String,
    /// The server it is about; job-level lines have none.
    pub server_id: Option<String>,
    /// MGN's own text of an error.
    pub raw_error: Option<String>,
}

/// What MGN launches a server with, as far as we read it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LaunchConfiguration {
    /// The EC2 launch template.
    pub template_id: Option<String>,
    /// The right-sizing method: `NONE`, `BASIC` or `IN_AWS`.
    pub right_sizing: Option<String>,
    /// Whether it gives the target the source's private address.
    pub copy_private_ip: bool,
}

/// What MGN replicates a server with, as far as we read it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplicationConfiguration {
    /// The ARN of the KMS key of the staging disks; absent is the account's default for EBS.
    pub encryption_key: Option<String>,
    /// The disks that are replicated.
    pub disks: Vec<ReplicatedDisk>,
}

/// A disk that is replicated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicatedDisk {
    /// Its name on the source.
    pub device_name: String,
    /// Whether the source boots from it.
    pub boot: bool,
}
