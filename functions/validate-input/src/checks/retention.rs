//! What is to become of the source once the migration has succeeded.

use landfall_domain::Finding;
use landfall_domain::decommission::obstacle;
use landfall_domain::gate::{DeploymentRules, Gate};
use landfall_domain::request::{MigrationRequest, Step};

/// Refuses an end of the source that nobody could agree to, or that could not be carried out.
pub(super) fn check(
    request: &MigrationRequest,
    rules: &DeploymentRules,
    removable: &[String],
) -> Vec<Finding> {
    let Some(retention) = &request.policy.retention else {
        return Vec::new();
    };
    let mut findings = Vec::new();
    if !request.wants(Step::Switch) {
        findings.push(
            Finding::blocking(
                "RETENTION_WITHOUT_SWITCH",
                "/policy/retention",
                "the source is to be archived, and the request asks for no switch to the target.",
            )
            .remedy("Ask for the step switch, or leave policy.retention out."),
        );
    }
    if !retention.decommission_source {
        return findings;
    }
    if rules.of(request, Gate::Decommission).is_empty() {
        findings.push(
            Finding::blocking(
                "DECOMMISSION_UNAPPROVED",
                "/policy/retention/decommissionSource",
                "the source is to be deleted, and no rule says who must agree to it.",
            )
            .remedy("Add a rule for the gate decommission to policy.approvals, or leave decommissionSource out."),
        );
    }
    findings.extend(obstacle(request, removable));
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::tests::{assert_helpful, codes, request};
    use serde_json::{Value, json};

    #[test]
    fn a_source_is_deleted_only_where_somebody_agrees_and_somebody_can() {
        let azure = json!({
            "kind": "azure", "credentialsSecretId": "s", "subscriptionId": "s", "resourceGroup": "g"
        });
        let rule =
            json!({"gate": "decommission", "approvers": ["arn:aws:iam::123456789012:user/a"]});
        let other = json!({"gate": "finalize", "approvers": ["arn:aws:iam::123456789012:user/a"]});
        let policy = |decommission: bool, rules: &[&Value]| {
            json!({
                "approvals": rules,
                "retention": {"archiveAfterDays": 30, "decommissionSource": decommission},
            })
        };
        let unapproved = "DECOMMISSION_UNAPPROVED";
        let impossible = "DECOMMISSION_NOT_POSSIBLE";
        let table: [(Value, &[&str]); 7] = [
            (json!({}), &[]),
            (json!({"policy": policy(false, &[])}), &[]),
            (
                json!({"policy": policy(true, &[&rule]), "sourceControl": azure}),
                &[],
            ),
            (
                json!({"policy": policy(true, &[&other]), "sourceControl": azure}),
                &[unapproved],
            ),
            (json!({"policy": policy(true, &[&rule])}), &[impossible]),
            (
                json!({"policy": policy(true, &[])}),
                &[unapproved, impossible],
            ),
            (
                json!({"policy": policy(false, &[]), "steps": ["validate"]}),
                &["RETENTION_WITHOUT_SWITCH"],
            ),
        ];
        for (changes, expected) in table {
            let findings = check(&request(changes.clone()), &DeploymentRules::default(), &[]);
            assert_helpful(&findings);
            assert_eq!(codes(&findings), expected, "{changes}");
            assert!(findings.iter().all(Finding::is_blocking));
        }
    }

    #[test]
    fn a_rule_of_the_deployment_counts_for_its_environment() {
        let rules: DeploymentRules = serde_json::from_value(json!({
            "prod": [{"gate": "decommission", "approvers": ["arn:aws:iam::123456789012:user/a"]}]
        }))
        .unwrap();
        let request = |environment: &str| {
            request(json!({
                "environment": environment,
                "policy": {"retention": {"archiveAfterDays": 1, "decommissionSource": true}},
                "sourceControl": {
                    "kind": "azure", "credentialsSecretId": "s", "subscriptionId": "s", "resourceGroup": "g"
                },
            }))
        };
        assert!(check(&request("prod"), &rules, &[]).is_empty());
        let refused = check(&request("test"), &rules, &[]);
        assert_eq!(codes(&refused), ["DECOMMISSION_UNAPPROVED"]);
    }
}
