//! The operators' API: signed by the caller, whose identity is what counts there.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::ProvideCredentials as _;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use jiff::Timestamp;
use landfall_domain::{Finding, webhook};
use reqwest::Method;
use reqwest::header::RETRY_AFTER;
use serde_json::Value;
use uuid::Uuid;

use super::place::Resource;
use super::{TargetArgs, advice, look, reach};
use crate::error::{CliError, Exit};

/// Longer than API Gateway waits for a function.
const ANSWER: Duration = Duration::from_secs(40);

/// How often an order is sent that does not get through: terraform/api.tf lets 20 in a second through, and a wave's orders
/// come twice as fast.
const TRIES: u32 = 8;
/// For how long it is sent again: an API that does not answer at all is not waited for eight times.
const PATIENCE: Duration = Duration::from_mins(1);
/// The span of the first pause, and of the longest, in milliseconds.
const FIRST_SPAN: u64 = 500;
const LONGEST_SPAN: u64 = 8_000;
/// The longest pause that the API may ask for, in seconds, and how far apart those come again that were asked for the same, in
/// milliseconds.
const LONGEST_ASKED: u32 = 30;
const A_LITTLE: u64 = 100;

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
    /// It did not get through, and may have been taken all the same: the HTTP status, where there was an answer, and what came
    /// instead of one.
    Failed(Option<u16>, Box<Finding>),
}

/// Whether the same order may be taken a little later: too many came at once, or something on the way is out of order. A
/// function that knows why it cannot carry an order out says 503 where that passes, and 500 where it lasts.
fn may_pass(reply: &Reply) -> bool {
    match reply {
        Reply::Taken(_) => false,
        Reply::Refused(status, _) => matches!(status, 429 | 502..=504),
        Reply::Failed(status, _) => status.is_none_or(|it| matches!(it, 429 | 500 | 502..=504)),
    }
}

