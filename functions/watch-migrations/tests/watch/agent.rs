//! The wait for the agent.

use landfall_domain::Status;
use serde_json::json;

use crate::failed;
use crate::stage::{Command, Stage};
use crate::tasks::Ended;

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
    let mut twin = crate::mgn::Server::of("mig-1", "NOT_READY");
    twin.id = "s-twin".into();
    stage.account.lock().unwrap().servers.push(twin);
    stage.sweep().await.unwrap();
    let (name, cause) = failed(stage.task());
    assert_eq!(name, "SourcePreparationError");
    assert!(cause.contains("s-mig-1, s-twin"), "{cause}");
}
