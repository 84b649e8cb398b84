//! Starting what is pending: lease, recovery, decision, quotas.

use std::collections::{BTreeMap, HashMap};

use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt as _};
use jiff::{SignedDuration, Timestamp, ToSpan as _};
use landfall_accounts::{elsewhere, launch_lease};
use landfall_common::Invocation;
use landfall_common::state::wait::{Phase, Wait, WaitKind};
use landfall_common::telemetry::{self, Unit};
use landfall_domain::StageError;
use landfall_domain::batch::{self, InFlight};
use landfall_domain::record::LaunchAction;
use landfall_domain::request::Account;
use landfall_domain::start::{self, Candidate, Decision};
use landfall_mgn::{Job, Server};

use crate::{AT_ONCE, Deps, LEASE_SECONDS, batch as call, finish, hold};

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

/// Starts what is pending in one account and Region. Those who come by different roles share its quotas; whoever has
/// waited longest goes first.
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
    let mut roles: Vec<_> = roles.iter().collect();
    roles.sort_by_key(|(_, waits)| waits.iter().map(|wait| &wait.due_at).min());
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
        .at(deps, account, arn, |deps, (mgn, quotas)| {
            deps.mgn = mgn;
            deps.quotas = quotas;
        })
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
    let ids: Vec<String> = waits
        .iter()
        .filter_map(|wait| wait.source_server_id.clone())
        .collect();
    // One look at the jobs serves the quotas and the recovery.
    let (jobs, servers, quotas) = tokio::join!(
        recent_jobs(deps, now),
        deps.mgn.servers(&ids),
        deps.quotas.values(now)
    );
    let seen = jobs.and_then(|jobs| Ok((jobs, servers?)));
    let (jobs, servers) = match seen {
        Ok(seen) => seen,
        Err(error) => {
            give_up_overdue(deps, &waits, &error, now).await?;
            return Err(error);
        }
    };
    let servers: HashMap<String, Server> = servers
        .into_iter()
        .map(|server| (server.id.clone(), server))
        .collect();
    let (ready, mut outcome) = decide_all(deps, waits, &servers, &jobs, now).await;
    let action = |(action, _): &(LaunchAction, Wait)| *action;
    let (batches, rest) = batch::batches(ready, action, in_flight(&jobs), quotas.launches);
    let held = hold_all(deps, &rest, now).await;
    outcome = outcome.and(held);
    for (action, batch) in batches {
        let batch = batch.into_iter().map(|(_, wait)| wait).collect();
        let started = call::start(deps, action, batch, &servers, now).await;
        outcome = outcome.and(started);
    }
    outcome
}

/// Fails what is past its time although MGN cannot be asked: deadlines hold whatever is down.
async fn give_up_overdue(
    deps: &Deps,
    waits: &[Wait],
    error: &StageError,
    now: Timestamp,
) -> Result<(), StageError> {
    for wait in waits {
        let Some(action) = wait.kind.action().filter(|_| wait.is_overdue(now)) else {
            continue;
        };
        if !hold::may_start(deps, action, wait, now).await? {
            continue;
        }
        let text = format!(
            "the {} launch of {} did not get its turn by {}: MGN could not be asked: {}",
            action.as_str(),
            wait.source_vm_id,
            wait.due_at,
            error.message
        );
        finish::failed(deps, wait, action, &text, Vec::new(), now).await?;
    }
    Ok(())
}

/// Notes what MGN's quotas hold back; tells how many, and how long the first of them has waited.
async fn hold_all(
    deps: &Deps,
    rest: &[(LaunchAction, Wait)],
    now: Timestamp,
) -> Result<(), StageError> {
    let Some((_, first)) = rest.first() else {
        return Ok(());
    };
    let metric = |name, value, unit| telemetry::metric("trigger-migration", name, value, unit);
    metric("LaunchesOverQuota", count(rest.len()), Unit::Count);
    metric(
        "OldestLaunchWait",
        waited(first, now).as_secs_f64(),
        Unit::Seconds,
    );
    tracing::info!(
        waiting = rest.len(),
        "MGN's quotas are used up; the rest waits"
    );
    let work = rest
        .iter()
        .map(|(_, wait)| Box::pin(finish::held(deps, wait, start::no_room(), now)));
    let held: Vec<_> = stream::iter(work).buffer_unordered(AT_ONCE).collect().await;
    held.into_iter().collect()
}

/// How long a launch has waited for its turn.
pub(crate) fn waited(wait: &Wait, now: Timestamp) -> SignedDuration {
    wait.created_at
        .parse::<Timestamp>()
        .map_or(SignedDuration::ZERO, |since| now.duration_since(since))
}

/// The jobs that may still run: one takes hours at most, and a day is ample.
pub(crate) async fn recent_jobs(deps: &Deps, now: Timestamp) -> Result<Vec<Job>, StageError> {
    let since = now.checked_sub(24.hours()).unwrap_or(now);
    deps.mgn.jobs_since(since).await
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a count of servers is far below 2^52"
)]
pub(crate) fn count(n: usize) -> f64 {
    n as f64
}

