//! The instance profile, and what the migration's roles may do.

use std::collections::BTreeMap;

use landfall_domain::Finding;
use landfall_domain::request::MigrationRequest;

use crate::facts::{Denied, Fact, TargetFacts};

/// Checks the instance profile, and the permissions as IAM simulates them.
pub(super) fn check(request: &MigrationRequest, facts: &TargetFacts) -> Vec<Finding> {
    let mut findings: Vec<Finding> = profile(request, facts).into_iter().collect();
    let mut by_action: BTreeMap<(&str, &str), Vec<&Denied>> = BTreeMap::new();
    for denied in &facts.proof.denied {
        by_action
            .entry((&denied.action, &denied.principal))
            .or_default()
            .push(denied);
    }
    findings.extend(
        by_action
            .into_iter()
            .map(|((action, principal), denied)| missing(action, principal, &denied)),
    );
    findings.extend(facts.proof.unproven.as_ref().map(|why| {
        Finding::warning(
            "PERMISSIONS_NOT_PROVEN",
            "",
            format!(
                "whether the migration has the permissions it needs could not be simulated: {why}."
            ),
        )
        .remedy("Allow iam:SimulatePrincipalPolicy, or make sure of the permissions by hand.")
    }));
    findings
}

fn profile(request: &MigrationRequest, facts: &TargetFacts) -> Option<Finding> {
    const FIELD: &str = "/instanceProfile";
    let name = request.instance_profile.as_deref()?;
    match &facts.profile {
        None if facts.unread.has(Fact::Profile) => None,
        None => Some(
            Finding::blocking(
                "IAM_PROFILE_NOT_FOUND",
                FIELD,
                format!("there is no instance profile {name} in the target account."),
            )
            .evidence(name, "an instance profile of the target account")
            .remedy("Name an instance profile that exists (`aws iam list-instance-profiles`), or create it first."),
        ),
        Some(profile) if profile.roles.is_empty() => Some(
            Finding::warning(
                "IAM_PROFILE_WITHOUT_ROLE",
                FIELD,
                format!("instance profile {name} has no role: the target will have no permissions."),
            )
            .evidence("no role", "one role")
            .remedy("Add the role with `aws iam add-role-to-instance-profile`."),
        ),
        Some(_) => None,
    }
}

fn missing(action: &str, principal: &str, denied: &[&Denied]) -> Finding {
    let resources: Vec<&str> = denied
        .iter()
        .map(|denied| denied.resource.as_str())
        .collect();
    let decision = denied.first().map_or("", |denied| denied.decision.as_str());
    let text = format!(
        "{principal} may not {action} on {}: {decision}.",
        resources.join(", ")
    );
    // What the simulation could not know may decide otherwise in the real call.
    let finding = if denied.iter().all(|denied| denied.uncertain) {
        Finding::warning("PERMISSION_MISSING", "", text)
    } else {
        Finding::blocking("PERMISSION_MISSING", "", text)
    };
    let remedy = if action.starts_with("kms:") {
        format!(
            "List the key in the deployment's volume_key_arns, or allow {principal} {action} on it; in another account, give the role there that permission."
        )
    } else {
        format!(
            "Allow {principal} {action} on these resources, in its own policies and in those of its organization and boundary."
        )
    };
    finding
        .evidence(
            decision,
            format!("{action} allowed on {}", resources.join(", ")),
        )
        .remedy(remedy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::tests::{assert_helpful, codes, request};
    use crate::facts::{Profile, Proof};
    use serde_json::json;

    fn denied(action: &str, resource: &str, uncertain: bool) -> Denied {
        Denied {
            principal: "arn:aws:iam::123456789012:role/landfall-trigger-migration".into(),
            action: action.into(),
            resource: resource.into(),
            decision: "implicitDeny".into(),
            uncertain,
        }
    }

    #[test]
    fn a_profile_must_be_there_and_should_have_a_role() {
        let named = request(json!({"instanceProfile": "app"}));
        for (profile, expected) in [
            (None, Some("IAM_PROFILE_NOT_FOUND")),
            (
                Some(Profile { roles: vec![] }),
                Some("IAM_PROFILE_WITHOUT_ROLE"),
            ),
            (
                Some(Profile {
                    roles: vec!["arn:aws:iam::1:role/app".into()],
                }),
                None,
            ),
        ] {
            let facts = TargetFacts {
                profile,
                ..TargetFacts::default()
            };
            let findings = check(&named, &facts);
            assert_helpful(&findings);
            assert_eq!(codes(&findings), Vec::from_iter(expected));
        }
        assert_eq!(check(&request(json!({})), &TargetFacts::default()), []);
    }

    #[test]
    fn each_action_that_is_missing_is_told_once_with_all_its_resources() {
        let facts = TargetFacts {
            proof: Proof {
                denied: vec![
                    denied("ec2:CreateTags", "volume/*", false),
                    denied("ec2:RunInstances", "instance/*", false),
                    denied("ec2:RunInstances", "volume/*", false),
                    denied("kms:CreateGrant", "key", true),
                ],
                unproven: Some("iam:SimulatePrincipalPolicy refused".into()),
            },
            ..TargetFacts::default()
        };
        let findings = check(&request(json!({})), &facts);
        assert_helpful(&findings);
        let told: Vec<_> = findings
            .iter()
            .map(|f| (f.code.as_str(), f.is_blocking()))
            .collect();
        assert_eq!(
            told,
            [
                ("PERMISSION_MISSING", true),
                ("PERMISSION_MISSING", true),
                ("PERMISSION_MISSING", false),
                ("PERMISSIONS_NOT_PROVEN", false),
            ]
        );
        assert!(findings[1].message.contains("instance/*, volume/*"));
    }
}
