//! Gates and soaks: what waits for people and for time, and for nothing of MGN's.

use futures_util::stream::{self, StreamExt as _};
use landfall_common::state::wait::{Wait, WaitKind};
use landfall_common::{Invocation, telemetry};
use landfall_domain::StageError;
use landfall_tasks::{self as tasks, Told};
use serde_json::json;
use tracing::Instrument as _;

use crate::{AT_ONCE, Deps, settle};

/// Looks at those that are due, and now and then whether anybody still waits for the others. The fault of one is its own.
pub(crate) async fn look(deps: &Deps, waits: &[&Wait], invocation: &Invocation) {
    let work = waits.iter().map(|wait| {
        let span = telemetry::work_span(
            "watch-migrations",
            &invocation.request_id,
            &wait.correlation_id,
        );
        async move {
            if let Err(error) = look_at(deps, wait, invocation).await {
                tracing::warn!(
                    error = error.name.as_str(),
                    context = error.context,
                    migrationId = wait.key.migration_id,
                    "a gate is left to the next sweep: {error}"
                );
            }
        }
        .instrument(span)
    });
    stream::iter(work)
        .buffer_unordered(AT_ONCE)
        .collect::<()>()
        .await;
}

async fn look_at(deps: &Deps, wait: &Wait, invocation: &Invocation) -> Result<(), StageError> {
    let now = invocation.now;
    // Due at this very moment is due: a wait that was just opened is.
    let due = wait
        .due_at
        .parse()
        .is_ok_and(|due: jiff::Timestamp| due <= now);
    if !due {
        if settle::beats(wait, now)
            && tasks::beat(&deps.sfn, &wait.task_token).await? == Told::Nobody
        {
            tasks::bury(&deps.journal, &deps.sfn, wait, now).await?;
        }
        return Ok(());
    }
    if wait.kind == WaitKind::Soak {
        if wait.paused_at.is_none() && settle::live_record(deps, wait).await?.is_some() {
            settle::succeed(deps, wait, &json!({}), now).await?;
        }
        return Ok(());
    }
    Box::pin(deps.gates.settle(&deps.journal, &deps.sfn, wait, now)).await
}
