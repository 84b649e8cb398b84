//! The source: powered off, so that two copies never serve users at once.

use jiff::{SignedDuration, Timestamp};
use landfall_domain::finalize::{State, Step};
use landfall_domain::{ErrorName, MigrationRecord, MigrationRequest, StageError};
use landfall_external::source::{self, Machine, Power, SourceMachine as _};
use serde_json::{Value, json};

use crate::steps::{Clock, begin, finish};
use crate::{Deps, REFUSED};

/// How long the source's operating system may take to shut down before its power is cut.
const GRACE: SignedDuration = SignedDuration::from_mins(5);

/// The outcome where nobody controls the source.
const LEFT: &str =
    "left to a person: the request names no sourceControl that could power the source off";

/// What is about to happen to the source, for the history: a person who must do it should read that before the end.
pub(crate) fn intent(request: &MigrationRequest) -> Value {
    let power_off = match request.controlled_source() {
        Some(_) => "to be done",
        None => LEFT,
    };
    json!({ "sourcePowerOff": power_off })
}

/// Powers the source off where somebody controls it.
pub(crate) async fn power_off(
    deps: &Deps,
    record: MigrationRecord,
    clock: Clock,
) -> Result<MigrationRecord, StageError> {
    let Some(machine) = source::connect(&deps.sources, &record.request, REFUSED).await? else {
        let left = (State::Left, LEFT.into());
        return finish(deps, record, Step::SourcePowerOff, left, clock).await;
    };
    let outcome = bring_down(deps, &machine, record, clock).await;
    machine.close().await;
    outcome
}

async fn bring_down(
    deps: &Deps,
    machine: &Machine,
    mut record: MigrationRecord,
    clock: Clock,
) -> Result<MigrationRecord, StageError> {
    let over = |record, seen: &str| {
        let seen = (State::Done, seen.into());
        finish(deps, record, Step::SourcePowerOff, seen, clock)
    };
    let power = machine.power().await?;
    if power == Power::Off && record.done.source_powered_off_at.is_none() {
        // Somebody else did, so a rollback leaves it off.
        return over(record, "was off before").await;
    }
    if record.done.source_powered_off_at.is_none() {
        // Noted first: a rollback must start a source whose power-off was asked for, even if nobody saw it happen.
        record.done.source_powered_off_at = Some(clock.now().to_string());
        record = begin(deps, record, Step::SourcePowerOff, Value::Null, clock).await?;
    }
    if power != Power::Off {
        if is_overdue(&record, clock.now()) {
            tracing::warn!("the source does not shut down by itself; its power is cut");
            machine.force_off().await?;
        } else if power != Power::Stopping {
            machine.power_off().await?;
        }
        if power == Power::Stopping || machine.power().await? != Power::Off {
            return Err(going_off(&record));
        }
    }
    over(record, "off").await
}

/// Whether the shutdown was asked for so long ago that it will not come to an end by itself.
fn is_overdue(record: &MigrationRecord, now: Timestamp) -> bool {
    let asked = record.done.source_powered_off_at.as_deref();
    let asked: Option<Timestamp> = asked.and_then(|at| at.parse().ok());
    asked.is_some_and(|at| now.duration_since(at) > GRACE)
}

fn going_off(record: &MigrationRecord) -> StageError {
    StageError::new(
        ErrorName::DependencyUnavailable,
        format!(
            "the source {} is on its way off",
            record.request.source_vm_id
        ),
    )
}
