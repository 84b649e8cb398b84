//! The state `PrepareSource` as a whole, against AWS in memory.

use crate::world::{Stage, node, server};
use aws_sdk_mgn::types::{IdentificationHints, LifeCycle, SourceProperties, SourceServer};
use landfall_domain::installer::Network;
use landfall_domain::{ErrorName, Status};
use serde_json::{Value, json};

#[tokio::test]
async fn the_agent_is_sent() {
    let stage = Stage::new(json!({}));
    let output = stage.prepare().await.unwrap();
    assert_eq!(output, json!({"status": "PREPARING"}));
    let record = stage.record();
    assert_eq!(record.status, Status::Preparing);
    let command = record.done.agent_command.clone().unwrap();
    assert_eq!(command.command_id, "command-1");
    assert_eq!(command.instance_id, "mi-00000000000000001");
    let world = stage.world();
    assert_eq!(world.sent[0].document, "AWS-RunShellScript");
    let arguments = "set -- --region 'eu-central-1' --no-prompt --user-provided-id 'vm-123456'\n";
    assert!(world.sent[0].script.contains(arguments));
    let (event, detail) = &world.events[0];
    assert_eq!(event, "PreparationStarted");
    assert_eq!(
        detail["evidence"]["agent"],
        "to be installed, unless MGN has the server"
    );
    assert!(
        detail["evidence"]["snapshot"]
            .as_str()
            .unwrap()
            .contains("left to a person")
    );
}

#[tokio::test]
async fn a_windows_node_gets_powershell() {
    let stage = Stage::new(json!({}));
    stage.world().nodes = vec![node("mi-00000000000000002", "Windows")];
    stage.prepare().await.unwrap();
    assert_eq!(stage.world().sent[0].document, "AWS-RunPowerShellScript");
}

#[tokio::test]
async fn the_request_s_way_to_aws_wins_over_the_deployment_s() {
    let agent = json!({"proxyUrl": "https://own:1/", "devices": ["/dev/sda"]});
    let mut stage = Stage::new(json!({ "agent": agent }));
    stage.deps.agent_network = Network {
        proxy_url: Some("https://deployment:1/".into()),
        mgn_endpoint: Some("vpce-1.mgn.eu-central-1.vpce.amazonaws.com".into()),
        ..Network::default()
    };
    stage.prepare().await.unwrap();
    let world = stage.world();
    for part in [
        "proxy_url='https://own:1/'",
        "--endpoint 'vpce-1.mgn.eu-central-1.vpce.amazonaws.com'",
        "--devices '/dev/sda'",
    ] {
        assert!(world.sent[0].script.contains(part), "{part}");
    }
}

#[tokio::test]
async fn what_systems_manager_would_tell_or_the_source_would_not_know_is_not_sent() {
    let mut stage = Stage::new(json!({}));
    stage.deps.agent_network.proxy_url = Some("https://user:secret@proxy:1/".into());
    let error = stage.prepare().await.unwrap_err();
    assert_eq!(error.name, ErrorName::SourcePreparationError);
    assert!(
        error.message.contains("LANDFALL_AGENT_PROXY_URL"),
        "{error}"
    );
    assert!(!format!("{error:?}").contains("secret"));
    assert!(stage.world().sent.is_empty());

    let stage = Stage::new(json!({"agent": {"devices": ["c:"]}}));
    let error = stage.prepare().await.unwrap_err();
    assert_eq!(error.name, ErrorName::SourcePreparationError);
    assert!(
        error.message.contains("c:") && error.message.contains("Linux"),
        "{error}"
    );
    assert!(stage.world().sent.is_empty());
}

#[tokio::test]
async fn a_second_run_sends_nothing() {
    let stage = Stage::new(json!({}));
    stage.prepare().await.unwrap();
    stage.prepare().await.unwrap();
    assert_eq!(stage.world().sent.len(), 1);
    assert_eq!(stage.world().events.len(), 1);
}

#[tokio::test]
async fn a_command_whose_note_was_lost_is_found_again() {
    let stage = Stage::new(json!({}));
    // The first write is the transition, the second one the note.
    stage.world().failing = Some(("TransactWriteItems", 2));
    stage.prepare().await.unwrap_err();
    assert_eq!(stage.record().done.agent_command, None);
    stage.prepare().await.unwrap();
    assert_eq!(stage.world().sent.len(), 1);
    let command = stage.record().done.agent_command.unwrap();
    assert_eq!(command.command_id, "command-1");
}

#[tokio::test]
async fn a_server_that_is_connected_needs_no_agent() {
    let stage = Stage::new(json!({"steps": ["validate"]}));
    stage.world().servers = vec![server("s-1", "READY_FOR_TEST", "CONTINUOUS")];
    stage.prepare().await.unwrap();
    assert_eq!(stage.record().done.agent_command, None);
    assert_eq!(stage.world().count("DescribeInstanceInformation"), 0);
}

