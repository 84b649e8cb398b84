//! One sweep over all waits.

use jiff::ToSpan as _;
use landfall_domain::{ErrorName, Status};
use serde_json::json;

use crate::failed;
use crate::stage::Stage;
use crate::support::{Fault, key};
use crate::tasks::Ended;

#[tokio::test]
async fn nothing_waits_and_nothing_is_asked() {
    let stage = Stage::default();
    assert_eq!(stage.sweep().await.unwrap(), json!({ "waits": 0 }));
    assert_eq!(stage.aws.calls.made(), ["Query"]);
}

#[tokio::test]
async fn a_dead_token_closes_the_wait() {
    for stage in [Stage::agent().await, Stage::launching("FAILED", None).await] {
        let dead = Ended::Succeeded("by somebody else".into());
        stage
            .tasks
            .lock()
            .unwrap()
            .insert("token-1".into(), dead.clone());
        stage.sweep().await.unwrap();
        assert!(stage.waits().await.is_empty());
        assert_eq!(stage.task(), Some(dead));
    }
}

#[tokio::test]
async fn a_wait_of_an_attempt_that_is_over_is_closed_in_silence() {
    let stage = Stage::agent().await;
    let record = stage.aws.record("mig-1").await;
    let change = landfall_common::state::Change::to(
        Status::Failed,
        landfall_domain::EventType::MigrationFailed,
    );
    let store = stage.aws.store();
    store
        .transition(record, &change, crate::support::now())
        .await
        .unwrap();
    stage.sweep().await.unwrap();
    assert!(stage.waits().await.is_empty());
    assert_eq!(stage.task(), None);
}

#[tokio::test]
async fn every_call_of_a_sweep_may_fail_once_and_the_next_sweep_makes_it_good() {
    for kind in ["agent", "replication", "launched", "failed"] {
        let make = async || match kind {
            "agent" => Stage::agent().await,
            "replication" => Stage::replication_waits().await,
            "launched" => Stage::launching("LAUNCHED", Some("i-1")).await,
            _ => Stage::launching("FAILED", None).await,
        };
        let (calls, happened, ended) = {
            let stage = make().await;
            stage.sweep().await.unwrap();
            let happened = stage.aws.happened("mig-1").await;
            (stage.aws.calls.made(), happened, stage.task())
        };
        for (nth, call) in calls.iter().enumerate() {
            for fault in Fault::ALL {
                let case = format!("{kind}: call {nth} {call} {fault:?}");
                let stage = make().await;
                stage.aws.calls.fail_nth(nth, fault);
                let first = stage.sweep().await;
                // What all depends on fails the sweep; what one wait needs is left to the next sweep.
                if matches!(*call, "Query" | "DescribeSourceServers" | "DescribeJobs") {
                    let error = first.unwrap_err();
                    if fault != Fault::Refused {
                        assert_eq!(error.name, ErrorName::DependencyUnavailable, "{case}");
                    }
                } else {
                    assert_eq!(first.unwrap(), json!({ "waits": 1 }), "{case}");
                }
                stage.sweep().await.unwrap();
                assert_eq!(stage.aws.happened("mig-1").await, happened, "{case}");
                // What a second sweep says of a token may be shorter, but not another end.
                let same = match (stage.task(), &ended) {
                    (Some(Ended::Succeeded(_)), Some(Ended::Succeeded(_))) => true,
                    (now, ended) => now == *ended,
                };
                assert!(same, "{case}: {:?}", stage.task());
                assert!(stage.waits().await.is_empty(), "{case}");
            }
        }
    }
}

#[tokio::test]
async fn one_wait_s_fault_does_not_hold_up_the_others() {
    let stage = Stage::agent().await;
    stage.also_agent("mig-2").await;
    // Of the first wait: the reads for all are Query and DescribeSourceServers.
    stage.aws.calls.fail_nth(2, Fault::Refused);
    stage.sweep().await.unwrap();
    let open: Vec<_> = stage.waits().await.into_iter().map(|w| w.key).collect();
    assert_eq!(open.len(), 1);
    assert!(open == [key("mig-1")] || open == [key("mig-2")]);
}

