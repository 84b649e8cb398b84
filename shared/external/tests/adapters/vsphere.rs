//! vSphere, against the simulator's vCenter.

use landfall_domain::{ErrorName, StageError};
use landfall_external::LazyHttp;
use landfall_external::source::{self, Access, Machine, Power, SourceMachine as _, Trouble};
use landfall_simulator::{Config, Simulator};
use serde_json::{Value, json};

use crate::server::{REFUSAL, connect, no_ec2, request, secrets};

pub(crate) const GOOD: &str =
    r#"{"username": "landfall@vsphere.local", "password": "simulated-vcenter-password"}"#;

/// Simulated seconds per real one: a shutdown takes 20, a snapshot 30.
const SCALE: f64 = 100.0;

pub(crate) fn control(endpoint: &str, members: &Value) -> Value {
    let mut control = json!({
        "kind": "vsphere", "endpoint": endpoint, "credentialsSecretId": "landfall/source/vcenter",
        "vmName": "web-01",
    });
    let members = members.as_object().unwrap().clone();
    control.as_object_mut().unwrap().extend(members);
    control
}

/// A simulated vCenter: two machines share a name, and one has no VMware Tools.
struct Vcenter {
    simulator: Simulator,
    http: reqwest::Client,
}

impl Vcenter {
    async fn start(scale: f64) -> Self {
        let machine = |id: &str, name: &str, tools: bool| json!({"sourceVmId": id, "hostname": name, "power": "vsphere", "vmwareTools": tools});
        let seed = json!({"servers": [
            machine("a", "web-01", true), machine("b", "bare-01", false),
            machine("c", "twin-01", true), machine("d", "twin-01", true),
            {"sourceVmId": "e", "hostname": "azure-01", "power": "azure"},
        ]});
        let simulator = Simulator::start(Config {
            scale,
            seed: Some(seed),
            ..Config::default()
        })
        .await
        .unwrap();
        Self {
            simulator,
            http: reqwest::Client::new(),
        }
    }

    async fn machine(&self, secret: &str, members: Value) -> Result<Machine, StageError> {
        let url = self.simulator.url();
        let control = control(&format!("{url}/vsphere"), &members);
        connect(&control, &secrets(secret), &[&url]).await
    }

    async fn look(&self, members: Value) -> Result<(), Trouble> {
        let url = self.simulator.url();
        let access = Access {
            http: LazyHttp::default(),
            secrets: secrets(GOOD),
            ec2: no_ec2(),
            allowed: vec![url.clone()],
            removable: vec![],
        };
        let control = control(&format!("{url}/vsphere"), &members);
        source::look(&access, &request(&control), REFUSAL).await
    }

    async fn post(&self, what: &str, body: Value) {
        let url = format!("{}/_sim/{what}", self.simulator.url());
        let answer = self.http.post(url).json(&body).send().await.unwrap();
        assert!(answer.status().is_success());
    }

    async fn skip(&self, seconds: u32) {
        self.post("clock", json!({"skipSeconds": seconds})).await;
    }

    /// How often the next call of an operation is not answered, although it is carried out.
    async fn lose(&self, operation: &str) {
        let fault = json!({"service": "vsphere", "operation": operation, "kind": "drop-response"});
        self.post("faults", fault).await;
    }

    async fn get(&self, what: &str) -> Value {
        let url = format!("{}/_sim/{what}", self.simulator.url());
        self.http
            .get(url)
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap()
    }

    /// How often an operation was called that ends so.
    async fn calls(&self, end: &str) -> usize {
        let calls = self.get("calls?service=vsphere").await;
        let calls = calls.as_array().unwrap().iter();
        calls
            .filter(|call| call["operation"].as_str().unwrap().ends_with(end))
            .count()
    }
}

#[tokio::test]
async fn a_guest_is_shut_down_and_the_machine_started_again() {
    // As good as standing still: time passes where the test says so.
    let vcenter = Vcenter::start(0.001).await;
    let machine = vcenter.machine(GOOD, json!({})).await.unwrap();
    assert_eq!(machine.power().await.unwrap(), Power::Running);
    machine.start().await.unwrap();
    machine.power_off().await.unwrap();
    assert_eq!(machine.power().await.unwrap(), Power::Stopping);
    machine.power_off().await.unwrap();
    vcenter.skip(21).await;
    assert_eq!(machine.power().await.unwrap(), Power::Off);
    machine.force_off().await.unwrap();
    machine.start().await.unwrap();
    machine.start().await.unwrap();
    assert_eq!(machine.power().await.unwrap(), Power::Running);
    // A guest that does not come to an end.
    machine.power_off().await.unwrap();
    machine.force_off().await.unwrap();
    assert_eq!(machine.power().await.unwrap(), Power::Off);
    machine.close().await;
    assert_eq!(vcenter.calls("DELETE /api/session").await, 1);
}

