//! What this release does not do: it refuses rather than ignores.

use landfall_domain::Finding;
use landfall_domain::request::{Account, MigrationRequest};

/// Refuses what is not built yet, and accounts and Regions other than the deployment's own.
pub(super) fn check(request: &MigrationRequest, execution_arn: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !request.policy.approvals.is_empty() {
        findings.push(
            not_available(
                "/policy/approvals",
                "approval gates are not available in this release.",
            )
            .remedy("Leave policy.approvals out and approve before you submit."),
        );
    }
    if request.policy.window.is_some() {
        findings.push(
            not_available(
                "/policy/window",
                "cutover windows are not available in this release.",
            )
            .remedy("Leave policy.window out and submit the switch when the window opens."),
        );
    }
    if let Some(account) = &request.account {
        findings.extend(check_account(account, execution_arn));
    }
    findings
}

fn check_account(account: &Account, execution_arn: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some((region, id)) = place_of(execution_arn) {
        for (pointer, name, found, wanted) in [
            ("/account/id", "account", &account.id, id),
            ("/account/region", "Region", &account.region, region),
        ] {
            if found != wanted {
                findings.push(
                    not_available(
                        pointer,
                        &format!("{name} {found} is not the one Landfall runs in; this release migrates only into its own."),
                    )
                    .evidence(found.as_str(), wanted)
                    .remedy(format!(
                        "Submit to a deployment of Landfall in {name} {found}, or leave account out to migrate into {wanted}."
                    )),
                );
            }
        }
    }
    for (pointer, given) in [
        ("/account/roleArn", account.role_arn.is_some()),
        ("/account/externalId", account.external_id.is_some()),
    ] {
        if given {
            findings.push(
                not_available(
                    pointer,
                    "assuming a role in the target account is not available in this release.",
                )
                .remedy("Leave account.roleArn and account.externalId out."),
            );
        }
    }
    findings
}

fn not_available(pointer: &str, message: &str) -> Finding {
    Finding::blocking("FEATURE_NOT_AVAILABLE", pointer, message)
}

/// The Region and the account of an ARN.
fn place_of(arn: &str) -> Option<(&str, &str)> {
    let mut parts = arn.split(':').skip(3);
    let (region, account) = (parts.next()?, parts.next()?);
    (!region.is_empty() && !account.is_empty()).then_some((region, account))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::tests::{assert_helpful, request};
    use serde_json::{Value, json};

    const ARN: &str =
        "arn:aws:states:eu-central-1:123456789012:execution:landfall-migration:mig-12345-1";

    #[test]
    fn what_is_not_built_is_refused() {
        let own = |extra: Value| {
            let mut account = json!({"id": "123456789012", "region": "eu-central-1"});
            account
                .as_object_mut()
                .unwrap()
                .extend(extra.as_object().unwrap().clone());
            json!({ "account": account })
        };
        let table: [(Value, &[&str]); 8] = [
            (json!({}), &[]),
            (own(json!({})), &[]),
            (own(json!({"id": "999999999999"})), &["/account/id"]),
            (own(json!({"region": "us-east-1"})), &["/account/region"]),
            (
                own(json!({"roleArn": "arn:aws:iam::123456789012:role/x", "externalId": "abc"})),
                &["/account/roleArn", "/account/externalId"],
            ),
            (
                json!({"policy": {"approvals": [{"gate": "cutover"}]}}),
                &["/policy/approvals"],
            ),
            (
                json!({"policy": {"window": {"start": "x"}}}),
                &["/policy/window"],
            ),
            (json!({"policy": {"approvals": []}}), &[]),
        ];
        for (changes, expected) in table {
            let findings = check(&request(changes.clone()), ARN);
            assert_helpful(&findings);
            assert!(findings.iter().all(|f| f.code == "FEATURE_NOT_AVAILABLE"));
            let pointers: Vec<&str> = findings.iter().map(|f| f.pointer.as_str()).collect();
            assert_eq!(pointers, expected, "{changes}");
        }
    }

    #[test]
    fn an_arn_has_a_place() {
        assert_eq!(place_of(ARN), Some(("eu-central-1", "123456789012")));
        assert_eq!(place_of("arn:aws:states"), None);
        assert_eq!(place_of("arn:aws:iam::1:role/x"), None);
    }
}
