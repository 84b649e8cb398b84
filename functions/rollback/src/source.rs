//! The source runs again.

use landfall_domain::{ErrorName, MigrationRecord, StageError};
use landfall_external::azure::{Azure, Power};

use crate::{Deps, REFUSED};

/// Powers the source on and waits until it runs: users come back to it next.
pub(crate) async fn power_on(deps: &Deps, record: &MigrationRecord) -> Result<String, StageError> {
    let http = deps.http.get()?;
    let machine = Azure::connect(
        &http,
        &deps.secrets,
        &record.request,
        &deps.source_api_allow,
        REFUSED,
    )
    .await?
    .ok_or_else(|| {
        StageError::new(
            REFUSED,
            "the source was powered off, and the request no longer says who controls it",
        )
    })?;
    let vm = &record.request.source_vm_id;
    match machine.power().await? {
        Power::Running => return Ok(format!("{vm} runs")),
        Power::Off => machine.start().await?,
        // Azure takes a start only from rest.
        Power::Starting | Power::Stopping | Power::Unknown => {}
    }
    if machine.is_running().await? {
        return Ok(format!("{vm} was started"));
    }
    Err(StageError::new(
        ErrorName::DependencyUnavailable,
        format!("the source {vm} does not run yet"),
    ))
}
