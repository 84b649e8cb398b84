//! The wait for a launch: the truth of its job, per server.

use jiff::Timestamp;
use landfall_common::state::Change;
use landfall_common::state::wait::Wait;
use landfall_domain::record::LaunchAction;
use landfall_domain::{ErrorName, EventType, StageError};
use landfall_mgn::{Job, LaunchStatus};
use serde_json::json;

use crate::{Deps, settle};

pub(crate) async fn check(
    deps: &Deps,
    wait: &Wait,
    jobs: &[Job],
    now: Timestamp,
) -> Result<(), StageError> {
    let (Some(action), Some(job_id)) = (wait.kind.action(), wait.job_id.as_deref()) else {
        return Ok(());
    };
    let job = jobs.iter().find(|job| job.id == job_id);
    let participant = job.and_then(|job| {
        job.participants
            .iter()
            .find(|p| Some(&p.server_id) == wait.source_server_id.as_ref())
    });
    let completed = job.is_some_and(|job| job.completed);
    let overdue = settle::overdue(wait, now);
    match participant.map(|p| (&p.status, p.instance_id.as_deref())) {
        // The instance's ID may lag behind the status; without it there is nothing to verify.
        Some((LaunchStatus::Launched, Some(instance))) if completed => {
            launched(deps, wait, action, job_id, instance, now).await
        }
        Some((LaunchStatus::Failed, _)) if completed => {
            not_launched(deps, wait, action, job_id, "FAILED", now).await
        }
        Some((LaunchStatus::Terminated, _)) if completed => {
            not_launched(deps, wait, action, job_id, "TERMINATED", now).await
        }
        Some((LaunchStatus::Unknown(status), _)) if completed => {
            not_launched(deps, wait, action, job_id, status, now).await
        }
        _ if overdue => not_launched(deps, wait, action, job_id, "NOT_FINISHED_IN_TIME", now).await,
        _ => Ok(()),
    }
}

async fn launched(
    deps: &Deps,
    wait: &Wait,
    action: LaunchAction,
    job_id: &str,
    instance_id: &str,
    now: Timestamp,
) -> Result<(), StageError> {
    let Some(mut record) = settle::live_record(deps, wait).await? else {
        return Ok(());
    };
    let status = record.status;
    // Told once: a sweep that died after the write finds the instance there.
    if let Some(launch) = record
        .done
        .launch_mut(action)
        .as_mut()
        .filter(|launch| launch.instance_id.is_none())
    {
        launch.instance_id = Some(instance_id.to_owned());
        let event = match action {
            LaunchAction::Test => EventType::TestLaunched,
            LaunchAction::Cutover => EventType::CutoverLaunched,
        };
        let change = Change::to(status, event)
            .job(job_id)
            .evidence(json!({ "instanceId": instance_id }));
        deps.journal.advance(record, change, now).await?;
    }
    settle::succeed(
        deps,
        wait,
        &json!({ "jobId": job_id, "instanceId": instance_id }),
    )
    .await
}

async fn not_launched(
    deps: &Deps,
    wait: &Wait,
    action: LaunchAction,
    job_id: &str,
    status: &str,
    now: Timestamp,
) -> Result<(), StageError> {
    let raw = match raw_error(deps, wait, job_id).await? {
        Some(raw) => Some(deps.accounts.explain(wait.account.as_ref(), raw).await),
        None => None,
    };
    let (name, event) = match action {
        LaunchAction::Test => (
            ErrorName::MigrationExecutionError,
            EventType::TestLaunchFailed,
        ),
        LaunchAction::Cutover => (ErrorName::CutoverError, EventType::CutoverLaunchFailed),
    };
    let server = wait.source_server_id.as_deref().unwrap_or("unknown");
    let said = raw
        .as_deref()
        .unwrap_or("MGN's job log holds no error text");
    let text = format!(
        "the {} launch of {server} in {job_id} ended {status}: {said}",
        action.as_str()
    );
    let told = |at| {
        Change::to(at, event)
            .reason(status)
            .job(job_id)
            .evidence(json!({ "rawError": raw, "launchStatus": status }))
    };
    settle::fail_with(deps, wait, &StageError::new(name, text), told, now).await
}

/// MGN's own text of what went wrong for the server: the last error in the job's log.
async fn raw_error(deps: &Deps, wait: &Wait, job_id: &str) -> Result<Option<String>, StageError> {
    let log = deps.mgn.job_log(job_id).await?;
    Ok(log
        .into_iter()
        .rev()
        .filter(|line| line.server_id.is_none() || line.server_id == wait.source_server_id)
        .find_map(|line| line.raw_error.map(|raw| format!("{}: {raw}", line.event))))
}
