//! What is read of a server's launch settings, against MGN, EC2 and KMS in memory.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use aws_sdk_ec2::operation::describe_launch_template_versions as versions;
use aws_sdk_ec2::types::{LaunchTemplateVersion, ResponseLaunchTemplateData};
use aws_sdk_kms::operation::describe_key;
use aws_sdk_kms::types::{KeyMetadata, KeySpec, KeyState, KeyUsageType};
use aws_sdk_mgn::operation::{
    get_launch_configuration as launch, get_replication_configuration as replication,
};
use aws_sdk_mgn::types::{
    ReplicationConfigurationEbsEncryption as EbsEncryption, ReplicationConfigurationReplicatedDisk,
};
use aws_smithy_mocks::{RuleMode, mock, mock_client};
use landfall_domain::ErrorName;
use landfall_launch::{Key, Present, key, present};
use landfall_mgn::Mgn;

const FAULT: ErrorName = ErrorName::PrerequisiteError;
const SERVER: &str = "s-00000000000000001";

/// MGN with a server whose key is this one, and whose template that one.
fn mgn(key: Option<&str>, template: Option<&str>) -> Mgn {
    let template = template.map(str::to_owned);
    let launch = mock!(aws_sdk_mgn::Client::get_launch_configuration)
        .match_requests(|input| input.source_server_id() == Some(SERVER))
        .then_output(move || {
            launch::GetLaunchConfigurationOutput::builder()
                .set_ec2_launch_template_id(template.clone())
                .target_instance_type_right_sizing_method("BASIC".into())
                .copy_private_ip(true)
                .build()
        });
    let key = key.map(str::to_owned);
    let replication =
        mock!(aws_sdk_mgn::Client::get_replication_configuration).then_output(move || {
            let disk = ReplicationConfigurationReplicatedDisk::builder()
                .device_name("/dev/sda")
                .is_boot_disk(true)
                .build();
            let encryption = if key.is_some() {
                EbsEncryption::Custom
            } else {
                EbsEncryption::Default
            };
            replication::GetReplicationConfigurationOutput::builder()
                .ebs_encryption(encryption)
                .ebs_encryption_key_arn(key.as_deref().unwrap_or("arn:left"))
                .replicated_disks(disk)
                .build()
        });
    Mgn::with_client(mock_client!(
        aws_sdk_mgn,
        RuleMode::MatchAny,
        [&launch, &replication]
    ))
}

fn version(number: i64, default: bool, description: &str) -> LaunchTemplateVersion {
    LaunchTemplateVersion::builder()
        .version_number(number)
        .default_version(default)
        .version_description(description)
        .launch_template_data(
            ResponseLaunchTemplateData::builder()
                .instance_type("c5.large".into())
                .build(),
        )
        .build()
}

fn ec2(all: Vec<LaunchTemplateVersion>) -> aws_sdk_ec2::Client {
    let rule =
        mock!(aws_sdk_ec2::Client::describe_launch_template_versions).then_output(move || {
            versions::DescribeLaunchTemplateVersionsOutput::builder()
                .set_launch_template_versions(Some(all.clone()))
                .build()
        });
    mock_client!(aws_sdk_ec2, RuleMode::MatchAny, [&rule])
}

async fn read(all: Vec<LaunchTemplateVersion>) -> Result<Present, landfall_domain::StageError> {
    present(&ec2(all), &mgn(None, Some("lt-1")), SERVER, FAULT).await
}

#[tokio::test]
async fn the_default_version_counts_and_mgn_s_own_part() {
    let found = read(vec![version(3, false, "new"), version(2, true, "old")])
        .await
        .unwrap();
    assert_eq!((found.template_id.as_str(), found.version), ("lt-1", 2));
    assert_eq!(found.settings.right_sizing, "BASIC");
    assert!(found.settings.copy_private_ip);
    assert_eq!(found.settings.instance_type, None, "MGN chooses");
    assert_eq!(found.settings.encryption_key, None, "the ARN is out of use");
    assert!(found.devices["/dev/sda"].boot);
    assert_eq!(found.made_before("new"), Some(3));
    assert_eq!(found.made_before("old"), None);
    let key = Some("arn:own");
    let mgn = mgn(key, Some("lt-1"));
    let found = present(&ec2(vec![version(1, true, "x")]), &mgn, SERVER, FAULT).await;
    let found = found.unwrap();
    assert_eq!(found.settings.encryption_key.as_deref(), key);
    assert_eq!(found.made_before("x"), None, "the default is no news");
}

