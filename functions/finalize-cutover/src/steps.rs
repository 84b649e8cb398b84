//! The steps up to the point of no return, each noted before it is taken and after.

use std::time::Instant;

use jiff::Timestamp;
use landfall_common::state::Change;
use landfall_domain::finalize::{self, Evidence, State, Step};
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

/// The time as it goes on while the function runs: Route 53 may take a minute and more, and what is noted after it must not
/// be dated before.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    at: Timestamp,
    since: Instant,
}

impl Clock {
    fn starting(at: Timestamp) -> Self {
        Self {
            at,
            since: Instant::now(),
        }
    }

    /// What time it is.
    pub(crate) fn now(self) -> Timestamp {
        self.at
            .saturating_add(self.since.elapsed())
            .unwrap_or(self.at)
    }
}

/// Takes every step that is left, as far as nothing holds the switch: then the record is `AWAITING_WINDOW`.
pub(crate) async fn finalize(
    deps: &Deps,
    mut record: MigrationRecord,
    now: Timestamp,
) -> Result<MigrationRecord, StageError> {
    let clock = Clock::starting(now);
    // Before the users are moved: is there a target that can be finalized at all?
    let server_id = record.source_server_id.clone().ok_or_else(|| {
        refused("the migration has no MGN source server; nothing can be finalized")
    })?;
    let (finalized, target) =
        tokio::try_join!(is_finalized(deps, &server_id), target::find(deps, &record))?;
    if record.done.finalize.is_empty() {
        proved(&finalize::beforehand(&record), "The users are not moved")?;
    }
    for step in ORDER {
        if finalize::is_over(&record.done, step) {
            continue;
        }
        // A step that was begun is finished: half of it is worse than a window overrun, and its answer may have been lost.
        let begun = finalize::note(&record.done, step).is_some();
        if !begun
            && let Some(hold) = deps
                .holds
                .hold(&deps.journal.store, &record, clock.now())
                .await?
        {
            return hold_before(deps, record, step, hold, clock).await;
        }
        if record.status != Status::Finalizing {
            let change = Change::to(Status::Finalizing, EventType::FinalizeStarted)
                .evidence(source::intent(&record.request));
            record = Box::pin(deps.journal.advance(record, change, clock.now())).await?;
        }
        record = match step {
            Step::Dns => names::point_at_target(deps, record, &target, clock).await?,
            Step::Cmdb => records::update_cmdb(deps, record, &target, clock).await?,
            Step::TargetSealed => target::seal(deps, record, &target, clock).await?,
            Step::SourcePowerOff => Box::pin(source::power_off(deps, record, clock)).await?,
            Step::Cmf => records::update_cmf(deps, record, clock).await?,
            Step::MgnFinalize => {
                return Box::pin(end(deps, record, &server_id, finalized, clock)).await;
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
    clock: Clock,
) -> Result<MigrationRecord, StageError> {
    finalize::set(&mut record.done, step, State::Begun, intent, clock.now());
    deps.journal.store.save(record, clock.now()).await
}

/// Writes down that a step is over.
pub(crate) async fn finish(
    deps: &Deps,
    mut record: MigrationRecord,
    step: Step,
    (state, evidence): (State, Value),
    clock: Clock,
) -> Result<MigrationRecord, StageError> {
    finalize::set(&mut record.done, step, state, evidence, clock.now());
    deps.journal.store.save(record, clock.now()).await
}

/// Notes, once, what the migration waits for before its next step; its gate looks at it from then on.
async fn hold_before(
    deps: &Deps,
    mut record: MigrationRecord,
    step: Step,
    hold: Hold,
    clock: Clock,
) -> Result<MigrationRecord, StageError> {
    let change = Change::to(Status::AwaitingWindow, EventType::SwitchHeld)
        .reason(&hold.finding.code)
        .evidence(json!({
            "gate": "finalize", "before": step, "findings": [&hold.finding], "until": hold.until,
        }));
    record.held = Some(hold.finding);
    Box::pin(deps.journal.advance(record, change, clock.now())).await
}

/// The point of no return, once everything before it is proved, and the end.
async fn end(
    deps: &Deps,
    mut record: MigrationRecord,
    server_id: &str,
    finalized: bool,
    clock: Clock,
) -> Result<MigrationRecord, StageError> {
    let proof = finalize::guard(&record);
    let outcome = if finalized {
        "already in CUTOVER"
    } else {
        proved(
            &proof,
            "MGN FinalizeCutover is refused, for it cannot be undone",
        )?;
        record = begin(deps, record, Step::MgnFinalize, json!(proof), clock).await?;
        deps.mgn.finalize_cutover(server_id).await?;
        "accepted"
    };
    // One write for the point of no return and the end: a kill before it is found by the lifecycle CUTOVER.
    finalize::set(
        &mut record.done,
        Step::MgnFinalize,
        State::Done,
        outcome.into(),
        clock.now(),
    );
    record.done.finalized_at = Some(clock.now().to_string());
    let evidence = json!({
        "target": record.done.cutover.as_ref().and_then(|it| it.instance_id.clone()),
        "steps": record.done.finalize, "guard": proof, "outage": Outage::of(&record),
    });
    let change = Change::to(Status::Succeeded, EventType::MigrationSucceeded)
        .evidence(record.done.with_warnings(evidence));
    Box::pin(deps.journal.advance(record, change, clock.now())).await
}

/// Refuses to go on without evidence of every item.
fn proved(items: &[Evidence], what: &str) -> Result<(), StageError> {
    let open = finalize::missing(items);
    if open.is_empty() {
        return Ok(());
    }
    let text = format!("{what}: there is no evidence of {}", open.join(", "));
    Err(refused(text).context(json!(items).to_string()))
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
