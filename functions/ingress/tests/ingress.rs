//! `ingress` against AWS in memory.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::result_large_err,
    clippy::large_futures,
    reason = "helpers of tests"
)]

#[path = "../../../shared/common/tests/support/queue.rs"]
mod queue;
#[path = "../../../shared/common/tests/support/mod.rs"]
mod support;

use std::sync::{Arc, Mutex};

use ingress::{Deps, handle};
use landfall_common::Key;
use landfall_common::state::Change;
use landfall_domain::{ErrorName, EventType, Status, schema};
use queue::Queue;
use serde_json::{Value, json};
use support::{Aws, Fault, batch, invocation, key, request, sent_back};

const DLQ: &str = "https://sqs.example.com/landfall-requests-dlq";

#[derive(Default)]
struct Stage {
    aws: Aws,
    queue: Arc<Mutex<Queue>>,
}

impl Stage {
    async fn take(&self, bodies: &[String]) -> Value {
        let deps = Deps {
            journal: self.aws.journal(),
            sqs: queue::sqs(&self.queue, &self.aws.calls),
            dlq_url: DLQ.into(),
        };
        handle(&deps, batch(bodies), invocation("request-1"))
            .await
            .unwrap()
    }

    async fn end(&self, migration_id: &str, status: Status, event: EventType) {
        let store = self.aws.store();
        let mut record = self.aws.record(migration_id).await;
        record.execution_arn = Some(support::EXECUTION.into());
        store
            .transition(record, &Change::to(status, event), support::now())
            .await
            .unwrap();
    }

    fn dead_letters(&self) -> Vec<queue::Sent> {
        self.queue.lock().unwrap().sent.clone()
    }
}

fn good(migration_id: &str) -> String {
    request(migration_id).to_string()
}

fn bad(migration_id: &str) -> String {
    let mut request = request(migration_id);
    request["wave"] = json!(7);
    request["surprise"] = json!(true);
    request.to_string()
}

#[tokio::test]
async fn of_good_and_bad_only_the_bad_is_dead_lettered() {
    let stage = Stage::default();
    let answer = stage
        .take(&[
            good("mig-1"),
            bad("mig-2"),
            "not json".into(),
            good("mig-3"),
        ])
        .await;
    assert_eq!(sent_back(&answer), Vec::<String>::new());
    for id in ["mig-1", "mig-3"] {
        let record = stage.aws.record(id).await;
        assert_eq!((record.status, record.attempt), (Status::Requested, 1));
        assert!(record.correlation_id.starts_with("mig-"));
    }
    assert_eq!(stage.aws.store().get(&key("mig-2")).await.unwrap(), None);

    let letters = stage.dead_letters();
    assert_eq!(letters.len(), 2);
    assert!(letters.iter().all(|letter| letter.queue_url == DLQ));
    assert_eq!(letters[0].body, bad("mig-2"));
    assert_eq!(letters[0].attributes["reason"], "SCHEMA_INVALID");
    let findings: Vec<Value> = serde_json::from_str(&letters[0].attributes["findings"]).unwrap();
    let pointers: Vec<&str> = findings
        .iter()
        .map(|f| f["pointer"].as_str().unwrap_or_default())
        .collect();
    assert!(pointers.contains(&"/wave"), "{findings:?}");
    assert!(
        letters[0].attributes["findings"].contains("surprise"),
        "{findings:?}"
    );
    assert_eq!(letters[1].body, "not json");
    assert_eq!(letters[1].attributes["reason"], "NOT_JSON");

    // Each is announced, and the one that had an ID is remembered under it.
    let names = stage.aws.published();
    let requested = names.iter().filter(|n| *n == "MigrationRequested").count();
    let rejected = names.iter().filter(|n| *n == "MigrationRejected").count();
    assert_eq!((requested, rejected), (2, 2));
    let rejections = stage.aws.store().rejections(&key("mig-2")).await.unwrap();
    assert_eq!(rejections[0].reason, "SCHEMA_INVALID");
    assert_eq!(
        rejections[0].correlation_id,
        letters[0].attributes["correlationId"]
    );
}

