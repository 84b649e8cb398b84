//! Azure, and what all platforms have in common.

use landfall_domain::{ErrorName, StageError};
use landfall_external::LazyHttp;
use landfall_external::source::{self, Access, Machine, Power, Removal, SourceMachine as _};
use serde_json::{Value, json};

use crate::server::{REFUSAL, Server, connect, no_ec2, no_secrets, request, secrets};

const GOOD: &str = r#"{"tenantId": "tenant", "clientId": "client", "clientSecret": "s3cr&t"}"#;

fn token() -> (u16, Value) {
    (
        200,
        json!({"token_type": "Bearer", "access_token": "t0ken"}),
    )
}

fn control(endpoint: &str) -> Value {
    json!({
        "kind": "azure", "endpoint": endpoint, "credentialsSecretId": "landfall/source/azure",
        "subscriptionId": "sub-1", "resourceGroup": "rg 1", "vmName": "web-01",
    })
}

async fn azure(server: &Server) -> Result<Machine, StageError> {
    let endpoint = format!("{}/azure", server.url);
    connect(&control(&endpoint), &secrets(GOOD), &[&server.url]).await
}

fn power(code: &str) -> (u16, Value) {
    let statuses =
        json!([{"code": "ProvisioningState/succeeded"}, {"code": format!("PowerState/{code}")}]);
    (200, json!({ "statuses": statuses }))
}

#[tokio::test]
async fn a_machine_is_switched_off_and_on() {
    let server = Server::with([
        token(),
        power("running"),
        (202, Value::Null),
        (202, Value::Null),
    ])
    .await;
    let machine = azure(&server).await.unwrap();
    assert_eq!(machine.power().await.unwrap(), Power::Running);
    machine.power_off().await.unwrap();
    machine.start().await.unwrap();
    let vm = "/azure/subscriptions/sub-1/resourceGroups/rg%201/providers/Microsoft.Compute/virtualMachines/web-01";
    assert_eq!(
        server.lines(),
        [
            "POST /azure/tenant/oauth2/v2.0/token".to_owned(),
            format!("GET {vm}/instanceView?api-version=2024-07-01"),
            format!("POST {vm}/deallocate?api-version=2024-07-01"),
            format!("POST {vm}/start?api-version=2024-07-01"),
        ]
    );
    let seen = server.seen.lock().unwrap();
    assert!(
        seen[0].body.contains("client_secret=s3cr%26t&scope=https"),
        "{}",
        seen[0].body
    );
    assert_eq!(seen[1].authorization, "Bearer t0ken");
}

#[tokio::test]
async fn every_power_state_has_its_meaning() {
    for (code, meaning) in [
        ("running", Power::Running),
        ("starting", Power::Starting),
        ("stopping", Power::Stopping),
        ("deallocating", Power::Stopping),
        ("stopped", Power::Off),
        ("deallocated", Power::Off),
        ("unknown", Power::Unknown),
    ] {
        let server = Server::with([token(), power(code)]).await;
        let machine = azure(&server).await.unwrap();
        assert_eq!(machine.power().await.unwrap(), meaning, "{code}");
    }
}

#[tokio::test]
async fn every_disk_gets_a_snapshot() {
    let machine = json!({"location": "westeurope", "properties": {"storageProfile": {
        "osDisk": {"managedDisk": {"id": "/disks/os"}},
        "dataDisks": [{"lun": 0, "managedDisk": {"id": "/disks/data"}}],
    }}});
    let taken = |id: &str| {
        (
            201,
            json!({"id": id, "properties": {"provisioningState": "Succeeded"}}),
        )
    };
    let server = Server::with([
        token(),
        (200, machine),
        taken("/snapshots/1"),
        taken("/snapshots/2"),
    ])
    .await;
    let id = azure(&server)
        .await
        .unwrap()
        .snapshot("landfall-mig-1-1")
        .await
        .unwrap();
    assert_eq!(id, "/snapshots/1");
    let lines = server.lines();
    assert!(
        lines[2].contains("/snapshots/landfall-mig-1-1?"),
        "{lines:?}"
    );
    assert!(
        lines[3].contains("/snapshots/landfall-mig-1-1-lun0?"),
        "{lines:?}"
    );
    let body: Value = serde_json::from_str(&server.seen.lock().unwrap()[2].body).unwrap();
    assert_eq!(
        body["properties"]["creationData"]["sourceResourceId"],
        "/disks/os"
    );
}

