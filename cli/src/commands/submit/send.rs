//! Documents as messages in the queue.

use aws_sdk_sqs::types::{MessageAttributeValue, SendMessageBatchRequestEntry};
use landfall_common::{AwsResultExt as _, correlation};
use landfall_domain::ErrorName;
use serde::Serialize;

use crate::requests::Document;
use crate::target::Queue;

/// What SQS takes in one call.
const BATCH_MESSAGES: usize = 10;
/// What SQS takes in one call, over all messages with their attributes; some room is left for the latter.
const BATCH_BYTES: usize = 250 * 1024;

/// A message that is in the queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Sent {
    /// The caller's ID of the migration; absent where the body had none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub migration_id: Option<String>,
    /// The tenant.
    pub tenant_id: String,
    /// The ID to look for in logs, events and callbacks.
    pub correlation_id: String,
    /// The ID that SQS gave.
    pub message_id: String,
}

/// What became of a submission.
#[derive(Clone, Debug, Default)]
pub struct Submission {
    /// What is in the queue.
    pub sent: Vec<Sent>,
    /// What is not: which document, and why.
    pub failed: Vec<(String, String)>,
}

/// Sends documents in as few calls as SQS allows. It does not stop at a failure: each document is either in the queue
/// or told.
pub async fn send(queue: &Queue, documents: &[Document]) -> Submission {
    let mut submission = Submission::default();
    for batch in batches(documents) {
        if let Err((documents, why)) = send_batch(queue, batch, &mut submission).await {
            let failed = documents
                .iter()
                .map(|document| (place(document), why.clone()));
            submission.failed.extend(failed);
        }
    }
    submission
}

async fn send_batch<'a>(
    queue: &Queue,
    batch: &'a [Document],
    submission: &mut Submission,
) -> Result<(), (&'a [Document], String)> {
    let ids: Vec<String> = batch.iter().map(Document::correlation_id).collect();
    let entries = batch
        .iter()
        .zip(&ids)
        .enumerate()
        .map(|(index, (document, id))| {
            let attribute = MessageAttributeValue::builder()
                .data_type("String")
                .string_value(id)
                .build()?;
            SendMessageBatchRequestEntry::builder()
                .id(index.to_string())
                .message_body(&document.body)
                .message_attributes(correlation::NAME, attribute)
                .build()
        })
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| (batch, error.to_string()))?;
    let answer = queue
        .client
        .send_message_batch()
        .queue_url(&queue.url)
        .set_entries(Some(entries))
        .send()
        .await
        .or_stage(ErrorName::InternalError, "SendMessageBatch")
        .map_err(|error| (batch, error.cause()))?;

    let of_entry = |id: &str| {
        let index: usize = id.parse().ok()?;
        Some((batch.get(index)?, ids.get(index)?))
    };
    for success in answer.successful() {
        if let Some((document, correlation_id)) = of_entry(success.id()) {
            submission.sent.push(Sent {
                migration_id: document.migration_id().map(str::to_owned),
                tenant_id: document.tenant_id().to_owned(),
                correlation_id: correlation_id.clone(),
                message_id: success.message_id().to_owned(),
            });
        }
    }
    for failure in answer.failed() {
        if let Some((document, _)) = of_entry(failure.id()) {
            let why = format!(
                "{}: {}",
                failure.code(),
                failure.message().unwrap_or("no reason given")
            );
            submission.failed.push((place(document), why));
        }
    }
    Ok(())
}

/// Groups documents by the limits of one call, in order.
fn batches(documents: &[Document]) -> Vec<&[Document]> {
    let mut batches = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (index, document) in documents.iter().enumerate() {
        let full = index - start == BATCH_MESSAGES || bytes + document.body.len() > BATCH_BYTES;
        if full && index > start {
            batches.push(&documents[start..index]);
            (start, bytes) = (index, 0);
        }
        bytes += document.body.len();
    }
    if start < documents.len() {
        batches.push(&documents[start..]);
    }
    batches
}

fn place(document: &Document) -> String {
    match document.migration_id() {
        Some(id) => format!("{} ({id})", document.place()),
        None => document.place(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::requests;

    fn documents(sizes: &[usize]) -> Vec<Document> {
        sizes
            .iter()
            .map(|size| requests::split("f", &format!("\"{}\"", "x".repeat(*size))).remove(0))
            .collect()
    }

    fn sizes(documents: &[Document]) -> Vec<usize> {
        batches(documents).iter().map(|batch| batch.len()).collect()
    }

    #[test]
    fn a_call_carries_ten_messages_and_no_more_bytes_than_sqs_takes() {
        assert_eq!(sizes(&documents(&[1; 23])), [10, 10, 3]);
        assert_eq!(sizes(&documents(&[100_000, 100_000, 100_000, 1])), [2, 2]);
        assert_eq!(sizes(&documents(&[1, 300_000, 1])), [1, 1, 1]);
        assert_eq!(sizes(&[]), Vec::<usize>::new());
    }
}
