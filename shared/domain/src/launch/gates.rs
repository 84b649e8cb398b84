//! Changes of launch settings that need somebody's consent.

use crate::finding::Finding;
use crate::plan::WorkflowPlan;
use crate::record::MigrationRecord;
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

/// What speaks against a cutover without a new test: the settings, hand-made ones included, are not those that were
/// tested. `digest` is that of what the cutover would be launched with.
pub fn changed_since_test(record: &MigrationRecord, digest: &str) -> Option<Finding> {
    let request = &record.request;
    let plan = WorkflowPlan::of(request);
    if !plan.switch || plan.validate || request.policy.allow_untested_cutover {
        return None;
    }
    let evidence = record.test_evidence.as_ref()?;
    // Evidence from before it was recorded has none; the pre-flight compares what the requests say.
    let tested = evidence.effective_digest.as_deref()?;
    (tested != digest).then(|| {
        Finding::blocking(
            "LAUNCH_SETTINGS_CHANGED_SINCE_TEST",
            "/steps",
            format!(
                "the launch settings of the server, with all that was changed by hand, are not those that were tested on {}.",
                evidence.verified_at
            ),
        )
        .evidence(digest, tested)
        .remedy("Add the step validate, or set policy.allowUntestedCutover to cut over untested.")
    })
}
