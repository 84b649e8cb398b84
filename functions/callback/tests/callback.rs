//! `callback` against AWS in memory and a receiver on this machine.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::result_large_err,
    clippy::large_futures,
    reason = "helpers of tests"
)]

#[path = "../../../shared/common/tests/support/callback_schema.rs"]
mod callback_schema;
mod log;
#[path = "../../../shared/common/tests/support/queue.rs"]
mod queue;
#[path = "../../../shared/common/tests/support/receiver.rs"]
mod receiver;
mod stage;
#[path = "../../../shared/common/tests/support/mod.rs"]
mod support;

use callback::handle;
use landfall_common::state::Change;
use landfall_domain::rollback::HandOver;
use landfall_domain::webhook::LAST_TRY;
use landfall_domain::{ErrorName, EventType, Status, webhook};
use receiver::Receiver;
use serde_json::{Value, json};
use stage::{ID, SECRET, Stage};
use support::{Fault, invocation, stage_input};

#[tokio::test]
async fn a_callback_is_delivered_once_signed_and_complete() {
    let stage = Stage::new(&[204]).await;
    let output = stage.call(0).await.unwrap();
    assert_eq!(output, json!({ "delivered": true, "outcome": "204" }));
    let requests = stage.receiver.requests();
    let request = &requests[0];
    assert_eq!(request.line, "POST /status?a=b HTTP/1.1");
    let header = |name: &str| request.headers[name].as_str();
    assert_eq!(header("webhook-id"), ID);
    assert_eq!(header("content-type"), "application/json");
    assert_eq!(header("x-correlation-id"), "mig-c-mig-1");
    let timestamp: i64 = header("webhook-timestamp").parse().unwrap();
    assert_eq!(timestamp, support::now().as_second());
    let signature = webhook::sign(SECRET, ID, timestamp, &request.body);
    assert_eq!(header("webhook-signature"), signature.unwrap());

    let body: Value = serde_json::from_str(&request.body).unwrap();
    assert_eq!(body["type"], "migration.rolled_back");
    // The end of the migration, not the time of the try: a second try says the same.
    assert_eq!(body["timestamp"], "2026-11-21T11:59:00Z");
    assert_eq!(body["data"]["status"], "ROLLED_BACK");
    assert_eq!(body["data"]["failure"]["error"], "VerificationError");
    let callback = stage.aws.record("mig-1").await.callback.unwrap();
    assert!(callback.delivered);
    assert_eq!((callback.tries, callback.next_try_at), (1, None));
    // A second run knows.
    assert_eq!(stage.call(0).await.unwrap(), output);
    assert_eq!(stage.receiver.requests().len(), 1);
}

#[tokio::test]
async fn what_is_sent_fits_the_schema_of_its_outcome() {
    let ends: Vec<Status> = Status::ALL.into_iter().filter(|s| s.is_end()).collect();
    for end in ends {
        let stage = Stage::with(Receiver::start(&[204]), |record| {
            record.status = end;
            if end == Status::Succeeded {
                record.failure = None;
            }
            if end == Status::Frozen {
                record.hand_over = Some(HandOver {
                    because: "MGN refused it".into(),
                    ..HandOver::default()
                });
            }
        })
        .await;
        stage.say(json!({ "outcome": end })).await.unwrap();
        let body: Value = serde_json::from_str(&stage.receiver.requests()[0].body).unwrap();
        assert_eq!(body["type"], callback_schema::type_of(end));
        let faults = callback_schema::faults(end, &body);
        assert_eq!(faults, Vec::<String>::new(), "{end}: {body}");
        let hand_over = body["data"]["handOver"].as_str();
        let told = hand_over.is_some_and(|text| text.contains("MGN refused it"));
        assert_eq!(told, end == Status::Frozen, "{body}");
    }
}

