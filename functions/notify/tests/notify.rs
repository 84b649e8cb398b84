//! `notify` against AWS in memory and chats on this machine.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::result_large_err,
    reason = "helpers of tests"
)]

#[path = "../../../shared/common/tests/support/receiver.rs"]
mod receiver;
#[path = "../../../shared/common/tests/support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_sdk_secretsmanager::operation::get_secret_value as secret;
use aws_sdk_sns::operation::publish;
use aws_smithy_mocks::{RuleMode, mock_client};
use landfall_domain::EventType;
use landfall_domain::notice::DEFAULT_EVENTS;
use landfall_external::outbound::Guard;
use notify::{Deps, handle};
use receiver::Receiver;
use serde_json::{Value, json};
use support::{Calls, Fault, answer, batch, invocation, refusal, sent_back};

const TOPIC: &str = "arn:aws:sns:eu-central-1:123456789012:landfall-notices";

#[derive(Clone, Debug)]
struct Mail {
    subject: String,
    message: String,
    attributes: BTreeMap<String, String>,
}

struct Stage {
    calls: Calls,
    mails: Arc<Mutex<Vec<Mail>>>,
    secret: Arc<Mutex<String>>,
    chats: Vec<Receiver>,
    deps: Deps,
}

impl Stage {
    /// With two chats, Slack's and Teams', which answer in turn.
    fn new(slack: &[u16], teams: &[u16]) -> Self {
        let calls = Calls::default();
        let mails: Arc<Mutex<Vec<Mail>>> = Arc::default();
        let chats = vec![Receiver::start(slack), Receiver::start(teams)];
        let [slack, teams] = [0, 1].map(|nth: usize| format!("{}/secret-{nth}", chats[nth].url));
        let value = json!({ "slack": [slack], "teams": [teams] }).to_string();
        let secret = Arc::new(Mutex::new(value));
        let deps = Deps {
            sns: sns(&mails, &calls),
            secrets: secrets(&secret, &calls),
            topic_arn: TOPIC.into(),
            secret_id: "landfall/notice-webhooks".into(),
            guard: Guard::new(chats.iter().map(|chat| chat.url.clone()).collect()).only(vec![]),
            memory: Arc::default(),
        };
        Self {
            calls,
            mails,
            secret,
            chats,
            deps,
        }
    }

    async fn take(&self, bodies: &[String]) -> Vec<String> {
        let answer = handle(&self.deps, batch(bodies), invocation("request-1")).await;
        sent_back(&answer.unwrap())
    }

    fn mails(&self) -> Vec<Mail> {
        self.mails.lock().unwrap().clone()
    }

    /// How much each chat has got.
    fn chatted(&self) -> [usize; 2] {
        [0, 1].map(|nth: usize| self.chats[nth].requests().len())
    }
}

fn sns(mails: &Arc<Mutex<Vec<Mail>>>, calls: &Calls) -> aws_sdk_sns::Client {
    use aws_sdk_sns::Client;
    let publish = answer!(
        calls,
        mails = mails,
        Client::publish,
        publish::PublishError,
        "Publish",
        |input| {
            assert_eq!(input.topic_arn(), Some(TOPIC));
            let attributes = input.message_attributes().into_iter().flatten();
            let text = |value: Option<&str>| value.unwrap().to_owned();
            mails.push(Mail {
                subject: text(input.subject()),
                message: text(input.message()),
                attributes: attributes
                    .map(|(name, value)| (name.clone(), text(value.string_value())))
                    .collect(),
            });
            Ok(publish::PublishOutput::builder().build())
        }
    );
    mock_client!(aws_sdk_sns, RuleMode::MatchAny, [&publish])
}

fn secrets(value: &Arc<Mutex<String>>, calls: &Calls) -> aws_sdk_secretsmanager::Client {
    use aws_sdk_secretsmanager::Client;
    let get = answer!(
        calls,
        value = value,
        Client::get_secret_value,
        secret::GetSecretValueError,
        "GetSecretValue",
        |_input| {
            if value.is_empty() {
                return Err(refusal!(
                    secret::GetSecretValueError,
                    "ResourceNotFoundException"
                ));
            }
            Ok(secret::GetSecretValueOutput::builder()
                .secret_string(value.as_str())
                .build())
        }
    );
    mock_client!(aws_sdk_secretsmanager, RuleMode::MatchAny, [&get])
}

