//! `landfall callbacks` against a server that plays SQS and Lambda's Invoke.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use axum::response::Response;
use serde_json::{Value, json};

use crate::support::{self, Aws, Ended, Folder, Seen};

/// A queue as SQS keeps it: what is borrowed is hidden until it is given back.
#[derive(Default)]
struct Queue {
    messages: Vec<(String, String)>,
    hidden: BTreeSet<String>,
    removed: Vec<String>,
}

fn parked(id: &str) -> Value {
    json!({
        "tenantId": "default", "migrationId": id, "correlationId": format!("mig-c-{id}"),
        "url": "https://hooks.example.com/secret", "webhookId": format!("msg_default_{id}_1"),
        "body": "{\"type\":\"migration.succeeded\"}", "reason": "the receiver answered 500",
    })
}

fn with(bodies: &[(&str, Value)]) -> Arc<Mutex<Queue>> {
    let messages = bodies
        .iter()
        .map(|(id, body)| ((*id).to_owned(), body.to_string()));
    Arc::new(Mutex::new(Queue {
        messages: messages.collect(),
        ..Queue::default()
    }))
}

/// Answers for the queue; what the function says is up to the test.
async fn aws(queue: &Arc<Mutex<Queue>>, invoke: fn(&Value) -> Response) -> Aws {
    let queue = Arc::clone(queue);
    Aws::new(move |seen: Seen| {
        let answer = match seen.operation.strip_prefix("AmazonSQS.") {
            None => invoke(&seen.body),
            Some(operation) => sqs(&mut queue.lock().unwrap(), operation, &seen.body),
        };
        async { answer }
    })
    .await
}

fn sqs(queue: &mut Queue, operation: &str, input: &Value) -> Response {
    let body = match operation {
        "GetQueueUrl" => {
            assert_eq!(input["QueueName"], "acme-callbacks-failed");
            json!({ "QueueUrl": "http://sqs.test/0/acme-callbacks-failed" })
        }
        "ReceiveMessage" => {
            let hidden = &mut queue.hidden;
            let visible = queue
                .messages
                .iter()
                .filter(|(id, _)| hidden.insert(id.clone()));
            // A few at once, as SQS does.
            let some = visible.take(2).map(|(id, body)| {
                json!({
                    "MessageId": id, "ReceiptHandle": format!("receipt-{id}"), "Body": body,
                    "Attributes": { "SentTimestamp": "1795262400000" },
                })
            });
            json!({ "Messages": some.collect::<Vec<_>>() })
        }
        "ChangeMessageVisibilityBatch" => {
            for entry in input["Entries"].as_array().unwrap() {
                assert_eq!(entry["VisibilityTimeout"], 0);
                let receipt = entry["ReceiptHandle"].as_str().unwrap();
                queue.hidden.remove(receipt.trim_start_matches("receipt-"));
            }
            json!({ "Successful": [], "Failed": [] })
        }
        "DeleteMessage" => {
            let receipt = input["ReceiptHandle"].as_str().unwrap();
            let id = receipt.trim_start_matches("receipt-").to_owned();
            queue.messages.retain(|(it, _)| *it != id);
            queue.hidden.remove(&id);
            queue.removed.push(id);
            json!({})
        }
        other => panic!("nobody asked for {other}"),
    };
    support::json(
        200,
        &[("content-type", "application/x-amz-json-1.0")],
        &body,
    )
}

fn takes(_order: &Value) -> Response {
    support::json(200, &[], &json!({ "delivered": true, "outcome": "204" }))
}

fn takes_only_two(order: &Value) -> Response {
    if order["message"]["migrationId"] == "mig-2" {
        return takes(order);
    }
    let outcome = "the receiver answered 503";
    support::json(200, &[], &json!({ "delivered": false, "outcome": outcome }))
}

fn fails(_order: &Value) -> Response {
    let body = json!({ "errorType": "DependencyUnavailable", "errorMessage": "no table" });
    support::json(200, &[("x-amz-function-error", "Unhandled")], &body)
}

async fn callbacks(aws: &Aws, arguments: &[&str]) -> Ended {
    let mut all = vec!["callbacks"];
    all.extend(arguments);
    all.extend(["--table", "acme-migrations"]);
    Folder::new()
        .landfall(&all, &[("AWS_ENDPOINT_URL", &aws.url)])
        .await
}

fn three() -> Arc<Mutex<Queue>> {
    with(&[
        ("a", parked("mig-1")),
        ("b", parked("mig-2")),
        ("c", parked("mig-3")),
    ])
}

