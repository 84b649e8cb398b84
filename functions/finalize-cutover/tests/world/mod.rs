//! The world around a migration that is cut over, in memory: the table, the bus, MGN, EC2, Route 53, the source's
//! platform, CMF and a CMDB. Any single call can be made to fail, before or after its effect. The tests of `rollback` use it as well.
#![allow(dead_code, reason = "each test binary uses its part of it")]

mod aws;
mod names;
mod outside;
mod table;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use landfall_common::events::EventPublisher;
use landfall_common::state::StateStore;
use landfall_common::{Invocation, Journal, Key};
use landfall_domain::cmf::Weight;
use landfall_domain::record::DnsValue;
use landfall_domain::{ErrorName, MigrationRecord, Status};
use landfall_external::LazyHttp;
use landfall_external::cmdb;
use landfall_external::cmf::Access;
use landfall_external::dns::Dns;
use landfall_external::source::{self, Ec2Sources};
use landfall_mgn::Mgn;
use serde_json::{Value, json};

pub(crate) const EXECUTION: &str =
    "arn:aws:states:eu-central-1:123456789012:execution:landfall-migration:mig-1";
pub(crate) const SERVER: &str = "s-00000000000000001";
pub(crate) const TARGET: &str = "i-00000000000000001";
/// The instance of a source on EC2.
pub(crate) const SOURCE: &str = "i-0000000000000000f";
pub(crate) const CUTOVER_JOB: &str = "mgnjob-00000000000000002";
/// The secret with the CMDB's account.
pub(crate) const CMDB_SECRET: &str = "landfall/cmdb";
pub(crate) const NOW: &str = "2026-11-21T12:00:00Z";

thread_local! {
    /// One client for all worlds of a test: each loads the trust store.
    static HTTP: LazyHttp = LazyHttp::default();
}

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Denied: trying again is no use.
    Refused,
    /// Nothing happened, and it works later.
    Unavailable,
    /// It was carried out, and the answer was lost.
    Lost,
    /// Somebody else writes the record first.
    Overtaken,
}

/// A job of MGN.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) id: String,
    pub(crate) completed: bool,
    pub(crate) status: String,
    pub(crate) instance: Option<String>,
    pub(crate) intent: String,
    pub(crate) terminates: bool,
}

/// An instance of EC2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Instance {
    pub(crate) state: String,
    pub(crate) protected: bool,
    pub(crate) tags: BTreeMap<String, String>,
}

/// What there is.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a thing of the world"
)]
pub(crate) struct World {
    pub(crate) items: table::Items,
    /// The detail-types published.
    pub(crate) events: Vec<(String, Value)>,
    /// Every call, in order.
    pub(crate) calls: Vec<String>,
    /// Which call fails, counted from 0, and how.
    pub(crate) fault: Option<(usize, Fault)>,
    /// Every call of this name is refused.
    pub(crate) refused: Option<String>,
    pub(crate) lifecycle: String,
    /// `lagDuration`; MGN changes no lifecycle without it.
    pub(crate) lag: Option<&'static str>,
    /// Instance and job.
    pub(crate) launched: Option<(String, String)>,
    pub(crate) jobs: Vec<Job>,
    pub(crate) finalized: usize,
    /// How often the server was archived in MGN, and whether it is.
    pub(crate) archived: usize,
    pub(crate) terminations: usize,
    /// So many of MGN's next jobs that terminate fail.
    pub(crate) failing_terminations: usize,
    pub(crate) instances: BTreeMap<String, Instance>,
    pub(crate) template_default: i64,
    pub(crate) right_sizing: String,
    /// Whether MGN gives targets the source's address.
    pub(crate) copy_private_ip: bool,
    /// By zone, name and type.
    pub(crate) names: BTreeMap<(String, String, String), DnsValue>,
    /// Whether the hosted zones are private ones.
    pub(crate) private_zones: bool,
    /// Names that are aliases.
    pub(crate) aliases: Vec<String>,
    /// Changes that the name servers do not have yet.
    pub(crate) unsettled: Vec<String>,
    /// Whether they get no change at all.
    pub(crate) deaf: bool,
    /// The source's power state, in Azure's words on every platform.
    pub(crate) power: String,
    /// Whether MGN replicates the server.
    pub(crate) replicates: bool,
    /// Whether the guest of a source in vSphere ignores that it is to shut down.
    pub(crate) hangs: bool,
    pub(crate) cmdb: Value,
    /// The password of the CMDB's account, as its secret has it.
    pub(crate) cmdb_password: &'static str,
    pub(crate) cmf_status: String,
}

