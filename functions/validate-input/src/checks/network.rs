//! Subnet, security groups and the fixed private address.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use landfall_domain::Finding;
use landfall_domain::request::MigrationRequest;

use crate::facts::{Fact, Subnet, TargetFacts};

/// Checks everything about the target's network.
pub(super) fn check(request: &MigrationRequest, facts: &TargetFacts) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let (Some(id), None) = (&request.subnet_id, &facts.subnet)
        && !facts.unread.has(Fact::Subnet)
    {
        findings.push(
            Finding::blocking(
                "SUBNET_NOT_FOUND",
                "/subnetId",
                format!("there is no subnet {id} in this account and Region."),
            )
            .evidence(id.as_str(), "a subnet of this account and Region")
            .remedy("Name a subnet that exists, or create it first."),
        );
    }
    if !facts.unread.has(Fact::Groups) {
        findings.extend(check_groups(request, facts));
    }
    findings.extend(check_address(request, facts));
    findings
}

fn check_groups(request: &MigrationRequest, facts: &TargetFacts) -> Vec<Finding> {
    let mut findings = Vec::new();
    // Without a subnet of its own the request cannot say which VPC is right, but two different ones never are.
    let vpc_id = match (&request.subnet_id, &facts.subnet) {
        (_, Some(subnet)) => Some(subnet.vpc_id.as_str()),
        (None, None) => facts.groups.first().map(|group| group.vpc_id.as_str()),
        (Some(_), None) => None,
    };
    for (index, id) in request.security_group_ids.iter().enumerate() {
        let pointer = format!("/securityGroupIds/{index}");
        match facts.groups.iter().find(|group| group.id == *id) {
            None => findings.push(
                Finding::blocking(
                    "SECURITY_GROUP_NOT_FOUND",
                    &pointer,
                    format!("there is no security group {id} in this account and Region."),
                )
                .evidence(id.as_str(), "a security group of the subnet's VPC")
                .remedy("Name a security group that exists, or create it first."),
            ),
            Some(group) => {
                if let Some(vpc_id) = vpc_id.filter(|vpc_id| *vpc_id != group.vpc_id) {
                    findings.push(
                        Finding::blocking(
                            "SECURITY_GROUP_WRONG_VPC",
                            &pointer,
                            format!(
                                "security group {id} is in {}, and the target goes to {vpc_id}.",
                                group.vpc_id
                            ),
                        )
                        .evidence(group.vpc_id.as_str(), vpc_id)
                        .remedy("Name security groups of the subnet's VPC only."),
                    );
                }
            }
        }
    }
    findings
}

