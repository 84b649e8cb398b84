//! Cloud Migration Factory: the record of a server, and its migration status.

use landfall_domain::{ErrorName, StageError};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::api::{Api, Body};

/// The user API of Cloud Migration Factory.
#[derive(Clone, Debug)]
pub struct Cmf {
    api: Api,
}

/// A server's record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CmfServer {
    /// `server_id`.
    pub id: String,
    /// `migration_status`; empty where it was never set.
    pub status: String,
}

impl Cmf {
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
            api: Api::new(http, base_url, "CMF", "LANDFALL_CMF_URL", refusal)?,
        })
    }

    /// The record of the server with this name, if there is one.
    ///
    /// # Errors
    /// A refusal when CMF has several of that name: nobody can tell which one is meant.
    pub async fn server(&self, name: &str) -> Result<Option<CmfServer>, StageError> {
        let answer = self
            .api
            .call(
                "the search for a server",
                Method::GET,
                &["user", "server"],
                &[("server_name", name)],
                Body::Nothing,
            )
            .await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let records = answer
            .body
            .as_array()
            .ok_or_else(|| self.api.refused("the search for a server answered no list"))?;
        // A CMF that ignores the parameter answers with every server.
        let mut named = records
            .iter()
            .filter(|record| record["server_name"].as_str() == Some(name));
        match (named.next(), named.next()) {
            (None, _) => Ok(None),
            (Some(record), None) => self.read(record).map(Some),
            (Some(_), Some(_)) => Err(self.api.refused(format!(
                "several servers are named {name:?}; give each its own name"
            ))),
        }
    }

    /// The record with this ID, if there is one.
    ///
    /// # Errors
    /// A refusal of CMF's, or a transient failure.
    pub async fn server_by_id(&self, id: &str) -> Result<Option<CmfServer>, StageError> {
        let answer = self
            .api
            .call(
                "reading a server",
                Method::GET,
                &["user", "server", id],
                &[],
                Body::Nothing,
            )
            .await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        // The deployed API answers with a list of one.
        let record = answer.body.get(0).unwrap_or(&answer.body);
        self.read(record).map(Some)
    }

    /// Sets the migration status of a record.
    ///
    /// # Errors
    /// A refusal, also when there is no such record; or a transient failure.
    pub async fn set_status(&self, id: &str, status: &str) -> Result<(), StageError> {
        let answer = self
            .api
            .call(
                "setting a migration status",
                Method::PUT,
                &["user", "server", id],
                &[],
                Body::Json(&json!({ "migration_status": status })),
            )
            .await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Err(self
                .api
                .refused(format!("there is no server with the ID {id:?}")));
        }
        Ok(())
    }

    fn read(&self, record: &Value) -> Result<CmfServer, StageError> {
        let id = match &record["server_id"] {
            Value::String(id) => id.clone(),
            Value::Number(id) => id.to_string(),
            _ => return Err(self.api.refused("a server has no server_id")),
        };
        Ok(CmfServer {
            id,
            status: record["migration_status"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
        })
    }
}
