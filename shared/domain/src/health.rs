//! What the checks on a launched instance decide.

use crate::finding::Finding;
use crate::request::HealthCheck;

/// The instance a check is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The EC2 instance.
    pub instance_id: String,
    /// Its private address.
    pub private_ip: String,
}

impl Target {
    /// Fills `{instanceId}` and `{privateIp}` in a URL or host of a check.
    pub fn fill(&self, template: &str) -> String {
        template
            .replace("{instanceId}", &self.instance_id)
            .replace("{privateIp}", &self.private_ip)
    }
}

/// What one try of one check saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// An HTTP answer.
    Http {
        /// Its status.
        status: u16,
        /// The start of its body.
        body: String,
    },
    /// A TCP connection was accepted.
    Connected,
    /// Nothing usable: the error's text.
    Nothing(String),
}

/// What a round of checks means.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Everything is as expected.
    Healthy,
    /// Something is not, and has tries left.
    TryAgain(Vec<Finding>),
    /// Something is not, and had all its tries.
    Unhealthy(Vec<Finding>),
}

/// Judges one try of a check; `None` means passed.
pub fn judge(index: usize, check: &HealthCheck, seen: &Seen, target: &Target) -> Option<Finding> {
    let pointer = format!("/healthChecks/{index}");
    let (what, wanted, problem) = match (check, seen) {
        (
            HealthCheck::Http {
                url,
                expected_status,
                expected_body,
                ..
            },
            Seen::Http { status, body },
        ) => {
            let problem = if status != expected_status {
                format!("answered {status}")
            } else if expected_body
                .as_deref()
                .is_some_and(|text| !body.contains(text))
            {
                format!("answered {status} without the expected text")
            } else {
                return None;
            };
            let wanted = match expected_body {
                Some(text) => format!("{expected_status} with {text:?}"),
                None => expected_status.to_string(),
            };
            (target.fill(url), wanted, problem)
        }
        (HealthCheck::Tcp { .. }, Seen::Connected) => return None,
        (
            HealthCheck::Http {
                url,
                expected_status,
                ..
            },
            seen,
        ) => (target.fill(url), expected_status.to_string(), nothing(seen)),
        (HealthCheck::Tcp { host, port, .. }, seen) => (
            format!("{}:{port}", target.fill(host)),
            "a connection".to_owned(),
            nothing(seen),
        ),
    };
    Some(
        Finding::blocking(
            "HEALTH_CHECK_FAILED",
            &pointer,
            format!("{what} {problem}."),
        )
        .evidence(problem, wanted)
        .remedy("Look at the application on the target instance."),
    )
}

fn nothing(seen: &Seen) -> String {
    match seen {
        Seen::Nothing(error) => format!("did not answer: {error}"),
        Seen::Http { status, .. } => format!("answered {status}"),
        Seen::Connected => "connected".to_owned(),
    }
}

/// What a round means: `round` counts from 1; each failed check is compared with its own number of attempts.
pub fn verdict(failed: Vec<(u32, Finding)>, round: u32) -> Verdict {
    if failed.is_empty() {
        return Verdict::Healthy;
    }
    let exhausted = failed.iter().any(|(attempts, _)| round >= *attempts);
    let findings = failed.into_iter().map(|(_, finding)| finding).collect();
    if exhausted {
        Verdict::Unhealthy(findings)
    } else {
        Verdict::TryAgain(findings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn http(body: Option<&str>) -> HealthCheck {
        HealthCheck::Http {
            url: "http://{privateIp}/{instanceId}".into(),
            expected_status: 200,
            expected_body: body.map(str::to_owned),
            attempts: 3,
            timeout_seconds: 5,
        }
    }

    #[test]
    fn what_was_seen_decides() {
        let target = Target {
            instance_id: "i-1".into(),
            private_ip: "10.0.0.1".into(),
        };
        let tcp = HealthCheck::Tcp {
            host: "{privateIp}".into(),
            port: 22,
            attempts: 3,
            timeout_seconds: 5,
        };
        let answer = |status, body: &str| Seen::Http {
            status,
            body: body.into(),
        };
        let check = |check: &HealthCheck, seen: Seen, expected: Option<&str>| {
            let message = judge(0, check, &seen, &target).map(|f| f.message);
            assert_eq!(message.as_deref(), expected);
        };
        check(&http(None), answer(200, ""), None);
        check(
            &http(None),
            answer(503, ""),
            Some("http://10.0.0.1/i-1 answered 503."),
        );
        check(&http(Some("ok")), answer(200, "it is ok"), None);
        check(
            &http(Some("ok")),
            answer(200, "no"),
            Some("http://10.0.0.1/i-1 answered 200 without the expected text."),
        );
        check(
            &http(None),
            Seen::Nothing("refused".into()),
            Some("http://10.0.0.1/i-1 did not answer: refused."),
        );
        check(&tcp, Seen::Connected, None);
        check(
            &tcp,
            Seen::Nothing("refused".into()),
            Some("10.0.0.1:22 did not answer: refused."),
        );
    }

    #[test]
    fn a_failed_check_has_its_own_number_of_tries() {
        let finding = || Finding::blocking("HEALTH_CHECK_FAILED", "", "x");
        assert_eq!(verdict(vec![], 9), Verdict::Healthy);
        assert!(matches!(
            verdict(vec![(3, finding())], 2),
            Verdict::TryAgain(_)
        ));
        assert!(matches!(
            verdict(vec![(3, finding())], 3),
            Verdict::Unhealthy(_)
        ));
        assert!(matches!(
            verdict(vec![(5, finding()), (2, finding())], 2),
            Verdict::Unhealthy(_)
        ));
    }
}
