//! Completing and failing task tokens.

use jiff::Timestamp;
use landfall_common::stage;
use landfall_common::state::Change;
use landfall_common::state::wait::Wait;
use landfall_domain::record::Failure;
use landfall_domain::{MigrationRecord, StageError, Status};
use landfall_tasks::{self as tasks, Told};
use serde_json::Value;

use crate::Deps;

/// How often it is asked whether anybody still waits.
const BEAT_MINUTES: i64 = 30;

/// Tells the workflow that what it waits for is there, then closes the wait. A crash in between makes the next
/// sweep find a dead token and close the wait.
pub(crate) async fn succeed(
    deps: &Deps,
    wait: &Wait,
    output: &Value,
    now: Timestamp,
) -> Result<(), StageError> {
    if tasks::succeed(&deps.sfn, &wait.task_token, output).await? == Told::Nobody {
        // Used by a sweep that died, or the execution was stopped: then nobody would go on with the migration.
        return tasks::bury(&deps.journal, &deps.sfn, wait, now).await;
    }
    deps.journal.store.close_wait(wait).await?;
    Ok(())
}

/// Tells the workflow that it will never be there, after that stands in the record.
pub(crate) async fn fail(
    deps: &Deps,
    wait: &Wait,
    error: &StageError,
    now: Timestamp,
) -> Result<(), StageError> {
    let Some(mut record) = live_record(deps, wait).await? else {
        return Ok(());
    };
    let noted = record.failure.as_ref().is_some_and(|it| it.is(error));
    if !noted {
        record.failure = Some(Failure::of(error));
        deps.journal.store.save(record, now).await?;
    }
    fail_task(deps, wait, error).await
}

/// [`fail`] with an event, made of the record's status.
pub(crate) async fn fail_with(
    deps: &Deps,
    wait: &Wait,
    error: &StageError,
    event: impl FnOnce(Status) -> Change,
    now: Timestamp,
) -> Result<(), StageError> {
    let Some(record) = live_record(deps, wait).await? else {
        return Ok(());
    };
    let change = event(record.status);
    deps.journal.fail(record, change, error, now).await?;
    fail_task(deps, wait, error).await
}

async fn fail_task(deps: &Deps, wait: &Wait, error: &StageError) -> Result<(), StageError> {
    tracing::warn!(error = error.name.as_str(), "a wait has failed: {error}");
    tasks::fail(&deps.sfn, &wait.task_token, error).await?;
    deps.journal.store.close_wait(wait).await?;
    Ok(())
}

/// Whether it is asked in this minute if anybody still waits: every half hour, each wait in a minute of its own, so that
/// no sweep asks for all of them.
pub(crate) fn beats(wait: &Wait, now: Timestamp) -> bool {
    let own = wait.key.pk().bytes().fold(0_i64, |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(i64::from(byte))
    });
    (now.as_second() / 60 - own).rem_euclid(BEAT_MINUTES) == 0
}

/// The record of a wait; `None` (and the wait closed) when its attempt is over.
pub(crate) async fn live_record(
    deps: &Deps,
    wait: &Wait,
) -> Result<Option<MigrationRecord>, StageError> {
    let record = deps.journal.store.get(&wait.key).await?;
    match record {
        Some(record) if record.attempt == wait.attempt && !record.status.is_end() => {
            landfall_common::telemetry::identify(&record);
            // Whoever ordered it may have died before it told this wait. A launch that runs is told, too: the rollback
            // waits for its job.
            if let Some(order) = &record.control.cancel {
                fail_task(deps, wait, &stage::cancelled(order)).await?;
                return Ok(None);
            }
            Ok(Some(record))
        }
        _ => {
            tracing::info!(
                migrationId = wait.key.migration_id,
                "a wait of an attempt that is over is closed"
            );
            deps.journal.store.close_wait(wait).await?;
            Ok(None)
        }
    }
}
