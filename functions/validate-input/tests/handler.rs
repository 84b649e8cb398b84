//! The function as a whole, against AWS in memory.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper of a test fails as the test does"
)]

#[path = "handler/cmf.rs"]
mod cmf;
#[path = "../../../shared/external/tests/support/cmf.rs"]
mod factory;
#[path = "handler/refused.rs"]
mod refused;
#[path = "handler/source.rs"]
mod source;
mod world;

use aws_sdk_ec2::types::NetworkInterface;
use aws_sdk_mgn::types::SourceServer;
use landfall_domain::{ErrorName, StageError, Status};
use serde_json::{Value, json};
use world::{Stage, group};

fn codes(error: &StageError) -> Vec<&str> {
    error.findings.iter().map(|f| f.code.as_str()).collect()
}

#[tokio::test]
async fn the_canonical_message_passes_and_its_plan_comes_back() {
    let stage = Stage::new(json!({}));
    let plan = stage.run().await.unwrap();
    assert_eq!(
        plan,
        json!({"replicate": true, "validate": true, "switch": true, "soakSeconds": 0, "archiveAfterSeconds": 0, "decommission": false})
    );
    let record = stage.record();
    assert_eq!(record.status, Status::Validating);
    assert_eq!(record.failure, None);
    assert_eq!(stage.event_types(), ["ValidationPassed"]);
    // One call for each thing that must be known, and none for what the request does not say.
    let mut calls = stage.world().calls.clone();
    calls.sort_unstable();
    // As many simulations as there are needs, all at once.
    calls.dedup_by(|a, b| a == b && *a == "SimulatePrincipalPolicy");
    assert_eq!(
        calls,
        [
            "DescribeInstanceTypeOfferings",
            "DescribeJobs",
            "DescribeReplicationConfigurationTemplates",
            "DescribeSecurityGroups",
            "DescribeSourceServers",
            "DescribeSubnets",
            "GetEbsEncryptionByDefault",
            "GetItem",
            "GetItem",
            "ListServiceQuotas",
            "PutEvents",
            "SimulatePrincipalPolicy",
            "TransactWriteItems",
        ]
    );
}

#[tokio::test]
async fn everything_that_is_wrong_is_told_at_once() {
    let stage = Stage::new(json!({
        "privateIp": "10.0.1.10", "securityGroupIds": ["sg-0a1b2c3d", "sg-ffffffff"],
        "callbackUrl": "https://169.254.169.254/", "instanceType": "t9.mega",
        "sourceControl": {
            "kind": "azure", "endpoint": "https://evil.example.com/", "credentialsSecretId": "landfall/source/azure",
            "subscriptionId": "sub-1", "resourceGroup": "rg-1",
        },
        "instanceProfile": "none-such", "policy": {"window": {"start": "2020-01-01T22:00", "end": "2020-01-02T04:00", "timeZone": "UTC"}},
    }));
    {
        let mut world = stage.world();
        world.groups = vec![group("sg-0a1b2c3d", "vpc-2")];
        world.offerings.clear();
        world.initialized = false;
        world.interfaces = vec![
            NetworkInterface::builder()
                .network_interface_id("eni-1")
                .subnet_id("subnet-0a1b2c3d")
                .private_ip_address("10.0.1.10")
                .build(),
        ];
        world.denied = vec!["ec2:RunInstances"];
        world.ebs_key = Some("key-1".into());
    }
    stage.claim_server("mig-1", Status::Testing);
    let error = stage.run().await.unwrap_err();
    assert_eq!(error.name, ErrorName::ValidationError);
    assert_eq!(
        codes(&error),
        [
            "ALREADY_MIGRATING",
            "SECURITY_GROUP_WRONG_VPC",
            "SECURITY_GROUP_NOT_FOUND",
            "IP_IN_USE",
            "INSTANCE_TYPE_UNKNOWN",
            "EBS_DEFAULT_KEY_UNUSABLE",
            "IAM_PROFILE_NOT_FOUND",
            "PERMISSION_MISSING",
            "MGN_NOT_INITIALIZED",
            "SOURCE_ENDPOINT_FORBIDDEN",
            "WINDOW_NEVER_OPENS",
            "CALLBACK_URL_FORBIDDEN",
        ]
    );
    let record = stage.record();
    assert_eq!(record.status, Status::Validating);
    let failure = record.failure.unwrap();
    assert_eq!(failure.error, "ValidationError");
    assert_eq!(failure.findings, error.findings);
    let world = stage.world();
    let (event, detail) = &world.events[0];
    assert_eq!(event, "ValidationFailed");
    assert_eq!(detail["reasonCode"], "ALREADY_MIGRATING");
    assert_eq!(
        detail["evidence"]["findings"].as_array().unwrap().len(),
        error.findings.len()
    );
}

