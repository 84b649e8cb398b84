//! Messages that came out of the stack.

use std::collections::BTreeMap;

use aws_sdk_sqs::types::{Message, QueueAttributeName};

use crate::{Stack, poll};

/// Receives up to ten messages, each with all its attributes.
async fn receive(stack: &Stack, queue: &str) -> Vec<Message> {
    let receive = stack.sqs.receive_message().queue_url(queue);
    let receive = receive
        .max_number_of_messages(10)
        .message_attribute_names("All");
    // Long enough that no message comes twice while the test reads, and short enough for the next run.
    let receive = receive.visibility_timeout(10).wait_time_seconds(1);
    receive
        .send()
        .await
        .expect("the queue")
        .messages
        .unwrap_or_default()
}

/// Takes up to ten messages out of a queue for good.
pub async fn take(stack: &Stack, queue: &str) -> Vec<Message> {
    let messages = receive(stack, queue).await;
    for message in &messages {
        remove(stack, queue, message).await;
    }
    messages
}

/// What a queue holds; all of it stays there, hidden for some seconds.
pub async fn peek(stack: &Stack, queue: &str) -> Vec<Message> {
    let mut seen: BTreeMap<String, Message> = BTreeMap::new();
    loop {
        let before = seen.len();
        for message in receive(stack, queue).await {
            let id = message.message_id().expect("a message ID").to_owned();
            seen.insert(id, message);
        }
        if seen.len() == before {
            return seen.into_values().collect();
        }
    }
}

/// Takes one message out of a queue for good.
pub async fn remove(stack: &Stack, queue: &str, message: &Message) {
    let handle = message.receipt_handle().expect("a receipt handle");
    let delete = stack
        .sqs
        .delete_message()
        .queue_url(queue)
        .receipt_handle(handle);
    delete.send().await.expect("DeleteMessage");
}

/// One attribute of a message.
pub fn attribute<'a>(message: &'a Message, name: &str) -> Option<&'a str> {
    message
        .message_attributes
        .as_ref()?
        .get(name)?
        .string_value()
}

/// Takes the messages of this run out of a queue, by their correlation IDs, until every one of `wanted` is there
/// and the queue has no more of them.
pub async fn collect(
    stack: &Stack,
    queue: &str,
    wanted: &[String],
    correlation_id: impl Fn(&Message) -> Option<String>,
) -> BTreeMap<String, Vec<Message>> {
    let mut found: BTreeMap<String, Vec<Message>> = BTreeMap::new();
    poll("every message that was refused", async || {
        let mut more = false;
        for message in receive(stack, queue).await {
            let Some(id) = correlation_id(&message).filter(|id| wanted.contains(id)) else {
                continue;
            };
            remove(stack, queue, &message).await;
            found.entry(id).or_default().push(message);
            more = true;
        }
        if found.len() == wanted.len() && !more {
            Ok(())
        } else {
            Err(format!("{:?}", found.keys()))
        }
    })
    .await;
    found
}

/// Waits until the request queue holds nothing: then no message of this run can come again.
pub async fn all_taken(stack: &Stack) {
    let counts = [
        QueueAttributeName::ApproximateNumberOfMessages,
        QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
    ];
    poll("an empty request queue", async || {
        let ask = stack
            .sqs
            .get_queue_attributes()
            .queue_url(&stack.info.request_queue_url);
        let ask = ask.set_attribute_names(Some(counts.to_vec()));
        let answer = ask.send().await.expect("GetQueueAttributes");
        let left: Vec<_> = counts
            .iter()
            .filter_map(|name| answer.attributes()?.get(name).cloned())
            .collect();
        if left == ["0", "0"] {
            Ok(())
        } else {
            Err(format!("{left:?}"))
        }
    })
    .await;
}
