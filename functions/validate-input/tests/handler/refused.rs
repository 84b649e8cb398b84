//! A call that is refused hides nothing but what rests on it; one that fails for a while is tried again.

use std::collections::BTreeSet;

use aws_sdk_ec2::types::NetworkInterface;
use aws_sdk_mgn::types::{
    DataReplicationInfo, Job, JobStatus, LifeCycle, ParticipatingServer, SourceServer,
};
use landfall_domain::{ErrorName, Status};
use serde_json::{Value, json};

use crate::world::{Stage, group};

fn server(lifecycle: &str) -> SourceServer {
    let replication = DataReplicationInfo::builder().data_replication_state("CONTINUOUS".into());
    SourceServer::builder()
        .source_server_id("s-1")
        .user_provided_id("vm-123456")
        .life_cycle(LifeCycle::builder().state(lifecycle.into()).build())
        .data_replication_info(replication.build())
        .build()
}

/// A world in which everything is wrong that a call can tell.
fn wrong() -> Stage {
    let stage = Stage::new(json!({
        "privateIp": "10.0.1.10", "securityGroupIds": ["sg-0a1b2c3d", "sg-ffffffff"], "instanceType": "t9.mega",
        "instanceProfile": "none-such", "kmsKeyId": "none-such",
    }));
    {
        let mut world = stage.world();
        world.groups = vec![group("sg-0a1b2c3d", "vpc-2")];
        world.offerings.clear();
        world.interfaces = vec![
            NetworkInterface::builder()
                .network_interface_id("eni-1")
                .subnet_id("subnet-0a1b2c3d")
                .private_ip_address("10.0.1.10")
                .build(),
        ];
        world.denied = vec!["ec2:RunInstances"];
        world.servers = vec![server("CUTOVER")];
        let participant = ParticipatingServer::builder().source_server_id("s-1");
        world.jobs = vec![
            Job::builder()
                .job_id("mgnjob-1")
                .status(JobStatus::Started)
                .participating_servers(participant.build().unwrap())
                .build()
                .unwrap(),
        ];
    }
    stage
}

/// What is told, by code and pointer.
async fn told(stage: &Stage) -> BTreeSet<(String, String)> {
    let answer = stage.dry_run(json!({})).await.unwrap();
    let findings = answer["findings"].as_array().unwrap();
    let text =
        |finding: &Value, member: &str| finding[member].as_str().unwrap_or_default().to_owned();
    findings
        .iter()
        .map(|it| (text(it, "code"), text(it, "pointer")))
        .collect()
}

#[tokio::test]
async fn one_refused_read_hides_only_what_rests_on_it() {
    let all = told(&wrong()).await;
    assert_eq!(all.len(), 9, "{all:?}");
    let refused = Some("READ_REFUSED");
    let table: [(&str, &[&str], Option<&str>, &str); 11] = [
        (
            "DescribeSubnets",
            &["SECURITY_GROUP_WRONG_VPC", "IP_IN_USE"],
            refused,
            "/subnetId",
        ),
        (
            "DescribeSecurityGroups",
            &["SECURITY_GROUP_WRONG_VPC", "SECURITY_GROUP_NOT_FOUND"],
            refused,
            "/securityGroupIds",
        ),
        (
            "DescribeInstanceTypeOfferings",
            &["INSTANCE_TYPE_UNKNOWN"],
            refused,
            "/instanceType",
        ),
        (
            "DescribeNetworkInterfaces",
            &["IP_IN_USE"],
            refused,
            "/privateIp",
        ),
        (
            "GetInstanceProfile",
            &["IAM_PROFILE_NOT_FOUND"],
            refused,
            "/instanceProfile",
        ),
        (
            "DescribeKey",
            &["KMS_KEY_NOT_FOUND"],
            Some("KMS_KEY_NOT_USABLE"),
            "/kmsKeyId",
        ),
        (
            "SimulatePrincipalPolicy",
            &["PERMISSION_MISSING"],
            Some("PERMISSIONS_NOT_PROVEN"),
            "",
        ),
        (
            "DescribeReplicationConfigurationTemplates",
            &[],
            refused,
            "",
        ),
        (
            "DescribeSourceServers",
            &["LIFECYCLE_NOT_ALLOWED", "ACTIVE_JOB_EXISTS", "IP_IN_USE"],
            refused,
            "/sourceVmId",
        ),
        (
            "DescribeJobs",
            &["ACTIVE_JOB_EXISTS"],
            refused,
            "/sourceVmId",
        ),
        ("ListServiceQuotas", &[], None, ""),
    ];
    for (call, hidden, instead, pointer) in table {
        let stage = wrong();
        stage.world().failing = Some(call);
        let mut expected = all.clone();
        expected.retain(|(code, _)| !hidden.contains(&code.as_str()));
        assert_eq!(expected.len(), all.len() - hidden.len(), "{call}");
        expected.extend(instead.map(|code| (code.to_owned(), pointer.to_owned())));
        assert_eq!(told(&stage).await, expected, "{call}");
        assert!(stage.world().calls.contains(&call), "{call} is not made");
    }
}

