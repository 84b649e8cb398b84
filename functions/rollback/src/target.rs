//! MGN and EC2: the lifecycle goes back, the target goes away, the launch template is as it was.

use std::collections::HashMap;

use aws_sdk_ec2::types::{AttributeBooleanValue, InstanceStateName, LaunchTemplate};
use jiff::Timestamp;
use landfall_common::aws_error::{code, stage_error};
use landfall_common::{AwsResultExt as _, Key};
use landfall_domain::record::{LaunchAction, LaunchTemplateChange};
use landfall_domain::{ErrorName, MigrationRecord, StageError, Status, digest};
use landfall_mgn::{INTENT_TAG, Job, LaunchStatus, Participant, Server};

use crate::run::is_ordered;
use crate::{Deps, REFUSED};

/// Notes a `FinalizeCutover` that MGN carried out but whose answer was lost: the plan must know it.
pub(crate) async fn note_finalized(
    deps: &Deps,
    mut record: MigrationRecord,
    now: Timestamp,
) -> Result<MigrationRecord, StageError> {
    if !has_moved_users(&record) || record.done.finalized_at.is_some() {
        return Ok(record);
    }
    let Some(id) = &record.source_server_id else {
        return Ok(record);
    };
    let finalized = deps
        .mgn
        .server(id)
        .await?
        .is_some_and(|server| server.lifecycle == "CUTOVER");
    if finalized {
        record.done.finalized_at = Some(now.to_string());
        record = deps.journal.store.save(record, now).await?;
    }
    Ok(record)
}

/// Whether `finalize-cutover` may have been at work: in this attempt, or in the one that this one undoes.
fn has_moved_users(record: &MigrationRecord) -> bool {
    record.stage() == Status::Finalizing || is_ordered(record)
}

/// Leaves `TESTING` or `CUTTING_OVER`, in which MGN terminates nothing, or a `READY_FOR_CUTOVER` that we made.
pub(crate) async fn revert_lifecycle(
    deps: &Deps,
    record: &MigrationRecord,
    action: LaunchAction,
    to: &str,
) -> Result<String, StageError> {
    let launch = record.done.launch(action);
    let job = match launch {
        Some(launch) => job(deps, &launch.job_id).await?,
        None => None,
    };
    if let Some(job) = job.filter(|job| !job.completed) {
        return Err(not_yet(format!(
            "the launch job {} has to end before its target can go",
            job.id
        )));
    }
    let server = server(deps, record).await?;
    match server.lifecycle.as_str() {
        "CUTOVER" => Err(StageError::new(
            REFUSED,
            format!(
                "source server {} is in CUTOVER: somebody finalized it outside Landfall",
                server.id
            ),
        )),
        // Without a launch of ours somebody else's is running there: leaving it would be their loss.
        "TESTING" | "CUTTING_OVER" if launch.is_none() => Ok(format!(
            "{} is {} by a launch that is not ours, and stays so",
            server.id, server.lifecycle
        )),
        // MGN refuses it while it has no launchable snapshot, which a resync makes anew; a lost agent's comes never.
        "TESTING" | "CUTTING_OVER" | "READY_FOR_CUTOVER"
            if server.lifecycle != to && server.has_no_lag_yet() =>
        {
            Err(not_yet(format!(
                "MGN has no launchable snapshot of {} now, and changes no lifecycle until it has",
                server.id
            )))
        }
        "TESTING" | "CUTTING_OVER" | "READY_FOR_CUTOVER" if server.lifecycle != to => {
            deps.mgn.change_lifecycle(&server.id, to, REFUSED).await?;
            let seen = self::server(deps, record).await?.lifecycle;
            if seen == to {
                Ok(format!("{} is {to} again", server.id))
            } else {
                Err(not_yet(format!("{} is still {seen}", server.id)))
            }
        }
        other => Ok(format!("{} is {other}", server.id)),
    }
}

