//! One try of one health check.

use std::time::Duration;

use landfall_domain::health::{Seen, Target};
use landfall_domain::request::HealthCheck;
use tokio::net::TcpStream;

/// How much of a body is read for a text that must be in it.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// A client that follows no redirects: an expected status is the status of the address named.
pub(crate) fn client() -> reqwest::Client {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap_or_default()
}

pub(crate) async fn probe(http: &reqwest::Client, check: &HealthCheck, target: &Target) -> Seen {
    match check {
        HealthCheck::Http {
            url,
            timeout_seconds,
            ..
        } => {
            let limit = Duration::from_secs(u64::from(*timeout_seconds));
            get(http, &target.fill(url), limit)
                .await
                .unwrap_or_else(|error| Seen::Nothing(reason(&error)))
        }
        HealthCheck::Tcp {
            host,
            port,
            timeout_seconds,
            ..
        } => {
            let limit = Duration::from_secs(u64::from(*timeout_seconds));
            match tokio::time::timeout(limit, TcpStream::connect((target.fill(host), *port))).await
            {
                Ok(Ok(_)) => Seen::Connected,
                Ok(Err(error)) => Seen::Nothing(error.to_string()),
                Err(_) => Seen::Nothing(format!("no connection within {timeout_seconds} s")),
            }
        }
    }
}

/// What a try saw that ended without an answer of its own: a panic, which must not count as passed.
pub(crate) fn died() -> Seen {
    Seen::Nothing("the check itself failed".to_owned())
}

async fn get(http: &reqwest::Client, url: &str, limit: Duration) -> Result<Seen, reqwest::Error> {
    let mut answer = http.get(url).timeout(limit).send().await?;
    let status = answer.status().as_u16();
    let mut body = Vec::new();
    while body.len() < MAX_BODY_BYTES
        && let Some(chunk) = answer.chunk().await?
    {
        body.extend_from_slice(&chunk);
    }
    Ok(Seen::Http {
        status,
        body: String::from_utf8_lossy(&body).into_owned(),
    })
}

/// The innermost cause: reqwest's own text only repeats the URL.
fn reason(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    if error.is_timeout() {
        "no answer in time".to_owned()
    } else {
        cause.to_string()
    }
}
