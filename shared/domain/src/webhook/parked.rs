//! A message that could not be delivered, as it lies in the failed-delivery queue.

use serde::{Deserialize, Serialize};

/// Everything that another delivery needs. It carries the whole URL, whose path may be a secret: nothing else that
/// leaves Landfall does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Parked {
    /// The tenant.
    pub tenant_id: String,
    /// The migration.
    pub migration_id: String,
    /// For its log lines.
    pub correlation_id: String,
    /// Where it is to go.
    pub url: String,
    /// The `webhook-id`: the same for every delivery, so that a receiver can drop doubles.
    pub webhook_id: String,
    /// What it says, as it was.
    pub body: String,
    /// Why it could not be delivered.
    pub reason: String,
}
