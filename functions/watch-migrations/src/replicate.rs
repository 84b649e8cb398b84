//! The wait for replication: the numeric gate.

use jiff::Timestamp;
use landfall_common::state::Change;
use landfall_common::state::wait::Wait;
use landfall_domain::record::Progress;
use landfall_domain::replication::stall::{self, Stall, Step};
use landfall_domain::{ErrorName, EventType, MigrationRecord, StageError, Status, replication};
use landfall_mgn::Server;
use serde_json::{Value, json};

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
        return settle::succeed(deps, wait, &json!({ "status": record.status }), now).await;
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
        let evidence = server.replication.evidence(now);
        let change =
            Change::to(Status::ReadyForTest, EventType::ReplicationHealthy).evidence(evidence);
        let record = deps.journal.advance(record, change, now).await?;
        return settle::succeed(deps, wait, &json!({ "status": record.status }), now).await;
    }
    let hopeless = replication::hopeless(&server.replication);
    if hopeless.is_some() || wait.is_overdue(now) {
        let text =
            hopeless.unwrap_or_else(|| format!("replication was not ready by {}", wait.due_at));
        let reason = blockers
            .first()
            .map_or("NOT_READY", |first| first.code.as_str());
        let reason = match &server.replication.error {
            Some(error) => error.name.clone(),
            None => reason.to_owned(),
        };
        let mut evidence = server.replication.evidence(now);
        evidence["findings"] = json!(blockers);
        if server.replication.error.is_some() {
            evidence["handling"] = json!(stall::advice(&reason).handling);
            evidence["remedy"] = stall::advice(&reason).remedy.into();
        }
        let told = |at| {
            Change::to(at, EventType::ReplicationStalled)
                .reason(reason)
                .evidence(evidence)
        };
        let error = StageError::new(ErrorName::MigrationExecutionError, text).findings(blockers);
        return settle::fail_with(deps, wait, &error, told, now).await;
    }
    note_progress(deps, record, server, progress, now).await
}

/// Writes the progress for `watch`, and tells of a stall when it begins, when MGN is asked to try again, when that has
/// not helped and when it is over.
async fn note_progress(
    deps: &Deps,
    mut record: MigrationRecord,
    server: &Server,
    mut progress: Progress,
    now: Timestamp,
) -> Result<(), StageError> {
    let before = record.progress.take();
    let known = before.as_ref().and_then(|before| before.stall.as_ref());
    let step = stall::step(&server.replication, known, now);
    progress.stall = step.stall().cloned();
    let percent = progress.percent;
    let same = before.is_some_and(|before| {
        let observed_at = progress.observed_at.clone();
        Progress {
            observed_at,
            ..before
        } == progress
    });
    record.progress = Some(progress);
    let status = record.status;
    let told = |event, stall: &Stall| {
        Change::to(status, event)
            .reason(&stall.error)
            .evidence(evidence(server, stall, percent))
    };
    let change = match &step {
        Step::Same(_) => {
            if !same {
                deps.journal.store.save(record, now).await?;
            }
            return Ok(());
        }
        Step::Began(stall) | Step::Escalate(stall) => told(EventType::ReplicationStalled, stall),
        Step::Retry(stall) => told(EventType::ReplicationRetried, stall),
        Step::Cleared(stall) => told(EventType::ReplicationResumed, stall),
    };
    // Counted before MGN is asked: a sweep that dies in between costs one try, not an endless row of them.
    deps.journal.advance(record, change, now).await?;
    if matches!(step, Step::Retry(_)) {
        deps.mgn.retry_replication(&server.id).await?;
    }
    Ok(())
}

/// What a person should know of a stall.
fn evidence(server: &Server, stall: &Stall, percent: Option<u8>) -> Value {
    let advice = stall::advice(&stall.error);
    let raw = server.replication.error.as_ref();
    json!({
        "state": server.replication.state,
        "percent": percent,
        "rawError": raw.and_then(|error| error.raw.as_deref()),
        "failedStep": server.replication.failed_step,
        "nextAttempt": server.replication.next_attempt,
        "since": stall.since,
        "retries": stall.retries,
        "handling": advice.handling,
        "remedy": advice.remedy,
    })
}
