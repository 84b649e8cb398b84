//! AWS as far as `prepare-source` sees it, in memory, with one call that can be made to fail.

mod aws;
mod outside;
#[path = "../../../../../shared/launch/tests/support/mod.rs"]
mod template;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_ec2::types::{
    LaunchTemplateBlockDeviceMapping, LaunchTemplateEbsBlockDevice, LaunchTemplateVersion,
    RequestLaunchTemplateData, ResponseLaunchTemplateData, SnapshotState, VolumeType,
};
use aws_sdk_mgn::types::SourceServer;
use aws_sdk_ssm::types::{CommandInvocation, InstanceInformation};
use landfall_common::Invocation;
use landfall_domain::cmf::Weight;
use landfall_domain::{MigrationRecord, StageError, Status};
use landfall_external::cmf::Access;
use prepare_source::Deps;
use serde_json::{Value, json};

pub(crate) type Item = HashMap<String, AttributeValue>;

pub(crate) const EXECUTION: &str =
    "arn:aws:states:eu-central-1:123456789012:execution:landfall-migration:mig-12345-1";

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Denied: nothing is done.
    Refused,
    /// The service is down: nothing is done.
    Unavailable,
    /// It is done, and the answer is lost.
    Lost,
}

impl Fault {
    pub(crate) const ALL: [Self; 3] = [Self::Refused, Self::Unavailable, Self::Lost];
}

/// A command as it was sent.
pub(crate) struct Sent {
    pub(crate) document: String,
    pub(crate) script: String,
}

