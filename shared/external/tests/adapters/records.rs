//! The CMDB.

use aws_config::{BehaviorVersion, SdkConfig};
use landfall_common::Env;
use landfall_domain::ErrorName;
use landfall_domain::request::CmdbItem;
use landfall_external::LazyHttp;
use landfall_external::cmdb::Access;
use serde_json::{Value, json};

use crate::server::{REFUSAL, Server, no_secrets, secrets};

/// The way to a CMDB, with the secret of its account where it has one.
fn access(url: &str, secret: Option<&str>) -> Access {
    Access {
        url: format!("{url}/cmdb"),
        secret_id: secret.map(|_| "landfall/cmdb".into()),
        http: LazyHttp::default(),
        secrets: secret.map_or_else(no_secrets, secrets),
    }
}

fn item() -> CmdbItem {
    CmdbItem {
        table: "cmdb_ci_server".into(),
        sys_id: "abc".into(),
    }
}

/// What the Table API says to whoever it does not let in.
fn not_let_in() -> Value {
    json!({
        "error": {"message": "User Not Authenticated", "detail": "Required to provide Auth information"},
        "status": "failure",
    })
}

#[tokio::test]
async fn nobody_at_home_is_transient() {
    // Port 1 is reserved and nothing listens there.
    let cmdb = access("http://127.0.0.1:1", None).connect(REFUSAL).await;
    let error = cmdb.unwrap().get(&item()).await.unwrap_err();
    assert_eq!(error.name, ErrorName::DependencyUnavailable);
    assert_eq!(error.message, "CMDB: reading an item could not be reached");
}

#[tokio::test]
async fn an_item_of_the_cmdb_is_read_and_changed() {
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
    let cmdb = access(&server.url, None).connect(REFUSAL).await.unwrap();
    assert_eq!(cmdb.get(&item()).await.unwrap()["sys_id"], "abc");
    let changed = cmdb
        .patch(&item(), &json!({"ip_address": "10.0.0.1"}))
        .await
        .unwrap();
    assert_eq!(changed["ip_address"], "10.0.0.1");
    assert_eq!(cmdb.get(&item()).await.unwrap_err().name, REFUSAL);
    assert_eq!(cmdb.get(&item()).await.unwrap_err().name, REFUSAL);
    let lines = server.lines();
    assert_eq!(lines[1], "PATCH /cmdb/api/now/table/cmdb_ci_server/abc");
    // Behind a gateway that lets the deployment's network in there is no account.
    let seen = server.seen.lock().unwrap();
    assert!(seen.iter().all(|it| it.authorization.is_empty()));
}

#[tokio::test]
async fn every_call_carries_the_account_of_the_secret() {
    for (secret, authorization) in [
        (
            r#"{"username": "landfall", "password": "s3cr&t"}"#,
            // landfall:s3cr&t
            "Basic bGFuZGZhbGw6czNjciZ0",
        ),
        (r#"{"token": "s3cr.t0k3n"}"#, "Bearer s3cr.t0k3n"),
        // What the secret's rotation needs of its own.
        (
            r#"{"token": "s3cr.t0k3n", "instance": "dev"}"#,
            "Bearer s3cr.t0k3n",
        ),
    ] {
        let found = || (200, json!({"result": {"sys_id": "abc"}}));
        let server = Server::with([found(), found()]).await;
        let access = access(&server.url, Some(secret));
        let cmdb = access.connect(REFUSAL).await.unwrap();
        cmdb.get(&item()).await.unwrap();
        cmdb.patch(&item(), &json!({})).await.unwrap();
        let seen = server.seen.lock().unwrap();
        let sent: Vec<_> = seen.iter().map(|it| it.authorization.as_str()).collect();
        assert_eq!(sent, [authorization; 2]);
        let shown = format!("{access:?} {cmdb:?}");
        assert!(!shown.contains("s3cr"), "{shown}");
    }
}

#[tokio::test]
async fn whoever_is_not_let_in_is_told_where_the_account_is() {
    let account = r#"{"username": "landfall", "password": "s3cr&t"}"#;
    for (status, secret, told) in [
        (401, Some(account), "secret landfall/cmdb"),
        (403, Some(account), "secret landfall/cmdb"),
        (401, None, "cmdb_secret_id"),
    ] {
        let server = Server::with([(status, not_let_in())]).await;
        let cmdb = access(&server.url, secret).connect(REFUSAL).await.unwrap();
        let error = cmdb.get(&item()).await.unwrap_err();
        assert_eq!(error.name, REFUSAL);
        for part in [status.to_string().as_str(), "User Not Authenticated", told] {
            assert!(error.message.contains(part), "{error}");
        }
        assert!(!format!("{error:?}").contains("s3cr"), "{error:?}");
    }
}

#[tokio::test]
async fn a_secret_of_no_use_is_told_and_not_shown() {
    for secret in [
        "s3cr&t",
        r#"["s3cr&t"]"#,
        r#"{"username": "landfall"}"#,
        r#"{"password": "s3cr&t"}"#,
        r#"{"username": "", "password": "s3cr&t"}"#,
        r#"{"username": "landfall", "password": "s3cr&t", "token": "s3cr"}"#,
        r#"{"token": "s3cr\n"}"#,
        r#"{"token": 1}"#,
    ] {
        let access = access("http://127.0.0.1:1", Some(secret));
        let error = access.connect(REFUSAL).await.unwrap_err();
        assert_eq!(error.name, REFUSAL);
        for part in ["\"landfall/cmdb\"", "LANDFALL_CMDB_SECRET_ID", "token"] {
            assert!(error.message.contains(part), "{error}");
        }
        assert!(!format!("{error:?}").contains("s3cr&t"), "{error:?}");
    }
}

#[tokio::test]
async fn a_password_goes_to_no_plain_http_address_and_is_not_even_fetched_for_one() {
    let mut access = access("", None);
    access.secret_id = Some("landfall/cmdb".into());
    access.url = "http://cmdb.example.com".into();
    let error = access.connect(REFUSAL).await.unwrap_err();
    assert!(error.message.starts_with("LANDFALL_CMDB_URL"), "{error}");
}

#[test]
fn the_environment_says_whether_there_is_one_and_who_it_lets_in() {
    const URL: &str = "https://cmdb.example.com";
    let load = |variables: &'static [(&str, &str)]| {
        let env = Env::new(move |name| {
            let found = variables.iter().find(|(own, _)| *own == name);
            found.map(|(_, value)| (*value).to_owned())
        });
        let aws = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .build();
        Access::load(&aws, &env, &LazyHttp::default()).map(|it| (it.url, it.secret_id))
    };
    assert_eq!(load(&[]), None);
    assert_eq!(
        load(&[("LANDFALL_CMDB_URL", URL)]),
        Some((URL.into(), None))
    );
    assert_eq!(
        load(&[
            ("LANDFALL_CMDB_URL", URL),
            ("LANDFALL_CMDB_SECRET_ID", "landfall/cmdb")
        ]),
        Some((URL.into(), Some("landfall/cmdb".into())))
    );
}
