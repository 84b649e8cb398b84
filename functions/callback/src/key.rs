//! The keys that sign.

use landfall_common::aws_error;
use landfall_domain::ErrorName;

use crate::Deps;

/// The signing secret, one key or several; else why there is none, in words for the operator. It is read for every
/// delivery: a key that was replaced signs nothing more.
pub(crate) async fn signing_secret(deps: &Deps) -> Result<String, String> {
    let answer = deps
        .secrets
        .get_secret_value()
        .secret_id(&deps.secret_id)
        .send()
        .await;
    match answer {
        Ok(secret) => Ok(secret.secret_string.unwrap_or_default()),
        // The deployment makes the secret without a value, so that no state file holds one. Secrets Manager
        // answers for such a secret as if it did not exist.
        Err(error) if aws_error::code(&error) == Some("ResourceNotFoundException") => Err(format!(
            "the callback signing secret has no value yet; put whsec_ and 32 random bytes in base64 into {}",
            deps.secret_id
        )),
        Err(error) => Err(aws_error::stage_error(
            &error,
            ErrorName::DependencyUnavailable,
            "secretsmanager:GetSecretValue",
        )
        .message),
    }
}
