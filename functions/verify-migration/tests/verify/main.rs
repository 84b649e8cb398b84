//! `verify-migration` against AWS in memory and a target on this machine.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::result_large_err,
    clippy::large_futures,
    clippy::type_complexity,
    clippy::unnested_or_patterns,
    reason = "helpers of tests"
)]

#[path = "../../../../shared/mgn/tests/support/mod.rs"]
mod mgn;
#[path = "../../../../shared/common/tests/support/receiver.rs"]
mod receiver;
#[path = "../../../../shared/common/tests/support/mod.rs"]
mod support;

mod before;
mod checks;
mod scripts;
mod soak;
mod stage;

use landfall_domain::{ErrorName, Status};
use serde_json::json;
use stage::Stage;
use support::{Fault, invocation, stage_input};
use verify_migration::handle;

#[tokio::test]
async fn a_test_that_passes_is_verified_and_mgn_is_told() {
    let stage = Stage::new(Status::Testing, &[200]).await;
    let output = stage.verify("test", 0).await.unwrap();
    assert_eq!(output, json!({ "status": "READY_FOR_CUTOVER" }));
    assert_eq!(
        stage.aws.happened("mig-1").await,
        ["TestVerified", "CutoverReady"]
    );
    let lifecycle = stage.account.lock().unwrap().servers[0].lifecycle.clone();
    assert_eq!(lifecycle, "READY_FOR_CUTOVER");
    let record = stage.aws.record("mig-1").await;
    assert!(record.done.test.unwrap().verified_at.is_some());
    let evidence = record.test_evidence.unwrap();
    assert_eq!(evidence.settings_digest, "settings");
    assert_eq!(evidence.effective_digest.as_deref(), Some("effective"));
    assert_eq!(evidence.job_id, "mgnjob-1");
    assert_eq!(stage.target.requests()[0].line, "GET /i-1/health HTTP/1.1");
    // A second run finds everything done.
    let output = stage.verify("test", 0).await.unwrap();
    assert_eq!(output, json!({ "status": "READY_FOR_CUTOVER" }));
    assert_eq!(stage.aws.happened("mig-1").await.len(), 2);
    assert_eq!(stage.target.requests().len(), 1);
}

#[tokio::test]
async fn a_cutover_that_passes_soaks_where_asked() {
    for (soak, status, events) in [
        (None, "CUTOVER_VERIFIED", vec!["HealthCheckPassed"]),
        (
            Some(60),
            "SOAKING",
            vec!["HealthCheckPassed", "SoakStarted"],
        ),
    ] {
        let stage = Stage::new(Status::CuttingOver, &[200]).await;
        let mut record = stage.aws.record("mig-1").await;
        record.request.policy.soak_seconds = soak;
        stage
            .aws
            .store()
            .save(record, support::now())
            .await
            .unwrap();
        for _ in 0..2 {
            let output = stage.verify("cutover", 0).await.unwrap();
            assert_eq!(output, json!({ "status": status }));
        }
        assert_eq!(stage.aws.happened("mig-1").await, events);
        assert_eq!(stage.aws.calls.count("ChangeServerLifeCycleState"), 0);
    }
}

#[tokio::test]
async fn an_instance_that_starts_is_waited_for_and_given_up_in_the_end() {
    for (state, checks, what) in [
        (None, "ok", "EC2 does not know it"),
        (Some("pending"), "ok", "it is pending"),
        (
            Some("running"),
            "initializing",
            "instance status is initializing",
        ),
        (Some("running"), "impaired", "instance status is impaired"),
    ] {
        let stage = Stage::new(Status::Testing, &[200]).await;
        stage.instance(state, checks);
        let error = stage.verify("test", 0).await.unwrap_err();
        assert_eq!(error.name, ErrorName::DependencyUnavailable);
        assert!(error.message.contains(what), "{error}");
        assert!(stage.aws.happened("mig-1").await.is_empty());
        let error = stage.verify("test", 28).await.unwrap_err();
        assert_eq!(error.name, ErrorName::VerificationError);
        assert_eq!(error.findings[0].code, "INSTANCE_NOT_READY");
        assert_eq!(stage.aws.happened("mig-1").await, ["HealthCheckFailed"]);
        assert!(stage.target.requests().is_empty());
    }
}

