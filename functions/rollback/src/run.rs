//! One run of a rollback: as far as it comes now.

use std::borrow::Cow;

use jiff::{SignedDuration, Timestamp};
use landfall_common::Invocation;
use landfall_common::state::{Change, Key};
use landfall_domain::control::Purpose;
use landfall_domain::gate::Gate;
use landfall_domain::rollback::{
    Compensation, Estimates, HandOver, Progress, RollbackPlan, Step, plan,
};
use landfall_domain::{ErrorName, EventType, MigrationRecord, StageError, Status};
use serde_json::{Value, json};

use crate::{Deps, Input, freeze, launches, target, walk};

/// How long compensations may take; then a person must look. A launch that is under way has to end before its
/// target can go, and large servers take most of an hour.
const PATIENCE: SignedDuration = SignedDuration::from_mins(90);

/// What comes before every compensation, and is tried again like one.
const STOP_LAUNCHES: &str = "STOP_LAUNCHES";

/// Goes as far as it can now; the record, and whether it must be approved before it begins.
pub(crate) async fn roll_back(
    deps: &Deps,
    mut record: MigrationRecord,
    input: &Input,
    invocation: &Invocation,
) -> Result<(MigrationRecord, bool), StageError> {
    let now = invocation.now;
    let mut progress = record.rollback.clone().unwrap_or_default();
    let first = progress.started_at.is_empty();
    let started = progress.started_at.parse().ok();
    // Before anything is written, as long as launches are being started, only the workflow knows since when.
    let entered = input.since.as_deref().and_then(|at| at.parse().ok());
    let began: Option<Timestamp> = started.into_iter().chain(entered).min();
    let overdue = began.is_some_and(|at| now.duration_since(at) > PATIENCE);
    let refused = |error: &StageError| overdue || !error.name.is_transient();
    record.failure = Some(input.failure.failure(record.failure.take()));
    // A migration that was refused by the pre-flight did nothing anywhere, and may name an account that nobody can enter.
    let there = match record.stage() {
        Status::Requested | Status::Validating if !is_ordered(&record) => Ok(Cow::Borrowed(deps)),
        _ => deps.at(&record.request, invocation).await,
    };
    let deps = match there {
        Ok(ref there) => &**there,
        Err(error) if refused(&error) => {
            // Nothing may be launched for it when the account opens again.
            let key = Key::of(&record);
            deps.journal.store.close_all_waits(&key).await?;
            return stuck(deps, record, "ENTER_ACCOUNT", &error, now).await;
        }
        Err(error) => return Err(error),
    };
    record = match prepare(deps, record.clone(), first, invocation).await {
        Ok(record) => record,
        Err(error) if refused(&error) => {
            progress.refused(STOP_LAUNCHES, &error.message, overdue, now);
            if progress.is_given_up(STOP_LAUNCHES) {
                return stuck(deps, record, STOP_LAUNCHES, &error, now).await;
            }
            record.rollback = Some(progress);
            deps.journal.store.save(record, now).await?;
            return Err(again(STOP_LAUNCHES, &error.message));
        }
        Err(error) => return Err(error),
    };
    let plan = if first {
        plan(&record, &deps.journal.store.rollback_estimates().await?)
    } else {
        plan(&record, &Estimates::default())
    };
    let is_final = !plan.irreversible.is_empty() && !is_ordered(&record);
    if first {
        if plan.is_risky() && !is_final && !may_begin(&record) {
            // With the failure that it is about.
            return Ok((deps.journal.store.save(record, now).await?, true));
        }
        progress.started_at = now.to_string();
        // Of the attempt before, whose work is taken up here.
        record.hand_over = None;
        record.rollback = Some(progress.clone());
        record = begin(deps, record, &plan, now).await?;
    }
    if is_final {
        let because = "the point of no return is passed";
        let hand_over = HandOver::of(&record, &plan, &progress, because);
        return Ok((freeze::after(deps, record, &hand_over, now).await?, false));
    }
    let before = progress.clone();
    progress = walk::walk(deps, &record, &plan, progress, now, overdue).await;
    record.rollback = Some(progress.clone());
    if progress.is_complete(&plan) {
        return Ok((end(deps, record, &plan, &progress, now).await?, false));
    }
    if let Some(error) = open(&plan, &progress) {
        if progress != before {
            deps.journal.store.save(record, now).await?;
        }
        return Err(error);
    }
    let hand_over = HandOver::of(&record, &plan, &progress, &given_up(&plan, &progress));
    Ok((freeze::after(deps, record, &hand_over, now).await?, false))
}

/// Whether a person has ordered that an attempt that has ended is undone.
pub(crate) fn is_ordered(record: &MigrationRecord) -> bool {
    record.purpose == Purpose::Rollback
}

/// Whether a risky rollback may begin: everybody has agreed whose word is wanted, or nobody is to be waited for.
fn may_begin(record: &MigrationRecord) -> bool {
    record.may_pass(Gate::Rollback) || record.control.emergency.is_some()
}

/// Writes that it begins, with the plan; an emergency says so loudly.
async fn begin(
    deps: &Deps,
    record: MigrationRecord,
    plan: &RollbackPlan,
    now: Timestamp,
) -> Result<MigrationRecord, StageError> {
    let mut change = Change::to(record.status, EventType::RollbackStarted);
    let mut evidence = json!({ "plan": plan, "risk": plan.risk() });
    if let Some(order) = &record.control.emergency {
        tracing::warn!(
            by = order.by,
            "EMERGENCY: this rollback asks nobody for approval: {}",
            order.reason
        );
        change = change.reason("EMERGENCY");
        evidence["emergency"] = json!(order);
    }
    let change = change.evidence(evidence);
    Box::pin(deps.journal.advance(record, change, now)).await
}

