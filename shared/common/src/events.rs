//! Publishing to the event bus.

use aws_sdk_eventbridge::Client;
use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use landfall_domain::event::{Detail, SOURCE};
use landfall_domain::{ErrorName, EventType, StageError};

use crate::aws_error::AwsResultExt;

/// Publishes Landfall's events.
#[derive(Clone, Debug)]
pub struct EventPublisher {
    client: Client,
    bus: String,
}

impl EventPublisher {
    /// A publisher to one bus.
    pub fn new(client: Client, bus: impl Into<String>) -> Self {
        Self {
            client,
            bus: bus.into(),
        }
    }

    /// Publishes one event.
    ///
    /// # Errors
    /// `Throttled` or `DependencyUnavailable`, also when `PutEvents` answered 200 but refused the entry.
    pub async fn publish(&self, event: EventType, detail: &Detail) -> Result<(), StageError> {
        let text = serde_json::to_string(detail).map_err(|error| {
            StageError::new(
                ErrorName::InternalError,
                format!("an event cannot be written: {error}"),
            )
        })?;
        let answer = self
            .client
            .put_events()
            .entries(
                PutEventsRequestEntry::builder()
                    .event_bus_name(&self.bus)
                    .source(SOURCE)
                    .detail_type(event.as_str())
                    .detail(text)
                    .build(),
            )
            .send()
            .await
            .or_stage(ErrorName::InternalError, "PutEvents")?;
        match answer
            .entries()
            .iter()
            .find(|entry| entry.error_code().is_some())
        {
            None => Ok(()),
            Some(entry) => Err(StageError::new(
                ErrorName::DependencyUnavailable,
                format!(
                    "PutEvents did not take {event}: {}: {}",
                    entry.error_code().unwrap_or(""),
                    entry.error_message().unwrap_or("")
                ),
            )),
        }
    }
}
