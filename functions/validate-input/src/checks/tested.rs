//! A cutover needs a test of the same launch settings.

use jiff::Timestamp;
use landfall_domain::launch::{self, Launching};
use landfall_domain::record::TestEvidence;
use landfall_domain::request::MigrationRequest;
use landfall_domain::{Finding, WorkflowPlan};

/// Checks the evidence of a test, for a request that switches without testing first. What is there by then is looked at
/// again just before the cutover.
pub(super) fn check(
    request: &MigrationRequest,
    evidence: Option<&TestEvidence>,
    settings_digest: &str,
    now: Timestamp,
) -> Vec<Finding> {
    let plan = WorkflowPlan::of(request);
    if !plan.switch || plan.validate {
        return Vec::new();
    }
    let launching = Launching {
        requested: settings_digest,
        effective: None,
    };
    launch::untested(request, evidence, launching, now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::tests::{assert_helpful, request};
    use serde_json::{Value, json};

    #[test]
    fn a_cutover_needs_a_recent_test_of_the_same_settings() {
        let now: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        let tested = |digest: &str, at: &str| {
            Some(TestEvidence {
                settings_digest: digest.into(),
                effective_digest: None,
                verified_at: at.into(),
                job_id: "mgnjob-1".into(),
            })
        };
        let fresh = || tested("same", "2026-11-20T12:00:00Z");
        let switch = || json!({"steps": ["switch"]});
        let with = |policy: Value| json!({"steps": ["switch"], "policy": policy});
        let table = [
            (json!({"steps": ["validate", "switch"]}), None, None),
            (json!({"steps": ["replicate"]}), None, None),
            (switch(), None, Some("TEST_MISSING")),
            (
                with(json!({"allowUntestedCutover": true, "untestedCutoverReason": "no time"})),
                None,
                Some("warning: TEST_MISSING"),
            ),
            (
                with(json!({"allowUntestedCutover": true, "untestedCutoverReason": "no time"})),
                fresh(),
                None,
            ),
            (
                with(json!({"allowUntestedCutover": true, "untestedCutoverReason": "no time"})),
                tested("other", "2026-11-20T12:00:00Z"),
                Some("warning: LAUNCH_SETTINGS_CHANGED_SINCE_TEST"),
            ),
            (switch(), fresh(), None),
            (
                switch(),
                tested("other", "2026-11-20T12:00:00Z"),
                Some("LAUNCH_SETTINGS_CHANGED_SINCE_TEST"),
            ),
            (
                switch(),
                tested("same", "2026-10-01T12:00:00Z"),
                Some("TEST_TOO_OLD"),
            ),
            (switch(), tested("same", "unreadable"), Some("TEST_TOO_OLD")),
            (
                with(json!({"testMaxAgeDays": 90})),
                tested("same", "2026-10-01T12:00:00Z"),
                None,
            ),
            (
                with(json!({"testMaxAgeDays": 1})),
                tested("same", "2026-11-20T11:59:59Z"),
                Some("TEST_TOO_OLD"),
            ),
        ];
        for (changes, evidence, expected) in table {
            let findings = check(&request(changes.clone()), evidence.as_ref(), "same", now);
            assert_helpful(&findings);
            let said: Vec<String> = findings
                .iter()
                .map(|finding| {
                    if finding.is_blocking() {
                        return finding.code.clone();
                    }
                    assert!(finding.message.ends_with(": no time"), "{finding:?}");
                    format!("warning: {}", finding.code)
                })
                .collect();
            assert_eq!(said, Vec::from_iter(expected), "{changes}");
        }
    }
}