#[tokio::test]
async fn thousands_of_faults_are_one_short_list_everywhere() {
    let stage = Stage::default();
    let mut body = request("mig-1");
    // About as many entries as the largest body holds.
    body["securityGroupIds"] = json!((0..20_000).collect::<Vec<u32>>());
    let body = body.to_string();
    assert!(body.len() > 100_000 && body.len() <= schema::MAX_BODY_BYTES);
    assert!(sent_back(&stage.take(std::slice::from_ref(&body)).await).is_empty());

    let letters = stage.dead_letters();
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].body, body);
    assert_eq!(letters[0].attributes["reason"], "SCHEMA_INVALID");
    let findings: Value = serde_json::from_str(&letters[0].attributes["findings"]).unwrap();
    let listed = findings.as_array().unwrap();
    assert_eq!(listed.len(), schema::MAX_FINDINGS + 1);
    assert_eq!(listed[schema::MAX_FINDINGS]["code"], "MORE");
    assert_eq!(
        listed[schema::MAX_FINDINGS]["found"],
        20_001 - schema::MAX_FINDINGS
    );

    let rejections = stage.aws.store().rejections(&key("mig-1")).await.unwrap();
    assert_eq!(json!(rejections[0].findings), findings);
    let events = stage.aws.events.lock().unwrap();
    assert_eq!(events[0].1["evidence"]["findings"], findings);
    assert!(events[0].1.to_string().len() < 50_000);
}

#[tokio::test]
async fn a_body_that_is_too_large_is_found_by_its_id() {
    let stage = Stage::default();
    let mut body = request("mig-1");
    body["tenantId"] = json!("acme");
    // More than is passed on, and as much as SQS takes.
    body["owner"] = json!("x".repeat(255 * 1024));
    assert!(sent_back(&stage.take(&[body.to_string()]).await).is_empty());

    let letters = stage.dead_letters();
    let letter = &letters[0];
    assert_eq!(letter.attributes["reason"], "BODY_TOO_LARGE");
    let attributes: usize = letter.attributes.values().map(String::len).sum();
    assert!(letter.body.len() + attributes < 256 * 1024);

    let key = Key::new("acme", "mig-1");
    let rejections = stage.aws.store().rejections(&key).await.unwrap();
    assert_eq!(rejections.len(), 1);
    assert_eq!(rejections[0].reason, "BODY_TOO_LARGE");
    assert_eq!(
        rejections[0].correlation_id,
        letter.attributes["correlationId"]
    );
    assert_eq!(stage.aws.store().get(&key).await.unwrap(), None);
    let events = stage.aws.events.lock().unwrap();
    let detail = &events[0].1;
    assert_eq!(
        (&detail["migrationId"], &detail["tenantId"]),
        (&json!("mig-1"), &json!("acme"))
    );
}

#[tokio::test]
async fn the_message_attribute_s_correlation_id_wins() {
    let stage = Stage::default();
    let mut body = request("mig-1");
    body["correlationId"] = json!("from-the-body");
    let mut event = batch(&[body.to_string()]);
    event["Records"][0]["messageAttributes"]["correlationId"] =
        json!({ "stringValue": "from-the-attribute", "dataType": "String" });
    let deps = Deps {
        journal: stage.aws.journal(),
        sqs: queue::sqs(&stage.queue, &stage.aws.calls),
        dlq_url: DLQ.into(),
    };
    handle(&deps, event, invocation("request-1")).await.unwrap();
    let record = stage.aws.record("mig-1").await;
    assert_eq!(record.correlation_id, "from-the-attribute");
}

#[tokio::test]
async fn every_call_of_a_good_message_may_fail_once_and_the_message_alone_comes_again() {
    let calls = {
        let stage = Stage::default();
        stage.take(&[good("mig-1")]).await;
        stage.aws.calls.made()
    };
    assert_eq!(calls, ["GetItem", "TransactWriteItems", "PutEvents"]);
    for (nth, call) in calls.iter().enumerate() {
        for fault in Fault::ALL {
            let stage = Stage::default();
            // The first message goes through; the second one meets the fault; the third one goes through.
            stage.aws.calls.fail_nth(calls.len() + nth, fault);
            let bodies = [good("mig-0"), good("mig-1"), good("mig-2")];
            let answer = stage.take(&bodies).await;
            assert_eq!(sent_back(&answer), ["message-1"], "{call} {fault:?}");
            let answer = stage.take(&bodies[1..2]).await;
            assert!(sent_back(&answer).is_empty(), "{call} {fault:?}");
            for id in ["mig-0", "mig-1", "mig-2"] {
                let record = stage.aws.record(id).await;
                assert_eq!(record.status, Status::Requested, "{call} {fault:?}");
                assert!(stage.aws.happened(id).await.is_empty(), "one entry alone");
            }
            // Told at least once: the workflow's claim makes a second start harmless.
            let events = stage.aws.events.lock().unwrap();
            let told = |id: &str| {
                events
                    .iter()
                    .filter(|(_, d)| d["migrationId"] == id)
                    .count()
            };
            let twice = *call == "PutEvents" && fault == Fault::AnswerLost;
            assert_eq!(told("mig-1"), 1 + usize::from(twice), "{call} {fault:?}");
            assert!(stage.dead_letters().is_empty());
        }
    }
}

