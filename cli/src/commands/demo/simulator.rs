//! The simulator's control plane, as far as the demo needs it, and the log of the callbacks it received.

use std::collections::BTreeMap;
use std::time::Duration;

use landfall_common::correlation;
use reqwest::Client;
use serde::Deserialize;
use serde_json::Value;

use super::wave::SINK;
use crate::error::CliError;
use crate::output::table::{self, Cell};
use crate::output::text::{Palette, clean};

const ADVICE: &str = "Is the local stack still up? Its logs are in .landfall/logs.";

/// A running simulator.
pub(super) struct Simulator {
    client: Client,
    url: String,
}

/// A callback that the simulator received.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Callback {
    name: String,
    received_at: String,
    headers: BTreeMap<String, String>,
    body: Value,
    verified: bool,
    #[serde(default)]
    problem: Option<String>,
    status: u16,
}

impl Simulator {
    pub(super) fn at(url: &str) -> Result<Self, CliError> {
        // It listens on the loopback interface: a proxy has no part in it.
        let client = Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(30))
            .build()
            .map_err(|error| CliError::new(format!("no HTTP client: {error}"), ADVICE))?;
        Ok(Self {
            client,
            url: url.to_owned(),
        })
    }

    /// Whether it answers at all.
    pub(super) async fn answers(&self) -> bool {
        let health = self
            .client
            .get(format!("{}/_sim/health", self.url))
            .send()
            .await;
        health.is_ok_and(|answer| answer.status().is_success())
    }

    /// Adds to its world.
    pub(super) async fn seed(&self, seed: &'static str) -> Result<(), CliError> {
        let order = self
            .client
            .post(format!("{}/_sim/seed", self.url))
            .header("content-type", "application/json")
            .body(seed);
        read(order, "the seed").await.map(|_| ())
    }

    /// The callbacks that reached the demo's sink, oldest first.
    pub(super) async fn callbacks(&self) -> Result<Vec<Callback>, CliError> {
        let order = self.client.get(format!("{}/_sim/callbacks", self.url));
        let text = read(order, "a question for its callbacks").await?;
        let mut callbacks: Vec<Callback> = serde_json::from_str(&text).map_err(|error| {
            CliError::new(
                format!("the simulator's list of callbacks cannot be read: {error}"),
                ADVICE,
            )
        })?;
        callbacks.retain(|callback| callback.name == SINK);
        Ok(callbacks)
    }
}

async fn read(order: reqwest::RequestBuilder, what: &str) -> Result<String, CliError> {
    let failed = |error: reqwest::Error| {
        CliError::new(
            format!("the simulator did not answer {what}: {error}"),
            ADVICE,
        )
    };
    let answer = order.send().await.map_err(failed)?;
    let status = answer.status();
    let text = answer.text().await.map_err(failed)?;
    if status.is_success() {
        Ok(text)
    } else {
        Err(CliError::new(
            format!("the simulator refused {what} ({status}): {}", clean(&text)),
            ADVICE,
        ))
    }
}

impl Callback {
    /// The migration it speaks of, in the body or in its `data`.
    pub(super) fn migration_id(&self) -> Option<&str> {
        self.field("migrationId")
    }

    fn field(&self, name: &str) -> Option<&str> {
        self.body
            .get(name)
            .or_else(|| self.body.get("data")?.get(name))
            .and_then(Value::as_str)
    }

    fn correlation_id(&self) -> Option<&str> {
        self.headers
            .get(&correlation::HEADER.to_ascii_lowercase())
            .map(String::as_str)
    }

    /// What is wrong with it, as the answer to a request with this correlation ID.
    fn fault(&self, correlation_id: &str) -> Option<String> {
        if !self.verified {
            let problem = self.problem.as_deref().unwrap_or("no reason given");
            return Some(format!("signature not verified: {problem}"));
        }
        if self.correlation_id() != Some(correlation_id) {
            let found = self.correlation_id().unwrap_or("none");
            return Some(format!(
                "correlation ID {found} instead of {correlation_id}"
            ));
        }
        (!(200..300).contains(&self.status)).then(|| format!("answered with {}", self.status))
    }
}

/// What is missing or wrong among the callbacks: one line for each migration without a good one.
pub(super) fn faults(callbacks: &[Callback], correlations: &[(String, String)]) -> Vec<String> {
    correlations
        .iter()
        .filter_map(|(migration, correlation_id)| {
            let mut own = callbacks
                .iter()
                .filter(|callback| callback.migration_id() == Some(migration))
                .map(|callback| callback.fault(correlation_id))
                .peekable();
            if own.peek().is_none() {
                return Some(format!("{migration}: no callback arrived"));
            }
            let last = own
                .by_ref()
                .reduce(|a, b| if a.is_none() { None } else { b })?;
            last.map(|fault| format!("{migration}: {fault}"))
        })
        .collect()
}

/// The callback log.
pub(super) fn log(callbacks: &[Callback], palette: Palette) -> String {
    let rows = callbacks
        .iter()
        .map(|callback| {
            let signature = if callback.verified {
                Cell::painted("verified", palette.good("verified"))
            } else {
                Cell::painted("NOT VERIFIED", palette.bad("NOT VERIFIED"))
            };
            // To the second is enough for a person.
            let received = callback
                .received_at
                .get(..19)
                .unwrap_or(&callback.received_at);
            [
                received.into(),
                clean(callback.migration_id().unwrap_or("?")).into(),
                clean(callback.field("status").unwrap_or("?")).into(),
                signature,
                callback.status.to_string().into(),
                clean(callback.correlation_id().unwrap_or("-")).into(),
            ]
        })
        .collect();
    table::text(
        [
            "RECEIVED (UTC)",
            "MIGRATION",
            "REPORTS",
            "SIGNATURE",
            "ANSWER",
            "CORRELATION",
        ],
        rows,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn callback(id: &str, verified: bool, status: u16, correlation_id: &str) -> Callback {
        serde_json::from_value(json!({
            "name": "demo", "receivedAt": "2026-01-01T00:00:00.123Z", "verified": verified, "status": status,
            "headers": {"x-correlation-id": correlation_id},
            "body": {"type": "migration.succeeded", "data": {"migrationId": id, "status": "SUCCEEDED"}},
        }))
        .unwrap()
    }

    #[test]
    fn one_good_callback_is_enough_and_without_one_the_fault_is_named() {
        let wanted: Vec<_> = ["a", "b", "c", "d", "e"]
            .map(|id| (id.to_owned(), format!("c-{id}")))
            .into();
        let callbacks = [
            callback("a", true, 204, "c-a"),
            callback("b", true, 500, "c-b"),
            callback("b", true, 204, "c-b"),
            callback("c", false, 401, "c-c"),
            callback("d", true, 204, "other"),
        ];
        assert_eq!(
            faults(&callbacks, &wanted),
            [
                "c: signature not verified: no reason given",
                "d: correlation ID other instead of c-d",
                "e: no callback arrived"
            ]
        );
    }

    #[test]
    fn the_log_reads_as_printed_here() {
        let callbacks = [
            callback("demo-web-01", true, 204, "mig-1"),
            callback("x", false, 401, "mig-2"),
        ];
        assert_eq!(
            log(&callbacks, Palette::OFF),
            "RECEIVED (UTC)       MIGRATION    REPORTS    SIGNATURE     ANSWER  CORRELATION\n\
             2026-01-01T00:00:00  demo-web-01  SUCCEEDED  verified      204     mig-1\n\
             2026-01-01T00:00:00  x            SUCCEEDED  NOT VERIFIED  401     mig-2\n"
        );
    }
}