#[tokio::test]
async fn a_callback_whose_name_leads_inside_is_refused_before_any_work() {
    let stage = Stage::new(json!({ "callbackUrl": "https://intern.example.com/secret" }));
    let error = stage.run().await.unwrap_err();
    assert_eq!(codes(&error), ["CALLBACK_URL_FORBIDDEN"]);
    let text = format!("{error:?}");
    assert!(
        text.contains("10.0.0.1") && !text.contains("secret"),
        "{text}"
    );
    // What is listed may be anywhere.
    let stage = Stage::new(json!({ "callbackUrl": "http://127.0.0.1:4570/sink/a" }));
    stage.run().await.unwrap();
}

#[tokio::test]
async fn a_second_run_tells_the_same_and_notes_nothing_more() {
    let passing = Stage::new(json!({}));
    assert_eq!(passing.run().await, passing.run().await);
    assert_eq!(passing.event_types(), ["ValidationPassed"]);

    let refused = Stage::new(json!({}));
    refused.world().subnets.clear();
    let (first, second) = (refused.run().await, refused.run().await);
    assert_eq!(codes(first.as_ref().unwrap_err()), ["SUBNET_NOT_FOUND"]);
    assert_eq!(first, second);
    assert_eq!(refused.event_types(), ["ValidationFailed"]);
}

#[tokio::test]
async fn what_was_mended_before_the_second_run_leaves_no_failure() {
    let stage = Stage::new(json!({}));
    let subnets = std::mem::take(&mut stage.world().subnets);
    stage.run().await.unwrap_err();
    assert!(stage.record().failure.is_some());
    stage.world().subnets = subnets;
    stage.run().await.unwrap();
    assert_eq!(stage.record().failure, None);
    assert_eq!(
        stage.event_types(),
        ["ValidationFailed", "ValidationPassed"]
    );
}

#[tokio::test]
async fn a_freeze_alone_asks_nothing_of_the_target() {
    let stage = Stage::new(json!({"steps": ["freeze"], "privateIp": "10.0.1.10"}));
    stage.world().subnets.clear();
    stage.run().await.unwrap();
    let calls = stage.world().calls.clone();
    assert_eq!(
        calls,
        ["GetItem", "GetItem", "TransactWriteItems", "PutEvents"]
    );
    let claims = stage.record().claims;
    assert_eq!(claims, ["CLAIM#123456789012#eu-central-1#SERVER#vm-123456"]);
}

#[tokio::test]
async fn servers_are_not_asked_for_where_mgn_is_not_initialized() {
    let stage = Stage::new(json!({}));
    {
        let mut world = stage.world();
        world.initialized = false;
        world.failing = Some("DescribeSourceServers");
    }
    let error = stage.run().await.unwrap_err();
    assert_eq!(codes(&error), ["MGN_NOT_INITIALIZED"]);
}

#[tokio::test]
async fn an_archived_server_is_looked_for_where_there_is_no_other() {
    let stage = Stage::new(json!({"steps": ["validate"]}));
    stage.world().servers = vec![
        SourceServer::builder()
            .source_server_id("s-9")
            .user_provided_id("vm-123456")
            .is_archived(true)
            .build(),
    ];
    let error = stage.run().await.unwrap_err();
    assert_eq!(codes(&error), ["SERVER_ARCHIVED"]);
}