impl World {
    /// Notes a call and tells how it is to fail.
    pub(crate) fn called(&mut self, call: &str) -> Option<Fault> {
        let index = self.calls.len();
        self.calls.push(call.to_owned());
        if self.refused.as_deref() == Some(call) {
            return Some(Fault::Refused);
        }
        let fault = self.fault.filter(|(at, _)| *at == index)?.1;
        if fault == Fault::Overtaken {
            let mut record = self.record();
            record.version += 1;
            self.put_record(&record);
            return None;
        }
        Some(fault)
    }

    /// The source's power state; what is under way is done when it is asked for the next time.
    pub(crate) fn look_at_power(&mut self) -> String {
        let seen = self.power.clone();
        self.power = match seen.as_str() {
            "deallocating" if !self.hangs => "deallocated".into(),
            "deleting" => "deleted".into(),
            "starting" => "running".into(),
            other => other.into(),
        };
        seen
    }

    pub(crate) fn count(&self, call: &str) -> usize {
        self.calls.iter().filter(|c| *c == call).count()
    }

    pub(crate) fn event_types(&self) -> Vec<&str> {
        self.events.iter().map(|(name, _)| name.as_str()).collect()
    }

    pub(crate) fn name(&self, name: &str, record_type: &str) -> Option<&DnsValue> {
        self.names
            .get(&("Z1".into(), name.into(), record_type.into()))
    }

    pub(crate) fn record(&self) -> MigrationRecord {
        let state = (key().pk(), "STATE".to_owned());
        serde_dynamo::from_item(self.items[&state].clone()).unwrap()
    }

    pub(crate) fn put_record(&mut self, record: &MigrationRecord) {
        let state = (key().pk(), "STATE".to_owned());
        self.items
            .insert(state, serde_dynamo::to_item(record).unwrap());
    }

    /// What users and operators of the source see.
    pub(crate) fn outside(&self) -> Value {
        json!({
            "names": self.names.iter().map(|(key, value)| json!([key, value])).collect::<Vec<_>>(),
            "power": self.power, "cmdb": self.cmdb, "cmf": self.cmf_status,
            "lifecycle": self.lifecycle, "template": self.template_default, "rightSizing": self.right_sizing,
            "copyPrivateIp": self.copy_private_ip,
        })
    }
}

/// Whose migration it is.
pub(crate) fn key() -> Key {
    Key::new("default", "mig-1")
}

/// What a function is built from.
pub(crate) struct Parts {
    pub(crate) world: Arc<Mutex<World>>,
    pub(crate) journal: Journal,
    pub(crate) mgn: Mgn,
    pub ec2: aws_sdk_ec2::Client,
    pub(crate) dns: Dns,
    pub(crate) sources: source::Access,
    pub(crate) cmdb: Option<cmdb::Access>,
    pub(crate) cmf: Option<Access>,
}

impl Parts {
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    /// The source runs on another platform than Azure.
    pub(crate) fn source_on(&self, kind: &str) {
        let outside = &self.sources.allowed[0];
        let control = match kind {
            "vsphere" => json!({
                "kind": kind, "endpoint": format!("{outside}/vsphere"), "vmName": "web-01",
                "credentialsSecretId": "landfall/source/vcenter",
            }),
            "ec2" => json!({"kind": kind, "instanceId": SOURCE, "region": "eu-west-1"}),
            _ => json!({ "kind": kind }),
        };
        self.change_record(|record| {
            record.request.source_control = Some(serde_json::from_value(control).unwrap());
        });
    }

    pub(crate) fn change_record(&self, change: impl FnOnce(&mut MigrationRecord)) {
        let mut world = self.world();
        let mut record = world.record();
        change(&mut record);
        world.put_record(&record);
    }
}

/// A migration whose cutover instance was verified, and everything around it.
pub(crate) async fn cut_over(refusal: ErrorName) -> Parts {
    let outside = outside::serve().await;
    let world = Arc::new(Mutex::new(fresh()));
    outside.attach(&world);
    world.lock().unwrap().put_record(&record(&outside.url));
    let (http, secrets) = (HTTP.with(Clone::clone), aws::secrets(&world));
    Parts {
        journal: Journal {
            store: StateStore::new(table::dynamodb(&world), "landfall-migrations"),
            events: EventPublisher::new(table::eventbridge(&world), "landfall"),
        },
        mgn: Mgn::with_client(aws::mgn(&world)),
        ec2: aws::ec2(&world),
        dns: Dns::new(names::route53(&world), refusal)
            .patience(Duration::from_secs(5), Duration::from_millis(1)),
        sources: source::Access {
            http: http.clone(),
            secrets: secrets.clone(),
            ec2: Ec2Sources::with_client(aws::source_ec2(&world)),
            allowed: vec![outside.url.clone()],
            removable: vec![format!(
                "arn:aws:ec2:eu-west-1:123456789012:instance/{SOURCE}"
            )],
        },
        cmf: Some(Access {
            url: format!("{}/cmf", outside.url),
            login_url: None,
            secret_id: Some("landfall/cmf".into()),
            weight: Weight::Required,
            http: http.clone(),
            secrets: secrets.clone(),
        }),
        cmdb: Some(cmdb::Access {
            url: format!("{}/cmdb", outside.url),
            secret_id: Some(CMDB_SECRET.into()),
            http,
            secrets,
        }),
        world,
    }
}

