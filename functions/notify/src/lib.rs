//! `notify`: tells stakeholders what happens, by an SNS topic and by incoming webhooks of Slack and Microsoft Teams.
//!
//! EventBridge puts the events that notify (Terraform's `notice_events`) into a queue, so that a chat that is down for an
//! hour loses nothing. A message goes back to the queue while one of its addresses did not take it, and in the end to the
//! queue's dead-letter queue. What an address took is remembered in this process and not sent to it again: a notice may
//! still come twice, never less than once. It reads and writes no record, and publishes no event of its own.
//!
//! The webhooks are in one secret, `{"slack": ["https://…"], "teams": ["https://…"]}`, and go to hosts that the deployment
//! lists, past the same guard as callbacks.
//!
//! Environment: `LANDFALL_NOTICE_TOPIC_ARN`, `LANDFALL_NOTICE_SECRET_ARN`; optional `LANDFALL_NOTICE_HOSTS` (hosts of
//! webhooks, `*.` before a name means all below it) and `LANDFALL_NOTICE_ALLOW` (origins that are let through wherever
//! they are).
#![warn(missing_docs)]

mod memory;
mod topic;
mod webhooks;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use aws_config::SdkConfig;
use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use landfall_common::{Env, Invocation, correlation, stage, telemetry};
use landfall_domain::event::Detail;
use landfall_domain::notice::{Notice, notice};
use landfall_domain::{ErrorName, EventType, StageError};
use landfall_external::outbound::Guard;
use serde::Deserialize;
use serde_json::Value;
use tracing::Instrument as _;

use memory::Memory;
use webhooks::{Failed, Webhooks};

/// What the function works with.
#[derive(Clone, Debug)]
pub struct Deps {
    /// Publishes to the topic.
    pub sns: aws_sdk_sns::Client,
    /// Where the webhooks are.
    pub secrets: aws_sdk_secretsmanager::Client,
    /// The topic.
    pub topic_arn: String,
    /// The secret of the webhooks.
    pub secret_id: String,
    /// Where webhooks may lead.
    pub guard: Guard,
    /// What was taken.
    pub memory: Arc<Mutex<Memory>>,
}

impl Deps {
    /// From the environment.
    pub fn load(aws: &SdkConfig, env: &mut Env<'_>) -> Self {
        Self {
            sns: aws_sdk_sns::Client::new(aws),
            secrets: aws_sdk_secretsmanager::Client::new(aws),
            topic_arn: env.required("LANDFALL_NOTICE_TOPIC_ARN"),
            secret_id: env.required("LANDFALL_NOTICE_SECRET_ARN"),
            guard: Guard::new(env.list("LANDFALL_NOTICE_ALLOW"))
                .only(env.list("LANDFALL_NOTICE_HOSTS")),
            memory: Arc::default(),
        }
    }

    fn knows(&self, event: &str, address: &str) -> bool {
        let memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        memory.knows(event, address)
    }

    fn keep(&self, event: &str, address: &str) {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        memory.keep(event, address);
    }
}

/// An event as EventBridge hands it over.
#[derive(Debug, Deserialize)]
struct Event {
    id: String,
    #[serde(rename = "detail-type")]
    kind: EventType,
    detail: Detail,
}

/// Handles an SQS batch of events; answers with the messages that must come again.
///
/// # Errors
/// `InternalError` when it is no SQS batch.
pub async fn handle(
    deps: &Deps,
    event: Value,
    invocation: Invocation,
) -> Result<Value, StageError> {
    let batch: SqsEvent = stage::read(event)?;
    // Read for each batch: a webhook that was replaced is out of use at once.
    let webhooks = Webhooks::read(deps).await;
    let mut answer = SqsBatchResponse::default();
    let mut down = Down::new();
    for message in &batch.records {
        if !take(deps, message, &webhooks, &mut down, &invocation).await {
            answer.add_failure(message.message_id.clone().unwrap_or_default());
        }
    }
    serde_json::to_value(answer)
        .map_err(|error| StageError::new(ErrorName::InternalError, error.to_string()))
}

/// The webhooks that take nothing now. None is asked again in a batch: ten times its time-out is more than an invocation has,
/// and one that runs out of time forgets what the others took.
type Down<'a> = BTreeMap<&'a str, StageError>;

/// Whether everybody has heard of a message's event.
async fn take<'a>(
    deps: &Deps,
    message: &SqsMessage,
    webhooks: &'a Result<Webhooks, StageError>,
    down: &mut Down<'a>,
    invocation: &Invocation,
) -> bool {
    let body = message.body.as_deref().unwrap_or_default();
    let body: Value = serde_json::from_str(body).unwrap_or_default();
    let correlation_id = correlation::of_event(&body).unwrap_or_default().to_owned();
    let span = telemetry::work_span("notify", &invocation.request_id, &correlation_id);
    async {
        let told = match stage::read::<Event>(body) {
            Ok(event) => {
                let notice = notice(event.kind, &event.detail);
                tell(deps, &event, &notice, webhooks, down).await
            }
            Err(error) => Err(error),
        };
        if let Err(error) = &told {
            tracing::warn!(
                error = error.name.as_str(),
                context = error.context,
                messageId = message.message_id,
                "a notice goes back to the queue: {error}"
            );
        }
        told.is_ok()
    }
    .instrument(span)
    .await
}

/// Tells every address that has not heard of it yet. One that fails keeps none of the others from hearing.
async fn tell<'a>(
    deps: &Deps,
    event: &Event,
    notice: &Notice,
    webhooks: &'a Result<Webhooks, StageError>,
    down: &mut Down<'a>,
) -> Result<(), StageError> {
    let mut failed = None;
    if !deps.knows(&event.id, &deps.topic_arn) {
        match topic::publish(deps, event.kind, &event.detail, notice).await {
            Ok(()) => deps.keep(&event.id, &deps.topic_arn),
            Err(error) => failed = Some(error),
        }
    }
    match webhooks {
        Err(error) => failed = Some(error.clone()),
        Ok(webhooks) => {
            for webhook in webhooks.all() {
                if deps.knows(&event.id, &webhook.url) {
                    continue;
                }
                if let Some(error) = down.get(&*webhook.url) {
                    failed = Some(error.clone());
                    continue;
                }
                match webhook.post(&deps.guard, notice).await {
                    Ok(()) => deps.keep(&event.id, &webhook.url),
                    Err(Failed { error, is_down }) => {
                        if is_down {
                            down.insert(&webhook.url, error.clone());
                        }
                        failed = Some(error);
                    }
                }
            }
        }
    }
    failed.map_or(Ok(()), Err)
}
