//! What must answer on the target before a migration goes on.

use std::collections::BTreeMap;
use std::net::IpAddr;

use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};

use crate::finding::Finding;
use crate::record::LaunchAction;

/// How large a compiled `bodyPattern` may be, in bytes: far more than an honest one needs.
const MAX_PATTERN_BYTES: usize = 256 * 1024;

/// What must answer on the target. `{instanceId}` and `{privateIp}` in addresses, names, values and commands stand for
/// the target's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum HealthCheck {
    /// A GET.
    Http(HttpCheck),
    /// A TCP connection that must be accepted.
    Tcp(TcpCheck),
    /// A name that must resolve.
    Dns(DnsCheck),
    /// A command on the target, through Systems Manager.
    Ssm(SsmCheck),
}

/// After which launch a check is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names say it")]
pub enum CheckPhase {
    Test,
    Cutover,
}

/// A GET whose answer must have the expected status and headers, and a body that holds the expected text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HttpCheck {
    /// The address to GET.
    pub url: String,
    /// The statuses that count as healthy.
    #[serde(default)]
    pub expected_status: Statuses,
    /// What a header's value must contain, by the header's name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub expected_headers: BTreeMap<String, String>,
    /// A text the body must contain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_body: Option<String>,
    /// A regular expression that must match somewhere in the body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_pattern: Option<String>,
    /// The name that the server is asked for: the `Host` header and, for https, the name that its certificate must have.
    /// Absent means the URL's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_header: Option<String>,
    /// Whether the certificate is verified; `false` takes any.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub tls_verify: bool,
    /// The same on the source, to compare with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<SourceCheck>,
    /// How many times as long as the source the target may take; absent compares no times.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_latency_ratio: Option<f64>,
    /// After which launches it is made; empty means after both.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub phases: Vec<CheckPhase>,
    /// How often it may fail before that decides.
    #[serde(default = "default_attempts")]
    pub attempts: u32,
    /// The least time between two tries, in seconds; absent means the workflow's own pause.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval_seconds: Option<u32>,
    /// How long one try may take.
    #[serde(default = "default_timeout_seconds")]
    pub timeout_seconds: u32,
}

/// Where the source answers an HTTP check's request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SourceCheck {
    /// The address on the source.
    pub url: String,
}

/// One status, or several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Statuses {
    /// This one.
    One(u16),
    /// Any of these.
    Any(Vec<u16>),
}

/// A TCP connection that must be accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TcpCheck {
    /// The host to connect to.
    pub host: String,
    /// The port to connect to.
    pub port: u16,
    /// After which launches it is made; empty means after both.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub phases: Vec<CheckPhase>,
    /// How often it may fail before that decides.
    #[serde(default = "default_attempts")]
    pub attempts: u32,
    /// The least time between two tries, in seconds; absent means the workflow's own pause.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval_seconds: Option<u32>,
    /// How long one try may take.
    #[serde(default = "default_timeout_seconds")]
    pub timeout_seconds: u32,
}

/// A name that must resolve to the expected addresses and to no others of their kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DnsCheck {
    /// The name to look up, by the system's resolver.
    pub name: String,
    /// The addresses; empty means the target's private one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expected: Vec<String>,
    /// After which launches it is made; empty means after both.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub phases: Vec<CheckPhase>,
    /// How often it may fail before that decides.
    #[serde(default = "default_attempts")]
    pub attempts: u32,
    /// The least time between two tries, in seconds; absent means the workflow's own pause.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval_seconds: Option<u32>,
    /// How long one try may take.
    #[serde(default = "default_timeout_seconds")]
    pub timeout_seconds: u32,
}

/// Commands that run on the target, by its system's shell, and must end with the expected code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SsmCheck {
    /// The lines of the script. Systems Manager keeps and shows them: no place for a secret.
    pub commands: Vec<String>,
    /// The code that the script must end with.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub expected_exit_code: i32,
    /// After which launches it is made; empty means after both.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub phases: Vec<CheckPhase>,
    /// How often it may fail before that decides.
    #[serde(default = "default_attempts")]
    pub attempts: u32,
    /// The least time between two tries, in seconds; absent means the workflow's own pause.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval_seconds: Option<u32>,
    /// How long the script may run.
    #[serde(default = "default_script_seconds")]
    pub timeout_seconds: u32,
}

