//! `callback`: tells the caller how the migration ended.
//!
//! A signed POST after the Standard Webhooks specification, with the same `webhook-id` for every try. A try that
//! may do better later is `DependencyUnavailable`, which the workflow retries with growing pauses; the last one,
//! and one that the receiver refuses for good, puts the message into the failed-delivery queue. The outcome of
//! the migration never depends on the callback. A callback that comes when the next attempt has begun says
//! nothing: the record no longer knows what it would report.
//!
//! Environment: `LANDFALL_TABLE`, `LANDFALL_BUS`, `LANDFALL_CALLBACK_SECRET_ARN`,
//! `LANDFALL_CALLBACK_FAILED_QUEUE_URL`, `LANDFALL_CALLBACK_ALLOW` (optional list of origins).
#![warn(missing_docs)]

mod deliver;
mod payload;

use aws_config::SdkConfig;
use aws_sdk_sqs::types::MessageAttributeValue;
use jiff::Timestamp;
use landfall_common::{
    AwsResultExt as _, Env, Invocation, Journal, StageInput, aws_error, correlation, stage,
    telemetry,
};
use landfall_domain::record::CallbackDelivery;
use landfall_domain::{ErrorName, MigrationRecord, StageError, Status, webhook};
use landfall_external::outbound::Guard;
use serde::Deserialize;
use serde_json::{Value, json};

use deliver::{Attempt, Message};

/// After so many retries by the workflow the message goes to the failed-delivery queue; below the workflow's own
/// limit of 8.
const MAX_RETRIES: u32 = 6;

/// What the function works with.
#[derive(Clone, Debug)]
pub struct Deps {
    /// State; the bus is not used.
    pub journal: Journal,
    /// Where the signing secret is.
    pub secrets: aws_sdk_secretsmanager::Client,
    /// For the failed-delivery queue.
    pub sqs: aws_sdk_sqs::Client,
    /// The signing secret, `whsec_…`.
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
    #[serde(default)]
    retry_count: u32,
}

/// Delivers the callback of a migration that has ended.
///
/// # Errors
/// `DependencyUnavailable` when another try may succeed.
pub async fn handle(
    deps: &Deps,
    event: Value,
    invocation: Invocation,
) -> Result<Value, StageError> {
    let call: Call = stage::read(event)?;
    let record = deps.journal.store.require(&call.input.key()).await?;
    telemetry::identify(&record);
    if record.attempt != call.input.attempt {
        return Ok(superseded(&record, call.input.attempt));
    }
    let Some(url) = record.request.callback_url.clone() else {
        return Ok(json!({ "delivered": false, "reason": "the request names no callbackUrl" }));
    };
    let id = payload::message_id(&record);
    if record
        .callback
        .as_ref()
        .is_some_and(|callback| callback.id == id && callback.delivered)
    {
        return Ok(json!({ "delivered": true }));
    }
    let body = payload::body(&record, call.outcome, invocation.now).to_string();
    let (delivered, outcome) = match attempt(deps, &record, &url, &id, &body, invocation.now).await
    {
        Attempt::Delivered(status) => (true, status.to_string()),
        Attempt::TryAgain { why, .. } if call.retry_count < MAX_RETRIES => {
            return Err(StageError::new(
                ErrorName::DependencyUnavailable,
                format!(
                    "the callback to {} did not go through: {why}",
                    deliver::origin(&url)
                ),
            ));
        }
        Attempt::TryAgain { why, .. } | Attempt::Refused(why) => {
            park(deps, &record, &url, &id, &body, &why).await?;
            (false, why)
        }
    };
    tracing::info!(delivered, outcome, "callback {id}");
    let at = invocation.now.to_string();
    let mut record = record;
    record.callback = Some(CallbackDelivery {
        id,
        delivered,
        outcome: outcome.clone(),
        at,
    });
    deps.journal.store.save(record, invocation.now).await?;
    Ok(json!({ "delivered": delivered, "outcome": outcome }))
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
    json!({ "delivered": false, "superseded": true })
}

/// One try: the signature, then the delivery. Every way to fail counts as a try, also the one in which there is
/// nothing to sign with: a message that cannot go out must end in the failed-delivery queue, not nowhere.
async fn attempt(
    deps: &Deps,
    record: &MigrationRecord,
    url: &str,
    id: &str,
    body: &str,
    now: Timestamp,
) -> Attempt {
    let secret = match signing_secret(deps).await {
        Ok(secret) => secret,
        Err(why) => return Attempt::try_again(why),
    };
    let signature = match webhook::sign(&secret, id, now.as_second(), body) {
        Ok(signature) => signature,
        // Nothing unsigned leaves the house; the operator mends the secret and redelivers.
        Err(error) => return Attempt::Refused(error.to_string()),
    };
    let message = Message {
        url,
        id,
        signature: &signature,
        correlation_id: &record.correlation_id,
        body,
    };
    deliver::deliver(&message, &deps.guard, now).await
}

/// The signing secret; else why there is none, in words for the operator.
async fn signing_secret(deps: &Deps) -> Result<String, String> {
    let answer = deps
        .secrets
        .get_secret_value()
        .secret_id(&deps.secret_id)
        .send()
        .await;
    match answer {
        Ok(secret) => Ok(secret.secret_string.unwrap_or_default()),
        // The deployment makes the secret without a value, so that no state file holds one. Secrets Manager
        // answers for such a secret as if it did not exist.
        Err(error) if aws_error::code(&error) == Some("ResourceNotFoundException") => Err(format!(
            "the callback signing secret has no value yet; put whsec_ and 32 random bytes in base64 into {}",
            deps.secret_id
        )),
        Err(error) => Err(aws_error::stage_error(
            &error,
            ErrorName::DependencyUnavailable,
            "secretsmanager:GetSecretValue",
        )
        .message),
    }
}

/// Puts a message that could not be delivered where it can be redelivered from. The message carries the whole
/// URL, because who redelivers it needs that; nothing else that leaves this function does, as what follows the
/// origin may be a secret.
async fn park(
    deps: &Deps,
    record: &MigrationRecord,
    url: &str,
    id: &str,
    body: &str,
    why: &str,
) -> Result<(), StageError> {
    tracing::warn!(
        reason = why,
        "the callback could not be delivered; it goes to the failed-delivery queue"
    );
    let parked = json!({
        "tenantId": record.tenant_id,
        "migrationId": record.migration_id,
        "correlationId": record.correlation_id,
        "url": url,
        "webhookId": id,
        "body": body,
        "reason": why,
    });
    let correlation_id = MessageAttributeValue::builder()
        .data_type("String")
        .string_value(&record.correlation_id)
        .build()
        .map_err(|error| StageError::new(ErrorName::InternalError, error.to_string()))?;
    deps.sqs
        .send_message()
        .queue_url(&deps.failed_queue_url)
        .message_body(parked.to_string())
        .message_attributes(correlation::NAME, correlation_id)
        .send()
        .await
        .or_stage(
            ErrorName::DependencyUnavailable,
            "sqs:SendMessage to the failed-delivery queue",
        )?;
    Ok(())
}
