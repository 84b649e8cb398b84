//! The function as a whole, against AWS in memory.
#![allow(
    clippy::unwrap_used,
    reason = "a helper of a test fails as the test does"
)]

mod world;

use aws_sdk_ec2::types::NetworkInterface;
use aws_sdk_mgn::types::SourceServer;
use landfall_domain::{ErrorName, StageError, Status};
use serde_json::json;
use world::{Stage, group, item, record};

fn codes(error: &StageError) -> Vec<&str> {
    error.findings.iter().map(|f| f.code.as_str()).collect()
}

#[tokio::test]
async fn the_canonical_message_passes_and_its_plan_comes_back() {
    let stage = Stage::new(json!({}));
    let plan = stage.run().await.unwrap();
    assert_eq!(
        plan,
        json!({"replicate": true, "validate": true, "switch": true, "soakSeconds": 0})
    );
    let record = stage.record();
    assert_eq!(record.status, Status::Validating);
    assert_eq!(record.failure, None);
    assert_eq!(stage.event_types(), ["ValidationPassed"]);
    // One call for each thing that must be known, and none for what the request does not say.
    let mut calls = stage.world().calls.clone();
    calls.sort_unstable();
    assert_eq!(
        calls,
        [
            "DescribeInstanceTypeOfferings",
            "DescribeJobs",
            "DescribeReplicationConfigurationTemplates",
            "DescribeSecurityGroups",
            "DescribeSourceServers",
            "DescribeSubnets",
            "GetItem",
            "PutEvents",
            "Query",
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
        "account": {"id": "123456789012", "region": "us-east-1"},
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
        world.others = vec![item(&{
            let mut earlier = record("mig-1", json!({}));
            earlier.created_at = "2026-11-20T00:00:00Z".into();
            earlier
        })];
    }
    let error = stage.run().await.unwrap_err();
    assert_eq!(error.name, ErrorName::ValidationError);
    assert_eq!(
        codes(&error),
        [
            "FEATURE_NOT_AVAILABLE",
            "SECURITY_GROUP_WRONG_VPC",
            "SECURITY_GROUP_NOT_FOUND",
            "IP_IN_USE",
            "INSTANCE_TYPE_UNKNOWN",
            "ALREADY_MIGRATING",
            "MGN_NOT_INITIALIZED",
            "SOURCE_ENDPOINT_FORBIDDEN",
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
    assert_eq!(detail["reasonCode"], "FEATURE_NOT_AVAILABLE");
    assert_eq!(
        detail["evidence"]["findings"].as_array().unwrap().len(),
        error.findings.len()
    );
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
async fn each_call_may_fail_once() {
    let calls = [
        ("GetItem", ErrorName::InternalError),
        ("Query", ErrorName::InternalError),
        ("DescribeSubnets", ErrorName::PrerequisiteError),
        ("DescribeSecurityGroups", ErrorName::PrerequisiteError),
        (
            "DescribeInstanceTypeOfferings",
            ErrorName::PrerequisiteError,
        ),
        ("DescribeNetworkInterfaces", ErrorName::PrerequisiteError),
        (
            "DescribeReplicationConfigurationTemplates",
            ErrorName::PrerequisiteError,
        ),
        ("DescribeSourceServers", ErrorName::PrerequisiteError),
        ("DescribeJobs", ErrorName::MigrationExecutionError),
        ("TransactWriteItems", ErrorName::InternalError),
        ("PutEvents", ErrorName::InternalError),
    ];
    for (call, name) in calls {
        let stage = Stage::new(json!({"privateIp": "10.0.1.10"}));
        stage.world().failing = Some(call);
        let error = stage.run().await.unwrap_err();
        assert_eq!(error.name, name, "{call}: {error}");
        assert!(error.message.contains(call), "{error}");
        stage.world().failing = None;
        stage.run().await.unwrap();
        assert_eq!(stage.record().status, Status::Validating, "{call}");
    }
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