#[tokio::test]
async fn every_call_of_a_rejection_may_fail_once_and_nothing_is_lost() {
    let calls = {
        let stage = Stage::default();
        stage.take(&[bad("mig-1")]).await;
        stage.aws.calls.made()
    };
    assert_eq!(calls, ["PutItem", "PutEvents", "SendMessage"]);
    for (nth, call) in calls.iter().enumerate() {
        for fault in Fault::ALL {
            let stage = Stage::default();
            stage.aws.calls.fail_nth(nth, fault);
            let answer = stage.take(&[bad("mig-1"), good("mig-2")]).await;
            assert_eq!(sent_back(&answer), ["message-0"], "{call} {fault:?}");
            let answer = stage.take(&[bad("mig-1")]).await;
            assert!(sent_back(&answer).is_empty());
            // SQS has no condition: only a lost answer of its own may double the letter.
            let twice = *call == "SendMessage" && fault == Fault::AnswerLost;
            assert_eq!(stage.dead_letters().len(), 1 + usize::from(twice));
            assert!(stage.aws.published().contains(&"MigrationRejected".into()));
        }
    }
}

#[tokio::test]
async fn the_same_again_does_nothing_and_a_change_while_active_is_rejected() {
    let stage = Stage::default();
    stage.take(&[good("mig-1")]).await;
    stage
        .end("mig-1", Status::Validating, EventType::ValidationPassed)
        .await;
    let before = stage.aws.record("mig-1").await;
    stage.take(&[good("mig-1"), good("mig-1")]).await;
    assert_eq!(stage.aws.record("mig-1").await, before);
    assert_eq!(stage.aws.published(), ["MigrationRequested"]);

    let mut changed = request("mig-1");
    changed["instanceType"] = json!("m7i.large");
    let answer = stage.take(&[changed.to_string()]).await;
    assert!(sent_back(&answer).is_empty());
    assert_eq!(stage.aws.record("mig-1").await, before);
    let letters = stage.dead_letters();
    assert_eq!(letters[0].attributes["reason"], "MIGRATION_ACTIVE");
    assert!(letters[0].attributes["findings"].contains("VALIDATING"));
}

#[tokio::test]
async fn after_an_end_a_resubmission_starts_the_next_attempt_and_the_history_goes_on() {
    let stage = Stage::default();
    stage.take(&[good("mig-1")]).await;
    stage
        .end("mig-1", Status::Failed, EventType::MigrationFailed)
        .await;
    stage.take(&[good("mig-1")]).await;
    let record = stage.aws.record("mig-1").await;
    assert_eq!((record.status, record.attempt), (Status::Requested, 2));
    assert_eq!((record.execution_arn, record.ended_at), (None, None));
    assert_eq!(
        stage.aws.happened("mig-1").await,
        ["MigrationFailed", "MigrationRequested"]
    );
}

#[tokio::test]
async fn frozen_is_for_a_person() {
    let stage = Stage::default();
    stage.take(&[good("mig-1")]).await;
    stage
        .end("mig-1", Status::Frozen, EventType::MigrationFrozen)
        .await;
    stage.take(&[good("mig-1")]).await;
    assert_eq!(stage.aws.record("mig-1").await.status, Status::Frozen);
    let letters = stage.dead_letters();
    assert_eq!(letters[0].attributes["reason"], "MIGRATION_FROZEN");
}

#[tokio::test]
async fn what_is_no_batch_is_an_error_that_names_the_member() {
    let stage = Stage::default();
    let deps = Deps {
        journal: stage.aws.journal(),
        sqs: queue::sqs(&stage.queue, &stage.aws.calls),
        dlq_url: DLQ.into(),
    };
    let error = handle(&deps, json!({}), invocation("r")).await.unwrap_err();
    assert_eq!(error.name, ErrorName::InternalError);
    assert!(error.message.contains("`Records`"), "{error}");
}