#[tokio::test]
async fn a_rollback_that_could_not_write_its_end_is_told_as_the_workflow_knows_it() {
    let stage = Stage::with(Receiver::start(&[204]), |record| {
        record.status = Status::CuttingOver;
        record.ended_at = None;
        record.failure = None;
    })
    .await;
    stage.say(json!({ "outcome": "FROZEN" })).await.unwrap();
    let body: Value = serde_json::from_str(&stage.receiver.requests()[0].body).unwrap();
    let faults = callback_schema::faults(Status::Frozen, &body);
    assert_eq!(faults, Vec::<String>::new(), "{body}");
}

/// A person releases it between two tries.
#[tokio::test]
async fn one_message_has_one_body_whatever_happens_to_its_migration() {
    let stage = Stage::with(Receiver::start(&[503, 204]), |record| {
        record.status = Status::Frozen;
    })
    .await;
    stage.say(json!({ "outcome": "FROZEN" })).await.unwrap();
    let record = stage.aws.record("mig-1").await;
    let released = Change::to(Status::Failed, EventType::MigrationReleased);
    let journal = stage.aws.journal();
    journal
        .release(record, released, support::now())
        .await
        .unwrap();
    let again = json!({ "outcome": "FROZEN", "tries": 1 });
    stage.say(again).await.unwrap();
    let requests = stage.receiver.requests();
    assert_eq!(requests[0].body, requests[1].body);
    assert_eq!(
        requests[0].headers["webhook-id"],
        requests[1].headers["webhook-id"]
    );
}

#[tokio::test]
async fn no_two_migrations_have_a_message_id_in_common() {
    let id = async |tenant: &str, migration: &str| {
        let stage = Stage::with(Receiver::start(&[204]), |record| {
            record.tenant_id = tenant.to_owned();
            record.migration_id = migration.to_owned();
        })
        .await;
        let named =
            json!({ "tenantId": tenant, "migrationId": migration, "outcome": "ROLLED_BACK" });
        stage.say(named).await.unwrap();
        stage.receiver.requests()[0].headers["webhook-id"].clone()
    };
    let (one, other) = (id("a_b", "c").await, id("a", "b_c").await);
    assert_ne!(one, other);
    assert_ne!(id("a_", "b").await, id("a", "b").await);
}

#[tokio::test]
async fn every_key_of_the_secret_signs() {
    let stage = Stage::new(&[204]).await;
    let other = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    *stage.secret.lock().unwrap() = format!("{other}\n{SECRET}\n");
    stage.call(0).await.unwrap();
    let request = &stage.receiver.requests()[0];
    let timestamp = request.headers["webhook-timestamp"].parse().unwrap();
    let signed = |key| webhook::sign(key, ID, timestamp, &request.body).unwrap();
    let both = format!("{} {}", signed(other), signed(SECRET));
    assert_eq!(request.headers["webhook-signature"], both);
}

#[tokio::test]
async fn an_answer_that_may_get_better_is_tried_again_with_the_same_id_and_body() {
    for status in [500, 503, 429, 408] {
        let stage = Stage::new(&[status, 200]).await;
        let answer = stage.call(0).await.unwrap();
        assert_eq!(answer["delivered"], false, "{status}");
        let pause = answer["retryAfterSeconds"].as_u64().unwrap();
        assert!((1..=10).contains(&pause), "{pause}");
        let callback = stage.aws.record("mig-1").await.callback.unwrap();
        assert!(!callback.delivered && callback.outcome.contains(&status.to_string()));
        let next: jiff::Timestamp = callback.next_try_at.unwrap().parse().unwrap();
        let wait = next.duration_since(support::now()).as_secs();
        assert_eq!((callback.tries, wait.unsigned_abs()), (1, pause));

        let answer = stage.call(1).await.unwrap();
        assert_eq!(answer, json!({ "delivered": true, "outcome": "200" }));
        let callback = stage.aws.record("mig-1").await.callback.unwrap();
        assert_eq!((callback.tries, callback.next_try_at), (2, None));
        let requests = stage.receiver.requests();
        let (first, second) = (&requests[0], &requests[1]);
        assert_eq!(first.headers["webhook-id"], second.headers["webhook-id"]);
        assert_eq!(first.body, second.body);
        assert!(stage.parked().is_empty());
    }
}

