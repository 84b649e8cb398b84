//! What AWS refused to tell: a check that cannot be made is not one that was passed.

use landfall_domain::request::MigrationRequest;
use landfall_domain::{Finding, WorkflowPlan};

use super::encryption;
use crate::facts::{Fact, TargetFacts};

/// A finding for each fact that could not be read, and on which something rests.
pub(super) fn check(request: &MigrationRequest, facts: &TargetFacts) -> Vec<Finding> {
    let plan = WorkflowPlan::of(request);
    let matters = |fact| match fact {
        Fact::EbsDefault => encryption::default_matters(request, facts),
        Fact::Jobs => plan.validate || plan.switch,
        _ => true,
    };
    let role = request
        .account
        .as_ref()
        .and_then(|account| account.role_arn.as_deref());
    let role = role.unwrap_or("the pre-flight's own role");
    facts
        .unread
        .iter()
        .filter(|(fact, _)| matters(*fact))
        .map(|(fact, why)| {
            let (pointer, unchecked) = meaning(fact);
            Finding::blocking(
                "READ_REFUSED",
                pointer,
                format!("{why}. Not checked: {unchecked}."),
            )
            .evidence(why, "an answer")
            .remedy(format!(
                "Allow {role} this call, in its own policies and in those of its organization and boundary, then submit again."
            ))
        })
        .collect()
}

/// The request's field that a fact is read for, and what nobody knows without it.
const fn meaning(fact: Fact) -> (&'static str, &'static str) {
    match fact {
        Fact::Subnet => (
            "/subnetId",
            "that the subnet exists, its VPC, its zone and its block",
        ),
        Fact::Groups => (
            "/securityGroupIds",
            "that the security groups exist and are of the subnet's VPC",
        ),
        Fact::Zones => ("/instanceType", "that the subnet's zone offers the type"),
        Fact::AddressHolders => ("/privateIp", "that nobody has the address"),
        Fact::Key => ("/kmsKeyId", "that EBS can encrypt with the key"),
        Fact::EbsDefault => ("", "that EBS can encrypt with the account's default key"),
        Fact::Profile => (
            "/instanceProfile",
            "that the instance profile exists and has a role, which may be passed on",
        ),
        Fact::Initialized => ("", "that MGN is initialized in the account and Region"),
        Fact::Servers => (
            "/sourceVmId",
            "that MGN has the server, once, in a state that allows the steps, and the quota of replicating servers",
        ),
        Fact::Jobs => (
            "/sourceVmId",
            "that no unfinished job has the server, and the quotas of jobs",
        ),
        Fact::Launch => (
            "/sourceVmId",
            "that its disks can become what the request wants, and that the key is no other than the present one",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::tests::{assert_helpful, request};
    use serde_json::json;

    #[test]
    fn each_names_the_call_what_is_unknown_and_whom_to_allow_it() {
        let mut facts = TargetFacts::default();
        let refused = "ec2:DescribeSubnets refused: UnauthorizedOperation";
        facts.unread.note(Fact::Subnet, refused);
        let refused = "ec2:GetEbsEncryptionByDefault refused: X";
        facts.unread.note(Fact::EbsDefault, refused);
        let at_home = check(&request(json!({})), &facts);
        assert_helpful(&at_home);
        let pointers: Vec<_> = at_home.iter().map(|it| it.pointer.as_str()).collect();
        assert_eq!(pointers, ["/subnetId", ""]);
        assert!(at_home[0].message.contains("ec2:DescribeSubnets refused"));
        assert!(at_home[0].message.contains("its VPC"));
        assert!(at_home[0].remedy.contains("own role"));
        let role = "arn:aws:iam::222222222222:role/landfall-target";
        let account = json!({"id": "222222222222", "region": "eu-west-1", "roleArn": role});
        let there = check(&request(json!({ "account": account })), &facts);
        assert!(there[0].remedy.contains(role));
    }

    #[test]
    fn what_nothing_rests_on_is_not_told() {
        let mut facts = TargetFacts::default();
        facts.unread.note(Fact::EbsDefault, "refused");
        facts.unread.note(Fact::Jobs, "refused");
        let told = |changes| check(&request(changes), &facts).len();
        assert_eq!(told(json!({})), 2);
        assert_eq!(told(json!({"kmsKeyId": "alias/own"})), 1);
        assert_eq!(told(json!({"steps": ["replicate"]})), 1);
        assert_eq!(
            told(json!({"steps": ["replicate"], "kmsKeyId": "alias/own"})),
            0
        );
    }
}
