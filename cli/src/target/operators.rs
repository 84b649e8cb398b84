//! The operators' API: signed by the caller, whose identity is what counts there.

use std::path::Path;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::ProvideCredentials as _;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use landfall_domain::Finding;
use reqwest::Method;
use serde_json::Value;

use super::place::Resource;
use super::{TargetArgs, advice, look, reach};
use crate::error::{CliError, Exit};

/// Longer than API Gateway waits for a function.
const ANSWER: Duration = Duration::from_secs(40);

/// The access key by whose user a local stack is called, and its secret; its root's where they are not set.
const LOCAL_KEY: [&str; 2] = [
    "LANDFALL_LOCAL_ACCESS_KEY_ID",
    "LANDFALL_LOCAL_SECRET_ACCESS_KEY",
];

/// A deployment's operators' API.
#[derive(Clone, Debug)]
pub struct Operators {
    http: reqwest::Client,
    credentials: Credentials,
    region: String,
    url: String,
    /// What to look at when a call fails.
    pub advice: &'static str,
}

/// What the API said.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// The order was taken.
    Taken(Value),
    /// It was refused: the HTTP status, and why.
    Refused(u16, Box<Finding>),
}

impl Operators {
    /// Finds the API, and whose credentials the orders are signed with.
    pub async fn find(args: &TargetArgs, root: &Path) -> Result<Self, CliError> {
        let (place, config) = reach(look(Resource::OperatorApi, args, root)?).await?;
        let [key, secret] =
            LOCAL_KEY.map(|name| std::env::var(name).ok().filter(|it| !it.is_empty()));
        if place.endpoint.is_some() && key.is_some() != secret.is_some() {
            return Err(CliError::new(
                format!("only one of {} and {} is set", LOCAL_KEY[0], LOCAL_KEY[1]),
                "Set both to be the IAM user that they belong to, or neither to be the account's root.",
            )
            .exit(Exit::Invalid));
        }
        let credentials = if let (Some(_), Some((key, secret))) = (&place.endpoint, key.zip(secret))
        {
            Credentials::new(key, secret, None, None, LOCAL_KEY[0])
        } else {
            let provider = config.credentials_provider().ok_or_else(no_credentials)?;
            let found = provider.provide_credentials().await;
            found.map_err(|error| CliError {
                what: format!("there are no AWS credentials to sign with: {error}"),
                ..no_credentials()
            })?
        };
        let http = reqwest::Client::builder()
            .timeout(ANSWER)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| CliError::new(format!("no HTTP client: {error}"), ""))?;
        Ok(Self {
            http,
            credentials,
            region: place.region.clone().unwrap_or_default(),
            advice: advice(&place),
            url: place.value,
        })
    }

    /// Sends an order to a path of the API.
    pub async fn send(&self, path: &str, order: &Value) -> Result<Reply, CliError> {
        let url = format!("{}{path}", self.url.trim_end_matches('/'));
        let body = order.to_string();
        let mut request = self.http.request(Method::POST, &url);
        for (name, value) in self.signed(&url, body.as_bytes())? {
            request = request.header(name, value);
        }
        let answer = request.body(body).send().await.map_err(|error| {
            CliError::new(
                format!("{url} cannot be reached: {}", error.without_url()),
                self.advice,
            )
        })?;
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap_or_default();
        let said: Value = serde_json::from_str(&text).unwrap_or_default();
        if status == 200 {
            return Ok(Reply::Taken(said));
        }
        if let Ok(finding) = serde_json::from_value(said["finding"].clone()) {
            return Ok(Reply::Refused(status, Box::new(finding)));
        }
        // The gateway's own words.
        let message = said["message"].as_str().or(said["Message"].as_str());
        let what = format!(
            "the operators' API answered {status}: {}",
            message.unwrap_or("it did not say why")
        );
        let remedy = match status {
            403 => format!(
                "Your credentials need execute-api:Invoke on POST {path} of the API; see the output operator_api_arn."
            ),
            404 => "Is this landfall newer than the deployment? Bring that up to date.".to_owned(),
            429 | 500.. => "This may pass: run the same command again.".to_owned(),
            _ => self.advice.to_owned(),
        };
        Err(CliError::new(what, remedy))
    }

    /// The headers of a signed request. Source: API Gateway Developer Guide, "Control access to HTTP APIs with IAM
    /// authorization": signature version 4 for the service `execute-api`.
    fn signed(&self, url: &str, body: &[u8]) -> Result<Vec<(String, String)>, CliError> {
        let fault =
            |error: String| CliError::new(format!("the order cannot be signed: {error}"), "");
        let identity = self.credentials.clone().into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name("execute-api")
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()
            .map_err(|error| fault(error.to_string()))?
            .into();
        let own = [("content-type", "application/json")];
        let request = SignableRequest::new("POST", url, own.into_iter(), SignableBody::Bytes(body))
            .map_err(|error| fault(error.to_string()))?;
        let (instructions, _) = sign(request, &params)
            .map_err(|error| fault(error.to_string()))?
            .into_parts();
        let own = own
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let signed = instructions
            .headers()
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        Ok(own.chain(signed).collect())
    }
}

fn no_credentials() -> CliError {
    CliError::new(
        "there are no AWS credentials to sign with",
        "An order counts by who signs it: log in (`aws sso login`), or set AWS_PROFILE.",
    )
}
