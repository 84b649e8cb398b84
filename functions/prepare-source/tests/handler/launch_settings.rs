//! The state `ConfigureLaunch` as a whole, against AWS in memory.

use crate::world::{Stage, key_arn, replicated};
use aws_sdk_ec2::types::{
    InstanceType, LaunchTemplateHttpTokensState,
    LaunchTemplateInstanceNetworkInterfaceSpecification, VolumeType,
};
use landfall_domain::record::TestEvidence;
use landfall_domain::{ErrorName, Status};
use serde_json::{Value, json};

/// What a run reads to know how things are.
const LOOK: [&str; 3] = [
    "GetLaunchConfiguration",
    "GetReplicationConfiguration",
    "DescribeLaunchTemplateVersions",
];

/// Everything that can be changed.
fn everything() -> Value {
    json!({
        "privateIp": "10.0.1.20", "instanceProfile": "web", "kmsKeyId": "alias/volumes",
        "disks": [
            {"deviceName": "/dev/sda", "volumeType": "gp3", "iops": 4_000, "throughput": 500},
            {"deviceName": "/dev/sdb", "volumeType": "io2", "iops": 200},
        ],
    })
}

/// A server that replicates with the key of the alias, and copies its source's address.
fn with_everything() -> Stage {
    let stage = replicated(everything());
    stage.world().encryption_key = Some(key_arn("volumes"));
    stage.world().copy_private_ip = true;
    stage
}

#[tokio::test]
async fn the_request_s_settings_become_the_default_version() {
    let stage = replicated(json!({}));
    let output = stage.configure().await.unwrap();
    let record = stage.record();
    let digest = record.done.settings_digest.unwrap();
    assert_eq!(output, json!({ "settingsDigest": digest }));
    assert_eq!(record.status, Status::ReadyForTest);
    let change = record.done.launch_template.unwrap();
    assert_eq!((change.previous_version, change.version), (1, 2));
    assert_eq!(change.template_id, "lt-00000000000000001");
    let world = stage.world();
    assert_eq!(world.default_version(), 2);
    let data = world.template();
    assert_eq!(data.instance_type(), Some(&InstanceType::T3Large));
    let interface = &data.network_interfaces()[0];
    assert_eq!(interface.subnet_id(), Some("subnet-0a1b2c3d"));
    assert_eq!(interface.groups(), ["sg-0a1b2c3d"]);
    let tokens = data.metadata_options().unwrap().http_tokens();
    assert_eq!(tokens, Some(&LaunchTemplateHttpTokensState::Required));
    let calls = [
        &["GetItem"],
        LOOK.as_slice(),
        &["TransactWriteItems", "UpdateLaunchConfiguration"],
        LOOK.as_slice(),
        &["CreateLaunchTemplateVersion", "TransactWriteItems"],
        &["ModifyLaunchTemplate"],
        LOOK.as_slice(),
        &["TransactWriteItems"],
    ];
    assert_eq!(world.calls, calls.concat());
}

#[tokio::test]
async fn everything_that_a_request_can_say_of_a_launch_is_set() {
    let stage = with_everything();
    stage.configure().await.unwrap();
    let record = stage.record();
    assert!(record.done.copied_private_ip);
    let world = stage.world();
    assert!(!world.copy_private_ip);
    let data = world.template();
    let interface = &data.network_interfaces()[0];
    assert_eq!(interface.private_ip_address(), Some("10.0.1.20"));
    assert_eq!(data.iam_instance_profile().unwrap().name(), Some("web"));
    let volumes: Vec<_> = data
        .block_device_mappings()
        .iter()
        .map(|mapping| {
            let volume = mapping.ebs().unwrap();
            let kind = volume.volume_type().unwrap().as_str();
            let name = mapping.device_name().unwrap();
            (name, kind, volume.iops(), volume.throughput())
        })
        .collect();
    let expected = [
        ("/dev/sda", "gp3", Some(4_000), Some(500)),
        ("/dev/sdb", "io2", Some(200), None),
    ];
    assert_eq!(volumes, expected);
}