/// Terminates the instance of a launch, unless it is not ours.
pub(crate) async fn terminate(
    deps: &Deps,
    record: &MigrationRecord,
    action: LaunchAction,
    job_id: &str,
) -> Result<String, StageError> {
    let server = server(deps, record).await?;
    let Some(instance_id) = instance(deps, record, &server, action, job_id).await? else {
        return Ok("nothing was launched".to_owned());
    };
    if let Some(foreign) = server
        .launched
        .as_ref()
        .filter(|launched| !is_ours(record, &launched.job_id))
    {
        return Ok(format!(
            "{} of job {} is not ours and stays",
            foreign.instance_id, foreign.job_id
        ));
    }
    let tag = tag(record);
    let since = record.created_at.parse().unwrap_or(Timestamp::UNIX_EPOCH);
    let ours = deps
        .mgn
        .jobs_since(since)
        .await?
        .into_iter()
        .find(|job| job.intent_id.as_deref() == Some(tag.as_str()));
    // A job that has not ended would be in the way of the server's next one.
    if ours.as_ref().is_none_or(|job| job.completed) && is_gone(deps, &instance_id).await? {
        return Ok(format!("{instance_id} is terminated"));
    }
    let job = if let Some(job) = ours {
        job
    } else {
        unprotect(deps, record, &instance_id).await?;
        deps.mgn.terminate(&server.id, tags(record, tag)).await?
    };
    let part = job.participants.iter().find(|p| p.server_id == server.id);
    if job.completed && part.is_some_and(|part| part.status == LaunchStatus::Failed) {
        let log = deps.mgn.job_log(&job.id).await?;
        let said = log.into_iter().find_map(|line| line.raw_error);
        return Err(StageError::new(
            REFUSED,
            format!(
                "MGN's job {} could not terminate {instance_id}: {}",
                job.id,
                said.as_deref().unwrap_or("its log says no reason")
            ),
        ));
    }
    Err(not_yet(format!(
        "MGN's job {} terminates {instance_id}",
        job.id
    )))
}

/// Disconnects the server from MGN. Its agent uninstalls itself, and the staging area goes.
pub(crate) async fn stop_replication(
    deps: &Deps,
    record: &MigrationRecord,
) -> Result<String, StageError> {
    let id = record.source_server_id.as_deref().unwrap_or_default();
    let is_off = async || {
        let server = deps.mgn.server(id).await?;
        Ok::<_, StageError>(server.is_none_or(|it| it.replication.state == "DISCONNECTED"))
    };
    if is_off().await? {
        return Ok(format!("{id} is disconnected"));
    }
    deps.mgn.disconnect(id, REFUSED).await?;
    if is_off().await? {
        Ok(format!("{id} was disconnected"))
    } else {
        Err(not_yet(format!("{id} is not disconnected yet")))
    }
}

/// Gives the choice of the instance type back to MGN.
pub(crate) async fn restore_right_sizing(
    deps: &Deps,
    record: &MigrationRecord,
    method: &str,
) -> Result<String, StageError> {
    let id = record.source_server_id.as_deref().unwrap_or_default();
    if deps.mgn.server(id).await?.is_none() {
        return Ok(format!(
            "MGN no longer has {id}, nor anything to choose for it"
        ));
    }
    let found = async || deps.mgn.launch_configuration(id, REFUSED).await;
    if found().await?.right_sizing.as_deref() == Some(method) {
        return Ok(format!("{id} has {method}"));
    }
    deps.mgn.set_right_sizing(id, method, REFUSED).await?;
    let seen = found().await?.right_sizing;
    if seen.as_deref() == Some(method) {
        Ok(format!("{id} has {method} again"))
    } else {
        Err(not_yet(format!("right-sizing of {id} is still {seen:?}")))
    }
}

/// Lets MGN give the target the source's address again.
pub(crate) async fn restore_copy_private_ip(
    deps: &Deps,
    record: &MigrationRecord,
) -> Result<String, StageError> {
    let id = record.source_server_id.as_deref().unwrap_or_default();
    if deps.mgn.server(id).await?.is_none() {
        return Ok(format!("MGN no longer has {id}, nor an address to copy"));
    }
    let copies = async || {
        let found = deps.mgn.launch_configuration(id, REFUSED).await?;
        Ok::<_, StageError>(found.copy_private_ip)
    };
    if copies().await? {
        return Ok(format!("{id} copies its source's address"));
    }
    deps.mgn.set_copy_private_ip(id, true, REFUSED).await?;
    if copies().await? {
        Ok(format!("{id} copies its source's address again"))
    } else {
        Err(not_yet(format!(
            "{id} does not copy its source's address yet"
        )))
    }
}

/// Makes the earlier version of the launch template the default again.
pub(crate) async fn restore_template(
    deps: &Deps,
    change: &LaunchTemplateChange,
) -> Result<String, StageError> {
    let id = &change.template_id;
    let answer = deps
        .ec2
        .modify_launch_template()
        .launch_template_id(id)
        .default_version(change.previous_version.to_string())
        .send()
        .await;
    match answer {
        Ok(answer) => {
            let default = answer
                .launch_template()
                .and_then(LaunchTemplate::default_version_number);
            if default == Some(change.previous_version) {
                Ok(format!("{id} has version {}", change.previous_version))
            } else {
                Err(StageError::new(
                    REFUSED,
                    format!(
                        "the launch template {id} did not take its earlier version {} as the default",
                        change.previous_version
                    ),
                ))
            }
        }
        // MGN deletes the template with the server's connection.
        Err(error) if code(&error) == Some("InvalidLaunchTemplateId.NotFound") => {
            Ok(format!("{id} is gone"))
        }
        Err(error) => Err(stage_error(&error, REFUSED, "ec2:ModifyLaunchTemplate")),
    }
}

