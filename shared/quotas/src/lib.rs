//! MGN's quotas as they are in an account and Region, by the Service Quotas API.
//!
//! A crate of its own: the pre-flight and the launches ask for them, nothing else needs this SDK.
#![warn(missing_docs)]

use std::sync::{Arc, Mutex, PoisonError};

use aws_config::SdkConfig;
use aws_sdk_servicequotas::Client;
use jiff::{SignedDuration, Timestamp};
use landfall_domain::batch::{Limits, MAX_REPLICATING};

/// Quota codes (AWS General Reference, MGN endpoints and quotas).
const JOBS: &str = "L-FE2EBE17";
const PER_JOB: &str = "L-F1FD732F";
const IN_FLIGHT: &str = "L-4FF77426";
const REPLICATING: &str = "L-9A599620";
/// How long values are kept: quotas change by request, in hours.
const KEPT: SignedDuration = SignedDuration::from_mins(10);

/// How many there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Values {
    /// Of launches at once.
    pub launches: Limits,
    /// Of servers that replicate.
    pub replicating: usize,
    /// Whether Service Quotas said so; otherwise these are the documented defaults.
    pub live: bool,
}

impl Default for Values {
    fn default() -> Self {
        Self {
            launches: Limits::default(),
            replicating: MAX_REPLICATING,
            live: false,
        }
    }
}

/// The quotas of one account and Region; clones share what was read.
#[derive(Clone, Debug)]
pub struct Quotas {
    client: Client,
    read: Arc<Mutex<Option<(Timestamp, Values)>>>,
}

impl Quotas {
    /// Of the account and Region of a configuration.
    pub fn new(aws: &SdkConfig) -> Self {
        Self::with_client(Client::new(aws))
    }

    /// Through a client that exists; for tests.
    pub fn with_client(client: Client) -> Self {
        Self {
            client,
            read: Arc::default(),
        }
    }

    /// The values, read at most every ten minutes. Whatever fails at Service Quotas, the documented defaults serve: MGN
    /// itself refuses what is too much.
    pub async fn values(&self, now: Timestamp) -> Values {
        let kept = *self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, values)) = kept
            && now.duration_since(at) < KEPT
        {
            return values;
        }
        let Some(values) = read(&self.client).await else {
            return Values::default();
        };
        *self.read.lock().unwrap_or_else(PoisonError::into_inner) = Some((now, values));
        values
    }
}

/// What Service Quotas says now; `None`, with a warning in the log, where it cannot be asked.
pub async fn read(client: &Client) -> Option<Values> {
    let mut values = Values::default();
    let mut items = client
        .list_service_quotas()
        .service_code("mgn")
        .into_paginator()
        .items()
        .send();
    while let Some(item) = items.next().await {
        let item = match item {
            Ok(item) => item,
            Err(error) => {
                tracing::warn!(
                    context = landfall_common::aws_error::code(&error),
                    "the quotas are taken from the documentation: Service Quotas could not be asked"
                );
                return None;
            }
        };
        let Some(value) = item.value().and_then(whole) else {
            continue;
        };
        match item.quota_code() {
            Some(JOBS) => values.launches.jobs = value,
            Some(PER_JOB) => values.launches.per_job = value,
            Some(IN_FLIGHT) => values.launches.in_flight = value,
            Some(REPLICATING) => {
                values.replicating = value;
                values.live = true;
            }
            _ => {}
        }
    }
    Some(values)
}

/// Service Quotas gives whole numbers as floating ones.
fn whole(value: f64) -> Option<usize> {
    format!("{value:.0}").parse().ok()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use aws_sdk_servicequotas::operation::list_service_quotas as list;
    use aws_sdk_servicequotas::types::ServiceQuota;
    use aws_smithy_mocks::{RuleMode, mock, mock_client};

    use super::*;

    fn quota(code: &str, value: f64) -> ServiceQuota {
        ServiceQuota::builder()
            .quota_code(code)
            .value(value)
            .build()
    }

    #[tokio::test]
    async fn they_are_read_once_in_ten_minutes() {
        static ASKED: AtomicUsize = AtomicUsize::new(0);
        let rule = mock!(Client::list_service_quotas).then_output(|| {
            ASKED.fetch_add(1, Ordering::Relaxed);
            list::ListServiceQuotasOutput::builder()
                .quotas(quota(JOBS, 5.0))
                .quotas(quota(IN_FLIGHT, 50.0))
                .quotas(quota(PER_JOB, 40.0))
                .quotas(quota(REPLICATING, 300.0))
                .quotas(quota("L-OTHER", 1.0))
                .build()
        });
        let quotas = Quotas::with_client(mock_client!(
            aws_sdk_servicequotas,
            RuleMode::MatchAny,
            [&rule]
        ));
        let expected = Values {
            launches: Limits {
                jobs: 5,
                per_job: 40,
                in_flight: 50,
            },
            replicating: 300,
            live: true,
        };
        let start = Timestamp::UNIX_EPOCH;
        for (minutes, asked) in [(0, 1), (9, 1), (10, 2)] {
            let now = start + SignedDuration::from_mins(minutes);
            assert_eq!(quotas.clone().values(now).await, expected);
            assert_eq!(ASKED.load(Ordering::Relaxed), asked);
        }
    }

    #[tokio::test]
    async fn where_they_cannot_be_asked_the_documented_ones_serve() {
        let rule = mock!(Client::list_service_quotas).then_error(|| {
            list::ListServiceQuotasError::generic(
                aws_sdk_servicequotas::error::ErrorMetadata::builder()
                    .code("AccessDeniedException")
                    .build(),
            )
        });
        let client = mock_client!(aws_sdk_servicequotas, RuleMode::MatchAny, [&rule]);
        let quotas = Quotas::with_client(client);
        assert_eq!(
            quotas.values(Timestamp::UNIX_EPOCH).await,
            Values::default()
        );
    }
}
