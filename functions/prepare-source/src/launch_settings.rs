//! The EC2 launch template that MGN launches the server's targets from.
//!
//! A version of a template never changes, so a default version that carries our mark has our settings. The
//! version before is noted before the default moves, so that a rollback can always move it back.

use aws_sdk_ec2::types::{LaunchTemplate, LaunchTemplateVersion};
use jiff::Timestamp;
use landfall_common::AwsResultExt;
use landfall_domain::record::LaunchTemplateChange;
use landfall_domain::{ErrorName, MigrationRecord, StageError, Status, digest};
use landfall_mgn::RIGHT_SIZING_OFF;
use serde_json::{Value, json};

use crate::{Deps, template};

/// The error name of everything that is refused here.
const FAULT: ErrorName = ErrorName::SourcePreparationError;

/// Makes the request's settings those of the default version.
pub(crate) async fn apply(
    deps: &Deps,
    mut record: MigrationRecord,
    now: Timestamp,
) -> Result<Value, StageError> {
    let settings = record
        .request
        .launch_settings_digest()
        .map_err(|error| StageError::new(ErrorName::InternalError, error.to_string()))?;
    let output = json!({ "settingsDigest": settings });
    if has_launched(record.status) {
        // A late second run: the template must not move under a launch.
        return Ok(output);
    }
    let server_id = record.source_server_id.as_deref().ok_or_else(|| {
        StageError::new(
            ErrorName::InternalError,
            "the launch settings were asked for before the MGN source server was known",
        )
    })?;
    let server_id = server_id.to_owned();
    let found = deps.mgn.launch_configuration(&server_id, FAULT).await?;
    let template_id = found
        .template_id
        .ok_or_else(|| fault(format!("MGN names no launch template for {server_id}")))?;
    let method = found.right_sizing.as_deref();
    if record.request.instance_type.is_some() && method != Some(RIGHT_SIZING_OFF) {
        record = note_right_sizing(deps, record, method, now).await?;
        // Before the template's versions are read: MGN may write one of its own when this changes.
        let mgn = &deps.mgn;
        mgn.set_right_sizing(&server_id, RIGHT_SIZING_OFF, FAULT)
            .await?;
    }
    let (default, latest) = versions(deps, &template_id).await?;
    let mark = template::mark(&settings, &record.migration_id);
    if template::carries(&default, &mark) {
        return Ok(output);
    }
    let previous = number(&default)?;
    let description = template::description(&mark, previous);
    let version = if latest.version_description() == Some(description.as_str()) {
        // An earlier run made it and did not live to make it the default.
        number(&latest)?
    } else {
        create(deps, &record, &template_id, &default, &description).await?
    };
    note(deps, record, &template_id, previous, version, now).await?;
    make_default(deps, &template_id, version).await?;
    Ok(output)
}

const fn has_launched(status: Status) -> bool {
    matches!(
        status,
        Status::Testing
            | Status::TestVerified
            | Status::CuttingOver
            | Status::CutoverVerified
            | Status::Soaking
            | Status::Finalizing
    )
}

/// The default version and the latest one, which may be the same.
async fn versions(
    deps: &Deps,
    template_id: &str,
) -> Result<(LaunchTemplateVersion, LaunchTemplateVersion), StageError> {
    let answer = deps
        .ec2
        .describe_launch_template_versions()
        .launch_template_id(template_id)
        .versions("$Default")
        .versions("$Latest")
        .send()
        .await
        .or_stage(FAULT, "ec2:DescribeLaunchTemplateVersions")?;
    let found = answer.launch_template_versions();
    let default = found
        .iter()
        .find(|version| version.default_version() == Some(true));
    let latest = found.iter().max_by_key(|version| version.version_number());
    match (default, latest) {
        (Some(default), Some(latest)) => Ok((default.clone(), latest.clone())),
        _ => Err(fault(format!(
            "launch template {template_id} has no default version"
        ))),
    }
}

async fn create(
    deps: &Deps,
    record: &MigrationRecord,
    template_id: &str,
    base: &LaunchTemplateVersion,
    description: &str,
) -> Result<i64, StageError> {
    let data = template::data(base.launch_template_data(), record).map_err(|problem| {
        fault(format!(
            "launch template {template_id} cannot take the launch settings: {problem}"
        ))
    })?;
    // The same for every run of this attempt: EC2 then answers a second call with the first one's version.
    let token = digest::of_json(&json!([record.tenant_id, record.attempt, description]))
        .map_err(|error| StageError::new(ErrorName::InternalError, error.to_string()))?;
    let answer = deps
        .ec2
        .create_launch_template_version()
        .launch_template_id(template_id)
        .source_version(number(base)?.to_string())
        .version_description(description)
        .launch_template_data(data)
        .client_token(token)
        .send()
        .await
        .or_stage(FAULT, "ec2:CreateLaunchTemplateVersion")?;
    answer
        .launch_template_version()
        .map(number)
        .transpose()?
        .ok_or_else(|| {
            StageError::new(
                ErrorName::DependencyUnavailable,
                "ec2:CreateLaunchTemplateVersion answered without a version",
            )
        })
}

/// Notes the method to go back to before it is changed. The first note of an attempt stays.
async fn note_right_sizing(
    deps: &Deps,
    mut record: MigrationRecord,
    method: Option<&str>,
    now: Timestamp,
) -> Result<MigrationRecord, StageError> {
    let Some(method) = method.filter(|_| record.done.right_sizing.is_none()) else {
        return Ok(record);
    };
    record.done.right_sizing = Some(method.to_owned());
    deps.journal.store.save(record, now).await
}

/// Notes the change before it is made. The first note of an attempt keeps the version to go back to.
async fn note(
    deps: &Deps,
    mut record: MigrationRecord,
    template_id: &str,
    previous: i64,
    version: i64,
    now: Timestamp,
) -> Result<(), StageError> {
    let change = match &record.done.launch_template {
        Some(before) if before.template_id == template_id => LaunchTemplateChange {
            version,
            ..before.clone()
        },
        _ => LaunchTemplateChange {
            template_id: template_id.to_owned(),
            previous_version: previous,
            version,
        },
    };
    if record.done.launch_template.as_ref() != Some(&change) {
        record.done.launch_template = Some(change);
        deps.journal.store.save(record, now).await?;
    }
    Ok(())
}

async fn make_default(deps: &Deps, template_id: &str, version: i64) -> Result<(), StageError> {
    let answer = deps
        .ec2
        .modify_launch_template()
        .launch_template_id(template_id)
        .default_version(version.to_string())
        .send()
        .await
        .or_stage(FAULT, "ec2:ModifyLaunchTemplate")?;
    let now_default = answer
        .launch_template()
        .and_then(LaunchTemplate::default_version_number);
    if now_default == Some(version) {
        tracing::info!(
            launchTemplateId = template_id,
            version,
            "the launch template has a new default version"
        );
        Ok(())
    } else {
        Err(StageError::new(
            ErrorName::DependencyUnavailable,
            format!(
                "launch template {template_id} does not have version {version} as its default yet"
            ),
        ))
    }
}

fn number(version: &LaunchTemplateVersion) -> Result<i64, StageError> {
    version
        .version_number()
        .ok_or_else(|| fault("EC2 named a launch template version without a number"))
}

fn fault(message: impl Into<String>) -> StageError {
    StageError::new(FAULT, message)
}