fn event(id: &str, kind: EventType) -> String {
    json!({
        "version": "0", "id": id, "source": "landfall", "detail-type": kind, "account": "123456789012",
        "time": "2026-11-21T12:00:00Z", "region": "eu-central-1", "resources": [],
        "detail": {
            "schemaVersion": "1.0", "tenantId": "default", "migrationId": "mig-1", "correlationId": "mig-c",
            "appName": "billing-app", "wave": "wave-3", "from": "TESTING", "to": "FAILED", "attempt": 1,
            "occurredAt": "2026-11-21T12:00:00Z",
        },
    })
    .to_string()
}

#[tokio::test]
async fn everybody_hears_of_an_event_in_the_form_of_the_place() {
    let stage = Stage::new(&[200], &[202]);
    let back = stage
        .take(&[event("e-1", EventType::MigrationFailed)])
        .await;
    assert!(back.is_empty(), "{back:?}");
    let mails = stage.mails();
    assert_eq!(mails.len(), 1);
    assert_eq!(
        mails[0].subject,
        "Landfall: [problem] mig-1: the migration failed and left nothing behind"
    );
    assert!(mails[0].message.contains("landfall status mig-1"));
    let expected = [
        ("appName", "billing-app"),
        ("event", "MigrationFailed"),
        ("migrationId", "mig-1"),
        ("tenantId", "default"),
        ("wave", "wave-3"),
    ];
    let attributes = &mails[0].attributes;
    let attributes: Vec<_> = attributes
        .iter()
        .map(|(k, v)| (k.as_str(), v.as_str()))
        .collect();
    assert_eq!(attributes, expected);
    let [slack, teams] = [0, 1].map(|nth: usize| stage.chats[nth].requests().remove(0));
    assert_eq!(slack.line, "POST /secret-0 HTTP/1.1");
    let body: Value = serde_json::from_str(&slack.body).unwrap();
    assert!(
        body["text"]
            .as_str()
            .unwrap()
            .contains("mig-1: the migration failed"),
        "{body}"
    );
    let body: Value = serde_json::from_str(&teams.body).unwrap();
    let card = &body["attachments"][0]["content"];
    assert_eq!(card["type"], "AdaptiveCard");
    assert_eq!(stage.calls.made(), ["GetSecretValue", "Publish"]);
}

#[tokio::test]
async fn a_chat_that_is_down_keeps_nobody_from_hearing_and_hears_later() {
    let stage = Stage::new(&[503, 429, 200], &[200]);
    let one = [event("e-1", EventType::MigrationFailed)];
    assert_eq!(stage.take(&one).await, ["message-0"]);
    assert_eq!((stage.mails().len(), stage.chatted()), (1, [1, 1]));
    assert_eq!(stage.take(&one).await, ["message-0"]);
    assert!(stage.take(&one).await.is_empty());
    // Only the one that had not heard was told again.
    assert_eq!((stage.mails().len(), stage.chatted()), (1, [3, 1]));
    // Another event is another notice.
    assert!(
        stage
            .take(&[event("e-2", EventType::MigrationFailed)])
            .await
            .is_empty()
    );
    assert_eq!((stage.mails().len(), stage.chatted()), (2, [4, 2]));
}

#[tokio::test]
async fn a_chat_that_is_down_is_asked_once_in_a_batch() {
    let stage = Stage::new(&[429, 200], &[200]);
    let all = ["e-1", "e-2", "e-3"].map(|id| event(id, EventType::MigrationFailed));
    let back = stage.take(&all).await;
    assert_eq!(back, ["message-0", "message-1", "message-2"]);
    assert_eq!((stage.mails().len(), stage.chatted()), (3, [1, 3]));
    assert!(stage.take(&all).await.is_empty());
    assert_eq!((stage.mails().len(), stage.chatted()), (3, [4, 3]));

    // So is one that gives no answer.
    let stage = Stage::new(&[200], &[200]);
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = format!("http://{}", silent.local_addr().unwrap());
    let mut deps = stage.deps.clone();
    let guard = Guard::new(vec![origin.clone()]).only(vec![]);
    deps.guard = guard.within(Duration::from_millis(100));
    *stage.secret.lock().unwrap() = json!({ "slack": [origin] }).to_string();
    let answer = handle(&deps, batch(&all), invocation("request-1")).await;
    assert_eq!(sent_back(&answer.unwrap()).len(), 3);
    silent.set_nonblocking(true).unwrap();
    let asked = std::iter::from_fn(|| silent.accept().ok()).count();
    assert_eq!((stage.mails().len(), asked), (3, 1));

    // One that does not like a notice may like the next one.
    for dislike in [400, 500] {
        let stage = Stage::new(&[dislike, 200], &[200]);
        assert_eq!(stage.take(&all).await, ["message-0"]);
        assert_eq!((stage.mails().len(), stage.chatted()), (3, [3, 3]));
    }
}

