//! Launches that an operator, a window or a freeze holds back although MGN would take them.

use jiff::Timestamp;
use landfall_common::stage;
use landfall_common::state::wait::Wait;
use landfall_domain::record::LaunchAction;
use landfall_domain::{Finding, MigrationRecord, StageError};
use landfall_tasks::{self as tasks, Told};
use serde_json::json;

use crate::{Deps, finish};

/// Whether a launch may start now. A test of a paused migration stays in the queue; a cutover that anything holds goes back
/// to its gate, which waits longer than a queue and says what for.
///
/// # Errors
/// Transient ones; the launch stays pending.
pub(crate) async fn may_start(
    deps: &Deps,
    action: LaunchAction,
    wait: &Wait,
    now: Timestamp,
) -> Result<bool, StageError> {
    let store = &deps.journal.store;
    let record = store.require(&wait.key).await?;
    if record.attempt != wait.attempt || record.status.is_end() {
        // Nobody goes on with it: its token is found dead.
        return Ok(true);
    }
    if Box::pin(end_cancelled(deps, &record, wait, now)).await? {
        return Ok(false);
    }
    if action == LaunchAction::Test {
        let paused = record.control.paused.is_some();
        if paused {
            store.follow_pause(&wait.key, now).await?;
        }
        return Ok(!paused);
    }
    let Some(hold) = deps.holds.hold(store, &record, now).await? else {
        return Ok(true);
    };
    // What the gate may see otherwise, as a calendar that only this function cannot read, would send it to and fro.
    if hold.finding.code == "FREEZE_UNREADABLE" {
        finish::held(deps, wait, hold.finding, now).await?;
    } else {
        give_back(deps, wait, &hold.finding, now).await?;
    }
    Ok(false)
}

/// Fails the task of a launch whose migration an operator has ended: the order may have come when no launch was open yet.
/// Whether it was ended. One that MGN was never asked for is closed; of any other the rollback must know.
///
/// # Errors
/// Transient ones; it may be repeated.
pub(crate) async fn end_cancelled(
    deps: &Deps,
    record: &MigrationRecord,
    wait: &Wait,
    now: Timestamp,
) -> Result<bool, StageError> {
    let Some(order) = &record.control.cancel else {
        return Ok(false);
    };
    // Told first: a launch that is closed is never looked at again.
    let told = tasks::fail(&deps.sfn, &wait.task_token, &stage::cancelled(order)).await?;
    if wait.intent_id.is_some() || wait.job_id.is_some() {
        return Ok(true);
    }
    if told == Told::Nobody {
        Box::pin(tasks::bury(&deps.journal, &deps.sfn, wait, now)).await?;
    } else {
        deps.journal.store.close_wait(wait).await?;
    }
    Ok(true)
}

/// Ends the turn of a launch that was not started, and lets the workflow come back with it.
async fn give_back(
    deps: &Deps,
    wait: &Wait,
    why: &Finding,
    now: Timestamp,
) -> Result<(), StageError> {
    let store = &deps.journal.store;
    // Of a batch that MGN never saw. It keeps the name among its intents: a job that shows late is still its own.
    if let Some(intent) = &wait.intent_id
        && !store.release_launch(wait, intent).await?
    {
        return Ok(());
    }
    tracing::info!(
        migrationId = wait.key.migration_id,
        reasonCode = why.code,
        "a cutover launch goes back to its gate: {}",
        why.message
    );
    // Told first: a launch that is closed is never looked at again.
    if tasks::succeed(&deps.sfn, &wait.task_token, &json!({ "held": true })).await? == Told::Nobody
    {
        return tasks::bury(&deps.journal, &deps.sfn, wait, now).await;
    }
    store.close_wait(wait).await?;
    Ok(())
}
