//! Cloud Migration Factory's adapter against one on a local port.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

#[path = "support/cmf.rs"]
mod factory;

use aws_config::BehaviorVersion;
use factory::{Cmf, TOKEN, secrets};
use landfall_common::Env;
use landfall_domain::cmf::{App, Records, Server, Wave, Weight};
use landfall_domain::{ErrorName, StageError};
use landfall_external::LazyHttp;
use landfall_external::cmf::Access;
use serde_json::json;

const REFUSAL: ErrorName = ErrorName::CutoverError;

fn records() -> serde_json::Value {
    json!({
        "wave": [{"wave_id": "3", "wave_name": "wave-3", "wave_status": "Planning"}, {"wave_id": 4, "wave_name": "wave-4"}],
        "app": [{"app_id": "5", "app_name": "billing", "wave_id": "3"}, {"app_id": "6", "app_name": "crm"}],
        "server": [{"server_id": "7", "server_name": "web-01", "server_fqdn": "web-01.corp", "app_id": "5", "migration_status": "Ready"}],
    })
}

#[tokio::test]
async fn the_records_are_read_as_they_are() {
    let cmf = Cmf::serve(records()).await;
    let api = cmf.access(Weight::Told).connect(REFUSAL).await.unwrap();
    let wave = |id: &str, name: &str, status: &str| Wave {
        id: id.into(),
        name: name.into(),
        status: status.into(),
    };
    let app = |id: &str, name: &str, wave_id: Option<&str>| App {
        id: id.into(),
        name: name.into(),
        wave_id: wave_id.map(str::to_owned),
    };
    assert_eq!(
        api.records().await.unwrap(),
        Records {
            waves: vec![wave("3", "wave-3", "Planning"), wave("4", "wave-4", "")],
            apps: vec![app("5", "billing", Some("3")), app("6", "crm", None)],
            servers: vec![Server {
                id: "7".into(),
                name: "web-01".into(),
                fqdn: "web-01.corp".into(),
                app_id: Some("5".into()),
                status: "Ready".into(),
            }],
        }
    );
    let mut calls = cmf.factory().calls.clone();
    calls.sort();
    assert_eq!(
        calls,
        ["GET /user/app", "GET /user/server", "GET /user/wave"]
    );
}

#[tokio::test]
async fn a_status_is_set_and_taken_away_and_what_is_not_there_is_told() {
    let cmf = Cmf::serve(records()).await;
    let api = cmf.access(Weight::Told).connect(REFUSAL).await.unwrap();
    api.set_server_status("7", "Landfall: preparing")
        .await
        .unwrap();
    api.set_wave_status("3", "In progress").await.unwrap();
    let status = |server: Option<Server>| server.unwrap().status;
    assert_eq!(
        status(api.server_by_id("7").await.unwrap()),
        "Landfall: preparing"
    );
    assert_eq!(
        cmf.factory().records["wave"][0]["wave_status"],
        "In progress"
    );
    assert_eq!(cmf.factory().records["server"][0]["app_id"], "5");
    api.set_server_status("7", "").await.unwrap();
    assert_eq!(status(api.server_by_id("7").await.unwrap()), "");

    assert_eq!(api.server_by_id("8").await.unwrap(), None);
    let error = api.set_server_status("8", "x").await.unwrap_err();
    assert_eq!(error.name, REFUSAL);
    assert!(
        error.message.contains("no server with the ID \"8\""),
        "{error}"
    );
    assert_eq!(
        api.set_wave_status("9", "x").await.unwrap_err().name,
        REFUSAL
    );
}

#[tokio::test]
async fn a_deployment_with_a_secret_signs_in_and_its_token_is_sent_as_it_is() {
    let cmf = Cmf::serve(records()).await;
    cmf.factory().wants_token = true;
    let mut access = cmf.access(Weight::Told);
    let error = access
        .connect(REFUSAL)
        .await
        .unwrap()
        .records()
        .await
        .unwrap_err();
    assert!(error.message.contains("401: Unauthorized"), "{error}");
    access.secret_id = Some("landfall/cmf".into());
    let api = access.connect(REFUSAL).await.unwrap();
    assert_eq!(api.records().await.unwrap().servers.len(), 1);
    let calls = cmf.factory().calls.clone();
    let login = calls
        .iter()
        .find_map(|call| call.strip_prefix("POST /login "));
    let sent: serde_json::Value = serde_json::from_str(login.unwrap()).unwrap();
    assert_eq!(sent, json!({"username": "landfall", "password": "s3cr&t"}));
    let shown = format!("{access:?} {api:?}");
    assert!(
        !shown.contains("s3cr&t") && !shown.contains(TOKEN),
        "{shown}"
    );

    // The login API has a URL of its own.
    let own = Cmf::serve(json!({})).await;
    access.login_url = Some(format!("{}/prod", own.url));
    access.connect(REFUSAL).await.unwrap();
    assert!(own.factory().calls[0].starts_with("POST /prod/login "));
}

