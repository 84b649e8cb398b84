//! A cutover needs a test of the same launch settings.

use jiff::Timestamp;
use landfall_domain::record::TestEvidence;
use landfall_domain::request::MigrationRequest;
use landfall_domain::{Finding, WorkflowPlan};

/// How old a test may be, in days, where the request does not say: a test tells less with every change to
/// the source.
const DEFAULT_MAX_AGE_DAYS: u32 = 30;

/// Checks the evidence of a test, for a request that switches without testing first.
pub(super) fn check(
    request: &MigrationRequest,
    evidence: Option<&TestEvidence>,
    settings_digest: &str,
    now: Timestamp,
) -> Option<Finding> {
    let plan = WorkflowPlan::of(request);
    if !plan.switch || plan.validate || request.policy.allow_untested_cutover {
        return None;
    }
    let finding = |code, message: String| {
        Finding::blocking(code, "/steps", message).remedy(
            "Add the step validate, or set policy.allowUntestedCutover to cut over untested.",
        )
    };
    let Some(evidence) = evidence else {
        return Some(
            finding(
                "TEST_MISSING",
                "the request switches without validate, and no test of this migration has passed."
                    .into(),
            )
            .evidence("no test", "a test that passed"),
        );
    };
    if evidence.settings_digest != settings_digest {
        return Some(
            finding(
                "LAUNCH_SETTINGS_CHANGED_SINCE_TEST",
                format!(
                    "the launch settings are not those that were tested on {}.",
                    evidence.verified_at
                ),
            )
            .evidence(settings_digest, evidence.settings_digest.as_str()),
        );
    }
    let days = request
        .policy
        .test_max_age_days
        .unwrap_or(DEFAULT_MAX_AGE_DAYS);
    let limit_seconds = i64::from(days) * 86_400;
    let age_seconds = evidence
        .verified_at
        .parse::<Timestamp>()
        .map_or(i64::MAX, |at| now.duration_since(at).as_secs());
    (age_seconds > limit_seconds).then(|| {
        finding(
            "TEST_TOO_OLD",
            format!(
                "the last test passed on {}; at most {days} days are allowed.",
                evidence.verified_at
            ),
        )
        .evidence(
            evidence.verified_at.as_str(),
            format!("at most {days} days ago"),
        )
        .remedy("Add the step validate, or raise policy.testMaxAgeDays.")
    })
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
            (with(json!({"allowUntestedCutover": true})), None, None),
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
            let finding = check(&request(changes.clone()), evidence.as_ref(), "same", now);
            assert_helpful(finding.as_slice());
            assert_eq!(finding.map(|f| f.code).as_deref(), expected, "{changes}");
        }
    }
}
