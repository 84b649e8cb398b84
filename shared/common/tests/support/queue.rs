//! SQS.
#![allow(dead_code, reason = "each test takes the part it needs")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use aws_sdk_sqs::operation::{change_message_visibility as visibility, send_message as send};
use aws_smithy_mocks::{RuleMode, mock_client};

use crate::support::{Calls, answer};

/// A message that was sent.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) queue_url: String,
    pub(crate) body: String,
    pub(crate) attributes: BTreeMap<String, String>,
}

/// What was sent, and which receipts come again after how many seconds.
#[derive(Default)]
pub(crate) struct Queue {
    pub(crate) sent: Vec<Sent>,
    pub(crate) again: Vec<(String, i32)>,
}

pub(crate) fn sqs(queue: &Arc<Mutex<Queue>>, calls: &Calls) -> aws_sdk_sqs::Client {
    use aws_sdk_sqs::Client;
    let send = answer!(
        calls,
        queue = queue,
        Client::send_message,
        send::SendMessageError,
        "SendMessage",
        |input| {
            let attributes = input.message_attributes().into_iter().flatten();
            let text = |value: Option<&str>| value.unwrap().to_owned();
            queue.sent.push(Sent {
                queue_url: text(input.queue_url()),
                body: text(input.message_body()),
                attributes: attributes
                    .map(|(name, value)| (name.clone(), text(value.string_value())))
                    .collect(),
            });
            Ok(send::SendMessageOutput::builder().build())
        }
    );
    let visibility = answer!(
        calls,
        queue = queue,
        Client::change_message_visibility,
        visibility::ChangeMessageVisibilityError,
        "ChangeMessageVisibility",
        |input| {
            let receipt = input.receipt_handle().unwrap().to_owned();
            queue
                .again
                .push((receipt, input.visibility_timeout().unwrap()));
            Ok(visibility::ChangeMessageVisibilityOutput::builder().build())
        }
    );
    mock_client!(aws_sdk_sqs, RuleMode::MatchAny, [&send, &visibility])
}
