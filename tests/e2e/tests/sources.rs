//! Sources in vSphere and on EC2: snapshotted at the beginning, off at the end, and on again after a rollback.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

use std::time::Duration;

use landfall_domain::{EventType, MigrationRecord, Status};
use landfall_e2e::poll::poll_for;
use landfall_e2e::source::{Source, seed};
use landfall_e2e::{Migration, Place, Stack, poll, raw, unique};
use serde_json::{Value, json};

/// How long a migration may take that waits for its source in the beginning and at the end.
const DEADLINE: Duration = Duration::from_mins(6);

/// Where the sources on EC2 run: not where the stack is.
const REGION: &str = "eu-west-1";

/// The account of the simulated vCenter.
const VCENTER: &str =
    r#"{"username": "landfall@vsphere.local", "password": "simulated-vcenter-password"}"#;

/// Where a source runs.
enum Platform {
    Vsphere,
    Ec2 { instance: String },
}

/// A migration whose source is controlled by its platform and known to Cloud Migration Factory.
struct Case {
    stack: Stack,
    platform: Platform,
    source: Source,
    migration: Migration,
}

impl Case {
    async fn vsphere(stack: &Stack, name: &str) -> Self {
        let run = unique();
        let source = Source::new(stack, &run, name).machine("power", "vsphere");
        let secret = format!("landfall/source/e2e-{run}");
        let create = stack.secrets.create_secret().name(&secret);
        create
            .secret_string(VCENTER)
            .send()
            .await
            .expect("CreateSecret");
        let control = json!({
            "kind": "vsphere", "endpoint": format!("{}/vsphere", stack.info.simulator_url),
            "credentialsSecretId": secret, "vmName": source.machine["hostname"],
            "ssmInstanceId": source.machine["ssmInstanceId"],
        });
        Self::submit(stack, Platform::Vsphere, source, control).await
    }

    async fn ec2(stack: &Stack, name: &str) -> Self {
        let source = Source::new(stack, &unique(), name).request("source", "aws");
        let instance = stack.run_instance(REGION).await;
        let control = json!({
            "kind": "ec2", "instanceId": instance, "region": REGION,
            "ssmInstanceId": source.machine["ssmInstanceId"],
        });
        Self::submit(stack, Platform::Ec2 { instance }, source, control).await
    }

    async fn submit(stack: &Stack, platform: Platform, source: Source, control: Value) -> Self {
        let vm = &source.machine["sourceVmId"];
        let known_as = control.get("vmName").unwrap_or(vm);
        let mut all = seed([&source]);
        all["cmf"] =
            json!([{"server_id": source.id(), "server_name": known_as, "migration_status": ""}]);
        stack.seed(&all).await;
        let source = source.request("sourceControl", control);
        stack.submit(&[source.message()]).await;
        let migration = Migration::new(stack, source.id());
        Self {
            stack: stack.clone(),
            platform,
            source,
            migration,
        }
    }

