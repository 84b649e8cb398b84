//! Where the credentials of the source's platform may go, and what is found there. Whoever signs in looks again.

use landfall_domain::Finding;
use landfall_domain::request::{MigrationRequest, SourceControlKind};
use landfall_domain::webhook::{self, Origin};
use landfall_external::source::Trouble;

/// Checks the endpoint of the source's platform, where the request names one that would be used, or must.
pub(crate) fn check(request: &MigrationRequest, allowed: &[String]) -> Option<Finding> {
    let control = request.controlled_source()?;
    let endpoint = match (control.kind, control.endpoint.as_deref()) {
        (SourceControlKind::Azure, Some(endpoint)) => endpoint,
        (SourceControlKind::Vsphere, endpoint) => endpoint.unwrap_or_default(),
        // Public Azure, and EC2 which has its own.
        (SourceControlKind::Azure | SourceControlKind::Ec2 | SourceControlKind::None, _) => {
            return None;
        }
    };
    // What stands beside the origin may be a secret: it is not repeated.
    let (problem, found) = match Origin::of(endpoint) {
        Err(problem) => (problem, None),
        Ok(origin) => {
            let text = origin.text();
            if webhook::is_listed(&text, allowed.iter().map(String::as_str)) {
                return None;
            }
            ("the deployment does not list its origin", Some(text))
        }
    };
    Some(
        Finding::blocking(
            "SOURCE_ENDPOINT_FORBIDDEN",
            "/sourceControl/endpoint",
            format!("the source's credentials may not go to this URL: {problem}."),
        )
        .evidence(
            found,
            match control.kind {
                SourceControlKind::Azure => "a listed origin; for public Azure, no endpoint",
                _ => "a listed origin",
            },
        )
        .remedy(match control.kind {
            SourceControlKind::Azure => {
                "Leave the field out for public Azure, or have the operator list its origin in the deployment's source_api_allow."
            }
            _ => "Have the operator list its origin in the deployment's source_api_allow.",
        }),
    )
}

