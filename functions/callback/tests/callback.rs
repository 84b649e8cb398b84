//! `callback` against AWS in memory and a receiver on this machine.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::result_large_err,
    clippy::large_futures,
    reason = "helpers of tests"
)]

mod log;
#[path = "../../../shared/common/tests/support/queue.rs"]
mod queue;
#[path = "../../../shared/common/tests/support/receiver.rs"]
mod receiver;
#[path = "../../../shared/common/tests/support/mod.rs"]
mod support;

use std::sync::{Arc, Mutex};

use aws_sdk_secretsmanager::operation::get_secret_value as secret;
use aws_smithy_mocks::{RuleMode, mock_client};
use callback::{Deps, handle};
use landfall_domain::record::Failure;
use landfall_domain::{ErrorName, StageError, Status, webhook};
use landfall_external::outbound::Guard;
use queue::Queue;
use receiver::Receiver;
use serde_json::{Value, json};
use support::{Aws, Calls, Fault, answer, invocation, record, refusal, stage_input};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const FAILED: &str = "https://sqs.example.com/landfall-callbacks-failed";

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
                // What Secrets Manager says of a secret without a version.
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

struct Stage {
    aws: Aws,
    queue: Arc<Mutex<Queue>>,
    secret: Arc<Mutex<String>>,
    receiver: Receiver,
    allowed: bool,
}

impl Stage {
    /// A migration that was rolled back, with a receiver that answers in turn with these statuses.
    async fn new(statuses: &[u16]) -> Self {
        let stage = Self {
            aws: Aws::default(),
            queue: Arc::default(),
            secret: Arc::new(Mutex::new(SECRET.into())),
            receiver: Receiver::start(statuses),
            allowed: true,
        };
        let mut ended = record("mig-1", Status::RolledBack);
        ended.request.callback_url = Some(format!("{}/status?a=b", stage.receiver.url));
        ended.failure = Some(Failure {
            error: "VerificationError".into(),
            message: "the launched instance did not pass 1 of its checks".into(),
            state: "VerifyTest".into(),
            findings: vec![],
        });
        stage.aws.put(ended).await;
        stage
    }

    async fn call(&self, retry_count: u32) -> Result<Value, StageError> {
        let allowed = self.allowed.then(|| self.receiver.url.clone());
        let deps = Deps {
            journal: self.aws.journal(),
            secrets: secrets(&self.secret, &self.aws.calls),
            sqs: queue::sqs(&self.queue, &self.aws.calls),
            secret_id: "callback-signing".into(),
            failed_queue_url: FAILED.into(),
            guard: Guard::new(allowed.into_iter().collect()),
        };
        let more = json!({ "outcome": "ROLLED_BACK", "retryCount": retry_count });
        handle(&deps, stage_input("mig-1", more), invocation("request-1")).await
    }

    fn parked(&self) -> Vec<Value> {
        let queue = self.queue.lock().unwrap();
        assert!(queue.sent.iter().all(|sent| sent.queue_url == FAILED));
        let bodies = queue.sent.iter();
        bodies
            .map(|sent| serde_json::from_str(&sent.body).unwrap())
            .collect()
    }
}

#[tokio::test]
async fn a_callback_is_delivered_once_signed_and_complete() {
    let stage = Stage::new(&[204]).await;
    let output = stage.call(0).await.unwrap();
    assert_eq!(output, json!({ "delivered": true, "outcome": "204" }));
    let requests = stage.receiver.requests();
    let request = &requests[0];
    assert_eq!(request.line, "POST /status?a=b HTTP/1.1");
    let header = |name: &str| request.headers[name].as_str();
    assert_eq!(header("webhook-id"), "msg_default_mig-1_1");
    assert_eq!(header("content-type"), "application/json");
    assert_eq!(header("x-correlation-id"), "mig-c-mig-1");
    let timestamp: i64 = header("webhook-timestamp").parse().unwrap();
    assert_eq!(timestamp, support::now().as_second());
    let signature = webhook::sign(SECRET, "msg_default_mig-1_1", timestamp, &request.body);
    assert_eq!(header("webhook-signature"), signature.unwrap());

    let body: Value = serde_json::from_str(&request.body).unwrap();
    assert_eq!(body["type"], "migration.rolled_back");
    assert_eq!(body["data"]["status"], "ROLLED_BACK");
    assert_eq!(body["data"]["failure"]["error"], "VerificationError");
    let schema: Value =
        serde_json::from_str(include_str!("../../../schemas/callback.schema.json")).unwrap();
    let known = |at: &Value, schema: &Value| {
        let mut found: Vec<_> = at.as_object().unwrap().keys().cloned().collect();
        let mut listed: Vec<_> = schema["required"].as_array().unwrap().iter().collect();
        found.sort();
        listed.sort_by_key(|name| name.as_str());
        assert_eq!(json!(found), json!(listed));
    };
    known(&body, &schema);
    known(&body["data"], &schema["properties"]["data"]);

    let callback = stage.aws.record("mig-1").await.callback.unwrap();
    assert!(callback.delivered);
    // A second run knows.
    let again = stage.call(0).await.unwrap();
    assert_eq!(again, json!({ "delivered": true }));
    assert_eq!(stage.receiver.requests().len(), 1);
}

