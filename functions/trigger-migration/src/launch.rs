//! Starting what is pending: lease, recovery, quotas, one call per batch.

use std::collections::{BTreeMap, HashMap};

use futures_util::future::join_all;
use jiff::{Timestamp, ToSpan as _};
use landfall_accounts::{elsewhere, launch_lease};
use landfall_common::Invocation;
use landfall_common::state::wait::{Phase, Wait};
use landfall_common::telemetry::{self, Unit};
use landfall_domain::batch::{self, InFlight};
use landfall_domain::record::LaunchAction;
use landfall_domain::request::Account;
use landfall_domain::{ErrorName, StageError, replication};
use landfall_mgn::{INTENT_TAG, Job, Server, StartError};

use crate::{Deps, LEASE_SECONDS, finish};

/// Starts everything that is pending, place by place, each with its own quotas. `just_opened` is given because the index
/// may not show it yet.
///
/// # Errors
/// Transient ones; what was not started stays pending. A place at fault holds up no other.
pub(crate) async fn pending(
    deps: &Deps,
    just_opened: &[Wait],
    invocation: &Invocation,
) -> Result<(), StageError> {
    let arn = &invocation.function_arn;
    let indexed = deps.journal.store.waits(Phase::Pending).await?;
    let mut places: BTreeMap<String, Roles> = BTreeMap::new();
    for wait in indexed.iter().chain(just_opened) {
        let account = elsewhere(wait.account.as_ref(), arn);
        let roles = places.entry(launch_lease(account, arn)).or_default();
        roles
            .entry(account.cloned())
            .or_default()
            .push(wait.clone());
    }
    let work = places
        .iter()
        .map(|(lease, roles)| Box::pin(pending_in(deps, lease, roles, invocation)));
    // All of them, whatever becomes of one.
    join_all(work).await.into_iter().collect()
}

/// What is pending in one place, by the way that leads into it.
type Roles = BTreeMap<Option<Account>, Vec<Wait>>;

/// Starts what is pending in one account and Region. Those who come by different roles share its quotas, and take turns.
async fn pending_in(
    deps: &Deps,
    lease: &str,
    roles: &Roles,
    invocation: &Invocation,
) -> Result<(), StageError> {
    let store = &deps.journal.store;
    let Some(lease) = store
        .take_lease(lease, &invocation.request_id, LEASE_SECONDS, invocation.now)
        .await?
    else {
        tracing::info!("another invocation is starting launches; these come again");
        return Ok(());
    };
    let mut outcome = Ok(());
    for (account, waits) in roles {
        let started = pending_by(deps, account.as_ref(), waits, invocation).await;
        outcome = outcome.and(started);
    }
    store.release_lease(&lease).await?;
    outcome
}

/// Starts what is pending by one way into a place.
async fn pending_by(
    deps: &Deps,
    account: Option<&Account>,
    waits: &[Wait],
    invocation: &Invocation,
) -> Result<(), StageError> {
    let now = invocation.now;
    let arn = &invocation.function_arn;
    let entered = deps
        .accounts
        .at(deps, account, arn, |deps, mgn| deps.mgn = mgn)
        .await;
    let there = match entered {
        Ok(there) => there,
        Err(error) if error.name.is_transient() => return Err(error),
        Err(error) => {
            for wait in still_pending(deps, waits).await? {
                if let Some(action) = wait.kind.action() {
                    let findings = error.findings.clone();
                    finish::failed(deps, &wait, action, &error.message, findings, now).await?;
                }
            }
            return Ok(());
        }
    };
    start_all(&there, waits, now).await
}

