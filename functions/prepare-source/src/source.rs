//! What happens to the source before its agent: a snapshot.

use jiff::Timestamp;
use landfall_domain::request::{AgentKind, MigrationRequest, Step};
use landfall_domain::{ErrorName, MigrationRecord, StageError, WorkflowPlan};
use landfall_external::source::{self, SourceMachine as _};
use serde_json::{Value, json};

use crate::Deps;

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
    let Some(machine) = source::connect(&deps.sources, &record.request, refusal).await? else {
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
