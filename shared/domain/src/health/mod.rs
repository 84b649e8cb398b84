//! What the checks on a launched instance decide.

mod baseline;
mod http;
mod state;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::finding::Finding;
use crate::mask;
use crate::request::health::PRIVATE_IP;
use crate::request::{DnsCheck, HealthCheck, SsmCheck};

pub use baseline::{Baseline, Sample, SourceAnswer, on_source, on_source_again};
pub use http::{Answer, shown};
pub use state::{CheckState, Command, DELIVERY_SECONDS, Health, Try, Verdict};

/// So much of what a check saw is told.
const MAX_SEEN_CHARS: usize = 600;

/// The instance a check is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The EC2 instance.
    pub instance_id: String,
    /// Its private address.
    pub private_ip: String,
}

impl Target {
    /// Fills `{instanceId}` and `{privateIp}`.
    pub fn fill(&self, template: &str) -> String {
        template
            .replace("{instanceId}", &self.instance_id)
            .replace(PRIVATE_IP, &self.private_ip)
    }
}

/// What one try of one check saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// An HTTP answer.
    Http(Answer),
    /// A TCP connection was accepted.
    Connected,
    /// A name resolved to these.
    Addresses(BTreeSet<IpAddr>),
    /// A script ended.
    Ended {
        /// With this code.
        code: i32,
        /// Having printed this, shown as it is: mask it before.
        output: String,
    },
    /// Nothing usable: why.
    Nothing(String),
    /// No result yet: why. It counts as no try.
    Unknown(String),
}

/// One result, judged.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    /// What was seen, in words.
    pub seen: String,
    /// What is wrong with it; `None` means passed.
    pub finding: Option<Finding>,
}

/// Judges one try of a check; `baseline` is what the source answered, where that is compared.
pub fn judge(
    index: usize,
    check: &HealthCheck,
    seen: &Seen,
    target: &Target,
    baseline: Option<&SourceAnswer>,
) -> Judged {
    let (what, wanted, result) = match check {
        HealthCheck::Http(check) => (
            http::shown(&target.fill(&check.url)),
            http::wanted(check, baseline),
            match seen {
                Seen::Http(answer) => http::judge(check, answer, baseline),
                other => Err(unusable(other)),
            },
        ),
        HealthCheck::Tcp(check) => (
            format!("{}:{}", target.fill(&check.host), check.port),
            "a connection".to_owned(),
            match seen {
                Seen::Connected => Ok("accepted the connection".to_owned()),
                other => Err(unusable(other)),
            },
        ),
        HealthCheck::Dns(check) => {
            let expected = addresses(check, target);
            (
                target.fill(&check.name),
                listed(&expected),
                match seen {
                    Seen::Addresses(found) => resolved(&expected, found),
                    other => Err(unusable(other)),
                },
            )
        }
        HealthCheck::Ssm(check) => (
            format!("the script on {}", target.instance_id),
            format!("exit code {}", check.expected_exit_code),
            match seen {
                Seen::Ended { code, output } => ended(check, *code, output),
                other => Err(unusable(other)),
            },
        ),
    };
    match result {
        Ok(seen) => Judged {
            seen: short(&seen),
            finding: None,
        },
        Err(problem) => {
            let seen = short(&problem);
            let code = "HEALTH_CHECK_FAILED";
            let pointer = format!("/healthChecks/{index}");
            let finding = Finding::blocking(code, &pointer, format!("{what} {seen}."))
                .evidence(seen.as_str(), wanted)
                .remedy("Look at the application on the target instance.");
            Judged {
                seen,
                finding: Some(finding),
            }
        }
    }
}

fn unusable(seen: &Seen) -> String {
    match seen {
        Seen::Nothing(error) => format!("did not answer: {error}"),
        Seen::Unknown(why) => format!("has not answered yet: {why}"),
        // A result of another kind of check: a bug, which must not count as passed.
        Seen::Http(_) | Seen::Connected | Seen::Addresses(_) | Seen::Ended { .. } => {
            "was checked in another way".to_owned()
        }
    }
}

/// The addresses that a name must have.
fn addresses(check: &DnsCheck, target: &Target) -> BTreeSet<IpAddr> {
    let own = [PRIVATE_IP.to_owned()];
    let expected = if check.expected.is_empty() {
        &own[..]
    } else {
        &check.expected
    };
    let expected = expected.iter().map(|text| target.fill(text));
    expected.filter_map(|text| text.parse().ok()).collect()
}

/// Whether a name resolved to what is expected and, of the families that are expected, to nothing else: a second
/// address would still send every other client to the source.
fn resolved(expected: &BTreeSet<IpAddr>, found: &BTreeSet<IpAddr>) -> Result<String, String> {
    let is_expected =
        |address: &&IpAddr| expected.iter().any(|it| it.is_ipv4() == address.is_ipv4());
    let of_families: BTreeSet<IpAddr> = found.iter().filter(is_expected).copied().collect();
    let said = format!("resolves to {}", listed(found));
    // Without an address to expect, nothing is as expected.
    if of_families == *expected && !expected.is_empty() {
        Ok(said)
    } else {
        Err(said)
    }
}

fn listed(addresses: &BTreeSet<IpAddr>) -> String {
    if addresses.is_empty() {
        return "no address".to_owned();
    }
    let texts: Vec<String> = addresses.iter().map(IpAddr::to_string).collect();
    texts.join(", ")
}

fn ended(check: &SsmCheck, code: i32, output: &str) -> Result<String, String> {
    let said = match output.trim() {
        "" => format!("ended with exit code {code}"),
        output => format!("ended with exit code {code}: {output}"),
    };
    if code == check.expected_exit_code {
        Ok(said)
    } else {
        Err(said)
    }
}

/// A text of others as it may be told: without keys, and not too long. The end is cut off.
fn short(text: &str) -> String {
    let masked = mask::keys(text);
    match masked.char_indices().nth(MAX_SEEN_CHARS) {
        Some((end, _)) => format!("{}…", &masked[..end]),
        None => masked.into_owned(),
    }
}

/// What is told of checks that take any certificate: they prove less than they seem to.
pub fn unverified(checks: &[HealthCheck]) -> Vec<Finding> {
    let checks = checks.iter().enumerate();
    let unverified = checks.filter_map(|(index, check)| match check {
        HealthCheck::Http(http) if !http.tls_verify && http.url.starts_with("https:") => {
            Some((index, http))
        }
        _ => None,
    });
    unverified
        .map(|(index, http)| {
            Finding::warning(
                "TLS_NOT_VERIFIED",
                &format!("/healthChecks/{index}/tlsVerify"),
                format!(
                    "the certificate of {} was NOT verified: whoever answered need not be the target, and users may not get through.",
                    http::shown(&http.url)
                ),
            )
            .evidence("tlsVerify is false", "a certificate that is verified")
            .remedy("Name the certificate's host in hostHeader, and leave tlsVerify out.")
        })
        .collect()
}