#[tokio::test]
async fn an_answer_that_may_get_better_is_tried_again_with_the_same_id() {
    for status in [500, 503, 429, 408] {
        let stage = Stage::new(&[status, 200]).await;
        let error = stage.call(0).await.unwrap_err();
        assert_eq!(error.name, ErrorName::DependencyUnavailable, "{status}");
        assert!(error.message.contains(&status.to_string()), "{error}");
        assert_eq!(stage.aws.record("mig-1").await.callback, None);
        assert_eq!(stage.call(1).await.unwrap()["delivered"], true);
        let requests = stage.receiver.requests();
        assert_eq!(
            requests[0].headers["webhook-id"],
            requests[1].headers["webhook-id"]
        );
        assert!(stage.parked().is_empty());
    }
}

#[tokio::test]
async fn after_the_last_retry_it_is_parked_whole() {
    let stage = Stage::new(&[500]).await;
    assert_eq!(
        stage.call(5).await.unwrap_err().name,
        ErrorName::DependencyUnavailable
    );
    assert_eq!(stage.call(6).await.unwrap()["delivered"], false);
    let parked = stage.parked();
    assert_eq!(parked.len(), 1);
    assert_eq!(parked[0]["webhookId"], "msg_default_mig-1_1");
    assert_eq!(parked[0]["reason"], "the receiver answered 500");
    assert_eq!(
        parked[0]["body"].as_str(),
        Some(stage.receiver.requests()[0].body.as_str())
    );
    // Who redelivers it needs the whole URL, and finds its log lines by the attribute.
    let url = format!("{}/status?a=b", stage.receiver.url);
    assert_eq!(parked[0]["url"], url.as_str());
    let attributes = stage.queue.lock().unwrap().sent[0].attributes.clone();
    assert_eq!(attributes["correlationId"], "mig-c-mig-1");
    let callback = stage.aws.record("mig-1").await.callback.unwrap();
    assert_eq!(callback.outcome, "the receiver answered 500");
    assert!(!callback.delivered);
}

#[tokio::test]
async fn what_will_never_be_taken_is_parked_at_once() {
    for status in [301, 302, 400, 404, 410] {
        let stage = Stage::new(&[status]).await;
        assert_eq!(stage.call(0).await.unwrap()["delivered"], false, "{status}");
        assert_eq!(stage.parked().len(), 1);
        assert_eq!(
            stage.receiver.requests().len(),
            1,
            "no redirect is followed"
        );
    }
}

#[tokio::test]
async fn an_address_that_is_not_allowed_gets_nothing() {
    let mut stage = Stage::new(&[200]).await;
    stage.allowed = false;
    assert_eq!(stage.call(0).await.unwrap()["delivered"], false);
    assert!(stage.receiver.requests().is_empty());
    let parked = stage.parked();
    let reason = parked[0]["reason"].as_str().unwrap();
    assert!(reason.contains("not https"), "{reason}");
}

#[tokio::test]
async fn nothing_leaves_unsigned() {
    let stage = Stage::new(&[200]).await;
    *stage.secret.lock().unwrap() = "not a secret".into();
    assert_eq!(stage.call(0).await.unwrap()["delivered"], false);
    assert!(stage.receiver.requests().is_empty());
    let parked = stage.parked();
    let reason = parked[0]["reason"].as_str().unwrap();
    assert!(reason.contains("whsec_"), "{reason}");
    assert!(!reason.contains("not a secret"), "{reason}");
}

#[tokio::test]
async fn a_secret_that_cannot_be_read_is_a_failed_try_and_not_a_lost_message() {
    // Of each run's calls the first one reads the record, and the second one the secret.
    let stage = Stage::new(&[200]).await;
    for (retry_count, fault) in [(0, Fault::Unavailable), (5, Fault::Refused)] {
        stage.aws.calls.fail_nth(1, fault);
        let error = stage.call(retry_count).await.unwrap_err();
        assert_eq!(error.name, ErrorName::DependencyUnavailable);
        assert!(error.message.contains("GetSecretValue"), "{error}");
    }
    assert!(stage.parked().is_empty());
    stage.aws.calls.fail_nth(1, Fault::Refused);
    assert_eq!(stage.call(6).await.unwrap()["delivered"], false);
    assert!(stage.receiver.requests().is_empty());
    let parked = stage.parked();
    let reason = parked[0]["reason"].as_str().unwrap();
    assert!(reason.contains("AccessDeniedException"), "{reason}");
    let body: Value = serde_json::from_str(parked[0]["body"].as_str().unwrap()).unwrap();
    assert_eq!(body["type"], "migration.rolled_back");
    let callback = stage.aws.record("mig-1").await.callback.unwrap();
    assert_eq!((callback.delivered, &*callback.outcome), (false, reason));
}

