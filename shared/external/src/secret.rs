//! Secrets of other systems, as AWS Secrets Manager keeps them.

use aws_sdk_secretsmanager::Client as Secrets;
use landfall_common::AwsResultExt as _;
use landfall_domain::{ErrorName, StageError};

/// A secret's text, empty where it has none. `field` says where the secret is named: a variable, or a member of the request.
///
/// # Errors
/// One that cannot be read, by its name and that place; never by what it holds.
pub(crate) async fn text(
    secrets: &Secrets,
    id: &str,
    field: &str,
    refusal: ErrorName,
) -> Result<String, StageError> {
    let answer = secrets
        .get_secret_value()
        .secret_id(id)
        .send()
        .await
        .or_stage(refusal, "secretsmanager:GetSecretValue")
        .map_err(|mut error| {
            error.message = format!(
                "the secret {id:?} in {field} cannot be read: {}",
                error.message
            );
            error
        })?;
    Ok(answer.secret_string.unwrap_or_default())
}
