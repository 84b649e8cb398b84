//! Changes of launch settings that need somebody's consent, and cutovers that need a test.

use jiff::Timestamp;

use crate::finding::{Finding, Severity};
use crate::plan::WorkflowPlan;
use crate::record::{MigrationRecord, TestEvidence};
use crate::replication::Replication;
use crate::request::MigrationRequest;

/// What speaks against replicating with another key: MGN then copies every disk again. Nothing does where nothing has
/// been replicated, or where the request allows it. `present` and `wanted` are ARNs; no `present` is the account's
/// default key.
pub fn resync(
    request: &MigrationRequest,
    present: Option<&str>,
    wanted: &str,
    replication: &Replication,
) -> Option<Finding> {
    if present == Some(wanted) || request.policy.allow_resync || !replication.has_data() {
        return None;
    }
    let present = present.unwrap_or("the account's default key for EBS");
    Some(
        Finding::blocking(
            "KMS_CHANGE_FORCES_RESYNC",
            "/kmsKeyId",
            format!(
                "MGN replicates the server with {present}; with {wanted} it would copy every disk again."
            ),
        )
        .evidence(present, wanted)
        .remedy(
            "Leave kmsKeyId out or name the present key, or set policy.allowResync to have everything copied again.",
        ),
    )
}

/// How old a test may be, in days, where the request does not say: a test tells less with every change to
/// the source.
const DEFAULT_TEST_MAX_AGE_DAYS: u32 = 30;

/// The digests of what a cutover would be launched with.
#[derive(Clone, Copy, Debug)]
pub struct Launching<'a> {
    /// [`MigrationRequest::launch_settings_digest`].
    pub requested: &'a str,
    /// [`crate::launch::EffectiveSettings::digest`] of what is there, hand-made changes included; `None` where nobody
    /// has looked.
    pub effective: Option<&'a str>,
}

/// What speaks against a cutover after this test: none, an old one, or one of other settings. Warnings, which tell the
/// reason, where the request allows the cutover all the same.
pub fn untested(
    request: &MigrationRequest,
    evidence: Option<&TestEvidence>,
    launching: Launching<'_>,
    now: Timestamp,
) -> Vec<Finding> {
    let findings = match evidence {
        None => vec![missing()],
        Some(evidence) => {
            let changed = changed(evidence, launching);
            changed
                .into_iter()
                .chain(too_old(request, evidence, now))
                .collect()
        }
    };
    if !request.policy.allow_untested_cutover {
        return findings;
    }
    let reason = request.policy.untested_cutover_reason();
    let overridden = findings.into_iter().map(|finding| Finding {
        severity: Severity::Warning,
        message: format!(
            "{} policy.allowUntestedCutover lets the cutover go on: {reason}",
            finding.message
        ),
        remedy: "Nothing, where the reason holds; else cancel, and add the step validate."
            .to_owned(),
        ..finding
    });
    overridden.collect()
}

/// What speaks against a cutover without a new test: the settings, hand-made ones included, are not those that were
/// tested. `digest` is that of what the cutover would be launched with.
pub fn changed_since_test(record: &MigrationRecord, digest: &str) -> Option<Finding> {
    let request = &record.request;
    let plan = WorkflowPlan::of(request);
    if !plan.switch || plan.validate || request.policy.allow_untested_cutover {
        return None;
    }
    changed_by_hand(record.test_evidence.as_ref()?, digest)
}

const REMEDY: &str = "Add the step validate, or set policy.allowUntestedCutover with policy.untestedCutoverReason to cut over untested.";

fn missing() -> Finding {
    let text = "the request switches, and no test of this migration has passed.";
    Finding::blocking("TEST_MISSING", "/steps", text)
        .evidence("no test", "a test that passed")
        .remedy(REMEDY)
}

fn changed(evidence: &TestEvidence, launching: Launching<'_>) -> Option<Finding> {
    if evidence.settings_digest != launching.requested {
        let text = format!(
            "the launch settings are not those that were tested on {}.",
            evidence.verified_at
        );
        let finding = Finding::blocking("LAUNCH_SETTINGS_CHANGED_SINCE_TEST", "/steps", text)
            .evidence(launching.requested, evidence.settings_digest.as_str())
            .remedy(REMEDY);
        return Some(finding);
    }
    changed_by_hand(evidence, launching.effective?)
}

fn changed_by_hand(evidence: &TestEvidence, digest: &str) -> Option<Finding> {
    // Evidence from before it was recorded has none; what the requests say is compared by itself.
    let tested = evidence.effective_digest.as_deref()?;
    (tested != digest).then(|| {
        let text = format!(
            "the launch settings of the server, with all that was changed by hand, are not those that were tested on {}.",
            evidence.verified_at
        );
        Finding::blocking("LAUNCH_SETTINGS_CHANGED_SINCE_TEST", "/steps", text)
            .evidence(digest, tested)
            .remedy(REMEDY)
    })
}

fn too_old(request: &MigrationRequest, evidence: &TestEvidence, now: Timestamp) -> Option<Finding> {
    let days = request.policy.test_max_age_days;
    let days = days.unwrap_or(DEFAULT_TEST_MAX_AGE_DAYS);
    let limit_seconds = i64::from(days) * 86_400;
    let tested_at = evidence.verified_at.parse::<Timestamp>();
    let age_seconds = tested_at.map_or(i64::MAX, |at| now.duration_since(at).as_secs());
    (age_seconds > limit_seconds).then(|| {
        let text = format!(
            "the last test passed on {}; at most {days} days are allowed.",
            evidence.verified_at
        );
        let wanted = format!("at most {days} days ago");
        Finding::blocking("TEST_TOO_OLD", "/steps", text)
            .evidence(evidence.verified_at.as_str(), wanted)
            .remedy("Add the step validate, or raise policy.testMaxAgeDays.")
    })
}
