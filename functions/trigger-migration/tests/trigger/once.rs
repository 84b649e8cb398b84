//! A launch happens once.

use crate::mgn::Job;
use crate::stage::{Stage, tests};
use crate::support::{Fault, stage_input};
use crate::tasks::Ended;
use jiff::ToSpan as _;
use landfall_common::state::wait::Phase;
use landfall_domain::{ErrorName, Status};
use serde_json::{Value, json};

#[tokio::test]
async fn a_doubled_message_starts_nothing() {
    let stage = Stage::ready(1).await;
    let twice = [tests(1), tests(1)].concat();
    assert!(stage.run("request-1", &twice).await.is_empty());
    assert!(stage.run("request-2", &tests(1)).await.is_empty());
    assert_eq!(stage.aws.calls.count("StartTest"), 1);
    assert_eq!(stage.aws.happened("mig-0").await, ["TestLaunchStarted"]);
}

#[tokio::test]
async fn every_call_may_fail_once_and_each_server_is_launched_exactly_once() {
    let calls = {
        let stage = Stage::ready(2).await;
        stage.run("request-1", &tests(2)).await;
        stage.aws.calls.made()
    };
    for (nth, call) in calls.iter().enumerate() {
        for fault in Fault::ALL {
            let stage = Stage::ready(2).await;
            stage.aws.calls.fail_nth(nth, fault);
            let case = format!("call {nth} {call} {fault:?}");
            let again = stage.run("request-1", &tests(2)).await;
            // The same invocation ID: its own lease is no obstacle.
            let bodies: Vec<String> = again
                .iter()
                .map(|id| {
                    tests(2)[id
                        .strip_prefix("message-")
                        .unwrap()
                        .parse::<usize>()
                        .unwrap()]
                    .clone()
                })
                .collect();
            // What was asked without an answer shows by then.
            let later = crate::support::now() + 91_i64.seconds();
            let again = stage.run_at("request-1", &bodies, later).await;
            assert!(again.is_empty(), "{case}: {again:?}");
            for id in ["mig-0", "mig-1"] {
                let happened = stage.aws.happened(id).await;
                let ended = stage.task(&format!("token-{id}"));
                if *call == "StartTest" && fault == Fault::Refused {
                    // Refused for good: told once, and never started.
                    let Some(Ended::Failed(name, cause)) = ended else {
                        panic!("{case}: {ended:?}")
                    };
                    assert_eq!(name, ErrorName::MigrationExecutionError.as_str());
                    assert!(cause.contains("mgn:StartTest refused"), "{cause}");
                    assert_eq!(happened, ["TestLaunchFailed"], "{case}");
                    assert!(stage.jobs().is_empty());
                    continue;
                }
                assert_eq!(ended, None, "{case}");
                assert_eq!(happened, ["TestLaunchStarted"], "{case} {id}");
                let launched = stage.jobs();
                let launched = launched.iter().flat_map(|job| &job.servers);
                let times = launched.filter(|(s, ..)| *s == format!("s-{id}")).count();
                assert_eq!(times, 1, "{case}");
                let wait = stage.wait(id, Phase::Waiting).await;
                assert!(wait.is_some_and(|w| w.job_id.is_some()), "{case} {id}");
            }
        }
    }
}

#[tokio::test]
async fn a_job_whose_answer_was_lost_is_found_by_its_tag() {
    let stage = Stage::ready(2).await;
    let at = {
        let other = Stage::ready(2).await;
        other.run("request-1", &tests(2)).await;
        let calls = other.aws.calls.made();
        calls.iter().position(|call| *call == "StartTest").unwrap()
    };
    stage.aws.calls.fail_nth(at, Fault::AnswerLost);
    assert_eq!(stage.run("request-1", &tests(2)).await.len(), 2);
    assert_eq!(stage.aws.record("mig-0").await.status, Status::ReadyForTest);
    let receipts = stage.queue.lock().unwrap().again.clone();
    assert_eq!(
        receipts,
        [("receipt-0".to_owned(), 5), ("receipt-1".to_owned(), 5)]
    );
    assert!(stage.run("request-2", &tests(2)).await.is_empty());
    assert_eq!(stage.aws.calls.count("StartTest"), 1);
    for id in ["mig-0", "mig-1"] {
        let test = stage.aws.record(id).await.done.test.unwrap();
        assert_eq!(test.job_id, "mgnjob-1");
    }
}