async fn start_all(deps: &Deps, waits: &[Wait], now: Timestamp) -> Result<(), StageError> {
    let waits = still_pending(deps, waits).await?;
    if waits.is_empty() {
        return Ok(());
    }
    // One look serves the quotas and the recovery.
    let jobs = recent_jobs(deps, now).await?;
    let waits = recover(deps, waits, &jobs, now).await?;
    let ids: Vec<String> = waits
        .iter()
        .filter_map(|wait| wait.source_server_id.clone())
        .collect();
    let servers: HashMap<String, Server> = deps
        .mgn
        .servers(&ids)
        .await?
        .into_iter()
        .map(|server| (server.id.clone(), server))
        .collect();
    let mut running = in_flight(&jobs);
    for action in [LaunchAction::Test, LaunchAction::Cutover] {
        let mut ready = Vec::new();
        for wait in waits
            .iter()
            .filter(|wait| wait.kind.action() == Some(action))
        {
            if is_ready(deps, wait, action, &servers, &jobs, now).await? {
                ready.push(wait.clone());
            }
        }
        let (batches, rest) = batch::batches(ready, running);
        if !rest.is_empty() {
            telemetry::metric(
                "trigger-migration",
                "LaunchesOverQuota",
                count(rest.len()),
                Unit::Count,
            );
            tracing::info!(
                waiting = rest.len(),
                "MGN's quotas are used up; the rest waits"
            );
        }
        for batch in batches {
            running.jobs += 1;
            running.servers += batch.len();
            start_batch(deps, action, batch, &servers, now).await?;
        }
    }
    Ok(())
}

/// The jobs that may still run: one takes hours at most, and a day is ample.
async fn recent_jobs(deps: &Deps, now: Timestamp) -> Result<Vec<Job>, StageError> {
    let since = now.checked_sub(24.hours()).unwrap_or(now);
    deps.mgn.jobs_since(since).await
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a count of servers is far below 2^52"
)]
fn count(n: usize) -> f64 {
    n as f64
}

/// Those that are pending as stored now, in order of arrival.
async fn still_pending(deps: &Deps, waits: &[Wait]) -> Result<Vec<Wait>, StageError> {
    let store = &deps.journal.store;
    let mut all = BTreeMap::new();
    for wait in waits {
        let id = (wait.due_at.clone(), wait.key.clone());
        if all.contains_key(&id) {
            continue;
        }
        // The index lags behind: the item itself decides.
        if let Some(stored) = store
            .get_wait(wait)
            .await?
            .filter(|w| w.phase == Phase::Pending && !w.closed)
        {
            all.insert(id, stored);
        }
    }
    Ok(all.into_values().collect())
}

/// Finishes launches whose job was started by an invocation that did not live to note it. Gives back what has
/// no job: those never put into a batch, and those of a batch that MGN never saw.
async fn recover(
    deps: &Deps,
    waits: Vec<Wait>,
    jobs: &[Job],
    now: Timestamp,
) -> Result<Vec<Wait>, StageError> {
    let mut left = Vec::new();
    for mut wait in waits {
        let Some(intent) = wait.intent_id.clone() else {
            left.push(wait);
            continue;
        };
        let job = jobs.iter().find(|job| {
            job.intent_id.as_deref() == Some(intent.as_str())
                && job
                    .participants
                    .iter()
                    .any(|p| Some(&p.server_id) == wait.source_server_id.as_ref())
        });
        match job {
            Some(job) => {
                tracing::info!(
                    jobId = job.id,
                    migrationId = wait.key.migration_id,
                    "found the job of an earlier try"
                );
                finish::started(deps, &wait, &job.id, now).await?;
            }
            None if deps.journal.store.release_launch(&wait, &intent).await? => {
                wait.intent_id = None;
                left.push(wait);
            }
            None => {}
        }
    }
    Ok(left)
}

fn in_flight(jobs: &[Job]) -> InFlight {
    let running = jobs.iter().filter(|job| !job.completed);
    running.fold(InFlight::default(), |sum, job| InFlight {
        jobs: sum.jobs + 1,
        servers: sum.servers + job.participants.len(),
    })
}

