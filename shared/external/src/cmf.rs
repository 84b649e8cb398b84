//! Cloud Migration Factory: its records of waves, applications and servers, and their statuses.
//!
//! Source: Cloud Migration Factory on AWS 4.5. Signing in (`POST /login` of its login API) gives a Cognito ID token, which
//! the user API takes as the `Authorization` header without a scheme. `GET /user/{schema}` lists everything, whatever the
//! query says; what is not there is a 400 that says so. A `PUT` changes the members it is given.

use aws_config::SdkConfig;
use aws_sdk_secretsmanager::Client as Secrets;
use landfall_common::{AwsResultExt as _, Env};
use landfall_domain::cmf::{App, Records, Server, Wave, Weight};
use landfall_domain::{ErrorName, StageError};
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::LazyHttp;
use crate::api::{Answer, Api, Body};

/// How a deployment gets to its Cloud Migration Factory. It stays in the deployment's own account, whatever account a
/// migration goes to.
#[derive(Clone, Debug)]
pub struct Access {
    /// The base URL of the user API.
    pub url: String,
    /// That of the login API, where it is another.
    pub login_url: Option<String>,
    /// The Secrets Manager secret `{"username", "password"}`; without one nobody signs in.
    pub secret_id: Option<String>,
    /// Whether a failure, or a record that is missing, stops a migration.
    pub weight: Weight,
    /// For both APIs.
    pub http: LazyHttp,
    /// For the secret.
    pub secrets: Secrets,
}

/// The user API, signed in.
#[derive(Clone, Debug)]
pub struct Cmf {
    api: Api,
}

/// What the secret holds. No `Debug`: it must never reach a log.
#[derive(Deserialize)]
struct Credentials {
    username: String,
    password: String,
}

impl Access {
    /// From `LANDFALL_CMF_URL`, `LANDFALL_CMF_LOGIN_URL`, `LANDFALL_CMF_SECRET_ID` and `LANDFALL_CMF_REQUIRED`; `None` where
    /// the first is not set.
    pub fn load(aws: &SdkConfig, env: &mut Env<'_>, http: &LazyHttp) -> Option<Self> {
        let required = env.switch("LANDFALL_CMF_REQUIRED");
        Some(Self {
            url: env.optional("LANDFALL_CMF_URL")?,
            login_url: env.optional("LANDFALL_CMF_LOGIN_URL"),
            secret_id: env.optional("LANDFALL_CMF_SECRET_ID"),
            weight: if required {
                Weight::Required
            } else {
                Weight::Told
            },
            http: http.clone(),
            secrets: Secrets::new(aws),
        })
    }

    /// Signs in, where the deployment says how. Refusals get the error name given, the stage's own.
    ///
    /// # Errors
    /// A URL or a secret of no use, a sign-in refused, or a transient failure.
    pub async fn connect(&self, refusal: ErrorName) -> Result<Cmf, StageError> {
        let http = self.http.get()?;
        let api = Api::new(&http, &self.url, "CMF", "LANDFALL_CMF_URL", refusal)?;
        let Some(secret_id) = &self.secret_id else {
            return Ok(Cmf { api });
        };
        let (login, field) = match &self.login_url {
            Some(url) => (url, "LANDFALL_CMF_LOGIN_URL"),
            None => (&self.url, "LANDFALL_CMF_URL"),
        };
        // Before the secret is fetched: it goes to this URL.
        let login = Api::new(&http, login, "CMF", field, refusal)?;
        let credentials = self.credentials(secret_id, refusal).await?;
        let token = sign_in(&login, &credentials, secret_id, refusal).await?;
        let api = api.with_authorization(&token)?;
        Ok(Cmf { api })
    }

    async fn credentials(
        &self,
        secret_id: &str,
        refusal: ErrorName,
    ) -> Result<Credentials, StageError> {
        let answer = self
            .secrets
            .get_secret_value()
            .secret_id(secret_id)
            .send()
            .await
            .or_stage(refusal, "secretsmanager:GetSecretValue")?;
        answer
            .secret_string()
            .and_then(|text| serde_json::from_str(text).ok())
            // The parser's own message may quote the secret, so it is left out.
            .ok_or_else(|| {
                StageError::new(
                    refusal,
                    format!(
                        "the secret {secret_id:?} in LANDFALL_CMF_SECRET_ID is not a JSON object with the texts username and password; store it so"
                    ),
                )
            })
    }
}

async fn sign_in(
    login: &Api,
    credentials: &Credentials,
    secret_id: &str,
    refusal: ErrorName,
) -> Result<String, StageError> {
    let body = json!({ "username": credentials.username, "password": credentials.password });
    let answer = login
        .call(
            "signing in",
            Method::POST,
            &["login"],
            &[],
            Body::Json(&body),
        )
        .await
        .map_err(|mut error| {
            if error.name == refusal {
                let hint = format!("; check the user in the secret {secret_id}");
                error.message.push_str(&hint);
            }
            error
        })?;
    if answer.status == StatusCode::NOT_FOUND {
        return Err(login.refused(
            "there is no login API at this URL; give that of CMF's own as LANDFALL_CMF_LOGIN_URL",
        ));
    }
    if let Some(challenge) = answer.body["ChallengeName"].as_str() {
        return Err(login.refused(format!(
            "signing in asks for more ({challenge}), which only a person can give; use a service account that needs a password alone in the secret {secret_id}"
        )));
    }
    answer
        .body
        .as_str()
        .map(str::to_owned)
        .ok_or_else(|| login.refused("signing in gave no token"))
}