#[tokio::test]
async fn an_agent_is_installed_only_where_one_is_missing_and_asked_for() {
    let table = [
        (
            "replicate",
            vec![server("s-1", "DISCONNECTED", "DISCONNECTED")],
            Ok(1),
        ),
        (
            "replicate",
            vec![server("s-1", "PENDING_INSTALLATION", "")],
            Ok(1),
        ),
        (
            "replicate",
            vec![server("s-1", "NOT_READY", "INITIAL_SYNC")],
            Ok(0),
        ),
        ("validate", vec![], Err("the step replicate")),
        (
            "replicate",
            vec![
                server("s-1", "NOT_READY", "INITIAL_SYNC"),
                server("s-2", "NOT_READY", "INITIAL_SYNC"),
            ],
            Err("s-1 and s-2"),
        ),
    ];
    for (step, servers, expected) in table {
        let stage = Stage::new(json!({ "steps": [step] }));
        stage.world().servers = servers;
        match (stage.prepare().await, expected) {
            (Ok(_), Ok(sent)) => assert_eq!(stage.world().sent.len(), sent),
            (Err(error), Err(text)) => {
                assert_eq!(error.name, ErrorName::SourcePreparationError);
                assert!(error.message.contains(text), "{error}");
            }
            (result, expected) => panic!("{result:?} instead of {expected:?}"),
        }
    }
}

#[tokio::test]
async fn a_source_that_others_bring_to_mgn_passes_through() {
    let table = [
        ("preinstalled", vec![], Ok(())),
        ("agentless", vec![], Ok(())),
        (
            "preinstalled",
            vec![server("s-1", "PENDING_INSTALLATION", "")],
            Ok(()),
        ),
        (
            "agentless",
            vec![server("s-1", "DISCOVERED", "STOPPED")],
            Ok(()),
        ),
        (
            "agentless",
            vec![server("s-1", "NOT_READY", "SHIPPING_SNAPSHOT")],
            Ok(()),
        ),
        // An agent on it would make it two servers.
        (
            "install",
            vec![server("s-1", "DISCOVERED", "STOPPED")],
            Err("set agent.kind to agentless"),
        ),
    ];
    for (kind, servers, expected) in table {
        let stage = Stage::new(json!({ "agent": { "kind": kind } }));
        stage.world().servers = servers;
        let result = stage.prepare().await;
        match (&result, expected) {
            (Ok(output), Ok(())) => assert_eq!(output["status"], "PREPARING"),
            (Err(error), Err(text)) => assert!(error.message.contains(text), "{error}"),
            other => panic!("{kind}: {other:?}"),
        }
        assert_eq!(stage.record().done.agent_command, None);
        // Not even a managed node is asked for.
        assert_eq!(stage.world().count("DescribeInstanceInformation"), 0);
    }
}

#[tokio::test]
async fn a_machine_of_vsphere_is_known_by_its_uuid_where_there_is_no_agent() {
    let uuid = "4212D3EC-2B3F-4B8A-A2B4-0C2A9C0A1E3F";
    let machine = |kind: &str| {
        let hints = IdentificationHints::builder().vm_ware_uuid(uuid.to_lowercase());
        SourceServer::builder()
            .source_server_id("s-1")
            .replication_type(kind.into())
            .source_properties(
                SourceProperties::builder()
                    .identification_hints(hints.build())
                    .build(),
            )
            .life_cycle(LifeCycle::builder().state("NOT_READY".into()).build())
            .build()
    };
    for (kind, known) in [("SNAPSHOT_SHIPPING", true), ("AGENT_BASED", false)] {
        let stage = Stage::new(json!({"sourceVmId": uuid, "steps": ["validate"]}));
        stage.world().servers = vec![machine(kind)];
        assert_eq!(stage.prepare().await.is_ok(), known, "{kind}");
    }
}

#[tokio::test]
async fn a_migration_that_only_freezes_goes_straight_on() {
    let stage = Stage::new(json!({"steps": ["freeze"]}));
    stage.prepare().await.unwrap();
    stage.prepare().await.unwrap();
    assert_eq!(stage.world().count("DescribeSourceServers"), 0);
}

#[tokio::test]
async fn a_state_that_comes_again_after_its_work_is_done_does_nothing() {
    let stage = Stage::new(json!({}));
    stage.change_record(|record| {
        record.status = Status::Replicating;
        record.source_server_id = Some("s-1".into());
    });
    let output = stage.prepare().await.unwrap();
    assert_eq!(
        output,
        json!({"status": "REPLICATING", "sourceServerId": "s-1"})
    );
    assert_eq!(stage.world().calls, ["GetItem"]);
}

#[tokio::test]
async fn the_source_is_snapshotted_and_cloud_migration_factory_told() {
    let stage = Stage::with_outside(json!({})).await;
    stage.prepare().await.unwrap();
    stage.prepare().await.unwrap();
    let done = stage.record().done;
    assert_eq!(
        done.snapshot.as_deref(),
        Some("/snapshots/landfall-mig-12345-1")
    );
    let (server, wave) = (done.cmf.unwrap(), done.cmf_wave.unwrap());
    assert_eq!((&*server.id, &*server.previous), ("7", "Not started"));
    assert_eq!((&*wave.id, &*wave.previous), ("3", "Planning"));
    assert_eq!(done.warnings, []);
    let world = stage.world();
    assert!(world.noted_before_cmf);
    assert_eq!(world.cmf_statuses(), ("Landfall: preparing", "In progress"));
    // What stands there already is not written again.
    assert_eq!((world.count("cmf:server"), world.count("cmf:wave")), (1, 1));
    assert_eq!(world.snapshots.len(), 1);
    assert_eq!(world.events[0].1["evidence"]["snapshot"], "to be taken");
}

