//! The target goes away.

use std::collections::HashMap;

use aws_sdk_ec2::types::{AttributeBooleanValue, InstanceStateName};
use jiff::Timestamp;
use landfall_common::aws_error::code;
use landfall_common::{AwsResultExt as _, Key};
use landfall_domain::record::LaunchAction;
use landfall_domain::rollback::{Outcome, TRIES};
use landfall_domain::{MigrationRecord, StageError, digest};
use landfall_mgn::{INTENT_TAG, Job, LaunchStatus, Participant, Server};

use crate::target::{has_moved_users, job, not_yet, server};
use crate::{Deps, REFUSED};

/// Terminates the instance of a launch, unless it is not ours. A job that MGN fails is followed by another one, as often as a
/// compensation is tried.
pub(crate) async fn terminate(
    deps: &Deps,
    record: &MigrationRecord,
    action: LaunchAction,
    job_id: &str,
) -> Result<Outcome, StageError> {
    let server = server(deps, record).await?;
    let Some(instance_id) = instance(deps, record, &server, action, job_id).await? else {
        return Ok(Outcome::Nothing("nothing was launched".to_owned()));
    };
    if let Some(foreign) = server
        .launched
        .as_ref()
        .filter(|launched| !is_ours(record, &launched.job_id))
    {
        return Ok(Outcome::Nothing(format!(
            "{} of job {} is not ours and stays",
            foreign.instance_id, foreign.job_id
        )));
    }
    let jobs = jobs(deps, record).await?;
    // A job that has not ended would be in the way of the server's next one.
    let open = jobs.iter().find(|job| !job.completed);
    if open.is_none() && is_gone(deps, &instance_id).await? {
        return Ok(Outcome::Found(format!("{instance_id} is terminated")));
    }
    let has_failed =
        |job: &&Job| part(job, &server.id).is_some_and(|part| part.status == LaunchStatus::Failed);
    // One that did its work, and the instance does not show it yet.
    let at_work = open.or_else(|| jobs.iter().find(|job| !has_failed(job)));
    if let Some(job) = at_work {
        return Err(under_way(job, &instance_id));
    }
    if jobs.len() < TRIES as usize {
        unprotect(deps, record, &instance_id).await?;
        let tags = tags(record, tag(record));
        let job = deps.mgn.terminate(&server.id, tags).await?;
        return Err(under_way(&job, &instance_id));
    }
    let last = jobs.iter().max_by_key(|job| job.ended_at.as_deref());
    let last = last.map_or("", |job| job.id.as_str());
    let log = deps.mgn.job_log(last).await?;
    let said = log.into_iter().find_map(|line| line.raw_error);
    Err(StageError::new(
        REFUSED,
        format!(
            "MGN could not terminate {instance_id} in {} jobs, the last one {last}: {}",
            jobs.len(),
            said.as_deref().unwrap_or("its log says no reason")
        ),
    ))
}

/// The jobs that this rollback began to terminate the server's target. The tag is of this attempt, and so of this server
/// alone; one that MGN failed has it as well as the one after it.
async fn jobs(deps: &Deps, record: &MigrationRecord) -> Result<Vec<Job>, StageError> {
    let tag = tag(record);
    let since = record.created_at.parse().unwrap_or(Timestamp::UNIX_EPOCH);
    let mut jobs = deps.mgn.jobs_since(since).await?;
    jobs.retain(|job| job.intent_id.as_deref() == Some(tag.as_str()));
    Ok(jobs)
}

fn under_way(job: &Job, instance_id: &str) -> StageError {
    not_yet(format!("MGN's job {} terminates {instance_id}", job.id))
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

/// The tag of the terminating jobs: `TerminateTargetInstances` has no client token, so a later run finds its jobs by it.
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
