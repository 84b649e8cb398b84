//! The wait for a launch: the truth of its job, per server.

use jiff::Timestamp;
use landfall_common::state::Change;
use landfall_common::state::wait::Wait;
use landfall_domain::record::LaunchAction;
use landfall_domain::{ErrorName, EventType, StageError};
use serde_json::{Value, json};

use crate::truth::{self, Truth};
use crate::{Deps, Seen, settle};

pub(crate) async fn check(deps: &Deps, wait: &Wait, seen: &Seen) -> Result<(), StageError> {
    let (Some(action), Some(job_id)) = (wait.kind.action(), wait.job_id.as_deref()) else {
        return Ok(());
    };
    let server_id = wait.source_server_id.as_deref().unwrap_or_default();
    let job = seen.jobs.iter().find(|job| job.id == job_id);
    let server = seen.servers.iter().find(|server| server.id == server_id);
    let overdue = wait.is_overdue(seen.now);
    let log = if overdue || job.is_some_and(|job| job.completed) {
        seen.logs.of(&deps.mgn, job_id, server_id).await?
    } else {
        Vec::new()
    };
    let (status, text) = match truth::of(action, job_id, job, server_id, server, &log, seen.now) {
        Truth::Launched {
            instance_id,
            evidence,
        } => return launched(deps, wait, action, job_id, &instance_id, evidence, seen.now).await,
        Truth::Failed { status, text } => (status, text),
        Truth::Running(what) if overdue => ("NOT_FINISHED_IN_TIME".to_owned(), Some(what)),
        Truth::Running(what) => {
            tracing::debug!(jobId = job_id, sourceServerId = server_id, "{what}");
            return Ok(());
        }
    };
    let raw = match truth::raw_error(&log) {
        Some(raw) => Some(deps.accounts.explain(wait.account.as_ref(), raw).await),
        None => None,
    };
    not_launched(deps, wait, action, job_id, &status, text, raw, seen.now).await
}

async fn launched(
    deps: &Deps,
    wait: &Wait,
    action: LaunchAction,
    job_id: &str,
    instance_id: &str,
    evidence: Value,
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
        let change = Change::to(status, event).job(job_id).evidence(evidence);
        deps.journal.advance(record, change, now).await?;
    }
    settle::succeed(
        deps,
        wait,
        &json!({ "jobId": job_id, "instanceId": instance_id }),
        now,
    )
    .await
}

#[expect(clippy::too_many_arguments, reason = "all that a person should read")]
async fn not_launched(
    deps: &Deps,
    wait: &Wait,
    action: LaunchAction,
    job_id: &str,
    status: &str,
    text: Option<String>,
    raw: Option<String>,
    now: Timestamp,
) -> Result<(), StageError> {
    let (name, event) = match action {
        LaunchAction::Test => (
            ErrorName::MigrationExecutionError,
            EventType::TestLaunchFailed,
        ),
        LaunchAction::Cutover => (ErrorName::CutoverError, EventType::CutoverLaunchFailed),
    };
    let server = wait.source_server_id.as_deref().unwrap_or("unknown");
    // Ours says what it means; MGN's own words are never left out.
    let said = match (text, &raw) {
        (Some(text), Some(raw)) if !text.contains(raw.as_str()) => format!("{text} ({raw})"),
        (Some(text), _) => text,
        (None, Some(raw)) => raw.clone(),
        (None, None) => "MGN's job log holds no error text".to_owned(),
    };
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