impl Cmf {
    /// Everything that is planned.
    ///
    /// # Errors
    /// A refusal of CMF's, a record without its ID or name, or a transient failure.
    pub async fn records(&self) -> Result<Records, StageError> {
        let (waves, apps, servers) =
            tokio::try_join!(self.list("wave"), self.list("app"), self.list("server"))?;
        Ok(Records {
            waves: waves
                .iter()
                .map(|record| {
                    Ok(Wave {
                        id: self.id(record, "wave_id")?,
                        name: text(record, "wave_name"),
                        status: text(record, "wave_status"),
                    })
                })
                .collect::<Result<_, StageError>>()?,
            apps: apps
                .iter()
                .map(|record| {
                    Ok(App {
                        id: self.id(record, "app_id")?,
                        name: text(record, "app_name"),
                        wave_id: id_in(record, "wave_id"),
                    })
                })
                .collect::<Result<_, StageError>>()?,
            servers: servers
                .iter()
                .map(|record| self.server(record))
                .collect::<Result<_, StageError>>()?,
        })
    }

    /// The server with this ID, if there is one.
    ///
    /// # Errors
    /// A refusal of CMF's, or a transient failure.
    pub async fn server_by_id(&self, id: &str) -> Result<Option<Server>, StageError> {
        let answer = self
            .item("reading a server", Method::GET, "server", id, Body::Nothing)
            .await?;
        // Some releases answer with a list of one.
        answer
            .map(|answer| self.server(answer.body.get(0).unwrap_or(&answer.body)))
            .transpose()
    }

    /// Sets the migration status of a server; an empty one takes it away.
    ///
    /// # Errors
    /// A refusal, also when there is no such server; or a transient failure.
    pub async fn set_server_status(&self, id: &str, status: &str) -> Result<(), StageError> {
        self.set("server", id, &json!({ "migration_status": status }))
            .await
    }

    /// Sets the status of a wave: one of those that its schema lists.
    ///
    /// # Errors
    /// See [`Cmf::set_server_status`].
    pub async fn set_wave_status(&self, id: &str, status: &str) -> Result<(), StageError> {
        self.set("wave", id, &json!({ "wave_status": status }))
            .await
    }

    async fn set(&self, schema: &str, id: &str, members: &Value) -> Result<(), StageError> {
        let call = format!("setting the status of a {schema}");
        let answer = self
            .item(&call, Method::PUT, schema, id, Body::Json(members))
            .await?;
        match answer {
            Some(_) => Ok(()),
            None => Err(self
                .api
                .refused(format!("there is no {schema} with the ID {id:?}"))),
        }
    }

    async fn list(&self, schema: &str) -> Result<Vec<Value>, StageError> {
        let call = format!("listing every {schema}");
        let answer = self
            .api
            .call(&call, Method::GET, &["user", schema], &[], Body::Nothing)
            .await?;
        match answer.body {
            Value::Array(records) => Ok(records),
            _ => Err(self.api.refused(format!("{call} answered no list"))),
        }
    }

    /// One record; `None` when it is not there.
    async fn item(
        &self,
        call: &str,
        method: Method,
        schema: &str,
        id: &str,
        body: Body<'_>,
    ) -> Result<Option<Answer>, StageError> {
        let answer = self
            .api
            .call(call, method, &["user", schema, id], &[], body)
            .await;
        match answer {
            Ok(answer) if answer.status == StatusCode::NOT_FOUND => Ok(None),
            Ok(answer) => Ok(Some(answer)),
            Err(error)
                if error.message.contains("answered 400")
                    && error.message.ends_with("does not exist") =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn server(&self, record: &Value) -> Result<Server, StageError> {
        Ok(Server {
            id: self.id(record, "server_id")?,
            name: text(record, "server_name"),
            fqdn: text(record, "server_fqdn"),
            app_id: id_in(record, "app_id"),
            status: text(record, "migration_status"),
        })
    }

    fn id(&self, record: &Value, member: &str) -> Result<String, StageError> {
        id_in(record, member).ok_or_else(|| self.api.refused(format!("a record has no {member}")))
    }
}

/// An ID, which some releases give as a number.
fn id_in(record: &Value, member: &str) -> Option<String> {
    match &record[member] {
        Value::String(id) if !id.is_empty() => Some(id.clone()),
        Value::Number(id) => Some(id.to_string()),
        _ => None,
    }
}

fn text(record: &Value, member: &str) -> String {
    record[member].as_str().unwrap_or_default().to_owned()
}