#[tokio::test]
async fn a_machine_without_tools_is_switched_off_at_once() {
    let vcenter = Vcenter::start(SCALE).await;
    let machine = vcenter.machine(GOOD, json!({"vmName": "bare-01"})).await;
    let machine = machine.unwrap();
    assert_eq!(machine.power().await.unwrap(), Power::Running);
    machine.power_off().await.unwrap();
    assert_eq!(machine.power().await.unwrap(), Power::Off);
    assert_eq!(vcenter.calls("?action=shutdown").await, 0);
}

#[tokio::test]
async fn a_snapshot_is_taken_once_whoever_asks_again() {
    let vcenter = Vcenter::start(0.001).await;
    let machine = vcenter.machine(GOOD, json!({})).await.unwrap();
    // The first answer is lost: nobody knows of the task but vCenter.
    vcenter
        .lose("POST /sdk/vim25/8.0.1.0/VirtualMachine/vm-1001/CreateSnapshotEx_Task")
        .await;
    for _ in 0..3 {
        let error = machine.snapshot("landfall-mig-1-1").await.unwrap_err();
        assert_eq!(error.name, ErrorName::DependencyUnavailable, "{error}");
    }
    vcenter.skip(31).await;
    for _ in 0..2 {
        let id = machine.snapshot("landfall-mig-1-1").await.unwrap();
        assert_eq!(id, "snapshot-2001");
    }
    // Another one is a child of the first, and both are found.
    let error = machine.snapshot("landfall-mig-1-2").await.unwrap_err();
    assert_eq!(error.name, ErrorName::DependencyUnavailable);
    vcenter.skip(31).await;
    assert_eq!(
        machine.snapshot("landfall-mig-1-2").await.unwrap(),
        "snapshot-2002"
    );
    assert_eq!(
        machine.snapshot("landfall-mig-1-1").await.unwrap(),
        "snapshot-2001"
    );
    assert_eq!(vcenter.calls("/CreateSnapshotEx_Task").await, 2);
    assert_eq!(
        vcenter.get("state").await["vsphereSnapshots"],
        json!({"a": ["landfall-mig-1-1", "landfall-mig-1-2"]})
    );
    assert_eq!(
        vcenter.calls("/Login").await,
        vcenter.calls("/Logout").await
    );
}

#[tokio::test]
async fn what_is_begun_while_vcenter_is_busy_is_tried_again() {
    let vcenter = Vcenter::start(0.001).await;
    let machine = vcenter.machine(GOOD, json!({})).await.unwrap();
    machine.snapshot("one").await.unwrap_err();
    let error = machine.force_off().await.unwrap_err();
    assert_eq!(error.name, ErrorName::DependencyUnavailable, "{error}");
    let error = machine.snapshot("two").await.unwrap_err();
    assert_eq!(error.name, ErrorName::DependencyUnavailable, "{error}");
}

#[tokio::test]
async fn the_machine_is_found_by_name_or_id_and_never_guessed() {
    let vcenter = Vcenter::start(SCALE).await;
    for (members, text) in [
        (json!({"vmName": "twin-01"}), "vm-1003, vm-1004"),
        (json!({"vmName": "azure-01"}), "named \"azure-01\""),
        (json!({"vmName": "web-01", "vmId": "vm-1002"}), "vm-1002"),
        (json!({"vmName": null}), "named \"vm-1\""),
        (
            json!({"vmName": null, "vmId": "vm-9"}),
            "with the ID \"vm-9\"",
        ),
    ] {
        let error = vcenter.machine(GOOD, members).await.unwrap_err();
        assert_eq!(error.name, REFUSAL);
        assert!(
            error.message.contains(text) && error.message.contains("/sourceControl"),
            "{error}"
        );
    }
    for members in [
        json!({"vmName": "twin-01", "vmId": "vm-1004"}),
        json!({"vmName": null, "vmId": "vm-1003"}),
    ] {
        let machine = vcenter.machine(GOOD, members).await.unwrap();
        machine.power_off().await.unwrap();
    }
    assert_eq!(
        vcenter.calls("/vm-1003/guest/power?action=shutdown").await,
        1
    );
    assert_eq!(
        vcenter.calls("/vm-1004/guest/power?action=shutdown").await,
        1
    );
    // A session that came to nothing is ended.
    assert_eq!(vcenter.calls("DELETE /api/session").await, 5);
}

