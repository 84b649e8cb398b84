//! What people and scripts read of the failed-delivery queue. Of a URL only the origin: what follows may be a secret.

use jiff::Timestamp;
use landfall_domain::webhook::{Origin, Parked};
use serde_json::{Value, json};

use super::queue::Waiting;
use super::send::Answer;
use crate::error::CliError;
use crate::output::table;
use crate::output::text::clean;

fn origin(parked: &Parked) -> String {
    Origin::of(&parked.url).map_or_else(|_| "?".to_owned(), |origin| origin.text())
}

/// `migration.succeeded` and the like.
fn kind(parked: &Parked) -> String {
    let body: Value = serde_json::from_str(&parked.body).unwrap_or_default();
    body["type"].as_str().unwrap_or("?").to_owned()
}

fn since(message: &Waiting) -> Option<String> {
    let at = Timestamp::from_millisecond(message.since?).ok()?;
    Some(at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// The queue as a table.
pub(super) fn list(messages: &[Waiting]) -> String {
    if messages.is_empty() {
        return "No callback waits in the failed-delivery queue.\n".to_owned();
    }
    let rows = messages.iter().map(|message| {
        let at = since(message).unwrap_or_else(|| "?".to_owned());
        match &message.content {
            Ok(parked) => [
                at.into(),
                parked.migration_id.clone().into(),
                kind(parked).into(),
                origin(parked).into(),
                parked.reason.clone().into(),
            ],
            Err(_) => [
                at.into(),
                "?".into(),
                "?".into(),
                "?".into(),
                "the message cannot be read".into(),
            ],
        }
    });
    table::text(
        ["since", "migration", "callback", "to", "why"],
        rows.collect(),
    )
}

/// One message for a script; what is not known is null.
pub(super) fn json(message: &Waiting) -> Value {
    let parked = message.content.as_ref().ok();
    json!({
        "messageId": message.id,
        "since": since(message),
        "tenantId": parked.map(|it| &it.tenant_id),
        "migrationId": parked.map(|it| &it.migration_id),
        "correlationId": parked.map(|it| &it.correlation_id),
        "webhookId": parked.map(|it| &it.webhook_id),
        "type": parked.map(kind),
        "to": parked.map(origin),
        "reason": parked.map(|it| &it.reason),
    })
}

/// What became of one.
pub(super) fn answer(message: &Waiting, answer: &Result<Answer, CliError>) -> String {
    let name = match &message.content {
        Ok(parked) => format!("{}  {}", parked.migration_id, parked.webhook_id),
        Err(_) => message.id.clone(),
    };
    let told = match answer {
        Ok(Answer {
            delivered: true,
            outcome,
        }) => format!("delivered: {outcome}"),
        Ok(Answer { outcome, .. }) => format!("NOT delivered: {outcome}"),
        Err(error) => format!("NOT delivered: {}", error.what),
    };
    format!("{}\n", clean(&format!("{name}  {told}")))
}
