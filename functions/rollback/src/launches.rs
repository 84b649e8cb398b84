//! Nothing starts any more: waits and launch intents are closed, and launches that nobody noted are found.

use jiff::{Timestamp, ToSpan as _};
use landfall_accounts::launch_lease;
use landfall_common::Invocation;
use landfall_common::state::Key;
use landfall_common::state::wait::{Phase, Wait, WaitKind};
use landfall_domain::record::{Launch, LaunchAction};
use landfall_domain::request::Step;
use landfall_domain::{ErrorName, MigrationRecord, StageError, Status};
use landfall_mgn::Job;

use crate::Deps;

/// Ample for the few calls below; it also ends a lease whose holder was killed.
const LEASE_SECONDS: i64 = 60;

/// Closes everything that waits. A launch that MGN accepted and the record does not know goes into the record, so
/// that the plan undoes it.
pub(crate) async fn stop(
    deps: &Deps,
    record: MigrationRecord,
    invocation: &Invocation,
) -> Result<MigrationRecord, StageError> {
    let store = &deps.journal.store;
    if !may_launch(&record) {
        store.close_all_waits(&Key::of(&record)).await?;
        return Ok(record);
    }
    let name = launch_lease(record.request.account.as_ref(), &invocation.function_arn);
    let lease = store
        .take_lease(&name, &invocation.request_id, LEASE_SECONDS, invocation.now)
        .await?
        .ok_or_else(|| {
            StageError::new(
                ErrorName::DependencyUnavailable,
                "launches are being started; the rollback begins when they are",
            )
        })?;
    let stopped = under_lease(deps, record, invocation.now).await;
    store.release_lease(&lease).await?;
    stopped
}

/// Whether the migration has come so far that a launch may have been asked for: of the attempt itself, or of a frozen one that
/// this one is to undo, whose own rollback may have died before it looked.
fn may_launch(record: &MigrationRecord) -> bool {
    let early = matches!(
        record.status,
        Status::Requested | Status::Validating | Status::Preparing | Status::Replicating
    );
    !early || undoes_frozen(record)
}

fn undoes_frozen(record: &MigrationRecord) -> bool {
    record.stands_as() == Some(Status::Frozen)
}

/// Whether a wait is of what is undone.
fn is_about(record: &MigrationRecord, wait: &Wait) -> bool {
    let before = undoes_frozen(record) && wait.attempt + 1 == record.attempt;
    before || wait.attempt == record.attempt
}

async fn under_lease(
    deps: &Deps,
    mut record: MigrationRecord,
    now: Timestamp,
) -> Result<MigrationRecord, StageError> {
    let store = &deps.journal.store;
    let key = Key::of(&record);
    let mut waits = store.close_all_waits(&key).await?;
    if let Some(action) = unread(&record, &waits) {
        // Its message may still be in the queue: an intent that is closed already makes it start nothing.
        store.open_launch(&closed(&record, action, now)).await?;
        waits = store.close_all_waits(&key).await?;
    }
    let unknown: Vec<(LaunchAction, &Wait)> = waits
        .iter()
        .filter(|wait| is_about(&record, wait))
        .filter_map(|wait| Some((wait.kind.action()?, wait)))
        .filter(|(action, wait)| {
            record.done.launch(*action).is_none()
                && (wait.job_id.is_some() || wait.intent_id.is_some() || !wait.intents.is_empty())
        })
        .collect();
    if unknown.iter().any(|(_, wait)| wait.is_unconfirmed(now)) {
        return Err(StageError::new(
            ErrorName::DependencyUnavailable,
            "a launch was asked for and MGN has not answered; the rollback goes on when it would show",
        ));
    }
    if unknown.is_empty() {
        return Ok(record);
    }
    let jobs = deps.mgn.jobs_since(a_day_before(now)).await?;
    let digest = record
        .request
        .launch_settings_digest()
        .map_err(|error| StageError::new(ErrorName::InternalError, error.to_string()))?;
    let mut found = false;
    for (action, wait) in unknown {
        let Some(job_id) = job_of(wait, &record, &jobs) else {
            continue;
        };
        tracing::warn!(jobId = job_id, "found a launch that nobody had noted");
        *record.done.launch_mut(action) = Some(Launch {
            job_id,
            settings_digest: digest.clone(),
            started_at: wait.created_at.clone(),
            instance_id: None,
            verified_at: None,
        });
        found = true;
    }
    if found {
        record = store.save(record, now).await?;
    }
    Ok(record)
}

/// The launch whose message was sent but which nobody has recorded as an intent, if there may be one.
fn unread(record: &MigrationRecord, waits: &[Wait]) -> Option<LaunchAction> {
    let action = match record.stage() {
        Status::ReadyForTest if record.wants(Step::Validate) => LaunchAction::Test,
        Status::ReadyForTest | Status::ReadyForCutover => LaunchAction::Cutover,
        _ => return None,
    };
    let recorded = waits
        .iter()
        .any(|wait| wait.attempt == record.attempt && wait.kind.action() == Some(action));
    (!recorded).then_some(action)
}

fn closed(record: &MigrationRecord, action: LaunchAction, now: Timestamp) -> Wait {
    Wait {
        key: Key::of(record),
        attempt: record.attempt,
        correlation_id: record.correlation_id.clone(),
        kind: WaitKind::launch(action),
        phase: Phase::Pending,
        // No task of Step Functions has this token.
        task_token: "rolled-back".to_owned(),
        retry_count: 0,
        due_at: now.to_string(),
        created_at: now.to_string(),
        source_vm_id: record.request.source_vm_id.clone(),
        source_server_id: record.source_server_id.clone(),
        account: None,
        command: None,
        policy: record.request.policy.clone(),
        intent_id: None,
        intents: Vec::new(),
        claimed_at: None,
        job_id: None,
        held: None,
        paused_at: None,
        closed: true,
        barred: true,
    }
}

/// The job of an intent: as noted, else by the tag that its batch left on the job.
fn job_of(wait: &Wait, record: &MigrationRecord, jobs: &[Job]) -> Option<String> {
    if wait.job_id.is_some() {
        return wait.job_id.clone();
    }
    let server = wait
        .source_server_id
        .as_ref()
        .or(record.source_server_id.as_ref())?;
    jobs.iter()
        .find(|job| {
            wait.is_of(job.intent_id.as_deref())
                && job.participants.iter().any(|p| &p.server_id == server)
        })
        .map(|job| job.id.clone())
}

/// Launches take hours at most.
fn a_day_before(now: Timestamp) -> Timestamp {
    now.checked_sub(24.hours()).unwrap_or(now)
}
