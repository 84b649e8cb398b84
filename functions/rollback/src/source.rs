//! The source runs again.

use landfall_domain::{ErrorName, MigrationRecord, StageError};
use landfall_external::source::{self, Machine, Power, SourceMachine as _};

use crate::{Deps, REFUSED};

/// Powers the source on and waits until it runs: users come back to it next.
pub(crate) async fn power_on(deps: &Deps, record: &MigrationRecord) -> Result<String, StageError> {
    let machine = source::connect(&deps.sources, &record.request, REFUSED)
        .await?
        .ok_or_else(|| {
            StageError::new(
                REFUSED,
                "the source was powered off, and the request no longer says who controls it",
            )
        })?;
    let outcome = bring_up(&machine, &record.request.source_vm_id).await;
    machine.close().await;
    outcome
}

async fn bring_up(machine: &Machine, vm: &str) -> Result<String, StageError> {
    match machine.power().await? {
        Power::Running => return Ok(format!("{vm} runs")),
        Power::Off => machine.start().await?,
        // A start is taken only from rest.
        Power::Starting | Power::Stopping | Power::Unknown => {}
    }
    if machine.power().await? == Power::Running {
        return Ok(format!("{vm} was started"));
    }
    Err(StageError::new(
        ErrorName::DependencyUnavailable,
        format!("the source {vm} does not run yet"),
    ))
}
