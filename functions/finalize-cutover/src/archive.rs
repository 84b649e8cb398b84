//! The end of the retention: the source is deleted where that was agreed to, and its server is archived in MGN.
//!
//! The migration has succeeded, and stays so whatever becomes of this.

use jiff::Timestamp;
use landfall_common::Key;
use landfall_common::state::Change;
use landfall_domain::decommission::obstacle;
use landfall_domain::finalize::State;
use landfall_domain::gate::Gate;
use landfall_domain::record::Decommission;
use landfall_domain::{ErrorName, EventType, Finding, MigrationRecord, StageError};
use landfall_external::source::{self, Removal, SourceMachine as _};
use serde_json::json;

use crate::{Deps, REFUSED};

/// Why the retention was not ended.
enum Stop {
    /// Something was refused, or is not there now.
    Failed(StageError),
    /// The source runs, so that it was not deleted.
    InUse(StageError),
}

impl From<StageError> for Stop {
    fn from(error: StageError) -> Self {
        Self::Failed(error)
    }
}

/// Ends the retention. Why it could not be ended is kept in the record: the workflow ends well all the same, and nobody
/// else would tell.
pub(crate) async fn archive(
    deps: &Deps,
    record: MigrationRecord,
    now: Timestamp,
) -> Result<MigrationRecord, StageError> {
    let key = Key::of(&record);
    let (error, in_use) = match Box::pin(go_on(deps, record, now)).await {
        Ok(record) => return Ok(record),
        Err(Stop::InUse(error)) => (error, true),
        Err(Stop::Failed(error)) if error.name.is_transient() => return Err(error),
        Err(Stop::Failed(error)) => (error, false),
    };
    let mut record = deps.journal.store.require(&key).await?;
    let known = record.done.clone();
    if in_use {
        // It is there after all: an order to roll back has somewhere to go back to.
        record.done.decommission = None;
    }
    record.done.warn(
        Finding::warning("NOT_ARCHIVED", "/policy/retention", error.message.as_str())
            .remedy("See to it by hand: the retention is over, and Landfall does not try again."),
    );
    if record.done != known {
        deps.journal.store.save(record, now).await?;
    }
    Err(error)
}

/// Goes as far as it can be gone now; what is done already is skipped.
async fn go_on(
    deps: &Deps,
    mut record: MigrationRecord,
    now: Timestamp,
) -> Result<MigrationRecord, Stop> {
    let retention = record.request.policy.retention.clone();
    let retention = retention
        .ok_or_else(|| refused("the request has no policy.retention; nothing is archived"))?;
    let decommission = record.done.decommission.as_ref();
    let gone = decommission.is_some_and(|it| it.state == State::Done);
    if retention.decommission_source && !gone {
        record = Box::pin(decommission_source(deps, record, now)).await?;
    }
    if record.done.archived_at.is_some() {
        return Ok(record);
    }
    let (mut record, outcome) = Box::pin(archive_server(deps, record, now)).await?;
    record.done.archived_at = Some(now.to_string());
    let change = Change::to(record.status, EventType::ServerArchived)
        .evidence(json!({ "outcome": outcome }));
    Ok(Box::pin(deps.journal.advance(record, change, now)).await?)
}

/// Whether people have said yes: a gate that asks nobody is no agreement to what cannot be undone.
fn is_agreed(record: &MigrationRecord) -> bool {
    let gate = record.gate(Gate::Decommission);
    let agreed = gate.is_some_and(|gate| gate.answers.iter().any(|answer| answer.approve));
    agreed && record.may_pass(Gate::Decommission)
}

async fn decommission_source(
    deps: &Deps,
    mut record: MigrationRecord,
    now: Timestamp,
) -> Result<MigrationRecord, Stop> {
    if !is_agreed(&record) {
        return Err(refused(
            "nobody has agreed to delete the source: it stays, and so does its server in MGN",
        )
        .into());
    }
    if let Some(finding) = obstacle(&record.request, &deps.sources.removable) {
        return Err(refused(finding.message.clone())
            .findings(vec![finding])
            .into());
    }
    let machine = source::connect(&deps.sources, &record.request, REFUSED).await?;
    let machine = machine.ok_or_else(|| refused("the request names no source to delete"))?;
    if record.done.decommission.is_none() {
        // Noted first: whoever looks at the record must not take a source that may be gone for one that is there.
        record.done.decommission = Some(Decommission {
            state: State::Begun,
            at: now.to_string(),
        });
        record = deps.journal.store.save(record, now).await?;
    }
    let removal = machine.remove().await;
    machine.close().await;
    match removal? {
        Removal::Gone => {}
        Removal::UnderWay => {
            return Err(StageError::new(
                ErrorName::DependencyUnavailable,
                format!(
                    "the source {} is being deleted",
                    record.request.source_vm_id
                ),
            )
            .into());
        }
        Removal::NotOff => {
            return Err(Stop::InUse(refused(format!(
                "the source {} is not off: somebody started it after the migration, so it is not deleted. Find out who \
                 needs it",
                record.request.source_vm_id
            ))));
        }
    }
    record.done.decommission = Some(Decommission {
        state: State::Done,
        at: now.to_string(),
    });
    let by: Vec<String> = record
        .gate(Gate::Decommission)
        .into_iter()
        .flat_map(|gate| gate.answers.iter().map(|answer| answer.by.clone()))
        .collect();
    let change = Change::to(record.status, EventType::SourceDecommissioned)
        .evidence(json!({ "sourceVmId": record.request.source_vm_id, "approvedBy": by }));
    Ok(Box::pin(deps.journal.advance(record, change, now)).await?)
}

/// Archives the server in MGN, which is noted first; gives the record as it is then, and what became of the server.
async fn archive_server(
    deps: &Deps,
    mut record: MigrationRecord,
    now: Timestamp,
) -> Result<(MigrationRecord, &'static str), StageError> {
    let server_id = record.source_server_id.clone();
    let server_id = server_id.ok_or_else(|| {
        refused("the migration has no MGN source server; nothing can be archived")
    })?;
    // What MGN shows no more is archived or deleted: either way it takes no place.
    let Some(server) = deps.mgn.server(&server_id).await? else {
        let outcome = match record.done.archiving_at {
            Some(_) => "archived",
            None => "was archived before",
        };
        return Ok((record, outcome));
    };
    // MGN archives from these two only (API reference, MarkAsArchived); any other says that somebody uses it again.
    if !matches!(server.lifecycle.as_str(), "CUTOVER" | "DISCONNECTED") {
        return Err(refused(format!(
            "source server {server_id} is {} in MGN; only one in CUTOVER or DISCONNECTED can be archived. Somebody uses it \
             again",
            server.lifecycle
        )));
    }
    if record.done.archiving_at.is_none() {
        record.done.archiving_at = Some(now.to_string());
        record = deps.journal.store.save(record, now).await?;
    }
    deps.mgn.archive(&server_id).await?;
    Ok((record, "archived"))
}

fn refused(message: impl Into<String>) -> StageError {
    StageError::new(REFUSED, message)
}
