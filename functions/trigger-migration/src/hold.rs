//! Cutover launches that a window or a freeze holds back although MGN would take them. A pause keeps a launch out of what is
//! pending.

use jiff::Timestamp;
use landfall_common::stage;
use landfall_common::state::Change;
use landfall_common::state::wait::Wait;
use landfall_domain::record::LaunchAction;
use landfall_domain::{EventType, MigrationRecord, StageError, Status};
use landfall_tasks as tasks;
use serde_json::json;

use crate::{Deps, finish};

/// Whether a launch may start now. One that may not is noted as held, with the event that tells it, when the reason is
/// another than before; one that was held and may is told to go on.
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
    if let Some(order) = &record.control.cancel {
        tasks::fail(&deps.sfn, &wait.task_token, &stage::cancelled(order)).await?;
        return Ok(false);
    }
    if record.control.paused.is_some() {
        store.pause_waits(&wait.key, true).await?;
        return Ok(false);
    }
    if action == LaunchAction::Test {
        return Ok(true);
    }
    let hold = deps.holds.hold(store, &record, now).await?;
    let Some(hold) = hold else {
        go_on(deps, record, now).await?;
        return Ok(true);
    };
    let code = hold.finding.code.clone();
    if code == "WINDOW_NEVER_OPENS" {
        let text = hold.finding.message.clone();
        finish::failed(deps, wait, action, &text, vec![hold.finding], now).await?;
        return Ok(false);
    }
    let known = record.status == Status::AwaitingWindow
        && record.held.as_ref().is_some_and(|it| it.code == code);
    if !known {
        let change = Change::to(Status::AwaitingWindow, EventType::SwitchHeld)
            .reason(code.as_str())
            .evidence(
                json!({ "launch": action, "findings": [&hold.finding], "until": hold.until }),
            );
        let mut record = record;
        record.held = Some(hold.finding);
        Box::pin(deps.journal.advance(record, change, now)).await?;
    }
    if wait.held.as_deref() != Some(code.as_str()) {
        store.hold_launch(wait, &code).await?;
    }
    Ok(false)
}

/// Takes a migration that was held back to where it goes on.
pub(crate) async fn go_on(
    deps: &Deps,
    mut record: MigrationRecord,
    now: Timestamp,
) -> Result<MigrationRecord, StageError> {
    let Some(back) = record.held_from else {
        return Ok(record);
    };
    let change =
        Change::to(back, EventType::SwitchContinued).evidence(json!({ "waitedFor": record.held }));
    record.held = None;
    Box::pin(deps.journal.advance(record, change, now)).await
}

/// What has held a launch to the last, in a person's words; `None` for one that waited for MGN.
pub(crate) async fn lasting(deps: &Deps, wait: &Wait) -> Result<Option<String>, StageError> {
    let record = deps.journal.store.require(&wait.key).await?;
    let held = record.held.filter(|_| record.held_from.is_some());
    Ok(held.map(|finding| finding.message))
}