/// Checks what was found of the source's secret and machine.
pub(super) fn machine(
    request: &MigrationRequest,
    looked: Option<&Result<(), Trouble>>,
) -> Option<Finding> {
    let control = request.controlled_source()?;
    let trouble = looked?.as_ref().err()?;
    let error = trouble.error();
    let said = error.message.as_str();
    if error.name.is_transient() {
        return Some(
            Finding::warning(
                "SOURCE_UNREACHABLE",
                "/sourceControl",
                format!("the source cannot be looked at now: {said}."),
            )
            .evidence(said, "an answer")
            .remedy("Make sure that it is up, and that the functions reach it: the snapshot and the power-off wait for it."),
        );
    }
    let finding = |code, field, wanted, remedy: &str| {
        Finding::blocking(code, field, format!("{said}."))
            .evidence(said, wanted)
            .remedy(remedy)
    };
    let fields = match control.kind {
        SourceControlKind::Azure => "a secret with tenantId, clientId and clientSecret",
        _ => "a secret with username and password",
    };
    Some(match trouble {
        Trouble::Secret(_) => finding(
            "SOURCE_SECRET_NOT_USABLE",
            "/sourceControl/credentialsSecretId",
            fields,
            "Store the secret so in the deployment's account and Region, under <name_prefix>/source/, or name another (docs/SOURCES.md).",
        ),
        Trouble::Machine(_) => finding(
            "SOURCE_MACHINE_NOT_FOUND",
            "/sourceControl",
            "one machine on the platform",
            "Name the machine as its platform does (docs/SOURCES.md), or leave sourceControl out and do its part by hand.",
        ),
        Trouble::Other(_) => finding(
            "SOURCE_ACCESS_REFUSED",
            "/sourceControl",
            "an account that may do what docs/SOURCES.md lists",
            "Correct sourceControl or the content of its secret, or give that account the permissions.",
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::tests::{assert_helpful, request};
    use serde_json::json;

    fn control(kind: &str, endpoint: Option<&str>) -> MigrationRequest {
        request(json!({"sourceControl": {
            "kind": kind, "endpoint": endpoint, "credentialsSecretId": "landfall/source/azure",
            "subscriptionId": "s", "resourceGroup": "g",
        }}))
    }

    #[test]
    fn credentials_go_to_the_public_cloud_or_to_listed_origins() {
        let allowed = [
            "http://127.0.0.1:4570".to_owned(),
            "https://azure.corp/".to_owned(),
        ];
        for (endpoint, fine) in [
            ("http://127.0.0.1:4570/azure", true),
            ("https://azure.corp", true),
            ("HTTPS://Azure.Corp:443/x", true),
            ("https://azure.corp:8443/x", false),
            ("http://azure.corp/x", false),
            ("https://evil.example.com/", false),
            ("https://azure.corp.evil.example.com/", false),
            ("https://user:secret@azure.corp/", false),
            (r"https://evil.example.com\@azure.corp/", false),
        ] {
            let finding = check(&control("azure", Some(endpoint)), &allowed);
            assert_helpful(finding.as_slice());
            assert_eq!(finding.is_none(), fine, "{endpoint}: {finding:?}");
            let vsphere = check(&control("vsphere", Some(endpoint)), &allowed);
            let message = |finding: &Option<Finding>| finding.as_ref().map(|it| it.message.clone());
            assert_eq!(message(&vsphere), message(&finding), "{endpoint}");
            // Nobody who has a vCenter is sent to public Azure.
            assert!(!format!("{vsphere:?}").contains("Azure"), "{vsphere:?}");
            assert!(!format!("{finding:?}").contains("user:secret"));
            if let Some(finding) = finding {
                assert_eq!(finding.code, "SOURCE_ENDPOINT_FORBIDDEN");
                assert!(finding.is_blocking());
            }
        }
    }

    #[test]
    fn nothing_is_judged_that_would_not_be_used() {
        assert_eq!(check(&request(json!({})), &[]), None);
        assert_eq!(check(&control("azure", None), &[]), None);
        for kind in ["none", "ec2"] {
            let unused = control(kind, Some("https://evil.example.com/"));
            assert_eq!(check(&unused, &[]), None, "{kind}");
        }
    }

    #[test]
    fn a_vcenter_has_no_public_check() {
        let finding = check(&control("vsphere", None), &[]).unwrap();
        assert_helpful(std::slice::from_ref(&finding));
        assert_eq!(finding.code, "SOURCE_ENDPOINT_FORBIDDEN");
    }

    #[test]
    fn what_stands_in_the_way_has_a_code_by_what_it_is_about() {
        use landfall_domain::{ErrorName, StageError};
        let control = json!({
            "kind": "azure", "credentialsSecretId": "landfall/source/azure", "subscriptionId": "s", "resourceGroup": "g",
        });
        let request = request(json!({ "sourceControl": control }));
        let refused = || StageError::new(ErrorName::PrerequisiteError, "what was said");
        let passes = StageError::new(ErrorName::DependencyUnavailable, "what was said");
        let table = [
            (Trouble::Secret(refused()), "SOURCE_SECRET_NOT_USABLE", true),
            (
                Trouble::Machine(refused()),
                "SOURCE_MACHINE_NOT_FOUND",
                true,
            ),
            (Trouble::Other(refused()), "SOURCE_ACCESS_REFUSED", true),
            (Trouble::Other(passes.clone()), "SOURCE_UNREACHABLE", false),
            (Trouble::Secret(passes), "SOURCE_UNREACHABLE", false),
        ];
        for (trouble, code, blocks) in table {
            let finding = machine(&request, Some(&Err(trouble))).unwrap();
            assert_helpful(std::slice::from_ref(&finding));
            assert_eq!(
                (finding.code.as_str(), finding.is_blocking()),
                (code, blocks)
            );
            assert!(finding.message.contains("what was said"));
        }
        assert_eq!(machine(&request, Some(&Ok(()))), None);
        assert_eq!(machine(&request, None), None);
    }
}
