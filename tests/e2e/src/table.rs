//! A table of a test's own.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::{AttributeValue, BillingMode, GlobalSecondaryIndex, TableStatus};
use jiff::Timestamp;
use landfall_common::state::Change;
use landfall_common::{Key, StateStore};
use landfall_domain::{EventType, MigrationRecord, MigrationRequest, Status};
use serde_json::Value;

use crate::source::Source;
use crate::{Stack, poll, unique};

/// The time at which every test of the table begins.
pub fn noon() -> Timestamp {
    "2026-11-21T12:00:00Z".parse().expect("a timestamp")
}

/// A table with the deployed one's keys and indexes, and nobody else's items: no sweep of the running stack meets
/// a made-up task token in it.
#[derive(Debug)]
pub struct Table {
    /// The stack it is in.
    pub stack: Stack,
    /// The state manager on it.
    pub store: StateStore,
    /// Its name.
    pub name: String,
}

impl Table {
    /// Makes a table as the deployed one.
    pub async fn new() -> Self {
        let stack = Stack::load().await;
        let deployed = stack
            .dynamodb
            .describe_table()
            .table_name(&stack.info.table_name)
            .send()
            .await;
        let deployed = deployed
            .expect("DescribeTable")
            .table
            .expect("the deployed table");
        let indexes = deployed.global_secondary_indexes().iter().map(|index| {
            GlobalSecondaryIndex::builder()
                .index_name(index.index_name().expect("a name"))
                .set_key_schema(index.key_schema.clone())
                .set_projection(index.projection.clone())
                .build()
                .expect("an index")
        });
        let name = format!("e2e-{}", unique());
        let create = stack
            .dynamodb
            .create_table()
            .table_name(&name)
            .billing_mode(BillingMode::PayPerRequest)
            .set_attribute_definitions(deployed.attribute_definitions.clone())
            .set_key_schema(deployed.key_schema.clone())
            .set_global_secondary_indexes(Some(indexes.collect()));
        create.send().await.expect("CreateTable");
        poll("a table", async || {
            let answer = stack
                .dynamodb
                .describe_table()
                .table_name(&name)
                .send()
                .await;
            match answer
                .expect("DescribeTable")
                .table()
                .and_then(|table| table.table_status())
            {
                Some(TableStatus::Active) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
        let store = StateStore::new(stack.dynamodb.clone(), &name);
        Self { stack, store, name }
    }

    /// Removes it.
    pub async fn drop(self) {
        let delete = self.stack.dynamodb.delete_table().table_name(&self.name);
        delete.send().await.expect("DeleteTable");
    }

    /// A fresh record that is nowhere yet.
    pub fn record(&self, name: &str) -> MigrationRecord {
        let request = Source::new(&self.stack, "state", name).request;
        record_of(&request)
    }

    /// A record that is in the table.
    pub async fn created(&self, name: &str) -> MigrationRecord {
        let created = self
            .store
            .create(self.record(name), &requested(), noon())
            .await;
        created.expect("create").0
    }

    /// Removes a record as its time to live does after 400 days; its history stays.
    pub async fn forget(&self, key: &Key) {
        let delete = self.stack.dynamodb.delete_item().table_name(&self.name);
        let delete = delete
            .key("pk", AttributeValue::S(key.pk()))
            .key("sk", AttributeValue::S("STATE".into()));
        delete.send().await.expect("DeleteItem");
    }

    /// Everything under a key, to see that nothing was written.
    pub async fn items(&self, key: &Key) -> Vec<HashMap<String, AttributeValue>> {
        let query = self
            .stack
            .dynamodb
            .query()
            .table_name(&self.name)
            .consistent_read(true);
        let query = query.key_condition_expression("pk = :pk");
        let query = query.expression_attribute_values(":pk", AttributeValue::S(key.pk()));
        query.send().await.expect("Query").items.unwrap_or_default()
    }
}

/// The change that creates a record.
pub fn requested() -> Change {
    Change::to(Status::Requested, EventType::MigrationRequested)
}

/// The record of a request just accepted, that is nowhere yet.
pub fn record_of(request: &Value) -> MigrationRecord {
    let request: MigrationRequest = serde_json::from_value(request.clone()).expect("a request");
    let digest = request.digest().expect("a digest");
    MigrationRecord::new(request, digest, "c", 1, noon().to_string())
}
