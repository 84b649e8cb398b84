//! Against a server that speaks STS's query protocol.

use std::collections::BTreeMap;
use std::sync::Mutex as StdMutex;

use aws_config::{BehaviorVersion, retry::RetryConfig};
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;

use super::*;

const HOME: &str = "arn:aws:lambda:eu-central-1:111111111111:function:landfall-trigger-migration";

/// What the server does, and what it was asked.
#[derive(Default)]
struct Sts {
    /// The account of the sessions it gives.
    account: String,
    /// The external ID it wants.
    external_id: String,
    /// How long sessions last, in seconds.
    lasts: i64,
    calls: Vec<BTreeMap<String, String>>,
}

type Shared = Arc<StdMutex<Sts>>;

async fn answer(State(sts): State<Shared>, body: String) -> (StatusCode, String) {
    let form: BTreeMap<String, String> = form_urlencoded::parse(body.as_bytes())
        .into_owned()
        .collect();
    let mut sts = sts.lock().unwrap();
    sts.calls.push(form.clone());
    let error = |code: &str, message: &str| {
        (
            StatusCode::FORBIDDEN,
            format!(
                "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>"
            ),
        )
    };
    match form["Action"].as_str() {
        "AssumeRole" if form.get("ExternalId").map(String::as_str) != Some(&sts.external_id) => {
            error("AccessDenied", "not authorized to perform: sts:AssumeRole")
        }
        "AssumeRole" => {
            let now = std::time::SystemTime::now()
                .duration_since(SystemTime::UNIX_EPOCH)
                .unwrap()
                .as_secs();
            let ends = i64::try_from(now).unwrap() + sts.lasts;
            let ends = jiff::Timestamp::from_second(ends).unwrap();
            (
                StatusCode::OK,
                format!(
                    "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>ASIAEXAMPLE</AccessKeyId><SecretAccessKey>s3cret</SecretAccessKey><SessionToken>t0ken</SessionToken><Expiration>{ends}</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"
                ),
            )
        }
        "GetCallerIdentity" => (
            StatusCode::OK,
            format!(
                "<GetCallerIdentityResponse><GetCallerIdentityResult><Account>{}</Account></GetCallerIdentityResult></GetCallerIdentityResponse>",
                sts.account
            ),
        ),
        "DecodeAuthorizationMessage" if form["EncodedMessage"] == "known" => (
            StatusCode::OK,
            "<DecodeAuthorizationMessageResponse><DecodeAuthorizationMessageResult><DecodedMessage>{\"explicitDeny\":false,\"context\":{\"principal\":{\"arn\":\"arn:r\"},\"action\":\"ec2:RunInstances\",\"resource\":\"arn:i\"}}</DecodedMessage></DecodeAuthorizationMessageResult></DecodeAuthorizationMessageResponse>".to_owned(),
        ),
        _ => error("InvalidAuthorizationMessage", "Message is not valid"),
    }
}

struct World {
    sts: Shared,
    accounts: Accounts<String>,
}

impl World {
    async fn new(lasts: i64) -> Self {
        let sts = Shared::default();
        *sts.lock().unwrap() = Sts {
            account: "222222222222".into(),
            external_id: "abc".into(),
            lasts,
            calls: Vec::new(),
        };
        let app = Router::new()
            .route("/", post(answer))
            .with_state(Arc::clone(&sts));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        let aws = SdkConfig::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new("eu-central-1"))
            .endpoint_url(url)
            .retry_config(RetryConfig::disabled())
            .credentials_provider(SharedCredentialsProvider::new(Credentials::new(
                "AKIAHOME", "home", None, None, "test",
            )))
            .build();
        let describe = |aws: &SdkConfig| aws.region().map(ToString::to_string).unwrap_or_default();
        Self {
            sts,
            accounts: Accounts::new(&aws, actions::TRIGGER_MIGRATION, describe),
        }
    }

    async fn clients(&self, account: &Account) -> Result<Option<String>, Refusal> {
        self.accounts.clients(Some(account), HOME).await
    }

    fn actions(&self) -> Vec<String> {
        let sts = self.sts.lock().unwrap();
        sts.calls
            .iter()
            .map(|call| call["Action"].clone())
            .collect()
    }
}

fn account(id: &str, region: &str, role: Option<&str>, external_id: Option<&str>) -> Account {
    Account {
        id: id.into(),
        region: region.into(),
        role_arn: role.map(str::to_owned),
        external_id: external_id.map(str::to_owned),
    }
}

