//! A source that runs again must also answer what it answered before the cutover.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use landfall_domain::ErrorName;
use serde_json::{Value, json};

use crate::stage::Stage;
use crate::world;

/// An application on the source that answers 503 as often as this, and then 200.
async fn application(failures: usize) -> (String, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let answer = move || async move {
        if counter.fetch_add(1, Ordering::SeqCst) < failures {
            StatusCode::SERVICE_UNAVAILABLE
        } else {
            StatusCode::OK
        }
    };
    let router = Router::new().route("/health", get(answer));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/health", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (url, asked)
}

/// A migration whose first check asks the source there; `sample` is what it answered before the cutover.
async fn checked(url: &str, sample: Option<Value>) -> Stage {
    let stage = Stage::moved().await;
    stage.parts.change_record(|record| {
        let checks = json!([{
            "kind": "http", "url": "http://{privateIp}/health", "source": {"url": url}, "timeoutSeconds": 2,
        }]);
        record.request.health_checks = serde_json::from_value(checks).unwrap();
        let baseline = sample.map(|sample| json!({"at": world::NOW, "samples": [sample]}));
        record.done.baseline = serde_json::from_value(json!(baseline)).unwrap();
    });
    stage
}

#[tokio::test]
async fn users_come_back_only_to_a_source_that_answers() {
    let (url, asked) = application(3).await;
    let answered = json!({
        "check": 0, "url": url, "answer": {"status": 200, "millis": 4}, "seen": "answered 200 in 4 ms",
    });
    for sample in [None, Some(answered)] {
        asked.store(0, Ordering::SeqCst);
        let stage = checked(&url, sample).await;
        for _ in 0..10 {
            let error = stage.run(world::NOW).await.unwrap_err();
            assert_eq!(error.name, ErrorName::DependencyUnavailable);
            if asked.load(Ordering::SeqCst) == 3 {
                break;
            }
        }
        assert_eq!(stage.parts.world().power, "running");
        let said = stage.parts.world().record().rollback.unwrap();
        let said = &said.steps["POWER_ON_SOURCE"].said;
        assert!(
            said.contains("does not answer as before") && said.contains("503"),
            "{said}"
        );
        assert_eq!(stage.parts.world().count("ChangeResourceRecordSets"), 0);
        assert_eq!(stage.finish().await.unwrap()["status"], "ROLLED_BACK");
        stage.assert_undone("");
        let record = stage.parts.world().record();
        let said = &record.rollback.unwrap().steps["POWER_ON_SOURCE"].said;
        assert!(said.contains("passes 1 of its checks"), "{said}");
    }
}

#[tokio::test]
async fn what_the_source_did_not_pass_before_the_cutover_is_not_asked_for() {
    let (url, asked) = application(usize::MAX).await;
    let failed = json!({"check": 0, "url": url, "seen": "answered 503"});
    let stage = checked(&url, Some(failed)).await;
    assert_eq!(stage.finish().await.unwrap()["status"], "ROLLED_BACK");
    assert_eq!(asked.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_source_that_never_answers_is_left_to_a_person() {
    let (url, _) = application(usize::MAX).await;
    let stage = checked(&url, None).await;
    stage.run(world::NOW).await.unwrap_err();
    stage.run(world::NOW).await.unwrap_err();
    let answer = stage.run("2026-11-21T13:31:00Z").await.unwrap();
    assert_eq!(answer["status"], "FROZEN");
    let world = stage.parts.world();
    let hand_over = world.record().hand_over.unwrap();
    assert!(hand_over.done.is_empty());
    assert!(
        hand_over.by_hand[0].contains(&url),
        "{:?}",
        hand_over.by_hand
    );
    assert!(hand_over.text().contains("not done in time"));
}