#[tokio::test]
async fn an_instance_that_is_gone_is_not_waited_for() {
    for state in ["stopped", "stopping", "shutting-down", "terminated"] {
        let stage = Stage::new(Status::Testing, &[200]).await;
        stage.instance(Some(state), "ok");
        let error = stage.verify("test", 0).await.unwrap_err();
        assert_eq!(error.name, ErrorName::VerificationError, "{state}");
        assert!(error.cause().contains(state), "{}", error.cause());
    }
}

#[tokio::test]
async fn an_application_that_recovers_in_time_passes() {
    let stage = Stage::new(Status::Testing, &[503, 503, 200]).await;
    for round in 1..=2 {
        let error = stage.verify("test", round).await.unwrap_err();
        assert_eq!(error.name, ErrorName::DependencyUnavailable);
        assert!(error.cause().contains("answered 503"), "{}", error.cause());
        let record = stage.aws.record("mig-1").await;
        let health = record.done.health.unwrap();
        assert_eq!(
            (health.checks[0].failed, health.checks[0].passed),
            (round, false)
        );
    }
    stage.verify("test", 3).await.unwrap();
    let happened = stage.aws.happened("mig-1").await;
    assert_eq!(happened, ["TestVerified", "CutoverReady"]);
    let (_, detail) = stage.aws.events.lock().unwrap()[0].clone();
    let tries = detail["evidence"]["checks"][0]["tries"]
        .as_array()
        .unwrap()
        .clone();
    let seen: Vec<_> = tries
        .iter()
        .map(|it| it["seen"].as_str().unwrap())
        .collect();
    assert_eq!(seen[..2], ["answered 503", "answered 503"]);
    assert!(seen[2].starts_with("answered 200 in "), "{seen:?}");
}

#[tokio::test]
async fn an_application_that_stays_ill_fails_after_its_own_number_of_tries() {
    let stage = Stage::new(Status::CuttingOver, &[503]).await;
    for _ in 0..2 {
        let error = stage.verify("cutover", 0).await.unwrap_err();
        assert_eq!(error.name, ErrorName::DependencyUnavailable);
    }
    let error = stage.verify("cutover", 0).await.unwrap_err();
    assert_eq!(error.name, ErrorName::VerificationError);
    assert_eq!(error.findings[0].pointer, "/healthChecks/0");
    assert_eq!(stage.aws.happened("mig-1").await, ["HealthCheckFailed"]);
    let (_, detail) = stage.aws.events.lock().unwrap()[0].clone();
    assert_eq!(detail["reasonCode"], "HEALTH_CHECK_FAILED");
    let tries = &detail["evidence"]["checks"][0]["tries"];
    assert_eq!(tries.as_array().unwrap().len(), 3, "{detail}");
    assert_eq!(tries[2]["seen"], "answered 503");
    let record = stage.aws.record("mig-1").await;
    assert_eq!(record.status, Status::CuttingOver, "the rollback decides");
}

#[tokio::test]
async fn a_slow_start_leaves_an_ill_application_fewer_rounds_but_the_right_reason() {
    let stage = Stage::new(Status::Testing, &[503]).await;
    let error = stage.verify("test", 267).await.unwrap_err();
    assert_eq!(error.name, ErrorName::DependencyUnavailable);
    // The workflow gives up at 270 retries, with rounds to spare here.
    let error = stage.verify("test", 268).await.unwrap_err();
    assert_eq!(error.name, ErrorName::VerificationError);
    assert_eq!(error.findings[0].code, "HEALTH_CHECK_FAILED");
    assert_eq!(stage.aws.happened("mig-1").await, ["HealthCheckFailed"]);
}

