//! What a target is launched with: the EC2 launch template, and the key of the replication.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

use jiff::Timestamp;
use landfall_domain::{EventType, MigrationRecord, Status};
use landfall_e2e::poll::{DEADLINE, poll_for};
use landfall_e2e::raw::{element, simulated_ec2 as ec2};
use landfall_e2e::source::{SUBNET, Source, address, seed};
use landfall_e2e::{Migration, Stack, unique};
use serde_json::{Value, json};

/// The versions of a server's launch template, the default one first; the others in any order.
async fn versions(migration: &Migration) -> Vec<String> {
    let template = migration.server().await["template_id"].clone();
    let template = template.as_str().expect("a launch template");
    let query = format!("Action=DescribeLaunchTemplateVersions&LaunchTemplateId={template}");
    let text = ec2(&migration.stack, &query).await;
    // Each answer has an ID of its own behind what it says.
    let (text, _) = text.split_once("<requestId>").unwrap_or((&text, ""));
    let mut all: Vec<String> = text
        .split("<versionNumber>")
        .skip(1)
        .map(str::to_owned)
        .collect();
    all.sort_by_key(|version| element(version, "defaultVersion") != Some("true"));
    all
}

/// The end of an attempt.
async fn ended(migration: &Migration, attempt: u32) -> MigrationRecord {
    let what = format!("the end of attempt {attempt} of {}", migration.key);
    // No event tells the end of a resync: the sweep's schedule finds it.
    poll_for(2 * DEADLINE, &what, async || {
        match migration.record().await {
            Some(record) if record.attempt == attempt && record.status.is_end() => Ok(record),
            other => Err(format!("{:?}", other.map(|it| (it.attempt, it.status)))),
        }
    })
    .await
}

#[tokio::test]
async fn a_template_has_what_the_request_says_and_is_left_alone_the_second_time() {
    let (stack, run) = (Stack::load().await, unique());
    let address = address(&stack, &run).await;
    let source = Source::new(&stack, &run, "settings")
        .machine(
            "disks",
            json!([
                {"deviceName": "/dev/xvda", "bytes": 8_589_934_592_u64},
                {"deviceName": "/dev/xvdb", "bytes": 214_748_364_800_u64},
            ]),
        )
        .request("steps", json!(["replicate", "validate"]))
        .request("privateIp", address.as_str())
        .request(
            "disks",
            json!([
                {"deviceName": "/dev/xvda", "volumeType": "gp3", "iops": 4_000, "throughput": 250},
                {"deviceName": "/dev/xvdb", "volumeType": "st1"},
            ]),
        );
    let migration = Migration::new(&stack, source.id());
    stack.seed(&seed([&source])).await;
    stack.submit(&[source.message()]).await;
    let first = migration.ended().await;
    assert_eq!((first.status, &first.failure), (Status::Succeeded, &None));

    let made = versions(&migration).await;
    assert_eq!(made.len(), 2);
    let version = &made[0];
    assert_eq!(element(version, "instanceType"), Some("t3.small"));
    assert_eq!(element(version, "subnetId"), Some(SUBNET));
    assert_eq!(element(version, "groupId"), Some("sg-0a1b2c3d"));
    assert_eq!(element(version, "privateIpAddress"), Some(address.as_str()));
    assert_eq!(element(version, "httpTokens"), Some("required"));
    let volumes = element(version, "blockDeviceMappingSet").expect("volumes");
    let (boot, data) = volumes.split_once("/dev/xvdb").expect("two volumes");
    for (member, expected) in [
        ("deviceName", "/dev/xvda"),
        ("volumeType", "gp3"),
        ("iops", "4000"),
        ("throughput", "250"),
        ("volumeSize", "8"),
    ] {
        assert_eq!(element(boot, member), Some(expected), "{member}");
    }
    assert_eq!(element(data, "volumeType"), Some("st1"));
    assert_eq!(element(data, "volumeSize"), Some("200"));
    assert_eq!(element(data, "iops"), None);
    let tags = element(version, "tagSpecificationSet").expect("tags");
    assert!(tags.contains("<value>e2e</value>"), "{tags}");
    assert!(tags.contains(source.id()), "{tags}");
    let configuration = migration.server().await["launch_configuration"].clone();
    assert_eq!(
        configuration["targetInstanceTypeRightSizingMethod"], "NONE",
        "{configuration}"
    );

    let digest = first.done.settings_digest.expect("a digest");
    let evidence = first.test_evidence.expect("a test that passed");
    assert_eq!(evidence.effective_digest.as_ref(), Some(&digest));

    migration.states("SUCCEEDED").await;
    let again = source.request("owner", "somebody@example.com");
    stack.submit(&[again.message()]).await;
    let second = ended(&migration, 2).await;
    assert_eq!((second.status, &second.failure), (Status::Succeeded, &None));
    assert_eq!(versions(&migration).await, made);
    assert_eq!(second.done.launch_template, None);
    assert_eq!(second.done.settings_digest, Some(digest));
}