#[tokio::test]
async fn a_server_without_a_template_is_told() {
    let ec2_without = ec2(vec![]);
    let error = present(&ec2_without, &mgn(None, None), SERVER, FAULT).await;
    let error = error.unwrap_err();
    assert_eq!(error.name, ErrorName::DependencyUnavailable);
    assert!(
        error.message.contains("names no launch template"),
        "{error}"
    );
    let error = read(vec![version(1, false, "")]).await.unwrap_err();
    assert!(error.message.contains("no default version"), "{error}");
}

/// KMS with one key.
fn kms(state: KeyState, usage: KeyUsageType, spec: KeySpec) -> aws_sdk_kms::Client {
    let rule = mock!(aws_sdk_kms::Client::describe_key).then_output(move || {
        let metadata = KeyMetadata::builder()
            .key_id("1234")
            .arn("arn:aws:kms:eu-central-1:123456789012:key/1234")
            .key_state(state.clone())
            .key_usage(usage.clone())
            .key_spec(spec.clone())
            .build()
            .unwrap();
        describe_key::DescribeKeyOutput::builder()
            .key_metadata(metadata)
            .build()
    });
    mock_client!(aws_sdk_kms, RuleMode::MatchAny, [&rule])
}

#[tokio::test]
async fn a_key_must_be_one_that_ebs_can_encrypt_with() {
    use {KeySpec as Spec, KeyState as State, KeyUsageType as Usage};
    let (usage, spec) = (Usage::EncryptDecrypt, Spec::SymmetricDefault);
    let good = kms(State::Enabled, usage.clone(), spec.clone());
    let arn = key(&good, "alias/volumes", FAULT).await.unwrap();
    let arn = arn.into_arn(FAULT).unwrap();
    assert_eq!(arn, "arn:aws:kms:eu-central-1:123456789012:key/1234");
    for (state, usage, spec, said) in [
        (State::Disabled, usage.clone(), spec.clone(), "Disabled"),
        (
            State::PendingDeletion,
            usage.clone(),
            spec.clone(),
            "PendingDeletion",
        ),
        (State::Enabled, Usage::SignVerify, spec, "SIGN_VERIFY"),
        (State::Enabled, usage, Spec::Rsa2048, "RSA_2048"),
    ] {
        let found = key(&kms(state, usage, spec), "alias/volumes", FAULT).await;
        let Key::Unusable(finding) = found.unwrap() else {
            panic!("{said} is usable")
        };
        assert_eq!(finding.code, "KMS_KEY_NOT_USABLE");
        assert_eq!(finding.pointer, "/kmsKeyId");
        assert_eq!(finding.found, said);
    }
}

#[tokio::test]
async fn a_key_that_is_of_no_use_is_a_finding_and_a_failure_an_error() {
    let refused = |code: &'static str| {
        let rule = mock!(aws_sdk_kms::Client::describe_key).then_error(move || {
            let meta = aws_sdk_kms::error::ErrorMetadata::builder()
                .code(code)
                .message("as the test says")
                .build();
            describe_key::DescribeKeyError::generic(meta)
        });
        mock_client!(aws_sdk_kms, RuleMode::MatchAny, [&rule])
    };
    for code in ["NotFoundException", "InvalidArnException"] {
        let found = key(&refused(code), "alias/none", FAULT).await.unwrap();
        let error = found.into_arn(FAULT).unwrap_err();
        assert_eq!(error.findings[0].code, "KMS_KEY_NOT_FOUND", "{code}");
        assert!(error.message.contains("alias/none"), "{error}");
    }
    // A key that nobody lets us look at is of no use either, and does not hide what else is wrong.
    let denied = key(&refused("AccessDeniedException"), "alias/x", FAULT).await;
    let error = denied.unwrap().into_arn(FAULT).unwrap_err();
    assert_eq!(error.findings[0].code, "KMS_KEY_NOT_USABLE");
    let error = key(&refused("InvalidRequest"), "alias/x", FAULT).await;
    assert_eq!(error.unwrap_err().name, FAULT);
    let error = key(&refused("ThrottlingException"), "alias/x", FAULT).await;
    assert_eq!(error.unwrap_err().name, ErrorName::Throttled);
}
