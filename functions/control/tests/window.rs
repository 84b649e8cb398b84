//! The window of a wave, ordered through the API, with AWS in memory.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::result_large_err,
    clippy::large_futures,
    reason = "helpers of tests"
)]

#[path = "../../../shared/common/tests/support/mod.rs"]
mod support;
#[path = "../../../shared/common/tests/support/tasks.rs"]
mod tasks;

use std::sync::{Arc, Mutex};

use control::{Deps, handle};
use landfall_common::state::wave::WaveWindow;
use landfall_gates::Gates;
use serde_json::{Value, json};
use support::{Aws, Fault, invocation};
use tasks::Tasks;

/// The pointer of what is at fault as a whole.
const NOWHERE: &str = "";
const OPERATOR: &str = "arn:aws:iam::123456789012:user/op";

async fn send(aws: &Aws, body: Value) -> (u64, Value) {
    let event = json!({
        "body": body.to_string(),
        "requestContext": {"authorizer": {"iam": {"userArn": OPERATOR, "userId": "AIDA"}}},
    });
    let tasks = Arc::new(Mutex::new(Tasks::default()));
    let deps = Deps {
        journal: aws.journal(),
        sfn: tasks::sfn(&tasks, &aws.calls),
        gates: Gates::default(),
    };
    let answer = handle(&deps, event, invocation("request-1")).await.unwrap();
    let said = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
    (answer["statusCode"].as_u64().unwrap(), said)
}

async fn stored(aws: &Aws) -> Option<WaveWindow> {
    aws.store().wave_window("default", "wave-3").await.unwrap()
}

fn order(more: Value) -> Value {
    let mut order = json!({"order": "window", "wave": "wave-3", "reason": "as the board said"});
    let Value::Object(more) = more else {
        panic!("members are an object")
    };
    order.as_object_mut().unwrap().extend(more);
    order
}

fn window() -> Value {
    json!({"start": "2026-11-28T22:00", "end": "2026-11-29T04:00", "timeZone": "Europe/Berlin"})
}

#[tokio::test]
async fn a_window_is_set_replaced_and_cleared_and_says_who_did() {
    let aws = Aws::default();
    let (status, said) = send(&aws, order(json!({"window": window()}))).await;
    assert_eq!((status, &said["window"]), (200, &window()), "{said}");
    let set = stored(&aws).await.unwrap();
    assert_eq!((set.order.by.as_str(), set.version), (OPERATOR, 1));
    assert_eq!(set.order.reason, "as the board said");
    // The same again is answered like the first time, and changes nothing.
    assert_eq!(send(&aws, order(json!({"window": window()}))).await.0, 200);
    assert_eq!(stored(&aws).await.unwrap(), set);

    let mut later = window();
    later["recurrence"] = "FREQ=WEEKLY".into();
    assert_eq!(send(&aws, order(json!({"window": later}))).await.0, 200);
    assert_eq!(stored(&aws).await.unwrap().version, 2);
    let (status, said) = send(&aws, order(json!({"clear": true}))).await;
    assert_eq!((status, &said["window"]), (200, &Value::Null), "{said}");
    let cleared = stored(&aws).await.unwrap();
    assert_eq!((cleared.window, cleared.version), (None, 3));
}

#[tokio::test]
async fn what_cannot_be_a_window_is_refused_with_its_member() {
    let aws = Aws::default();
    let with = |name: &str, value: &str| {
        let mut window = window();
        window[name] = value.into();
        order(json!({ "window": window }))
    };
    let mut over = window();
    (over["start"], over["end"]) = (json!("2026-11-01T22:00"), json!("2026-11-02T02:00"));
    for (body, pointer) in [
        (order(json!({})), "/window"),
        (order(json!({"window": window(), "clear": true})), "/window"),
        (with("start", "tonight"), "/window/start"),
        (with("end", "2026-11-28T22:00"), "/window/end"),
        (with("timeZone", "Berlin"), "/window/timeZone"),
        (with("recurrence", "FREQ=OFTEN"), "/window/recurrence"),
        (with("zone", "UTC"), NOWHERE),
        (order(json!({ "window": over })), "/window"),
        (order(json!({"clear": true, "wave": ""})), "/wave"),
        (order(json!({"clear": true, "wave": "wave 3"})), "/wave"),
        (order(json!({"clear": true, "tenantId": "-"})), "/tenantId"),
        (order(json!({"clear": true, "reason": ""})), "/reason"),
        (
            order(json!({"clear": true, "migrationId": "mig-1"})),
            NOWHERE,
        ),
    ] {
        let (status, said) = send(&aws, body.clone()).await;
        let told = said["finding"]["pointer"].as_str().unwrap_or(NOWHERE);
        assert_eq!((status, told), (400, pointer), "{body}: {said}");
    }
    assert_eq!(stored(&aws).await, None);
}

#[tokio::test]
async fn every_call_may_fail_once_and_the_order_sent_again_converges() {
    let calls = {
        let aws = Aws::default();
        send(&aws, order(json!({"window": window()}))).await;
        aws.calls.made()
    };
    assert!(calls.contains(&"PutItem"), "{calls:?}");
    for (nth, call) in calls.iter().enumerate() {
        for fault in Fault::ALL {
            let aws = Aws::default();
            aws.calls.fail_nth(nth, fault);
            let case = format!("call {nth} {call} {fault:?}");
            send(&aws, order(json!({"window": window()}))).await;
            let (status, said) = send(&aws, order(json!({"window": window()}))).await;
            assert_eq!(status, 200, "{case}: {said}");
            let set = stored(&aws).await.unwrap();
            assert_eq!((set.version, set.window.is_some()), (1, true), "{case}");
        }
    }
}
