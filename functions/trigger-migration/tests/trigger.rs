//! `trigger-migration` against AWS in memory.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::result_large_err,
    clippy::similar_names,
    clippy::large_futures,
    reason = "helpers of tests"
)]

#[path = "../../../shared/mgn/tests/support/mod.rs"]
mod mgn;
#[path = "../../../shared/common/tests/support/queue.rs"]
mod queue;
mod stage;
#[path = "../../../shared/common/tests/support/mod.rs"]
mod support;
#[path = "../../../shared/common/tests/support/tasks.rs"]
mod tasks;

use std::collections::HashMap;

use jiff::ToSpan as _;
use landfall_common::state::wait::Phase;
use landfall_domain::request::Account;
use landfall_domain::{ErrorName, Status};
use mgn::{Job, Server};
use serde_json::{Value, json};
use stage::{Stage, message, tests};
use support::{Fault, invocation, record};
use tasks::Ended;
use trigger_migration::handle;

#[tokio::test]
async fn many_messages_become_one_call_with_the_intent_as_its_tag() {
    let stage = Stage::ready(3).await;
    assert!(stage.run("request-1", &tests(3)).await.is_empty());
    assert_eq!(stage.aws.calls.count("StartTest"), 1);
    let jobs = stage.jobs();
    assert_eq!(jobs[0].servers.len(), 3);
    assert!(jobs[0].tags["landfall:intent"].starts_with("int-"));
    assert_eq!(jobs[0].tags["landfall:action"], "TEST");
    for id in ["mig-0", "mig-1", "mig-2"] {
        let record = stage.aws.record(id).await;
        assert_eq!(record.status, Status::Testing);
        assert_eq!(record.done.test.unwrap().job_id, "mgnjob-1");
        assert_eq!(stage.aws.happened(id).await, ["TestLaunchStarted"]);
        let wait = stage.wait(id, Phase::Waiting).await.unwrap();
        assert_eq!(wait.job_id.as_deref(), Some("mgnjob-1"));
        assert_eq!(
            stage.task(&format!("token-{id}")),
            None,
            "the sweep ends it"
        );
    }
}

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
            assert!(stage.run("request-1", &bodies).await.is_empty(), "{case}");
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
async fn a_refused_server_fails_alone_and_the_rest_is_started() {
    let stage = Stage::ready(3).await;
    let refusal = "the server is being archived".to_owned();
    let refuses = [("s-mig-1".to_owned(), refusal)];
    stage.account.lock().unwrap().refuses.extend(refuses);
    assert!(stage.run("request-1", &tests(3)).await.is_empty());
    assert_eq!(stage.aws.calls.count("StartTest"), 2);
    let started = stage.jobs()[0].servers.clone();
    let started: Vec<&str> = started.iter().map(|(id, ..)| id.as_str()).collect();
    assert_eq!(started, ["s-mig-0", "s-mig-2"]);
    let Some(Ended::Failed(error, cause)) = stage.task("token-mig-1") else {
        panic!("the task goes on")
    };
    assert_eq!(error, "MigrationExecutionError");
    assert!(cause.contains("the server is being archived"), "{cause}");
    assert_eq!(stage.tasks.lock().unwrap().len(), 1);
    assert_eq!(stage.aws.happened("mig-1").await, ["TestLaunchFailed"]);
    assert_eq!(stage.aws.record("mig-2").await.status, Status::Testing);
}