/// Why the workflow must ask again: what has been tried, and may still be done.
fn open(plan: &RollbackPlan, progress: &Progress) -> Option<StageError> {
    let step = progress.ready(plan, &[]).into_iter().next()?;
    let said = progress.of(step).map_or("", |state| state.said.as_str());
    Some(again(&step.id, said))
}

fn again(what: &str, said: &str) -> StageError {
    StageError::new(ErrorName::DependencyUnavailable, format!("{what}: {said}"))
}

/// Why nothing is tried any more.
fn given_up(plan: &RollbackPlan, progress: &Progress) -> String {
    let failed = plan.compensations.iter().filter_map(|step| {
        let state = progress.of(step).filter(|state| state.is_given_up())?;
        Some(format!("{}: {}", step.id, state.said))
    });
    failed.collect::<Vec<_>>().join("; ")
}

/// Nothing of the plan can even be tried.
async fn stuck(
    deps: &Deps,
    record: MigrationRecord,
    what: &str,
    error: &StageError,
    now: Timestamp,
) -> Result<(MigrationRecord, bool), StageError> {
    tracing::error!(
        compensation = what,
        context = error.context,
        "the rollback cannot begin: {error}"
    );
    let plan = plan(&record, &Estimates::default());
    let progress = record.rollback.clone().unwrap_or_default();
    let because = format!("{what}: {}", error.message);
    let hand_over = HandOver::of(&record, &plan, &progress, &because);
    Ok((freeze::after(deps, record, &hand_over, now).await?, false))
}

/// Makes the record say all that was done, and lets nothing be added to it.
async fn prepare(
    deps: &Deps,
    mut record: MigrationRecord,
    first_run: bool,
    invocation: &Invocation,
) -> Result<MigrationRecord, StageError> {
    if first_run {
        record = Box::pin(launches::stop(deps, record, invocation)).await?;
    }
    target::note_finalized(deps, record, invocation.now).await
}

/// Everything is undone, or there was nothing to undo.
async fn end(
    deps: &Deps,
    mut record: MigrationRecord,
    plan: &RollbackPlan,
    progress: &Progress,
    now: Timestamp,
) -> Result<MigrationRecord, StageError> {
    let mut evidence = json!({
        "failure": record.failure, "done": done(plan, progress), "kept": plan.kept,
    });
    if !plan.irreversible.is_empty() {
        // A person has ordered what could still be undone, and must know what could not.
        evidence["irreversible"] = json!(plan.irreversible);
        let because = "the point of no return was passed before it began";
        let mut hand_over = HandOver::of(&record, plan, progress, because);
        hand_over.by_hand.extend(beside(&record, plan));
        record.hand_over = Some(hand_over);
    }
    let mut why = reason(&record);
    let change = if let Some(order) = &record.control.cancel {
        evidence["order"] = json!(order);
        why = ErrorName::Cancelled.to_string();
        Change::to(Status::Cancelled, EventType::MigrationCancelled)
    } else if plan.compensations.is_empty() && !is_ordered(&record) {
        Change::to(Status::Failed, EventType::MigrationFailed)
    } else {
        Change::to(Status::RolledBack, EventType::RollbackCompleted)
    };
    let change = change.reason(why).evidence(evidence);
    let record = Box::pin(deps.journal.advance(record, change, now)).await?;
    // Only now: an end that must be written again would count twice.
    learn(deps, plan, progress).await;
    Ok(record)
}

/// What a person does about a target that stays beside a source which serves again.
fn beside(record: &MigrationRecord, plan: &RollbackPlan) -> Option<String> {
    let serves = |step: &Step| {
        matches!(
            step.compensation,
            Compensation::PowerOnSource
                | Compensation::CheckSource
                | Compensation::RestoreDns { .. }
        )
    };
    let cutover = record.done.cutover.as_ref();
    let target = cutover.and_then(|launch| launch.instance_id.as_deref());
    let target = target.filter(|_| plan.compensations.iter().any(serves))?;
    Some(format!(
        "The target {target} runs beside the source: see what users wrote there since the cutover, then stop it."
    ))
}

/// What was done, for the evidence.
fn done(plan: &RollbackPlan, progress: &Progress) -> Vec<Value> {
    let steps = plan.compensations.iter();
    steps
        .filter_map(|step| {
            let state = progress.of(step)?;
            Some(json!({
                "compensation": step.id, "outcome": state.said, "tookSeconds": state.took_seconds(),
            }))
        })
        .collect()
}

/// Counts how long everything took that did some work, for the estimates of later plans. Nothing rests on it.
async fn learn(deps: &Deps, plan: &RollbackPlan, progress: &Progress) {
    let took: Vec<(&str, u64)> = plan
        .compensations
        .iter()
        .filter_map(|step| {
            let state = progress.of(step).filter(|state| state.acted)?;
            let seconds = state.took_seconds()?;
            Some((step.compensation.name(), seconds))
        })
        .collect();
    if let Err(error) = deps.journal.store.add_rollback_estimates(&took).await {
        tracing::warn!(
            context = error.context,
            "the estimates stay as they are: {error}"
        );
    }
}

/// The error that made the migration fail.
pub(crate) fn reason(record: &MigrationRecord) -> String {
    record
        .failure
        .as_ref()
        .map_or_else(|| ErrorName::InternalError.to_string(), |f| f.error.clone())
}
