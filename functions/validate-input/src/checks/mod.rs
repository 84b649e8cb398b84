//! The checks: each a pure function of the request and of what was read.

mod access;
mod approvals;
mod callback;
mod claim;
mod cmf;
mod encryption;
mod instance;
mod network;
mod retention;
mod server;
mod settings;
pub(crate) mod source;
mod tested;
mod unread;
mod window;

use jiff::Timestamp;
use landfall_domain::gate::DeploymentRules;
use landfall_domain::record::TestEvidence;
use landfall_domain::{ErrorName, Finding, MigrationRequest, StageError};

use crate::facts::Facts;

/// The origins that the deployment lists.
#[derive(Clone, Debug, Default)]
pub struct Allow {
    /// Those that callbacks may go to although they are not https or not public.
    pub callbacks: Vec<String>,
    /// Those that the credentials of a source's platform may go to.
    pub sources: Vec<String>,
    /// The ARNs of the EC2 instances that may be terminated once they have moved.
    pub removable: Vec<String>,
    /// Who is asked where, whatever the request says.
    pub approvals: DeploymentRules,
}

/// What is checked.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The request.
    pub request: &'a MigrationRequest,
    /// Whose it is.
    pub tenant_id: &'a str,
    /// The test that an earlier attempt passed.
    pub evidence: Option<&'a TestEvidence>,
}

/// Runs every check; the order of findings is the order of the request's fields, roughly.
///
/// # Errors
/// `InternalError` when the launch settings cannot be hashed.
pub fn all(
    subject: Subject<'_>,
    facts: &Facts,
    allow: &Allow,
    now: Timestamp,
) -> Result<Vec<Finding>, StageError> {
    let request = subject.request;
    let settings_digest = request.launch_settings_digest().map_err(|error| {
        StageError::new(
            ErrorName::InternalError,
            format!("the launch settings cannot be hashed: {error}"),
        )
    })?;
    let mut findings = approvals::check(request);
    findings.extend(claim::check(subject, &facts.claims));
    if let Some(target) = &facts.target {
        findings.extend(network::check(request, target));
        findings.extend(instance::check(request, target));
        findings.extend(encryption::check(request, target));
        findings.extend(access::check(request, target));
        findings.extend(server::check(request, target));
        findings.extend(settings::check(request, target));
        findings.extend(unread::check(request, target));
    }
    findings.extend(cmf::check(request, facts.cmf.as_ref()));
    findings.extend(source::check(request, &allow.sources));
    findings.extend(source::machine(request, facts.source.as_ref()));
    findings.extend(retention::check(
        request,
        &allow.approvals,
        &allow.removable,
    ));
    findings.extend(tested::check(
        request,
        subject.evidence,
        &settings_digest,
        now,
    ));
    findings.extend(window::check(request, now));
    findings.extend(
        request
            .callback_url
            .as_deref()
            .and_then(|url| callback::check(url, &allow.callbacks, facts.callback.as_ref())),
    );
    Ok(findings)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use landfall_domain::MigrationRequest;
    use serde_json::{Value, json};

    /// The canonical request, with members replaced or added.
    pub(crate) fn request(changes: Value) -> MigrationRequest {
        let mut request = json!({
            "migrationId": "mig-12345", "appName": "billing-app", "source": "azure", "target": "aws",
            "environment": "prod", "wave": "wave-3", "steps": ["freeze", "replicate", "validate", "switch"],
            "sourceVmId": "vm-123456", "instanceType": "t3.large", "subnetId": "subnet-0a1b2c3d",
            "securityGroupIds": ["sg-0a1b2c3d"],
        });
        if let (Value::Object(request), Value::Object(changes)) = (&mut request, changes) {
            request.extend(changes);
        }
        serde_json::from_value(request).unwrap()
    }

    /// It, as the default tenant's.
    pub(crate) fn subject(request: &MigrationRequest) -> Subject<'_> {
        Subject {
            request,
            tenant_id: "default",
            evidence: None,
        }
    }

    pub(crate) fn codes(findings: &[Finding]) -> Vec<&str> {
        findings
            .iter()
            .map(|finding| finding.code.as_str())
            .collect()
    }

    /// Every finding must tell its reader what to do.
    pub(crate) fn assert_helpful(findings: &[Finding]) {
        for finding in findings {
            assert!(!finding.message.is_empty(), "{finding:?}");
            assert!(!finding.remedy.is_empty(), "{finding:?}");
        }
    }
}
