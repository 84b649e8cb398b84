//! The adapters against a local server that answers as each system does.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::sync::{Arc, Mutex};

use aws_sdk_secretsmanager::Client as Secrets;
use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueOutput;
use aws_smithy_mocks::{RuleMode, mock, mock_client};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use landfall_domain::request::CmdbItem;
use landfall_domain::{ErrorName, MigrationRequest, StageError};
use landfall_external::azure::{Azure, Power};
use landfall_external::cmdb::Cmdb;
use landfall_external::cmf::{Cmf, CmfServer};
use landfall_external::http_client;
use serde_json::{Value, json};

const REFUSAL: ErrorName = ErrorName::CutoverError;

/// A request as it arrived.
struct Seen {
    line: String,
    authorization: String,
    body: String,
}

/// Answers every request with the next of a list of answers.
#[derive(Clone, Default)]
struct Server {
    answers: Arc<Mutex<Vec<(u16, Value)>>>,
    seen: Arc<Mutex<Vec<Seen>>>,
    url: String,
}

impl Server {
    async fn with(answers: impl IntoIterator<Item = (u16, Value)>) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self {
            answers: Arc::new(Mutex::new(answers.into_iter().collect())),
            url: format!("http://{}", listener.local_addr().unwrap()),
            ..Self::default()
        };
        let router = Router::new().fallback(answer).with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        server
    }

    fn lines(&self) -> Vec<String> {
        self.seen
            .lock()
            .unwrap()
            .iter()
            .map(|seen| seen.line.clone())
            .collect()
    }
}

async fn answer(
    State(server): State<Server>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let authorization = headers
        .get("authorization")
        .map(|value| value.to_str().unwrap().to_owned());
    server.seen.lock().unwrap().push(Seen {
        line: format!("{method} {uri}"),
        authorization: authorization.unwrap_or_default(),
        body: String::from_utf8(body.to_vec()).unwrap(),
    });
    let (status, body) = server.answers.lock().unwrap().remove(0);
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    (StatusCode::from_u16(status).unwrap(), body).into_response()
}

fn request(endpoint: &str) -> MigrationRequest {
    serde_json::from_value(json!({
        "migrationId": "mig-1", "appName": "app", "source": "azure", "target": "aws",
        "environment": "prod", "wave": "wave-1", "sourceVmId": "vm-1", "steps": ["switch"],
        "sourceControl": {
            "kind": "azure", "endpoint": endpoint, "credentialsSecretId": "landfall/source/azure",
            "subscriptionId": "sub-1", "resourceGroup": "rg 1", "vmName": "web-01",
        },
    }))
    .unwrap()
}

fn secrets(text: &'static str) -> Secrets {
    let rule = mock!(Secrets::get_secret_value)
        .then_output(move || GetSecretValueOutput::builder().secret_string(text).build());
    mock_client!(aws_sdk_secretsmanager, RuleMode::MatchAny, [&rule])
}

const GOOD: &str = r#"{"tenantId": "tenant", "clientId": "client", "clientSecret": "s3cr&t"}"#;

fn token() -> (u16, Value) {
    (
        200,
        json!({"token_type": "Bearer", "access_token": "t0ken"}),
    )
}

async fn azure(server: &Server) -> Result<Azure, StageError> {
    let endpoint = format!("{}/azure", server.url);
    let http = http_client().unwrap();
    Azure::connect(
        &http,
        &secrets(GOOD),
        &request(&endpoint),
        std::slice::from_ref(&server.url),
        REFUSAL,
    )
    .await
    .map(|azure| azure.unwrap())
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
    assert!(machine.is_running().await.unwrap());
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
    let http = http_client().unwrap();
    for text in ["s3cr&t", r#"{"clientSecret": "s3cr&t"}"#] {
        let error = Azure::connect(
            &http,
            &secrets(text),
            &request("http://127.0.0.1:1"),
            &["http://127.0.0.1:1".to_owned()],
            REFUSAL,
        )
        .await
        .unwrap_err();
        assert_eq!(error.name, REFUSAL);
        assert!(error.message.contains("landfall/source/azure"), "{error}");
        assert!(!format!("{error:?}").contains("s3cr&t"));
    }
}

