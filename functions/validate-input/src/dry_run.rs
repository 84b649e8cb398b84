//! A dry run: the checks of a request that nobody submitted.
//!
//! The event is `{"dryRun": true, "request": {…}}`, the answer `{"migrationId", "tenantId", "findings", "plan",
//! "settingsDigest", "sourceServerId"}`. With `"diff": true` also `"differences"`, a list of `{"field", "present", "wanted",
//! "resync"}` between the launch settings of the server and what the request wants, where MGN has the server. Nothing is written, neither state nor event.

use landfall_common::state::Key;
use landfall_common::{Invocation, stage};
use landfall_domain::{
    ErrorName, Finding, MigrationRecord, MigrationRequest, StageError, Status, WorkflowPlan,
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::checks::Subject;
use crate::{Deps, examine};

/// Whether an event asks for a dry run.
pub(crate) fn is_meant(event: &Value) -> bool {
    event["dryRun"] == Value::Bool(true)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Input {
    request: Value,
    /// Whether the differences of the launch settings are wanted, too.
    #[serde(default)]
    diff: bool,
}

/// What stands in the way of submitting another content under the ID; the ingress says the same of a message.
fn taken(known: &MigrationRecord) -> Option<Finding> {
    let (id, status) = (&known.migration_id, known.status);
    let (code, remedy) = match status {
        Status::Frozen => (
            "MIGRATION_FROZEN",
            "See `landfall status` for what was done and what was not; submit under another ID.",
        ),
        status if !status.is_end() => (
            "MIGRATION_ACTIVE",
            "Wait until it has ended (`landfall watch`), or submit under another ID.",
        ),
        _ => return None,
    };
    Some(
        Finding::blocking(
            code,
            "/migrationId",
            format!("{id} is {status} with another content."),
        )
        .evidence(
            status.as_str(),
            "an ID that is free, or whose migration has ended",
        )
        .remedy(remedy),
    )
}

pub(crate) async fn run(
    deps: &Deps,
    event: Value,
    invocation: &Invocation,
) -> Result<Value, StageError> {
    let input: Input = stage::read(event)?;
    let request: MigrationRequest = serde_json::from_value(input.request).map_err(|error| {
        StageError::new(
            ErrorName::ValidationError,
            format!("the request does not fit its schema: {error}"),
        )
    })?;
    // A migration that was tested before may be cut over on that test.
    let key = Key::new(&request.tenant_id, &request.migration_id);
    let known = deps.journal.store.get(&key).await?;
    let subject = Subject {
        request: &request,
        tenant_id: &request.tenant_id,
        evidence: known.as_ref().and_then(|it| it.test_evidence.as_ref()),
    };
    let examined = examine(deps, subject, input.diff, invocation).await?;
    let internal =
        |error: serde_json::Error| StageError::new(ErrorName::InternalError, error.to_string());
    let digest = request.launch_settings_digest().map_err(internal)?;
    let mut findings = examined.findings;
    if let Some(known) = &known
        && known.request_digest != request.digest().map_err(internal)?
    {
        findings.extend(taken(known));
    }
    let mut answer = json!({
        "migrationId": request.migration_id,
        "tenantId": request.tenant_id,
        "findings": findings,
        "plan": WorkflowPlan::of(&request),
        "settingsDigest": digest,
    });
    if let Some(id) = examined.source_server_id {
        answer["sourceServerId"] = id.into();
    }
    if let Some(differences) = examined.differences {
        let told = differences.iter().map(|it| {
            let mut told = json!({"field": it.field, "present": it.present, "wanted": it.wanted});
            if it.forces_resync {
                told["resync"] = true.into();
            }
            told
        });
        answer["differences"] = told.collect();
    }
    Ok(answer)
}