fn check_address(request: &MigrationRequest, facts: &TargetFacts) -> Option<Finding> {
    let text = request.private_ip.as_deref()?;
    let finding = |code, message: String| Finding::blocking(code, "/privateIp", message);
    if request.subnet_id.is_none() {
        return Some(
            finding(
                "IP_OUT_OF_RANGE",
                format!("{text} has no subnet to lie in: subnetId is missing."),
            )
            .evidence(text, "an address of subnetId")
            .remedy("Give subnetId together with privateIp."),
        );
    }
    let Subnet { cidr, .. } = facts.subnet.as_ref()?;
    let usable = format!("an address of {cidr} that AWS does not reserve");
    match place(text, cidr)? {
        Place::Outside => Some(
            finding(
                "IP_OUT_OF_RANGE",
                format!("{text} is not in the subnet's block {cidr}."),
            )
            .evidence(text, usable)
            .remedy("Choose an address of the subnet, or leave privateIp out."),
        ),
        Place::Reserved => Some(
            finding(
                "IP_RESERVED",
                format!(
                    "AWS reserves {text}, as the first four and the last address of every subnet."
                ),
            )
            .evidence(text, usable)
            .remedy("Choose another address, or leave privateIp out."),
        ),
        // Whose address it is nobody can tell who does not know the server's own instance.
        Place::Usable if facts.unread.has(Fact::Servers) => None,
        Place::Usable => {
            // The instance of this server's own earlier launch gives its address up: MGN removes it first.
            let own: BTreeSet<&str> = facts
                .mgn
                .servers
                .iter()
                .filter_map(|server| server.launched.as_ref())
                .map(|launched| launched.instance_id.as_str())
                .collect();
            let holder = facts.address_holders.iter().find(|holder| {
                !holder
                    .instance_id
                    .as_deref()
                    .is_some_and(|id| own.contains(id))
            })?;
            Some(
                finding(
                    "IP_IN_USE",
                    format!(
                        "{text} belongs to network interface {}.",
                        holder.interface_id
                    ),
                )
                .evidence(
                    holder
                        .instance_id
                        .clone()
                        .unwrap_or_else(|| holder.interface_id.clone()),
                    "a free address",
                )
                .remedy("Choose a free address, or release this one first."),
            )
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Outside,
    Reserved,
    Usable,
}

/// Where an address lies; `None` when either text cannot be read, which is nothing to refuse a request for.
fn place(address: &str, cidr: &str) -> Option<Place> {
    let address = u32::from(address.parse::<Ipv4Addr>().ok()?);
    let (network, length) = cidr.split_once('/')?;
    let network = u32::from(network.parse::<Ipv4Addr>().ok()?);
    let length: u32 = length.parse().ok().filter(|length| *length <= 32)?;
    let mask = u32::MAX.checked_shl(32 - length).unwrap_or(0);
    if address & mask != network & mask {
        return Some(Place::Outside);
    }
    let (offset, last) = (address & !mask, !mask);
    if offset < 4 || offset == last {
        Some(Place::Reserved)
    } else {
        Some(Place::Usable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::tests::{assert_helpful, codes, request};
    use crate::facts::{AddressHolder, Group};
    use serde_json::json;

    fn group(id: &str, vpc_id: &str) -> Group {
        Group {
            id: id.into(),
            vpc_id: vpc_id.into(),
        }
    }

    fn facts() -> TargetFacts {
        TargetFacts {
            subnet: Some(Subnet {
                vpc_id: "vpc-1".into(),
                zone: "eu-central-1a".into(),
                cidr: "10.0.1.0/24".into(),
            }),
            groups: vec![group("sg-0a1b2c3d", "vpc-1")],
            ..TargetFacts::default()
        }
    }

    #[test]
    fn the_network_must_exist_and_fit_together() {
        let check = |change: fn(&mut TargetFacts), fields: serde_json::Value, expected: &[&str]| {
            let mut facts = facts();
            change(&mut facts);
            let findings = super::check(&request(fields), &facts);
            assert_helpful(&findings);
            assert_eq!(codes(&findings), expected);
        };
        check(|_| {}, json!({}), &[]);
        check(|f| f.subnet = None, json!({}), &["SUBNET_NOT_FOUND"]);
        check(
            |f| f.groups.clear(),
            json!({}),
            &["SECURITY_GROUP_NOT_FOUND"],
        );
        check(
            |f| f.groups = vec![group("sg-0a1b2c3d", "vpc-2")],
            json!({}),
            &["SECURITY_GROUP_WRONG_VPC"],
        );
        check(
            |f| {
                f.subnet = None;
                f.groups = vec![group("sg-0a1b2c3d", "vpc-2")];
            },
            json!({"securityGroupIds": ["sg-0a1b2c3d", "sg-ffffffff"]}),
            &["SUBNET_NOT_FOUND", "SECURITY_GROUP_NOT_FOUND"],
        );
        // No subnet asked for: the groups must at least agree with each other.
        check(
            |f| {
                f.subnet = None;
                f.groups.push(group("sg-00000002", "vpc-2"));
            },
            json!({"subnetId": null, "securityGroupIds": ["sg-0a1b2c3d", "sg-00000002"]}),
            &["SECURITY_GROUP_WRONG_VPC"],
        );
    }

    #[test]
    fn a_fixed_address_must_be_free_and_the_subnet_s() {
        let check = |address: &str, holder: Option<&str>, expected: &[&str]| {
            let mut facts = facts();
            facts.address_holders = holder
                .map(|id| AddressHolder {
                    interface_id: id.into(),
                    instance_id: None,
                })
                .into_iter()
                .collect();
            let findings = super::check(&request(json!({"privateIp": address})), &facts);
            assert_helpful(&findings);
            assert_eq!(codes(&findings), expected, "{address}");
        };
        check("10.0.1.10", None, &[]);
        check("10.0.2.10", None, &["IP_OUT_OF_RANGE"]);
        check("10.0.1.3", None, &["IP_RESERVED"]);
        check("10.0.1.255", None, &["IP_RESERVED"]);
        check("10.0.1.10", Some("eni-1"), &["IP_IN_USE"]);
        let alone = super::check(
            &request(json!({"subnetId": null, "securityGroupIds": [], "privateIp": "10.0.1.10"})),
            &TargetFacts::default(),
        );
        assert_eq!(codes(&alone), ["IP_OUT_OF_RANGE"]);
    }

    #[test]
    fn the_address_of_the_server_s_own_test_instance_is_free() {
        let mut facts = facts();
        facts.address_holders = vec![AddressHolder {
            interface_id: "eni-1".into(),
            instance_id: Some("i-1".into()),
        }];
        facts.mgn.servers = vec![crate::checks::server::tests::launched("i-1")];
        let request = request(json!({"privateIp": "10.0.1.10"}));
        assert!(super::check(&request, &facts).is_empty());
        facts.mgn.servers = vec![crate::checks::server::tests::launched("i-2")];
        assert_eq!(codes(&super::check(&request, &facts)), ["IP_IN_USE"]);
    }

    #[test]
    fn addresses_have_a_place_in_a_block() {
        for (address, cidr, expected) in [
            ("10.0.0.0", "10.0.0.0/28", Some(Place::Reserved)),
            ("10.0.0.4", "10.0.0.0/28", Some(Place::Usable)),
            ("10.0.0.14", "10.0.0.0/28", Some(Place::Usable)),
            ("10.0.0.15", "10.0.0.0/28", Some(Place::Reserved)),
            ("10.0.0.16", "10.0.0.0/28", Some(Place::Outside)),
            ("9.9.9.9", "0.0.0.0/0", Some(Place::Usable)),
            ("10.0.0.4", "10.0.0.0/33", None),
            ("10.0.0.4", "nonsense", None),
            ("::1", "10.0.0.0/24", None),
        ] {
            assert_eq!(place(address, cidr), expected, "{address} in {cidr}");
        }
    }
}
