//! The snapshot of a source in vSphere and on EC2: noted before it is taken, and taken once.

use landfall_domain::{ErrorName, StageError};
use landfall_simulator::{Config, Simulator};
use serde_json::{Value, json};

use crate::world::Stage;

/// Its name, by which the next run finds it.
const NAME: &str = "landfall-mig-12345-1";

/// A vCenter in which time stands still, but for what the test skips.
struct Vcenter {
    simulator: Simulator,
    http: reqwest::Client,
}

impl Vcenter {
    async fn start() -> Self {
        let machine = json!({"sourceVmId": "vm-123456", "hostname": "web-01", "power": "vsphere"});
        let simulator = Simulator::start(Config {
            scale: 0.001,
            seed: Some(json!({"servers": [machine]})),
            ..Config::default()
        })
        .await
        .unwrap();
        Self {
            simulator,
            http: reqwest::Client::new(),
        }
    }

    fn stage(&self) -> Stage {
        let url = self.simulator.url();
        let control = json!({
            "kind": "vsphere", "endpoint": format!("{url}/vsphere"), "vmName": "web-01",
            "credentialsSecretId": "landfall/source/vcenter",
        });
        Stage::freezing(&control, &url)
    }

    async fn post(&self, what: &str, body: Value) {
        let url = format!("{}/_sim/{what}", self.simulator.url());
        let answer = self.http.post(url).json(&body).send().await.unwrap();
        assert!(answer.status().is_success());
    }

    async fn get(&self, what: &str) -> Value {
        let url = format!("{}/_sim/{what}", self.simulator.url());
        let answer = self.http.get(url).send().await.unwrap();
        answer.json().await.unwrap()
    }

    /// As the workflow does: again, for as long as the error is transient, with time in between.
    async fn finish(&self, stage: &Stage) -> Result<Value, StageError> {
        let mut last = stage.prepare().await;
        for _ in 0..5 {
            match &last {
                Err(error) if error.name.is_transient() => {
                    self.post("clock", json!({"skipSeconds": 31})).await;
                    last = stage.prepare().await;
                }
                _ => break,
            }
        }
        last
    }

    async fn assert_taken_once(&self, stage: &Stage, what: &str) {
        let snapshots = self.get("state").await["vsphereSnapshots"].clone();
        assert_eq!(snapshots, json!({"vm-123456": [NAME]}), "{what}");
        let noted = stage.record().done.snapshot;
        assert_eq!(noted.as_deref(), Some("snapshot-2001"), "{what}");
    }
}

#[tokio::test]
async fn a_machine_in_vsphere_is_snapshotted_once() {
    let vcenter = Vcenter::start().await;
    let stage = vcenter.stage();
    let error = stage.prepare().await.unwrap_err();
    assert_eq!(error.name, ErrorName::DependencyUnavailable, "{error}");
    assert_eq!(stage.record().done.snapshot.as_deref(), Some(NAME));
    vcenter.finish(&stage).await.unwrap();
    vcenter.assert_taken_once(&stage, "").await;
    let calls = vcenter.get("calls").await.as_array().unwrap().len();
    stage.prepare().await.unwrap();
    let after = vcenter.get("calls").await.as_array().unwrap().len();
    assert_eq!(calls, after, "what is taken is not asked for again");
}

#[tokio::test]
async fn whatever_answer_of_vcenter_is_lost_there_is_one_snapshot() {
    let calls = {
        let vcenter = Vcenter::start().await;
        vcenter.finish(&vcenter.stage()).await.unwrap();
        let calls = vcenter.get("calls").await;
        let calls = calls.as_array().unwrap().iter();
        calls
            .map(|call| call["operation"].clone())
            .collect::<Vec<_>>()
    };
    assert!(calls.len() > 10, "{calls:?}");
    for operation in calls {
        let vcenter = Vcenter::start().await;
        let stage = vcenter.stage();
        let fault = json!({"service": "vsphere", "operation": operation, "kind": "drop-response"});
        vcenter.post("faults", fault).await;
        let what = operation.to_string();
        vcenter
            .finish(&stage)
            .await
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        vcenter.assert_taken_once(&stage, &what).await;
    }
}

#[tokio::test]
async fn an_instance_of_ec2_is_snapshotted_once() {
    let control =
        json!({"kind": "ec2", "instanceId": "i-0123456789abcdef0", "region": "eu-west-1"});
    for (failing, name) in [
        (None, ErrorName::DependencyUnavailable),
        (
            Some(("DescribeSnapshots", 1)),
            ErrorName::SourcePreparationError,
        ),
        (
            Some(("CreateSnapshots", 1)),
            ErrorName::SourcePreparationError,
        ),
        // The first write is the transition, the second one the note.
        (Some(("TransactWriteItems", 2)), ErrorName::InternalError),
    ] {
        let stage = Stage::freezing(&control, "https://nowhere.example.com");
        {
            let mut world = stage.world();
            (world.failing, world.snapshot_takes) = (failing, 1);
        }
        let mut runs = 0;
        while let Err(error) = stage.prepare().await {
            runs += 1;
            assert!(runs < 6, "{failing:?}: {error}");
            let expected = if runs == 1 {
                name
            } else {
                ErrorName::DependencyUnavailable
            };
            assert_eq!(error.name, expected, "{failing:?}: {error}");
        }
        assert!(runs > 0);
        stage.prepare().await.unwrap();
        let done = stage.record().done.snapshot;
        let world = stage.world();
        assert_eq!(done.as_deref(), Some("snap-1"), "{failing:?}");
        assert_eq!(world.snapshots, ["snap-1"], "{failing:?}");
        assert_eq!(world.noted_before_snapshot, [Some(NAME.to_owned())]);
        assert_eq!(world.count("GetSecretValue"), 0, "EC2 needs no secret");
        assert_eq!(world.events[0].1["evidence"]["snapshot"], "to be taken");
    }
}