#[tokio::test]
async fn a_second_run_finds_it_done() {
    for stage in [replicated(json!({})), with_everything()] {
        let first = stage.configure().await;
        stage.world().calls.clear();
        assert_eq!(first, stage.configure().await);
        let world = stage.world();
        assert_eq!(world.created.len(), 1);
        let mut changes = world.calls.clone();
        changes.retain(|call| !LOOK.contains(call) && !["GetItem", "DescribeKey"].contains(call));
        assert!(changes.is_empty(), "{changes:?}");
    }
}

#[tokio::test]
async fn a_template_that_has_it_all_by_hand_needs_no_version() {
    let stage = replicated(json!({}));
    stage.configure().await.unwrap();
    let digest = stage.record().done.settings_digest;
    // Another attempt, and somebody else's version with the same settings.
    stage.change_record(|record| record.done = landfall_domain::record::Done::default());
    stage.world().change_template(|_| {});
    stage.configure().await.unwrap();
    assert_eq!(stage.world().created.len(), 1);
    assert_eq!(stage.record().done.launch_template, None);
    assert_eq!(stage.record().done.settings_digest, digest);
}

#[tokio::test]
async fn what_was_changed_by_hand_is_set_again_where_the_request_says_so() {
    let stage = replicated(json!({}));
    stage.configure().await.unwrap();
    let first = stage.record().done.settings_digest;
    stage.world().change_template(|data| {
        data.instance_type = Some(InstanceType::M5Large);
        let mappings = data.block_device_mappings.as_mut().unwrap();
        mappings[0].ebs.as_mut().unwrap().volume_type = Some(VolumeType::Sc1);
    });
    stage.configure().await.unwrap();
    let world = stage.world();
    let data = world.template();
    assert_eq!(data.instance_type(), Some(&InstanceType::T3Large));
    let volume = data.block_device_mappings()[0].ebs().unwrap();
    assert_eq!(volume.volume_type(), Some(&VolumeType::Sc1));
    assert_eq!(world.default_version(), 4);
    let done = world.record().done;
    let change = done.launch_template.unwrap();
    assert_eq!((change.previous_version, change.version), (1, 4));
    assert_ne!(done.settings_digest, first, "the volume counts");
}

#[tokio::test]
async fn a_change_in_between_is_told_by_its_members_and_made_good() {
    let stage = replicated(json!({}));
    stage.world().meddler = Some(|world| {
        world.change_template(|data| data.instance_type = Some(InstanceType::M5Large));
    });
    let error = stage.configure().await.unwrap_err();
    assert_eq!(error.name, ErrorName::Conflict, "{error}");
    let said = r#"instanceType is "m5.large" and should be "t3.large""#;
    assert!(error.message.contains(said), "{error}");
    assert_eq!(stage.record().done.settings_digest, None);
    stage.configure().await.unwrap();
    let world = stage.world();
    assert_eq!(
        world.template().instance_type(),
        Some(&InstanceType::T3Large)
    );
    let change = world.record().done.launch_template.unwrap();
    assert_eq!((change.previous_version, change.version), (1, 4));
}

#[tokio::test]
async fn a_disk_that_is_not_there_is_named_and_nothing_is_changed() {
    let stage = replicated(json!({"disks": [
        {"deviceName": "/dev/sdz", "volumeType": "gp3"},
        {"deviceName": "/dev/sda", "volumeType": "st1"},
    ]}));
    let error = stage.configure().await.unwrap_err();
    assert_eq!(error.name, ErrorName::SourcePreparationError);
    let codes: Vec<_> = error.findings.iter().map(|f| f.code.as_str()).collect();
    let expected = [
        "DISK_NOT_FOUND",
        "DISK_NOT_BOOTABLE",
        "DISK_SIZE_NOT_ALLOWED",
    ];
    assert_eq!(codes, expected);
    let finding = &error.findings[0];
    assert!(finding.message.contains("/dev/sdz"), "{finding:?}");
    assert!(
        finding.message.contains("/dev/sda, /dev/sdb"),
        "{finding:?}"
    );
    // Nothing is done, and the record has the findings for whoever reads how it ended.
    let told = ["GetItem", "TransactWriteItems"];
    assert_eq!(stage.world().calls[1..], [LOOK.as_slice(), &told].concat());
    let failure = stage.record().failure.unwrap();
    assert_eq!(failure.findings, error.findings);
    assert!(failure.is(&error));
}