#[tokio::test]
async fn only_its_own_attempt_and_execution_may_speak() {
    let stage = Stage::new(json!({}));
    let name = |result: Result<_, StageError>| result.unwrap_err().name;
    let other = stage.run_with(json!({"attempt": 2})).await;
    assert_eq!(name(other), ErrorName::PrerequisiteError);
    let other = stage.run_with(json!({"executionArn": "arn:other"})).await;
    assert_eq!(name(other), ErrorName::PrerequisiteError);
    let unreadable = stage.run_with(json!({"migrationId": 7})).await;
    assert_eq!(name(unreadable), ErrorName::InternalError);
    stage.change_record(|record| record.status = Status::Failed);
    let ended = stage.run().await.unwrap_err();
    assert_eq!(ended.name, ErrorName::ValidationError);
    assert!(ended.message.contains("already ended"), "{ended}");
    assert!(stage.event_types().is_empty());
}

#[tokio::test]
async fn a_run_that_comes_late_checks_nothing() {
    let stage = Stage::new(json!({}));
    stage.change_record(|record| record.status = Status::Preparing);
    let plan = stage.run().await.unwrap();
    assert_eq!(plan["switch"], true);
    assert_eq!(stage.world().calls, ["GetItem"]);
}

#[tokio::test]
async fn what_cannot_be_asked_and_only_informs_refuses_nothing() {
    for (call, told) in [
        ("SimulatePrincipalPolicy", vec!["PERMISSIONS_NOT_PROVEN"]),
        ("ListServiceQuotas", vec![]),
    ] {
        let stage = Stage::new(json!({}));
        stage.world().failing = Some(call);
        stage.run().await.unwrap();
        let world = stage.world();
        let findings = world.events[0].1["evidence"]["findings"].as_array();
        let codes: Vec<_> = findings.into_iter().flatten().map(|f| &f["code"]).collect();
        assert_eq!(codes, told, "{call}");
    }
}

#[tokio::test]
async fn permissions_are_simulated_once_for_a_wave() {
    let stage = Stage::new(json!({"instanceProfile": "app"}));
    stage.world().profiles.insert("app".into(), true);
    let simulations = |stage: &Stage| {
        let world = stage.world();
        let calls = world.calls.iter();
        calls
            .filter(|call| **call == "SimulatePrincipalPolicy")
            .count()
    };
    stage.dry_run(json!({})).await.unwrap();
    let once = simulations(&stage);
    stage.dry_run(json!({"sourceVmId": "vm-2"})).await.unwrap();
    assert_eq!(simulations(&stage), once);
    // What is refused is asked again, for it may have been mended.
    let stage = Stage::new(json!({}));
    stage.world().denied = vec!["ec2:RunInstances"];
    let codes = |answer: &Value| answer["findings"].as_array().unwrap().len();
    assert_eq!(codes(&stage.dry_run(json!({})).await.unwrap()), 1);
    stage.world().denied.clear();
    assert_eq!(codes(&stage.dry_run(json!({})).await.unwrap()), 0);
}

#[tokio::test]
async fn a_live_quota_refuses_where_the_documented_one_warns() {
    let replicating = SourceServer::builder()
        .source_server_id("s-1")
        .user_provided_id("vm-other")
        .data_replication_info(
            aws_sdk_mgn::types::DataReplicationInfo::builder()
                .data_replication_state("CONTINUOUS".into())
                .build(),
        )
        .build();
    let stage = Stage::new(json!({}));
    stage.world().servers = vec![replicating];
    stage.world().replicating_quota = Some(1.0);
    let error = stage.run().await.unwrap_err();
    assert_eq!(codes(&error), ["QUOTA_REPLICATING"]);
    stage.world().replicating_quota = Some(2.0);
    stage.run().await.unwrap();
}

#[tokio::test]
async fn a_server_is_found_by_its_host_name() {
    let named = SourceServer::builder()
        .source_server_id("s-1")
        .source_properties(
            aws_sdk_mgn::types::SourceProperties::builder()
                .identification_hints(
                    aws_sdk_mgn::types::IdentificationHints::builder()
                        .fqdn("web01.corp.example")
                        .build(),
                )
                .build(),
        )
        .build();
    let stage = Stage::new(json!({"steps": ["validate"], "sourceHost": "WEB01.corp.example"}));
    stage.world().servers = vec![named.clone()];
    stage.run().await.unwrap();
    let answer = stage
        .dry_run(json!({"migrationId": "mig-12345"}))
        .await
        .unwrap();
    assert_eq!(answer["sourceServerId"], "s-1");
    stage.world().servers = vec![named.clone(), named];
    let answer = stage
        .dry_run(json!({"migrationId": "mig-12345"}))
        .await
        .unwrap();
    assert_eq!(answer["findings"][0]["code"], "SERVER_AMBIGUOUS");
    assert_eq!(answer["sourceServerId"], Value::Null);
}