#[tokio::test]
async fn the_launch_settings_and_the_default_key_are_facts_like_others() {
    for call in [
        "GetLaunchConfiguration",
        "GetReplicationConfiguration",
        "DescribeLaunchTemplateVersions",
    ] {
        let disks = json!([{"deviceName": "/dev/xvda", "volumeType": "st1"}]);
        let stage = Stage::new(json!({ "disks": disks }));
        stage.world().servers = vec![server("READY_FOR_TEST")];
        stage.world().offerings.clear();
        let pair = |code: &str, pointer: &str| (code.to_owned(), pointer.to_owned());
        let unknown = pair("INSTANCE_TYPE_UNKNOWN", "/instanceType");
        let bootable = pair("DISK_NOT_BOOTABLE", "/disks/0/volumeType");
        assert_eq!(told(&stage).await, [bootable, unknown.clone()].into());
        stage.world().failing = Some(call);
        let refused = pair("READ_REFUSED", "/sourceVmId");
        assert_eq!(told(&stage).await, [unknown, refused].into(), "{call}");
    }
    for call in ["GetEbsEncryptionByDefault", "GetEbsDefaultKmsKeyId"] {
        let stage = Stage::new(json!({}));
        stage.world().ebs_key = Some("key-1".into());
        stage.world().failing = Some(call);
        let refused = ("READ_REFUSED".to_owned(), String::new());
        assert_eq!(told(&stage).await, [refused].into(), "{call}");
    }
}

#[tokio::test]
async fn a_refusal_stops_the_migration_and_names_the_call() {
    let stage = Stage::new(json!({}));
    stage.world().failing = Some("DescribeSubnets");
    let error = stage.run().await.unwrap_err();
    assert_eq!(error.name, ErrorName::ValidationError);
    let [finding] = error.findings.as_slice() else {
        panic!("{:?}", error.findings);
    };
    assert_eq!(finding.code, "READ_REFUSED");
    for part in [
        "ec2:DescribeSubnets",
        "AccessDenied",
        "not allowed",
        "its VPC",
    ] {
        assert!(finding.message.contains(part), "{finding:?}");
    }
    assert!(finding.remedy.contains("own role"), "{finding:?}");
    stage.world().failing = None;
    stage.run().await.unwrap();
    assert_eq!(stage.record().failure, None);
}

#[tokio::test]
async fn each_call_may_fail_for_a_while() {
    for call in [
        "GetItem",
        "DescribeSubnets",
        "DescribeSecurityGroups",
        "DescribeInstanceTypeOfferings",
        "DescribeNetworkInterfaces",
        "DescribeReplicationConfigurationTemplates",
        "DescribeSourceServers",
        "DescribeJobs",
        "DescribeKey",
        "GetEbsEncryptionByDefault",
        "GetEbsDefaultKmsKeyId",
        "GetInstanceProfile",
        "TransactWriteItems",
        "PutEvents",
    ] {
        let stage = Stage::new(json!({"privateIp": "10.0.1.10", "instanceProfile": "app"}));
        {
            let mut world = stage.world();
            world.profiles.insert("app".into(), true);
            world.keys.insert("key-1".into(), "Enabled");
            world.ebs_key = Some("key-1".into());
            world.failing = Some(call);
            world.failing_code = "ServiceUnavailable";
        }
        let error = stage.run().await.unwrap_err();
        assert_eq!(
            error.name,
            ErrorName::DependencyUnavailable,
            "{call}: {error}"
        );
        assert!(error.message.contains(call), "{error}");
        stage.world().failing = None;
        stage.run().await.unwrap();
        assert_eq!(stage.record().status, Status::Validating, "{call}");
    }
}

#[tokio::test]
async fn the_deployment_s_own_table_and_bus_must_let_it_in() {
    for call in ["GetItem", "TransactWriteItems", "PutEvents"] {
        let stage = Stage::new(json!({}));
        stage.world().failing = Some(call);
        let error = stage.run().await.unwrap_err();
        assert_eq!(error.name, ErrorName::InternalError, "{call}: {error}");
        assert!(error.message.contains(call), "{error}");
    }
}
