//! `callback`: tells the caller how the migration ended.
//!
//! A signed POST after the Standard Webhooks specification, with the same `webhook-id` and body for every try. After a
//! try that may do better later the answer tells the workflow how long to wait (`retryAfterSeconds`), over about six
//! hours; the last one, and one that the receiver refuses for good, puts the message into the failed-delivery queue,
//! from which `landfall callbacks redeliver` takes it with `{"action": "redeliver", "message": …}`. The outcome of
//! the migration never depends on the callback. A callback that comes when the next attempt has begun says
//! nothing: the record no longer knows what it would report.
//!
//! Environment: `LANDFALL_TABLE`, `LANDFALL_BUS`, `LANDFALL_CALLBACK_SECRET_ARN`,
//! `LANDFALL_CALLBACK_FAILED_QUEUE_URL`, `LANDFALL_CALLBACK_ALLOW` (optional list of origins).
#![warn(missing_docs)]

mod deliver;
mod key;
mod payload;
mod redeliver;

use aws_config::SdkConfig;
use aws_sdk_sqs::types::MessageAttributeValue;
use jiff::{SignedDuration, Timestamp};
use landfall_common::{
    AwsResultExt as _, Env, Invocation, Journal, StageInput, correlation, stage, telemetry,
};
use landfall_domain::record::CallbackDelivery;
use landfall_domain::webhook::{self, Parked};
use landfall_domain::{ErrorName, MigrationRecord, StageError, Status};
use landfall_external::outbound::Guard;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use deliver::{Attempt, Message};

/// What the function works with.
#[derive(Clone, Debug)]
pub struct Deps {
    /// State; the bus is not used.
    pub journal: Journal,
    /// Where the signing secret is.
    pub secrets: aws_sdk_secretsmanager::Client,
    /// For the failed-delivery queue.
    pub sqs: aws_sdk_sqs::Client,
    /// The signing secret: one or several of `whsec_…`.
    pub secret_id: String,
    /// Where messages go that could not be delivered.
    pub failed_queue_url: String,
    /// Where callbacks may go.
    pub guard: Guard,
}

