//! `watch-migrations` against AWS in memory.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::result_large_err,
    clippy::large_futures,
    reason = "helpers of tests"
)]

#[path = "../../../shared/mgn/tests/support/mod.rs"]
mod mgn;
mod stage;
#[path = "../../../shared/common/tests/support/mod.rs"]
mod support;
#[path = "../../../shared/common/tests/support/tasks.rs"]
mod tasks;

use landfall_domain::{ErrorName, Status};
use serde_json::json;
use stage::{Command, Stage};
use support::{Fault, key};
use tasks::Ended;

fn failed(ended: Option<Ended>) -> (String, String) {
    match ended {
        Some(Ended::Failed(name, cause)) => (name, cause),
        other => panic!("{other:?} instead of a failure"),
    }
}

#[tokio::test]
async fn nothing_waits_and_nothing_is_asked() {
    let stage = Stage::default();
    assert_eq!(stage.sweep().await.unwrap(), json!({ "waits": 0 }));
    assert_eq!(stage.aws.calls.made(), ["Query"]);
}

#[tokio::test]
async fn an_agent_that_mgn_knows_completes_its_wait() {
    let stage = Stage::agent().await;
    stage.sweep().await.unwrap();
    let record = stage.aws.record("mig-1").await;
    assert_eq!(record.status, Status::Replicating);
    assert_eq!(record.source_server_id.as_deref(), Some("s-mig-1"));
    assert_eq!(stage.aws.happened("mig-1").await, ["SourcePrepared"]);
    let output = json!({ "sourceServerId": "s-mig-1" });
    assert_eq!(stage.task(), Some(Ended::Succeeded(output)));
    assert!(stage.waits().await.is_empty());
}

#[tokio::test]
async fn an_installation_that_fails_is_told_with_its_output() {
    let cases = [
        ("Failed", "Error: no space left on device"),
        // The real installer ends with exit code 0 after some errors.
        (
            "Success",
            "Installation failed. Learn more about installation issues",
        ),
        ("TimedOut", "waiting"),
    ];
    for (status, output) in cases {
        let stage = Stage::agent().await;
        stage.account.lock().unwrap().servers.clear();
        *stage.command.lock().unwrap() = Command::ended(status, output);
        stage.sweep().await.unwrap();
        let (name, cause) = failed(stage.task());
        assert_eq!(name, "SourcePreparationError", "{status}");
        assert!(cause.contains("command-1"), "{cause}");
        if status != "Success" {
            assert!(cause.contains(output) && cause.contains(status), "{cause}");
        }
        assert!(stage.waits().await.is_empty());
    }
}

#[tokio::test]
async fn an_installation_under_way_goes_on_until_its_deadline() {
    for status in ["InProgress", "Pending", "Success"] {
        let stage = Stage::agent().await;
        stage.account.lock().unwrap().servers.clear();
        *stage.command.lock().unwrap() = Command::ended(status, "all is well");
        stage.sweep().await.unwrap();
        assert_eq!(stage.task(), None, "{status}");
        assert_eq!(stage.waits().await.len(), 1);
        stage.sweep_at("2026-11-21T15:00:00Z").await.unwrap();
        let (name, cause) = failed(stage.task());
        assert_eq!(name, "SourcePreparationError");
        assert!(cause.contains("did not register"), "{cause}");
    }
}

#[tokio::test]
async fn no_key_of_an_installer_s_output_is_told() {
    let secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
    let output = format!(
        "Error details: bad token\n--aws-access-key-id ASIAIOSFODNN7EXAMPLE --aws-secret-access-key {secret}"
    );
    for status in ["Failed", "Success"] {
        let stage = Stage::agent().await;
        stage.account.lock().unwrap().servers.clear();
        *stage.command.lock().unwrap() = Command::ended(status, &output);
        stage.sweep().await.unwrap();
        let (_, cause) = failed(stage.task());
        assert!(cause.contains("bad token"), "{cause}");
        let record = stage.aws.record("mig-1").await;
        let told = format!("{cause} {record:?} {:?}", stage.aws.events.lock().unwrap());
        assert!(
            !told.contains("ASIAIOSFODNN7EXAMPLE") && !told.contains(secret),
            "{told}"
        );
    }
}

