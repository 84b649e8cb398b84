//! The source: powered off, so that two copies never serve users at once.

use jiff::Timestamp;
use landfall_domain::{ErrorName, MigrationRecord, StageError};
use landfall_external::azure::{Azure, Power};
use serde_json::Value;

use crate::{Deps, REFUSED, step};

/// Powers the source off where somebody controls it.
pub(crate) async fn power_off(
    deps: &Deps,
    mut record: MigrationRecord,
    now: Timestamp,
    evidence: &mut Vec<Value>,
) -> Result<MigrationRecord, StageError> {
    if record.request.source_control.is_none() {
        evidence.push(step(
            "SOURCE_POWER_OFF",
            "left to a person: no sourceControl",
        ));
        return Ok(record);
    }
    let http = deps.http.get()?;
    let Some(machine) = Azure::connect(
        &http,
        &deps.secrets,
        &record.request,
        &deps.source_api_allow,
        REFUSED,
    )
    .await?
    else {
        evidence.push(step(
            "SOURCE_POWER_OFF",
            "left to a person: sourceControl is none",
        ));
        return Ok(record);
    };
    let power = machine.power().await?;
    if power == Power::Off && record.done.source_powered_off_at.is_none() {
        // Somebody else did, so a rollback leaves it off.
        evidence.push(step("SOURCE_POWER_OFF", "was off before"));
        return Ok(record);
    }
    if record.done.source_powered_off_at.is_none() {
        // Noted first: a rollback must start a source whose power-off was asked for, even if nobody saw it happen.
        record.done.source_powered_off_at = Some(now.to_string());
        record = deps.journal.store.save(record, now).await?;
    }
    if !matches!(power, Power::Off | Power::Stopping) {
        machine.power_off().await?;
        if machine.power().await? != Power::Off {
            return Err(going_off(&record));
        }
    } else if power == Power::Stopping {
        return Err(going_off(&record));
    }
    evidence.push(step("SOURCE_POWER_OFF", "off"));
    Ok(record)
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
