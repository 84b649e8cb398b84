//! Which launches share a call, and which come again.

use jiff::ToSpan as _;
use landfall_common::state::wait::Phase;
use landfall_domain::request::Account;
use landfall_domain::{ErrorName, Status};
use serde_json::{Value, json};
use trigger_migration::handle;

use crate::stage::{Stage, message, running, tests};
use crate::support::Fault;
use crate::support::{invocation, record};
use crate::tasks::Ended;

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
async fn while_another_holds_the_lease_everything_comes_again() {
    let stage = Stage::ready(2).await;
    let store = stage.aws.store();
    let lease = store
        .take_lease(
            "LAUNCH#123456789012#eu-central-1",
            "another",
            120,
            crate::support::now(),
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

/// One that no role leads into.
fn other_account() -> Account {
    Account {
        id: "999999999999".into(),
        region: "eu-central-1".into(),
        role_arn: None,
        external_id: None,
    }
}

#[tokio::test]
async fn a_lowered_quota_is_read_and_kept_to() {
    let stage = Stage::ready(3).await;
    *stage.quotas.lock().unwrap() = vec![("L-4FF77426", 2.0), ("L-F1FD732F", 1.0)];
    assert_eq!(stage.run("request-1", &tests(3)).await, ["message-2"]);
    let sizes: Vec<usize> = stage.jobs().iter().map(|job| job.servers.len()).collect();
    assert_eq!(sizes, [1, 1]);
}

#[tokio::test]
async fn one_launch_s_fault_does_not_hold_up_the_others() {
    let refused = async || {
        let stage = Stage::ready(3).await;
        stage.server(1, |server| server.lifecycle = "CUTOVER".into());
        stage
    };
    let stage = refused().await;
    stage.run("request-1", &tests(3)).await;
    let calls = stage.aws.calls.made();
    let at = calls.iter().position(|call| *call == "SendTaskFailure");
    let stage = refused().await;
    stage.aws.calls.fail_nth(at.unwrap(), Fault::Refused);
    assert_eq!(stage.run("request-1", &tests(3)).await, ["message-1"]);
    assert_eq!(stage.jobs()[0].servers.len(), 2);
    assert!(stage.run("request-2", &tests(3)).await.is_empty());
    assert!(matches!(stage.task("token-mig-1"), Some(Ended::Failed(..))));
}

#[tokio::test]
async fn the_time_spent_waiting_is_a_number_of_the_event() {
    let stage = Stage::ready(1).await;
    stage.account.lock().unwrap().jobs = vec![running("j0", 200)];
    stage.run("request-1", &tests(1)).await;
    stage.account.lock().unwrap().jobs.clear();
    let later = crate::support::now() + 90_i64.seconds();
    assert!(stage.run_at("request-2", &tests(1), later).await.is_empty());
    let (_, detail) = stage.aws.events.lock().unwrap()[0].clone();
    assert_eq!(detail["evidence"]["waitedSeconds"], 90);
}

#[tokio::test]
async fn trap_two_hundred_and_one_servers_take_two_rounds() {
    let stage = Stage::ready(201).await;
    assert_eq!(stage.run("request-1", &tests(201)).await.len(), 1);
    assert_eq!(stage.jobs()[0].servers.len(), 200);
    assert_eq!(stage.aws.calls.count("StartTest"), 1);
    stage.account.lock().unwrap().jobs[0].completed = true;
    assert!(stage.run("request-2", &tests(201)).await.is_empty());
    let sizes: Vec<usize> = stage.jobs().iter().map(|job| job.servers.len()).collect();
    assert_eq!(sizes, [200, 1]);
}

#[tokio::test]
async fn a_wave_of_five_hundred_flows_through_without_one_quota_error() {
    let stage = Stage::ready(500).await;
    let wave = tests(500);
    let mut round = 0;
    let mut left = wave.clone();
    while !left.is_empty() {
        round += 1;
        let mut again = Vec::new();
        // However SQS slices it, and whoever comes again.
        for (slice, bodies) in left.chunks(50).enumerate() {
            let sent_back = stage.run(&format!("request-{round}-{slice}"), bodies).await;
            let number = |id: &String| id["message-".len()..].parse::<usize>().unwrap();
            again.extend(sent_back.iter().map(|id| bodies[number(id)].clone()));
        }
        for job in &mut stage.account.lock().unwrap().jobs {
            assert!(job.servers.len() <= 200, "one job at most has all the room");
            job.completed = true;
        }
        left = again;
    }
    let mut launched: Vec<String> = Vec::new();
    for job in stage.jobs() {
        launched.extend(job.servers.into_iter().map(|(id, _, _)| id));
    }
    assert_eq!(launched.len(), 500);
    launched.sort_unstable();
    launched.dedup();
    assert_eq!(launched.len(), 500, "each is launched once");
    assert_eq!(stage.account.lock().unwrap().over_quota, 0);
    assert_eq!(round, 3, "rounds of two hundred");
}
