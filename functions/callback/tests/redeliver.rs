//! Messages from the failed-delivery queue, delivered again.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::result_large_err,
    clippy::large_futures,
    reason = "helpers of tests"
)]

#[path = "../../../shared/common/tests/support/queue.rs"]
mod queue;
#[path = "../../../shared/common/tests/support/receiver.rs"]
mod receiver;
mod stage;
#[path = "../../../shared/common/tests/support/mod.rs"]
mod support;

use landfall_domain::webhook::{LAST_TRY, Parked};
use landfall_domain::{ErrorName, webhook};
use serde_json::json;
use stage::{ID, Stage};
use support::Fault;

/// A callback that was given up, and what lies in the queue for it.
async fn given_up(statuses: &[u16]) -> (Stage, Parked) {
    let stage = Stage::new(statuses).await;
    assert_eq!(stage.call(LAST_TRY).await.unwrap()["delivered"], false);
    let parked = stage.parked().remove(0);
    (stage, parked)
}

#[tokio::test]
async fn a_message_goes_out_as_it_was_signed_by_the_key_of_today() {
    let (stage, parked) = given_up(&[404, 204]).await;
    let key = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    *stage.secret.lock().unwrap() = key.into();
    let answer = stage.redeliver(&parked).await.unwrap();
    assert_eq!(answer, json!({ "delivered": true, "outcome": "204" }));
    let requests = stage.receiver.requests();
    assert_eq!(requests[0].body, requests[1].body);
    assert_eq!(requests[1].headers["webhook-id"], ID);
    assert_eq!(requests[1].headers["x-correlation-id"], "mig-c-mig-1");
    let timestamp = requests[1].headers["webhook-timestamp"].parse().unwrap();
    let signature = webhook::sign(key, ID, timestamp, &requests[1].body).unwrap();
    assert_eq!(requests[1].headers["webhook-signature"], signature);
    let callback = stage.aws.record("mig-1").await.callback.unwrap();
    assert!(callback.delivered && callback.outcome == "204");
    assert_eq!(stage.parked().len(), 1, "nothing is parked again");
}

#[tokio::test]
async fn what_was_delivered_before_its_order_died_is_not_sent_twice() {
    let (stage, parked) = given_up(&[500, 200]).await;
    stage.redeliver(&parked).await.unwrap();
    let again = stage.redeliver(&parked).await.unwrap();
    assert_eq!(
        again,
        json!({ "delivered": true, "outcome": "200", "before": true })
    );
    assert_eq!(stage.receiver.requests().len(), 2);
}

#[tokio::test]
async fn what_is_refused_again_stays_where_it_is_and_says_why() {
    let (stage, parked) = given_up(&[410]).await;
    let answer = stage.redeliver(&parked).await.unwrap();
    assert_eq!(answer["delivered"], false);
    let why = answer["outcome"].as_str().unwrap();
    assert!(
        why.contains("410") && why.contains("no more messages"),
        "{why}"
    );
    assert_eq!(stage.parked().len(), 1);
    let callback = stage.aws.record("mig-1").await.callback.unwrap();
    assert_eq!(
        (callback.delivered, callback.outcome.as_str()),
        (false, why)
    );
}

#[tokio::test]
async fn the_guard_stands_before_a_redelivery_too() {
    let (stage, mut parked) = given_up(&[500, 200]).await;
    parked.url = "https://169.254.169.254/latest/meta-data".into();
    let answer = stage.redeliver(&parked).await.unwrap();
    assert_eq!(answer["delivered"], false);
    assert_eq!(stage.receiver.requests().len(), 1);
}

#[tokio::test]
async fn a_record_that_is_gone_or_speaks_of_another_attempt_stays_as_it_is() {
    let (stage, parked) = given_up(&[500, 200]).await;
    stage
        .aws
        .change("mig-1", |record| {
            record.attempt = 2;
            record.callback = None;
        })
        .await;
    let before = stage.aws.record("mig-1").await;
    assert_eq!(stage.redeliver(&parked).await.unwrap()["delivered"], true);
    assert_eq!(stage.aws.record("mig-1").await, before);
    let unknown = Parked {
        migration_id: "mig-gone".into(),
        ..parked
    };
    assert_eq!(stage.redeliver(&unknown).await.unwrap()["delivered"], true);
}

#[tokio::test]
async fn every_call_may_fail_once_and_the_next_order_delivers() {
    let calls = {
        let (stage, parked) = given_up(&[500, 200]).await;
        let before = stage.aws.calls.made().len();
        stage.redeliver(&parked).await.unwrap();
        stage.aws.calls.made().split_off(before)
    };
    assert_eq!(calls, ["GetItem", "GetSecretValue", "TransactWriteItems"]);
    for (nth, call) in calls.iter().enumerate() {
        for fault in Fault::ALL {
            let (stage, parked) = given_up(&[500, 200]).await;
            stage.aws.calls.fail_nth(nth, fault);
            // Nothing is lost: the message is still in the queue of whoever ordered this.
            match stage.redeliver(&parked).await {
                Ok(answer) => assert_eq!(answer["delivered"], false, "{call} {fault:?}"),
                Err(error) => assert_ne!(error.name, ErrorName::ValidationError),
            }
            assert_eq!(stage.redeliver(&parked).await.unwrap()["delivered"], true);
            assert!(stage.aws.record("mig-1").await.callback.unwrap().delivered);
        }
    }
}

#[tokio::test]
async fn an_order_without_a_message_names_the_member() {
    let stage = Stage::new(&[200]).await;
    let order = json!({ "action": "redeliver" });
    let error = callback::handle(&stage.deps(), order, support::invocation("r")).await;
    let error = error.unwrap_err();
    assert_eq!(error.name, ErrorName::InternalError);
    assert!(error.message.contains("`message`"), "{error}");
}