/// Those that are pending as stored now, in order of arrival.
async fn still_pending(deps: &Deps, waits: &[Wait]) -> Result<Vec<Wait>, StageError> {
    let mut known = BTreeMap::new();
    for wait in waits {
        known.entry((&wait.key, wait.kind.action())).or_insert(wait);
    }
    // The index lags behind: the item itself decides.
    let reads = known
        .into_values()
        .map(|wait| deps.journal.store.get_wait(wait));
    let mut read = stream::iter(reads).buffer_unordered(AT_ONCE);
    let mut pending = Vec::new();
    while let Some(stored) = read.next().await {
        let stored = stored?.filter(|wait| wait.phase == Phase::Pending && !wait.closed);
        // A paused test stays where it is; a paused cutover goes back to its gate.
        let stays = |wait: &Wait| wait.paused_at.is_some() && wait.kind == WaitKind::TestLaunch;
        pending.extend(stored.filter(|wait| !stays(wait)));
    }
    pending.sort_by(|one, other| (&one.due_at, &one.key).cmp(&(&other.due_at, &other.key)));
    Ok(pending)
}

/// The job that an earlier try started for this launch, and did not live to note.
fn applied<'a>(wait: &Wait, jobs: &'a [Job]) -> Option<&'a str> {
    let job = jobs.iter().find(|job| {
        wait.is_of(job.intent_id.as_deref())
            && job
                .participants
                .iter()
                .any(|p| Some(&p.server_id) == wait.source_server_id.as_ref())
    })?;
    Some(&job.id)
}

fn in_flight(jobs: &[Job]) -> InFlight {
    let running = jobs.iter().filter(|job| !job.completed);
    running.fold(InFlight::default(), |sum, job| InFlight {
        jobs: sum.jobs + 1,
        servers: sum.servers + job.participants.len(),
    })
}

/// The unfinished job that has a server.
pub(crate) fn busy_with<'a>(jobs: &'a [Job], server_id: &str) -> Option<&'a str> {
    let has =
        |job: &&Job| !job.completed && job.participants.iter().any(|p| p.server_id == server_id);
    jobs.iter().find(has).map(|job| job.id.as_str())
}

/// Decides about each; gives those that may be started now, in order. The fault of one holds up no other.
async fn decide_all(
    deps: &Deps,
    waits: Vec<Wait>,
    servers: &HashMap<String, Server>,
    jobs: &[Job],
    now: Timestamp,
) -> (Vec<(LaunchAction, Wait)>, Result<(), StageError>) {
    let work = waits
        .into_iter()
        .filter_map(|wait| Some((wait.kind.action()?, wait)))
        .map(|(action, wait)| Box::pin(decide(deps, action, wait, servers, jobs, now)));
    let decided: Vec<_> = stream::iter(work).buffered(AT_ONCE).collect().await;
    let mut ready = Vec::new();
    let mut outcome = Ok(());
    for one in decided {
        match one {
            Ok(one) => ready.extend(one),
            Err(error) => outcome = outcome.and(Err(error)),
        }
    }
    (ready, outcome)
}

/// Decides about one: it is given back when it may be started now.
async fn decide(
    deps: &Deps,
    action: LaunchAction,
    mut wait: Wait,
    servers: &HashMap<String, Server>,
    jobs: &[Job],
    now: Timestamp,
) -> Result<Option<(LaunchAction, Wait)>, StageError> {
    let server = wait
        .source_server_id
        .as_ref()
        .and_then(|id| servers.get(id));
    let candidate = server.map(|server| Candidate {
        server_id: &server.id,
        lifecycle: &server.lifecycle,
        replication: &server.replication,
        busy_with: busy_with(jobs, &server.id),
    });
    let pending = start::Pending {
        action,
        source_vm_id: &wait.source_vm_id,
        policy: &wait.policy,
        due_at: &wait.due_at,
        applied: applied(&wait, jobs),
        unconfirmed: wait.is_unconfirmed(now),
    };
    match start::decide(&pending, candidate.as_ref(), now) {
        Decision::AlreadyApplied(job_id) => {
            tracing::info!(
                jobId = job_id,
                migrationId = wait.key.migration_id,
                "found the job of an earlier try"
            );
            finish::started(deps, &wait, &job_id, server, now).await?;
            Ok(None)
        }
        Decision::Refuse { text, findings } => {
            // Whoever is paused, or has no open window, has not missed its turn.
            if wait.is_overdue(now) && !hold::may_start(deps, action, &wait, now).await? {
                return Ok(None);
            }
            finish::failed(deps, &wait, action, &text, findings, now).await?;
            Ok(None)
        }
        Decision::Wait(why) => {
            // Nobody knows yet whether it was started.
            let open = wait.is_unconfirmed(now) || action == LaunchAction::Test;
            if !open && !hold::may_start(deps, action, &wait, now).await? {
                return Ok(None);
            }
            finish::held(deps, &wait, why, now).await?;
            Ok(None)
        }
        Decision::Start => {
            if !hold::may_start(deps, action, &wait, now).await? {
                return Ok(None);
            }
            // Of a batch that MGN never saw: it goes into another.
            if let Some(intent) = wait.intent_id.take()
                && !deps.journal.store.release_launch(&wait, &intent).await?
            {
                return Ok(None);
            }
            Ok(Some((action, wait)))
        }
    }
}