#[tokio::test]
async fn a_snapshot_takes_its_time_or_fails() {
    for (status, state, name) in [
        (202, json!("Creating"), ErrorName::DependencyUnavailable),
        (202, Value::Null, ErrorName::DependencyUnavailable),
        (200, json!("Failed"), REFUSAL),
    ] {
        let machine = json!({"properties": {"storageProfile": {"osDisk": {"managedDisk": {"id": "/disks/os"}}}}});
        let taken = json!({"id": "/snapshots/1", "properties": {"provisioningState": state}});
        let server = Server::with([token(), (200, machine), (status, taken)]).await;
        let error = azure(&server)
            .await
            .unwrap()
            .snapshot("x")
            .await
            .unwrap_err();
        assert_eq!(error.name, name);
    }
}

#[tokio::test]
async fn the_snapshots_of_a_machine_are_begun_together() {
    let machine = json!({"properties": {"storageProfile": {
        "osDisk": {"managedDisk": {"id": "/disks/os"}},
        "dataDisks": [{"lun": 0, "managedDisk": {"id": "/disks/data"}}],
    }}});
    let answer = |state: &str| {
        let body = json!({"id": "/snapshots/1", "properties": {"provisioningState": state}});
        (202, body)
    };
    for (first, second, name) in [
        ("Creating", "Creating", ErrorName::DependencyUnavailable),
        ("Succeeded", "Creating", ErrorName::DependencyUnavailable),
        ("Creating", "Failed", REFUSAL),
    ] {
        let answers = [
            token(),
            (200, machine.clone()),
            answer(first),
            answer(second),
        ];
        let server = Server::with(answers).await;
        let machine = azure(&server).await.unwrap();
        let error = machine.snapshot("x").await.unwrap_err();
        assert_eq!(error.name, name, "{first} {second}");
        assert_eq!(server.lines().len(), 4, "{first} {second}");
    }
}

#[tokio::test]
async fn failures_are_classed_and_never_hold_a_secret() {
    for (status, name) in [
        (401, REFUSAL),
        (403, REFUSAL),
        (404, REFUSAL),
        (409, ErrorName::Conflict),
        (429, ErrorName::Throttled),
        (500, ErrorName::DependencyUnavailable),
        (503, ErrorName::DependencyUnavailable),
        (302, REFUSAL),
    ] {
        let body = json!({"error": {"code": "SomeCode", "message": "some text"}});
        let server = Server::with([token(), (status, body)]).await;
        let machine = azure(&server).await.unwrap();
        let error = machine.power().await.unwrap_err();
        assert_eq!(error.name, name, "{status}: {error}");
        let all = format!("{error:?} {machine:?}");
        assert!(!all.contains("t0ken") && !all.contains("s3cr&t"), "{all}");
    }
    let refused = json!({"error": "invalid_client", "error_description": "client s3cr&t"});
    let server = Server::with([(401, refused)]).await;
    let error = azure(&server).await.unwrap_err();
    assert_eq!(error.name, REFUSAL);
    assert_eq!(
        error.message,
        "Azure: signing in answered 401: invalid_client"
    );
}

#[tokio::test]
async fn a_secret_in_another_form_is_told_without_its_content() {
    for text in ["s3cr&t", r#"{"clientSecret": "s3cr&t"}"#] {
        let control = control("http://127.0.0.1:1");
        let error = connect(&control, &secrets(text), &["http://127.0.0.1:1"])
            .await
            .unwrap_err();
        assert_eq!(error.name, REFUSAL);
        assert!(error.message.contains("landfall/source/azure"), "{error}");
        assert!(!format!("{error:?}").contains("s3cr&t"));
    }
}