/// How a check is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// How often it may fail before that decides.
    pub attempts: u32,
    /// The least time between two tries, in seconds; 0 leaves it to the workflow's pauses.
    pub interval_seconds: u32,
    /// How long one try may take, in seconds.
    pub timeout_seconds: u32,
}

impl HealthCheck {
    /// How it is tried.
    pub fn pace(&self) -> Pace {
        let (attempts, interval, timeout_seconds) = match self {
            Self::Http(it) => (it.attempts, it.interval_seconds, it.timeout_seconds),
            Self::Tcp(it) => (it.attempts, it.interval_seconds, it.timeout_seconds),
            Self::Dns(it) => (it.attempts, it.interval_seconds, it.timeout_seconds),
            Self::Ssm(it) => (it.attempts, it.interval_seconds, it.timeout_seconds),
        };
        Pace {
            attempts,
            interval_seconds: interval.unwrap_or(0),
            timeout_seconds,
        }
    }

    /// Whether it is made after a launch.
    pub fn is_for(&self, action: LaunchAction) -> bool {
        let phases = match self {
            Self::Http(it) => &it.phases,
            Self::Tcp(it) => &it.phases,
            Self::Dns(it) => &it.phases,
            Self::Ssm(it) => &it.phases,
        };
        let phase = match action {
            LaunchAction::Test => CheckPhase::Test,
            LaunchAction::Cutover => CheckPhase::Cutover,
        };
        phases.is_empty() || phases.contains(&phase)
    }
}

impl Statuses {
    /// Whether a status is one of them.
    pub fn contains(&self, status: u16) -> bool {
        match self {
            Self::One(one) => *one == status,
            Self::Any(any) => any.contains(&status),
        }
    }
}

impl Default for Statuses {
    fn default() -> Self {
        Self::One(200)
    }
}

impl std::fmt::Display for Statuses {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::One(one) => write!(f, "{one}"),
            Self::Any(any) => {
                let any: Vec<String> = any.iter().map(u16::to_string).collect();
                f.write_str(&any.join(" or "))
            }
        }
    }
}

/// A `bodyPattern`, compiled.
///
/// # Errors
/// What is wrong with it.
pub fn pattern(text: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(text)
        .size_limit(MAX_PATTERN_BYTES)
        .build()
}

/// The placeholder of the target's private address.
pub const PRIVATE_IP: &str = "{privateIp}";

/// What is wrong with checks that the schema cannot see.
pub fn faults(checks: &[HealthCheck]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, check) in checks.iter().enumerate() {
        let fault = |member: &str, message: String| {
            Finding::blocking(
                "SCHEMA_INVALID",
                &format!("/healthChecks/{index}/{member}"),
                message,
            )
        };
        match check {
            HealthCheck::Http(http) => {
                let name = http.host_header.as_deref().unwrap_or_default();
                if name.parse::<IpAddr>().is_ok() {
                    findings.push(
                        fault("hostHeader", format!("{name:?} is an address."))
                            .evidence(name, "a name")
                            .remedy("Give the name that users ask the server for."),
                    );
                }
                let text = http.body_pattern.as_deref().unwrap_or_default();
                if let Err(error) = pattern(text) {
                    let message = format!("{text:?} is no regular expression: {error}.");
                    findings.push(
                        fault("bodyPattern", message)
                            .evidence(text, "the syntax of https://docs.rs/regex")
                            .remedy(
                                "Correct the pattern, or use expectedBody for a text as it stands.",
                            ),
                    );
                }
            }
            HealthCheck::Dns(dns) => {
                for (nth, text) in dns.expected.iter().enumerate() {
                    if text != PRIVATE_IP && text.parse::<IpAddr>().is_err() {
                        findings.push(
                            fault(
                                &format!("expected/{nth}"),
                                format!("{text:?} is no address."),
                            )
                            .evidence(text.as_str(), "an IPv4 or IPv6 address")
                            .remedy("Correct the address."),
                        );
                    }
                }
            }
            HealthCheck::Tcp(_) | HealthCheck::Ssm(_) => {}
        }
    }
    findings
}

const fn yes() -> bool {
    true
}
#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
const fn is_true(value: &bool) -> bool {
    *value
}
/// Enough, with the workflow's pauses of 15 to 60 seconds, for an application that needs minutes to start.
const fn default_attempts() -> u32 {
    10
}
const fn default_timeout_seconds() -> u32 {
    5
}
const fn default_script_seconds() -> u32 {
    60
}
#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
const fn is_zero(number: &i32) -> bool {
    *number == 0
}
