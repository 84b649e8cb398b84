//! The KMS key that a request names.

use aws_sdk_kms::Client;
use aws_sdk_kms::types::{KeyMetadata, KeySpec, KeyState, KeyUsageType};
use landfall_common::aws_error::{code, stage_error};
use landfall_domain::{ErrorName, Finding, StageError};

/// What a key is good for.
#[derive(Clone, Debug, PartialEq)]
pub enum Key {
    /// EBS can encrypt with it: its ARN.
    Usable(String),
    /// EBS cannot, or there is none.
    Unusable(Box<Finding>),
}

impl Key {
    /// The key's ARN.
    ///
    /// # Errors
    /// With the given name and the finding where EBS cannot use the key.
    pub fn into_arn(self, name: ErrorName) -> Result<String, StageError> {
        match self {
            Self::Usable(arn) => Ok(arn),
            Self::Unusable(finding) => {
                Err(StageError::new(name, finding.message.clone()).findings(vec![*finding]))
            }
        }
    }
}

/// Looks a key up, by its ARN, its ID or an alias.
///
/// # Errors
/// With the given name where KMS refuses the look, or a transient error.
pub async fn key(kms: &Client, id: &str, name: ErrorName) -> Result<Key, StageError> {
    let answer = match kms.describe_key().key_id(id).send().await {
        Ok(answer) => answer,
        Err(error)
            if matches!(
                code(&error),
                Some("NotFoundException" | "InvalidArnException")
            ) =>
        {
            return Ok(unusable(
                "KMS_KEY_NOT_FOUND",
                id,
                "none",
                format!("there is no KMS key {id} in the target account and Region."),
            ));
        }
        // A key of another account whose own policy does not let us look.
        Err(error) if code(&error) == Some("AccessDeniedException") => {
            return Ok(unusable(
                "KMS_KEY_NOT_USABLE",
                id,
                "access denied",
                format!(
                    "the KMS key {id} may not be looked at: its policy or ours does not allow kms:DescribeKey."
                ),
            ));
        }
        Err(error) => return Err(stage_error(&error, name, "kms:DescribeKey")),
    };
    let metadata = answer.key_metadata();
    Ok(match metadata.and_then(|key| Some((key, key.arn()?))) {
        Some((key, arn)) => match flaw(key) {
            None => Key::Usable(arn.to_owned()),
            Some(flaw) => unusable(
                "KMS_KEY_NOT_USABLE",
                id,
                &flaw,
                format!("EBS cannot encrypt with the KMS key {id}: it is {flaw}."),
            ),
        },
        None => unusable(
            "KMS_KEY_NOT_FOUND",
            id,
            "none",
            format!("KMS names no ARN for the key {id}."),
        ),
    })
}

/// Why EBS cannot use a key: https://docs.aws.amazon.com/ebs/latest/userguide/ebs-encryption-requirements.html
fn flaw(key: &KeyMetadata) -> Option<String> {
    let state = key.key_state().filter(|state| **state != KeyState::Enabled);
    let usage = key
        .key_usage()
        .filter(|usage| **usage != KeyUsageType::EncryptDecrypt);
    let spec = key
        .key_spec()
        .filter(|spec| **spec != KeySpec::SymmetricDefault);
    state
        .map(KeyState::as_str)
        .or(usage.map(KeyUsageType::as_str))
        .or(spec.map(KeySpec::as_str))
        .map(str::to_owned)
}

fn unusable(code: &str, id: &str, found: &str, message: String) -> Key {
    let finding = Finding::blocking(code, "/kmsKeyId", message)
        .evidence(found, "an enabled symmetric key that encrypts")
        .remedy(format!(
            "Name another key than {id}, or leave kmsKeyId out."
        ));
    Key::Unusable(Box::new(finding))
}