#[tokio::test]
async fn a_key_that_was_changed_since_is_not_changed_back_here() {
    let stage = with_everything();
    stage.world().encryption_key = Some(key_arn("another"));
    let error = stage.configure().await.unwrap_err();
    assert_eq!(error.name, ErrorName::SourcePreparationError);
    for arn in [key_arn("another"), key_arn("volumes")] {
        assert!(error.message.contains(&arn), "{error}");
    }
    assert!(stage.world().created.is_empty());
    assert_eq!(stage.world().count("UpdateReplicationConfiguration"), 0);
}

#[tokio::test]
async fn a_cutover_launches_what_was_tested_or_nothing() {
    // The settings are tested, and a later request cuts over without another test.
    let stage = replicated(json!({"steps": ["replicate", "validate"]}));
    stage.configure().await.unwrap();
    stage.change_record(|record| {
        record.test_evidence = Some(TestEvidence {
            settings_digest: record.request.launch_settings_digest().unwrap(),
            effective_digest: record.done.settings_digest.take(),
            verified_at: "2026-11-20T12:00:00Z".into(),
            job_id: "mgnjob-1".into(),
        });
        record.request.steps = vec![landfall_domain::request::Step::Switch];
    });
    stage.configure().await.unwrap();
    // What the request names would be set again; what it does not name is somebody's change.
    stage
        .world()
        .change_template(|data| data.instance_type = Some(InstanceType::M5Large));
    stage.configure().await.unwrap();
    stage.world().change_template(|data| {
        let mappings = data.block_device_mappings.as_mut().unwrap();
        mappings[0].ebs.as_mut().unwrap().volume_type = Some(VolumeType::Standard);
    });
    stage.world().calls.clear();
    let error = stage.configure().await.unwrap_err();
    assert_eq!(error.name, ErrorName::SourcePreparationError);
    assert_eq!(error.findings[0].code, "LAUNCH_SETTINGS_CHANGED_SINCE_TEST");
    assert_eq!(stage.world().calls[1..4], LOOK);
    assert_eq!(stage.world().default_version(), 5, "the one by hand");
}

#[tokio::test]
async fn mgn_s_own_settings_are_noted_before_they_are_changed_and_the_first_note_stays() {
    let stage = with_everything();
    // The note is written, and the change is refused.
    stage.world().failing = Some(("UpdateLaunchConfiguration", 1));
    stage.configure().await.unwrap_err();
    let done = stage.record().done;
    assert_eq!(done.right_sizing.as_deref(), Some("BASIC"));
    assert!(done.copied_private_ip);
    assert_eq!(stage.world().right_sizing, "BASIC");
    stage.configure().await.unwrap();
    stage.configure().await.unwrap();
    let done = stage.record().done;
    assert_eq!(done.right_sizing.as_deref(), Some("BASIC"));
    assert!(done.copied_private_ip);
    let world = stage.world();
    assert_eq!(
        (world.right_sizing.as_str(), world.copy_private_ip),
        ("NONE", false)
    );
    assert_eq!(world.count("UpdateLaunchConfiguration"), 3);
}

#[tokio::test]
async fn right_sizing_that_is_off_already_is_left_and_not_noted() {
    let stage = replicated(json!({}));
    stage.world().right_sizing = "NONE".into();
    stage.configure().await.unwrap();
    assert_eq!(stage.world().count("UpdateLaunchConfiguration"), 0);
    assert_eq!(stage.record().done.right_sizing, None);
}

