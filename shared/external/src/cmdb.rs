//! A ServiceNow-style CMDB: one configuration item through the Table API.

use landfall_domain::request::CmdbItem;
use landfall_domain::{ErrorName, StageError};
use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::api::{Api, Body};

/// The Table API.
#[derive(Clone, Debug)]
pub struct Cmdb {
    api: Api,
}

impl Cmdb {
    /// The API at a base URL; a refusal gets the error name given.
    ///
    /// # Errors
    /// That name, when the URL cannot be used.
    pub fn new(
        http: &reqwest::Client,
        base_url: &str,
        refusal: ErrorName,
    ) -> Result<Self, StageError> {
        Ok(Self {
            api: Api::new(http, base_url, "CMDB", "LANDFALL_CMDB_URL", refusal)?,
        })
    }

    /// The fields of an item.
    ///
    /// # Errors
    /// A refusal, also when there is no such item; or a transient failure.
    pub async fn get(&self, item: &CmdbItem) -> Result<Value, StageError> {
        self.call("reading an item", Method::GET, item, Body::Nothing)
            .await
    }

    /// Changes some fields of an item; answers with the item as it is then.
    ///
    /// # Errors
    /// See [`Cmdb::get`].
    pub async fn patch(&self, item: &CmdbItem, fields: &Value) -> Result<Value, StageError> {
        self.call("changing an item", Method::PATCH, item, Body::Json(fields))
            .await
    }

    async fn call(
        &self,
        call: &str,
        method: Method,
        item: &CmdbItem,
        body: Body<'_>,
    ) -> Result<Value, StageError> {
        let path = ["api", "now", "table", &item.table, &item.sys_id];
        let mut answer = self.api.call(call, method, &path, &[], body).await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Err(self.api.refused(format!(
                "there is no item {} in the table {}; correct /cmdb in the request",
                item.sys_id, item.table
            )));
        }
        match answer.body.get_mut("result").map(Value::take) {
            Some(result @ Value::Object(_)) => Ok(result),
            _ => Err(self
                .api
                .refused(format!("{call} answered without a result"))),
        }
    }
}
