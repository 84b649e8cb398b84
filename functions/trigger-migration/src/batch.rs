//! One call of MGN for many servers: claim, tag, call, note.

use std::collections::HashMap;

use futures_util::stream::{self, StreamExt as _};
use jiff::Timestamp;
use landfall_common::state::wait::Wait;
use landfall_common::telemetry::{self, Unit};
use landfall_domain::record::LaunchAction;
use landfall_domain::{ErrorName, StageError};
use landfall_mgn::{INTENT_TAG, Server, StartError};
use landfall_tasks::{self as tasks, Told};

use crate::launch::{self, count, waited};
use crate::{AT_ONCE, Deps, finish};

/// Starts one batch. Servers that MGN refuses fail alone, and the rest is started without them.
pub(crate) async fn start(
    deps: &Deps,
    action: LaunchAction,
    batch: Vec<Wait>,
    servers: &HashMap<String, Server>,
    now: Timestamp,
) -> Result<(), StageError> {
    let intent = format!("int-{}", uuid::Uuid::now_v7());
    let (claimed, outcome) = claim(deps, batch, &intent, now).await;
    let called = call(deps, action, &intent, claimed, servers, now).await;
    outcome.and(called)
}

/// Calls MGN for what was claimed, without those that it refuses, until the rest is started or nothing is left.
async fn call(
    deps: &Deps,
    action: LaunchAction,
    intent: &str,
    mut claimed: Vec<Wait>,
    servers: &HashMap<String, Server>,
    now: Timestamp,
) -> Result<(), StageError> {
    if action == LaunchAction::Cutover {
        claimed = ready_for_cutover(deps, claimed, servers, now).await?;
    }
    while !claimed.is_empty() {
        let ids: Vec<String> = claimed
            .iter()
            .filter_map(|wait| wait.source_server_id.clone())
            .collect();
        let mut tags = HashMap::from([
            (INTENT_TAG.to_owned(), intent.to_owned()),
            ("landfall:action".to_owned(), action.as_str().to_owned()),
        ]);
        if let [alone] = claimed.as_slice() {
            // Of several, no one ID would be right; their records name the job.
            let id = alone.correlation_id.clone();
            tags.insert("landfall:correlationId".to_owned(), id);
        }
        match deps.mgn.start(action, &ids, tags).await {
            Ok(job) => {
                tracing::info!(
                    jobId = job.id,
                    servers = ids.len(),
                    "MGN accepted a {} launch",
                    action.as_str()
                );
                tell_started(&claimed, now);
                return note(deps, &claimed, &job.id, servers, now).await;
            }
            Err(StartError::Servers(refused)) => {
                let before = claimed.len();
                claimed = without_refused(deps, action, intent, claimed, &refused, now).await?;
                if claimed.len() == before {
                    return Err(StageError::new(
                        ErrorName::InternalError,
                        "MGN refused a batch because of servers that are not in it",
                    ));
                }
            }
            Err(StartError::Other(error)) if error.name == ErrorName::Throttled => {
                // Refused, so surely not carried out: the next try need not wait for it to show.
                for wait in &claimed {
                    deps.journal.store.release_launch(wait, intent).await?;
                }
                return Err(error);
            }
            Err(StartError::Other(error)) if error.name.is_transient() => {
                // The call may have been carried out: the intent stays claimed, and the next try looks for its tag.
                return Err(error);
            }
            Err(StartError::Other(error)) => {
                for wait in &claimed {
                    finish::failed(deps, wait, action, &error.message, Vec::new(), now).await?;
                }
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Puts launches into a batch, each by a conditional write; what another invocation has taken meanwhile is left to it.
/// The fault of one leaves that one out, and is told beside the others.
async fn claim(
    deps: &Deps,
    batch: Vec<Wait>,
    intent: &str,
    now: Timestamp,
) -> (Vec<Wait>, Result<(), StageError>) {
    let claims = batch
        .into_iter()
        .map(|wait| Box::pin(claim_one(deps, wait, intent, now)));
    let claims: Vec<_> = stream::iter(claims).buffered(AT_ONCE).collect().await;
    let (mut claimed, mut outcome) = (Vec::new(), Ok(()));
    for claim in claims {
        match claim {
            Ok(wait) => claimed.extend(wait),
            Err(error) => outcome = outcome.and(Err(error)),
        }
    }
    (claimed, outcome)
}

async fn claim_one(
    deps: &Deps,
    wait: Wait,
    intent: &str,
    now: Timestamp,
) -> Result<Option<Wait>, StageError> {
    // A launch for an execution that was stopped would be nobody's.
    if tasks::beat(&deps.sfn, &wait.task_token).await? == Told::Nobody {
        tasks::bury(&deps.journal, &deps.sfn, &wait, now).await?;
        return Ok(None);
    }
    let taken = deps.journal.store.claim_launch(&wait, intent, now).await?;
    let intent_id = Some(intent.to_owned());
    Ok(taken.then_some(Wait { intent_id, ..wait }))
}

/// Tells how many servers a call started, and how long they had waited for it.
fn tell_started(claimed: &[Wait], now: Timestamp) {
    let metric = |name, value, unit| telemetry::metric("trigger-migration", name, value, unit);
    metric("ServersPerLaunch", count(claimed.len()), Unit::Count);
    let longest = claimed.iter().map(|wait| waited(wait, now).as_secs_f64());
    metric("LaunchWait", longest.fold(0.0, f64::max), Unit::Seconds);
}

/// Notes the job for each server of a batch. Who cannot be noted now is found by the job's tag the next time.
async fn note(
    deps: &Deps,
    claimed: &[Wait],
    job_id: &str,
    servers: &HashMap<String, Server>,
    now: Timestamp,
) -> Result<(), StageError> {
    let notes = claimed.iter().map(|wait| {
        let server = wait.source_server_id.as_ref();
        let server = server.and_then(|id| servers.get(id));
        Box::pin(finish::started(deps, wait, job_id, server, now))
    });
    let outcomes: Vec<_> = stream::iter(notes)
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    outcomes.into_iter().collect()
}

/// Takes the servers out of a batch that MGN refused. One that a job has taken since we looked waits for its turn again;
/// the others fail alone.
async fn without_refused(
    deps: &Deps,
    action: LaunchAction,
    intent: &str,
    claimed: Vec<Wait>,
    refused: &[(String, String)],
    now: Timestamp,
) -> Result<Vec<Wait>, StageError> {
    let jobs = launch::recent_jobs(deps, now).await?;
    let mut left = Vec::new();
    for wait in claimed {
        let id = wait.source_server_id.as_deref().unwrap_or_default();
        let Some((_, text)) = refused.iter().find(|(server, _)| server == id) else {
            left.push(wait);
            continue;
        };
        if launch::busy_with(&jobs, id).is_some() {
            tracing::info!(
                sourceServerId = id,
                "a job has begun for the server; its launch waits"
            );
            deps.journal.store.release_launch(&wait, intent).await?;
            continue;
        }
        let text = format!("MGN refused the {} launch of {id}: {text}", action.as_str());
        finish::failed(deps, &wait, action, &text, Vec::new(), now).await?;
    }
    Ok(left)
}

/// Writes down that the server is moved on, before it is: without a launch nothing else would tell a rollback.
async fn note_move(deps: &Deps, wait: &Wait, now: Timestamp) -> Result<(), StageError> {
    let mut record = deps.journal.store.require(&wait.key).await?;
    if record.attempt == wait.attempt && !record.status.is_end() && !record.done.moved_to_cutover {
        record.done.moved_to_cutover = true;
        deps.journal.store.save(record, now).await?;
    }
    Ok(())
}

/// Moves servers that nobody tested, which the pre-flight allowed, to where MGN wants them for a cutover. One that
/// MGN refuses fails alone; the others are given back.
async fn ready_for_cutover(
    deps: &Deps,
    claimed: Vec<Wait>,
    servers: &HashMap<String, Server>,
    now: Timestamp,
) -> Result<Vec<Wait>, StageError> {
    let mut ready = Vec::new();
    for wait in claimed {
        let untested = wait.source_server_id.as_ref().filter(|id| {
            servers
                .get(*id)
                .is_some_and(|server| server.lifecycle == "READY_FOR_TEST")
        });
        if let Some(id) = untested {
            note_move(deps, &wait, now).await?;
            let moved = deps
                .mgn
                .change_lifecycle(id, "READY_FOR_CUTOVER", ErrorName::CutoverError)
                .await;
            match moved {
                Ok(()) => {}
                Err(error) if error.name.is_transient() => return Err(error),
                Err(error) => {
                    finish::failed(
                        deps,
                        &wait,
                        LaunchAction::Cutover,
                        &error.message,
                        Vec::new(),
                        now,
                    )
                    .await?;
                    continue;
                }
            }
        }
        ready.push(wait);
    }
    Ok(ready)
}
