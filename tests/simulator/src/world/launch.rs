//! Starting jobs, and what a launch leaves on its server.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::effect::Effect;
use super::job::{Job, Participant, Planned, Purpose, Stage};
use super::machine::{FailureStage, LaunchKind};
use super::server::{Disk, Launched, LifeCycle, Server};
use super::{RECOMMENDED_TYPE, World};

impl World {
    /// Creates a job whose preconditions have been checked, and moves its servers' life cycles.
    pub fn start_job(
        &mut self,
        purpose: Purpose,
        server_ids: &[String],
        tags: BTreeMap<String, String>,
    ) -> String {
        let now = self.now;
        let participants = server_ids
            .iter()
            .filter_map(|id| self.here.servers.get(id))
            .map(|server| {
                let previous = server.launched.as_ref().map(|l| l.instance_id.clone());
                Participant::new(
                    server.id.clone(),
                    now,
                    previous,
                    self.planned(purpose, server),
                )
            })
            .collect();
        let job = Job::new(purpose, now, tags, participants);
        let job_id = job.id.clone();
        self.here.jobs.push(job);
        for id in server_ids {
            let Some(server) = self.here.servers.get_mut(id) else {
                continue;
            };
            let (state, marks) = match purpose {
                Purpose::Test => (LifeCycle::Testing, &mut server.last_test),
                Purpose::Cutover => (LifeCycle::CuttingOver, &mut server.last_cutover),
                Purpose::Terminate => continue,
            };
            server.life_cycle = state;
            marks.initiated = Some((now, job_id.clone()));
            marks.reverted = None;
        }
        job_id
    }

    fn planned(&self, purpose: Purpose, server: &Server) -> Option<Planned> {
        let machine = self.machine_of(server)?;
        let hit = match (purpose, machine.launch_failure_on) {
            (Purpose::Terminate, _) => false,
            (_, None) => true,
            (Purpose::Test, Some(on)) => on == LaunchKind::Test,
            (Purpose::Cutover, Some(on)) => on == LaunchKind::Cutover,
        };
        let raw_error = machine.launch_failure.clone().filter(|_| hit)?;
        let stage = match machine.launch_failure_stage {
            FailureStage::Snapshot => Stage::Snapshot,
            FailureStage::Conversion => Stage::Conversion,
            FailureStage::Launch => Stage::Launching,
        };
        Some(Planned { stage, raw_error })
    }

    pub(super) fn queue_launch(&mut self, job_id: &str, server_id: &str) {
        let Some(server) = self.here.servers.get(server_id) else {
            return;
        };
        if self.machine_of(server).is_some_and(|it| it.launch_hangs) {
            return;
        }
        let mut tags: Vec<(String, String)> = vec![
            (
                "AWSApplicationMigrationServiceManaged".into(),
                "mgn.amazonaws.com".into(),
            ),
            (
                "AWSApplicationMigrationServiceSourceServerID".into(),
                server_id.to_owned(),
            ),
            ("Name".into(), server.hostname.clone()),
            ("mgn.amazonaws.com-job".into(), job_id.to_owned()),
            (
                "mgn.amazonaws.com-source-server".into(),
                server_id.to_owned(),
            ),
        ];
        if server.launch_configuration["copyTags"] == true {
            let own: Vec<_> = server
                .tags
                .iter()
                .filter(|(k, _)| *k != "Name")
                .map(|(k, v)| (k.clone(), v.clone()))
                .collect();
            tags.extend(own);
        }
        self.ask_for(Effect::Launch {
            job_id: job_id.to_owned(),
            server_id: server_id.to_owned(),
            template_id: server.template_id.clone(),
            instance_type: (server.launch_configuration["targetInstanceTypeRightSizingMethod"]
                == "BASIC")
                .then(|| RECOMMENDED_TYPE.to_owned()),
            tags,
            stopped: server.launch_configuration["launchDisposition"] == "STOPPED",
        });
    }

    pub(super) fn launched(
        &mut self,
        job_id: &str,
        server_id: &str,
        instance_id: String,
        at: Timestamp,
    ) {
        if let Some(server) = self.here.servers.get_mut(server_id) {
            let started = server.launch_configuration["launchDisposition"] != "STOPPED";
            server.launched = Some(Launched {
                instance_id,
                job_id: job_id.to_owned(),
                at,
                started,
            });
        }
    }
}

/// The launch configuration of a new server (captured), with what the template says laid over it.
pub fn default_configuration(server_id: &str, template: Option<&Value>) -> Value {
    let mut configuration = json!({
        "bootMode": "LEGACY_BIOS", "copyPrivateIp": false, "copyTags": false, "launchDisposition": "STARTED",
        "licensing": {"osByol": true}, "name": format!("Launch Configuration for Source Server {server_id}"),
        "targetInstanceTypeRightSizingMethod": "BASIC", "sourceServerID": server_id,
    });
    let inherited = [
        "bootMode",
        "copyPrivateIp",
        "copyTags",
        "launchDisposition",
        "licensing",
        "postLaunchActions",
        "targetInstanceTypeRightSizingMethod",
        "enableMapAutoTagging",
        "mapAutoTaggingMpeID",
    ];
    overlay(&mut configuration, template, &inherited);
    configuration
}

/// The replication configuration of a new server, from the template.
pub fn default_replication(server_id: &str, disks: &[Disk], template: Option<&Value>) -> Value {
    let disks: Vec<_> = disks
        .iter()
        .enumerate()
        .map(|(i, d)| json!({"deviceName": d.device_name, "isBootDisk": i == 0, "stagingDiskType": "AUTO", "iops": 0, "throughput": 0}))
        .collect();
    let mut configuration = json!({
        "sourceServerID": server_id, "name": format!("Replication Configuration for Source Server {server_id}"),
        "associateDefaultSecurityGroup": true, "bandwidthThrottling": 0, "createPublicIP": false,
        "dataPlaneRouting": "PRIVATE_IP", "defaultLargeStagingDiskType": "GP3", "ebsEncryption": "DEFAULT",
        "replicationServerInstanceType": "t3.small", "replicationServersSecurityGroupsIDs": [],
        "stagingAreaTags": {}, "useDedicatedReplicationServer": false, "useFipsEndpoint": false,
        "replicatedDisks": disks,
    });
    let inherited = [
        "stagingAreaSubnetId",
        "associateDefaultSecurityGroup",
        "replicationServersSecurityGroupsIDs",
        "replicationServerInstanceType",
        "useDedicatedReplicationServer",
        "defaultLargeStagingDiskType",
        "ebsEncryption",
        "ebsEncryptionKeyArn",
        "bandwidthThrottling",
        "dataPlaneRouting",
        "createPublicIP",
        "stagingAreaTags",
        "useFipsEndpoint",
        "internetProtocol",
        "storeSnapshotOnLocalZone",
    ];
    overlay(&mut configuration, template, &inherited);
    configuration
}

fn overlay(configuration: &mut Value, template: Option<&Value>, members: &[&str]) {
    for member in members {
        if let Some(value) = template.and_then(|t| t.get(member)) {
            configuration[*member] = value.clone();
        }
    }
}