impl Deps {
    /// From the environment.
    pub fn load(aws: &SdkConfig, env: &mut Env<'_>) -> Self {
        Self {
            journal: Journal::load(aws, env),
            secrets: aws_sdk_secretsmanager::Client::new(aws),
            sqs: aws_sdk_sqs::Client::new(aws),
            secret_id: env.required("LANDFALL_CALLBACK_SECRET_ARN"),
            failed_queue_url: env.required("LANDFALL_CALLBACK_FAILED_QUEUE_URL"),
            guard: Guard::new(env.list("LANDFALL_CALLBACK_ALLOW")),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Call {
    #[serde(flatten)]
    input: StageInput,
    outcome: Status,
    /// How often it was tried before.
    #[serde(default)]
    tries: u32,
}

/// Delivers the callback of a migration that has ended, or one from the failed-delivery queue.
///
/// # Errors
/// Those of the state table and of the failed-delivery queue, which the workflow retries.
pub async fn handle(
    deps: &Deps,
    event: Value,
    invocation: Invocation,
) -> Result<Value, StageError> {
    if event.get("action").and_then(Value::as_str) == Some("redeliver") {
        return redeliver::run(deps, event, &invocation).await;
    }
    let call: Call = stage::read(event)?;
    let record = deps.journal.store.require(&call.input.key()).await?;
    telemetry::identify(&record);
    if record.attempt != call.input.attempt {
        return Ok(superseded(&record, call.input.attempt));
    }
    let Some(url) = record.request.callback_url.clone() else {
        return Ok(json!({ "delivered": false, "outcome": "the request names no callbackUrl" }));
    };
    let id = payload::message_id(&record);
    if let Some(callback) = &record.callback
        && callback.id == id
        && callback.delivered
    {
        return Ok(json!({ "delivered": true, "outcome": callback.outcome }));
    }
    let body = payload::body(&record, call.outcome, invocation.now).to_string();
    let message = Message {
        url: &url,
        id: &id,
        correlation_id: &record.correlation_id,
        body: &body,
    };
    let tried = attempt(deps, &message, invocation.now).await;
    let pause = match &tried {
        Attempt::TryAgain { asked, .. } => webhook::pause(call.tries, *asked, random()),
        Attempt::Delivered(_) | Attempt::Refused(_) => None,
    };
    let (delivered, outcome) = match tried {
        Attempt::Delivered(status) => (true, status.to_string()),
        Attempt::TryAgain { why, .. } | Attempt::Refused(why) => (false, why),
    };
    if !delivered && pause.is_none() {
        park(deps, &record, &message, &outcome).await?;
    }
    tracing::info!(
        delivered,
        outcome,
        tries = call.tries + 1,
        retryAfterSeconds = pause,
        "callback {id}"
    );
    let next_try_at = pause.and_then(|seconds| {
        let pause = SignedDuration::from_secs(i64::from(seconds));
        Some(invocation.now.checked_add(pause).ok()?.to_string())
    });
    let mut record = record;
    record.callback = Some(CallbackDelivery {
        id,
        delivered,
        outcome: outcome.clone(),
        at: invocation.now.to_string(),
        tries: call.tries + 1,
        next_try_at,
    });
    deps.journal.store.save(record, invocation.now).await?;
    let mut answer = json!({ "delivered": delivered, "outcome": outcome });
    if let Some(seconds) = pause {
        answer["retryAfterSeconds"] = seconds.into();
    }
    Ok(answer)
}

/// Any number: the pauses of many callbacks must not fall together.
fn random() -> u64 {
    Uuid::new_v4().as_u64_pair().1
}

/// The answer for an attempt that another one has followed. The record speaks of the new attempt by now: its
/// status, its failure and its URL would be reported as the old one's. How the old attempt ended is in the
/// history; whoever submitted again knows that it did.
fn superseded(record: &MigrationRecord, attempt: u32) -> Value {
    tracing::warn!(
        attempt,
        currentAttempt = record.attempt,
        "the callback of an attempt comes after the next one has begun: nothing is sent"
    );
    json!({
        "delivered": false, "superseded": true, "outcome": "the next attempt has begun: nothing is sent",
    })
}

/// One try: the signature, then the delivery. Every way to fail counts as a try, also the one in which there is
/// nothing to sign with: a message that cannot go out must end in the failed-delivery queue, not nowhere.
async fn attempt(deps: &Deps, message: &Message<'_>, now: Timestamp) -> Attempt {
    let secret = match key::signing_secret(deps).await {
        Ok(secret) => secret,
        Err(why) => return Attempt::try_again(why),
    };
    match webhook::sign(&secret, message.id, now.as_second(), message.body) {
        Ok(signature) => deliver::deliver(message, &signature, &deps.guard, now).await,
        // Nothing unsigned leaves the house; the operator mends the secret and redelivers.
        Err(error) => Attempt::Refused(error.to_string()),
    }
}

/// Puts a message that could not be delivered where it can be redelivered from.
async fn park(
    deps: &Deps,
    record: &MigrationRecord,
    message: &Message<'_>,
    why: &str,
) -> Result<(), StageError> {
    tracing::warn!(
        reason = why,
        "the callback could not be delivered; it goes to the failed-delivery queue"
    );
    let internal = |error: String| StageError::new(ErrorName::InternalError, error);
    let parked = Parked {
        tenant_id: record.tenant_id.clone(),
        migration_id: record.migration_id.clone(),
        correlation_id: record.correlation_id.clone(),
        url: message.url.to_owned(),
        webhook_id: message.id.to_owned(),
        body: message.body.to_owned(),
        reason: why.to_owned(),
    };
    let correlation_id = MessageAttributeValue::builder()
        .data_type("String")
        .string_value(&record.correlation_id)
        .build()
        .map_err(|error| internal(error.to_string()))?;
    let text = serde_json::to_string(&parked).map_err(|error| internal(error.to_string()))?;
    deps.sqs
        .send_message()
        .queue_url(&deps.failed_queue_url)
        .message_body(text)
        .message_attributes(correlation::NAME, correlation_id)
        .send()
        .await
        .or_stage(
            ErrorName::DependencyUnavailable,
            "sqs:SendMessage to the failed-delivery queue",
        )?;
    Ok(())
}