#[tokio::test]
async fn a_secret_without_a_value_is_told_in_words() {
    let stage = Stage::new(&[200]).await;
    stage.secret.lock().unwrap().clear();
    let error = stage.call(0).await.unwrap_err();
    assert!(error.message.contains("has no value yet"), "{error}");
    assert_eq!(stage.call(6).await.unwrap()["delivered"], false);
    let parked = stage.parked();
    let reason = parked[0]["reason"].as_str().unwrap();
    for part in ["has no value yet", "whsec_", "callback-signing"] {
        assert!(reason.contains(part), "{reason}");
    }
    // Filled in time, the same message goes out.
    *stage.secret.lock().unwrap() = SECRET.into();
    assert_eq!(stage.call(6).await.unwrap()["delivered"], true);
}

#[tokio::test]
async fn a_callback_that_comes_after_the_next_attempt_began_tells_and_changes_nothing() {
    let stage = Stage::new(&[200]).await;
    let mut next = stage.aws.record("mig-1").await;
    next.attempt = 2;
    next.failure = None;
    let next = stage.aws.store().save(next, support::now()).await.unwrap();
    let output = stage.call(0).await.unwrap();
    assert_eq!(output, json!({ "delivered": false, "superseded": true }));
    assert_eq!(stage.aws.record("mig-1").await, next);
    assert!(stage.receiver.requests().is_empty());
    assert!(stage.parked().is_empty());
}

#[tokio::test]
async fn nothing_but_the_parked_message_shows_more_of_the_url_than_its_origin() {
    let told = log::Lines::of_the_process();
    // An answer that may get better, one that will not, an address that is not allowed, a secret that is not there.
    for (status, allowed, secret) in [
        (500, true, SECRET),
        (404, true, SECRET),
        (200, false, SECRET),
        (200, true, ""),
    ] {
        for retry_count in [0, 6] {
            let mut stage = Stage::new(&[status]).await;
            stage.allowed = allowed;
            *stage.secret.lock().unwrap() = secret.into();
            match stage.call(retry_count).await {
                Ok(output) => told.add(format!(
                    "{output} {:?}",
                    stage.aws.record("mig-1").await.callback
                )),
                Err(error) => {
                    assert!(error.message.contains(&stage.receiver.url), "{error}");
                    told.add(format!(
                        "{error:?} {:?}",
                        landfall_common::diagnostic(&error)
                    ));
                }
            }
        }
    }
    let told = told.text();
    assert!(told.contains("the receiver answered 404"), "{told}");
    assert!(
        told.contains("it goes to the failed-delivery queue"),
        "{told}"
    );
    assert!(!told.contains("a=b"), "{told}");
}

#[tokio::test]
async fn a_request_without_a_url_ends_here() {
    let stage = Stage::new(&[200]).await;
    let mut record = stage.aws.record("mig-1").await;
    record.request.callback_url = None;
    stage
        .aws
        .store()
        .save(record, support::now())
        .await
        .unwrap();
    assert_eq!(stage.call(0).await.unwrap()["delivered"], false);
    assert_eq!(stage.aws.calls.made(), ["GetItem"]);
    assert!(stage.parked().is_empty());
}

#[tokio::test]
async fn every_call_may_fail_once_and_the_next_run_delivers() {
    for statuses in [[200, 200], [404, 404]] {
        let calls = {
            let stage = Stage::new(&statuses).await;
            stage.call(0).await.unwrap();
            stage.aws.calls.made()
        };
        for (nth, call) in calls.iter().enumerate() {
            for fault in Fault::ALL {
                let stage = Stage::new(&statuses).await;
                stage.aws.calls.fail_nth(nth, fault);
                let error = stage.call(0).await.unwrap_err();
                let expected = match (*call, fault) {
                    ("GetItem" | "TransactWriteItems", Fault::Refused) => ErrorName::InternalError,
                    _ => ErrorName::DependencyUnavailable,
                };
                assert_eq!(error.name, expected, "{call} {fault:?}");
                stage.call(1).await.unwrap();
                let callback = stage.aws.record("mig-1").await.callback.unwrap();
                assert_eq!(callback.delivered, statuses[0] == 200, "{call} {fault:?}");
                assert_eq!(stage.parked().is_empty(), statuses[0] == 200);
                // Doubles carry the same ID, by which the receiver drops them.
                let requests = stage.receiver.requests();
                let ids = requests.iter().map(|r| &r.headers["webhook-id"]);
                assert!(ids.clone().all(|id| id == "msg_default_mig-1_1"));
            }
        }
    }
}

#[tokio::test]
async fn a_bad_event_names_the_member() {
    let stage = Stage::new(&[200]).await;
    let deps = Deps {
        journal: stage.aws.journal(),
        secrets: secrets(&stage.secret, &stage.aws.calls),
        sqs: queue::sqs(&stage.queue, &stage.aws.calls),
        secret_id: String::new(),
        failed_queue_url: String::new(),
        guard: Guard::new(vec![]),
    };
    let error = handle(&deps, stage_input("mig-1", json!({})), invocation("r"))
        .await
        .unwrap_err();
    assert_eq!(error.name, ErrorName::InternalError);
    assert!(error.message.contains("`outcome`"), "{error}");
}
