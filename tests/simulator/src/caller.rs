//! Who calls: the account and the Region of a request, from its signature's credential.
//!
//! The access key ID tells the account. `MiniStack` serves several: a key of twelve digits is that account's root, and
//! the key of an assumed role belongs to the role's account, which its STS tells.

use axum::http::{HeaderMap, header};

use crate::sim::Sim;
use crate::world::place::Place;

/// Shorter ones are not AWS's, and `GetAccessKeyInfo` refuses them.
const SHORTEST_KEY: usize = 16;

/// What the `Authorization` header says: `AWS4-HMAC-SHA256 Credential=key/date/region/service/aws4_request, …`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Credential<'a> {
    /// The access key ID.
    pub(crate) key: &'a str,
    /// The Region signed for.
    pub(crate) region: Option<&'a str>,
    /// The service signed for.
    pub(crate) service: Option<&'a str>,
}

impl<'a> Credential<'a> {
    /// The credential of a request; empty for an unsigned one.
    pub(crate) fn of(headers: &'a HeaderMap) -> Self {
        let header = headers.get(header::AUTHORIZATION);
        let text = header.and_then(|v| v.to_str().ok()).unwrap_or_default();
        let Some((_, rest)) = text.split_once("Credential=") else {
            return Self::default();
        };
        let mut parts = rest.split([',', ' ']).next().unwrap_or_default().split('/');
        let mut part = || parts.next().filter(|part| !part.is_empty());
        let key = part().unwrap_or_default();
        let _date = part();
        Self {
            key,
            region: part(),
            service: part(),
        }
    }
}

/// The account and Region that a request is made in: home for whatever does not say otherwise.
pub(crate) async fn place(sim: &Sim, headers: &HeaderMap) -> Place {
    let credential = Credential::of(headers);
    let account = account(sim, credential.key).await;
    let home = &sim.world().home;
    home.with(account.as_deref(), credential.region)
}

async fn account(sim: &Sim, key: &str) -> Option<String> {
    if key.len() == 12 && key.bytes().all(|b| b.is_ascii_digit()) {
        return Some(key.to_owned());
    }
    let ministack = sim
        .ministack
        .as_ref()
        .filter(|_| key.len() >= SHORTEST_KEY)?;
    if let Some(known) = sim.keys().get(key) {
        return Some(known.clone());
    }
    let account = ministack.account_of(key).await?;
    sim.keys().insert(key.to_owned(), account.clone());
    Some(account)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_read_as_far_as_it_goes() {
        let table = [
            (
                "AWS4-HMAC-SHA256 Credential=ASIA1234/20260101/eu-west-1/ec2/aws4_request, SignedHeaders=host, Signature=x",
                ("ASIA1234", Some("eu-west-1"), Some("ec2")),
            ),
            ("AWS4-HMAC-SHA256 Credential=test", ("test", None, None)),
            (
                "AWS4-HMAC-SHA256 Credential=test/20260101//mgn/aws4_request",
                ("test", None, Some("mgn")),
            ),
            ("Bearer abc", ("", None, None)),
        ];
        for (given, (key, region, service)) in table {
            let headers: HeaderMap = [(header::AUTHORIZATION, given.parse().unwrap())]
                .into_iter()
                .collect();
            let wanted = Credential {
                key,
                region,
                service,
            };
            assert_eq!(Credential::of(&headers), wanted, "{given}");
        }
        assert_eq!(Credential::of(&HeaderMap::new()), Credential::default());
    }
}
