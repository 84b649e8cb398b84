//! A person must look: nothing automatic touches the migration any more.

use jiff::Timestamp;
use landfall_common::state::Change;
use landfall_common::telemetry::{self, Unit};
use landfall_domain::rollback::{Estimates, HandOver, RollbackPlan, plan};
use landfall_domain::{ErrorName, EventType, MigrationRecord, StageError, Status};
use serde_json::{Value, json};

use crate::run::reason;
use crate::{Deps, Input, REFUSED};

/// The metric that the alarm for frozen migrations watches (terraform/alarms.tf).
const FROZEN_METRIC: &str = "FrozenMigrations";

/// Ends a rollback that cannot go on, with what it did and what it did not.
pub(crate) async fn after(
    deps: &Deps,
    mut record: MigrationRecord,
    hand_over: &HandOver,
    now: Timestamp,
) -> Result<MigrationRecord, StageError> {
    record.hand_over = Some(hand_over.clone());
    let mut evidence = hand_over.evidence();
    evidence["failure"] = json!(record.failure);
    let failed = Change::to(record.status, EventType::RollbackFailed)
        .reason(REFUSED.as_str())
        .evidence(evidence.clone());
    let record = Box::pin(deps.journal.advance(record, failed, now)).await?;
    write(deps, record, evidence, now).await
}

/// Writes that a rollback died, with what it died of. What it did since it last wrote down how far it came nobody knows, so
/// the evidence has its whole plan. One that was ordered, and refused before it began, leaves the migration as it was.
pub(crate) async fn only(
    deps: &Deps,
    mut record: MigrationRecord,
    input: &Input,
    now: Timestamp,
) -> Result<MigrationRecord, StageError> {
    record.failure = Some(input.failure.failure(record.failure.take()));
    let caught = input.caught.failure(None);
    let refused = caught.error == ErrorName::ApprovalError.as_str();
    let refused = refused && !record.is_being_undone();
    if refused && record.stands_as().is_some() {
        return stand(deps, record, &caught.message, now).await;
    }
    tracing::error!(
        error = caught.error,
        "the rollback died: {}",
        caught.message
    );
    let plan = plan(&record, &Estimates::default());
    let progress = record.rollback.clone().unwrap_or_default();
    let hand_over = if refused {
        // It has not begun. Whoever reads this must not begin it by hand.
        let because = format!(
            "the rollback was refused and nothing was undone: {}. Leave everything as it is, users where they are; \
             `landfall rollback` asks again, `landfall release` says that it stays so",
            caught.message
        );
        let nothing = RollbackPlan {
            compensations: Vec::new(),
            ..plan.clone()
        };
        HandOver::of(&record, &nothing, &progress, &because)
    } else {
        let because = format!("the rollback died: {}: {}", caught.error, caught.message);
        HandOver::of(&record, &plan, &progress, &because)
    };
    let mut evidence = hand_over.evidence();
    evidence["failure"] = json!(record.failure);
    evidence["plan"] = json!(plan);
    evidence["caught"] = json!(caught);
    record.hand_over = Some(hand_over);
    write(deps, record, evidence, now).await
}

/// Writes that people refused an ordered rollback: nothing was touched, so the migration stands as the attempt before left it.
async fn stand(
    deps: &Deps,
    mut record: MigrationRecord,
    because: &str,
    now: Timestamp,
) -> Result<MigrationRecord, StageError> {
    let Some(before) = record.undoes.clone() else {
        return Ok(record);
    };
    tracing::info!(
        status = before.status.as_str(),
        "the rollback was refused: {because}"
    );
    record.failure = before.failure;
    record.rollback = before.rollback;
    record.phase_millis = before.phase_millis;
    let change = Change::to(before.status, EventType::RollbackRefused)
        .reason(ErrorName::ApprovalError.as_str())
        .evidence(json!({ "because": because, "order": record.control.ordered }));
    Box::pin(deps.journal.advance(record, change, now)).await
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
