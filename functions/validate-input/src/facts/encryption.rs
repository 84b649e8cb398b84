//! What EBS encrypts with when nobody says.

use landfall_common::AwsResultExt;
use landfall_domain::{ErrorName, StageError};
use landfall_launch::Key;

/// The account's defaults in the Region.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EbsDefault {
    /// The key and how it is named, unless it is AWS's own.
    pub key: Option<(String, Key)>,
}

/// Reads them.
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
    let key = match named {
        Some(id) => Some((id.to_owned(), landfall_launch::key(kms, id, name).await?)),
        None => None,
    };
    Ok(EbsDefault { key })
}
