//! Where a callback may go, as far as its URL alone tells. The callback function looks again, at the address
//! that the name resolves to when it sends.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use landfall_domain::Finding;
use landfall_domain::webhook;

use super::origin::Origin;

/// Checks the callback's URL.
pub(super) fn check(url: &str, allowed: &[String]) -> Option<Finding> {
    // What follows the origin may be a secret, and so may what stands before its host: neither is repeated.
    let (problem, found) = match Origin::of(url) {
        Err(problem) => (problem.to_owned(), None),
        Ok(origin) => {
            let text = origin.text();
            if webhook::is_listed(&text, allowed.iter().map(String::as_str)) {
                return None;
            }
            (origin.problem()?, Some(text))
        }
    };
    Some(
        Finding::blocking(
            "CALLBACK_URL_FORBIDDEN",
            "/callbackUrl",
            format!("callbacks may not go to this URL: {problem}."),
        )
        .evidence(found, "an https URL on the public Internet, or a listed origin")
        .remedy("Give a public https URL, or have the operator list its origin in the deployment's callback_allow."),
    )
}

impl Origin {
    /// Why the origin is not for everybody.
    fn problem(&self) -> Option<String> {
        if self.scheme != "https" {
            return Some(format!("its scheme is {} and not https", self.scheme));
        }
        let host = self.host.trim_end_matches('.');
        if host == "localhost" || host.ends_with(".localhost") {
            return Some("its host is the local machine".to_owned());
        }
        match address(host) {
            Ok(Some(address)) if !webhook::is_public(address) => Some(format!(
                "its address {address} is not on the public Internet"
            )),
            Ok(_) => None,
            Err(problem) => Some(problem.to_owned()),
        }
    }
}

/// The address that a host spells out, if it is one. A host whose last label is a number is an IPv4 address
/// to URL libraries, in forms such as `0x7f.1` and `2130706433`; all but the plain form are refused.
fn address(host: &str) -> Result<Option<IpAddr>, &'static str> {
    if let Some(inner) = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        let address: Ipv6Addr = inner
            .parse()
            .map_err(|_| "its IPv6 address is no address")?;
        return Ok(Some(IpAddr::V6(address)));
    }
    if let Ok(address) = host.parse::<Ipv4Addr>() {
        return Ok(Some(IpAddr::V4(address)));
    }
    let last = host.rsplit('.').next().unwrap_or_default();
    let numeric = last.chars().all(|c| c.is_ascii_digit())
        || last
            .strip_prefix("0x")
            .is_some_and(|hex| hex.chars().all(|c| c.is_ascii_hexdigit()));
    if numeric {
        return Err("its host is an address in an unusual form");
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::tests::assert_helpful;

    #[test]
    fn callbacks_go_to_the_public_internet_or_to_listed_origins() {
        let allowed = [
            "http://127.0.0.1:4570".to_owned(),
            "https://hooks.corp".to_owned(),
        ];
        for (url, fine) in [
            ("https://runbook.example.com/status", true),
            ("https://runbook.example.com:8443/status?x=1#y", true),
            ("HTTPS://Runbook.Example.com", true),
            ("https://8.8.8.8/x", true),
            ("https://[2606:4700:4700::1111]/x", true),
            ("http://runbook.example.com/status", false),
            ("http://127.0.0.1:4570/sink/a", true),
            ("http://127.0.0.1:4571/sink/a", false),
            ("http://127.0.0.1:4570@evil.example.com/", false),
            ("https://hooks.corp:443/x", true),
            ("https://hooks.corp:444/x", true),
            ("https://169.254.169.254/latest/meta-data", false),
            ("https://10.0.0.1/", false),
            ("https://[::1]/", false),
            ("https://[::ffff:169.254.169.254]/", false),
            ("https://localhost/", false),
            ("https://localhost./", false),
            ("https://a.localhost:8443/", false),
            ("https://2130706433/", false),
            ("https://0x7f.1/", false),
            ("https://0177.0.0.1/", false),
            ("https://127.1/", false),
            ("https://user:secret@example.com/", false),
            (r"https://example.com\@10.0.0.1/", false),
            ("https://example.com:port/", false),
            ("https://[::1/", false),
            ("https:///x", false),
            ("nonsense", false),
        ] {
            let finding = check(url, &allowed);
            assert_helpful(finding.as_slice());
            assert_eq!(finding.is_none(), fine, "{url}: {finding:?}");
            assert!(!format!("{finding:?}").contains("secret"));
        }
    }
}