#[tokio::test]
async fn without_an_instance_type_mgn_s_recommendation_stays() {
    let stage = replicated(json!({"instanceType": null}));
    stage.configure().await.unwrap();
    assert_eq!(stage.world().count("UpdateLaunchConfiguration"), 0);
    assert_eq!(stage.world().created[0].instance_type(), None);
    // MGN looks every hour, and may choose anew: no change of the settings.
    stage
        .world()
        .change_template(|data| data.instance_type = Some(InstanceType::C5Xlarge));
    stage.configure().await.unwrap();
    assert_eq!(stage.world().created.len(), 1);
}

#[tokio::test]
async fn whatever_call_fails_once_the_next_run_goes_on() {
    let calls = {
        let stage = with_everything();
        stage.configure().await.unwrap();
        stage.world().calls.clone()
    };
    assert!(calls.len() >= 18, "{calls:?}");
    for (index, call) in calls.iter().enumerate() {
        let nth = calls[..=index].iter().filter(|made| *made == call).count();
        for lost in [false, true] {
            let stage = with_everything();
            let what = format!("{call} {nth} lost={lost}");
            if lost {
                stage.world().losing = Some((call, nth));
            } else {
                stage.world().failing = Some((call, nth));
            }
            let error = stage.configure().await.unwrap_err();
            let own = ["GetItem", "TransactWriteItems"].contains(call);
            let name = match (lost, own) {
                (true, _) => ErrorName::DependencyUnavailable,
                (false, true) => ErrorName::InternalError,
                (false, false) => ErrorName::SourcePreparationError,
            };
            assert_eq!(error.name, name, "{what}: {error}");
            stage.configure().await.unwrap();
            // Whatever was lost, one version is made, and the way back is to what there was first.
            let world = stage.world();
            assert_eq!(world.created.len(), 1, "{what}");
            assert_eq!(world.default_version(), 2, "{what}");
            let done = world.record().done;
            let change = done.launch_template.unwrap();
            assert_eq!((change.previous_version, change.version), (1, 2), "{what}");
            assert_eq!(done.right_sizing.as_deref(), Some("BASIC"), "{what}");
            assert!(done.copied_private_ip, "{what}");
            assert!(done.settings_digest.is_some(), "{what}");
        }
    }
}

#[tokio::test]
async fn the_template_does_not_move_under_a_launch() {
    let stage = replicated(json!({}));
    stage.change_record(|record| {
        record.status = Status::Testing;
        record.done.settings_digest = Some("digest".into());
    });
    let output = stage.configure().await.unwrap();
    assert_eq!(output, json!({"settingsDigest": "digest"}));
    assert_eq!(stage.world().calls, ["GetItem"]);
}

#[tokio::test]
async fn a_server_must_be_known() {
    let stage = replicated(json!({}));
    stage.change_record(|record| record.source_server_id = None);
    let error = stage.configure().await.unwrap_err();
    assert_eq!(error.name, ErrorName::InternalError);
}

#[tokio::test]
async fn trap_an_interface_is_given_to_one_server_only() {
    let named = |stage: &Stage| {
        stage.world().change_template(|data| {
            let interface = LaunchTemplateInstanceNetworkInterfaceSpecification::builder()
                .device_index(0)
                .network_interface_id("eni-1")
                .build();
            data.network_interfaces = Some(vec![interface]);
        });
    };
    let first = replicated(json!({"subnetId": null, "securityGroupIds": []}));
    named(&first);
    first.configure().await.unwrap();
    assert_eq!(first.record().claims, ["CLAIM#INTERFACE#eni-1"]);
    first.configure().await.unwrap();
    let claims = first.world().claims.clone();

    // Another server, whose template names the same one.
    let second = replicated(json!({"subnetId": null, "securityGroupIds": []}));
    named(&second);
    second.world().claims = claims;
    second.change_record(|record| record.migration_id = "mig-2".into());
    let error = second.configure().await.unwrap_err();
    assert_eq!(error.findings[0].code, "INTERFACE_CLAIMED");
    assert!(error.message.contains("eni-1"), "{error}");
    assert!(second.world().created.is_empty(), "nothing is changed");
}
