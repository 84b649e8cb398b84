//! What MGN replicates the server with: the KMS key of the staging disks, where the request names one.
//!
//! With another key MGN copies everything again. So this comes as soon as the server is known, before replication is
//! awaited; and where something is replicated already, the request must allow it.

use jiff::Timestamp;
use landfall_common::state::Change;
use landfall_domain::record::EncryptionKeyChange;
use landfall_domain::{ErrorName, EventType, MigrationRecord, StageError, Status, launch};
use serde_json::{Value, json};

use crate::{Deps, FAULT, key_arn, launch_settings};

/// Gives the replication the request's key, once.
pub(crate) async fn apply(
    deps: &Deps,
    record: MigrationRecord,
    now: Timestamp,
) -> Result<Value, StageError> {
    // A late second run must not restart what a launch is made from.
    if record.status != Status::Replicating {
        return Ok(json!({}));
    }
    let Some(key) = key_arn(deps, &record.request).await? else {
        return Ok(json!({}));
    };
    let output = json!({ "encryptionKey": key });
    let server_id = record.source_server_id.clone().ok_or_else(|| {
        StageError::new(
            ErrorName::InternalError,
            "the replication settings were asked for before the MGN source server was known",
        )
    })?;
    let found = deps
        .mgn
        .replication_configuration(&server_id, FAULT)
        .await?
        .encryption_key;
    if found.as_deref() == Some(key.as_str()) {
        return Ok(output);
    }
    let resync = restarts(deps, &record, &server_id, found.as_deref(), &key).await?;
    if resync {
        // Nothing is thrown away for a launch that is refused afterwards.
        launch_settings::judge(deps, &server_id, &record, Some(&key)).await?;
    }
    note(deps, record, found, &key, resync, now).await?;
    deps.mgn.set_encryption_key(&server_id, &key, FAULT).await?;
    tracing::info!(
        sourceServerId = server_id,
        encryptionKey = key,
        "the replication has another key"
    );
    Ok(output)
}

/// Whether replicated data is thrown away.
///
/// # Errors
/// `SourcePreparationError` when it is and the request does not allow that.
async fn restarts(
    deps: &Deps,
    record: &MigrationRecord,
    server_id: &str,
    present: Option<&str>,
    wanted: &str,
) -> Result<bool, StageError> {
    if record.done.agent_command.is_some() {
        // The agent is this attempt's: its first sync has just begun.
        return Ok(false);
    }
    let server = deps.mgn.server(server_id).await?.ok_or_else(|| {
        StageError::new(
            FAULT,
            format!(
                "MGN no longer knows the source server {server_id}; reinstall the agent, then resubmit"
            ),
        )
    })?;
    match launch::resync(&record.request, present, wanted, &server.replication) {
        Some(finding) => {
            Err(StageError::new(FAULT, finding.message.clone()).findings(vec![finding]))
        }
        None => Ok(server.replication.has_data()),
    }
}

/// Writes down what is about to be done. The first note of an attempt keeps the key before, and tells the history.
async fn note(
    deps: &Deps,
    mut record: MigrationRecord,
    present: Option<String>,
    key: &str,
    resync: bool,
    now: Timestamp,
) -> Result<MigrationRecord, StageError> {
    let first = record.done.encryption_key.take();
    let told = first.is_some();
    let change = EncryptionKeyChange {
        previous: first.map_or(present, |first| first.previous),
        key: key.to_owned(),
        changed_at: now.to_string(),
    };
    let evidence = json!({
        "from": change.previous, "to": change.key,
        "rollback": "keeps the new key: with the old one everything would be copied once more",
    });
    record.done.encryption_key = Some(change);
    if resync && !told {
        let change = Change::to(record.status, EventType::ResyncStarted)
            .reason("KMS_KEY_CHANGED")
            .evidence(evidence);
        return Box::pin(deps.journal.advance(record, change, now)).await;
    }
    deps.journal.store.save(record, now).await
}