#[tokio::test]
async fn the_pauses_grow_and_do_not_fall_together() {
    let mut pauses = Vec::new();
    for _ in 0..8 {
        let stage = Stage::new(&[500]).await;
        let answer = stage.call(12).await.unwrap();
        pauses.push(answer["retryAfterSeconds"].as_u64().unwrap());
    }
    assert!(
        pauses.iter().all(|it| (1..=3600).contains(it)),
        "{pauses:?}"
    );
    pauses.dedup();
    assert!(
        pauses.len() > 1 && pauses.iter().any(|it| *it > 60),
        "{pauses:?}"
    );
}

#[tokio::test]
async fn a_receiver_may_ask_for_time() {
    let date = "Sat, 21 Nov 2026 12:05:00 GMT";
    let now = support::now();
    let then: jiff::Timestamp = "2026-11-21T12:05:00Z".parse().unwrap();
    let until = u64::try_from(then.duration_since(now).as_secs()).unwrap();
    for (asked, least) in [("120", 120), (date, until), ("999999", 3590), ("soon", 0)] {
        let receiver = Receiver::asking(503, asked);
        let stage = Stage::with(receiver, |_| ()).await;
        let answer = stage.call(0).await.unwrap();
        let pause = answer["retryAfterSeconds"].as_u64().unwrap();
        assert!(
            (least + 1..=least + 10).contains(&pause),
            "{asked}: {pause}"
        );
    }
}

#[tokio::test]
async fn after_the_last_try_it_is_parked_whole() {
    let stage = Stage::new(&[500]).await;
    let before = stage.call(LAST_TRY - 1).await.unwrap();
    assert!(before["retryAfterSeconds"].is_u64(), "{before}");
    assert!(stage.parked().is_empty());
    let last = stage.call(LAST_TRY).await.unwrap();
    let expected = json!({ "delivered": false, "outcome": "the receiver answered 500" });
    assert_eq!(last, expected);
    let parked = stage.parked();
    assert_eq!(parked.len(), 1);
    assert_eq!(parked[0].webhook_id, ID);
    assert_eq!(parked[0].reason, "the receiver answered 500");
    assert_eq!(parked[0].body, stage.receiver.requests()[0].body);
    // Who redelivers it needs the whole URL, and finds its log lines by the attribute.
    assert_eq!(parked[0].url, format!("{}/status?a=b", stage.receiver.url));
    let attributes = stage.queue.lock().unwrap().sent[0].attributes.clone();
    assert_eq!(attributes["correlationId"], "mig-c-mig-1");
    let callback = stage.aws.record("mig-1").await.callback.unwrap();
    assert_eq!(callback.outcome, "the receiver answered 500");
    assert_eq!((callback.delivered, callback.next_try_at), (false, None));
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
    let reason = parked[0].reason.as_str();
    assert!(reason.contains("not https"), "{reason}");
}

#[tokio::test]
async fn nothing_leaves_unsigned() {
    let stage = Stage::new(&[200]).await;
    *stage.secret.lock().unwrap() = "not a secret".into();
    assert_eq!(stage.call(0).await.unwrap()["delivered"], false);
    assert!(stage.receiver.requests().is_empty());
    let parked = stage.parked();
    let reason = parked[0].reason.as_str();
    assert!(reason.contains("whsec_"), "{reason}");
    assert!(!reason.contains("not a secret"), "{reason}");
}

