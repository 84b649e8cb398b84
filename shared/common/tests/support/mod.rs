//! AWS in memory, for the tests of the functions that share it by `#[path]`: the table and the bus, and any
//! call made to fail at any time.
#![allow(
    dead_code,
    unused_imports,
    unused_macros,
    clippy::panic,
    reason = "each test takes the part it needs"
)]

pub(crate) mod expression;
pub(crate) mod fault;
pub(crate) mod table;

use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use landfall_common::events::EventPublisher;
use landfall_common::state::{Change, StateStore};
use landfall_common::{Invocation, Journal, Key};
use landfall_domain::record::Done;
use landfall_domain::{EventType, MigrationRecord, Status};
use serde_json::{Value, json};

pub(crate) use fault::{Calls, Fault, answer, refusal, run};
use table::Items;

pub(crate) const EXECUTION: &str =
    "arn:aws:states:eu-central-1:123456789012:execution:landfall-migration:mig-1-1";

/// The time in every test.
pub(crate) fn now() -> Timestamp {
    "2026-11-21T12:00:00Z".parse().unwrap()
}

/// What a handler is told of its invocation.
pub(crate) fn invocation(request_id: &str) -> Invocation {
    Invocation {
        function_arn: "arn:aws:lambda:eu-central-1:123456789012:function:landfall".into(),
        request_id: request_id.to_owned(),
        now: now(),
    }
}

/// The table, the bus, and the log of all calls.
#[derive(Clone, Default)]
pub(crate) struct Aws {
    pub(crate) calls: Calls,
    pub(crate) items: Arc<Mutex<Items>>,
    pub(crate) events: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Aws {
    /// What a function gets: its calls are counted and can fail.
    pub(crate) fn journal(&self) -> Journal {
        Journal {
            store: StateStore::new(table::dynamodb(&self.items, &self.calls), "landfall"),
            events: EventPublisher::new(table::eventbridge(&self.events, &self.calls), "landfall"),
        }
    }

    /// What a test looks with: its calls are not counted and never fail.
    pub(crate) fn store(&self) -> StateStore {
        StateStore::new(table::dynamodb(&self.items, &Calls::default()), "landfall")
    }

    /// Puts a record there, in the status it has.
    pub(crate) async fn put(&self, record: MigrationRecord) -> MigrationRecord {
        let change = Change::to(record.status, EventType::MigrationRequested);
        self.store().create(record, &change, now()).await.unwrap().0
    }

    /// The record as it is now.
    pub(crate) async fn record(&self, migration_id: &str) -> MigrationRecord {
        self.store().require(&key(migration_id)).await.unwrap()
    }

    /// Changes a record where it lies.
    #[allow(dead_code, reason = "not every test that shares this needs it")]
    pub(crate) async fn change(
        &self,
        migration_id: &str,
        change: impl FnOnce(&mut MigrationRecord),
    ) {
        let mut record = self.record(migration_id).await;
        change(&mut record);
        self.store().save(record, now()).await.unwrap();
    }

    /// The detail-types published, in order.
    pub(crate) fn published(&self) -> Vec<String> {
        let events = self.events.lock().unwrap();
        events.iter().map(|(name, _)| name.clone()).collect()
    }

    /// The history's detail-types after the first entry, which [`Aws::put`] wrote.
    pub(crate) async fn happened(&self, migration_id: &str) -> Vec<String> {
        let history = self.store().history(&key(migration_id)).await.unwrap();
        assert_eq!(landfall_common::state::verify_history(&history), Ok(()));
        let names = history.iter().map(|entry| entry.event_type.to_string());
        names.skip(1).collect()
    }
}

/// The key of a migration of the default tenant.
pub(crate) fn key(migration_id: &str) -> Key {
    Key::new("default", migration_id)
}

/// A claimed migration of `vm-<id>`, source server `s-<id>`.
pub(crate) fn record(migration_id: &str, status: Status) -> MigrationRecord {
    let at = now().to_string();
    let request = serde_json::from_value(request(migration_id)).unwrap();
    let correlation_id = format!("mig-c-{migration_id}");
    MigrationRecord {
        status,
        execution_arn: Some(EXECUTION.into()),
        source_server_id: Some(format!("s-{migration_id}")),
        ..MigrationRecord::new(request, "digest".into(), correlation_id, 1, at)
    }
}

/// A request with every step.
pub(crate) fn request(migration_id: &str) -> Value {
    json!({
        "migrationId": migration_id, "appName": "billing-app", "source": "azure", "target": "aws",
        "environment": "prod", "wave": "wave-3", "sourceVmId": format!("vm-{migration_id}"),
        "steps": ["freeze", "replicate", "validate", "switch"], "instanceType": "t3.large",
    })
}

/// What the workflow passes to every stage, with members added.
pub(crate) fn stage_input(migration_id: &str, more: Value) -> Value {
    let mut input = json!({
        "tenantId": "default", "migrationId": migration_id, "attempt": 1,
        "correlationId": format!("mig-c-{migration_id}"), "executionArn": EXECUTION,
    });
    let Value::Object(more) = more else {
        panic!("members are an object")
    };
    input.as_object_mut().unwrap().extend(more);
    input
}

/// An SQS event of bodies; message n has the ID `message-n`.
pub(crate) fn batch(bodies: &[String]) -> Value {
    let records = bodies.iter().enumerate().map(|(n, body)| {
        json!({
            "messageId": format!("message-{n}"), "receiptHandle": format!("receipt-{n}"), "body": body,
            "attributes": {}, "messageAttributes": {}, "eventSource": "aws:sqs", "awsRegion": "eu-central-1",
            "eventSourceARN": "arn:aws:sqs:eu-central-1:123456789012:landfall",
        })
    });
    json!({ "Records": records.collect::<Vec<_>>() })
}

/// The messages that a function sends back to the queue.
pub(crate) fn sent_back(answer: &Value) -> Vec<String> {
    let failures = answer["batchItemFailures"].as_array().unwrap();
    let ids = failures
        .iter()
        .map(|f| f["itemIdentifier"].as_str().unwrap().to_owned());
    ids.collect()
}
