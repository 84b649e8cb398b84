//! The instance type.

use landfall_domain::Finding;
use landfall_domain::request::MigrationRequest;

use crate::facts::{Fact, TargetFacts};

/// Checks that the instance type exists in the Region and in the subnet's Availability Zone.
pub(super) fn check(request: &MigrationRequest, facts: &TargetFacts) -> Option<Finding> {
    let wanted = request.instance_type.as_deref()?;
    if facts.unread.has(Fact::Zones) {
        return None;
    }
    if facts.zones.is_empty() {
        return Some(
            Finding::blocking(
                "INSTANCE_TYPE_UNKNOWN",
                "/instanceType",
                format!("EC2 does not offer {wanted} in this Region."),
            )
            .evidence(wanted, "an instance type that EC2 offers here")
            .remedy("Choose another type, or leave instanceType out to take MGN's recommendation."),
        );
    }
    let zone = &facts.subnet.as_ref()?.zone;
    (!facts.zones.contains(zone)).then(|| {
        let mut zones = facts.zones.clone();
        zones.sort();
        let zones = zones.join(", ");
        Finding::blocking(
            "INSTANCE_TYPE_NOT_IN_AZ",
            "/instanceType",
            format!("{zone}, where the subnet is, does not offer {wanted}."),
        )
        .evidence(zone.as_str(), zones.as_str())
        .remedy(format!(
            "Choose another type, or a subnet in one of {zones}."
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::tests::{assert_helpful, request};
    use crate::facts::Subnet;
    use serde_json::json;

    #[test]
    fn the_type_must_be_offered_where_the_subnet_is() {
        let check = |wanted: Option<&str>, zones: &[&str], zone: Option<&str>, expected| {
            let facts = TargetFacts {
                zones: zones.iter().map(|zone| (*zone).to_owned()).collect(),
                subnet: zone.map(|zone| Subnet {
                    vpc_id: "vpc-1".into(),
                    zone: zone.into(),
                    cidr: "10.0.1.0/24".into(),
                }),
                ..TargetFacts::default()
            };
            let finding = super::check(&request(json!({ "instanceType": wanted })), &facts);
            assert_helpful(finding.as_slice());
            assert_eq!(finding.map(|f| f.code).as_deref(), expected, "{zones:?}");
        };
        let (unknown, elsewhere) = ("INSTANCE_TYPE_UNKNOWN", "INSTANCE_TYPE_NOT_IN_AZ");
        let (large, mega) = (Some("t3.large"), Some("t9.mega"));
        check(large, &["z-a", "z-b"], Some("z-a"), None);
        check(large, &["z-c", "z-b"], Some("z-a"), Some(elsewhere));
        check(mega, &[], Some("z-a"), Some(unknown));
        check(mega, &[], None, Some(unknown));
        check(large, &["z-b"], None, None);
        check(None, &[], Some("z-a"), None);
    }
}
