//! The failed-delivery queue: messages are borrowed, and given back or taken out.

use std::collections::BTreeSet;

use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry, Message, MessageSystemAttributeName,
};
use landfall_common::AwsResultExt as _;
use landfall_common::aws_error::{code, stage_error};
use landfall_domain::ErrorName;
use landfall_domain::webhook::Parked;

use crate::error::CliError;
use crate::target::FailedCallbacks;

/// How long a message is hidden from others while it is worked on, in seconds: as long as a batch of deliveries may take.
const BORROWED: i32 = 300;
/// SQS looks at all its servers when it may take a moment, in seconds.
const LOOK: i32 = 2;

/// A message of the queue.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    receipt: String,
    /// SQS's own ID.
    pub(super) id: String,
    /// When it was put there, in milliseconds since 1970.
    pub(super) since: Option<i64>,
    /// What it says; the whole body where that cannot be read.
    pub(super) content: Result<Parked, String>,
}

impl Waiting {
    fn of(message: Message) -> Option<Self> {
        let body = message.body.unwrap_or_default();
        let sent = message
            .attributes
            .as_ref()
            .and_then(|all| all.get(&MessageSystemAttributeName::SentTimestamp));
        Some(Self {
            receipt: message.receipt_handle?,
            id: message.message_id?,
            since: sent.and_then(|text| text.parse().ok()),
            content: serde_json::from_str(&body).map_err(|_| body),
        })
    }

    /// Whether an ID means it.
    pub(super) fn is(&self, id: &str) -> bool {
        let content = self.content.as_ref();
        content.is_ok_and(|parked| parked.migration_id == id || parked.webhook_id == id)
    }
}

/// The queue, as far as it was looked through.
pub(super) struct Queue<'a> {
    place: &'a FailedCallbacks,
    url: String,
    seen: BTreeSet<String>,
}

impl<'a> Queue<'a> {
    pub(super) async fn open(place: &'a FailedCallbacks) -> Result<Self, CliError> {
        let url = place
            .sqs
            .get_queue_url()
            .queue_name(&place.queue)
            .send()
            .await
            .map_err(|error| {
                let told = stage_error(&error, ErrorName::PrerequisiteError, "sqs:GetQueueUrl");
                match code(&error) {
                    Some("AWS.SimpleQueueService.NonExistentQueue" | "QueueDoesNotExist") => {
                        CliError::new(
                            told.cause(),
                            format!(
                                "There is no queue {} there. Check the Region and --table.",
                                place.queue
                            ),
                        )
                    }
                    _ => CliError::of_call(&told, place.advice),
                }
            })?;
        Ok(Self {
            place,
            url: url.queue_url.unwrap_or_default(),
            seen: BTreeSet::new(),
        })
    }

    /// Borrows some that were not seen yet; none, when there are no more.
    pub(super) async fn next(&mut self) -> Result<Vec<Waiting>, CliError> {
        let answer = self
            .place
            .sqs
            .receive_message()
            .queue_url(&self.url)
            .max_number_of_messages(10)
            .visibility_timeout(BORROWED)
            .wait_time_seconds(LOOK)
            .message_system_attribute_names(MessageSystemAttributeName::SentTimestamp)
            .send()
            .await
            .or_stage(ErrorName::PrerequisiteError, "sqs:ReceiveMessage")
            .map_err(|error| CliError::of_call(&error, self.place.advice))?;
        let messages = answer.messages.unwrap_or_default();
        let messages = messages.into_iter().filter_map(Waiting::of);
        Ok(messages
            .filter(|message| self.seen.insert(message.id.clone()))
            .collect())
    }

    /// Gives messages back at once. One that cannot be given back comes back by itself.
    pub(super) async fn release(&self, messages: &[Waiting]) {
        for batch in messages.chunks(10) {
            let entries = batch.iter().enumerate().filter_map(|(nth, message)| {
                ChangeMessageVisibilityBatchRequestEntry::builder()
                    .id(nth.to_string())
                    .receipt_handle(&message.receipt)
                    .visibility_timeout(0)
                    .build()
                    .ok()
            });
            let _ = self
                .place
                .sqs
                .change_message_visibility_batch()
                .queue_url(&self.url)
                .set_entries(Some(entries.collect()))
                .send()
                .await;
        }
    }

    /// Takes a delivered message out. Where that fails it comes back, and is known to be delivered then.
    pub(super) async fn remove(&self, message: &Waiting) {
        let _ = self
            .place
            .sqs
            .delete_message()
            .queue_url(&self.url)
            .receipt_handle(&message.receipt)
            .send()
            .await;
    }
}