#[tokio::test]
async fn credentials_go_to_no_plain_http_address() {
    let http = http_client().unwrap();
    let error = Azure::connect(
        &http,
        &secrets(GOOD),
        &request("http://example.com/azure"),
        &["http://example.com".to_owned()],
        REFUSAL,
    )
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
    let http = http_client().unwrap();
    // Nobody answers `GetSecretValue`: a refused endpoint is refused before the secret is fetched.
    let secrets = mock_client!(
        aws_sdk_secretsmanager,
        RuleMode::MatchAny,
        &[] as &[&aws_smithy_mocks::Rule]
    );
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
        let allowed: Vec<String> = allowed.into_iter().map(str::to_owned).collect();
        let error = Azure::connect(&http, &secrets, &request(endpoint), &allowed, REFUSAL)
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

#[tokio::test]
async fn a_source_that_nobody_controls_has_no_machine() {
    let http = http_client().unwrap();
    let mut plain = request("http://127.0.0.1:1");
    plain.source_control.as_mut().unwrap().kind = landfall_domain::request::SourceControlKind::None;
    let none = Azure::connect(&http, &secrets(GOOD), &plain, &[], REFUSAL)
        .await
        .unwrap();
    assert!(none.is_none());
}

#[tokio::test]
async fn nobody_at_home_is_transient() {
    let http = http_client().unwrap();
    // Port 1 is reserved and nothing listens there.
    let cmf = Cmf::new(&http, "http://127.0.0.1:1/cmf", REFUSAL).unwrap();
    let error = cmf.server("web-01").await.unwrap_err();
    assert_eq!(error.name, ErrorName::DependencyUnavailable);
    assert_eq!(
        error.message,
        "CMF: the search for a server could not be reached"
    );
}

#[tokio::test]
async fn cmf_finds_one_server_by_its_name() {
    let record = |id: Value, name: &str| json!({"server_id": id, "server_name": name, "migration_status": "Ready"});
    let server = Server::with([
        (
            200,
            json!([record(json!(7), "web-01"), record(json!("8"), "web-02")]),
        ),
        (200, json!([])),
        (
            200,
            json!([record(json!("1"), "web-01"), record(json!("2"), "web-01")]),
        ),
        (200, json!({})),
        (404, json!({"errors": ["no"]})),
        (200, record(json!("7"), "web-01")),
        (404, Value::Null),
    ])
    .await;
    let http = http_client().unwrap();
    let cmf = Cmf::new(&http, &format!("{}/cmf", server.url), REFUSAL).unwrap();
    let ready = CmfServer {
        id: "7".into(),
        status: "Ready".into(),
    };
    assert_eq!(cmf.server("web-01").await.unwrap(), Some(ready.clone()));
    assert_eq!(cmf.server("web-01").await.unwrap(), None);
    assert_eq!(cmf.server("web-01").await.unwrap_err().name, REFUSAL);
    cmf.set_status("7", "Done").await.unwrap();
    assert_eq!(cmf.set_status("8", "Done").await.unwrap_err().name, REFUSAL);
    assert_eq!(cmf.server_by_id("7").await.unwrap(), Some(ready));
    assert_eq!(cmf.server_by_id("8").await.unwrap(), None);
    let lines = server.lines();
    assert_eq!(lines[0], "GET /cmf/user/server?server_name=web-01");
    assert_eq!(lines[3], "PUT /cmf/user/server/7");
}

#[tokio::test]
async fn an_item_of_the_cmdb_is_read_and_changed() {
    let item = CmdbItem {
        table: "cmdb_ci_server".into(),
        sys_id: "abc".into(),
    };
    let missing =
        json!({"error": {"message": "No Record found", "detail": "x"}, "status": "failure"});
    let server = Server::with([
        (200, json!({"result": {"sys_id": "abc"}})),
        (
            200,
            json!({"result": {"sys_id": "abc", "ip_address": "10.0.0.1"}}),
        ),
        (404, missing),
        (200, json!([])),
    ])
    .await;
    let http = http_client().unwrap();
    let cmdb = Cmdb::new(&http, &format!("{}/cmdb", server.url), REFUSAL).unwrap();
    assert_eq!(cmdb.get(&item).await.unwrap()["sys_id"], "abc");
    let changed = cmdb
        .patch(&item, &json!({"ip_address": "10.0.0.1"}))
        .await
        .unwrap();
    assert_eq!(changed["ip_address"], "10.0.0.1");
    assert_eq!(cmdb.get(&item).await.unwrap_err().name, REFUSAL);
    assert_eq!(cmdb.get(&item).await.unwrap_err().name, REFUSAL);
    let lines = server.lines();
    assert_eq!(lines[1], "PATCH /cmdb/api/now/table/cmdb_ci_server/abc");
}