#[tokio::test]
async fn a_source_that_others_bring_is_waited_for_until_it_replicates() {
    for (kind, lifecycle, replication, remedy) in [
        (
            "preinstalled",
            "PENDING_INSTALLATION",
            "",
            "--user-provided-id",
        ),
        (
            "preinstalled",
            "STOPPED",
            "STOPPED",
            "start its replication",
        ),
        ("agentless", "DISCOVERED", "", "the vCenter client"),
        ("install", "DISCOVERED", "", "set agent.kind to agentless"),
    ] {
        let stage = Stage::brought_by(kind).await;
        let seen = |lifecycle: &str, replication: &str| {
            stage.server(|server| {
                server.lifecycle = lifecycle.into();
                server.state = replication.into();
            });
        };
        seen(lifecycle, replication);
        stage.sweep().await.unwrap();
        assert_eq!(stage.task(), None, "{kind} {lifecycle}");
        stage.sweep_at("2026-11-21T15:00:00Z").await.unwrap();
        let (name, cause) = failed(stage.task());
        assert_eq!(name, "SourcePreparationError", "{kind} {lifecycle}");
        assert!(cause.contains(remedy), "{cause}");

        let stage = Stage::brought_by(kind).await;
        stage.server(|server| {
            server.lifecycle = "NOT_READY".into();
            server.state = "INITIATING".into();
        });
        stage.sweep().await.unwrap();
        let output = json!({ "sourceServerId": "s-mig-1" });
        assert_eq!(stage.task(), Some(Ended::Succeeded(output)), "{kind}");
    }
}

#[tokio::test]
async fn two_servers_of_one_machine_are_left_to_a_person() {
    let stage = Stage::agent().await;
    let mut twin = mgn::Server::of("mig-1", "NOT_READY");
    twin.id = "s-twin".into();
    stage.account.lock().unwrap().servers.push(twin);
    stage.sweep().await.unwrap();
    let (name, cause) = failed(stage.task());
    assert_eq!(name, "SourcePreparationError");
    assert!(cause.contains("s-mig-1, s-twin"), "{cause}");
}

#[tokio::test]
async fn replication_that_is_ready_at_once_is_seen_when_the_wait_opens() {
    let stage = Stage::replicating().await;
    stage.await_replication("token-1").await;
    let record = stage.aws.record("mig-1").await;
    assert_eq!(record.status, Status::ReadyForTest);
    assert_eq!(record.progress.unwrap().percent, Some(100));
    assert_eq!(stage.aws.happened("mig-1").await, ["ReplicationHealthy"]);
    assert!(matches!(stage.task(), Some(Ended::Succeeded(_))));
}

#[tokio::test]
async fn a_lag_saves_its_progress_once_and_completes_when_it_is_gone() {
    let stage = Stage::replicating().await;
    stage.server(|server| {
        server.lag = Some("PT1H".into());
        server.replicated = 40;
    });
    stage.await_replication("token-1").await;
    let progress = stage.aws.record("mig-1").await.progress.unwrap();
    assert_eq!(
        (progress.percent, progress.lag_seconds),
        (Some(40), Some(3600))
    );
    let writes = stage.aws.calls.count("TransactWriteItems");
    stage.sweep().await.unwrap();
    assert_eq!(
        stage.aws.calls.count("TransactWriteItems"),
        writes,
        "nothing is new"
    );
    assert_eq!(stage.task(), None);
    stage.server(|server| server.lag = Some("PT0S".into()));
    stage.sweep().await.unwrap();
    assert!(matches!(stage.task(), Some(Ended::Succeeded(_))));
    assert_eq!(stage.aws.happened("mig-1").await, ["ReplicationHealthy"]);
}