/// The instance of a launch: as noted, else as MGN has it now, else as the job says.
async fn instance(
    deps: &Deps,
    record: &MigrationRecord,
    server: &Server,
    action: LaunchAction,
    job_id: &str,
) -> Result<Option<String>, StageError> {
    let noted = record
        .done
        .launch(action)
        .and_then(|launch| launch.instance_id.clone());
    if noted.is_some() {
        return Ok(noted);
    }
    if let Some(launched) = &server.launched {
        return Ok(Some(launched.instance_id.clone()));
    }
    // MGN shows an instance on the server minutes after the job has it.
    Ok(job(deps, job_id)
        .await?
        .and_then(|job| part(&job, &server.id)?.instance_id.clone()))
}

fn part<'a>(job: &'a Job, server_id: &str) -> Option<&'a Participant> {
    job.participants.iter().find(|p| p.server_id == server_id)
}

/// The target of a job that this attempt did not start is not ours to terminate.
fn is_ours(record: &MigrationRecord, job_id: &str) -> bool {
    [LaunchAction::Test, LaunchAction::Cutover]
        .into_iter()
        .filter_map(|action| record.done.launch(action))
        .any(|launch| launch.job_id == job_id)
}

/// Whether an instance is terminated, or on its way there, from which nothing comes back.
async fn is_gone(deps: &Deps, instance_id: &str) -> Result<bool, StageError> {
    let answer = deps
        .ec2
        .describe_instances()
        .instance_ids(instance_id)
        .send()
        .await;
    let answer = match answer {
        Err(error) if code(&error) == Some("InvalidInstanceID.NotFound") => return Ok(true),
        answer => answer.or_stage(REFUSED, "ec2:DescribeInstances")?,
    };
    let instance = answer
        .reservations()
        .iter()
        .flat_map(aws_sdk_ec2::types::Reservation::instances)
        .find(|instance| instance.instance_id() == Some(instance_id));
    Ok(instance.is_none_or(|instance| {
        matches!(
            instance.state().and_then(|state| state.name()),
            Some(InstanceStateName::ShuttingDown | InstanceStateName::Terminated)
        )
    }))
}

/// Takes back the protection that `finalize-cutover` may have set; MGN could not terminate the instance with it.
async fn unprotect(
    deps: &Deps,
    record: &MigrationRecord,
    instance_id: &str,
) -> Result<(), StageError> {
    if !has_moved_users(record) {
        return Ok(());
    }
    deps.ec2
        .modify_instance_attribute()
        .instance_id(instance_id)
        .disable_api_termination(AttributeBooleanValue::builder().value(false).build())
        .send()
        .await
        .or_stage(REFUSED, "ec2:ModifyInstanceAttribute")?;
    Ok(())
}

async fn server(deps: &Deps, record: &MigrationRecord) -> Result<Server, StageError> {
    let id = record.source_server_id.as_deref().unwrap_or_default();
    let server = if id.is_empty() {
        None
    } else {
        deps.mgn.server(id).await?
    };
    server.ok_or_else(|| {
        StageError::new(
            REFUSED,
            format!("MGN no longer knows the source server {id:?}; look for its target in EC2"),
        )
    })
}

async fn job(deps: &Deps, id: &str) -> Result<Option<Job>, StageError> {
    Ok(deps.mgn.jobs(&[id.to_owned()]).await?.into_iter().next())
}

/// The tag of the terminating job: `TerminateTargetInstances` has no client token, so a later run finds its job by it.
fn tag(record: &MigrationRecord) -> String {
    // A digest, because the IDs together may be longer than a tag.
    let attempt = format!("{}#{}", Key::of(record).pk(), record.attempt);
    format!("rollback-{}", digest::of_bytes(attempt.as_bytes()))
}

fn tags(record: &MigrationRecord, tag: String) -> HashMap<String, String> {
    HashMap::from([
        (INTENT_TAG.to_owned(), tag),
        ("landfall:action".to_owned(), "TERMINATE".to_owned()),
        (
            "landfall:correlationId".to_owned(),
            record.correlation_id.clone(),
        ),
    ])
}

fn not_yet(message: String) -> StageError {
    StageError::new(ErrorName::DependencyUnavailable, message)
}
