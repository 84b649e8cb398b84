//! A source that runs again must also answer what it answered before the cutover.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use landfall_domain::ErrorName;
use landfall_domain::control::Purpose;
use landfall_domain::finalize::{State, Step, set};
use serde_json::{Value, json};

use crate::stage::Stage;
use crate::world::{self, Fault};

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

/// Somebody powered the source off before finalize came to it.
async fn quiesced(kind: &str) -> Stage {
    let stage = Stage::moved().await;
    if kind != "azure" {
        stage.parts.source_on(kind);
    }
    stage.parts.change_record(|record| {
        record.done.source_powered_off_at = None;
        let state = if kind == "none" {
            State::Left
        } else {
            State::Done
        };
        let seen = json!("was off before");
        let now = world::NOW.parse().unwrap();
        set(&mut record.done, Step::SourcePowerOff, state, seen, now);
    });
    stage
}

/// How often the source was to be powered on, users were to be moved or the target was to go.
fn moved_back(stage: &Stage) -> usize {
    let world = stage.parts.world();
    let calls = [
        "azure:POST:start",
        "vsphere:POST:power",
        "source:StartInstances",
        "ChangeResourceRecordSets",
        "ChangeServerLifeCycleState",
        "TerminateTargetInstances",
    ];
    calls.iter().map(|call| world.count(call)).sum()
}

#[tokio::test]
async fn users_do_not_come_back_to_a_source_that_somebody_else_powered_off() {
    for kind in ["azure", "vsphere", "ec2"] {
        let stage = quiesced(kind).await;
        for _ in 0..2 {
            let error = stage.run(world::NOW).await.unwrap_err();
            assert_eq!(error.name, ErrorName::DependencyUnavailable, "{kind}");
            assert!(error.message.contains("power it on"), "{kind}: {error}");
        }
        assert_eq!(moved_back(&stage), 0, "{kind}");
        stage.parts.world().power = "running".into();
        assert_eq!(stage.finish().await.unwrap()["status"], "ROLLED_BACK");
        stage.assert_undone(kind);
        // It was not Landfall that powered it on.
        for start in [
            "azure:POST:start",
            "vsphere:POST:power",
            "source:StartInstances",
        ] {
            assert_eq!(stage.parts.world().count(start), 0, "{kind}");
        }
    }
}

#[tokio::test]
async fn whoever_powered_the_source_off_is_told_to_power_it_on() {
    let stage = quiesced("azure").await;
    stage.run(world::NOW).await.unwrap_err();
    let answer = stage.run("2026-11-21T13:31:00Z").await.unwrap();
    assert_eq!(answer["status"], "FROZEN");
    assert_eq!(moved_back(&stage), 0);
    let hand_over = stage.parts.world().record().hand_over.unwrap();
    assert_eq!(hand_over.not_done[0].compensation, "CHECK_SOURCE");
    let told = &hand_over.by_hand[0];
    assert!(told.starts_with("Power on the source vm-1"), "{told}");
}

#[tokio::test]
async fn whatever_call_about_the_source_fails_once_the_next_run_goes_on() {
    let running = async || {
        let stage = quiesced("azure").await;
        stage.parts.world().power = "running".into();
        stage
    };
    let calls = {
        let stage = running().await;
        stage.finish().await.unwrap();
        stage.parts.world().calls.clone()
    };
    let mut failed = 0;
    for (index, call) in calls.iter().enumerate() {
        if !call.starts_with("azure:") {
            continue;
        }
        for fault in [Fault::Unavailable, Fault::Lost, Fault::Refused] {
            let stage = running().await;
            stage.parts.world().fault = Some((index, fault));
            let answer = stage.finish().await.unwrap();
            let what = format!("{call} {fault:?}");
            assert_eq!(answer["status"], "ROLLED_BACK", "{what}");
            stage.assert_undone(&what);
            failed += 1;
        }
    }
    assert!(failed >= 6, "{calls:?}");
}

#[tokio::test]
async fn a_source_that_nobody_controls_is_asked_what_it_answered_before() {
    let (url, asked) = application(2).await;
    let stage = checked(&url, None).await;
    stage.parts.source_on("none");
    stage
        .parts
        .change_record(|record| record.done.source_powered_off_at = None);
    for _ in 0..2 {
        let error = stage.run(world::NOW).await.unwrap_err();
        assert!(error.message.contains("does not answer"), "{error}");
        assert_eq!(moved_back(&stage), 0);
    }
    assert_eq!(stage.finish().await.unwrap()["status"], "ROLLED_BACK");
    assert_eq!(asked.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_source_that_answers_runs_whatever_its_platform_says_of_who_asks() {
    let (url, _) = application(0).await;
    for (answers, status) in [(true, "ROLLED_BACK"), (false, "FROZEN")] {
        let stage = if answers {
            checked(&url, None).await
        } else {
            Stage::moved().await
        };
        stage
            .parts
            .change_record(|record| record.done.source_powered_off_at = None);
        stage.parts.world().refused = Some("azure:GET:instanceView".into());
        assert_eq!(stage.finish().await.unwrap()["status"], status);
        assert_eq!(moved_back(&stage) == 0, status == "FROZEN");
    }
    // A platform that does not know.
    let stage = checked(&url, None).await;
    stage
        .parts
        .change_record(|record| record.done.source_powered_off_at = None);
    stage.parts.world().power = "unknown".into();
    assert_eq!(stage.finish().await.unwrap()["status"], "ROLLED_BACK");
}

#[tokio::test]
async fn an_ordered_rollback_names_the_power_that_was_left_to_a_person() {
    let stage = quiesced("none").await;
    stage.parts.world().lifecycle = "CUTOVER".into();
    stage.parts.change_record(|record| {
        record.purpose = Purpose::Rollback;
        record.status = landfall_domain::Status::Requested;
        record.done.finalized_at = Some("2026-11-21T11:30:00Z".into());
    });
    let ask = json!({"action": "plan", "tenantId": "default", "migrationId": "mig-1"});
    let answer = rollback::handle(&stage.deps, ask, world::invocation()).await;
    let plan = &answer.unwrap()["plan"];
    let first = &plan["compensations"][0]["kind"];
    assert_eq!(first, "RESTORE_DNS", "nothing can say whether it runs");
    let names_it = |kept: &str| kept.contains("vm-1") && kept.contains("power it on");
    assert!(names_it(&plan["kept"].to_string()), "{plan}");
    assert_eq!(stage.finish().await.unwrap()["status"], "ROLLED_BACK");
    let hand_over = stage.parts.world().record().hand_over.unwrap();
    assert!(names_it(&hand_over.kept.join("\n")), "{hand_over:?}");
    let beside = &hand_over.by_hand[0];
    assert!(beside.contains("runs beside the source"), "{beside}");
}
