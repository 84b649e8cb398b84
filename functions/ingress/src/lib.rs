//! `ingress`: takes migration requests from the queue.
//!
//! Each message of a batch is judged alone. A good one is recorded and announced (`MigrationRequested`, which
//! starts the workflow); a hopeless one goes to the dead-letter queue once, with its reason and findings as
//! message attributes, and is announced as `MigrationRejected`; one that met a transient failure goes back to
//! the queue by itself. No message is lost: only what was recorded or dead-lettered is taken off the queue.
//!
//! Environment: `LANDFALL_TABLE`, `LANDFALL_BUS`, `LANDFALL_REQUEST_DLQ_URL`.
#![warn(missing_docs)]

mod admission;
mod reject;

use aws_config::SdkConfig;
use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use landfall_common::{Env, Invocation, Journal, correlation, stage, telemetry};
use landfall_domain::StageError;
use landfall_domain::schema;
use serde_json::Value;
use tracing::Instrument as _;

/// What the function works with.
#[derive(Clone, Debug)]
pub struct Deps {
    /// State and events.
    pub journal: Journal,
    /// For the dead-letter queue.
    pub sqs: aws_sdk_sqs::Client,
    /// The dead-letter queue of the request queue.
    pub dlq_url: String,
}

impl Deps {
    /// From the environment.
    pub fn load(aws: &SdkConfig, env: &mut Env<'_>) -> Self {
        Self {
            journal: Journal::load(aws, env),
            sqs: aws_sdk_sqs::Client::new(aws),
            dlq_url: env.required("LANDFALL_REQUEST_DLQ_URL"),
        }
    }
}

/// Handles an SQS batch; answers with the messages that must come again.
///
/// # Errors
/// `InternalError` when the event is no SQS batch.
pub async fn handle(
    deps: &Deps,
    event: Value,
    invocation: Invocation,
) -> Result<Value, StageError> {
    let batch: SqsEvent = stage::read(event)?;
    let mut answer = SqsBatchResponse::default();
    for message in &batch.records {
        let attribute = message
            .message_attributes
            .get(correlation::NAME)
            .and_then(|attribute| attribute.string_value.as_deref());
        let outcome = take(deps, message, attribute, &invocation).await;
        if let Err(error) = outcome {
            tracing::warn!(
                error = error.name.as_str(),
                context = error.context,
                messageId = message.message_id,
                "a message goes back to the queue: {error}"
            );
            answer.add_failure(message.message_id.clone().unwrap_or_default());
        }
    }
    serde_json::to_value(answer).map_err(|error| {
        StageError::new(landfall_domain::ErrorName::InternalError, error.to_string())
    })
}

async fn take(
    deps: &Deps,
    message: &SqsMessage,
    attribute: Option<&str>,
    invocation: &Invocation,
) -> Result<(), StageError> {
    let body = message.body.as_deref().unwrap_or_default();
    let parsed = schema::parse(body);
    let in_body = match &parsed {
        Ok(request) => request.correlation_id.clone(),
        Err(_) => serde_json::from_str::<Value>(body)
            .ok()
            .and_then(|value| correlation::of_event(&value).map(str::to_owned)),
    };
    let correlation_id = correlation::choose(attribute, in_body.as_deref());
    let span = telemetry::work_span("ingress", &invocation.request_id, &correlation_id);
    let work = async {
        match parsed {
            Ok(request) => {
                // Who sent it, as SQS saw them; the one who may not approve it.
                let sender = message.attributes.get("SenderId").map(String::as_str);
                let admitted =
                    admission::admit(deps, request, &correlation_id, sender, invocation.now);
                // On the heap: it is large, and every message of a batch would carry it.
                match Box::pin(admitted).await? {
                    admission::Admission::Done => Ok(()),
                    admission::Admission::Refused {
                        rejection,
                        tenant_id,
                        migration_id,
                        app_name,
                        wave,
                    } => {
                        reject::reject(
                            deps,
                            body,
                            reject::Refused {
                                reason: rejection.reason,
                                findings: rejection.findings,
                                tenant_id: Some(tenant_id),
                                migration_id: Some(migration_id),
                                app_name,
                                wave,
                                correlation_id: correlation_id.clone(),
                            },
                            invocation.now,
                        )
                        .await
                    }
                }
            }
            Err(rejection) => {
                reject::reject(
                    deps,
                    body,
                    reject::Refused::of(rejection, &correlation_id),
                    invocation.now,
                )
                .await
            }
        }
    };
    work.instrument(span).await
}