#[tokio::test]
async fn a_look_ends_its_session_and_touches_nothing() {
    let vcenter = Vcenter::start(SCALE).await;
    vcenter.look(json!({})).await.unwrap();
    let lost = vcenter.look(json!({"vmName": "nobody-has"})).await;
    assert!(matches!(lost, Err(Trouble::Machine(_))), "{lost:?}");
    assert_eq!(vcenter.calls("DELETE /api/session").await, 2);
    let calls = vcenter.get("calls?service=vsphere").await;
    for call in calls.as_array().unwrap() {
        let operation = call["operation"].as_str().unwrap();
        let reads = operation.starts_with("GET ") || operation.ends_with("/api/session");
        assert!(reads, "{operation}");
    }
}

#[tokio::test]
async fn a_wrong_password_is_refused_and_never_shown() {
    let vcenter = Vcenter::start(SCALE).await;
    let wrong = r#"{"username": "landfall@vsphere.local", "password": "s3cr&t"}"#;
    let error = vcenter.machine(wrong, json!({})).await.unwrap_err();
    assert_eq!(error.name, REFUSAL);
    assert_eq!(
        error.message,
        "vSphere: signing in answered 401: UNAUTHENTICATED: Authentication required."
    );
    for text in ["s3cr&t", r#"{"password": "s3cr&t"}"#] {
        let error = vcenter.machine(text, json!({})).await.unwrap_err();
        assert!(error.message.contains("landfall/source/vcenter"), "{error}");
        assert!(!format!("{error:?}").contains("s3cr&t"));
    }
    let machine = vcenter.machine(GOOD, json!({})).await.unwrap();
    assert!(
        !format!("{machine:?}").contains("simulated-vcenter-password"),
        "{machine:?}"
    );
}

/// A certificate authority that signed nothing.
const AUTHORITY: &str = "-----BEGIN CERTIFICATE-----
MIIBmTCCAT+gAwIBAgIUCtsFs5vT0JG3ihuGr0KtgF3aOFEwCgYIKoZIzj0EAwIw
IjEgMB4GA1UEAwwXTGFuZGZhbGwgdGVzdCBhdXRob3JpdHkwHhcNMjYxMTIxMTE1
NjQ4WhcNMzYxMTE4MTE1NjQ4WjAiMSAwHgYDVQQDDBdMYW5kZmFsbCB0ZXN0IGF1
dGhvcml0eTBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABJ/Ir83/+jVaAr5xYq6m
BEmb/ADnoR/rtlsXv93JudM+AzIlhd+as0M6r3b29Xtan12awHTcHvyrwGGrkI+T
VzWjUzBRMB0GA1UdDgQWBBRWdk0uMOl65b2tgWuhdwzRljfi3zAfBgNVHSMEGDAW
gBRWdk0uMOl65b2tgWuhdwzRljfi3zAPBgNVHRMBAf8EBTADAQH/MAoGCCqGSM49
BAMCA0gAMEUCIQCIraOALA6qXYFAtXJZ2pcS0aifROFkkXiqCD6chqZnfgIgEQll
6y6azP5ZI/0EtlRMU5zxwr8HnaGj3kNvmDU5UJw=
-----END CERTIFICATE-----";

#[tokio::test]
async fn an_authority_of_one_s_own_is_taken() {
    let vcenter = Vcenter::start(SCALE).await;
    let mut secret: Value = serde_json::from_str(GOOD).unwrap();
    secret["caCertificate"] = AUTHORITY.into();
    let machine = vcenter.machine(&secret.to_string(), json!({})).await;
    assert_eq!(machine.unwrap().power().await.unwrap(), Power::Running);
}

#[tokio::test]
async fn an_authority_that_is_none_is_told_without_the_secret() {
    let vcenter = Vcenter::start(SCALE).await;
    let secret = r#"{"username": "u", "password": "s3cr&t", "caCertificate": "no PEM"}"#;
    let error = vcenter.machine(secret, json!({})).await.unwrap_err();
    assert_eq!(error.name, REFUSAL);
    assert!(error.message.contains("caCertificate"), "{error}");
    assert!(!format!("{error:?}").contains("s3cr&t"));
}