#[tokio::test]
async fn the_secret_of_the_source_goes_to_no_host_of_the_message_s_choice() {
    let stage = Stage::with_outside(json!({})).await.listing_no_source();
    let error = stage.prepare().await.unwrap_err();
    assert_eq!(error.name, ErrorName::SourcePreparationError);
    assert!(error.message.contains("source_api_allow"), "{error}");
    assert_eq!(stage.world().count("GetSecretValue"), 0);
}

#[tokio::test]
async fn a_snapshot_that_takes_its_time_is_known_before_it_is_taken() {
    let stage = Stage::with_outside(json!({})).await;
    stage.world().snapshot_takes = 2;
    let name = "landfall-mig-12345-1";
    for _ in 0..2 {
        let error = stage.prepare().await.unwrap_err();
        assert_eq!(error.name, ErrorName::DependencyUnavailable, "{error}");
        assert_eq!(stage.record().done.snapshot.as_deref(), Some(name));
    }
    stage.prepare().await.unwrap();
    stage.prepare().await.unwrap();
    assert_eq!(
        stage.record().done.snapshot.as_deref(),
        Some("/snapshots/landfall-mig-12345-1")
    );
    let world = stage.world();
    assert_eq!(world.snapshots.len(), 1);
    assert_eq!(world.noted_before_snapshot, vec![Some(name.to_owned()); 3]);
}

#[test]
fn the_workflow_is_as_patient_with_a_snapshot_as_with_a_power_off() {
    let definition = include_str!("../../../../terraform/workflow/migration.asl.json");
    let definition: Value = serde_json::from_str(definition).unwrap();
    let retry = |state: &str| definition["States"][state]["Retry"].clone();
    assert!(retry("PrepareSource")[1]["ErrorEquals"].is_array());
    assert_eq!(retry("PrepareSource"), retry("FinalizeCutover"));
}

#[tokio::test]
async fn each_call_may_fail_once() {
    let refused = ErrorName::SourcePreparationError;
    let calls = [
        (("GetItem", 1), ErrorName::InternalError),
        (("TransactWriteItems", 1), ErrorName::InternalError),
        (("TransactWriteItems", 2), ErrorName::InternalError),
        (("TransactWriteItems", 3), ErrorName::InternalError),
        (("TransactWriteItems", 4), ErrorName::InternalError),
        (("TransactWriteItems", 5), ErrorName::InternalError),
        (("PutEvents", 1), ErrorName::InternalError),
        (("GetSecretValue", 1), refused),
        (("azure:snapshot", 1), refused),
        (("cmf:login", 1), refused),
        (("cmf:list", 1), refused),
        (("cmf:server", 1), refused),
        (("cmf:wave", 1), refused),
        (("DescribeSourceServers", 1), ErrorName::PrerequisiteError),
        (("DescribeInstanceInformation", 1), refused),
        (("SendCommand", 1), refused),
    ];
    for (call, name) in calls {
        let stage = Stage::with_outside(json!({})).await;
        stage.world().failing = Some(call);
        let error = stage.prepare().await.unwrap_err();
        assert_eq!(error.name, name, "{call:?}: {error}");
        stage.prepare().await.unwrap();
        let record = stage.record();
        assert_eq!(record.status, Status::Preparing, "{call:?}");
        assert_eq!(record.done.cmf.unwrap().previous, "Not started", "{call:?}");
        assert_eq!(stage.world().sent.len(), 1, "{call:?}");
    }
    // The look for a lost command is not on the road above.
    let stage = Stage::new(json!({}));
    stage.change_record(|record| record.status = Status::Preparing);
    stage.world().failing = Some(("ListCommandInvocations", 1));
    assert_eq!(stage.prepare().await.unwrap_err().name, refused);
    assert!(stage.world().sent.is_empty());
}

#[tokio::test]
async fn only_its_own_attempt_and_execution_may_speak() {
    let stage = Stage::new(json!({}));
    for (members, name) in [
        (json!({"attempt": 2}), ErrorName::PrerequisiteError),
        (
            json!({"executionArn": "arn:other"}),
            ErrorName::PrerequisiteError,
        ),
        (json!({"phase": "unknown"}), ErrorName::InternalError),
    ] {
        let error = stage.run(members).await.unwrap_err();
        assert_eq!(error.name, name, "{error}");
    }
    stage.change_record(|record| record.status = Status::Frozen);
    let error = stage.prepare().await.unwrap_err();
    assert_eq!(error.name, ErrorName::ValidationError);
}
