//! The walk through the plan: what waits for nothing is done at the same time, a few at once.

use std::sync::Arc;
use std::time::Instant;

use jiff::{SignedDuration, Timestamp};
use landfall_domain::rollback::{Outcome, Progress, RollbackPlan, TRIES};
use landfall_domain::{MigrationRecord, StageError};
use tokio::task::JoinSet;
use tracing::Instrument as _;

use crate::{Deps, compensate};

/// So many compensations are carried out at once: a plan has few that wait for nothing, and Route 53 allows an account
/// five requests a second.
const AT_ONCE: usize = 4;

/// Tries everything once that is not done and whose time has come, with what follows from it. What is done, refused or
/// under way is in the progress afterwards.
pub(crate) async fn walk(
    deps: &Deps,
    record: &MigrationRecord,
    plan: &RollbackPlan,
    mut progress: Progress,
    began: Timestamp,
    overdue: bool,
) -> Progress {
    let shared = Arc::new((deps.clone(), record.clone()));
    let started = Instant::now();
    // The invocation's own clock, which tests set, and what has passed since.
    let now = || {
        let passed = SignedDuration::try_from(started.elapsed()).unwrap_or_default();
        began.checked_add(passed).unwrap_or(began)
    };
    let mut tried: Vec<String> = Vec::new();
    let mut running = JoinSet::new();
    loop {
        for step in progress.ready(plan, &tried) {
            if running.len() >= AT_ONCE {
                break;
            }
            tried.push(step.id.clone());
            let (shared, step, at) = (Arc::clone(&shared), step.clone(), now());
            let refused = progress.of(&step).map_or(0, |state| state.refused);
            let last = overdue || refused + 1 >= TRIES;
            let work = async move {
                let (deps, record) = &*shared;
                let work = compensate::undo(deps, record, &step.compensation, last);
                let outcome = Box::pin(work).await;
                (step.id, at, explained(deps, record, outcome).await)
            };
            running.spawn(work.in_current_span());
        }
        match running.join_next().await {
            Some(Ok((id, at, outcome))) => note(&mut progress, &id, outcome, at, now(), overdue),
            // As it would have been without a task of its own.
            Some(Err(died)) if died.is_panic() => std::panic::resume_unwind(died.into_panic()),
            Some(Err(_)) => {}
            None => return progress,
        }
    }
}

async fn explained(
    deps: &Deps,
    record: &MigrationRecord,
    outcome: Result<Outcome, StageError>,
) -> Result<Outcome, StageError> {
    match outcome {
        Err(error) if !error.name.is_transient() => {
            let account = record.request.account.as_ref();
            Err(deps.accounts.explain_error(account, error).await)
        }
        outcome => outcome,
    }
}

fn note(
    progress: &mut Progress,
    id: &str,
    outcome: Result<Outcome, StageError>,
    began: Timestamp,
    now: Timestamp,
    overdue: bool,
) {
    match outcome {
        Ok(outcome) => {
            tracing::info!(compensation = id, "{}", outcome.said());
            progress.done(id, &outcome, began, now);
        }
        Err(error) if error.name.is_transient() => {
            tracing::info!(
                compensation = id,
                context = error.context,
                "not yet: {error}"
            );
            progress.waits(id, &error.message, overdue, began);
        }
        Err(error) => {
            tracing::error!(
                compensation = id,
                context = error.context,
                "a compensation was refused: {error}"
            );
            progress.refused(id, &error.message, overdue, began);
        }
    }
}