/// Whether a server may be launched now. One that never can be has its task failed; one that cannot be yet
/// stays pending.
async fn is_ready(
    deps: &Deps,
    wait: &Wait,
    action: LaunchAction,
    servers: &HashMap<String, Server>,
    jobs: &[Job],
    now: Timestamp,
) -> Result<bool, StageError> {
    let server = wait
        .source_server_id
        .as_ref()
        .and_then(|id| servers.get(id));
    let Some(server) = server else {
        let text = format!(
            "MGN knows no source server for {}; reinstall the replication agent, then resubmit",
            wait.source_vm_id
        );
        finish::failed(deps, wait, action, &text, Vec::new(), now).await?;
        return Ok(false);
    };
    let busy = is_busy(jobs, &server.id);
    let blockers = replication::blockers(&server.replication, &wait.policy, now);
    let overdue = wait.due_at.parse::<Timestamp>().is_ok_and(|due| due < now);
    if overdue {
        let why = match (busy, blockers.is_empty()) {
            (true, _) => "a job of somebody else is still in progress for it",
            (_, false) => "it does not pass the replication gate",
            _ => "MGN's quotas left no room for it",
        };
        let text = format!(
            "the {} launch of {} did not get its turn by {}: {why}",
            action.as_str(),
            server.id,
            wait.due_at
        );
        finish::failed(deps, wait, action, &text, blockers, now).await?;
        return Ok(false);
    }
    if busy {
        tracing::info!(
            sourceServerId = server.id,
            "a job is in progress for the server; its launch waits"
        );
        return Ok(false);
    }
    let allowed: &[&str] = match action {
        // MGN leaves a server in TESTING after a test; launching a new test from there is allowed.
        LaunchAction::Test => &["READY_FOR_TEST", "TESTING", "READY_FOR_CUTOVER"],
        LaunchAction::Cutover => &["READY_FOR_CUTOVER", "READY_FOR_TEST"],
    };
    if !allowed.contains(&server.lifecycle.as_str()) {
        let text = format!(
            "source server {} is {} in MGN; a {} launch needs {}",
            server.id,
            server.lifecycle,
            action.as_str(),
            allowed.join(" or ")
        );
        finish::failed(deps, wait, action, &text, Vec::new(), now).await?;
        return Ok(false);
    }
    if blockers.is_empty() {
        return Ok(true);
    }
    if replication::hopeless(&server.replication).is_some() {
        let text = format!(
            "source server {} is not ready for a {} launch",
            server.id,
            action.as_str()
        );
        finish::failed(deps, wait, action, &text, blockers, now).await?;
    } else {
        tracing::info!(
            sourceServerId = server.id,
            reasonCode = blockers[0].code,
            "the server does not pass the replication gate; its launch waits"
        );
    }
    Ok(false)
}

/// Starts one batch. Servers that MGN refuses fail alone, and the rest is started without them.
async fn start_batch(
    deps: &Deps,
    action: LaunchAction,
    batch: Vec<Wait>,
    servers: &HashMap<String, Server>,
    now: Timestamp,
) -> Result<(), StageError> {
    let intent = format!("int-{}", uuid::Uuid::now_v7());
    let mut claimed = Vec::new();
    for wait in batch {
        if deps.journal.store.claim_launch(&wait, &intent).await? {
            claimed.push(Wait {
                intent_id: Some(intent.clone()),
                ..wait
            });
        }
    }
    if action == LaunchAction::Cutover {
        claimed = ready_for_cutover(deps, claimed, servers, now).await?;
    }
    while !claimed.is_empty() {
        let ids: Vec<String> = claimed
            .iter()
            .filter_map(|wait| wait.source_server_id.clone())
            .collect();
        let mut tags = HashMap::from([
            (INTENT_TAG.to_owned(), intent.clone()),
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
                telemetry::metric(
                    "trigger-migration",
                    "ServersPerLaunch",
                    count(ids.len()),
                    Unit::Count,
                );
                for wait in &claimed {
                    finish::started(deps, wait, &job.id, now).await?;
                }
                return Ok(());
            }
            Err(StartError::Servers(refused)) => {
                let before = claimed.len();
                claimed = without_refused(deps, action, &intent, claimed, &refused, now).await?;
                if claimed.len() == before {
                    return Err(StageError::new(
                        ErrorName::InternalError,
                        "MGN refused a batch because of servers that are not in it",
                    ));
                }
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
    let jobs = recent_jobs(deps, now).await?;
    let mut left = Vec::new();
    for wait in claimed {
        let id = wait.source_server_id.as_deref().unwrap_or_default();
        let Some((_, text)) = refused.iter().find(|(server, _)| server == id) else {
            left.push(wait);
            continue;
        };
        if is_busy(&jobs, id) {
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

/// Whether an unfinished job has the server.
fn is_busy(jobs: &[Job], server_id: &str) -> bool {
    jobs.iter()
        .any(|job| !job.completed && job.participants.iter().any(|p| p.server_id == server_id))
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
