//! A queue that gets events of Landfall's bus.

use std::collections::BTreeMap;

use aws_sdk_eventbridge::types::Target;
use aws_sdk_sqs::types::{Message, QueueAttributeName};
use serde_json::Value;

use crate::{Stack, poll, queue};

/// A queue of a test's own, and the rule that fills it.
#[derive(Debug)]
pub struct Listener {
    /// The queue.
    pub queue_url: String,
    rule: String,
}

impl Listener {
    /// Listens to what fits a pattern; `name` is for the queue and the rule, and no other test's.
    pub async fn start(stack: &Stack, name: &str, pattern: &Value) -> Self {
        let queue = stack.sqs.create_queue().queue_name(name).send().await;
        let queue_url = queue.expect("CreateQueue").queue_url.expect("a queue URL");
        let arn = QueueAttributeName::QueueArn;
        let attributes = stack
            .sqs
            .get_queue_attributes()
            .queue_url(&queue_url)
            .attribute_names(arn.clone());
        let attributes = attributes.send().await.expect("GetQueueAttributes");
        let arn = attributes
            .attributes()
            .and_then(|all| all.get(&arn))
            .expect("an ARN")
            .clone();

        let bus = &stack.info.event_bus_name;
        let rule = stack.events.put_rule().name(name).event_bus_name(bus);
        rule.event_pattern(pattern.to_string())
            .send()
            .await
            .expect("PutRule");
        let target = Target::builder()
            .id("queue")
            .arn(arn)
            .build()
            .expect("a target");
        let targets = stack
            .events
            .put_targets()
            .rule(name)
            .event_bus_name(bus)
            .targets(target);
        targets.send().await.expect("PutTargets");
        Self {
            queue_url,
            rule: name.to_owned(),
        }
    }

    /// Takes the messages with the wanted correlation IDs, once there is one of each.
    pub async fn collect(
        &self,
        stack: &Stack,
        wanted: &[String],
    ) -> BTreeMap<String, Vec<Message>> {
        queue::collect(stack, &self.queue_url, wanted, |message| {
            let event: Value = serde_json::from_str(message.body()?).ok()?;
            Some(event["detail"]["correlationId"].as_str()?.to_owned())
        })
        .await
    }

    /// Takes everything that has come, once an event that ends a migration is there for each of these correlation IDs.
    pub async fn drain(&self, stack: &Stack, ends: &[String]) -> Vec<Value> {
        let mut events: Vec<Value> = Vec::new();
        poll("the events of every end", async || {
            let messages = queue::take(stack, &self.queue_url).await;
            events.extend(messages.iter().map(|message| {
                let body = message.body().expect("a body");
                serde_json::from_str(body).expect("an event")
            }));
            let ended = |id: &&String| {
                events.iter().any(|event| {
                    let kind = event["detail-type"].as_str().unwrap_or_default();
                    event["detail"]["correlationId"] == **id
                        && (kind == "MigrationSucceeded" || kind == "RollbackCompleted")
                })
            };
            let missing: Vec<_> = ends.iter().filter(|id| !ended(id)).collect();
            if messages.is_empty() && missing.is_empty() {
                Ok(())
            } else {
                Err(format!("{} events, no end of {missing:?}", events.len()))
            }
        })
        .await;
        events
    }

    /// Removes the rule and the queue.
    pub async fn close(self, stack: &Stack) {
        let bus = &stack.info.event_bus_name;
        let targets = stack
            .events
            .remove_targets()
            .rule(&self.rule)
            .event_bus_name(bus)
            .ids("queue");
        targets.send().await.expect("RemoveTargets");
        let rule = stack
            .events
            .delete_rule()
            .name(&self.rule)
            .event_bus_name(bus);
        rule.send().await.expect("DeleteRule");
        let queue = stack.sqs.delete_queue().queue_url(self.queue_url);
        queue.send().await.expect("DeleteQueue");
    }
}
