//! The keys that the target's volumes will be encrypted with.

use landfall_common::AwsResultExt;
use landfall_common::aws_error::stage_error;
use landfall_domain::{ErrorName, StageError};

/// A KMS key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// As the request, or the account's setting, names it.
    pub named: String,
    /// Its ARN; absent when there is no such key.
    pub arn: Option<String>,
    /// Its `KeyState`, for example `Enabled`.
    pub state: String,
    /// Whether it encrypts with one symmetric key, as EBS needs.
    pub symmetric: bool,
}

/// What EBS encrypts with when nobody says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EbsDefault {
    /// Whether new volumes are encrypted.
    pub encrypts: bool,
    /// The key, unless it is AWS's own.
    pub key: Option<Key>,
}

/// Describes a key by ID, ARN or alias.
pub(super) async fn key(
    kms: &aws_sdk_kms::Client,
    named: Option<&str>,
) -> Result<Option<Key>, StageError> {
    let Some(named) = named else { return Ok(None) };
    let missing = || Key {
        named: named.to_owned(),
        arn: None,
        state: String::new(),
        symmetric: false,
    };
    let answer = match kms.describe_key().key_id(named).send().await {
        Ok(answer) => answer,
        Err(error)
            if error.as_service_error().is_some_and(|error| {
                error.is_not_found_exception() || error.is_invalid_arn_exception()
            }) =>
        {
            return Ok(Some(missing()));
        }
        Err(error) => {
            let name = ErrorName::PrerequisiteError;
            return Err(stage_error(&error, name, "kms:DescribeKey"));
        }
    };
    Ok(Some(answer.key_metadata().map_or_else(missing, |key| {
        Key {
            named: named.to_owned(),
            arn: key.arn().map(str::to_owned),
            state: key
                .key_state()
                .map_or("", aws_sdk_kms::types::KeyState::as_str)
                .to_owned(),
            symmetric: key
                .key_spec()
                .is_none_or(|spec| spec.as_str() == "SYMMETRIC_DEFAULT"),
        }
    })))
}

/// The account's defaults in the Region.
pub(super) async fn ebs_default(
    ec2: &aws_sdk_ec2::Client,
    kms: &aws_sdk_kms::Client,
) -> Result<EbsDefault, StageError> {
    let name = ErrorName::PrerequisiteError;
    let answer = ec2
        .get_ebs_encryption_by_default()
        .send()
        .await
        .or_stage(name, "ec2:GetEbsEncryptionByDefault")?;
    if answer.ebs_encryption_by_default() != Some(true) {
        return Ok(EbsDefault::default());
    }
    let answer = ec2
        .get_ebs_default_kms_key_id()
        .send()
        .await
        .or_stage(name, "ec2:GetEbsDefaultKmsKeyId")?;
    let named = answer
        .kms_key_id()
        .filter(|id| !id.ends_with("alias/aws/ebs"));
    Ok(EbsDefault {
        encrypts: true,
        key: key(kms, named).await?,
    })
}
