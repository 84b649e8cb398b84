//! A person must look: nothing automatic touches the migration any more.

use jiff::Timestamp;
use landfall_common::state::Change;
use landfall_common::telemetry::{self, Unit};
use landfall_domain::rollback::plan;
use landfall_domain::{EventType, MigrationRecord, StageError, Status};
use serde_json::{Value, json};

use crate::{Deps, Input, Progress, REFUSED, reason};

/// The metric that the alarm for frozen migrations watches (terraform/alarms.tf).
const FROZEN_METRIC: &str = "FrozenMigrations";

/// Ends a rollback that was refused, with what it did and what it did not.
pub(crate) async fn after(
    deps: &Deps,
    record: MigrationRecord,
    progress: &Progress<'_>,
    now: Timestamp,
) -> Result<MigrationRecord, StageError> {
    let evidence = json!({
        "failure": record.failure,
        "done": progress.done,
        "kept": progress.plan.kept,
        "irreversible": progress.plan.irreversible,
        "notDone": progress.not_done(),
        "because": progress.because,
    });
    let failed = Change::to(record.status, EventType::RollbackFailed)
        .reason(REFUSED.as_str())
        .evidence(evidence.clone());
    let record = Box::pin(deps.journal.advance(record, failed, now)).await?;
    write(deps, record, evidence, now).await
}

/// Writes that a rollback died, with what it died of. How far it came nobody knows, so the evidence is its whole plan.
pub(crate) async fn only(
    deps: &Deps,
    mut record: MigrationRecord,
    input: &Input,
    now: Timestamp,
) -> Result<MigrationRecord, StageError> {
    record.failure = Some(input.failure.failure(record.failure.take()));
    let caught = input.caught.failure(None);
    tracing::error!(
        error = caught.error,
        "the rollback died: {}",
        caught.message
    );
    let evidence = json!({
        "failure": record.failure,
        "plan": plan(&record),
        "caught": caught,
        "because": format!("the rollback died: {}: {}", caught.error, caught.message),
    });
    write(deps, record, evidence, now).await
}

async fn write(
    deps: &Deps,
    record: MigrationRecord,
    evidence: Value,
    now: Timestamp,
) -> Result<MigrationRecord, StageError> {
    // Before the write: one that fails is tried again, and an alarm too many is better than none.
    telemetry::metric("rollback", FROZEN_METRIC, 1.0, Unit::Count);
    let frozen = Change::to(Status::Frozen, EventType::MigrationFrozen)
        .reason(reason(&record))
        .evidence(evidence);
    Box::pin(deps.journal.advance(record, frozen, now)).await
}
