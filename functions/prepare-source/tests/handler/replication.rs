//! The state `ConfigureReplication` as a whole, against AWS in memory.

use crate::world::{Stage, key_arn, replicated, server};
use aws_sdk_mgn::types::{DataReplicationInfo, SourceServer};
use landfall_domain::record::{AgentCommand, TestEvidence};
use landfall_domain::{ErrorName, Status};
use serde_json::{Value, json};

const SERVER: &str = "s-00000000000000001";

/// A server that was there before, with data that could be launched.
fn with_data() -> SourceServer {
    let mut server = server(SERVER, "READY_FOR_TEST", "CONTINUOUS");
    server.data_replication_info = Some(
        DataReplicationInfo::builder()
            .data_replication_state("CONTINUOUS".into())
            .lag_duration("PT0S")
            .build(),
    );
    server
}

/// A migration whose server MGN knows, and which waits for nothing yet.
fn stage(changes: Value) -> Stage {
    let stage = replicated(changes);
    stage.change_record(|record| record.status = Status::Replicating);
    stage.world().servers = vec![with_data()];
    stage
}

fn allowed() -> Value {
    json!({"kmsKeyId": "alias/volumes", "policy": {"allowResync": true}})
}

#[tokio::test]
async fn without_a_key_nothing_is_looked_at() {
    let stage = stage(json!({}));
    assert_eq!(stage.configure_replication().await.unwrap(), json!({}));
    assert_eq!(stage.world().calls, ["GetItem"]);
}

#[tokio::test]
async fn the_key_that_is_there_already_is_left() {
    let stage = stage(json!({"kmsKeyId": "alias/volumes"}));
    stage.world().encryption_key = Some(key_arn("volumes"));
    let output = stage.configure_replication().await.unwrap();
    assert_eq!(output, json!({"encryptionKey": key_arn("volumes")}));
    assert_eq!(stage.record().done.encryption_key, None);
    let calls = ["GetItem", "DescribeKey", "GetReplicationConfiguration"];
    assert_eq!(stage.world().calls, calls);
}

#[tokio::test]
async fn trap_another_kms_key_copies_everything_again_and_is_refused() {
    let stage = stage(json!({"kmsKeyId": "alias/volumes"}));
    stage.world().encryption_key = Some(key_arn("old"));
    let error = stage.configure_replication().await.unwrap_err();
    assert_eq!(error.name, ErrorName::SourcePreparationError);
    let finding = &error.findings[0];
    assert_eq!(finding.code, "KMS_CHANGE_FORCES_RESYNC");
    assert_eq!(finding.pointer, "/kmsKeyId");
    assert_eq!(finding.found, key_arn("old"));
    assert_eq!(finding.wanted, key_arn("volumes"));
    assert!(
        finding.remedy.contains("policy.allowResync"),
        "{}",
        finding.remedy
    );
    assert_eq!(stage.world().encryption_key, Some(key_arn("old")));
    assert_eq!(stage.record().done.encryption_key, None);
}

#[tokio::test]
async fn with_the_request_s_consent_the_key_is_changed_noted_and_told() {
    let stage = stage(allowed());
    stage.world().encryption_key = Some(key_arn("old"));
    stage.configure_replication().await.unwrap();
    let change = stage.record().done.encryption_key.unwrap();
    assert_eq!(change.previous, Some(key_arn("old")));
    assert_eq!(change.key, key_arn("volumes"));
    assert_eq!(change.changed_at, "2026-11-21T12:00:00Z");
    let world = stage.world();
    assert_eq!(world.encryption_key, Some(key_arn("volumes")));
    assert_eq!(world.noted_before_key, [Some(key_arn("volumes"))]);
    let (event, detail) = &world.events[0];
    assert_eq!(event, "ResyncStarted");
    assert_eq!(detail["reasonCode"], "KMS_KEY_CHANGED");
    assert_eq!(detail["evidence"]["from"], key_arn("old"));
    assert_eq!(detail["evidence"]["to"], key_arn("volumes"));
    assert_eq!(detail["to"], "REPLICATING");
}

