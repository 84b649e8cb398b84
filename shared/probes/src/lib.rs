//! One try of one health check over the network. What is seen is judged in `landfall_domain::health`.
#![warn(missing_docs)]

mod dns;
mod http;
mod tcp;

use std::time::Duration;

use landfall_domain::health::{Seen, Target};
use landfall_domain::request::HealthCheck;

pub use http::{client, get};

/// What a check of the network sees; a script on the target is none of these.
pub async fn probe(http: &reqwest::Client, check: &HealthCheck, target: &Target) -> Seen {
    let seconds = check.pace().timeout_seconds;
    let limit = Duration::from_secs(u64::from(seconds));
    let seen = async {
        match check {
            HealthCheck::Http(check) => get(http, check, &target.fill(&check.url)).await,
            HealthCheck::Tcp(check) => tcp::connect(&target.fill(&check.host), check.port).await,
            HealthCheck::Dns(check) => dns::resolve(&target.fill(&check.name)).await,
            HealthCheck::Ssm(_) => died(),
        }
    };
    // Over all of it: the name's look-up, the connection, and every byte that is read.
    tokio::time::timeout(limit, seen)
        .await
        .unwrap_or_else(|_| Seen::Nothing(format!("nothing within {seconds} s")))
}

/// What a try saw that ended without an answer of its own: a panic, which must not count as passed.
pub fn died() -> Seen {
    Seen::Nothing("the check itself failed".to_owned())
}

/// The innermost cause of an error: what is around it repeats what is known.
fn reason(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
