//! What `sourceControl` names is looked at before anything is begun.

use axum::Router;
use axum::http::StatusCode;
use axum::routing::{get, post};
use landfall_domain::StageError;
use serde_json::{Value, json};

use crate::world::Stage;

const GOOD: &str = r#"{"tenantId": "t", "clientId": "c", "clientSecret": "the-client-secret"}"#;

/// Azure with one machine on a local port: its origin.
async fn azure(sign_in: StatusCode) -> String {
    let machine =
        "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/web-01";
    let token = move || async move { (sign_in, r#"{"access_token": "the-access-token"}"#) };
    let router = Router::new()
        .route("/t/oauth2/v2.0/token", post(token))
        .route(machine, get(|| async { "{}" }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    origin
}

/// A stage whose request names a machine of Azure at an origin.
fn stage(origin: &str, machine: &str, steps: &Value) -> Stage {
    let control = json!({
        "kind": "azure", "endpoint": origin, "credentialsSecretId": "landfall/source/azure", "subscriptionId": "s",
        "resourceGroup": "g", "vmName": machine,
    });
    let mut stage = Stage::new(json!({"sourceControl": control, "steps": steps}));
    stage.deps.sources.allowed = vec![origin.to_owned()];
    stage.deps.allow.sources = vec![origin.to_owned()];
    stage.world().secret = Some(GOOD);
    stage
}

fn assert_told(result: Result<Value, StageError>, code: &str, parts: &[&str]) {
    let error = result.unwrap_err();
    let [finding] = error.findings.as_slice() else {
        panic!("{:?}", error.findings);
    };
    assert_eq!(finding.code, code);
    for part in parts {
        assert!(finding.message.contains(part), "{finding:?}");
    }
    let all = format!("{error:?}");
    for secret in ["the-client-secret", "the-access-token"] {
        assert!(!all.contains(secret), "{all}");
    }
}

#[tokio::test]
async fn a_secret_a_sign_in_and_a_machine_are_needed() {
    let all = json!(["freeze", "replicate", "validate", "switch"]);
    let fine = azure(StatusCode::OK).await;
    let good = stage(&fine, "web-01", &all);
    good.run().await.unwrap();
    assert_eq!(good.event_types(), ["ValidationPassed"]);
    assert_eq!(good.world().events[0].1.get("evidence"), None);

    let lost = stage(&fine, "web-02", &all);
    assert_told(lost.run().await, "SOURCE_MACHINE_NOT_FOUND", &["web-02"]);
    let field = "/sourceControl/credentialsSecretId";
    let name = "landfall/source/azure";
    let none = stage(&fine, "web-01", &all);
    none.world().secret = None;
    let parts = [name, field, "ResourceNotFoundException"];
    assert_told(none.run().await, "SOURCE_SECRET_NOT_USABLE", &parts);
    let half = stage(&fine, "web-01", &all);
    half.world().secret = Some(r#"{"tenantId": "t", "clientSecret": "the-client-secret"}"#);
    let parts = [name, field, "lacks clientId"];
    assert_told(half.run().await, "SOURCE_SECRET_NOT_USABLE", &parts);
    let strict = azure(StatusCode::UNAUTHORIZED).await;
    let refused = stage(&strict, "web-01", &all).run().await;
    assert_told(refused, "SOURCE_ACCESS_REFUSED", &["signing in", "401"]);
}

#[tokio::test]
async fn a_platform_that_is_away_holds_nobody_up() {
    let down = azure(StatusCode::SERVICE_UNAVAILABLE).await;
    let stage = stage(&down, "web-01", &json!(["freeze", "replicate"]));
    stage.run().await.unwrap();
    let world = stage.world();
    let findings = &world.events[0].1["evidence"]["findings"];
    assert_eq!(findings[0]["code"], "SOURCE_UNREACHABLE");
    assert_eq!(findings[0]["severity"], "warning");
}

#[tokio::test]
async fn only_steps_that_work_on_the_machine_ask_for_it() {
    for (steps, asks) in [
        (json!(["freeze"]), true),
        (json!(["validate", "switch"]), true),
        (json!(["replicate", "validate"]), false),
    ] {
        // Nobody answers there.
        let stage = stage("http://127.0.0.1:1", "web-01", &steps);
        stage.dry_run(json!({})).await.unwrap();
        let asked = stage.world().calls.contains(&"GetSecretValue");
        assert_eq!(asked, asks, "{steps}");
    }
    // Credentials for an endpoint that is not listed are not fetched.
    let mut forbidden = stage("http://127.0.0.1:1", "web-01", &json!(["freeze"]));
    forbidden.deps.sources.allowed.clear();
    forbidden.deps.allow.sources.clear();
    let result = forbidden.run().await;
    assert_told(result, "SOURCE_ENDPOINT_FORBIDDEN", &[]);
    assert!(!forbidden.world().calls.contains(&"GetSecretValue"));
}

#[tokio::test]
async fn an_instance_of_ec2_is_found_by_its_id() {
    let control =
        json!({"kind": "ec2", "instanceId": "i-0123456789abcdef0", "region": "eu-west-1"});
    let stage = Stage::new(json!({ "sourceControl": control }));
    assert_told(
        stage.run().await,
        "SOURCE_MACHINE_NOT_FOUND",
        &["i-0123456789abcdef0", "eu-west-1"],
    );
    stage.world().source_state = Some("running");
    stage.run().await.unwrap();
}
