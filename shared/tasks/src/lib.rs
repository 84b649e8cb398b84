//! Task tokens: telling a workflow that what it waits for has come or never will, and noticing when nobody waits any more.
//!
//! A token dies with its state: when it was used, when the state has timed out, and when the execution was stopped. Step
//! Functions tells it by three errors, which are answers here ([`Told::Nobody`]) and not faults.
//! Source: Step Functions API reference, `SendTaskSuccess`, `SendTaskFailure`, `SendTaskHeartbeat`.
#![warn(missing_docs)]

use aws_sdk_sfn::Client;
use aws_sdk_sfn::config::http::HttpResponse;
use aws_sdk_sfn::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sfn::types::ExecutionStatus;
use jiff::Timestamp;
use landfall_common::aws_error::{AwsResultExt as _, code, stage_error};
use landfall_common::state::Change;
use landfall_common::state::wait::Wait;
use landfall_common::{Journal, Key, telemetry};
use landfall_domain::rollback::{self, Estimates, HandOver};
use landfall_domain::{ErrorName, EventType, MigrationRecord, StageError, Status};
use serde_json::Value;

/// Errors that mean the token is used, or its execution gone: nobody is left to tell.
const DEAD: [&str; 3] = ["TaskDoesNotExist", "TaskTimedOut", "InvalidToken"];

/// Whether anybody heard it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// The state that waits.
    Workflow,
    /// Nobody waits with this token any more.
    Nobody,
}

/// Completes a task.
///
/// # Errors
/// Transient ones, and a refusal that is not about the token.
pub async fn succeed(sfn: &Client, token: &str, output: &Value) -> Result<Told, StageError> {
    let sent = sfn
        .send_task_success()
        .task_token(token)
        .output(output.to_string())
        .send()
        .await;
    told(sent.err(), "states:SendTaskSuccess")
}

/// Fails a task with an error that the workflow matches by its name.
///
/// # Errors
/// As [`succeed`].
pub async fn fail(sfn: &Client, token: &str, error: &StageError) -> Result<Told, StageError> {
    let sent = sfn
        .send_task_failure()
        .task_token(token)
        .error(error.name.as_str())
        .cause(error.cause())
        .send()
        .await;
    told(sent.err(), "states:SendTaskFailure")
}

/// Whether anybody waits with a token.
///
/// # Errors
/// As [`succeed`].
pub async fn beat(sfn: &Client, token: &str) -> Result<Told, StageError> {
    let sent = sfn.send_task_heartbeat().task_token(token).send().await;
    told(sent.err(), "states:SendTaskHeartbeat")
}

fn told<E>(error: Option<SdkError<E, HttpResponse>>, call: &str) -> Result<Told, StageError>
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    match error {
        None => Ok(Told::Workflow),
        Some(error) if code(&error).is_some_and(|code| DEAD.contains(&code)) => Ok(Told::Nobody),
        Some(error) => Err(stage_error(&error, ErrorName::InternalError, call)),
    }
}

/// Closes a wait whose token is dead, and freezes its migration where the whole execution has ended without an end of the
/// migration: stopped by hand or out of time, nobody else would ever say so.
///
/// # Errors
/// Those of the table, the bus and Step Functions; it may be repeated.
pub async fn bury(
    journal: &Journal,
    sfn: &Client,
    wait: &Wait,
    now: Timestamp,
) -> Result<(), StageError> {
    let record = journal.store.get(&wait.key).await?;
    let record = record.filter(|it| it.attempt == wait.attempt && !it.status.is_end());
    let Some(record) = record else {
        journal.store.close_wait(wait).await?;
        return Ok(());
    };
    telemetry::identify(&record);
    let ended = match record.execution_arn.as_deref() {
        Some(arn) => ended(sfn, arn).await?,
        None => None,
    };
    if let Some(how) = ended {
        let stored = journal.store.get_wait(wait).await?;
        if stored.is_some_and(|stored| stored.is_unconfirmed(now)) {
            // A launch may be under way that its record does not know yet: the next look freezes.
            return Ok(());
        }
        // Read again: the execution may have written the end just before its own.
        let record = journal.store.require(&wait.key).await?;
        if record.attempt == wait.attempt && !record.status.is_end() {
            freeze(journal, record, &how, now).await?;
        }
        journal.store.close_all_waits(&wait.key).await?;
        return Ok(());
    }
    tracing::info!("a wait whose state has gone on is closed");
    journal.store.close_wait(wait).await?;
    Ok(())
}

/// Freezes a migration whose execution has ended without an end of the migration. One that waits is found by its token
/// ([`bury`]); of one that was stopped in the middle of a stage only an order finds it.
///
/// # Errors
/// As [`bury`].
pub async fn freeze_if_gone(
    journal: &Journal,
    sfn: &Client,
    record: MigrationRecord,
    now: Timestamp,
) -> Result<MigrationRecord, StageError> {
    let Some(arn) = record.execution_arn.clone() else {
        return Ok(record);
    };
    let Some(how) = ended(sfn, &arn).await? else {
        return Ok(record);
    };
    let key = Key::of(&record);
    let waits = journal.store.waits_of(&key).await?;
    let record = journal.store.require(&key).await?;
    if record.status.is_end() || waits.iter().any(|wait| wait.is_unconfirmed(now)) {
        return Ok(record);
    }
    let record = freeze(journal, record, &how, now).await?;
    journal.store.close_all_waits(&key).await?;
    Ok(record)
}

async fn freeze(
    journal: &Journal,
    mut record: MigrationRecord,
    how: &str,
    now: Timestamp,
) -> Result<MigrationRecord, StageError> {
    tracing::error!(
        execution = how,
        "the execution of a migration has ended, and nobody goes on with it"
    );
    let when = if record.is_being_undone() {
        "in the middle of it"
    } else {
        "before it began"
    };
    let because = format!(
        "the execution ended {when} ({how}), and nothing automatic goes on; `landfall rollback` does what is left, or do it by \
         hand and then `landfall release`"
    );
    let plan = rollback::plan(&record, &Estimates::default());
    let progress = record.rollback.clone().unwrap_or_default();
    let hand_over = HandOver::of(&record, &plan, &progress, &because);
    let mut evidence = hand_over.evidence();
    evidence["execution"] = how.into();
    evidence["status"] = record.status.as_str().into();
    record.hand_over = Some(hand_over);
    let change = Change::to(Status::Frozen, EventType::MigrationFrozen)
        .reason("EXECUTION_GONE")
        .evidence(evidence);
    Box::pin(journal.advance(record, change, now)).await
}

/// How an execution has ended; `None` while it runs. One that Step Functions has forgotten has ended.
async fn ended(sfn: &Client, arn: &str) -> Result<Option<String>, StageError> {
    let answer = sfn.describe_execution().execution_arn(arn).send().await;
    if let Err(error) = &answer
        && code(error) == Some("ExecutionDoesNotExist")
    {
        return Ok(Some("UNKNOWN".to_owned()));
    }
    let answer = answer.or_stage(ErrorName::InternalError, "states:DescribeExecution")?;
    Ok(match answer.status() {
        ExecutionStatus::Running | ExecutionStatus::PendingRedrive => None,
        ended => Some(ended.as_str().to_owned()),
    })
}
