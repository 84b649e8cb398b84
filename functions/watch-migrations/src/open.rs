//! Opening waits: the messages by which the workflow's states ask to be woken.

use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use jiff::{Timestamp, ToSpan as _};
use landfall_common::state::wait::{Wait, WaitKind};
use landfall_common::{Invocation, StageInput, stage, telemetry};
use landfall_domain::{ErrorName, MigrationRecord, StageError, Status, soak};
use serde::Deserialize;
use serde_json::Value;
use tracing::Instrument as _;

use crate::{Deps, settle};

/// How long the agent may take to be installed and known to MGN, in hours. Like the other waits it has an hour less than the
/// workflow's time-out leaves it, which counts [seven days](landfall_domain::control::PAUSE_DAYS) of a pause on top.
const AGENT_HOURS: i64 = 2;
/// How long replication may take, in hours.
const REPLICATION_HOURS: i64 = 14 * 24 - 1;

/// The body of a message, as the workflow writes it. No `Debug`: whoever holds the task token can complete the state.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AwaitMessage {
    #[serde(flatten)]
    input: StageInput,
    kind: Kind,
    retry_count: u32,
    task_token: String,
}

/// What the workflow waits for by itself; launches have a queue and a function of their own.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Kind {
    Agent,
    Replication,
    CutoverGate,
    FinalizeGate,
    RollbackGate,
    DecommissionGate,
    Soak,
}

impl Kind {
    const fn wait(self) -> WaitKind {
        match self {
            Self::Agent => WaitKind::Agent,
            Self::Replication => WaitKind::Replication,
            Self::CutoverGate => WaitKind::CutoverGate,
            Self::FinalizeGate => WaitKind::FinalizeGate,
            Self::RollbackGate => WaitKind::RollbackGate,
            Self::DecommissionGate => WaitKind::DecommissionGate,
            Self::Soak => WaitKind::Soak,
        }
    }

    /// When the wait is over, or looked at next.
    fn due(self, record: &MigrationRecord, now: Timestamp) -> Timestamp {
        let soak = record.request.policy.soak_seconds.unwrap_or(0);
        let span = match self {
            Self::Agent => AGENT_HOURS.hours(),
            Self::Replication => REPLICATION_HOURS.hours(),
            Self::Soak => i64::from(soak::round_seconds(soak)).seconds(),
            // Settled as soon as it is open; the look says when the next one is.
            Self::CutoverGate
            | Self::FinalizeGate
            | Self::RollbackGate
            | Self::DecommissionGate => 0.hours(),
        };
        now.checked_add(span).unwrap_or(Timestamp::MAX)
    }

    /// Whether the migration may have ended well when it waits so.
    const fn outlives_success(self) -> bool {
        matches!(self, Self::DecommissionGate)
    }
}

/// Opens the waits of an SQS batch, then looks at once whether any of them is over already, for then no event will
/// come. Answers with the messages that must come again.
///
/// # Errors
/// `InternalError` when the event is no SQS batch. Everything else is told per message.
pub(crate) async fn batch(
    deps: &Deps,
    event: Value,
    invocation: &Invocation,
) -> Result<Value, StageError> {
    let batch: SqsEvent = stage::read(event)?;
    let mut opened = Vec::new();
    let mut answer = SqsBatchResponse::default();
    for message in &batch.records {
        match open(deps, message, invocation).await {
            Ok(wait) => opened.extend(wait),
            Err(error) => {
                tracing::warn!(
                    error = error.name.as_str(),
                    context = error.context,
                    "a wait's message comes again: {error}"
                );
                answer.add_failure(message.message_id.clone().unwrap_or_default());
            }
        }
    }
    // They are open: whatever fails now, the next sweep looks again.
    if let Err(error) = crate::look(deps, &opened, invocation).await {
        tracing::warn!(
            error = error.name.as_str(),
            context = error.context,
            "new waits are left to the next sweep: {error}"
        );
    }
    serde_json::to_value(answer)
        .map_err(|error| StageError::new(ErrorName::InternalError, error.to_string()))
}

/// Opens the wait that a message asks for. `None` when nobody waits any more.
async fn open(
    deps: &Deps,
    message: &SqsMessage,
    invocation: &Invocation,
) -> Result<Option<Wait>, StageError> {
    let body = message.body.as_deref().unwrap_or_default();
    let message: AwaitMessage = serde_json::from_str(body).map_err(|error| {
        StageError::new(
            ErrorName::InternalError,
            format!("a wait's message cannot be read: {error}"),
        )
    })?;
    let span = telemetry::work_span(
        "watch-migrations",
        &invocation.request_id,
        &message.input.correlation_id,
    );
    let work = async {
        let record = deps.journal.store.require(&message.input.key()).await?;
        telemetry::identify(&record);
        let ended = record.status.is_end()
            && !(message.kind.outlives_success() && record.status == Status::Succeeded);
        if record.attempt != message.input.attempt || ended {
            tracing::warn!("a wait's message of an attempt that has ended is dropped");
            return Ok(None);
        }
        let token = (message.task_token, message.retry_count);
        let due = message.kind.due(&record, invocation.now);
        let wait = Wait::of(&record, message.kind.wait(), token, invocation.now, due);
        // Else the message of an earlier try of the state has come late: its token is dead.
        if !deps.journal.store.open_wait(&wait).await? {
            return Ok(None);
        }
        // Read once more: an order that came in between has seen no wait. A gate looks for itself.
        let record = deps.journal.store.require(&wait.key).await?;
        if wait.kind.gate().is_none()
            && let Some(order) = &record.control.cancel
        {
            settle::fail(deps, &wait, &stage::cancelled(order), invocation.now).await?;
            return Ok(None);
        }
        if record.control.paused.is_some() != wait.paused_at.is_some() {
            let store = &deps.journal.store;
            store.follow_pause(&wait.key, invocation.now).await?;
        }
        Ok(Some(wait))
    };
    work.instrument(span).await
}