#[tokio::test]
async fn an_account_that_cannot_be_entered_fails_its_own_waits_and_holds_up_no_other() {
    let stage = Stage::agent().await;
    stage.also_agent("mig-2").await;
    let mut elsewhere = stage.wait_of("mig-1").await;
    elsewhere.account = Some(landfall_domain::request::Account {
        id: "999999999999".into(),
        region: "eu-central-1".into(),
        role_arn: None,
        external_id: None,
    });
    stage.aws.store().open_wait(&elsewhere).await.unwrap();
    stage.sweep().await.unwrap();
    let (name, cause) = failed(stage.task());
    assert_eq!(name, "PrerequisiteError");
    assert!(cause.contains("TARGET_ROLE_MISSING"), "{cause}");
    assert!(stage.waits().await.is_empty(), "the other has ended well");
    assert_eq!(stage.aws.record("mig-2").await.status, Status::Replicating);
}

#[tokio::test]
async fn a_token_that_died_is_noticed_while_its_wait_goes_on() {
    let stage = Stage::replicating().await;
    stage.server(|server| server.lag = Some("PT1H".into()));
    stage.await_replication("token-1").await;
    let ended = Ended::Failed("TIMED_OUT".into(), String::new());
    stage.tasks.lock().unwrap().insert("token-1".into(), ended);
    sweep_for_half_an_hour(&stage).await;
    assert_eq!(stage.aws.calls.count("SendTaskHeartbeat"), 1);
    assert!(stage.waits().await.is_empty());
    let record = stage.aws.record("mig-1").await;
    assert_eq!(record.status, Status::Replicating, "its execution goes on");
}

#[tokio::test]
async fn a_migration_whose_execution_was_stopped_is_frozen() {
    let stage = Stage::replicating().await;
    stage.server(|server| server.lag = Some("PT1H".into()));
    stage.await_replication("token-1").await;
    let ended = Ended::Failed("ABORTED".into(), String::new());
    let gone = ["token-1".to_owned(), crate::support::EXECUTION.to_owned()];
    stage
        .tasks
        .lock()
        .unwrap()
        .extend(gone.map(|it| (it, ended.clone())));
    sweep_for_half_an_hour(&stage).await;
    assert!(stage.waits().await.is_empty());
    assert_eq!(stage.aws.record("mig-1").await.status, Status::Frozen);
    assert_eq!(stage.aws.happened("mig-1").await, ["MigrationFrozen"]);
    let events = stage.aws.events.lock().unwrap();
    let (_, detail) = events.last().unwrap();
    assert_eq!(detail["reasonCode"], "EXECUTION_GONE");
    assert_eq!(detail["evidence"]["execution"], "ABORTED");
}

#[tokio::test]
async fn a_migration_is_frozen_where_what_it_waited_for_comes_after_its_execution_was_stopped() {
    let stage = Stage::launching("LAUNCHED", Some("i-1")).await;
    let ended = Ended::Failed("ABORTED".into(), String::new());
    let gone = ["token-1".to_owned(), crate::support::EXECUTION.to_owned()];
    stage
        .tasks
        .lock()
        .unwrap()
        .extend(gone.map(|it| (it, ended.clone())));
    stage.sweep().await.unwrap();
    assert_eq!(stage.aws.record("mig-1").await.status, Status::Frozen);
    assert_eq!(
        stage.aws.happened("mig-1").await,
        ["TestLaunched", "MigrationFrozen"]
    );
    assert!(stage.waits().await.is_empty());
}

/// One sweep in each minute, as the schedule makes them.
async fn sweep_for_half_an_hour(stage: &Stage) {
    let start = crate::support::now();
    for minutes in 0..30 {
        let at = start + minutes.minutes();
        stage.sweep_at(&at.to_string()).await.unwrap();
    }
}

#[tokio::test]
async fn trap_an_event_is_lost_doubled_or_late() {
    let launched = json!({
        "source": "aws.mgn", "detail-type": "MGN Source Server Launch Result",
        "detail": {"state": "TEST_LAUNCH_SUCCEEDED", "job-id": "mgnjob-1"},
    });
    // Lost: the schedule finds it. Too early: the job decides. Doubled or late: there is nothing left to do.
    let stage = Stage::launching("LAUNCHED", Some("i-1")).await;
    stage.job(|job| job.completed = false);
    stage.handle(launched.clone()).await.unwrap();
    assert_eq!(stage.task(), None);
    stage.job(|job| job.completed = true);
    stage.sweep().await.unwrap();
    let ended = stage.task();
    assert!(matches!(ended, Some(Ended::Succeeded(_))));
    for _ in 0..2 {
        stage.handle(launched.clone()).await.unwrap();
    }
    assert_eq!(stage.task(), ended);
    assert_eq!(stage.aws.happened("mig-1").await, ["TestLaunched"]);
}