#[tokio::test]
async fn what_fails_goes_back_alone() {
    let stage = Stage::new(&[200], &[200]);
    let unknown = event("e-3", EventType::MigrationFailed).replace("MigrationFailed", "Surprise");
    let bodies = [
        event("e-1", EventType::MigrationFrozen),
        "no JSON".to_owned(),
        unknown,
        event("e-4", EventType::ApprovalRequested),
    ];
    assert_eq!(stage.take(&bodies).await, ["message-1", "message-2"]);
    assert_eq!((stage.mails().len(), stage.chatted()), (2, [2, 2]));
}

#[tokio::test]
async fn without_webhooks_the_topic_alone_hears() {
    for secret in ["", "  ", "{}", r#"{"slack": []}"#] {
        let stage = Stage::new(&[200], &[200]);
        *stage.secret.lock().unwrap() = secret.into();
        assert!(
            stage
                .take(&[event("e-1", EventType::MigrationFailed)])
                .await
                .is_empty()
        );
        assert_eq!((stage.mails().len(), stage.chatted()), (1, [0, 0]));
    }
}

#[tokio::test]
async fn a_secret_that_names_no_webhooks_sends_the_notice_back_and_is_not_shown() {
    for secret in [
        "https://hooks.slack.com/services/secret",
        r#"{"slack": "https://hooks.slack.com/services/secret"}"#,
        r#"{"slack": [], "mattermost": ["https://secret.example.com"]}"#,
    ] {
        let stage = Stage::new(&[200], &[200]);
        *stage.secret.lock().unwrap() = secret.into();
        assert_eq!(
            stage
                .take(&[event("e-1", EventType::MigrationFailed)])
                .await,
            ["message-0"]
        );
        assert_eq!((stage.mails().len(), stage.chatted()), (1, [0, 0]));
    }
}

#[tokio::test]
async fn a_webhook_that_leads_elsewhere_gets_nothing() {
    let outsider = Receiver::start(&[200]);
    let inside = "https://169.254.169.254/latest/meta-data";
    for url in [
        outsider.url.as_str(),
        inside,
        "https://example.com/hook",
        "http://hooks.slack.com/x",
    ] {
        let mut stage = Stage::new(&[200], &[200]);
        stage.deps.guard = Guard::new(vec![]).only(vec!["hooks.slack.com".into()]);
        *stage.secret.lock().unwrap() = json!({ "slack": [url] }).to_string();
        let back = stage
            .take(&[event("e-1", EventType::MigrationFailed)])
            .await;
        assert_eq!(back, ["message-0"], "{url}");
        assert_eq!(stage.mails().len(), 1);
    }
    assert!(outsider.requests().is_empty());
}

#[tokio::test]
async fn every_call_may_fail_once_and_the_next_run_tells() {
    for (nth, call) in ["GetSecretValue", "Publish"].iter().enumerate() {
        for fault in Fault::ALL {
            let stage = Stage::new(&[200], &[200]);
            stage.calls.fail_nth(nth, fault);
            let one = [event("e-1", EventType::MigrationFailed)];
            assert_eq!(stage.take(&one).await, ["message-0"], "{call} {fault:?}");
            assert!(stage.take(&one).await.is_empty(), "{call} {fault:?}");
            assert_eq!(stage.chatted(), [1, 1], "{call} {fault:?}");
            assert!(!stage.mails().is_empty());
        }
    }
}

/// The words between the quotes of a Terraform list.
fn listed(variables: &str, name: &str) -> Vec<String> {
    let from = variables.find(&format!("variable \"{name}\"")).unwrap();
    let rest = &variables[from..];
    let rest = &rest[rest.find("default").unwrap()..];
    let rest = &rest[..rest.find(']').unwrap()];
    let words = rest.split('"').skip(1).step_by(2);
    words.map(str::to_owned).collect()
}

#[test]
fn terraform_has_the_same_defaults() {
    let variables = include_str!("../../../terraform/variables.tf");
    let ours: Vec<String> = DEFAULT_EVENTS.iter().map(ToString::to_string).collect();
    assert_eq!(listed(variables, "notice_events"), ours);
    let every: Vec<String> = EventType::ALL.iter().map(ToString::to_string).collect();
    assert!(ours.iter().all(|name| every.contains(name)));
}

#[tokio::test]
async fn an_event_that_is_no_batch_is_refused() {
    let stage = Stage::new(&[200], &[200]);
    let error = handle(&stage.deps, json!({}), invocation("r"))
        .await
        .unwrap_err();
    assert!(error.message.contains("`Records`"), "{error}");
}
