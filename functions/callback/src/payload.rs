//! What a callback says.

use jiff::Timestamp;
use landfall_domain::outage::Outage;
use landfall_domain::rollback::HandOver;
use landfall_domain::{MigrationRecord, Status};
use serde_json::{Value, json};

/// The `webhook-id`: the same for every try of one attempt's outcome, so that a receiver can drop doubles. An underscore of a
/// name is doubled: names begin with a letter or a digit, so no two migrations have the same.
pub(crate) fn message_id(record: &MigrationRecord) -> String {
    let [tenant, migration] =
        [&record.tenant_id, &record.migration_id].map(|name| name.replace('_', "__"));
    format!("msg_{tenant}_{migration}_{}", record.attempt)
}

/// The body, the same for every try. Members that have no value are null: a receiver finds the same members every time.
pub(crate) fn body(record: &MigrationRecord, outcome: Status, now: Timestamp) -> Value {
    // A rollback that failed by itself could not write its status: the workflow's word wins then. So it does where a person has
    // released a frozen one between two tries: one message has one body.
    let released = record.status == Status::Failed && outcome == Status::Frozen;
    let status = if record.status.is_end() && !released {
        record.status
    } else {
        outcome
    };
    let launch = record.done.cutover.as_ref().or(record.done.test.as_ref());
    json!({
        "type": format!("migration.{}", status.as_str().to_lowercase()),
        "timestamp": record.ended_at.clone().unwrap_or_else(|| now.to_string()),
        "data": {
            "tenantId": record.tenant_id,
            "migrationId": record.migration_id,
            "correlationId": record.correlation_id,
            "attempt": record.attempt,
            "status": status,
            "appName": record.request.app_name,
            "wave": record.request.wave,
            "sourceVmId": record.request.source_vm_id,
            "sourceServerId": record.source_server_id,
            "targetInstanceId": launch.and_then(|launch| launch.instance_id.clone()),
            "startedAt": record.created_at,
            "endedAt": record.ended_at,
            "failure": record.failure,
            "outageSeconds": Outage::of(record).and_then(|outage| outage.outage_seconds),
            "handOver": record.hand_over.as_ref().map(HandOver::text),
        },
    })
}
