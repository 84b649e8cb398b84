//! The cutover window of a wave, which an operator sets while migrations wait for it.
//!
//! One item per wave. Each write says which version it replaces, so that of two operators the second is told about the
//! first. What was there before is not kept here: whoever sets a window says why, and that is logged with the caller.

use aws_sdk_dynamodb::types::AttributeValue;
use landfall_domain::control::Order;
use landfall_domain::request::Window;
use landfall_domain::{ErrorName, StageError};
use serde::{Deserialize, Serialize};

use super::StateStore;
use super::item::{Item, internal, text, wave_key};
use super::wait::applied;
use crate::aws_error::AwsResultExt;

const SK: &str = "WAVE";

/// A wave's window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WaveWindow {
    /// Whose wave.
    pub tenant_id: String,
    /// Which.
    pub wave: String,
    /// When its switches may happen; a request's own window counts beside it. `None` once it was cleared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// Who set or cleared it, and why.
    pub order: Order,
    /// Counts the writes, from 1.
    pub version: u32,
}

impl StateStore {
    /// What was last said about a wave's window, strongly consistent.
    pub async fn wave_window(
        &self,
        tenant: &str,
        wave: &str,
    ) -> Result<Option<WaveWindow>, StageError> {
        let answer = self
            .client
            .get_item()
            .table_name(&self.table)
            .consistent_read(true)
            .key("pk", text(&wave_key(tenant, wave)))
            .key("sk", text(SK))
            .send()
            .await
            .or_stage(ErrorName::InternalError, "GetItem")?;
        answer
            .item
            .map(serde_dynamo::from_item)
            .transpose()
            .map_err(internal)
    }

    /// Sets or clears a wave's window. `false` when somebody else did meanwhile: `wave.version` must be one more than what
    /// was read, and 1 where nothing was.
    pub async fn set_wave_window(&self, wave: &WaveWindow) -> Result<bool, StageError> {
        let mut item: Item = serde_dynamo::to_item(wave).map_err(internal)?;
        item.insert("pk".into(), text(&wave_key(&wave.tenant_id, &wave.wave)));
        item.insert("sk".into(), text(SK));
        let before = wave.version.saturating_sub(1);
        let put = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(item));
        let put = if before == 0 {
            put.condition_expression("attribute_not_exists(pk)")
        } else {
            put.condition_expression("version = :before")
                .expression_attribute_values(":before", AttributeValue::N(before.to_string()))
        };
        applied(put.send().await.err(), "PutItem")
    }
}