/// A new key in KMS: its ARN.
async fn new_key(stack: &Stack) -> String {
    let region = &stack.info.region;
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential=test/20260101/{region}/kms/aws4_request, SignedHeaders=host, Signature=x"
    );
    let request = reqwest::Client::new()
        .post(&stack.info.ministack_url)
        .header("authorization", authorization)
        .header("x-amz-target", "TrentService.CreateKey")
        .header("content-type", "application/x-amz-json-1.1")
        .body("{}");
    let answer = request.send().await.expect("KMS");
    let answer: Value = answer.json().await.expect("KMS speaks JSON");
    let arn = answer["KeyMetadata"]["Arn"].as_str();
    arn.unwrap_or_else(|| panic!("no key: {answer}")).to_owned()
}

#[tokio::test]
async fn another_key_is_refused_then_allowed_and_waited_for() {
    let (stack, run) = (Stack::load().await, unique());
    let key = new_key(&stack).await;
    let source = Source::new(&stack, &run, "key")
        .machine("agentInstalled", true)
        .machine("replicated", true)
        .request("steps", json!(["replicate"]))
        .request("kmsKeyId", key.as_str());
    let migration = Migration::new(&stack, source.id());
    stack.seed(&seed([&source])).await;
    stack.submit(&[source.message()]).await;
    let first = migration.ended().await;
    // Cloud Migration Factory may have been told, and is told again.
    assert!(
        matches!(first.status, Status::Failed | Status::RolledBack),
        "{}",
        first.status
    );
    let failure = first.failure.expect("a failure");
    let finding = failure.findings.first().expect("a finding");
    assert_eq!(finding.code, "KMS_CHANGE_FORCES_RESYNC", "{failure:?}");
    assert_eq!(finding.pointer, "/kmsKeyId");
    assert!(finding.remedy.contains("allowResync"), "{finding:?}");
    assert_eq!(first.done.encryption_key, None);

    migration.states("FAILED").await;
    let allowed = source.request("policy", json!({"allowResync": true}));
    stack.submit(&[allowed.message()]).await;
    let second = ended(&migration, 2).await;
    assert_eq!((second.status, &second.failure), (Status::Succeeded, &None));
    let change = second.done.encryption_key.expect("the change is noted");
    assert_eq!((change.previous, &change.key), (None, &key));
    let replication = migration.server().await["replication_configuration"].clone();
    assert_eq!(replication["ebsEncryption"], "CUSTOM", "{replication}");
    assert_eq!(replication["ebsEncryptionKeyArn"], key, "{replication}");

    // Ready is what was copied after the change.
    let history = migration.history().await;
    let of = |event| history.iter().find(|entry| entry.event_type == event);
    let restarted = of(EventType::ResyncStarted).expect("the history tells of it");
    let evidence = restarted.detail.evidence.clone().unwrap_or_default();
    assert_eq!(evidence["to"], key);
    let healthy = of(EventType::ReplicationHealthy).expect("it is awaited");
    let evidence = healthy.detail.evidence.clone().unwrap_or_default();
    let time = |text: &str| text.parse::<Timestamp>().expect("a time");
    let snapshot = time(evidence["lastSnapshot"].as_str().expect("a snapshot"));
    assert!(snapshot > time(&change.changed_at), "{evidence}");
}