#[tokio::test]
async fn a_list_shows_all_and_leaves_all_to_the_next_who_looks() {
    let queue = with(&[
        ("a", parked("mig-1")),
        ("b", json!("other")),
        ("c", parked("mig-3")),
    ]);
    let aws = aws(&queue, |_| panic!("nothing is delivered")).await;
    let ended = callbacks(&aws, &["list"]).await;
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    let lines: Vec<&str> = ended.stdout.lines().collect();
    assert_eq!(lines.len(), 4, "{}", ended.stdout);
    for part in [
        "2026-11-21T12:00:00Z",
        "mig-1",
        "migration.succeeded",
        "https://hooks.example.com ",
        "answered 500",
    ] {
        assert!(lines[1].contains(part), "{part}: {}", lines[1]);
    }
    assert!(lines[2].contains("cannot be read"), "{}", lines[2]);
    assert!(!ended.stdout.contains("secret"), "{}", ended.stdout);
    assert!(queue.lock().unwrap().hidden.is_empty());

    let ended = callbacks(&aws, &["list", "--json"]).await;
    let listed: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(listed[0]["webhookId"], "msg_default_mig-1_1");
    assert_eq!(
        (&listed[0]["to"], &listed[1]["to"]),
        (&json!("https://hooks.example.com"), &Value::Null)
    );
    assert_eq!(queue.lock().unwrap().messages.len(), 3);
}

#[tokio::test]
async fn all_are_delivered_and_leave_the_queue() {
    let queue = three();
    let aws = aws(&queue, takes).await;
    let ended = callbacks(&aws, &["redeliver", "--all"]).await;
    let told = "mig-1  msg_default_mig-1_1  delivered: 204\nmig-2  msg_default_mig-2_1  delivered: 204\n\
                mig-3  msg_default_mig-3_1  delivered: 204\n";
    assert_eq!(
        (ended.code, ended.stdout.as_str(), ended.stderr.as_str()),
        (Some(0), told, "")
    );
    assert_eq!(queue.lock().unwrap().removed, ["a", "b", "c"]);
    let seen = aws.seen();
    // A batch is delivered at once, in no order.
    let order = seen
        .iter()
        .find(|seen| seen.body["message"]["migrationId"] == "mig-1")
        .unwrap();
    assert_eq!(
        order.path,
        "/2015-03-31/functions/acme-callback/invocations?Qualifier=live"
    );
    let expected = json!({
        "action": "redeliver", "correlationId": "mig-c-mig-1", "message": parked("mig-1"),
    });
    assert_eq!(order.body, expected);
    let ended = callbacks(&aws, &["redeliver", "--all"]).await;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), ""));
}

#[tokio::test]
async fn what_is_not_delivered_stays_and_is_there_at_once() {
    for (invoke, told) in [
        (
            takes_only_two as fn(&Value) -> Response,
            "the receiver answered 503",
        ),
        (fails, "DependencyUnavailable: no table"),
        (|_| support::json(200, &[], &json!("?")), "cannot be read"),
        (
            |_| {
                support::json(
                    403,
                    &[("x-amzn-errortype", "AccessDeniedException")],
                    &json!({}),
                )
            },
            "AccessDenied",
        ),
    ] {
        let queue = three();
        let aws = aws(&queue, invoke).await;
        let ended = callbacks(&aws, &["redeliver", "--all"]).await;
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(ended.stdout.contains(told), "{}", ended.stdout);
        let queue = queue.lock().unwrap();
        assert!(queue.hidden.is_empty(), "{:?}", queue.hidden);
        let removed: &[&str] = if told.contains("503") { &["b"] } else { &[] };
        assert_eq!(queue.removed, removed);
    }
}

#[tokio::test]
async fn only_the_ones_that_are_named_are_delivered() {
    for id in ["mig-2", "msg_default_mig-2_1"] {
        let queue = three();
        let aws = aws(&queue, takes).await;
        let ended = callbacks(&aws, &["redeliver", id, "--json"]).await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let told: Value = serde_json::from_str(&ended.stdout).unwrap();
        assert_eq!(told.as_array().unwrap().len(), 1);
        assert_eq!(
            (&told[0]["delivered"], &told[0]["outcome"]),
            (&json!(true), &json!("204"))
        );
        let queue = queue.lock().unwrap();
        assert_eq!(queue.removed, ["b"]);
        assert!(queue.hidden.is_empty());
    }
}

#[tokio::test]
async fn an_id_that_is_not_there_is_told() {
    let queue = three();
    let aws = aws(&queue, takes).await;
    let ended = callbacks(&aws, &["redeliver", "mig-2", "mig-9"]).await;
    assert_eq!(ended.code, Some(3));
    assert!(
        ended.stderr.contains("no callback of mig-9"),
        "{}",
        ended.stderr
    );
    assert_eq!(queue.lock().unwrap().removed, ["b"]);
}

#[tokio::test]
async fn neither_an_id_nor_all_sends_nothing() {
    let queue = three();
    let aws = aws(&queue, takes).await;
    for arguments in [&["redeliver"][..], &["redeliver", "mig-1", "--all"]] {
        assert_eq!(callbacks(&aws, arguments).await.code, Some(2));
    }
    assert!(aws.seen().is_empty());
}
