//! Incoming webhooks of chats. Their URLs are secrets: they are read from one, and no more than a host of them is told.

use landfall_common::aws_error;
use landfall_domain::notice::{Notice, slack, teams};
use landfall_domain::webhook::{Answer, judge};
use landfall_domain::{ErrorName, StageError};
use landfall_external::outbound::{Guard, Stopped};
use reqwest::header::HeaderMap;
use serde::Deserialize;
use serde_json::Value;

use crate::Deps;

/// The secret's value.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Listed {
    slack: Vec<String>,
    teams: Vec<String>,
}

/// Where a notice goes, and how it is written there.
pub(crate) struct Webhook {
    pub(crate) url: String,
    write: fn(&Notice) -> Value,
}

/// Why a webhook did not take a notice.
pub(crate) struct Failed {
    pub(crate) error: StageError,
    /// Whether it takes no other one now either: it may not be called, gives no answer, or asks for a pause.
    pub(crate) is_down: bool,
}

/// What a chat answers that gets more than it takes.
const TOO_MANY: u16 = 429;

/// All of them.
pub(crate) struct Webhooks(Vec<Webhook>);

impl Webhooks {
    /// Reads the secret. One without a value names none.
    pub(crate) async fn read(deps: &Deps) -> Result<Self, StageError> {
        let answer = deps
            .secrets
            .get_secret_value()
            .secret_id(&deps.secret_id)
            .send()
            .await;
        let text = match answer {
            Ok(secret) => secret.secret_string.unwrap_or_default(),
            // What Secrets Manager says of a secret that has no value yet.
            Err(error) if aws_error::code(&error) == Some("ResourceNotFoundException") => {
                String::new()
            }
            Err(error) => {
                let call = "secretsmanager:GetSecretValue";
                return Err(aws_error::stage_error(
                    &error,
                    ErrorName::DependencyUnavailable,
                    call,
                ));
            }
        };
        Self::parse(&text).ok_or_else(|| {
            StageError::new(
                ErrorName::PrerequisiteError,
                format!(
                    "the secret {} is not what names webhooks: it must be {{\"slack\": [URLs], \"teams\": [URLs]}} with nothing else",
                    deps.secret_id
                ),
            )
        })
    }

    /// The parser's own words would repeat what it met.
    fn parse(text: &str) -> Option<Self> {
        let listed: Listed = match text.trim() {
            "" => Listed::default(),
            text => serde_json::from_str(text).ok()?,
        };
        let of = |urls: Vec<String>, write: fn(&Notice) -> Value| {
            urls.into_iter().map(move |url| Webhook { url, write })
        };
        Some(Self(
            of(listed.slack, slack)
                .chain(of(listed.teams, teams))
                .collect(),
        ))
    }

    pub(crate) fn all(&self) -> &[Webhook] {
        &self.0
    }
}

impl Webhook {
    /// Posts a notice there, once.
    pub(crate) async fn post(&self, guard: &Guard, notice: &Notice) -> Result<(), Failed> {
        let failed = |name: ErrorName, why: String, is_down: bool| {
            let error = StageError::new(name, format!("a chat did not take the notice: {why}"));
            Err(Failed { error, is_down })
        };
        let admitted = match guard.admit(&self.url).await {
            Ok(admitted) => admitted,
            Err(Stopped::Forbidden(forbidden)) => {
                let origin = forbidden.origin.unwrap_or_else(|| "its URL".to_owned());
                let why = format!("{origin} may not be called: {}", forbidden.problem);
                return failed(ErrorName::PrerequisiteError, why, true);
            }
            Err(Stopped::Unresolved(why)) => {
                return failed(ErrorName::DependencyUnavailable, why, true);
            }
        };
        let body = (self.write)(notice).to_string();
        match admitted.post(HeaderMap::new(), body).await {
            Ok(answered) => match judge(answered.status) {
                Answer::Taken => Ok(()),
                // Whatever else it answers may be about this notice alone.
                Answer::Later | Answer::Never(_) => failed(
                    ErrorName::DependencyUnavailable,
                    format!("{} answered {}", admitted.host(), answered.status),
                    answered.status == TOO_MANY,
                ),
            },
            Err(why) => failed(
                ErrorName::DependencyUnavailable,
                format!("{}: {why}", admitted.host()),
                true,
            ),
        }
    }
}