#[tokio::test]
async fn after_another_key_only_a_later_snapshot_is_ready() {
    let stage = Stage::replicating().await;
    let mut record = stage.aws.record("mig-1").await;
    record.done.encryption_key = Some(landfall_domain::record::EncryptionKeyChange {
        previous: None,
        key: "arn:new".into(),
        changed_at: "2026-11-21T11:30:00Z".into(),
    });
    let saved = stage.aws.store().save(record, support::now()).await;
    saved.unwrap();
    // MGN has not begun anew, and shows what was replicated with the key before.
    stage.server(|server| server.snapshot = Some("2026-11-21T11:29:59+00:00".into()));
    stage.await_replication("token-1").await;
    assert_eq!(stage.task(), None);
    assert!(stage.aws.happened("mig-1").await.is_empty());
    stage.server(|server| {
        server.state = "INITIAL_SYNC".into();
        (server.lag, server.snapshot) = (None, None);
    });
    stage.sweep().await.unwrap();
    assert_eq!(stage.task(), None);
    stage.server(|server| {
        server.state = "CONTINUOUS".into();
        server.lag = Some("PT0S".into());
        server.snapshot = Some("2026-11-21T11:50:00.123+00:00".into());
    });
    stage.sweep().await.unwrap();
    assert!(matches!(stage.task(), Some(Ended::Succeeded(_))));
    assert_eq!(stage.aws.happened("mig-1").await, ["ReplicationHealthy"]);
}

#[tokio::test]
async fn a_stall_is_announced_when_it_begins_and_again_after_it_ended() {
    let stage = Stage::replicating().await;
    stage.server(|server| {
        server.state = "STALLED".into();
        server.error = Some("NOT_CONVERGING".into());
    });
    stage.await_replication("token-1").await;
    stage.sweep().await.unwrap();
    stage.sweep().await.unwrap();
    assert_eq!(stage.aws.happened("mig-1").await, ["ReplicationStalled"]);
    let (_, detail) = stage.aws.events.lock().unwrap()[0].clone();
    assert_eq!(detail["reasonCode"], "NOT_CONVERGING");
    stage.server(|server| server.state = "RESCAN".into());
    stage.sweep().await.unwrap();
    stage.server(|server| server.state = "STALLED".into());
    stage.sweep().await.unwrap();
    assert_eq!(stage.aws.happened("mig-1").await.len(), 2);
    assert_eq!(stage.task(), None);
}