#[tokio::test]
async fn checks_are_tried_at_the_same_time_and_told_in_order() {
    let stage = Stage::new(Status::Testing, &[200]).await;
    // Takes connections, and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", silent.local_addr().unwrap());
    let mut record = stage.aws.record("mig-1").await;
    // The first takes longest: the order is not that of the answers.
    let checks = (0..20).map(|index| {
        json!({"kind": "http", "url": url, "attempts": 1, "timeoutSeconds": if index == 0 { 2 } else { 1 }})
    });
    record.request.health_checks = serde_json::from_value(checks.collect()).unwrap();
    let store = stage.aws.store();
    store.save(record, support::now()).await.unwrap();
    let started = std::time::Instant::now();
    let error = stage.verify("test", 0).await.unwrap_err();
    let took = started.elapsed();
    // One after the other would take 21.
    assert!(took < std::time::Duration::from_secs(20), "{took:?}");
    let pointers: Vec<_> = error.findings.iter().map(|f| f.pointer.clone()).collect();
    let wanted: Vec<_> = (0..20)
        .map(|index| format!("/healthChecks/{index}"))
        .collect();
    assert_eq!(pointers, wanted);
}

#[tokio::test]
async fn every_call_may_fail_once_and_the_next_try_verifies() {
    let calls = {
        let stage = Stage::new(Status::Testing, &[200]).await;
        stage.verify("test", 0).await.unwrap();
        stage.aws.calls.made()
    };
    assert!(calls.contains(&"ChangeServerLifeCycleState"), "{calls:?}");
    for (nth, call) in calls.iter().enumerate() {
        for fault in Fault::ALL {
            let case = format!("call {nth} {call} {fault:?}");
            let stage = Stage::new(Status::Testing, &[200]).await;
            stage.aws.calls.fail_nth(nth, fault);
            let error = stage.verify("test", 0).await.unwrap_err();
            let expected = match (*call, fault) {
                (_, Fault::Unavailable | Fault::AnswerLost) => ErrorName::DependencyUnavailable,
                ("DescribeInstances" | "DescribeInstanceStatus", _) => ErrorName::VerificationError,
                ("DescribeSourceServers", _) => ErrorName::PrerequisiteError,
                ("ChangeServerLifeCycleState", _) => ErrorName::MigrationExecutionError,
                _ => ErrorName::InternalError,
            };
            assert_eq!(error.name, expected, "{case}: {error}");
            let output = stage.verify("test", 1).await.unwrap();
            assert_eq!(output, json!({ "status": "READY_FOR_CUTOVER" }), "{case}");
            assert_eq!(
                stage.aws.happened("mig-1").await,
                ["TestVerified", "CutoverReady"],
                "{case}"
            );
        }
    }
}

#[tokio::test]
async fn an_attempt_that_is_over_and_an_event_that_is_wrong_are_refused() {
    let stage = Stage::new(Status::Testing, &[200]).await;
    for (member, value) in [("attempt", json!(2)), ("executionArn", json!("arn:other"))] {
        let mut event = stage_input("mig-1", json!({ "phase": "test" }));
        event[member] = value;
        let error = handle(&stage.deps(), event, invocation("r"))
            .await
            .unwrap_err();
        assert_eq!(error.name, ErrorName::PrerequisiteError, "{member}");
    }
    assert!(stage.aws.happened("mig-1").await.is_empty());

    let ended = Stage::new(Status::Frozen, &[200]).await;
    let error = ended.verify("test", 0).await.unwrap_err();
    assert_eq!(error.name, ErrorName::ValidationError);

    let event = stage_input("mig-1", json!({}));
    let error = handle(&stage.deps(), event, invocation("r"))
        .await
        .unwrap_err();
    assert_eq!(error.name, ErrorName::InternalError);
    assert!(error.message.contains("`phase`"), "{error}");
}

#[tokio::test]
async fn trap_the_lifecycle_does_not_change_without_a_lag() {
    let stage = Stage::new(Status::Testing, &[200, 200]).await;
    let lag =
        |lag: Option<&str>| stage.account.lock().unwrap().servers[0].lag = lag.map(str::to_owned);
    lag(None);
    let error = stage.verify("test", 0).await.unwrap_err();
    assert_eq!(error.name, ErrorName::DependencyUnavailable);
    assert_eq!(stage.aws.calls.count("ChangeServerLifeCycleState"), 0);
    lag(Some("PT3S"));
    stage.verify("test", 0).await.unwrap();
    assert_eq!(
        stage.aws.record("mig-1").await.status,
        Status::ReadyForCutover
    );
}