#[tokio::test]
async fn credentials_go_to_no_plain_http_address() {
    let control = control("http://example.com/azure");
    let error = connect(&control, &no_secrets(), &["http://example.com"])
        .await
        .unwrap_err();
    assert_eq!(error.name, REFUSAL);
    assert!(
        error.message.starts_with("/sourceControl/endpoint"),
        "{error}"
    );
}

#[tokio::test]
async fn credentials_go_to_no_host_that_the_deployment_does_not_list() {
    for (endpoint, allowed) in [
        ("https://evil.example.com", vec![]),
        ("https://evil.example.com", vec!["https://azure.corp"]),
        (
            "https://azure.corp.evil.example.com",
            vec!["https://azure.corp"],
        ),
        ("https://azure.corp:8443/x", vec!["https://azure.corp"]),
        (
            r"https://evil.example.com\@azure.corp/",
            vec!["https://azure.corp"],
        ),
        ("http://127.0.0.1:4571/azure", vec!["http://127.0.0.1:4570"]),
    ] {
        for kind in ["azure", "vsphere"] {
            let mut control = control(endpoint);
            control["kind"] = kind.into();
            // Nobody answers `GetSecretValue`: a refused endpoint is refused before the secret is fetched.
            let error = connect(&control, &no_secrets(), &allowed)
                .await
                .unwrap_err();
            assert_eq!(error.name, REFUSAL, "{endpoint}");
            assert!(
                error.message.contains("/sourceControl/endpoint")
                    && error.message.contains("source_api_allow"),
                "{endpoint}: {error}"
            );
        }
    }
}

#[tokio::test]
async fn a_source_that_nobody_controls_has_no_machine() {
    let access = Access {
        http: LazyHttp::default(),
        secrets: no_secrets(),
        ec2: no_ec2(),
        allowed: vec![],
        removable: vec![],
    };
    for control in [Value::Null, json!({"kind": "none"})] {
        let machine = source::connect(&access, &request(&control), REFUSAL).await;
        assert!(machine.unwrap().is_none());
    }
}

#[tokio::test]
async fn what_a_kind_needs_is_named_when_a_record_lacks_it() {
    for (kind, field) in [
        ("azure", "subscriptionId"),
        ("vsphere", "endpoint"),
        ("ec2", "instanceId"),
    ] {
        let error = connect(&json!({"kind": kind}), &no_secrets(), &[])
            .await
            .unwrap_err();
        assert_eq!(
            error.message,
            format!("/sourceControl/{field} is missing; kind {kind:?} needs it")
        );
    }
}

#[tokio::test]
async fn a_machine_that_is_off_is_deleted_and_one_that_is_gone_stays_gone() {
    let deleting = json!({"statuses": [{"code": "ProvisioningState/deleting"}]});
    #[expect(
        clippy::type_complexity,
        reason = "what Azure says, and what that means"
    )]
    let table: [(Vec<(u16, Value)>, Removal, usize); 6] = [
        (
            vec![power("deallocated"), (202, Value::Null)],
            Removal::UnderWay,
            1,
        ),
        (vec![power("stopped"), (204, Value::Null)], Removal::Gone, 1),
        (vec![(200, deleting)], Removal::UnderWay, 0),
        (vec![(404, Value::Null)], Removal::Gone, 0),
        (vec![power("running")], Removal::NotOff, 0),
        // Nobody knows: it may run.
        (vec![power("unknown")], Removal::NotOff, 0),
    ];
    for (answers, expected, deletes) in table {
        let server = Server::with(std::iter::once(token()).chain(answers.clone())).await;
        let removal = azure(&server).await.unwrap().remove().await.unwrap();
        assert_eq!(removal, expected, "{answers:?}");
        let lines = server.lines();
        let asked = lines.iter().filter(|line| line.starts_with("DELETE "));
        assert_eq!(asked.count(), deletes, "{lines:?}");
    }
}
