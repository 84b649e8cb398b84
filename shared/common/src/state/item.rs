//! Keys and items of the table.

use std::collections::HashMap;
use std::fmt;

use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::types::AttributeValue;
use jiff::{Timestamp, ToSpan as _};
use landfall_domain::{ErrorName, MigrationRecord, StageError, Status};
use serde::{Deserialize, Serialize};

use super::{HistoryEntry, RETENTION_DAYS};
use crate::aws_error::AwsResultExt;

pub(crate) type Item = HashMap<String, AttributeValue>;

/// The sort key of a record.
pub const STATE: &str = "STATE";

/// Which migration is meant.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Key {
    /// The tenant.
    pub tenant_id: String,
    /// The caller's ID of the migration.
    pub migration_id: String,
}

impl Key {
    /// A key.
    pub fn new(tenant_id: impl Into<String>, migration_id: impl Into<String>) -> Self {
        Self {
            tenant_id: tenant_id.into(),
            migration_id: migration_id.into(),
        }
    }

    /// The key of a record.
    pub fn of(record: &MigrationRecord) -> Self {
        Self::new(&record.tenant_id, &record.migration_id)
    }

    /// The partition key of everything about the migration.
    pub fn pk(&self) -> String {
        format!("TENANT#{}#MIGRATION#{}", self.tenant_id, self.migration_id)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of tenant {}", self.migration_id, self.tenant_id)
    }
}

pub(crate) fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

pub(crate) fn internal(error: impl fmt::Display) -> StageError {
    StageError::new(
        ErrorName::InternalError,
        format!("a state item cannot be built or read: {error}"),
    )
}

pub(crate) fn wave_key(tenant: &str, wave: &str) -> String {
    format!("TENANT#{tenant}#WAVE#{wave}")
}

pub(crate) fn app_key(tenant: &str, app: &str) -> String {
    format!("TENANT#{tenant}#APP#{app}")
}

pub(crate) fn status_key(tenant: &str, status: Status) -> String {
    format!("TENANT#{tenant}#STATUS#{status}")
}

/// When an item written now may be forgotten, in epoch seconds (the table's TTL attribute).
pub(crate) fn expiry(now: Timestamp) -> i64 {
    now.checked_add((RETENTION_DAYS * 24).hours())
        .unwrap_or(now)
        .as_second()
}

/// As [`expiry`], of something written at a time of the table's own. What has no readable time does not expire.
pub(crate) fn expiry_of(written_at: &str) -> i64 {
    expiry(written_at.parse().unwrap_or(Timestamp::MAX))
}

pub(crate) fn record_item(record: &MigrationRecord) -> Result<Item, StageError> {
    let key = Key::of(record);
    let expires_at = record.ended_at.as_deref().map(expiry_of);
    let mut item = sub_item(&key, STATE, record, expires_at)?;
    let (tenant, status) = (&record.tenant_id, record.status);
    item.insert(
        "waveKey".into(),
        text(&wave_key(tenant, &record.request.wave)),
    );
    item.insert(
        "appKey".into(),
        text(&app_key(tenant, &record.request.app_name)),
    );
    item.insert(
        "statusKey".into(),
        text(&format!("{status}#{}", record.migration_id)),
    );
    item.insert("statusPk".into(), text(&status_key(tenant, status)));
    Ok(item)
}

pub(crate) fn record_of(item: Item) -> Result<MigrationRecord, StageError> {
    serde_dynamo::from_item(item).map_err(internal)
}

/// A history entry. It never expires: whoever verifies the chain needs all of it.
pub(crate) fn history_item(
    record: &MigrationRecord,
    entry: &HistoryEntry,
) -> Result<Item, StageError> {
    sub_item(
        &Key::of(record),
        &format!("EVENT#{:06}", entry.seq),
        entry,
        None,
    )
}

/// Any item of a migration, with its keys, and with a time to live where given.
pub(crate) fn sub_item(
    key: &Key,
    sk: &str,
    content: &impl Serialize,
    expires_at: Option<i64>,
) -> Result<Item, StageError> {
    let mut item: Item = serde_dynamo::to_item(content).map_err(internal)?;
    item.insert("pk".into(), text(&key.pk()));
    item.insert("sk".into(), text(sk));
    if let Some(at) = expires_at {
        item.insert("expiresAt".into(), AttributeValue::N(at.to_string()));
    }
    Ok(item)
}

/// Every item of a query, over all its pages.
pub(crate) async fn all<T: for<'de> Deserialize<'de>>(
    query: QueryFluentBuilder,
) -> Result<Vec<T>, StageError> {
    let mut pages = query.into_paginator().send();
    let mut items = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.or_stage(ErrorName::InternalError, "Query")?;
        items.extend(page.items.unwrap_or_default());
    }
    serde_dynamo::from_items(items).map_err(internal)
}
