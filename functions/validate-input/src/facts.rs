//! What the checks need to know of the world, read concurrently.

use std::net::Ipv4Addr;

use aws_sdk_ec2::types::{Filter, LocationType, NetworkInterface};
use jiff::{Timestamp, ToSpan as _};
use landfall_common::AwsResultExt;
use landfall_domain::request::Step;
use landfall_domain::{ErrorName, MigrationRecord, MigrationRequest, StageError};
use landfall_mgn::{Job, Server};

use crate::Deps;

/// What was read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// The subnet the request names; `None` when it names none, or there is no such subnet.
    pub subnet: Option<Subnet>,
    /// Those of the request's security groups that exist.
    pub groups: Vec<Group>,
    /// The Availability Zones that offer the request's instance type.
    pub zones: Vec<String>,
    /// Who has the request's private address in the subnet.
    pub address_holders: Vec<AddressHolder>,
    /// Whether MGN is initialized in the account and Region.
    pub mgn_initialized: bool,
    /// The servers in MGN that are known by the request's `sourceVmId`.
    pub servers: Vec<Server>,
    /// Those that are known by it and archived; looked for only where there is no other and none will be made.
    pub archived: Vec<Server>,
    /// The unfinished jobs of the account and Region.
    pub jobs: Vec<Job>,
    /// How many servers replicate in the account and Region.
    pub replicating: usize,
    /// Other migrations of the application that have not ended.
    pub others: Vec<OtherMigration>,
}

/// A subnet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subnet {
    /// Its VPC.
    pub vpc_id: String,
    /// Its Availability Zone.
    pub zone: String,
    /// Its IPv4 block, for example `10.0.1.0/24`.
    pub cidr: String,
}

/// A security group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// `sg-…`.
    pub id: String,
    /// Its VPC.
    pub vpc_id: String,
}

/// A network interface that has an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressHolder {
    /// `eni-…`.
    pub interface_id: String,
    /// The instance it is attached to.
    pub instance_id: Option<String>,
}

/// A migration that runs beside this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherMigration {
    /// Its ID.
    pub migration_id: String,
    /// Which server it moves.
    pub source_vm_id: String,
    /// When it was accepted.
    pub created_at: String,
}

impl Facts {
    /// Reads everything at once; each read that the request gives no reason for is left out.
    ///
    /// # Errors
    /// `PrerequisiteError` when AWS refuses a read, or a transient error.
    pub async fn gather(
        deps: &Deps,
        record: &MigrationRecord,
        now: Timestamp,
    ) -> Result<Self, StageError> {
        let request = &record.request;
        let (subnet, groups, zones, address_holders, mgn, others) = tokio::join!(
            subnet(&deps.ec2, request.subnet_id.as_deref()),
            groups(&deps.ec2, &request.security_group_ids),
            zones(&deps.ec2, request.instance_type.as_deref()),
            address_holders(
                &deps.ec2,
                request.subnet_id.as_deref(),
                request.private_ip.as_deref()
            ),
            mgn(deps, request, now),
            others(deps, record),
        );
        let mgn = mgn?;
        Ok(Self {
            subnet: subnet?,
            groups: groups?,
            zones: zones?,
            address_holders: address_holders?,
            others: others?,
            ..mgn
        })
    }
}

// The reads below filter by ID instead of naming IDs: EC2 answers a call that names an unknown ID with an
// error about the first one only, and a filter with all that exist. Answers are filtered again, because a
// filter that a stand-in for EC2 does not know returns everything.

async fn subnet(ec2: &aws_sdk_ec2::Client, id: Option<&str>) -> Result<Option<Subnet>, StageError> {
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

async fn groups(ec2: &aws_sdk_ec2::Client, ids: &[String]) -> Result<Vec<Group>, StageError> {
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

async fn zones(
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

async fn address_holders(
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

/// What MGN says; the other facts are left empty.
async fn mgn(deps: &Deps, request: &MigrationRequest, now: Timestamp) -> Result<Facts, StageError> {
    // A job takes hours at most; a day is ample.
    let since = now.checked_sub(24.hours()).unwrap_or(now);
    let (initialized, servers, jobs) = tokio::join!(
        deps.mgn.is_initialized(),
        deps.mgn.all_servers(),
        deps.mgn.jobs_since(since),
    );
    if !initialized? {
        // MGN answers every other call with an error then, which says nothing more.
        return Ok(Facts::default());
    }
    let is_it =
        |server: &Server| server.user_provided_id.as_deref() == Some(request.source_vm_id.as_str());
    let all = servers?;
    let replicating = all.iter().filter(|server| replicates(server)).count();
    let servers: Vec<Server> = all.into_iter().filter(is_it).collect();
    let archived = if servers.is_empty() && !request.wants(Step::Replicate) {
        let all = deps.mgn.archived_servers().await?;
        all.into_iter().filter(is_it).collect()
    } else {
        Vec::new()
    };
    Ok(Facts {
        mgn_initialized: true,
        servers,
        archived,
        jobs: jobs?.into_iter().filter(|job| !job.completed).collect(),
        replicating,
        ..Facts::default()
    })
}

/// Whether a server counts against the quota of replicating servers.
fn replicates(server: &Server) -> bool {
    !matches!(
        server.replication.state.as_str(),
        "" | "DISCONNECTED" | "STOPPED"
    )
}

async fn others(deps: &Deps, record: &MigrationRecord) -> Result<Vec<OtherMigration>, StageError> {
    let records = deps
        .journal
        .store
        .by_app(&record.tenant_id, &record.request.app_name, None)
        .await?;
    Ok(records
        .into_iter()
        .filter(|other| other.migration_id != record.migration_id && !other.status.is_end())
        .map(|other| OtherMigration {
            migration_id: other.migration_id,
            source_vm_id: other.request.source_vm_id,
            created_at: other.created_at,
        })
        .collect())
}

fn filter<'a>(name: &str, values: impl IntoIterator<Item = &'a str>) -> Filter {
    Filter::builder()
        .name(name)
        .set_values(Some(values.into_iter().map(str::to_owned).collect()))
        .build()
}
