//! What `sourceControl` names: its secret, the way in, and the machine.

use landfall_e2e::source::Source;
use landfall_e2e::{Stack, unique};
use serde_json::{Value, json};

use crate::{REGION, STACK, assert_told, codes, installed, source};

/// Puts a secret of the run into Secrets Manager; its name.
async fn secret(stack: &Stack, run: &str, name: &str, content: &Value) -> String {
    let name = format!("landfall/source/e2e-{run}-{name}");
    let create = stack.secrets.create_secret().name(&name);
    let create = create.secret_string(content.to_string());
    create.send().await.expect("CreateSecret");
    name
}

fn azure(stack: &Stack, secret: &str, machine: &str) -> Value {
    json!({
        "kind": "azure", "endpoint": format!("{}/azure", stack.info.simulator_url), "credentialsSecretId": secret,
        "subscriptionId": "s", "resourceGroup": "g", "vmName": machine,
    })
}

fn vsphere(stack: &Stack, secret: &str, machine: &str) -> Value {
    json!({
        "kind": "vsphere", "endpoint": format!("{}/vsphere", stack.info.simulator_url), "credentialsSecretId": secret,
        "vmName": machine,
    })
}

/// Credentials that the simulated Azure takes.
fn application() -> Value {
    json!({"tenantId": "t", "clientId": "c", "clientSecret": "e2e-client-secret"})
}

fn controlled(known: &Source, control: Value) -> Value {
    known.clone().request("sourceControl", control).request
}

#[tokio::test]
async fn a_source_is_looked_at_before_anything_is_begun() {
    let (stack, run, _shared) = (Stack::load().await, unique(), STACK.read().await);
    let [in_azure, in_vsphere] =
        ["azure", "vsphere"].map(|kind| source(&stack, &run, kind).machine("power", kind));
    installed(&stack, &[&in_azure, &in_vsphere]).await;
    let (good, half) = (application(), json!({"tenantId": "t", "clientId": "c"}));
    let good = secret(&stack, &run, "good", &good).await;
    let half = secret(&stack, &run, "half", &half).await;
    let account =
        |password: &str| json!({"username": "landfall@vsphere.local", "password": password});
    let right = secret(
        &stack,
        &run,
        "right",
        &account("simulated-vcenter-password"),
    )
    .await;
    let wrong = secret(&stack, &run, "wrong", &account("another-password")).await;
    let (vm, machine) = (format!("azure-{run}"), format!("vsphere-{run}"));
    let instance = stack.run_instance(REGION).await;
    let ec2 = |id: &str| json!({"kind": "ec2", "instanceId": id, "region": REGION});

    let table: [(Value, &[&str]); 9] = [
        (controlled(&in_azure, azure(&stack, &good, &vm)), &[]),
        (
            controlled(&in_azure, azure(&stack, "landfall/source/nobody-has", &vm)),
            &["SOURCE_SECRET_NOT_USABLE"],
        ),
        (
            controlled(&in_azure, azure(&stack, &half, &vm)),
            &["SOURCE_SECRET_NOT_USABLE"],
        ),
        (
            controlled(&in_azure, azure(&stack, &good, "nobody-has")),
            &["SOURCE_MACHINE_NOT_FOUND"],
        ),
        (
            controlled(&in_vsphere, vsphere(&stack, &right, &machine)),
            &[],
        ),
        (
            controlled(&in_vsphere, vsphere(&stack, &wrong, &machine)),
            &["SOURCE_ACCESS_REFUSED"],
        ),
        (
            controlled(&in_vsphere, vsphere(&stack, &right, "nobody-has")),
            &["SOURCE_MACHINE_NOT_FOUND"],
        ),
        (controlled(&in_azure, ec2(&instance)), &[]),
        (
            controlled(&in_azure, ec2("i-0fffffffffffffff0")),
            &["SOURCE_MACHINE_NOT_FOUND"],
        ),
    ];
    for (request, expected) in table {
        assert_told(&stack, &request, expected).await;
    }
    // Steps that do not work on the machine do not ask for it.
    let lost = azure(&stack, "landfall/source/nobody-has", "nobody-has");
    let unused = in_azure.request("sourceControl", lost);
    let unused = unused.request("steps", json!(["replicate", "validate"]));
    assert_told(&stack, &unused.request, &[]).await;
}

#[tokio::test]
async fn a_platform_that_is_away_is_told() {
    let (stack, run, _alone) = (Stack::load().await, unique(), STACK.write().await);
    let known = source(&stack, &run, "away").machine("power", "azure");
    installed(&stack, &[&known]).await;
    let good = secret(&stack, &run, "away", &application()).await;
    let request = controlled(&known, azure(&stack, &good, &format!("away-{run}")));
    let fault = json!({
        "service": "azure", "operation": "*", "kind": "error", "error": "Unavailable", "status": 503, "count": 1_000,
    });
    stack.post("faults", &fault).await;
    let told = codes(&stack, &request, false).await;
    stack.delete("faults").await;
    assert_eq!(told, ["SOURCE_UNREACHABLE"]);
}
