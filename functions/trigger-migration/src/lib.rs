//! `trigger-migration`: starts launches in MGN, in batches.
//!
//! Each queue message is first recorded as a launch intent. Then, under a lease, everything that is pending is
//! started in as few calls as MGN's quotas allow, however SQS sliced the messages. A message leaves the queue
//! only when its launch has started or has failed for good; the others come back soon.
//!
//! Launches happen exactly once although `StartTest` and `StartCutover` have no client token: an intent is put
//! into a batch by a conditional write, the batch's ID is a tag of the job, and whoever finds an intent in a
//! batch without a job looks for that tag before it calls.
//!
//! A cutover launch starts only while its windows are open and no freeze is in force; else the workflow gets it back, with
//! `"held": true`, and waits at the gate.
//!
//! Environment: `LANDFALL_TABLE`, `LANDFALL_BUS`, `LANDFALL_LAUNCH_QUEUE_URL`; optional `LANDFALL_FREEZE_PARAMETER` (the SSM
//! parameter with the freeze calendar).
#![warn(missing_docs)]

mod batch;
mod finish;
mod hold;
mod launch;

use aws_config::SdkConfig;
use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use jiff::{Timestamp, ToSpan as _};
use landfall_accounts::{Accounts, actions};
use landfall_common::state::wait::{Wait, WaitKind};
use landfall_common::{Env, Invocation, Journal, StageInput, stage, telemetry};
use landfall_domain::record::LaunchAction;
use landfall_domain::{ErrorName, StageError};
use landfall_gates::Holds;
use landfall_mgn::Mgn;
use landfall_quotas::Quotas;
use serde::Deserialize;
use serde_json::Value;
use tracing::Instrument as _;

/// How long a launch may wait for its turn, in hours: a wave of a thousand servers takes five rounds of MGN's quota.
/// With the time of the job it stays below the workflow's time-out of 16 hours, to which a test has a pause on top.
const QUEUE_HOURS: i64 = 12;
/// How long the job of a launch may take, in hours.
pub(crate) const JOB_HOURS: i64 = 3;
/// How long one invocation may hold the lease, in seconds: just above the function's own timeout, for nobody
/// launches anything until the lease of a worker that died has run out.
const LEASE_SECONDS: i64 = 65;
/// How many writes or reads of the table go on at once.
pub(crate) const AT_ONCE: usize = 16;
/// After how many seconds a message that could not be started comes again: this, more with each receive, and the most.
/// Over [`QUEUE_HOURS`] that is below the queue's 1,000 receives.
const COME_AGAIN_SECONDS: (i32, i32) = (5, 60);
/// A paused launch comes again as often at first; after so many receives, an hour, only each 45 minutes, so that a week's pause
/// and [`QUEUE_HOURS`] after it do not use up the receives.
const PAUSED: (i32, i32) = (60, 2_700);

/// What the function works with.
#[derive(Clone, Debug)]
pub struct Deps {
    /// State and events.
    pub journal: Journal,
    /// The clients of other accounts.
    pub accounts: Accounts<(Mgn, Quotas)>,
    /// Launches.
    pub mgn: Mgn,
    /// How many there may be at once.
    pub quotas: Quotas,
    /// What holds a switch: windows, freezes.
    pub holds: Holds,
    /// To fail the task of a server that MGN refuses.
    pub sfn: aws_sdk_sfn::Client,
    /// To bring messages back soon.
    pub sqs: aws_sdk_sqs::Client,
    /// The launch queue.
    pub queue_url: String,
}

impl Deps {
    /// From the environment.
    pub fn load(aws: &SdkConfig, env: &mut Env<'_>) -> Self {
        Self {
            journal: Journal::load(aws, env),
            accounts: Accounts::new(aws, actions::TRIGGER_MIGRATION, |aws| {
                (Mgn::new(aws), Quotas::new(aws))
            }),
            mgn: Mgn::new(aws),
            quotas: Quotas::new(aws),
            holds: Holds::load(aws, env),
            sfn: aws_sdk_sfn::Client::new(aws),
            sqs: aws_sdk_sqs::Client::new(aws),
            queue_url: env.required("LANDFALL_LAUNCH_QUEUE_URL"),
        }
    }
}

/// The body of a launch message, as the workflow writes it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LaunchMessage {
    #[serde(flatten)]
    input: StageInput,
    action: LaunchAction,
    retry_count: u32,
    task_token: String,
}

