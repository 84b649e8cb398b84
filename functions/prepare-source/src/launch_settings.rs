//! What MGN launches the server's targets with: its own launch configuration, and the EC2 launch template.
//!
//! A run changes only what differs from what the request wants, so a second one changes nothing. The way back is noted
//! before each change. In the end everything is read once more: what somebody else changed meanwhile is an error.

use aws_sdk_ec2::types::{LaunchTemplate, LaunchTemplateVersion};
use jiff::Timestamp;
use landfall_common::AwsResultExt;
use landfall_common::state::Key;
use landfall_common::state::claim::Claim;
use landfall_domain::launch::{self, Difference, EffectiveSettings};
use landfall_domain::record::LaunchTemplateChange;
use landfall_domain::{ErrorName, Finding, MigrationRecord, StageError, Status, digest};
use landfall_launch::{Present, description};
use serde_json::{Value, json};

use crate::{Deps, FAULT, key_arn};

/// Brings the launch settings to what the request wants; answers with their digest.
pub(crate) async fn apply(
    deps: &Deps,
    mut record: MigrationRecord,
    now: Timestamp,
) -> Result<Value, StageError> {
    if has_launched(record.status) {
        // A late second run: the template must not move under a launch.
        return Ok(json!({ "settingsDigest": record.done.settings_digest }));
    }
    let server_id = record.source_server_id.clone().ok_or_else(|| {
        StageError::new(
            ErrorName::InternalError,
            "the launch settings were asked for before the MGN source server was known",
        )
    })?;
    let key = key_arn(deps, &record.request).await?;
    let mut seen = judge(deps, &server_id, &record, key.as_deref()).await?;
    same_key(&seen)?;
    record = own_interface(deps, record, &seen.wanted, now).await?;
    if seen.differs_in_mgn() {
        record = configure(deps, record, &server_id, &seen, now).await?;
        // MGN may write a version of its own when its configuration changes.
        seen = look(deps, &server_id, &record, key.as_deref()).await?;
    }
    if seen.differs_in_template() {
        record = set_template(deps, record, &seen, now).await?;
        let wanted = seen.wanted;
        seen = look(deps, &server_id, &record, key.as_deref()).await?;
        // Over what somebody else may have put there, the request would want something else.
        seen.wanted = wanted;
    }
    settled(&seen)?;
    let digest = hashed(seen.wanted.digest())?;
    if record.done.settings_digest.as_ref() != Some(&digest) {
        record.done.settings_digest = Some(digest.clone());
        deps.journal.store.save(record, now).await?;
    }
    Ok(json!({ "settingsDigest": digest }))
}

/// Looks at how things are and what is wanted, and refuses what may not become so.
pub(crate) async fn judge(
    deps: &Deps,
    server_id: &str,
    record: &MigrationRecord,
    key: Option<&str>,
) -> Result<Seen, StageError> {
    let seen = look(deps, server_id, record, key).await?;
    let digest = hashed(seen.wanted.digest())?;
    match launch::changed_since_test(record, &digest) {
        Some(finding) => Err(refused(vec![finding])),
        None => Ok(seen),
    }
}

/// What there is, and what is wanted over it.
pub(crate) struct Seen {
    present: Present,
    wanted: EffectiveSettings,
}

impl Seen {
    fn differences(&self) -> Vec<Difference> {
        launch::differences(&self.present.settings, &self.wanted)
    }

    fn differs_in_template(&self) -> bool {
        self.differences().iter().any(Difference::in_template)
    }

    fn differs_in_mgn(&self) -> bool {
        !self.differences().iter().all(Difference::in_template)
    }
}

async fn look(
    deps: &Deps,
    server_id: &str,
    record: &MigrationRecord,
    key: Option<&str>,
) -> Result<Seen, StageError> {
    let present = landfall_launch::present(&deps.ec2, &deps.mgn, server_id, FAULT).await?;
    let wanted = present.wanted(&record.request, key).map_err(refused)?;
    Ok(Seen { present, wanted })
}

/// The key is set before replication is awaited. Here it is too late: what is replicated would have to be copied again.
fn same_key(seen: &Seen) -> Result<(), StageError> {
    let differences = seen.differences();
    let Some(key) = differences.iter().find(|it| it.forces_resync) else {
        return Ok(());
    };
    Err(StageError::new(
        FAULT,
        format!(
            "somebody changed the encryption key of the replication after it was set: {key}; set it back in MGN or change kmsKeyId, then resubmit"
        ),
    ))
}

/// Takes the network interface that a target is launched with, where the template names one that is there already: two
/// servers cannot have it, and MGN would find that out at the second launch.
async fn own_interface(
    deps: &Deps,
    record: MigrationRecord,
    wanted: &EffectiveSettings,
    now: Timestamp,
) -> Result<MigrationRecord, StageError> {
    let Some(interface) = &wanted.network_interface_id else {
        return Ok(record);
    };
    let claim = Claim::interface(interface);
    if record.claims.iter().any(|held| held == claim.as_str()) {
        return Ok(record);
    }
    let store = &deps.journal.store;
    let key = Key::of(&record);
    match store.look_at_claim(claim, &key).await? {
        Ok(taking) => store.save_taking(record, &[taking], now).await,
        Err(rival) => {
            let who = if rival.holder.key.tenant_id == key.tenant_id {
                format!("migration {}", rival.holder.key.migration_id)
            } else {
                "a migration of another tenant".to_owned()
            };
            let finding = Finding::blocking(
                "INTERFACE_CLAIMED",
                "",
                format!("the launch template names network interface {interface}, which {who} is to be launched with."),
            )
            .evidence(who, "an interface that no other migration wants")
            .remedy("Take the interface out of one of the two launch templates, or name a subnetId and securityGroupIds in the request.");
            Err(refused(vec![finding]))
        }
    }
}

