//! `callback`: tells the caller how the migration ended.
//!
//! A signed POST after the Standard Webhooks specification, with the same `webhook-id` for every try. A try that
//! may do better later is `DependencyUnavailable`, which the workflow retries with growing pauses; the last one,
//! and one that the receiver refuses for good, puts the message into the failed-delivery queue. The outcome of
//! the migration never depends on the callback.
//!
//! Environment: `LANDFALL_TABLE`, `LANDFALL_BUS`, `LANDFALL_CALLBACK_SECRET_ARN`,
//! `LANDFALL_CALLBACK_FAILED_QUEUE_URL`, `LANDFALL_CALLBACK_ALLOW` (optional list of origins).
#![warn(missing_docs)]

mod deliver;
mod payload;

use aws_config::SdkConfig;
use landfall_common::{AwsResultExt as _, Env, Invocation, Journal, StageInput, stage, telemetry};
use landfall_domain::record::CallbackDelivery;
use landfall_domain::{ErrorName, MigrationRecord, StageError, Status, webhook};
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
    /// Origins that may be called although they are not public or not https.
    pub allowed_origins: Vec<String>,
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
            allowed_origins: env.list("LANDFALL_CALLBACK_ALLOW"),
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
    let Some(url) = record.request.callback_url.clone() else {
        return Ok(json!({ "delivered": false, "reason": "the request names no callbackUrl" }));
    };
    let id = payload::message_id(&record, call.input.attempt);
    if record
        .callback
        .as_ref()
        .is_some_and(|callback| callback.id == id && callback.delivered)
    {
        return Ok(json!({ "delivered": true }));
    }
    let secret = deps
        .secrets
        .get_secret_value()
        .secret_id(&deps.secret_id)
        .send()
        .await
        .or_stage(
            ErrorName::DependencyUnavailable,
            "secretsmanager:GetSecretValue",
        )?;
    let body = payload::body(&record, call.outcome, invocation.now).to_string();
    let timestamp = invocation.now.as_second();
    let signature = webhook::sign(
        secret.secret_string().unwrap_or_default(),
        &id,
        timestamp,
        &body,
    )
    .map_err(|error| StageError::new(ErrorName::PrerequisiteError, error.to_string()));
    let attempt = match signature {
        Ok(signature) => {
            let message = Message {
                url: &url,
                id: &id,
                timestamp,
                signature: &signature,
                correlation_id: &record.correlation_id,
                body: &body,
            };
            deliver::deliver(&message, &deps.allowed_origins).await
        }
        // Nothing unsigned leaves the house; the operator mends the secret and redelivers.
        Err(error) => Attempt::Refused(error.message),
    };
    let (delivered, outcome) = match attempt {
        Attempt::Delivered(status) => (true, status.to_string()),
        Attempt::TryAgain(why) if call.retry_count < MAX_RETRIES => {
            return Err(StageError::new(
                ErrorName::DependencyUnavailable,
                format!("the callback to {url} did not go through: {why}"),
            ));
        }
        Attempt::TryAgain(why) | Attempt::Refused(why) => {
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

/// Puts a message that could not be delivered where it can be redelivered from.
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
    deps.sqs
        .send_message()
        .queue_url(&deps.failed_queue_url)
        .message_body(parked.to_string())
        .send()
        .await
        .or_stage(
            ErrorName::DependencyUnavailable,
            "sqs:SendMessage to the failed-delivery queue",
        )?;
    Ok(())
}
