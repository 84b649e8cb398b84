//! What MGN refuses.

use crate::stage::{Stage, message, running, tests};
use crate::support::Fault;
use crate::tasks::Ended;
use jiff::ToSpan as _;
use landfall_common::state::wait::Phase;
use landfall_domain::Status;

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
            let later = crate::support::now() + 91_i64.seconds();
            let again = stage.run_at("request-1", &tests(2), later).await;
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