#[tokio::test]
async fn nothing_is_copied_again_for_a_launch_that_would_be_refused() {
    // The key is one of the settings that were tested.
    let tested = stage(allowed());
    tested.change_record(|record| {
        record.request.steps = vec![landfall_domain::request::Step::Switch];
        record.test_evidence = Some(TestEvidence {
            settings_digest: "request".into(),
            effective_digest: Some("with the key before".into()),
            verified_at: "2026-11-20T12:00:00Z".into(),
            job_id: "mgnjob-1".into(),
        });
    });
    let disks = json!([{"deviceName": "/dev/sdz", "volumeType": "gp3"}]);
    let mut request = allowed();
    request["disks"] = disks;
    for (stage, code) in [
        (tested, "LAUNCH_SETTINGS_CHANGED_SINCE_TEST"),
        (stage(request), "DISK_NOT_FOUND"),
    ] {
        let error = stage.configure_replication().await.unwrap_err();
        assert_eq!(error.findings[0].code, code);
        assert_eq!(stage.world().count("UpdateReplicationConfiguration"), 0);
        assert_eq!(stage.record().done.encryption_key, None);
    }
}

#[tokio::test]
async fn where_nothing_is_replicated_nobody_need_consent() {
    let request = || json!({"kmsKeyId": "alias/volumes"});
    let empty = stage(request());
    empty.world().servers = vec![server(SERVER, "STOPPED", "STOPPED")];
    // The agent of this attempt has just begun its first sync.
    let own = stage(request());
    own.change_record(|record| {
        record.done.agent_command = Some(AgentCommand {
            command_id: "command-1".into(),
            instance_id: "mi-1".into(),
        });
    });
    for stage in [empty, own] {
        stage.configure_replication().await.unwrap();
        let change = stage.record().done.encryption_key.unwrap();
        assert_eq!(change.previous, None);
        let world = stage.world();
        assert_eq!(world.encryption_key, Some(key_arn("volumes")));
        assert!(world.events.is_empty(), "{:?}", world.events);
    }
}

#[tokio::test]
async fn a_late_run_does_not_restart_what_is_launched_from() {
    let stage = stage(allowed());
    stage.change_record(|record| record.status = Status::ReadyForTest);
    stage.configure_replication().await.unwrap();
    assert_eq!(stage.world().calls, ["GetItem"]);
}

#[tokio::test]
async fn a_server_that_is_gone_or_not_known_is_told() {
    let gone = stage(allowed());
    gone.world().servers.clear();
    let error = gone.configure_replication().await.unwrap_err();
    assert!(error.message.contains("no longer knows"), "{error}");
    let unknown = stage(allowed());
    unknown.change_record(|record| record.source_server_id = None);
    let error = unknown.configure_replication().await.unwrap_err();
    assert_eq!(error.name, ErrorName::InternalError);
}

#[tokio::test]
async fn whatever_call_fails_once_the_next_run_goes_on() {
    let make = || {
        let stage = stage(allowed());
        stage.world().encryption_key = Some(key_arn("old"));
        stage
    };
    let calls = {
        let stage = make();
        stage.configure_replication().await.unwrap();
        stage.world().calls.clone()
    };
    let expected = [
        "GetItem",
        "DescribeKey",
        "GetReplicationConfiguration",
        "DescribeSourceServers",
        "GetLaunchConfiguration",
        "GetReplicationConfiguration",
        "DescribeLaunchTemplateVersions",
        "TransactWriteItems",
        "PutEvents",
        "UpdateReplicationConfiguration",
    ];
    assert_eq!(calls, expected);
    for (index, call) in calls.iter().copied().enumerate() {
        let nth = calls[..=index].iter().filter(|made| **made == call).count();
        for lost in [false, true] {
            let stage = make();
            if lost {
                stage.world().losing = Some((call, nth));
            } else {
                stage.world().failing = Some((call, nth));
            }
            stage.configure_replication().await.unwrap_err();
            stage.configure_replication().await.unwrap();
            let what = format!("{call} {nth} lost={lost}");
            // The first note keeps the key before, and the history is told once.
            let change = stage.record().done.encryption_key.unwrap();
            assert_eq!(change.previous, Some(key_arn("old")), "{what}");
            let world = stage.world();
            assert_eq!(world.encryption_key, Some(key_arn("volumes")), "{what}");
            assert!(world.events.len() <= 1, "{what}");
            // It is changed once, and was in the record then.
            let noted = [Some(key_arn("volumes"))];
            assert_eq!(world.noted_before_key, noted, "{what}");
        }
    }
}
