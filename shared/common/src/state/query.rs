//! Reading more than one item: the history of a migration, and migrations by wave, application and status.

use landfall_domain::{ErrorName, MigrationRecord, StageError, Status};
use serde::Deserialize;

use super::item::{self, Key, internal, text};
use super::{HistoryEntry, Rejection, StateStore};
use crate::aws_error::AwsResultExt;

impl StateStore {
    /// The history, oldest first.
    pub async fn history(&self, key: &Key) -> Result<Vec<HistoryEntry>, StageError> {
        self.under(key, "EVENT#").await
    }

    pub(super) async fn last_entry(&self, key: &Key) -> Result<Option<HistoryEntry>, StageError> {
        let answer = self
            .client
            .query()
            .table_name(&self.table)
            .consistent_read(true)
            .scan_index_forward(false)
            .limit(1)
            .key_condition_expression("pk = :pk AND begins_with(sk, :prefix)")
            .expression_attribute_values(":pk", text(&key.pk()))
            .expression_attribute_values(":prefix", text("EVENT#"))
            .send()
            .await
            .or_stage(ErrorName::InternalError, "Query")?;
        let last = answer.items.unwrap_or_default().into_iter().next();
        last.map(serde_dynamo::from_item)
            .transpose()
            .map_err(internal)
    }

    /// The refused messages, oldest first.
    pub async fn rejections(&self, key: &Key) -> Result<Vec<Rejection>, StageError> {
        self.under(key, "REJECTION#").await
    }

    pub(super) async fn under<T: for<'de> Deserialize<'de>>(
        &self,
        key: &Key,
        prefix: &str,
    ) -> Result<Vec<T>, StageError> {
        let pages = self
            .client
            .query()
            .table_name(&self.table)
            .consistent_read(true)
            .key_condition_expression("pk = :pk AND begins_with(sk, :prefix)")
            .expression_attribute_values(":pk", text(&key.pk()))
            .expression_attribute_values(":prefix", text(prefix));
        item::all(pages).await
    }

    /// The migrations of a wave, those of one status where given.
    pub async fn by_wave(
        &self,
        tenant: &str,
        wave: &str,
        status: Option<Status>,
    ) -> Result<Vec<MigrationRecord>, StageError> {
        self.by_index(
            "wave-status",
            "waveKey",
            &item::wave_key(tenant, wave),
            status,
        )
        .await
    }

    /// The migrations of an application, those of one status where given.
    pub async fn by_app(
        &self,
        tenant: &str,
        app: &str,
        status: Option<Status>,
    ) -> Result<Vec<MigrationRecord>, StageError> {
        self.by_index("app-status", "appKey", &item::app_key(tenant, app), status)
            .await
    }

    /// The migrations in a status, the one that changed last first.
    pub async fn by_status(
        &self,
        tenant: &str,
        status: Status,
    ) -> Result<Vec<MigrationRecord>, StageError> {
        let query = self
            .client
            .query()
            .table_name(&self.table)
            .index_name("status-updatedAt")
            .scan_index_forward(false)
            .key_condition_expression("statusPk = :key")
            .expression_attribute_values(":key", text(&item::status_key(tenant, status)));
        item::all(query).await
    }

    async fn by_index(
        &self,
        index: &str,
        attribute: &str,
        key: &str,
        status: Option<Status>,
    ) -> Result<Vec<MigrationRecord>, StageError> {
        let mut query = self
            .client
            .query()
            .table_name(&self.table)
            .index_name(index)
            .expression_attribute_names("#key", attribute)
            .expression_attribute_values(":key", text(key));
        query = match status {
            None => query.key_condition_expression("#key = :key"),
            Some(status) => query
                .key_condition_expression("#key = :key AND begins_with(statusKey, :status)")
                .expression_attribute_values(":status", text(&format!("{status}#"))),
        };
        item::all(query).await
    }
}
