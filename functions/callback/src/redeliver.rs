//! Another delivery of a message from the failed-delivery queue, on an operator's order.

use landfall_common::{Invocation, Key, stage};
use landfall_domain::StageError;
use landfall_domain::webhook::Parked;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::deliver::{Attempt, Message};
use crate::{Deps, attempt};

#[derive(Deserialize)]
struct Order {
    message: Parked,
}

/// Delivers the message once, with today's keys and the ID that it had. It stays in the queue until whoever ordered this
/// takes it out; nothing is put there again.
///
/// # Errors
/// Of the state table.
pub(crate) async fn run(
    deps: &Deps,
    event: Value,
    invocation: &Invocation,
) -> Result<Value, StageError> {
    let Order { message: parked } = stage::read(event)?;
    let store = &deps.journal.store;
    let key = Key::new(&parked.tenant_id, &parked.migration_id);
    let known = store.get(&key).await?.and_then(|record| {
        let callback = record.callback.clone()?;
        (callback.id == parked.webhook_id).then_some((record, callback))
    });
    if let Some((_, callback)) = &known
        && callback.delivered
    {
        // Whoever ordered this before has died before the message was out of the queue.
        return Ok(json!({ "delivered": true, "outcome": callback.outcome, "before": true }));
    }
    let message = Message {
        url: &parked.url,
        id: &parked.webhook_id,
        correlation_id: &parked.correlation_id,
        body: &parked.body,
    };
    let (delivered, outcome) = match attempt(deps, &message, invocation.now).await {
        Attempt::Delivered(status) => (true, status.to_string()),
        Attempt::TryAgain { why, .. } | Attempt::Refused(why) => (false, why),
    };
    tracing::info!(delivered, outcome, "callback {} again", parked.webhook_id);
    // Of a record that speaks of a later attempt, or is gone, nothing is changed.
    if let Some((mut record, mut callback)) = known {
        callback.delivered = delivered;
        callback.outcome.clone_from(&outcome);
        callback.at = invocation.now.to_string();
        record.callback = Some(callback);
        store.save(record, invocation.now).await?;
    }
    Ok(json!({ "delivered": delivered, "outcome": outcome }))
}