fn fresh() -> World {
    let value = |ttl, value: &str| DnsValue {
        ttl,
        values: vec![value.to_owned()],
    };
    let key = |name: &str, kind: &str| ("Z1".to_owned(), name.to_owned(), kind.to_owned());
    World {
        items: BTreeMap::new(),
        events: vec![],
        calls: vec![],
        fault: None,
        refused: None,
        lifecycle: "CUTTING_OVER".into(),
        lag: Some("P0D"),
        launched: Some((TARGET.into(), CUTOVER_JOB.into())),
        jobs: vec![Job {
            id: CUTOVER_JOB.into(),
            completed: true,
            status: "LAUNCHED".into(),
            instance: Some(TARGET.into()),
            intent: "int-2".into(),
            terminates: false,
        }],
        finalized: 0,
        archived: 0,
        terminations: 0,
        failing_terminations: 0,
        instances: BTreeMap::from([(TARGET.into(), running())]),
        template_default: 4,
        right_sizing: "NONE".into(),
        copy_private_ip: false,
        names: BTreeMap::from([(key("app.example.com", "A"), value(300, "192.0.2.10"))]),
        private_zones: false,
        aliases: vec![],
        unsettled: vec![],
        deaf: false,
        power: "running".into(),
        replicates: true,
        hangs: false,
        cmdb: json!({"sys_id": "abc", "ip_address": "192.0.2.10", "name": "web-01"}),
        cmdb_password: outside::CMDB_PASSWORD,
        cmf_status: "Landfall: preparing".into(),
    }
}

pub(crate) fn running() -> Instance {
    Instance {
        state: "running".into(),
        protected: false,
        tags: BTreeMap::new(),
    }
}

fn record(outside: &str) -> MigrationRecord {
    let at = "2026-11-21T10:00:00Z";
    serde_json::from_value(json!({
        "tenantId": "default", "migrationId": "mig-1", "attempt": 1, "version": 9,
        "status": Status::CutoverVerified, "correlationId": "c-1", "requestDigest": "d",
        "executionArn": EXECUTION, "eventSeq": 8, "eventHash": "h", "createdAt": at,
        "updatedAt": at, "statusSince": at, "sourceServerId": SERVER,
        "gates": [{"gate": "finalize", "openedAt": at, "grantedAt": at}],
        "request": {
            "migrationId": "mig-1", "appName": "billing-app", "source": "azure", "target": "aws",
            "environment": "prod", "wave": "wave-3", "sourceVmId": "vm-1",
            "steps": ["freeze", "replicate", "validate", "switch"],
            "targetVmName": "billing-app-prod-01", "tags": {"Environment": "prod"},
            "sourceControl": {
                "kind": "azure", "endpoint": format!("{outside}/azure"), "subscriptionId": "sub-1",
                "credentialsSecretId": "landfall/source/azure", "resourceGroup": "rg-1", "vmName": "web-01",
            },
            "dns": [
                {"hostedZoneId": "Z1", "name": "app.example.com", "type": "A"},
                {"hostedZoneId": "Z1", "name": "www.example.com", "type": "CNAME", "value": "app.example.com"},
            ],
            "cmdb": {"table": "cmdb_ci_server", "sysId": "abc"},
        },
        "done": {
            "cmf": {"id": "7", "previous": "Not started"},
            "rightSizing": "BASIC",
            "copiedPrivateIp": true,
            "launchTemplate": {"templateId": "lt-1", "previousVersion": 3, "version": 4},
            "test": {
                "jobId": "mgnjob-00000000000000001", "settingsDigest": "d", "startedAt": at, "verifiedAt": at
            },
            "cutover": {
                "jobId": CUTOVER_JOB, "settingsDigest": "d", "startedAt": at, "instanceId": TARGET,
                "verifiedAt": at
            },
        },
    }))
    .unwrap()
}

/// What the workflow sends, with members added.
pub(crate) fn event(members: Value) -> Value {
    let mut event = json!({
        "tenantId": "default", "migrationId": "mig-1", "attempt": 1, "correlationId": "c-1",
        "executionArn": EXECUTION,
    });
    if let (Value::Object(event), Value::Object(members)) = (&mut event, members) {
        event.extend(members);
    }
    event
}

pub(crate) fn invocation() -> Invocation {
    at(NOW)
}

pub(crate) fn at(now: &str) -> Invocation {
    Invocation {
        function_arn: "arn:aws:lambda:eu-central-1:123456789012:function:landfall".into(),
        request_id: "r-1".into(),
        now: now.parse().unwrap(),
    }
}