#[tokio::test]
async fn of_two_migrations_of_a_server_one_is_refused_whatever_their_applications() {
    let stage = Stage::new(json!({}));
    stage.claim_server("mig-9", Status::Testing);
    let error = stage.run().await.unwrap_err();
    assert_eq!(codes(&error), ["ALREADY_MIGRATING"]);
    assert!(error.findings[0].message.contains("mig-9"));
    for status in [Status::Frozen, Status::Failed, Status::Succeeded] {
        let stage = Stage::new(json!({}));
        stage.claim_server("mig-9", status);
        stage.run().await.unwrap();
        let told = stage.world().events[0]
            .1
            .to_string()
            .contains("FROZEN_BEFORE");
        assert_eq!(told, status == Status::Frozen, "{status}");
    }
    // One whose record is gone holds nobody up.
    let stage = Stage::new(json!({}));
    stage.claim_server("mig-9", Status::Testing);
    let gone = landfall_common::state::Key::new("default", "mig-9").pk();
    stage.world().items.remove(&gone);
    stage.run().await.unwrap();
    let claims = stage.record().claims;
    assert_eq!(claims, ["CLAIM#123456789012#eu-central-1#SERVER#vm-123456"]);
    assert_eq!(
        stage.world().items[&claims[0]]["migrationId"],
        aws_sdk_dynamodb::types::AttributeValue::S("mig-12345".into())
    );
}

#[tokio::test]
async fn a_dry_run_tells_the_same_and_leaves_no_trace() {
    let stage = Stage::new(json!({}));
    {
        let mut world = stage.world();
        world.subnets.clear();
        world.denied = vec!["ec2:RunInstances"];
    }
    let before = stage.record();
    let answer = stage
        .dry_run(json!({"instanceType": "t9.mega"}))
        .await
        .unwrap();
    assert_eq!(answer["migrationId"], "mig-dry");
    assert_eq!(answer["plan"]["switch"], true);
    let told: Vec<_> = answer["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|finding| finding["code"].as_str().unwrap())
        .collect();
    assert_eq!(
        told,
        [
            "SUBNET_NOT_FOUND",
            "INSTANCE_TYPE_UNKNOWN",
            "PERMISSION_MISSING"
        ]
    );
    assert_eq!(stage.record(), before);
    let world = stage.world();
    assert!(world.events.is_empty());
    let writes = ["TransactWriteItems", "PutEvents"];
    assert!(!world.calls.iter().any(|call| writes.contains(call)));
}

#[tokio::test]
async fn a_dry_run_tells_what_the_queue_would_say_of_an_id_that_is_taken() {
    let taken = async |status: Status| {
        let stage = Stage::new(json!({}));
        stage.change_record(|record| record.status = status);
        let other = json!({"migrationId": "mig-12345", "owner": "somebody"});
        let answer = stage.dry_run(other).await.unwrap();
        answer["findings"][0]["code"].as_str().map(str::to_owned)
    };
    assert_eq!(
        taken(Status::Testing).await.as_deref(),
        Some("MIGRATION_ACTIVE")
    );
    assert_eq!(
        taken(Status::Frozen).await.as_deref(),
        Some("MIGRATION_FROZEN")
    );
    assert_eq!(taken(Status::Failed).await, None);
}

#[tokio::test]
async fn a_dry_run_of_no_request_says_what_is_wrong_with_it() {
    let stage = Stage::new(json!({}));
    let error = stage.dry_run(json!({"subnet": "x"})).await.unwrap_err();
    assert_eq!(error.name, ErrorName::ValidationError);
    assert!(error.message.contains("unknown field `subnet`"), "{error}");
}