#[tokio::test]
async fn a_server_that_a_job_has_taken_since_waits_and_is_not_failed() {
    let stage = Stage::ready(2).await;
    // MGN refuses it for a job that begins between our look and our call.
    let refuses = [("s-mig-1".to_owned(), "CONCURRENT_JOB".to_owned())];
    stage.account.lock().unwrap().refuses.extend(refuses);
    let mut busy = running("j0", 0);
    busy.servers
        .push(("s-mig-1".into(), "IN_PROGRESS".into(), None));
    stage.account.lock().unwrap().begins_with_start.push(busy);
    assert_eq!(stage.run("request-1", &tests(2)).await, ["message-1"]);
    assert_eq!(stage.task("token-mig-1"), None);
    assert!(stage.aws.happened("mig-1").await.is_empty());

    stage.account.lock().unwrap().refuses.clear();
    for job in &mut stage.account.lock().unwrap().jobs {
        job.completed = true;
    }
    assert!(stage.run("request-2", &tests(2)).await.is_empty());
    assert_eq!(stage.aws.record("mig-1").await.status, Status::Testing);
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
async fn every_call_of_a_refusal_may_fail_once_and_both_servers_get_their_end() {
    let make = async || {
        let stage = Stage::ready(2).await;
        let refuses = [("s-mig-1".to_owned(), "being archived".to_owned())];
        stage.account.lock().unwrap().refuses.extend(refuses);
        stage
    };
    let calls = {
        let stage = make().await;
        stage.run("request-1", &tests(2)).await;
        stage.aws.calls.made()
    };
    for (nth, call) in calls.iter().enumerate() {
        for fault in Fault::ALL {
            if *call == "StartTest" && fault == Fault::Refused {
                continue; // Both are refused for good, as the test above has it.
            }
            let case = format!("call {nth} {call} {fault:?}");
            let stage = make().await;
            stage.aws.calls.fail_nth(nth, fault);
            stage.run("request-1", &tests(2)).await;
            let again = stage.run("request-1", &tests(2)).await;
            assert!(again.is_empty(), "{case}: {again:?}");
            assert_eq!(stage.jobs().len(), 1, "{case}");
            assert_eq!(stage.jobs()[0].servers[0].0, "s-mig-0", "{case}");
            assert_eq!(stage.task("token-mig-0"), None, "{case}");
            let ended = stage.task("token-mig-1");
            assert!(
                matches!(ended, Some(Ended::Failed(..))),
                "{case}: {ended:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_dead_token_closes_a_launch_that_is_refused() {
    let stage = Stage::ready(1).await;
    stage.server(0, |server| server.lifecycle = "DISCONNECTED".into());
    let dead = Ended::Succeeded("{}".into());
    stage
        .tasks
        .lock()
        .unwrap()
        .insert("token-mig-0".into(), dead);
    assert!(stage.run("request-1", &tests(1)).await.is_empty());
    assert_eq!(stage.wait("mig-0", Phase::Pending).await, None);
    assert!(stage.jobs().is_empty());
}

#[tokio::test]
async fn while_another_holds_the_lease_everything_comes_again() {
    let stage = Stage::ready(2).await;
    let store = stage.aws.store();
    let lease = store
        .take_lease(
            "LAUNCH#123456789012#eu-central-1",
            "another",
            120,
            support::now(),
        )
        .await
        .unwrap()
        .unwrap();
    let again = stage.run("request-1", &tests(2)).await;
    assert_eq!(again, ["message-0", "message-1"]);
    assert_eq!(stage.aws.calls.count("StartTest"), 0);
    assert!(stage.wait("mig-0", Phase::Pending).await.is_some());
    // The one who holds it may start them; then the messages go without doing anything.
    store.release_lease(&lease).await.unwrap();
    assert!(stage.run("request-2", &tests(1)).await.is_empty());
    assert_eq!(stage.jobs()[0].servers.len(), 2, "the pending one as well");
    assert!(stage.run("request-3", &tests(2)).await.is_empty());
    assert_eq!(stage.aws.calls.count("StartTest"), 1);
}

fn running(id: &str, servers: usize) -> Job {
    Job {
        id: id.into(),
        completed: false,
        servers: (0..servers)
            .map(|n| (format!("s-other-{id}-{n}"), "PENDING".into(), None))
            .collect(),
        tags: HashMap::new(),
    }
}

#[tokio::test]
async fn what_is_over_a_quota_comes_again_until_there_is_room() {
    let full = [
        (0..20)
            .map(|n| running(&format!("j{n}"), 1))
            .collect::<Vec<_>>(),
        vec![running("j0", 200)],
    ];
    for jobs in full {
        let stage = Stage::ready(1).await;
        stage.account.lock().unwrap().jobs = jobs;
        assert_eq!(stage.run("request-1", &tests(1)).await, ["message-0"]);
        assert_eq!(stage.aws.calls.count("StartTest"), 0);
        for job in &mut stage.account.lock().unwrap().jobs {
            job.completed = true;
        }
        assert!(stage.run("request-2", &tests(1)).await.is_empty());
        assert_eq!(stage.aws.calls.count("StartTest"), 1);
    }
    // One place is left: the first to come takes it.
    let stage = Stage::ready(2).await;
    stage.account.lock().unwrap().jobs = vec![running("j0", 199)];
    assert_eq!(stage.run("request-1", &tests(2)).await.len(), 1);
    assert_eq!(stage.jobs()[1].servers.len(), 1);
}

#[tokio::test]
async fn a_server_that_is_busy_or_lags_waits_and_one_that_is_gone_fails() {
    let stage = Stage::ready(3).await;
    stage.server(0, |server| server.lag = Some("PT1H".into()));
    let mut busy = running("j0", 0);
    busy.servers
        .push(("s-mig-1".into(), "IN_PROGRESS".into(), None));
    stage.account.lock().unwrap().jobs.push(busy);
    stage.account.lock().unwrap().servers.pop();
    let again = stage.run("request-1", &tests(3)).await;
    assert_eq!(again, ["message-0", "message-1"]);
    let Some(Ended::Failed(error, cause)) = stage.task("token-mig-2") else {
        panic!("the task goes on")
    };
    assert_eq!(error, "MigrationExecutionError");
    assert!(cause.contains("MGN knows no source server"), "{cause}");
}

type Obstacle<'a> = &'a dyn Fn(&Stage);

#[tokio::test]
async fn a_launch_that_does_not_get_its_turn_in_time_fails_and_says_what_was_in_the_way() {
    let lags = |stage: &Stage| stage.server(0, |server| server.lag = Some("PT1H".into()));
    let busy = |stage: &Stage| {
        let mut job = running("j0", 0);
        job.servers
            .push(("s-mig-0".into(), "IN_PROGRESS".into(), None));
        stage.account.lock().unwrap().jobs.push(job);
    };
    let full = |stage: &Stage| stage.account.lock().unwrap().jobs.push(running("j0", 200));
    let obstacles: [(Obstacle<'_>, &str); 3] = [
        (&lags, "replication gate"),
        (&busy, "job of somebody else"),
        (&full, "quotas"),
    ];
    for (put, said) in obstacles {
        let stage = Stage::ready(1).await;
        put(&stage);
        assert_eq!(stage.run("request-1", &tests(1)).await, ["message-0"]);
        let late = support::now() + 12.hours();
        assert_eq!(
            stage.run_at("request-2", &tests(1), late).await,
            ["message-0"],
            "{said}: at its deadline"
        );
        let late = late + 1.seconds();
        assert!(stage.run_at("request-3", &tests(1), late).await.is_empty());
        let Some(Ended::Failed(error, cause)) = stage.task("token-mig-0") else {
            panic!("{said}: the task goes on")
        };
        assert_eq!(error, "MigrationExecutionError");
        assert!(cause.contains(said), "{cause}");
        let failure = stage.aws.record("mig-0").await.failure.unwrap();
        assert!(failure.message.contains(said), "{failure:?}");
        assert_eq!(stage.aws.calls.count("StartTest"), 0);
    }
}

#[tokio::test]
async fn the_job_of_a_launch_has_a_deadline_of_its_own() {
    let stage = Stage::ready(1).await;
    stage.run("request-1", &tests(1)).await;
    let wait = stage.wait("mig-0", Phase::Waiting).await.unwrap();
    assert_eq!(wait.due_at, "2026-11-21T15:00:00Z");
}

#[tokio::test]
async fn a_server_whose_lifecycle_mgn_does_not_change_fails_alone() {
    let bodies = [message("mig-0", "CUTOVER"), message("mig-1", "CUTOVER")];
    let nth = {
        let stage = Stage::ready(2).await;
        stage.run("request-1", &bodies).await;
        let calls = stage.aws.calls.made();
        calls
            .iter()
            .position(|call| *call == "ChangeServerLifeCycleState")
            .unwrap()
    };
    let stage = Stage::ready(2).await;
    stage.aws.calls.fail_nth(nth, Fault::Refused);
    assert!(stage.run("request-1", &bodies).await.is_empty());
    let ended = stage.task("token-mig-0");
    assert!(
        matches!(&ended, Some(Ended::Failed(error, _)) if error == "CutoverError"),
        "{ended:?}"
    );
    assert_eq!(stage.aws.happened("mig-0").await, ["CutoverLaunchFailed"]);
    // The call may have taken effect: a rollback has to look.
    assert!(stage.aws.record("mig-0").await.done.moved_to_cutover);
    assert_eq!(stage.jobs().len(), 1);
    assert_eq!(stage.jobs()[0].servers.len(), 1);
    assert_eq!(stage.aws.record("mig-1").await.status, Status::CuttingOver);
}

#[tokio::test]
async fn a_cutover_without_a_test_moves_the_lifecycle_first() {
    let stage = Stage::default();
    stage.aws.put(record("mig-0", Status::ReadyForTest)).await;
    let server = Server::of("mig-0", "READY_FOR_TEST");
    stage.account.lock().unwrap().servers.push(server);
    let bodies = [message("mig-0", "CUTOVER")];
    assert!(stage.run("request-1", &bodies).await.is_empty());
    let lifecycle = stage.account.lock().unwrap().servers[0].lifecycle.clone();
    assert_eq!(lifecycle, "READY_FOR_CUTOVER");
    assert_eq!(stage.jobs()[0].tags["landfall:action"], "CUTOVER");
    let record = stage.aws.record("mig-0").await;
    assert_eq!(record.status, Status::CuttingOver);
    assert_eq!(stage.aws.happened("mig-0").await, ["CutoverLaunchStarted"]);
}

#[tokio::test]
async fn a_message_of_an_attempt_that_is_over_is_dropped() {
    let stage = Stage::ready(1).await;
    stage.aws.put(record("mig-9", Status::Failed)).await;
    let mut old: Value = serde_json::from_str(&tests(1)[0]).unwrap();
    old["attempt"] = json!(7);
    let bodies = [message("mig-9", "TEST"), old.to_string()];
    assert!(stage.run("request-1", &bodies).await.is_empty());
    assert!(stage.jobs().is_empty());
}

#[tokio::test]
async fn a_message_that_cannot_be_read_goes_back_and_holds_nobody_up() {
    let stage = Stage::ready(1).await;
    let bodies = ["{}".to_owned(), tests(1)[0].clone()];
    assert_eq!(stage.run("request-1", &bodies).await, ["message-0"]);
    assert_eq!(stage.aws.calls.count("StartTest"), 1);
    let error = handle(&stage.deps(), json!({}), invocation("r")).await;
    let error = error.unwrap_err();
    assert_eq!(error.name, ErrorName::InternalError);
    assert!(error.message.contains("`Records`"), "{error}");
}

#[tokio::test]
async fn an_account_that_cannot_be_entered_fails_its_own_launches_and_holds_up_no_other() {
    let stage = Stage::ready(2).await;
    stage
        .aws
        .change("mig-0", |record| {
            record.request.account = Some(other_account());
        })
        .await;
    assert!(stage.run("request-1", &tests(2)).await.is_empty());
    let Some(Ended::Failed(_, cause)) = stage.task("token-mig-0") else {
        panic!("{:?}", stage.task("token-mig-0"));
    };
    assert!(cause.contains("TARGET_ROLE_MISSING"), "{cause}");
    assert_eq!(stage.task("token-mig-1"), None, "its launch has begun");
    let jobs = stage.jobs();
    assert_eq!(jobs.len(), 1);
    assert_eq!(jobs[0].servers.len(), 1);
}

#[tokio::test]
async fn the_deployment_s_own_account_by_name_shares_the_batch() {
    let stage = Stage::ready(2).await;
    stage
        .aws
        .change("mig-0", |record| {
            record.request.account = Some(Account {
                id: "123456789012".into(),
                region: "eu-central-1".into(),
                role_arn: None,
                external_id: None,
            });
        })
        .await;
    assert!(stage.run("request-1", &tests(2)).await.is_empty());
    assert_eq!(stage.aws.calls.count("StartTest"), 1);
}

/// One that no role leads into.
fn other_account() -> Account {
    Account {
        id: "999999999999".into(),
        region: "eu-central-1".into(),
        role_arn: None,
        external_id: None,
    }
}
