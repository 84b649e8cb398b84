//! What happens to the source before its agent: a snapshot, and word to Cloud Migration Factory.

use jiff::Timestamp;
use landfall_domain::record::PreviousStatus;
use landfall_domain::request::{AgentKind, MigrationRequest, Step};
use landfall_domain::{ErrorName, MigrationRecord, StageError, WorkflowPlan};
use landfall_external::cmf::Cmf;
use landfall_external::source::{self, SourceMachine as _};
use serde_json::{Value, json};

use crate::Deps;

/// The migration status that Cloud Migration Factory shows from now on.
const CMF_STATUS: &str = "Landfall: preparing";

/// What is about to happen, for the history: also what is left to a person.
pub(crate) fn intent(request: &MigrationRequest) -> Value {
    let controlled = request.controlled_source().is_some();
    let snapshot = match (request.wants(Step::Freeze), controlled) {
        (true, true) => "to be taken",
        (true, false) => "left to a person: the request names no sourceControl that could take it",
        (false, _) => "not asked for",
    };
    let agent = match (WorkflowPlan::of(request).replicate, request.agent_kind()) {
        (false, _) => "not asked for",
        (true, AgentKind::Install) => "to be installed, unless MGN has the server",
        (true, AgentKind::Preinstalled) => "installed by somebody else",
        (true, AgentKind::Agentless) => "none: MGN ships snapshots",
    };
    json!({ "snapshot": snapshot, "agent": agent })
}

/// Takes the source's snapshot where `freeze` is asked for and somebody controls the source, once.
///
/// The record tells of it before it is asked for: `done.snapshot` is the snapshot's name from then on, and its ID once
/// it is taken. A run that is cut off, or given up while the platform still works, leaves a snapshot that is paid for.
///
/// # Errors
/// `DependencyUnavailable` while the platform takes it, which may be for minutes; `SourcePreparationError` for a refusal.
pub(crate) async fn snapshot(
    deps: &Deps,
    mut record: MigrationRecord,
    now: Timestamp,
) -> Result<MigrationRecord, StageError> {
    // The name is the idempotency key: the second run finds the first one's snapshot.
    let name = source::snapshot_name(&format!(
        "landfall-{}-{}",
        record.migration_id, record.attempt
    ));
    let noted = record.done.snapshot.as_ref();
    let taken = noted.is_some_and(|note| *note != name);
    if !record.request.wants(Step::Freeze) || taken {
        return Ok(record);
    }
    let refusal = ErrorName::SourcePreparationError;
    let Some(machine) = source::connect(&deps.sources(), &record.request, refusal).await? else {
        return Ok(record);
    };
    if record.done.snapshot.is_none() {
        record.done.snapshot = Some(name.clone());
        record = deps.journal.store.save(record, now).await?;
    }
    let id = machine.snapshot(&name).await;
    machine.close().await;
    let id = id?;
    tracing::info!(snapshotId = id, "the source's snapshot is taken");
    record.done.snapshot = Some(id);
    deps.journal.store.save(record, now).await
}

/// Tells Cloud Migration Factory, where there is one and it knows the server. The status before is saved
/// first, so that a rollback can put it back whatever happens after.
pub(crate) async fn register(
    deps: &Deps,
    mut record: MigrationRecord,
    now: Timestamp,
) -> Result<MigrationRecord, StageError> {
    let Some(url) = &deps.cmf_url else {
        return Ok(record);
    };
    let cmf = Cmf::new(&deps.http.get()?, url, ErrorName::SourcePreparationError)?;
    if record.done.cmf.is_none() {
        let name = server_name(&record.request);
        let Some(server) = cmf.server(name).await? else {
            tracing::info!(
                serverName = name,
                "Cloud Migration Factory has no such server"
            );
            return Ok(record);
        };
        record.done.cmf = Some(PreviousStatus {
            id: server.id,
            previous: server.status,
        });
        record = deps.journal.store.save(record, now).await?;
    }
    if let Some(entry) = &record.done.cmf {
        cmf.set_status(&entry.id, CMF_STATUS).await?;
    }
    Ok(record)
}

/// The name Cloud Migration Factory knows the server by: the machine's own, where the request tells it.
fn server_name(request: &MigrationRequest) -> &str {
    request
        .source_control
        .as_ref()
        .and_then(|control| control.vm_name.as_deref())
        .unwrap_or(&request.source_vm_id)
}
