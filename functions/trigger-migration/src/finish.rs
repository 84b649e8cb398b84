//! Noting what became of a launch: started, or refused for good.

use jiff::Timestamp;
use landfall_common::aws_error::{code, stage_error};
use landfall_common::state::Change;
use landfall_common::state::wait::Wait;
use landfall_domain::record::{Launch, LaunchAction};
use landfall_domain::{ErrorName, EventType, Finding, StageError, Status};

use crate::{Deps, JOB_HOURS, after};

/// Notes the job of a launch, in the record first: a rollback must know it even if the next write fails.
pub(crate) async fn started(
    deps: &Deps,
    wait: &Wait,
    job_id: &str,
    now: Timestamp,
) -> Result<(), StageError> {
    let Some(action) = wait.kind.action() else {
        return Ok(());
    };
    let mut record = deps.journal.store.require(&wait.key).await?;
    let known = record
        .done
        .launch(action)
        .is_some_and(|launch| launch.job_id == job_id);
    if !known && record.attempt == wait.attempt && !record.status.is_end() {
        let settings_digest = record
            .request
            .launch_settings_digest()
            .map_err(|error| StageError::new(ErrorName::InternalError, error.to_string()))?;
        *record.done.launch_mut(action) = Some(Launch {
            job_id: job_id.to_owned(),
            settings_digest,
            started_at: now.to_string(),
            instance_id: None,
            verified_at: None,
        });
        record.done.health_rounds = 0;
        let (to, event) = match action {
            LaunchAction::Test => (Status::Testing, EventType::TestLaunchStarted),
            LaunchAction::Cutover => (Status::CuttingOver, EventType::CutoverLaunchStarted),
        };
        deps.journal
            .advance(record, Change::to(to, event).job(job_id), now)
            .await?;
    }
    let due = after(now, JOB_HOURS);
    deps.journal.store.launch_started(wait, job_id, due).await?;
    Ok(())
}

/// Fails the task of a launch that will never start, with the text a person should read.
pub(crate) async fn failed(
    deps: &Deps,
    wait: &Wait,
    action: LaunchAction,
    text: &str,
    findings: Vec<Finding>,
    now: Timestamp,
) -> Result<(), StageError> {
    let (name, event) = match action {
        LaunchAction::Test => (
            ErrorName::MigrationExecutionError,
            EventType::TestLaunchFailed,
        ),
        LaunchAction::Cutover => (ErrorName::CutoverError, EventType::CutoverLaunchFailed),
    };
    let text = deps
        .accounts
        .explain(wait.account.as_ref(), text.to_owned())
        .await;
    let error = StageError::new(name, text.as_str()).findings(findings);
    let record = deps.journal.store.require(&wait.key).await?;
    if record.attempt == wait.attempt && !record.status.is_end() {
        let change = Change::to(record.status, event)
            .reason("LAUNCH_REFUSED")
            .evidence(serde_json::json!({ "rawError": text, "findings": error.findings }));
        deps.journal.fail(record, change, &error, now).await?;
    }
    let sent = deps
        .sfn
        .send_task_failure()
        .task_token(&wait.task_token)
        .error(name.as_str())
        .cause(error.cause())
        .send()
        .await;
    if let Err(error) = sent {
        // A token that is used or gone leaves nobody to tell.
        if !matches!(
            code(&error),
            Some("TaskDoesNotExist" | "TaskTimedOut" | "InvalidToken")
        ) {
            return Err(stage_error(
                &error,
                ErrorName::InternalError,
                "states:SendTaskFailure",
            ));
        }
    }
    deps.journal.store.close_wait(wait).await?;
    Ok(())
}
