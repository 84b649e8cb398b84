//! The target's network, as EC2 tells of it.

use std::net::Ipv4Addr;

use aws_sdk_ec2::types::{Filter, LocationType, NetworkInterface};
use landfall_common::AwsResultExt;
use landfall_domain::{ErrorName, StageError};

use super::{AddressHolder, Group, Subnet};

// The reads below filter by ID instead of naming IDs: EC2 answers a call that names an unknown ID with an
// error about the first one only, and a filter with all that exist. Answers are filtered again, because a
// filter that a stand-in for EC2 does not know returns everything.

pub(super) async fn subnet(
    ec2: &aws_sdk_ec2::Client,
    id: Option<&str>,
) -> Result<Option<Subnet>, StageError> {
    let Some(id) = id else { return Ok(None) };
    let answer = ec2
        .describe_subnets()
        .filters(filter("subnet-id", [id]))
        .send()
        .await
        .or_stage(ErrorName::PrerequisiteError, "ec2:DescribeSubnets")?;
    Ok(answer
        .subnets()
        .iter()
        .find(|subnet| subnet.subnet_id() == Some(id))
        .map(|subnet| Subnet {
            vpc_id: subnet.vpc_id().unwrap_or_default().to_owned(),
            zone: subnet.availability_zone().unwrap_or_default().to_owned(),
            cidr: subnet.cidr_block().unwrap_or_default().to_owned(),
        }))
}

pub(super) async fn groups(
    ec2: &aws_sdk_ec2::Client,
    ids: &[String],
) -> Result<Vec<Group>, StageError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let answer = ec2
        .describe_security_groups()
        .filters(filter("group-id", ids.iter().map(String::as_str)))
        .send()
        .await
        .or_stage(ErrorName::PrerequisiteError, "ec2:DescribeSecurityGroups")?;
    Ok(answer
        .security_groups()
        .iter()
        .filter_map(|group| {
            let id = group.group_id()?;
            ids.iter().any(|wanted| wanted == id).then(|| Group {
                id: id.to_owned(),
                vpc_id: group.vpc_id().unwrap_or_default().to_owned(),
            })
        })
        .collect())
}

pub(super) async fn zones(
    ec2: &aws_sdk_ec2::Client,
    instance_type: Option<&str>,
) -> Result<Vec<String>, StageError> {
    let Some(wanted) = instance_type else {
        return Ok(Vec::new());
    };
    let answer = ec2
        .describe_instance_type_offerings()
        .location_type(LocationType::AvailabilityZone)
        .filters(filter("instance-type", [wanted]))
        .send()
        .await
        .or_stage(
            ErrorName::PrerequisiteError,
            "ec2:DescribeInstanceTypeOfferings",
        )?;
    Ok(answer
        .instance_type_offerings()
        .iter()
        .filter(|offering| {
            offering
                .instance_type()
                .is_some_and(|t| t.as_str() == wanted)
        })
        .filter_map(|offering| offering.location().map(str::to_owned))
        .collect())
}

pub(super) async fn address_holders(
    ec2: &aws_sdk_ec2::Client,
    subnet_id: Option<&str>,
    address: Option<&str>,
) -> Result<Vec<AddressHolder>, StageError> {
    let (Some(subnet_id), Some(address)) = (subnet_id, address) else {
        return Ok(Vec::new());
    };
    let answer = ec2
        .describe_network_interfaces()
        .filters(filter("subnet-id", [subnet_id]))
        .filters(filter("addresses.private-ip-address", [address]))
        .send()
        .await
        .or_stage(
            ErrorName::PrerequisiteError,
            "ec2:DescribeNetworkInterfaces",
        )?;
    Ok(answer
        .network_interfaces()
        .iter()
        .filter(|interface| interface.subnet_id() == Some(subnet_id) && has(interface, address))
        .map(|interface| AddressHolder {
            interface_id: interface
                .network_interface_id()
                .unwrap_or_default()
                .to_owned(),
            instance_id: interface
                .attachment()
                .and_then(|attachment| attachment.instance_id())
                .map(str::to_owned),
        })
        .collect())
}

/// Compares addresses and not texts: `10.0.0.010` is no other host than `10.0.0.10` to a reader.
fn has(interface: &NetworkInterface, address: &str) -> bool {
    let wanted: Option<Ipv4Addr> = address.parse().ok();
    interface
        .private_ip_address()
        .into_iter()
        .chain(
            interface
                .private_ip_addresses()
                .iter()
                .filter_map(|entry| entry.private_ip_address()),
        )
        .any(|text| text == address || (wanted.is_some() && text.parse().ok() == wanted))
}

fn filter<'a>(name: &str, values: impl IntoIterator<Item = &'a str>) -> Filter {
    Filter::builder()
        .name(name)
        .set_values(Some(values.into_iter().map(str::to_owned).collect()))
        .build()
}