/// Refuses settings that are not what was just set.
fn settled(seen: &Seen) -> Result<(), StageError> {
    let differences = seen.differences();
    if differences.is_empty() {
        return Ok(());
    }
    let said: Vec<String> = differences.iter().map(Difference::to_string).collect();
    // Somebody else's doing, or EC2 shows the change late. The next run sets it again.
    Err(StageError::new(
        ErrorName::Conflict,
        format!(
            "the launch settings are not what they were set to, so somebody else changes them too: {}",
            said.join("; ")
        ),
    ))
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

/// Sets MGN's own part. What was there is noted first, and the first note of an attempt stays.
async fn configure(
    deps: &Deps,
    mut record: MigrationRecord,
    server_id: &str,
    seen: &Seen,
    now: Timestamp,
) -> Result<MigrationRecord, StageError> {
    let (before, after) = (&seen.present.settings, &seen.wanted);
    let sizes = before.right_sizing != after.right_sizing;
    let copies = before.copy_private_ip != after.copy_private_ip;
    let mut done = record.done.clone();
    if sizes && done.right_sizing.is_none() {
        done.right_sizing
            .clone_from(&seen.present.configuration.right_sizing);
    }
    done.copied_private_ip |= copies && before.copy_private_ip;
    if done != record.done {
        record.done = done;
        record = deps.journal.store.save(record, now).await?;
    }
    if sizes {
        deps.mgn
            .set_right_sizing(server_id, &after.right_sizing, FAULT)
            .await?;
    }
    if copies {
        deps.mgn
            .set_copy_private_ip(server_id, after.copy_private_ip, FAULT)
            .await?;
    }
    Ok(record)
}

/// Makes a version with the settings, unless an earlier run did, and makes it the default.
async fn set_template(
    deps: &Deps,
    record: MigrationRecord,
    seen: &Seen,
    now: Timestamp,
) -> Result<MigrationRecord, StageError> {
    let digest = hashed(seen.wanted.digest())?;
    let text = description(&digest, &record.migration_id, seen.present.version);
    let version = match seen.present.made_before(&text) {
        Some(version) => version,
        None => create(deps, &record, seen, &text).await?,
    };
    let record = note(deps, record, &seen.present, version, now).await?;
    make_default(deps, &seen.present.template_id, version).await?;
    Ok(record)
}

async fn create(
    deps: &Deps,
    record: &MigrationRecord,
    seen: &Seen,
    description: &str,
) -> Result<i64, StageError> {
    let data = seen.present.data(&seen.wanted, FAULT)?;
    // The same for every run of this attempt: EC2 then answers a second call with the first one's version.
    let token = hashed(digest::of_json(&json!([
        record.tenant_id,
        record.attempt,
        description
    ])))?;
    let answer = deps
        .ec2
        .create_launch_template_version()
        .launch_template_id(&seen.present.template_id)
        .source_version(seen.present.version.to_string())
        .version_description(description)
        .launch_template_data(data)
        .client_token(token)
        .send()
        .await
        .or_stage(FAULT, "ec2:CreateLaunchTemplateVersion")?;
    answer
        .launch_template_version()
        .and_then(LaunchTemplateVersion::version_number)
        .ok_or_else(|| {
            StageError::new(
                ErrorName::DependencyUnavailable,
                "ec2:CreateLaunchTemplateVersion answered without a version",
            )
        })
}

/// Notes the change before it is made. The first note of an attempt keeps the version to go back to.
async fn note(
    deps: &Deps,
    mut record: MigrationRecord,
    present: &Present,
    version: i64,
    now: Timestamp,
) -> Result<MigrationRecord, StageError> {
    let change = match &record.done.launch_template {
        Some(before) if before.template_id == present.template_id => LaunchTemplateChange {
            version,
            ..before.clone()
        },
        _ => LaunchTemplateChange {
            template_id: present.template_id.clone(),
            previous_version: present.version,
            version,
        },
    };
    if record.done.launch_template.as_ref() == Some(&change) {
        return Ok(record);
    }
    record.done.launch_template = Some(change);
    deps.journal.store.save(record, now).await
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

fn hashed(digest: Result<String, serde_json::Error>) -> Result<String, StageError> {
    digest.map_err(|error| StageError::new(ErrorName::InternalError, error.to_string()))
}

fn refused(findings: Vec<Finding>) -> StageError {
    let message = match findings.as_slice() {
        [one] => one.message.clone(),
        several => format!("the launch settings have {} faults", several.len()),
    };
    StageError::new(FAULT, message).findings(findings)
}
