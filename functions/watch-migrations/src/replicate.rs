//! The wait for replication: the numeric gate.

use jiff::Timestamp;
use landfall_common::state::Change;
use landfall_common::state::wait::Wait;
use landfall_domain::record::Progress;
use landfall_domain::{ErrorName, EventType, MigrationRecord, StageError, Status, replication};
use landfall_mgn::Server;
use serde_json::json;

use crate::{Deps, settle};

pub(crate) async fn check(
    deps: &Deps,
    wait: &Wait,
    servers: &[Server],
    now: Timestamp,
) -> Result<(), StageError> {
    let server = servers
        .iter()
        .find(|s| Some(&s.id) == wait.source_server_id.as_ref());
    let Some(server) = server else {
        let text = format!(
            "MGN no longer knows the source server of {} (deleted or archived); reinstall the agent, then resubmit",
            wait.source_vm_id
        );
        return settle::fail(
            deps,
            wait,
            &StageError::new(ErrorName::MigrationExecutionError, text),
            now,
        )
        .await;
    };
    let Some(mut record) = settle::live_record(deps, wait).await? else {
        return Ok(());
    };
    if record.status != Status::Replicating {
        // An earlier sweep wrote the transition and died before it used the token.
        return settle::succeed(deps, wait, &json!({ "status": record.status })).await;
    }
    let progress = server.replication.progress(now);
    let mut blockers = replication::blockers(&server.replication, &wait.policy, now);
    // After another key everything is copied again; MGN may show the old state for a while.
    if let Some(change) = &record.done.encryption_key {
        blockers.extend(replication::old_snapshot(
            &server.replication,
            &change.changed_at,
        ));
    }
    if blockers.is_empty() {
        record.progress = Some(progress);
        let evidence = json!({
            "state": server.replication.state,
            "lagSeconds": server.replication.lag_seconds(),
            "backlogBytes": server.replication.backlog_bytes,
            "lastSnapshot": server.replication.last_snapshot,
        });
        let change =
            Change::to(Status::ReadyForTest, EventType::ReplicationHealthy).evidence(evidence);
        let record = deps.journal.advance(record, change, now).await?;
        return settle::succeed(deps, wait, &json!({ "status": record.status })).await;
    }
    let hopeless = replication::hopeless(&server.replication);
    if hopeless.is_some() || settle::overdue(wait, now) {
        let text =
            hopeless.unwrap_or_else(|| format!("replication was not ready by {}", wait.due_at));
        let error = StageError::new(ErrorName::MigrationExecutionError, text).findings(blockers);
        return settle::fail(deps, wait, &error, now).await;
    }
    note_progress(deps, record, server, progress, now).await
}

/// Writes the progress for `watch`, and announces a stall once when it begins.
async fn note_progress(
    deps: &Deps,
    mut record: MigrationRecord,
    server: &Server,
    progress: Progress,
    now: Timestamp,
) -> Result<(), StageError> {
    let before = record.progress.replace(progress.clone());
    let stalled_before = before.as_ref().is_some_and(|p| p.state == "STALLED");
    if progress.state == "STALLED" && !stalled_before {
        let reason = server
            .replication
            .error
            .clone()
            .unwrap_or_else(|| "UNKNOWN".to_owned());
        let change = Change::to(record.status, EventType::ReplicationStalled)
            .reason(reason)
            .evidence(json!({ "state": progress.state, "percent": progress.percent }));
        deps.journal.advance(record, change, now).await?;
        return Ok(());
    }
    let same = before.is_some_and(|p| {
        Progress {
            observed_at: progress.observed_at.clone(),
            ..p
        } == progress
    });
    if !same {
        deps.journal.store.save(record, now).await?;
    }
    Ok(())
}
