//! The target's instance profile.

use aws_sdk_iam::Client;
use aws_sdk_iam::operation::get_instance_profile::GetInstanceProfileError;
use landfall_common::aws_error::stage_error;
use landfall_domain::{ErrorName, StageError};

/// An instance profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// The ARNs of its roles: one, or none where nobody gave it any.
    pub roles: Vec<String>,
}

/// Reads it; `None` when the request names none, or there is no such profile.
pub(super) async fn profile(
    iam: &Client,
    name: Option<&str>,
) -> Result<Option<Profile>, StageError> {
    let Some(name) = name else { return Ok(None) };
    match iam
        .get_instance_profile()
        .instance_profile_name(name)
        .send()
        .await
    {
        Ok(answer) => Ok(answer.instance_profile().map(|profile| Profile {
            roles: profile
                .roles()
                .iter()
                .map(|role| role.arn().to_owned())
                .collect(),
        })),
        Err(error)
            if error
                .as_service_error()
                .is_some_and(GetInstanceProfileError::is_no_such_entity_exception) =>
        {
            Ok(None)
        }
        Err(error) => Err(stage_error(
            &error,
            ErrorName::PrerequisiteError,
            "iam:GetInstanceProfile",
        )),
    }
}