/// How long to wait after so many tries: half of a span that doubles up to a limit, and as much again by chance, for others
/// that were sent away at the same time come again, too; what the API asks for, where it does. `random` is any number.
fn pause(tries: u32, asked: Option<u32>, random: u64) -> Duration {
    let (least, span) = if let Some(seconds) = asked {
        (u64::from(seconds.min(LONGEST_ASKED)) * 1_000, A_LITTLE)
    } else {
        let doubled = FIRST_SPAN << tries.saturating_sub(1).min(16);
        let half = doubled.min(LONGEST_SPAN) / 2;
        (half, half)
    };
    Duration::from_millis(least + random % (span + 1))
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

    /// Sends an order to a path of the API, once more after a while where that may help: an order that was taken already is
    /// answered like the first time.
    ///
    /// # Errors
    /// What it would say to any order: that there is no such API, that the caller may not use it, that nothing can be signed.
    pub async fn send(&self, path: &str, order: &Value) -> Result<Reply, CliError> {
        let began = Instant::now();
        let (mut tries, mut lost) = (0, false);
        loop {
            let (reply, asked) = self.try_to_send(path, order).await?;
            tries += 1;
            if !may_pass(&reply) || tries >= TRIES || began.elapsed() >= PATIENCE {
                return Ok(if lost { perhaps_taken(reply) } else { reply });
            }
            // The gateway throttles before anything is done; whatever else it says, the order may have been carried out.
            lost |= !matches!(reply, Reply::Failed(Some(429), _));
            tokio::time::sleep(pause(tries, asked, Uuid::new_v4().as_u64_pair().1)).await;
        }
    }

    /// The reply, and for how many seconds the API asks for a pause.
    async fn try_to_send(
        &self,
        path: &str,
        order: &Value,
    ) -> Result<(Reply, Option<u32>), CliError> {
        let url = format!("{}{path}", self.url.trim_end_matches('/'));
        let body = order.to_string();
        let mut request = self.http.request(Method::POST, &url);
        for (name, value) in self.signed(&url, body.as_bytes())? {
            request = request.header(name, value);
        }
        let answer = match request.body(body).send().await {
            Ok(answer) => answer,
            Err(error) => {
                let lasts = error.is_builder();
                let what = format!("{url} cannot be reached: {}", error.without_url());
                if lasts {
                    return Err(CliError::new(what, self.advice));
                }
                let finding = Finding::blocking("API_UNREACHABLE", "", what).remedy(self.advice);
                return Ok((Reply::Failed(None, Box::new(finding)), None));
            }
        };
        let status = answer.status().as_u16();
        let after = answer.headers().get(RETRY_AFTER);
        let after = after.and_then(|after| after.to_str().ok());
        let asked = after.and_then(|after| webhook::retry_after(after, Timestamp::now()));
        let text = answer.text().await.unwrap_or_default();
        let said: Value = serde_json::from_str(&text).unwrap_or_default();
        if status == 200 {
            return Ok((Reply::Taken(said), None));
        }
        if let Ok(finding) = serde_json::from_value(said["finding"].clone()) {
            return Ok((Reply::Refused(status, Box::new(finding)), asked));
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
        if matches!(status, 401 | 403 | 404) {
            return Err(CliError::new(what, remedy));
        }
        let finding = Finding::blocking("API_FAILED", "", what).remedy(remedy);
        Ok((Reply::Failed(Some(status), Box::new(finding)), asked))
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

/// What forbids an order after a try whose answer was lost may be that very order.
fn perhaps_taken(reply: Reply) -> Reply {
    match reply {
        Reply::Refused(409, mut finding) => {
            finding.remedy = format!(
                "The try before had no answer and may have been taken: see `landfall status`. Else: {}",
                finding.remedy
            );
            Reply::Refused(409, finding)
        }
        reply => reply,
    }
}

fn no_credentials() -> CliError {
    CliError::new(
        "there are no AWS credentials to sign with",
        "An order counts by who signs it: log in (`aws sso login`), or set AWS_PROFILE.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_after_a_lost_answer_says_that_the_order_may_have_been_taken() {
        let refused = |status| {
            let finding = Finding::blocking("STATUS_FORBIDS", "", "it is under way");
            Reply::Refused(status, Box::new(finding.remedy("Wait.")))
        };
        for (status, told) in [(409, true), (403, false)] {
            let Reply::Refused(_, finding) = perhaps_taken(refused(status)) else {
                panic!("it is refused");
            };
            assert_eq!(finding.remedy.contains("may have been taken"), told);
            assert!(finding.remedy.ends_with("Wait."));
        }
    }

    #[test]
    fn pauses_double_are_never_the_same_and_as_long_as_asked() {
        for (tries, asked, random, millis) in [
            (1, None, 0, 250),
            (1, None, 250, 500),
            (1, None, 251, 250),
            (2, None, 500, 1_000),
            (5, None, 4_000, 8_000),
            (7, None, 4_000, 8_000),
            (u32::MAX, None, 0, 4_000),
            (1, Some(0), 0, 0),
            (7, Some(0), 100, 100),
            (1, Some(2), 50, 2_050),
            (1, Some(u32::MAX), 0, 30_000),
        ] {
            let found = pause(tries, asked, random);
            assert_eq!(found.as_millis(), millis, "{tries} {asked:?} {random}");
        }
    }

    #[test]
    fn what_may_pass_is_sent_again() {
        let finding = || Box::new(Finding::blocking("X", "", "x"));
        for status in [429, 502, 503, 504] {
            assert!(
                may_pass(&Reply::Failed(Some(status), finding())),
                "{status}"
            );
            assert!(may_pass(&Reply::Refused(status, finding())), "{status}");
        }
        for status in [400, 409, 413] {
            assert!(
                !may_pass(&Reply::Failed(Some(status), finding())),
                "{status}"
            );
            assert!(!may_pass(&Reply::Refused(status, finding())), "{status}");
        }
        assert!(may_pass(&Reply::Failed(None, finding())));
        // The gateway's own, and a function's that knows better.
        assert!(may_pass(&Reply::Failed(Some(500), finding())));
        assert!(!may_pass(&Reply::Refused(500, finding())));
    }
}
