//! Noting what became of a launch: started, or refused for good.

use jiff::Timestamp;
use landfall_common::state::Change;
use landfall_common::state::wait::Wait;
use landfall_domain::record::{Launch, LaunchAction};
use landfall_domain::{ErrorName, EventType, Finding, StageError, Status};
use landfall_mgn::Server;
use serde_json::json;

use crate::{Deps, JOB_HOURS, after, launch};

/// Notes the job of a launch, in the record first: a rollback must know it even if the next write fails. `server` is what
/// the launch was decided on; its numbers stand in the event.
pub(crate) async fn started(
    deps: &Deps,
    wait: &Wait,
    job_id: &str,
    server: Option<&Server>,
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
        record.held = None;
        let (to, event) = match action {
            LaunchAction::Test => (Status::Testing, EventType::TestLaunchStarted),
            LaunchAction::Cutover => (Status::CuttingOver, EventType::CutoverLaunchStarted),
        };
        let mut change = Change::to(to, event).job(job_id);
        if let Some(server) = server {
            let waited = launch::waited(wait, now).as_secs();
            change = change.evidence(json!({
                "replication": server.replication.evidence(now), "waitedSeconds": waited,
            }));
        }
        deps.journal.advance(record, change, now).await?;
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
            .evidence(json!({ "rawError": text, "findings": error.findings }));
        deps.journal.fail(record, change, &error, now).await?;
    }
    // A token that is used or gone leaves nobody to tell.
    landfall_tasks::fail(&deps.sfn, &wait.task_token, &error).await?;
    deps.journal.store.close_wait(wait).await?;
    Ok(())
}

/// Notes why a launch is not started yet, when the reason is another than before.
pub(crate) async fn held(
    deps: &Deps,
    wait: &Wait,
    why: Finding,
    now: Timestamp,
) -> Result<(), StageError> {
    if wait.held.as_deref() == Some(why.code.as_str()) {
        return Ok(());
    }
    tracing::info!(
        sourceServerId = wait.source_server_id,
        migrationId = wait.key.migration_id,
        reasonCode = why.code,
        "a launch waits: {}",
        why.message
    );
    let code = why.code.clone();
    let mut record = deps.journal.store.require(&wait.key).await?;
    if record.attempt == wait.attempt && !record.status.is_end() {
        record.held = Some(why);
        deps.journal.store.save(record, now).await?;
    }
    deps.journal.store.hold_launch(wait, &code).await?;
    Ok(())
}