const ROLE: &str = "arn:aws:iam::222222222222:role/landfall-target";

fn other() -> Account {
    account("222222222222", "us-west-2", Some(ROLE), Some("abc"))
}

#[tokio::test]
async fn home_needs_no_role() {
    let world = World::new(3_600).await;
    let own = account("111111111111", "eu-central-1", None, None);
    assert_eq!(world.accounts.clients(None, HOME).await, Ok(None));
    assert_eq!(world.clients(&own).await, Ok(None));
    // Another Region of the same account is reached with the same credentials.
    let region = account("111111111111", "us-west-2", None, None);
    assert_eq!(world.clients(&region).await, Ok(Some("us-west-2".into())));
    assert!(world.actions().is_empty());
}

#[tokio::test]
async fn another_account_is_entered_once_with_the_stage_s_policy_and_the_external_id() {
    let world = World::new(3_600).await;
    for _ in 0..2 {
        assert_eq!(world.clients(&other()).await, Ok(Some("us-west-2".into())));
    }
    assert_eq!(world.actions(), ["AssumeRole", "GetCallerIdentity"]);
    let sts = world.sts.lock().unwrap();
    let call = &sts.calls[0];
    assert_eq!(call["RoleArn"], ROLE);
    assert_eq!(call["ExternalId"], "abc");
    assert_eq!(call["RoleSessionName"], "landfall-trigger-migration");
    assert_eq!(call["Policy"], actions::TRIGGER_MIGRATION.session_policy());
}

#[tokio::test]
async fn a_session_about_to_end_is_renewed() {
    let world = World::new(60).await;
    for _ in 0..2 {
        assert!(world.clients(&other()).await.is_ok());
    }
    let assumed = |name: &&String| *name == "AssumeRole";
    assert_eq!(world.actions().iter().filter(assumed).count(), 2);
}

#[tokio::test]
async fn a_cached_session_serves_nobody_with_another_external_id() {
    let world = World::new(3_600).await;
    assert!(world.clients(&other()).await.is_ok());
    for id in [None, Some("xyz")] {
        let stranger = account("222222222222", "us-west-2", Some(ROLE), id);
        let refusal = world.clients(&stranger).await.unwrap_err();
        assert!(matches!(refusal, Refusal::NotAssumable(_)), "{refusal:?}");
        let finding = refusal.finding(&stranger).unwrap();
        assert_eq!(finding.code, "TARGET_ROLE_NOT_ASSUMABLE");
        assert!(finding.message.contains("AccessDenied"), "{finding:?}");
    }
}

#[tokio::test]
async fn an_account_that_the_block_does_not_fit_is_refused_without_a_call() {
    let world = World::new(3_600).await;
    for (account, code) in [
        (
            account("222222222222", "us-west-2", None, None),
            "TARGET_ROLE_MISSING",
        ),
        (
            account("333333333333", "us-west-2", Some(ROLE), None),
            "TARGET_ROLE_WRONG_ACCOUNT",
        ),
    ] {
        let finding = world.clients(&account).await.unwrap_err().finding(&account);
        let finding = finding.unwrap();
        assert_eq!(finding.code, code);
        assert!(finding.is_blocking() && !finding.remedy.is_empty());
    }
    assert!(world.actions().is_empty());
}

#[tokio::test]
async fn a_session_of_another_account_is_never_used() {
    let world = World::new(3_600).await;
    world.sts.lock().unwrap().account = "999999999999".into();
    for _ in 0..2 {
        let refusal = world.clients(&other()).await.unwrap_err();
        assert_eq!(refusal, Refusal::WrongAccount("999999999999".into()));
        let error = refusal.into_error(&other());
        assert_eq!(error.name, ErrorName::PrerequisiteError);
        assert!(error.message.contains("999999999999"));
    }
}

#[tokio::test]
async fn an_encoded_failure_is_told_in_words() {
    let world = World::new(3_600).await;
    let text = |code: &str| format!("Denied. Encoded authorization failure message: {code} end");
    let explain = |text: String| world.accounts.explain(None, text);
    assert_eq!(
        explain(text("known")).await,
        "Denied. arn:r may not ec2:RunInstances on arn:i: no policy allows it end"
    );
    let kept = explain(text("other")).await;
    assert!(kept.starts_with(&text("other")), "{kept}");
    assert!(kept.contains("InvalidAuthorizationMessage"), "{kept}");
    assert_eq!(explain("plain".into()).await, "plain");
    assert_eq!(world.actions().len(), 2);
}