/// Handles an SQS batch; answers with the messages that must come again.
///
/// # Errors
/// `InternalError` when the event is no SQS batch. Everything else is told per message.
pub async fn handle(
    deps: &Deps,
    event: Value,
    invocation: Invocation,
) -> Result<Value, StageError> {
    let batch: SqsEvent = stage::read(event)?;
    let mut opened: Vec<(&SqsMessage, Wait)> = Vec::new();
    let mut again: Vec<(&SqsMessage, bool)> = Vec::new();
    for message in &batch.records {
        match open(deps, message, &invocation).await {
            Ok(Some(wait)) => opened.push((message, wait)),
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(
                    error = error.name.as_str(),
                    context = error.context,
                    "a launch message comes again: {error}"
                );
                again.push((message, false));
            }
        }
    }
    let waits: Vec<Wait> = opened.iter().map(|(_, wait)| wait.clone()).collect();
    if !waits.is_empty()
        && let Err(error) = launch::pending(deps, &waits, &invocation).await
    {
        tracing::warn!(
            error = error.name.as_str(),
            context = error.context,
            "not everything could be started: {error}"
        );
    }
    for (message, wait) in opened {
        match deps.journal.store.get_wait(&wait).await {
            Ok(Some(stored)) if stored.job_id.is_some() || stored.closed => {}
            Ok(Some(stored)) => again.push((message, stored.paused_at.is_some())),
            Ok(None) => {}
            Err(_) => again.push((message, false)),
        }
    }
    let mut answer = SqsBatchResponse::default();
    for (message, paused) in again {
        come_again(deps, message, paused).await;
        answer.add_failure(message.message_id.clone().unwrap_or_default());
    }
    serde_json::to_value(answer)
        .map_err(|error| StageError::new(ErrorName::InternalError, error.to_string()))
}

/// Records a message as a launch intent. `None` when there is nothing to launch any more.
async fn open(
    deps: &Deps,
    message: &SqsMessage,
    invocation: &Invocation,
) -> Result<Option<Wait>, StageError> {
    let body = message.body.as_deref().unwrap_or_default();
    let message: LaunchMessage = serde_json::from_str(body).map_err(|error| {
        StageError::new(
            ErrorName::InternalError,
            format!("a launch message cannot be read: {error}"),
        )
    })?;
    let span = telemetry::work_span(
        "trigger-migration",
        &invocation.request_id,
        &message.input.correlation_id,
    );
    let work = async {
        let record = deps.journal.store.require(&message.input.key()).await?;
        telemetry::identify(&record);
        if record.attempt != message.input.attempt || record.status.is_end() {
            tracing::warn!("a launch message of an attempt that has ended is dropped");
            return Ok(None);
        }
        let kind = WaitKind::launch(message.action);
        let token = (message.task_token, message.retry_count);
        let due = after(invocation.now, QUEUE_HOURS);
        let wait = Wait::of(&record, kind, token, invocation.now, due);
        let store = &deps.journal.store;
        let wait = store.open_launch(&wait).await?;
        if !wait.closed {
            // Read once more: an order that came before it was open has seen no launch, and a paused one is not looked at.
            let record = store.require(&wait.key).await?;
            if record.attempt == wait.attempt {
                Box::pin(hold::end_cancelled(deps, &record, &wait, invocation.now)).await?;
            }
        }
        // Opened while an operator let the migration go on: nobody else would.
        if wait.paused_at.is_some() {
            store.follow_pause(&wait.key, invocation.now).await?;
        }
        Ok(Some(wait))
    };
    work.instrument(span).await
}

pub(crate) fn after(now: Timestamp, hours: i64) -> Timestamp {
    now.checked_add(hours.hours()).unwrap_or(Timestamp::MAX)
}

/// Shortens the time until a message comes again. Best effort: the queue's own visibility time-out is the backstop.
async fn come_again(deps: &Deps, message: &SqsMessage, paused: bool) {
    let (first, most) = COME_AGAIN_SECONDS;
    let (often, seldom) = PAUSED;
    let receives = message
        .attributes
        .get("ApproximateReceiveCount")
        .and_then(|count| count.parse::<i32>().ok())
        .unwrap_or(1);
    let change = deps
        .sqs
        .change_message_visibility()
        .queue_url(&deps.queue_url)
        .set_receipt_handle(message.receipt_handle.clone())
        .visibility_timeout(if paused && receives > often {
            seldom
        } else {
            first.saturating_mul(receives).clamp(first, most)
        })
        .send()
        .await;
    if change.is_err() {
        tracing::debug!("the visibility time-out of a message stays as it is");
    }
}