    /// The place of the instance that is a source on EC2.
    fn place(&self) -> Place<'_> {
        Place {
            region: REGION,
            ..self.stack.home()
        }
    }

    /// Makes the point of no return fail: word to Cloud Migration Factory, the step before it, takes so long that the
    /// server's lifecycle is changed behind the stage's back, after the source is off.
    async fn fail_after_power_off(&self) {
        poll(&format!("the agent of {}", self.source.id()), async || {
            let record = self.migration.record().await.ok_or("no record")?;
            let prepared = record.done.cmf.is_some() && record.status != Status::Preparing;
            prepared.then_some(()).ok_or(record.status.to_string())
        })
        .await;
        let operation = format!("PUT /user/server/{}", self.source.id());
        let fault = json!({
            "service": "cmf", "operation": operation, "kind": "slow", "delayMs": 6000, "count": 1,
        });
        self.stack.post("faults", &fault).await;
        let what = format!("the source of {}", self.source.id());
        let server = poll_for(DEADLINE, &what, async || {
            let record = self.migration.record().await.ok_or("no record")?;
            let off = record.done.source_powered_off_at.is_some();
            let server = record.source_server_id.filter(|_| off);
            server.ok_or(record.status.to_string())
        })
        .await;
        let revert = json!({"sourceServerID": server, "lifeCycle": {"state": "READY_FOR_CUTOVER"}});
        let place = self.stack.home();
        raw::mgn(&self.stack, place, "ChangeServerLifeCycleState", &revert).await;
    }

    async fn is_running(&self) -> bool {
        match &self.platform {
            Platform::Vsphere => {
                let vm = self.source.machine["sourceVmId"]
                    .as_str()
                    .expect("its name");
                let machine = self.stack.simulator("state").await["machines"][vm].clone();
                machine["running"]
                    .as_bool()
                    .unwrap_or_else(|| panic!("no machine {vm}"))
            }
            Platform::Ec2 { instance } => {
                let state = self.stack.instance_state_at(self.place(), instance).await;
                match state.as_deref() {
                    Some("running") => true,
                    Some("stopped") => false,
                    other => panic!("{instance} is {other:?}"),
                }
            }
        }
    }

    /// There is one snapshot, under the migration's name, and the record knows it.
    async fn assert_snapshotted(&self, record: &MigrationRecord) {
        let id = record.done.snapshot.as_deref().expect("a snapshot");
        let name = format!("landfall-{}-1", self.source.id());
        match &self.platform {
            Platform::Vsphere => {
                assert!(id.starts_with("snapshot-"), "{id}");
                let vm = self.source.machine["sourceVmId"]
                    .as_str()
                    .expect("its name");
                let state = self.stack.simulator("state").await;
                assert_eq!(state["vsphereSnapshots"][vm], json!([name]));
            }
            Platform::Ec2 { .. } => {
                let question = [
                    ("Action", "DescribeSnapshots"),
                    ("Owner.1", "self"),
                    ("Filter.1.Name", "tag:landfall:snapshot"),
                    ("Filter.1.Value.1", &name),
                ];
                let text = raw::ec2(&self.stack, self.place(), &question).await;
                let found: Vec<&str> = text.split("<snapshotId>").skip(1).collect();
                assert_eq!(found.len(), 1, "{text}");
                assert!(found[0].starts_with(&format!("{id}<")), "{id}: {text}");
            }
        }
    }

    async fn moves_and_is_left_off(&self) {
        let record = self.migration.ended_within(DEADLINE).await;
        assert_eq!((record.status, &record.failure), (Status::Succeeded, &None));
        assert!(record.done.source_powered_off_at.is_some());
        assert!(!self.is_running().await, "{} runs", self.source.id());
        self.assert_snapshotted(&record).await;
    }

    async fn fails_and_runs_again(&self) {
        self.fail_after_power_off().await;
        let record = self.migration.ended_within(DEADLINE).await;
        assert_eq!(record.status, Status::RolledBack, "{:?}", record.failure);
        let failure = record.failure.as_ref().expect("a failure");
        assert_eq!(failure.state, "FinalizeCutover", "{}", failure.message);
        assert!(record.done.source_powered_off_at.is_some());
        assert!(self.is_running().await, "{} is off", self.source.id());
        let events = self.migration.events().await;
        assert!(events.contains(&EventType::RollbackCompleted), "{events:?}");
        // The snapshot stays: it is the operator's to delete.
        self.assert_snapshotted(&record).await;
    }
}

#[tokio::test]
async fn a_machine_in_vsphere_is_snapshotted_and_left_off() {
    let case = Case::vsphere(&Stack::load().await, "vsphere").await;
    case.moves_and_is_left_off().await;
}

#[tokio::test]
async fn an_instance_of_ec2_in_another_region_is_snapshotted_and_left_off() {
    let case = Case::ec2(&Stack::load().await, "ec2").await;
    case.moves_and_is_left_off().await;
}

#[tokio::test]
async fn a_machine_in_vsphere_runs_again_after_a_rollback() {
    let case = Case::vsphere(&Stack::load().await, "vsphereback").await;
    case.fails_and_runs_again().await;
}

#[tokio::test]
async fn an_instance_of_ec2_runs_again_after_a_rollback() {
    let case = Case::ec2(&Stack::load().await, "ec2back").await;
    case.fails_and_runs_again().await;
}
