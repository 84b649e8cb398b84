//! What a rollback would do, or has done: read from the record alone.

use landfall_common::state::Key;
use landfall_domain::rollback::plan;
use landfall_domain::{ErrorName, StageError};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::Deps;

/// Which migration is meant.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Question {
    tenant_id: String,
    migration_id: String,
}

/// Answers `{"status", "attempt", "risk", "approvalWanted", "plan", "progress", "handOver"}`; `approvalWanted` is whether
/// it would come to the gate, where only those are asked whom a rule names. Nothing is asked outside the table: what the
/// rollback itself would first find out (a launch that nobody noted) is not in it.
///
/// # Errors
/// `ValidationError` when there is no such migration, or a transient name.
pub(crate) async fn at(deps: &Deps, question: Question) -> Result<Value, StageError> {
    let store = &deps.journal.store;
    let key = Key::new(question.tenant_id, question.migration_id);
    let (record, estimates) = tokio::try_join!(store.get(&key), store.rollback_estimates())?;
    let record = record.ok_or_else(|| {
        StageError::new(
            ErrorName::ValidationError,
            format!("there is no migration {key}"),
        )
    })?;
    let plan = plan(&record, &estimates);
    Ok(json!({
        "tenantId": record.tenant_id, "migrationId": record.migration_id, "status": record.status,
        "attempt": record.attempt, "risk": plan.risk(), "approvalWanted": plan.is_risky(), "plan": plan,
        "progress": record.rollback, "handOver": record.hand_over,
    }))
}