#[tokio::test]
async fn a_sign_in_that_fails_says_why_and_tells_no_secret() {
    async fn connect(access: &Access) -> StageError {
        access.connect(REFUSAL).await.unwrap_err()
    }
    let cmf = Cmf::serve(records()).await;
    let mut access = cmf.access(Weight::Told);
    access.secret_id = Some("landfall/cmf".into());
    let challenge = json!({"ChallengeName": "SMS_MFA", "Session": "s"}).to_string();
    for (status, body, name, told) in [
        (
            400,
            "Incorrect username or password",
            REFUSAL,
            "answered 400; check the user in the secret landfall/cmf",
        ),
        (200, challenge.as_str(), REFUSAL, "asks for more (SMS_MFA)"),
        (200, "{}", REFUSAL, "gave no token"),
        (200, "\"a\\u0000b\"", REFUSAL, "that no header can carry"),
        (404, "", REFUSAL, "LANDFALL_CMF_LOGIN_URL"),
        (502, "{}", ErrorName::DependencyUnavailable, "answered 502"),
        (429, "{}", ErrorName::Throttled, "answered 429"),
    ] {
        cmf.factory().login = (status, body.to_owned());
        let error = connect(&access).await;
        assert_eq!(error.name, name, "{error}");
        assert!(error.message.contains(told), "{error}");
        assert!(!format!("{error:?}").contains("s3cr&t"), "{error:?}");
    }
    access.secrets = secrets(r#"{"user": "landfall", "password": "s3cr&t"}"#);
    let error = connect(&access).await;
    assert!(error.message.contains("username and password"), "{error}");
    assert!(!format!("{error:?}").contains("s3cr&t"), "{error:?}");
    // A password goes to no plain http address, and is not even fetched for one.
    access.login_url = Some("http://cmf.example.com/prod".into());
    let error = connect(&access).await;
    assert!(
        error.message.starts_with("LANDFALL_CMF_LOGIN_URL"),
        "{error}"
    );
}

#[tokio::test]
async fn answers_of_another_form_are_refused() {
    for (records, told) in [
        (
            json!({"wave": [{"wave_name": "x"}], "app": [], "server": []}),
            "no wave_id",
        ),
        (
            json!({"wave": [], "app": [], "server": [{"server_id": ""}]}),
            "no server_id",
        ),
    ] {
        let cmf = Cmf::serve(records).await;
        let api = cmf.access(Weight::Told).connect(REFUSAL).await.unwrap();
        let error = api.records().await.unwrap_err();
        assert_eq!(error.name, REFUSAL);
        assert!(error.message.contains(told), "{error}");
    }
    let cmf = Cmf::serve(records()).await;
    cmf.factory().faults = vec![("GET /user/app", 503), ("PUT /user/wave/3", 403)];
    let api = cmf.access(Weight::Told).connect(REFUSAL).await.unwrap();
    let error = api.records().await.unwrap_err();
    assert_eq!(error.name, ErrorName::DependencyUnavailable, "{error}");
    assert_eq!(
        api.set_wave_status("3", "x").await.unwrap_err().name,
        REFUSAL
    );
}

#[test]
fn the_environment_says_whether_there_is_one_and_how_much_it_weighs() {
    let load = |variables: &'static [(&str, &str)]| {
        let mut env = Env::new(move |name| {
            let found = variables.iter().find(|(own, _)| *own == name);
            found.map(|(_, value)| (*value).to_owned())
        });
        let aws = aws_config::SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .build();
        let access = Access::load(&aws, &mut env, &LazyHttp::default());
        (access, env.finish().is_ok())
    };
    assert!(load(&[]).0.is_none());
    let (access, _) = load(&[("LANDFALL_CMF_URL", "https://cmf/prod")]);
    let access = access.unwrap();
    assert_eq!((access.weight, access.secret_id), (Weight::Told, None));
    let (access, _) = load(&[
        ("LANDFALL_CMF_URL", "https://cmf/prod"),
        ("LANDFALL_CMF_LOGIN_URL", "https://login/prod"),
        ("LANDFALL_CMF_SECRET_ID", "x"),
        ("LANDFALL_CMF_REQUIRED", "true"),
    ]);
    let access = access.unwrap();
    assert_eq!(access.weight, Weight::Required);
    assert_eq!(access.login_url.as_deref(), Some("https://login/prod"));
    assert!(!load(&[("LANDFALL_CMF_REQUIRED", "yes")]).1);
}