/// What there is, and what was done.
pub(crate) struct World {
    pub(crate) record: Item,
    /// Other items of the table, by partition key.
    pub(crate) claims: HashMap<String, Item>,
    pub(crate) servers: Vec<SourceServer>,
    pub(crate) nodes: Vec<InstanceInformation>,
    pub(crate) invocations: Vec<CommandInvocation>,
    pub(crate) sent: Vec<Sent>,
    pub(crate) versions: Vec<LaunchTemplateVersion>,
    /// MGN's method.
    pub(crate) right_sizing: String,
    /// Whether MGN copies the source's address.
    pub(crate) copy_private_ip: bool,
    /// The key that MGN replicates with; none is the account's default.
    pub(crate) encryption_key: Option<String>,
    /// What the record said of the key each time it was changed.
    pub(crate) noted_before_key: Vec<Option<String>>,
    /// What somebody else does as soon as our version is the default.
    pub(crate) meddler: Option<fn(&mut World)>,
    pub(crate) created: Vec<RequestLaunchTemplateData>,
    pub(crate) events: Vec<(String, Value)>,
    /// Every call, in order.
    pub(crate) calls: Vec<&'static str>,
    /// The call that is refused, and at which time it is made.
    pub(crate) failing: Option<(&'static str, usize)>,
    /// The call that fails, whatever it is, counted from 0.
    pub(crate) fault: Option<(usize, Fault)>,
    /// What Cloud Migration Factory has: `wave`, `app` and `server`, a list of records each.
    pub(crate) cmf: Value,
    /// The call that is carried out and whose answer is lost, and at which time it is made.
    pub(crate) losing: Option<(&'static str, usize)>,
    /// Snapshots taken by the source's platform.
    pub(crate) snapshots: Vec<String>,
    /// How often the platform says that it is still at it.
    pub(crate) snapshot_takes: usize,
    /// What the record said of the snapshot each time it was asked for.
    pub(crate) noted_before_snapshot: Vec<Option<String>>,
    /// What the record said when the outside was changed.
    pub(crate) noted_before_cmf: bool,
}

impl World {
    /// Notes a call, and tells how it is to fail.
    pub(crate) fn called(&mut self, call: &'static str) -> Option<Fault> {
        let index = self.calls.len();
        self.calls.push(call);
        let times = self.calls.iter().filter(|c| **c == call).count();
        if self.failing == Some((call, times)) {
            return Some(Fault::Refused);
        }
        self.fault
            .filter(|(at, _)| *at == index)
            .map(|(_, fault)| fault)
    }

    /// Whether the answer to the latest such call is lost.
    pub(crate) fn loses(&self, call: &'static str) -> bool {
        self.losing == Some((call, self.count(call)))
    }

    /// The data of the default version.
    pub(crate) fn template(&self) -> &ResponseLaunchTemplateData {
        let default = self
            .versions
            .iter()
            .find(|v| v.default_version() == Some(true));
        default.unwrap().launch_template_data().unwrap()
    }

    /// A new default version that somebody makes by hand.
    pub(crate) fn change_template(&mut self, change: impl FnOnce(&mut ResponseLaunchTemplateData)) {
        let mut data = self.template().clone();
        change(&mut data);
        let number = i64::try_from(self.versions.len()).unwrap() + 1;
        self.versions.push(version(number, false, "by hand", data));
        self.make_default(number);
    }

    /// Makes a version the default.
    pub(crate) fn make_default(&mut self, number: i64) {
        for version in &mut self.versions {
            version.default_version = Some(version.version_number == Some(number));
        }
    }

    pub(crate) fn count(&self, call: &str) -> usize {
        self.calls.iter().filter(|c| **c == call).count()
    }

    pub(crate) fn default_version(&self) -> i64 {
        let default = self
            .versions
            .iter()
            .find(|v| v.default_version() == Some(true));
        default.unwrap().version_number().unwrap()
    }

    pub(crate) fn record(&self) -> MigrationRecord {
        serde_dynamo::from_item(self.record.clone()).unwrap()
    }

    /// How a snapshot of EC2 stands when it is looked at the next time.
    pub(crate) fn next_snapshot_state(&mut self) -> SnapshotState {
        if self.snapshot_takes > 0 && !self.snapshots.is_empty() {
            self.snapshot_takes -= 1;
            return SnapshotState::Pending;
        }
        SnapshotState::Completed
    }

    /// The statuses of the server and the wave in Cloud Migration Factory.
    pub(crate) fn cmf_statuses(&self) -> (&str, &str) {
        let text = |schema: &str, member: &str| {
            let value = &self.cmf[schema][0][member];
            value.as_str().unwrap_or_default()
        };
        (
            text("server", "migration_status"),
            text("wave", "wave_status"),
        )
    }
}

/// A world and a function in it.
pub(crate) struct Stage {
    world: Arc<Mutex<World>>,
    pub(crate) deps: Deps,
}

impl Stage {
    /// A validated migration of the canonical request, with members replaced; its source is a managed node.
    pub(crate) fn new(changes: Value) -> Self {
        let world = Arc::new(Mutex::new(World {
            record: serde_dynamo::to_item(record(changes)).unwrap(),
            claims: HashMap::new(),
            servers: vec![],
            nodes: vec![node("mi-00000000000000001", "Linux")],
            invocations: vec![],
            sent: vec![],
            versions: vec![version(1, true, "", made_by_mgn())],
            right_sizing: "BASIC".into(),
            copy_private_ip: false,
            encryption_key: None,
            noted_before_key: vec![],
            meddler: None,
            created: vec![],
            events: vec![],
            calls: vec![],
            failing: None,
            fault: None,
            cmf: json!({
                "wave": [{"wave_id": "3", "wave_name": "wave-3", "wave_status": "Planning"}],
                "app": [{"app_id": "5", "app_name": "billing-app", "wave_id": "3"}],
                "server": [{"server_id": "7", "server_name": "web-01", "app_id": "5", "migration_status": "Not started"}],
            }),
            losing: None,
            snapshots: vec![],
            snapshot_takes: 0,
            noted_before_snapshot: vec![],
            noted_before_cmf: false,
        }));
        let deps = aws::deps(&world);
        Self { world, deps }
    }

    /// With Cloud Migration Factory and Azure outside; the request's sourceControl points at the latter.
    pub(crate) async fn with_outside(mut changes: Value) -> Self {
        let base = outside::Outside::serve().await;
        changes["sourceControl"] = json!({
            "kind": "azure", "endpoint": base.url("azure"), "credentialsSecretId": "landfall/azure",
            "subscriptionId": "sub-1", "resourceGroup": "rg-1", "vmName": "web-01",
        });
        let mut stage = Self::new(changes);
        stage.deps.sources.allowed = vec![base.url("")];
        stage.deps.cmf = Some(Access {
            url: base.url("cmf"),
            login_url: None,
            secret_id: Some("landfall/cmf".into()),
            weight: Weight::Required,
            http: stage.deps.sources.http.clone(),
            secrets: stage.deps.sources.secrets.clone(),
        });
        base.attach(&stage.world);
        stage
    }

    /// A migration that takes a snapshot and nothing else, of a source that is controlled so; the deployment lists
    /// one origin.
    pub(crate) fn freezing(control: &Value, origin: &str) -> Self {
        let mut stage = Self::new(json!({"steps": ["freeze"], "sourceControl": control}));
        stage.deps.sources.allowed = vec![origin.to_owned()];
        stage
    }

    /// The same stage in a deployment that goes on without Cloud Migration Factory.
    pub(crate) fn not_requiring_cmf(mut self) -> Self {
        self.deps.cmf.as_mut().unwrap().weight = Weight::Told;
        self
    }

    /// The same stage in a deployment that lists no origin for sources.
    pub(crate) fn listing_no_source(mut self) -> Self {
        self.deps.sources.allowed.clear();
        self
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    pub(crate) fn record(&self) -> MigrationRecord {
        self.world().record()
    }

    pub(crate) fn change_record(&self, change: impl FnOnce(&mut MigrationRecord)) {
        let mut record = self.record();
        change(&mut record);
        self.world().record = serde_dynamo::to_item(record).unwrap();
    }

    pub(crate) async fn prepare(&self) -> Result<Value, StageError> {
        self.run(json!({})).await
    }

    pub(crate) async fn configure(&self) -> Result<Value, StageError> {
        self.run(json!({"phase": "launch-settings"})).await
    }

    pub(crate) async fn configure_replication(&self) -> Result<Value, StageError> {
        self.run(json!({"phase": "replication-settings"})).await
    }

    pub(crate) async fn run(&self, members: Value) -> Result<Value, StageError> {
        let mut event = json!({
            "tenantId": "default", "migrationId": "mig-12345", "attempt": 1,
            "correlationId": "c-1", "executionArn": EXECUTION,
        });
        extend(&mut event, members);
        let invocation = Invocation {
            function_arn: "arn:aws:lambda:eu-central-1:123456789012:function:landfall".into(),
            request_id: "r-1".into(),
            now: "2026-11-21T12:00:00Z".parse().unwrap(),
        };
        Box::pin(prepare_source::handle(&self.deps, event, invocation)).await
    }
}

/// The ARN of a key by the name it has in an alias.
pub(crate) fn key_arn(name: &str) -> String {
    format!("arn:aws:kms:eu-central-1:123456789012:key/{name}")
}

/// A stage whose server replicates, ready for its launch settings.
pub(crate) fn replicated(changes: Value) -> Stage {
    let stage = Stage::new(changes);
    stage.change_record(|record| {
        record.status = Status::ReadyForTest;
        record.source_server_id = Some("s-00000000000000001".into());
    });
    stage
}

pub(crate) fn node(id: &str, platform: &str) -> InstanceInformation {
    InstanceInformation::builder()
        .instance_id(id)
        .ping_status("Online".into())
        .platform_type(platform.into())
        .build()
}

pub(crate) fn version(
    number: i64,
    default: bool,
    description: &str,
    data: ResponseLaunchTemplateData,
) -> LaunchTemplateVersion {
    LaunchTemplateVersion::builder()
        .version_number(number)
        .default_version(default)
        .version_description(description)
        .launch_template_data(data)
        .build()
}

/// What a new server's template says.
fn made_by_mgn() -> ResponseLaunchTemplateData {
    let volume = LaunchTemplateEbsBlockDevice::builder()
        .volume_type(VolumeType::Gp3)
        .volume_size(8)
        .build();
    let disk = LaunchTemplateBlockDeviceMapping::builder()
        .device_name("/dev/sda")
        .ebs(volume)
        .build();
    ResponseLaunchTemplateData::builder()
        .instance_type("c5.large".into())
        .block_device_mappings(disk)
        .build()
}

/// A server as MGN shows it.
pub(crate) fn server(id: &str, lifecycle: &str, replication: &str) -> SourceServer {
    use aws_sdk_mgn::types::{DataReplicationInfo, LifeCycle};
    SourceServer::builder()
        .source_server_id(id)
        .user_provided_id("vm-123456")
        .life_cycle(LifeCycle::builder().state(lifecycle.into()).build())
        .data_replication_info(
            DataReplicationInfo::builder()
                .data_replication_state(replication.into())
                .build(),
        )
        .build()
}

fn record(changes: Value) -> MigrationRecord {
    let mut request = json!({
        "migrationId": "mig-12345", "appName": "billing-app", "source": "azure", "target": "aws",
        "environment": "prod", "wave": "wave-3", "steps": ["freeze", "replicate", "validate", "switch"],
        "sourceVmId": "vm-123456", "targetVmName": "billing-app-prod-01", "instanceType": "t3.large",
        "subnetId": "subnet-0a1b2c3d", "securityGroupIds": ["sg-0a1b2c3d"],
        "tags": {"Environment": "prod", "Application": "billing"},
    });
    extend(&mut request, changes);
    let at = "2026-11-21T11:59:00Z";
    serde_json::from_value(json!({
        "tenantId": "default", "migrationId": "mig-12345", "attempt": 1, "version": 3,
        "status": "VALIDATING", "correlationId": "c-1", "request": request, "requestDigest": "d",
        "executionArn": EXECUTION, "eventSeq": 2, "eventHash": "h", "createdAt": at, "updatedAt": at,
        "statusSince": at,
    }))
    .unwrap()
}

fn extend(value: &mut Value, changes: Value) {
    if let (Value::Object(value), Value::Object(changes)) = (value, changes) {
        value.extend(changes);
    }
}
