//! The steps up to the point of no return, each noted before it is taken and after.

use jiff::Timestamp;
use landfall_common::state::Change;
use landfall_domain::finalize::{self, State, Step};
use landfall_domain::outage::Outage;
use landfall_domain::{EventType, MigrationRecord, StageError, Status};
use landfall_gates::Hold;
use serde_json::{Value, json};

use crate::{Deps, REFUSED, names, records, source, target};

/// The order of the night.
const ORDER: [Step; 6] = [
    Step::Dns,
    Step::Cmdb,
    Step::TargetSealed,
    Step::SourcePowerOff,
    Step::Cmf,
    Step::MgnFinalize,
];

/// Takes every step that is left, as far as nothing holds the switch: then the record is `AWAITING_WINDOW`.
pub(crate) async fn finalize(
    deps: &Deps,
    mut record: MigrationRecord,
    now: Timestamp,
) -> Result<MigrationRecord, StageError> {
    // Before the users are moved: is there a target that can be finalized at all?
    let server_id = record.source_server_id.clone().ok_or_else(|| {
        refused("the migration has no MGN source server; nothing can be finalized")
    })?;
    let (finalized, target) =
        tokio::try_join!(is_finalized(deps, &server_id), target::find(deps, &record))?;
    for step in ORDER {
        if finalize::is_over(&record.done, step) {
            continue;
        }
        // Past the point of no return there is nothing to hold: the answer to that call was lost.
        if !finalized && let Some(hold) = deps.holds.hold(&deps.journal.store, &record, now).await?
        {
            return hold_before(deps, record, step, hold, now).await;
        }
        if record.status != Status::Finalizing {
            let change = Change::to(Status::Finalizing, EventType::FinalizeStarted)
                .evidence(source::intent(&record.request));
            record = Box::pin(deps.journal.advance(record, change, now)).await?;
        }
        record = match step {
            Step::Dns => names::point_at_target(deps, record, &target, now).await?,
            Step::Cmdb => records::update_cmdb(deps, record, &target, now).await?,
            Step::TargetSealed => target::seal(deps, record, &target, now).await?,
            Step::SourcePowerOff => source::power_off(deps, record, now).await?,
            Step::Cmf => records::update_cmf(deps, record, now).await?,
            Step::MgnFinalize => {
                return Box::pin(end(deps, record, &server_id, finalized, now)).await;
            }
        };
    }
    Ok(record)
}

/// Writes down that a step is about to be taken, with what must be known to undo it. A write that fails when the record
/// has changed: this run may have outlived its time-out, and a rollback may be moving the users back.
pub(crate) async fn begin(
    deps: &Deps,
    mut record: MigrationRecord,
    step: Step,
    intent: Value,
    now: Timestamp,
) -> Result<MigrationRecord, StageError> {
    finalize::set(&mut record.done, step, State::Begun, intent, now);
    deps.journal.store.save(record, now).await
}

/// Writes down that a step is over.
pub(crate) async fn finish(
    deps: &Deps,
    mut record: MigrationRecord,
    step: Step,
    (state, evidence): (State, Value),
    now: Timestamp,
) -> Result<MigrationRecord, StageError> {
    finalize::set(&mut record.done, step, state, evidence, now);
    deps.journal.store.save(record, now).await
}

/// Notes, once, what the migration waits for before its next step; its gate looks at it from then on.
async fn hold_before(
    deps: &Deps,
    mut record: MigrationRecord,
    step: Step,
    hold: Hold,
    now: Timestamp,
) -> Result<MigrationRecord, StageError> {
    let change = Change::to(Status::AwaitingWindow, EventType::SwitchHeld)
        .reason(&hold.finding.code)
        .evidence(json!({
            "gate": "finalize", "before": step, "findings": [&hold.finding], "until": hold.until,
        }));
    record.held = Some(hold.finding);
    Box::pin(deps.journal.advance(record, change, now)).await
}

/// The point of no return, once everything before it is proved, and the end.
async fn end(
    deps: &Deps,
    mut record: MigrationRecord,
    server_id: &str,
    finalized: bool,
    now: Timestamp,
) -> Result<MigrationRecord, StageError> {
    let proof = finalize::guard(&record);
    let outcome = if finalized {
        "already in CUTOVER"
    } else {
        let open = finalize::missing(&proof);
        if !open.is_empty() {
            return Err(refused(format!(
                "MGN FinalizeCutover is refused, for it cannot be undone: there is no evidence of {}",
                open.join(", ")
            ))
            .context(json!(proof).to_string()));
        }
        record = begin(deps, record, Step::MgnFinalize, json!(proof), now).await?;
        deps.mgn.finalize_cutover(server_id).await?;
        "accepted"
    };
    // One write for the point of no return and the end: a kill before it is found by the lifecycle CUTOVER.
    finalize::set(
        &mut record.done,
        Step::MgnFinalize,
        State::Done,
        outcome.into(),
        now,
    );
    record.done.finalized_at = Some(now.to_string());
    let evidence = json!({
        "target": record.done.cutover.as_ref().and_then(|it| it.instance_id.clone()),
        "steps": record.done.finalize, "guard": proof, "outage": Outage::of(&record),
    });
    let change = Change::to(Status::Succeeded, EventType::MigrationSucceeded)
        .evidence(record.done.with_warnings(evidence));
    Box::pin(deps.journal.advance(record, change, now)).await
}

/// Whether MGN has finalized the server already.
async fn is_finalized(deps: &Deps, server_id: &str) -> Result<bool, StageError> {
    let server = deps
        .mgn
        .server(server_id)
        .await?
        .ok_or_else(|| refused(format!("MGN no longer knows the source server {server_id}")))?;
    match server.lifecycle.as_str() {
        "CUTOVER" => Ok(true),
        "CUTTING_OVER" => Ok(false),
        other => Err(refused(format!(
            "source server {server_id} is {other} in MGN; only a server in CUTTING_OVER can be finalized. Somebody \
             changed its lifecycle: resubmit the migration"
        ))),
    }
}

fn refused(message: impl Into<String>) -> StageError {
    StageError::new(REFUSED, message)
}
