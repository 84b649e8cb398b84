//! The simulator as Landfall's own code speaks to it: the installer's commands, Cloud Migration Factory, and the CMDB.
#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests; clippy exempts only the tests themselves"
)]

use std::time::{Duration, Instant};

use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueOutput;
use aws_sdk_ssm::config::{BehaviorVersion, Credentials, Region};
use aws_smithy_mocks::{RuleMode, mock, mock_client};
use landfall_domain::ErrorName;
use landfall_domain::cmf::{WAVE_STARTED, Weight};
use landfall_domain::installer::{Installation, Network, Platform, commands, silent_failure};
use landfall_domain::request::CmdbItem;
use landfall_external::LazyHttp;
use landfall_external::cmdb;
use landfall_external::cmf::Access;
use landfall_simulator::{Config, Simulator};
use serde_json::{Value, json};

async fn start(seed: Value, switches: &[&str]) -> Simulator {
    Simulator::start(Config {
        scale: 6_000.0,
        seed: Some(seed),
        switches: switches.iter().map(ToString::to_string).collect(),
        ..Config::default()
    })
    .await
    .unwrap()
}

fn ssm(simulator: &Simulator) -> aws_sdk_ssm::Client {
    let config = aws_sdk_ssm::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .endpoint_url(simulator.url())
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .build();
    aws_sdk_ssm::Client::from_conf(config)
}

/// Runs the installer's commands on a node; the status and the output.
async fn install(client: &aws_sdk_ssm::Client, platform: Platform, node: &str) -> (String, String) {
    let network = Network {
        mgn_endpoint: Some("vpce-1.mgn.us-east-1.vpce.amazonaws.com".into()),
        ..Network::default()
    };
    let installation = Installation {
        region: "us-east-1",
        source_vm_id: "vm-1",
        role_arn: Some("arn:aws:iam::123456789012:role/agent"),
        network: &network,
        devices: &[],
    };
    let sent = client
        .send_command()
        .document_name(platform.document())
        .instance_ids(node)
        .parameters("commands", commands(platform, &installation))
        .send()
        .await
        .unwrap();
    let id = sent.command.unwrap().command_id.unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let seen = client
            .get_command_invocation()
            .command_id(&id)
            .instance_id(node)
            .send()
            .await
            .unwrap();
        let status = seen.status().unwrap().as_str().to_owned();
        if status != "InProgress" && status != "Pending" {
            let output = seen.standard_output_content().unwrap_or_default();
            return (status, output.to_owned());
        }
        assert!(Instant::now() < deadline, "the command does not end");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn the_installer_s_commands_register_a_server_once_on_either_system() {
    for (system, platform) in [("linux", Platform::Linux), ("windows", Platform::Windows)] {
        let node = "mi-00000000000000001";
        let machine = json!({
            "sourceVmId": "vm-1", "hostname": "web-01", "ips": ["10.0.0.1"], "os": system, "ssmInstanceId": node,
        });
        let simulator = start(json!({"initializeMgn": true, "servers": [machine]}), &[]).await;
        let client = ssm(&simulator);
        let (status, output) = install(&client, platform, node).await;
        assert_eq!(status, "Success", "{system}: {output}");
        assert!(output.contains("source server ID"), "{system}: {output}");
        assert_eq!(silent_failure(&output), None);
        let (status, output) = install(&client, platform, node).await;
        assert_eq!(status, "Success", "{system}: {output}");
        let already = "landfall: the replication agent is already installed and running\n";
        assert_eq!(output, already, "{system}");
    }
}

/// A Secrets Manager whose every secret holds this.
fn secret(text: &'static str) -> aws_sdk_secretsmanager::Client {
    let rule = mock!(aws_sdk_secretsmanager::Client::get_secret_value)
        .then_output(move || GetSecretValueOutput::builder().secret_string(text).build());
    mock_client!(aws_sdk_secretsmanager, RuleMode::MatchAny, [&rule])
}

#[tokio::test]
async fn the_cmdb_is_signed_in_to_read_and_changed() {
    let record = json!({"table": "cmdb_ci_server", "sys_id": "abc", "ip_address": "192.0.2.10"});
    let simulator = start(json!({ "cmdb": [record] }), &[]).await;
    let item = CmdbItem {
        table: "cmdb_ci_server".into(),
        sys_id: "abc".into(),
    };
    let refusal = ErrorName::PrerequisiteError;
    let mut access = cmdb::Access {
        url: format!("{}/cmdb", simulator.url()),
        secret_id: Some("landfall/cmdb".into()),
        http: LazyHttp::default(),
        secrets: secret(r#"{"username": "landfall@cmdb.local", "password": "wrong"}"#),
    };
    let cmdb = access.connect(refusal).await.unwrap();
    let error = cmdb.get(&item).await.unwrap_err();
    assert!(error.message.contains("401"), "{error}");
    for account in [
        r#"{"username": "landfall@cmdb.local", "password": "simulated-cmdb-password"}"#,
        r#"{"token": "simulated-cmdb-token"}"#,
    ] {
        access.secrets = secret(account);
        let cmdb = access.connect(refusal).await.unwrap();
        cmdb.get(&item).await.unwrap();
        let change = json!({ "ip_address": account.len().to_string() });
        let changed = cmdb.patch(&item, &change).await.unwrap();
        assert_eq!(changed["ip_address"], change["ip_address"]);
    }
    access.secret_id = None;
    let cmdb = access.connect(refusal).await.unwrap();
    let error = cmdb.patch(&item, &json!({})).await.unwrap_err();
    assert!(error.message.contains("401"), "{error}");
}

#[tokio::test]
async fn cloud_migration_factory_is_signed_in_to_read_and_changed() {
    let plan = json!([
        {"wave_id": "3", "wave_name": "wave-3", "wave_status": "Planning"},
        {"app_id": "5", "app_name": "billing", "wave_id": "3"},
        {"server_id": "7", "server_name": "web-01", "app_id": "5"},
    ]);
    let simulator = start(json!({ "cmf": plan }), &["cmfToken=on"]).await;
    let mut access = Access {
        url: format!("{}/cmf", simulator.url()),
        login_url: None,
        secret_id: Some("landfall/cmf".into()),
        weight: Weight::Required,
        http: LazyHttp::default(),
        secrets: secret(r#"{"username": "landfall", "password": "right"}"#),
    };
    let refusal = ErrorName::PrerequisiteError;
    let cmf = access.connect(refusal).await.unwrap();
    let records = cmf.records().await.unwrap();
    assert_eq!((records.waves.len(), records.apps.len()), (1, 1));
    assert_eq!(records.servers[0].app_id.as_deref(), Some("5"));
    cmf.set_wave_status("3", WAVE_STARTED).await.unwrap();
    cmf.set_server_status("7", "Landfall: preparing")
        .await
        .unwrap();
    let server = cmf.server_by_id("7").await.unwrap().unwrap();
    assert_eq!(server.status, "Landfall: preparing");
    assert_eq!(cmf.server_by_id("8").await.unwrap(), None);
    let error = cmf.set_wave_status("3", "Landfall").await.unwrap_err();
    assert!(error.message.contains("allowed values"), "{error}");

    access.secrets = secret(r#"{"username": "landfall", "password": "wrong"}"#);
    let error = access.connect(refusal).await.unwrap_err();
    assert_eq!(error.name, refusal, "{error}");
    access.secret_id = None;
    let error = access
        .connect(refusal)
        .await
        .unwrap()
        .records()
        .await
        .unwrap_err();
    assert!(error.message.contains("401"), "{error}");
}
