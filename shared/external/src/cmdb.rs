//! A ServiceNow-style CMDB: one configuration item through the Table API.
//!
//! Source: ServiceNow's REST API reference, Table API. It takes HTTP Basic or an OAuth bearer token, answers 401 without
//! them, and 404 also for a record that the account may not read.

use aws_config::SdkConfig;
use aws_sdk_secretsmanager::Client as Secrets;
use landfall_common::Env;
use landfall_domain::request::CmdbItem;
use landfall_domain::{ErrorName, StageError};
use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::api::{Api, Body};
use crate::{LazyHttp, secret};

/// How a deployment gets to its CMDB. It stays in the deployment's own account, whatever account a migration goes to.
#[derive(Clone, Debug)]
pub struct Access {
    /// The base URL of the instance.
    pub url: String,
    /// The Secrets Manager secret, `{"username", "password"}` or `{"token"}`; without one nobody signs in.
    pub secret_id: Option<String>,
    /// For the Table API.
    pub http: LazyHttp,
    /// For the secret.
    pub secrets: Secrets,
}

/// The Table API, signed in.
#[derive(Clone, Debug)]
pub struct Cmdb {
    api: Api,
    /// What a refusal adds: where the account is.
    hint: String,
}

/// What the secret holds. No `Debug`: it must never reach a log.
enum Credentials {
    Basic { username: String, password: String },
    Bearer(String),
}

impl Access {
    /// From `LANDFALL_CMDB_URL` and `LANDFALL_CMDB_SECRET_ID`; `None` where the first is not set.
    pub fn load(aws: &SdkConfig, env: &Env<'_>, http: &LazyHttp) -> Option<Self> {
        Some(Self {
            url: env.optional("LANDFALL_CMDB_URL")?,
            secret_id: env.optional("LANDFALL_CMDB_SECRET_ID"),
            http: http.clone(),
            secrets: Secrets::new(aws),
        })
    }

    /// The API, with the account that the deployment names. The secret is read each time, so that a new password holds
    /// from the next run on. Refusals get the error name given, the stage's own.
    ///
    /// # Errors
    /// A URL or a secret of no use, or a transient failure.
    pub async fn connect(&self, refusal: ErrorName) -> Result<Cmdb, StageError> {
        let http = self.http.get()?;
        // Before the secret is fetched: it goes to this URL.
        let api = Api::new(&http, &self.url, "CMDB", "LANDFALL_CMDB_URL", refusal)?;
        let Some(secret_id) = &self.secret_id else {
            let hint = "; the deployment names no account (LANDFALL_CMDB_SECRET_ID): have the operator set its \
                        cmdb_secret_id";
            return Ok(Cmdb {
                api,
                hint: hint.to_owned(),
            });
        };
        let api = match self.credentials(secret_id, refusal).await? {
            Credentials::Basic { username, password } => api.with_password(&username, &password),
            Credentials::Bearer(token) => api.with_token(token),
        };
        let hint = format!(
            "; check the account in the secret {secret_id} (LANDFALL_CMDB_SECRET_ID), and that it may read and change this \
             table's records"
        );
        Ok(Cmdb { api, hint })
    }

    async fn credentials(
        &self,
        secret_id: &str,
        refusal: ErrorName,
    ) -> Result<Credentials, StageError> {
        let field = "LANDFALL_CMDB_SECRET_ID";
        let text = secret::text(&self.secrets, secret_id, field, refusal).await?;
        credentials_in(&text).ok_or_else(|| {
            StageError::new(
                refusal,
                format!(
                    "the secret {secret_id:?} in LANDFALL_CMDB_SECRET_ID is not a JSON object with either the texts username and password or the text token; store it so, without spaces or line breaks in the token"
                ),
            )
        })
    }
}

/// Other members are nobody's business here: rotation keeps some of its own. The parser's message may quote the secret, so
/// it is left out.
fn credentials_in(text: &str) -> Option<Credentials> {
    let content: Value = serde_json::from_str(text).ok()?;
    let given = |member: &str| {
        let text = content.get(member).and_then(Value::as_str);
        text.filter(|text| !text.is_empty()).map(str::to_owned)
    };
    match (given("username"), given("password"), given("token")) {
        (Some(username), Some(password), None) => Some(Credentials::Basic { username, password }),
        // A line break at its end would make a header that nobody can send.
        (None, None, Some(token)) if token.chars().all(|c| c.is_ascii_graphic()) => {
            Some(Credentials::Bearer(token))
        }
        _ => None,
    }
}

impl Cmdb {
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
        let answer = self.api.ask(call, method, &path, &[], body).await?;
        let not_let_in = matches!(
            answer.status,
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN
        );
        let mut answer = self.api.judge(call, answer).map_err(|mut error| {
            if not_let_in {
                error.message.push_str(&self.hint);
            }
            error
        })?;
        if answer.status == StatusCode::NOT_FOUND {
            return Err(self.api.refused(format!(
                "there is no item {} in the table {} that the account may see; correct /cmdb in the request, or let the \
                 account read the table",
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
