//! Whether the people whom the request names can be enough.

use landfall_domain::gate::{ApprovalRule, Caller};
use landfall_domain::{Finding, MigrationRequest};

/// Checks every rule of the request.
pub(super) fn check(request: &MigrationRequest) -> Vec<Finding> {
    let rules = request.policy.approvals.iter().enumerate();
    rules
        .flat_map(|(index, rule)| {
            let path = format!("/policy/approvals/{index}");
            let too_few = too_few(request, rule, &path);
            too_few.into_iter().chain(too_late(rule, &path))
        })
        .collect()
}

/// A role is as many people as it has sessions, so only users and single sessions are counted; whoever asks for the migration
/// is not.
fn too_few(request: &MigrationRequest, rule: &ApprovalRule, path: &str) -> Option<Finding> {
    let people = people(request, rule)?;
    let wanted = usize::try_from(rule.count).unwrap_or(usize::MAX);
    (people < wanted).then(|| {
        Finding::blocking(
            "APPROVERS_TOO_FEW",
            &format!("{path}/approvers"),
            format!(
                "the gate {} wants the agreement of {}, and {people} of those it names can give it.",
                rule.gate.as_str(),
                rule.count
            ),
        )
        .evidence(people, rule.count)
        .remedy("Name more approvers, or a role; whoever asks for a migration does not count.")
    })
}

/// The gate would close before the others are asked.
fn too_late(rule: &ApprovalRule, path: &str) -> Option<Finding> {
    let (after, deadline) = (rule.escalate_after_seconds?, rule.deadline_seconds);
    (after >= deadline).then(|| {
        Finding::blocking(
            "ESCALATION_TOO_LATE",
            &format!("{path}/escalateAfterSeconds"),
            format!(
                "the gate {} closes after {deadline} s without a decision, and escalateTo would be asked after {after} s.",
                rule.gate.as_str()
            ),
        )
        .evidence(after, format!("less than {deadline}"))
        .remedy("Ask the others sooner, or give the gate more time with deadlineSeconds.")
    })
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

    #[test]
    fn the_others_are_asked_while_the_gate_is_open() {
        let user = "arn:aws:iam::123456789012:user/ann";
        let table = [
            (
                json!({"escalateAfterSeconds": 599, "deadlineSeconds": 600}),
                true,
            ),
            (
                json!({"escalateAfterSeconds": 600, "deadlineSeconds": 600}),
                false,
            ),
            // The deadline is a day where none is given.
            (json!({"escalateAfterSeconds": 86_399}), true),
            (json!({"escalateAfterSeconds": 86_400}), false),
        ];
        for (mut rule, good) in table {
            rule["gate"] = "cutover".into();
            rule["approvers"] = json!([user]);
            rule["escalateTo"] = json!(["arn:aws:iam::123456789012:role/OnCall"]);
            let findings = check(&request(json!({"policy": {"approvals": [rule]}})));
            assert_helpful(&findings);
            let codes: Vec<_> = findings
                .iter()
                .map(|it| (&*it.code, &*it.pointer))
                .collect();
            let late = (
                "ESCALATION_TOO_LATE",
                "/policy/approvals/0/escalateAfterSeconds",
            );
            assert_eq!(codes, if good { vec![] } else { vec![late] }, "{rule}");
        }
    }
}
