//! The systems beside MGN that a migration touches: the platforms that sources run on, Cloud Migration Factory, a
//! ServiceNow-style CMDB and, with the feature `dns`, Route 53.
//!
//! Adapters only: each HTTP request is made once. A transient failure becomes `Throttled`, `Conflict` or
//! `DependencyUnavailable`, which the workflow retries, and whoever has to wait asks again. A refusal gets the error name of the stage that asked. Credentials never reach a log or an error.
#![warn(missing_docs)]

mod api;
pub mod cmdb;
pub mod cmf;
#[cfg(feature = "dns")]
pub mod dns;
pub mod outbound;
mod secret;
pub mod source;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use landfall_domain::{ErrorName, StageError};

/// How long one request may take, from the connection to the last byte of the answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A client that follows no redirects (a redirect could carry credentials to another host) and waits 10 seconds.
///
/// # Errors
/// `InternalError` when TLS cannot be set up.
pub fn http_client() -> Result<reqwest::Client, StageError> {
    built(builder())
}

/// [`http_client`] that also trusts the authorities of a PEM text.
///
/// # Errors
/// `InternalError` when the text holds none.
pub(crate) fn http_client_trusting(pem: &str) -> Result<reqwest::Client, StageError> {
    let authorities = reqwest::Certificate::from_pem_bundle(pem.as_bytes())
        .ok()
        .filter(|authorities| !authorities.is_empty())
        .ok_or_else(|| StageError::new(ErrorName::InternalError, "no certificate in PEM"))?;
    built(builder().tls_certs_merge(authorities))
}

fn builder() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(TIMEOUT)
        .user_agent(concat!("landfall/", env!("CARGO_PKG_VERSION")))
}

fn built(builder: reqwest::ClientBuilder) -> Result<reqwest::Client, StageError> {
    builder.build().map_err(|error| {
        StageError::new(ErrorName::InternalError, "the HTTP client cannot be set up")
            .context(error.to_string())
    })
}

/// [`http_client`] on first use: most invocations never leave AWS and should not pay for loading the trust store
/// at cold start.
#[derive(Clone, Debug, Default)]
pub struct LazyHttp(Arc<OnceLock<reqwest::Client>>);

impl LazyHttp {
    /// The client, the same one every time.
    ///
    /// # Errors
    /// See [`http_client`].
    pub fn get(&self) -> Result<reqwest::Client, StageError> {
        if let Some(client) = self.0.get() {
            return Ok(client.clone());
        }
        let client = http_client()?;
        Ok(self.0.get_or_init(|| client).clone())
    }
}
