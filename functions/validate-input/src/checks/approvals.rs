//! Whether the people whom the request names can be enough.

use landfall_domain::gate::{ApprovalRule, Caller};
use landfall_domain::{Finding, MigrationRequest};

/// Checks every rule of the request. A role is as many people as it has sessions, so only users and single sessions are
/// counted; whoever asks for the migration is not.
pub(super) fn check(request: &MigrationRequest) -> Vec<Finding> {
    let rules = request.policy.approvals.iter().enumerate();
    rules
        .filter_map(|(index, rule)| {
            let people = people(request, rule)?;
            let wanted = usize::try_from(rule.count).unwrap_or(usize::MAX);
            (people < wanted).then(|| {
                Finding::blocking(
                    "APPROVERS_TOO_FEW",
                    &format!("/policy/approvals/{index}/approvers"),
                    format!(
                        "the gate {} wants {} agreements, and {people} of those it names can give one.",
                        rule.gate.as_str(),
                        rule.count
                    ),
                )
                .evidence(people, rule.count)
                .remedy("Name more approvers, or a role; whoever asks for a migration does not count.")
            })
        })
        .collect()
}

/// How many people a rule names; `None` where a role is among them.
fn people(request: &MigrationRequest, rule: &ApprovalRule) -> Option<usize> {
    let mut names: Vec<&String> = rule.approvers.iter().chain(&rule.escalate_to).collect();
    if names.iter().any(|name| name.contains(":role/")) {
        return None;
    }
    names.sort_unstable();
    names.dedup();
    let asks = |name: &str| {
        let caller = Caller {
            arn: name.to_owned(),
            id: String::new(),
        };
        request
            .requested_by
            .as_deref()
            .is_some_and(|it| caller.is(it))
    };
    Some(names.iter().filter(|name| !asks(name)).count())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::tests::{assert_helpful, request};
    use serde_json::{Value, json};

    #[test]
    fn whoever_asks_does_not_count_and_a_role_is_many() {
        let user = |name: &str| format!("arn:aws:iam::123456789012:user/{name}");
        let role = "arn:aws:iam::123456789012:role/Managers".to_owned();
        let rule = |names: &[String], count: u32| json!({"gate": "cutover", "approvers": names, "count": count});
        let table: Vec<(Value, Option<&str>, bool)> = vec![
            (rule(&[user("ann")], 1), None, true),
            (rule(&[user("ann")], 2), None, false),
            (rule(&[user("ann")], 1), Some("ann"), false),
            (rule(&[user("ann"), user("bob")], 1), Some("ann"), true),
            (rule(&[user("ann"), user("ann")], 2), None, false),
            (rule(std::slice::from_ref(&role), 2), Some("ann"), true),
        ];
        for (rule, asks, good) in table {
            let mut changes = json!({"policy": {"approvals": [rule]}});
            if let Some(name) = asks {
                changes["requestedBy"] = user(name).into();
            }
            let findings = check(&request(changes));
            assert_helpful(&findings);
            assert_eq!(findings.is_empty(), good, "{rule} asked by {asks:?}");
        }
    }
}
