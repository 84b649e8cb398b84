//! Word to Cloud Migration Factory that a server's migration has begun, and with it perhaps its wave.
//!
//! Each status as it was is in the record before it is changed. A wave that somebody has set further, or to something of
//! their own, is left alone. What is missing there, or is not taken, stops the migration only where the deployment says
//! so; else it is kept in the record and told with the next event.

use jiff::Timestamp;
use landfall_domain::cmf::{Records, WAVE_STARTED, Weight, not_updated, unreachable};
use landfall_domain::record::{Done, PreviousStatus};
use landfall_domain::{ErrorName, Finding, MigrationRecord, StageError};
use landfall_external::cmf::{Access, Cmf};

use crate::Deps;

/// The migration status of the server from now on.
const STATUS: &str = "Landfall: preparing";

/// The error name of everything that is refused here.
const FAULT: ErrorName = ErrorName::SourcePreparationError;

/// Tells Cloud Migration Factory, where there is one.
///
/// # Errors
/// Where the deployment requires it: `SourcePreparationError` for records that do not fit the request and for a refusal,
/// or a transient error.
pub(crate) async fn register(
    deps: &Deps,
    mut record: MigrationRecord,
    now: Timestamp,
) -> Result<MigrationRecord, StageError> {
    let Some(access) = &deps.cmf else {
        return Ok(record);
    };
    let stored = record.done.clone();
    let (cmf, records) = match look(access).await {
        Ok(found) => found,
        Err(error) if access.weight == Weight::Required => return Err(error),
        Err(error) => {
            let finding = unreachable(&error.message, access.weight);
            return note(deps, record, &stored, vec![finding], now).await;
        }
    };
    let mut findings = records.findings(&record.request, access.weight);
    if findings.iter().any(Finding::is_blocking) {
        let text = "Cloud Migration Factory's records and the request do not fit";
        return Err(StageError::new(FAULT, text).findings(findings));
    }
    let server = records.server(&record.request);
    let wave = records.wave_to_start(&record.request);
    if let (Some(server), None) = (server, &record.done.cmf) {
        record.done.cmf = Some(before(&server.id, &server.status));
    }
    if let (Some(wave), None) = (wave, &record.done.cmf_wave) {
        record.done.cmf_wave = Some(before(&wave.id, &wave.status));
    }
    record = note(deps, record, &stored, findings.clone(), now).await?;
    let stored = record.done.clone();
    let mut failed = Vec::new();
    if let Some(server) = server.filter(|server| server.status != STATUS) {
        let set = cmf.set_server_status(&server.id, STATUS).await;
        failed.extend(told(
            access,
            set,
            &format!("the server {}", server.name),
            STATUS,
        )?);
    }
    if let Some(wave) = wave {
        let set = cmf.set_wave_status(&wave.id, WAVE_STARTED).await;
        failed.extend(told(
            access,
            set,
            &format!("the wave {}", wave.name),
            WAVE_STARTED,
        )?);
    }
    findings.extend(failed);
    note(deps, record, &stored, findings, now).await
}

async fn look(access: &Access) -> Result<(Cmf, Records), StageError> {
    let cmf = access.connect(FAULT).await?;
    let records = cmf.records().await?;
    Ok((cmf, records))
}

fn before(id: &str, status: &str) -> PreviousStatus {
    PreviousStatus {
        id: id.to_owned(),
        previous: status.to_owned(),
    }
}

/// What a change that failed gives to say, where it does not stop the migration.
fn told(
    access: &Access,
    set: Result<(), StageError>,
    what: &str,
    status: &str,
) -> Result<Option<Finding>, StageError> {
    match set {
        Ok(()) => Ok(None),
        Err(error) if access.weight == Weight::Required => Err(error),
        Err(error) => Ok(Some(not_updated(what, status, &error.message))),
    }
}

/// Writes what is to be said, and what will be changed, unless the record says it already.
async fn note(
    deps: &Deps,
    mut record: MigrationRecord,
    stored: &Done,
    findings: Vec<Finding>,
    now: Timestamp,
) -> Result<MigrationRecord, StageError> {
    record.done.tell_of_cmf(findings);
    if record.done == *stored {
        return Ok(record);
    }
    for finding in &record.done.warnings {
        tracing::warn!(code = finding.code, "{}", finding.message);
    }
    deps.journal.store.save(record, now).await
}