#[tokio::test]
async fn a_secret_that_cannot_be_read_is_a_failed_try_and_not_a_lost_message() {
    // Of each run's calls the first one reads the record, and the second one the secret.
    let stage = Stage::new(&[200]).await;
    for (tries, fault) in [(0, Fault::Unavailable), (5, Fault::Refused)] {
        stage.aws.calls.fail_nth(1, fault);
        let answer = stage.call(tries).await.unwrap();
        assert!(answer["retryAfterSeconds"].is_u64(), "{answer}");
        let outcome = answer["outcome"].as_str().unwrap();
        assert!(outcome.contains("GetSecretValue"), "{outcome}");
    }
    assert!(stage.parked().is_empty());
    stage.aws.calls.fail_nth(1, Fault::Refused);
    assert_eq!(stage.call(LAST_TRY).await.unwrap()["delivered"], false);
    assert!(stage.receiver.requests().is_empty());
    let parked = stage.parked();
    let reason = parked[0].reason.as_str();
    assert!(reason.contains("AccessDeniedException"), "{reason}");
    let body: Value = serde_json::from_str(&parked[0].body).unwrap();
    assert_eq!(body["type"], "migration.rolled_back");
    let callback = stage.aws.record("mig-1").await.callback.unwrap();
    assert_eq!((callback.delivered, &*callback.outcome), (false, reason));
}

#[tokio::test]
async fn a_secret_without_a_value_is_told_in_words() {
    let stage = Stage::new(&[200]).await;
    stage.secret.lock().unwrap().clear();
    let answer = stage.call(0).await.unwrap();
    assert!(answer.to_string().contains("has no value yet"), "{answer}");
    assert_eq!(stage.call(LAST_TRY).await.unwrap()["delivered"], false);
    let parked = stage.parked();
    let reason = parked[0].reason.as_str();
    for part in ["has no value yet", "whsec_", "callback-signing"] {
        assert!(reason.contains(part), "{reason}");
    }
    // Filled in time, the same message goes out.
    *stage.secret.lock().unwrap() = SECRET.into();
    assert_eq!(stage.call(LAST_TRY).await.unwrap()["delivered"], true);
}

#[tokio::test]
async fn a_callback_that_comes_after_the_next_attempt_began_tells_and_changes_nothing() {
    let stage = Stage::new(&[200]).await;
    let mut next = stage.aws.record("mig-1").await;
    next.attempt = 2;
    next.failure = None;
    let next = stage.aws.store().save(next, support::now()).await.unwrap();
    let output = stage.call(0).await.unwrap();
    assert_eq!(
        (&output["delivered"], &output["superseded"]),
        (&json!(false), &json!(true))
    );
    assert_eq!(output.get("retryAfterSeconds"), None);
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
        for tries in [0, LAST_TRY] {
            let mut stage = Stage::new(&[status]).await;
            stage.allowed = allowed;
            *stage.secret.lock().unwrap() = secret.into();
            let output = stage.call(tries).await.unwrap();
            let record = stage.aws.record("mig-1").await;
            told.add(format!("{output} {:?}", record.callback));
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
                match stage.call(0).await {
                    // A try without a key is a failed try.
                    Ok(answer) => assert!(answer["retryAfterSeconds"].is_u64(), "{call} {answer}"),
                    Err(error) => {
                        let expected = match (*call, fault) {
                            ("GetItem" | "TransactWriteItems", Fault::Refused) => {
                                ErrorName::InternalError
                            }
                            _ => ErrorName::DependencyUnavailable,
                        };
                        assert_eq!(error.name, expected, "{call} {fault:?}");
                    }
                }
                stage.call(1).await.unwrap();
                let callback = stage.aws.record("mig-1").await.callback.unwrap();
                assert_eq!(callback.delivered, statuses[0] == 200, "{call} {fault:?}");
                assert_eq!(stage.parked().is_empty(), statuses[0] == 200);
                // Doubles carry the same ID, by which the receiver drops them.
                let requests = stage.receiver.requests();
                let ids = requests.iter().map(|r| &r.headers["webhook-id"]);
                assert!(ids.clone().all(|id| *id == ID));
            }
        }
    }
}

#[tokio::test]
async fn a_bad_event_names_the_member() {
    let stage = Stage::new(&[200]).await;
    let error = handle(
        &stage.deps(),
        stage_input("mig-1", json!({})),
        invocation("r"),
    )
    .await
    .unwrap_err();
    assert_eq!(error.name, ErrorName::InternalError);
    assert!(error.message.contains("`outcome`"), "{error}");
}
