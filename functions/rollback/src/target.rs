//! MGN and EC2: the lifecycle goes back, the launch template is as it was.

use aws_sdk_ec2::types::LaunchTemplate;
use jiff::Timestamp;
use landfall_common::aws_error::{code, stage_error};
use landfall_domain::record::{LaunchAction, LaunchTemplateChange};
use landfall_domain::rollback::Outcome;
use landfall_domain::{ErrorName, MigrationRecord, StageError, Status};
use landfall_mgn::{Job, Server};

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
pub(crate) fn has_moved_users(record: &MigrationRecord) -> bool {
    record.stage() == Status::Finalizing || is_ordered(record)
}

/// Leaves `TESTING` or `CUTTING_OVER`, in which MGN terminates nothing, or a `READY_FOR_CUTOVER` that we made.
pub(crate) async fn revert_lifecycle(
    deps: &Deps,
    record: &MigrationRecord,
    action: LaunchAction,
    to: &str,
) -> Result<Outcome, StageError> {
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
        "TESTING" | "CUTTING_OVER" if launch.is_none() => Ok(Outcome::Nothing(format!(
            "{} is {} by a launch that is not ours, and stays so",
            server.id, server.lifecycle
        ))),
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
                Ok(Outcome::Did(format!("{} is {to} again", server.id)))
            } else {
                Err(not_yet(format!("{} is still {seen}", server.id)))
            }
        }
        other => Ok(Outcome::Found(format!("{} is {other}", server.id))),
    }
}

/// Disconnects the server from MGN. Its agent uninstalls itself, and the staging area goes.
pub(crate) async fn stop_replication(
    deps: &Deps,
    record: &MigrationRecord,
) -> Result<Outcome, StageError> {
    let id = record.source_server_id.as_deref().unwrap_or_default();
    let is_off = async || {
        let server = deps.mgn.server(id).await?;
        Ok::<_, StageError>(server.is_none_or(|it| it.replication.state == "DISCONNECTED"))
    };
    if is_off().await? {
        return Ok(Outcome::Found(format!("{id} is disconnected")));
    }
    deps.mgn.disconnect(id, REFUSED).await?;
    if is_off().await? {
        Ok(Outcome::Did(format!("{id} was disconnected")))
    } else {
        Err(not_yet(format!("{id} is not disconnected yet")))
    }
}

/// Gives the choice of the instance type back to MGN.
pub(crate) async fn restore_right_sizing(
    deps: &Deps,
    record: &MigrationRecord,
    method: &str,
) -> Result<Outcome, StageError> {
    let id = record.source_server_id.as_deref().unwrap_or_default();
    if deps.mgn.server(id).await?.is_none() {
        return Ok(Outcome::Nothing(format!(
            "MGN no longer has {id}, nor anything to choose for it"
        )));
    }
    let found = async || deps.mgn.launch_configuration(id, REFUSED).await;
    if found().await?.right_sizing.as_deref() == Some(method) {
        return Ok(Outcome::Found(format!("{id} has {method}")));
    }
    deps.mgn.set_right_sizing(id, method, REFUSED).await?;
    let seen = found().await?.right_sizing;
    if seen.as_deref() == Some(method) {
        Ok(Outcome::Did(format!("{id} has {method} again")))
    } else {
        Err(not_yet(format!("right-sizing of {id} is still {seen:?}")))
    }
}

/// Lets MGN give the target the source's address again.
pub(crate) async fn restore_copy_private_ip(
    deps: &Deps,
    record: &MigrationRecord,
) -> Result<Outcome, StageError> {
    let id = record.source_server_id.as_deref().unwrap_or_default();
    if deps.mgn.server(id).await?.is_none() {
        return Ok(Outcome::Nothing(format!(
            "MGN no longer has {id}, nor an address to copy"
        )));
    }
    let copies = async || {
        let found = deps.mgn.launch_configuration(id, REFUSED).await?;
        Ok::<_, StageError>(found.copy_private_ip)
    };
    if copies().await? {
        return Ok(Outcome::Found(format!("{id} copies its source's address")));
    }
    deps.mgn.set_copy_private_ip(id, true, REFUSED).await?;
    if copies().await? {
        Ok(Outcome::Did(format!(
            "{id} copies its source's address again"
        )))
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
) -> Result<Outcome, StageError> {
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
                Ok(Outcome::Did(format!(
                    "{id} has version {}",
                    change.previous_version
                )))
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
            Ok(Outcome::Nothing(format!("{id} is gone")))
        }
        Err(error) => Err(stage_error(&error, REFUSED, "ec2:ModifyLaunchTemplate")),
    }
}

/// The source server, as MGN has it now.
pub(crate) async fn server(deps: &Deps, record: &MigrationRecord) -> Result<Server, StageError> {
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

/// A job of MGN, where it still knows it.
pub(crate) async fn job(deps: &Deps, id: &str) -> Result<Option<Job>, StageError> {
    Ok(deps.mgn.jobs(&[id.to_owned()]).await?.into_iter().next())
}

/// What takes its time.
pub(crate) fn not_yet(message: String) -> StageError {
    StageError::new(ErrorName::DependencyUnavailable, message)
}