#[tokio::test]
async fn what_waiting_cannot_mend_fails_the_task() {
    let stage = Stage::replicating().await;
    stage.server(|server| server.state = "DISCONNECTED".into());
    stage.await_replication("token-1").await;
    let (name, cause) = failed(stage.task());
    assert_eq!(name, "MigrationExecutionError");
    assert!(cause.contains("reinstall the replication agent"), "{cause}");
    assert!(cause.contains("SERVER_DISCONNECTED"), "{cause}");

    let stage = Stage::replicating().await;
    stage.account.lock().unwrap().servers.clear();
    stage.await_replication("token-1").await;
    let (name, cause) = failed(stage.task());
    assert_eq!(name, "MigrationExecutionError");
    assert!(cause.contains("no longer knows"), "{cause}");
}

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
async fn a_failed_launch_tells_mgn_s_own_words() {
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
        .transition(record, &change, support::now())
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
async fn an_agent_that_is_connected_is_seen_when_the_wait_opens() {
    let stage = Stage::default();
    stage.preparing("mig-1").await;
    let again = stage.open(&[Stage::message("AGENT", "token-1")]).await;
    assert!(again.is_empty());
    let record = stage.aws.record("mig-1").await;
    assert_eq!(record.status, Status::Replicating);
    assert!(matches!(stage.task(), Some(Ended::Succeeded(_))));
    assert!(stage.waits().await.is_empty());
}

#[tokio::test]
async fn an_agent_s_wait_knows_its_command_and_its_deadline() {
    let stage = Stage::default();
    let preparing = stage.preparing("mig-1").await;
    stage.server(|server| server.lifecycle = "PENDING_INSTALLATION".into());
    stage.open(&[Stage::message("AGENT", "token-1")]).await;
    assert_eq!(stage.task(), None, "imported only");
    stage.server(|server| {
        server.lifecycle = "NOT_READY".into();
        server.state = "DISCONNECTED".into();
    });
    stage.sweep().await.unwrap();
    assert_eq!(stage.task(), None, "disconnected");
    let waits = stage.waits().await;
    assert_eq!(waits[0].command, preparing.done.agent_command);
    assert_eq!(waits[0].due_at, "2026-11-21T14:00:00Z");
}

#[tokio::test]
async fn the_token_of_a_later_try_wins_whatever_the_order_of_its_messages() {
    for order in [[0, 1], [1, 0]] {
        let stage = Stage::replicating().await;
        stage.server(|server| server.lag = None);
        for retry in order {
            let mut message = Stage::message("REPLICATION", &format!("token-{retry}"));
            message["retryCount"] = json!(retry);
            assert!(stage.open(&[message]).await.is_empty());
        }
        let waits = stage.waits().await;
        assert_eq!(waits.len(), 1);
        assert_eq!(waits[0].task_token, "token-1", "{order:?}");
        assert_eq!(waits[0].due_at, "2026-12-05T11:00:00Z");
    }
}

#[tokio::test]
async fn a_message_that_comes_after_its_token_was_used_changes_nothing() {
    let stage = Stage::replicating().await;
    stage.await_replication("token-1").await;
    let (ended, happened) = (stage.task(), stage.aws.happened("mig-1").await);
    stage.await_replication("token-1").await;
    assert_eq!(stage.task(), ended);
    assert_eq!(stage.aws.happened("mig-1").await, happened);
    assert!(stage.waits().await.is_empty());
}

#[tokio::test]
async fn a_bad_message_goes_back_alone_and_one_of_an_ended_attempt_is_dropped() {
    let stage = Stage::replicating().await;
    let mut ended = Stage::message("REPLICATION", "token-9");
    ended["attempt"] = json!(2);
    let messages = [
        json!("nonsense"),
        ended,
        Stage::message("TEST_LAUNCH", "token-8"),
        Stage::message("REPLICATION", "token-1"),
    ];
    assert_eq!(stage.open(&messages).await, ["message-0", "message-2"]);
    assert!(matches!(stage.task(), Some(Ended::Succeeded(_))));
    assert_eq!(stage.tasks.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn opening_converges_after_a_fault_of_any_call() {
    let calls = {
        let stage = Stage::replicating().await;
        stage.await_replication("token-1").await;
        stage.aws.calls.made()
    };
    assert!(calls.len() > 5, "{calls:?}");
    for (nth, call) in calls.iter().enumerate() {
        for fault in Fault::ALL {
            let case = format!("call {nth} {call} {fault:?}");
            let stage = Stage::replicating().await;
            stage.aws.calls.fail_nth(nth, fault);
            let message = [Stage::message("REPLICATION", "token-1")];
            // What could not be opened comes again; what was opened is the sweep's.
            if !stage.open(&message).await.is_empty() {
                assert!(matches!(*call, "GetItem" | "PutItem"), "{case}");
                assert!(stage.open(&message).await.is_empty(), "{case}");
            }
            stage.sweep().await.unwrap();
            assert!(matches!(stage.task(), Some(Ended::Succeeded(_))), "{case}");
            assert_eq!(
                stage.aws.happened("mig-1").await,
                ["ReplicationHealthy"],
                "{case}"
            );
            assert!(stage.waits().await.is_empty(), "{case}");
        }
    }
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