#[tokio::test]
async fn the_token_of_a_later_try_wins_whatever_the_order_of_its_messages() {
    let tries = |order: [u32; 2]| {
        order.map(|retry| {
            let mut body: Value = serde_json::from_str(&tests(1)[0]).unwrap();
            body["retryCount"] = json!(retry);
            body["taskToken"] = json!(format!("token-{retry}"));
            body.to_string()
        })
    };
    for order in [[0, 1], [1, 0]] {
        let stage = Stage::ready(1).await;
        stage.server(0, |server| server.lag = Some("PT1H".into()));
        for body in tries(order) {
            stage.run("request-1", &[body]).await;
        }
        let wait = stage.wait("mig-0", Phase::Pending).await.unwrap();
        assert_eq!(wait.task_token, "token-1", "{order:?}");
    }
    // A later try finds the job of the earlier one.
    let stage = Stage::ready(1).await;
    for body in tries([0, 1]) {
        assert!(stage.run("request-1", &[body]).await.is_empty());
    }
    assert_eq!(stage.aws.calls.count("StartTest"), 1);
    let wait = stage.wait("mig-0", Phase::Waiting).await.unwrap();
    assert_eq!(
        (wait.task_token.as_str(), wait.job_id.is_some()),
        ("token-1", true)
    );
}

#[tokio::test]
async fn a_job_that_shows_late_is_found_by_whichever_of_its_intents_began_it() {
    // The call is carried out after its time-out: at first there is no job.
    let stage = Stage::ready(1).await;
    let at = {
        let other = Stage::ready(1).await;
        other.run("request-1", &tests(1)).await;
        let calls = other.aws.calls.made();
        calls.iter().position(|call| *call == "StartTest").unwrap()
    };
    stage.aws.calls.fail_nth(at, Fault::Unavailable);
    assert_eq!(stage.run("request-1", &tests(1)).await.len(), 1);
    let first = stage
        .wait("mig-0", Phase::Pending)
        .await
        .unwrap()
        .intent_id
        .unwrap();
    // Nothing is asked again while it may still show.
    let soon = crate::support::now() + 60_i64.seconds();
    assert_eq!(stage.run_at("request-2", &tests(1), soon).await.len(), 1);
    assert_eq!(stage.jobs().len(), 0);
    let held = stage.aws.record("mig-0").await.held.unwrap();
    assert_eq!(held.code, "LAUNCH_UNCONFIRMED");
    // Then it is asked again; and should the first one show now, it is ours.
    let later = crate::support::now() + 91_i64.seconds();
    stage.account.lock().unwrap().begins_with_start.push(Job {
        id: "mgnjob-late".into(),
        completed: false,
        servers: vec![("s-mig-0".into(), "PENDING".into(), None)],
        tags: [("landfall:intent".to_owned(), first)].into(),
    });
    stage.account.lock().unwrap().refuses = [("s-mig-0".to_owned(), "busy".to_owned())].into();
    assert_eq!(stage.run_at("request-3", &tests(1), later).await.len(), 1);
    assert!(stage.run_at("request-4", &tests(1), later).await.is_empty());
    let record = stage.aws.record("mig-0").await;
    assert_eq!(record.done.test.unwrap().job_id, "mgnjob-late");
    assert_eq!(stage.jobs().len(), 1);
}

#[tokio::test]
async fn a_launch_closed_for_a_dead_token_is_opened_by_the_next_try_of_its_state() {
    let stage = Stage::ready(1).await;
    let ended = Ended::Failed("TIMED_OUT".into(), String::new());
    stage
        .tasks
        .lock()
        .unwrap()
        .insert("token-mig-0".into(), ended);
    assert!(stage.run("request-1", &tests(1)).await.is_empty());
    assert_eq!(stage.jobs().len(), 0, "nobody waited");
    let retried = stage_input(
        "mig-0",
        json!({ "action": "TEST", "retryCount": 1, "taskToken": "token-again" }),
    );
    let bodies = [retried.to_string()];
    assert!(stage.run("request-2", &bodies).await.is_empty());
    assert_eq!(stage.jobs().len(), 1);
    let wait = stage.wait("mig-0", Phase::Waiting).await.unwrap();
    assert_eq!(wait.task_token, "token-again");
}
