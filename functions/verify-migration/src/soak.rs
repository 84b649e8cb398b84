//! A round of the soak: the cutover's checks once more, each from its beginning.

use jiff::Timestamp;
use landfall_common::state::Change;
use landfall_domain::record::LaunchAction;
use landfall_domain::soak::{Soak, Want};
use landfall_domain::{EventType, MigrationRecord, StageError, Status};
use serde_json::json;

use crate::{Deps, round};

/// Repeats the checks where a round is over; tells whether the soak is.
///
/// # Errors
/// Those of the checks.
pub(crate) async fn check(
    deps: &Deps,
    mut record: MigrationRecord,
    retry_count: u32,
    now: Timestamp,
) -> Result<(MigrationRecord, bool), StageError> {
    if record.stage() != Status::Soaking {
        // A late second run: the finalize has begun.
        return Ok((record, true));
    }
    let mut soak = record.done.soak.clone().unwrap_or_else(|| {
        // It began before its rounds were kept in the record.
        let seconds = record.request.policy.soak_seconds.unwrap_or(0);
        Soak::begin(seconds, record.status_since.parse().unwrap_or(now))
    });
    match soak.wants(now) {
        Want::Nothing => return Ok((record, true)),
        Want::Time => return Ok((record, false)),
        Want::Checks => {}
    }
    if !soak.checking {
        // What the round before has seen says nothing of this one.
        soak.checking = true;
        record.done.soak = Some(soak.clone());
        record.done.health = None;
    }
    let cutover = LaunchAction::Cutover;
    record = Box::pin(round::check(deps, record, cutover, retry_count, now)).await?;
    soak.pass(now);
    let over = soak.is_over();
    let mut evidence = json!({ "round": soak.round, "rounds": soak.rounds });
    if let Some(health) = &record.done.health {
        evidence["checks"] = json!(health.checks);
    }
    record.done.soak = Some(soak);
    let change = Change::to(record.status, EventType::SoakChecked).evidence(evidence);
    let record = Box::pin(deps.journal.advance(record, change, now)).await?;
    Ok((record, over))
}
