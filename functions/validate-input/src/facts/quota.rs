//! MGN's quotas as they are in the account and Region.

use aws_sdk_servicequotas::Client;
use landfall_domain::batch::{MAX_JOBS, MAX_REPLICATING, MAX_SERVERS_IN_FLIGHT};

/// Quota codes (AWS General Reference, MGN endpoints and quotas).
const JOBS: &str = "L-FE2EBE17";
const IN_FLIGHT: &str = "L-4FF77426";
const REPLICATING: &str = "L-9A599620";

/// How many there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quotas {
    /// Unfinished jobs.
    pub jobs: usize,
    /// Servers in unfinished jobs.
    pub in_flight: usize,
    /// Servers that replicate.
    pub replicating: usize,
    /// Whether Service Quotas said so; otherwise these are the documented defaults.
    pub live: bool,
}

impl Default for Quotas {
    fn default() -> Self {
        Self {
            jobs: MAX_JOBS,
            in_flight: MAX_SERVERS_IN_FLIGHT,
            replicating: MAX_REPLICATING,
            live: false,
        }
    }
}

/// Asks Service Quotas. Whatever fails there, the documented defaults serve: a migration does not hang on a number
/// that only warns.
pub(super) async fn read(client: &Client) -> Quotas {
    let mut quotas = Quotas::default();
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
                return Quotas::default();
            }
        };
        let Some(value) = item.value().and_then(whole) else {
            continue;
        };
        match item.quota_code() {
            Some(JOBS) => quotas.jobs = value,
            Some(IN_FLIGHT) => quotas.in_flight = value,
            Some(REPLICATING) => {
                quotas.replicating = value;
                quotas.live = true;
            }
            _ => {}
        }
    }
    quotas
}

/// Service Quotas gives whole numbers as floating ones.
fn whole(value: f64) -> Option<usize> {
    format!("{value:.0}").parse().ok()
}
