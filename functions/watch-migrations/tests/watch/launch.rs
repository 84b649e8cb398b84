//! The wait for a launch's job.

use serde_json::json;

use crate::failed;
use crate::stage::Stage;
use crate::tasks::Ended;

#[tokio::test]
async fn a_launch_ends_when_its_job_has_ended_and_the_instance_is_known() {
    let stage = Stage::launching("LAUNCHED", None).await;
    stage.job(|job| job.completed = false);
    stage.sweep().await.unwrap();
    assert_eq!(stage.task(), None, "the job is under way");
    stage.job(|job| job.completed = true);
    stage.sweep().await.unwrap();
    assert_eq!(stage.task(), None, "the instance is not known yet");
    stage.job(|job| job.servers[0].2 = Some("i-1".into()));
    stage.sweep().await.unwrap();
    let output = json!({ "instanceId": "i-1", "jobId": "mgnjob-1" });
    assert_eq!(stage.task(), Some(Ended::Succeeded(output)));
    let record = stage.aws.record("mig-1").await;
    let launch = record.done.test.unwrap();
    assert_eq!(launch.instance_id.as_deref(), Some("i-1"));
    assert_eq!(stage.aws.happened("mig-1").await, ["TestLaunched"]);
    stage.sweep().await.unwrap();
    assert_eq!(stage.aws.happened("mig-1").await, ["TestLaunched"]);
}

#[tokio::test]
async fn trap_a_completed_job_has_failed_servers() {
    for status in ["FAILED", "TERMINATED", "SOMETHING_NEW"] {
        let stage = Stage::launching(status, None).await;
        let line = |server: &str, raw: &str| ("LAUNCH_FAILED".into(), server.into(), raw.into());
        stage.account.lock().unwrap().log = vec![
            line(
                "s-mig-1",
                "VcpuLimitExceeded: you have requested more vCPUs",
            ),
            line("s-of-another", "another error"),
        ];
        stage.sweep().await.unwrap();
        let (name, cause) = failed(stage.task());
        assert_eq!(name, "MigrationExecutionError");
        assert!(cause.contains("VcpuLimitExceeded"), "{cause}");
        assert!(cause.contains(status), "{cause}");
        assert!(!cause.contains("another error"), "{cause}");
        assert_eq!(stage.aws.happened("mig-1").await, ["TestLaunchFailed"]);
        let (_, detail) = stage.aws.events.lock().unwrap()[0].clone();
        let raw = detail["evidence"]["rawError"].as_str().unwrap();
        assert!(raw.contains("VcpuLimitExceeded"), "{raw}");
        assert_eq!(detail["jobId"], "mgnjob-1");
        assert!(stage.waits().await.is_empty());
    }
}

#[tokio::test]
async fn the_instance_of_an_earlier_job_is_not_taken_for_this_one_s() {
    let stage = Stage::launching("LAUNCHED", None).await;
    let mut server = crate::mgn::Server::of("mig-1", "TESTING");
    server.launched = Some(("i-old".into(), "mgnjob-0".into()));
    stage.account.lock().unwrap().servers.push(server);
    stage.sweep().await.unwrap();
    assert_eq!(stage.task(), None, "it is what the last job launched");
    stage.server(|server| server.launched = Some(("i-new".into(), "mgnjob-1".into())));
    stage.sweep().await.unwrap();
    let output = json!({ "instanceId": "i-new", "jobId": "mgnjob-1" });
    assert_eq!(stage.task(), Some(Ended::Succeeded(output)));
}

#[tokio::test]
async fn a_cutover_from_an_old_snapshot_fails_and_says_what_is_lost() {
    let stage = Stage::cutting_over("i-1").await;
    let line = |event: &str, raw: &str| (event.into(), "s-mig-1".into(), raw.into());
    stage.account.lock().unwrap().log = vec![
        line("SNAPSHOT_FAIL", "RequestLimitExceeded: too many snapshots"),
        line("USING_PREVIOUS_SNAPSHOT", ""),
    ];
    stage.sweep().await.unwrap();
    let (name, cause) = failed(stage.task());
    assert_eq!(name, "CutoverError");
    assert!(cause.contains("STALE_SNAPSHOT"), "{cause}");
    assert!(cause.contains("RequestLimitExceeded"), "{cause}");
}

#[tokio::test]
async fn one_look_serves_all_servers_of_all_jobs() {
    let stage = Stage::launching("FAILED", None).await;
    for n in 2..=60 {
        stage.also_launching(&format!("mig-{n}")).await;
    }
    stage.sweep().await.unwrap();
    let calls = &stage.aws.calls;
    assert_eq!(calls.count("DescribeJobs"), 1);
    assert_eq!(calls.count("DescribeSourceServers"), 1);
    assert_eq!(calls.count("DescribeJobLogItems"), 1);
    assert_eq!(calls.count("SendTaskFailure"), 60);
}
