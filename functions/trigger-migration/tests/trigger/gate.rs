//! What a launch must be able to show, and how long it waits.

use jiff::ToSpan as _;
use landfall_common::state::wait::Phase;
use landfall_domain::Status;

use crate::mgn::Server;
use crate::stage::{Stage, message, running, tests};
use crate::support::record;
use crate::tasks::Ended;

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
        (&busy, "of somebody else"),
        (&full, "quotas"),
    ];
    for (put, said) in obstacles {
        let stage = Stage::ready(1).await;
        put(&stage);
        assert_eq!(stage.run("request-1", &tests(1)).await, ["message-0"]);
        let late = crate::support::now() + 12.hours();
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
async fn what_a_launch_waits_for_stands_in_the_record_until_it_starts() {
    let stage = Stage::ready(1).await;
    let held = async || stage.aws.record("mig-0").await.held.map(|held| held.code);
    stage.server(0, |server| server.lag = Some("PT16H20M38.697305S".into()));
    stage.run("request-1", &tests(1)).await;
    assert_eq!(held().await.as_deref(), Some("LAG_TOO_HIGH"));
    let record = stage.aws.record("mig-0").await;
    assert_eq!(record.held.as_ref().unwrap().found, 58_839);
    stage.server(0, |server| server.lag = Some("PT15H".into()));
    stage.run("request-2", &tests(1)).await;
    let again = stage.aws.record("mig-0").await;
    assert_eq!(
        again.version, record.version,
        "the same reason is written once"
    );
    stage.server(0, |server| server.lag = Some("P0D".into()));
    stage.account.lock().unwrap().jobs = vec![running("j0", 200)];
    stage.run("request-3", &tests(1)).await;
    assert_eq!(held().await.as_deref(), Some("QUOTA_IN_FLIGHT"));
    stage.account.lock().unwrap().jobs.clear();
    assert!(stage.run("request-4", &tests(1)).await.is_empty());
    assert_eq!(held().await, None);
    let (_, detail) = stage.aws.events.lock().unwrap()[0].clone();
    assert_eq!(detail["evidence"]["replication"]["lagSeconds"], 0);
    assert_eq!(detail["evidence"]["replication"]["state"], "CONTINUOUS");
}

#[tokio::test]
async fn nothing_is_launched_for_an_execution_that_was_stopped() {
    let stage = Stage::ready(2).await;
    stage.stop_executions(&["token-mig-0"]);
    assert!(stage.run("request-1", &tests(2)).await.is_empty());
    let job = &stage.jobs()[0];
    let ids: Vec<&str> = job.servers.iter().map(|(id, _, _)| id.as_str()).collect();
    assert_eq!(ids, ["s-mig-1"]);
    let record = stage.aws.record("mig-0").await;
    assert_eq!(record.status, Status::Frozen);
    assert_eq!(stage.aws.happened("mig-0").await, ["MigrationFrozen"]);
    assert!(stage.wait("mig-0", Phase::Pending).await.is_none());
}

#[tokio::test]
async fn the_job_of_a_launch_has_a_deadline_of_its_own() {
    let stage = Stage::ready(1).await;
    stage.run("request-1", &tests(1)).await;
    let wait = stage.wait("mig-0", Phase::Waiting).await.unwrap();
    assert_eq!(wait.due_at, "2026-11-21T15:00:00Z");
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
async fn trap_a_server_with_an_active_job_is_not_launched_again() {
    let stage = Stage::ready(1).await;
    let mut busy = running("j0", 0);
    busy.servers
        .push(("s-mig-0".into(), "IN_PROGRESS".into(), None));
    stage.account.lock().unwrap().jobs.push(busy);
    assert_eq!(stage.run("request-1", &tests(1)).await, ["message-0"]);
    assert_eq!(stage.aws.calls.count("StartTest"), 0);
    let held = stage.aws.record("mig-0").await.held.unwrap();
    assert_eq!(held.code, "ACTIVE_JOB_EXISTS");
    stage.account.lock().unwrap().jobs[0].completed = true;
    assert!(stage.run("request-2", &tests(1)).await.is_empty());
    assert_eq!(stage.aws.calls.count("StartTest"), 1);
}

#[tokio::test]
async fn trap_a_disconnected_server_does_not_spoil_the_batch() {
    let stage = Stage::ready(3).await;
    stage.server(1, |server| {
        server.state = "DISCONNECTED".into();
        server.lifecycle = "DISCONNECTED".into();
        server.lag = None;
    });
    assert!(stage.run("request-1", &tests(3)).await.is_empty());
    let job = &stage.jobs()[0];
    let ids: Vec<&str> = job.servers.iter().map(|(id, _, _)| id.as_str()).collect();
    assert_eq!(ids, ["s-mig-0", "s-mig-2"]);
    let Some(Ended::Failed(_, cause)) = stage.task("token-mig-1") else {
        panic!("it is never ready")
    };
    assert!(cause.contains("DISCONNECTED"), "{cause}");
    assert!(cause.contains("reinstall the replication agent"), "{cause}");
}

#[tokio::test]
async fn trap_continuous_with_a_high_lag_is_not_ready() {
    let stage = Stage::ready(1).await;
    stage.server(0, |server| {
        assert_eq!(server.state, "CONTINUOUS");
        server.lag = Some("PT16H20M38.697305S".into());
    });
    assert_eq!(stage.run("request-1", &tests(1)).await, ["message-0"]);
    assert_eq!(stage.aws.calls.count("StartTest"), 0);
    let held = stage.aws.record("mig-0").await.held.unwrap();
    assert_eq!(
        (held.code.as_str(), held.found),
        ("LAG_TOO_HIGH", 58_839.into())
    );
}
