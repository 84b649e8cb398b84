//! What a launch template version says: the request's settings over those of the version it is made from.

use std::collections::BTreeMap;

use aws_sdk_ec2::types::{
    LaunchTemplateHttpTokensState, LaunchTemplateIamInstanceProfileSpecificationRequest,
    LaunchTemplateInstanceMetadataEndpointState, LaunchTemplateInstanceMetadataOptionsRequest,
    LaunchTemplateInstanceNetworkInterfaceSpecification as Interface,
    LaunchTemplateInstanceNetworkInterfaceSpecificationRequest as InterfaceRequest,
    LaunchTemplateTagSpecificationRequest, LaunchTemplateVersion, RequestLaunchTemplateData,
    ResourceType, ResponseLaunchTemplateData, Tag,
};
use landfall_domain::MigrationRecord;
use landfall_domain::request::MigrationRequest;

/// The tag of the target that names the migration.
const MIGRATION_TAG: &str = "landfall:migrationId";
/// The tag of the target that names its source.
const SOURCE_TAG: &str = "landfall:sourceVmId";

/// How the description of a version begins that has these settings for this migration.
pub(crate) fn mark(settings_digest: &str, migration_id: &str) -> String {
    format!("landfall settings={settings_digest} migration={migration_id} ")
}

/// The description of a version made from another one. EC2 allows 255 characters; the longest migration ID
/// (128) leaves room.
pub(crate) fn description(mark: &str, source_version: i64) -> String {
    format!("{mark}source={source_version}")
}

/// Whether a version was made with these settings.
pub(crate) fn carries(version: &LaunchTemplateVersion, mark: &str) -> bool {
    version
        .version_description()
        .is_some_and(|description| description.starts_with(mark))
}

/// The data of the new version. What it leaves out comes from the source version; a member that it names
/// replaces the source version's whole, so lists carry over what is to stay.
///
/// # Errors
/// What is in the way.
pub(crate) fn data(
    base: Option<&ResponseLaunchTemplateData>,
    record: &MigrationRecord,
) -> Result<RequestLaunchTemplateData, &'static str> {
    let request = &record.request;
    let interfaces = interfaces(base, request);
    let instance_level = base.is_some_and(|base| {
        !base.security_group_ids().is_empty() || !base.security_groups().is_empty()
    });
    if interfaces.is_some() && instance_level {
        return Err(
            "its default version names security groups of the instance, which EC2 refuses together with a network interface; move them to the network interface, or leave subnetId, securityGroupIds and privateIp out",
        );
    }
    let metadata = LaunchTemplateInstanceMetadataOptionsRequest::builder()
        .http_tokens(LaunchTemplateHttpTokensState::Required)
        .http_endpoint(LaunchTemplateInstanceMetadataEndpointState::Enabled)
        .build();
    let profile = request.instance_profile.as_deref().map(|name| {
        LaunchTemplateIamInstanceProfileSpecificationRequest::builder()
            .name(name)
            .build()
    });
    Ok(RequestLaunchTemplateData::builder()
        .set_instance_type(request.instance_type.as_deref().map(Into::into))
        .set_network_interfaces(interfaces)
        .set_iam_instance_profile(profile)
        .set_tag_specifications(Some(tags(base, record)))
        .metadata_options(metadata)
        .build())
}

/// The network interfaces, where the request says anything about the network.
fn interfaces(
    base: Option<&ResponseLaunchTemplateData>,
    request: &MigrationRequest,
) -> Option<Vec<InterfaceRequest>> {
    if request.subnet_id.is_none()
        && request.security_group_ids.is_empty()
        && request.private_ip.is_none()
    {
        return None;
    }
    let existing = base
        .map(ResponseLaunchTemplateData::network_interfaces)
        .unwrap_or_default();
    let primary = existing
        .iter()
        .find(|interface| interface.device_index().unwrap_or(0) == 0);
    let others = existing
        .iter()
        .filter(|interface| interface.device_index().unwrap_or(0) != 0);
    Some(
        std::iter::once(primary_interface(primary, request))
            .chain(others.map(carried_over))
            .collect(),
    )
}

fn primary_interface(base: Option<&Interface>, request: &MigrationRequest) -> InterfaceRequest {
    let subnet_before = base.and_then(Interface::subnet_id);
    let subnet = request.subnet_id.as_deref().or(subnet_before);
    // In another subnet the groups of the old one may be of the wrong VPC, and its address is out of range.
    let moved = subnet != subnet_before;
    let groups = if request.security_group_ids.is_empty() && !moved {
        base.map(Interface::groups).unwrap_or_default()
    } else {
        &request.security_group_ids
    };
    let address = request.private_ip.as_deref().or_else(|| {
        base.and_then(Interface::private_ip_address)
            .filter(|_| !moved)
    });
    InterfaceRequest::builder()
        .device_index(0)
        .set_subnet_id(subnet.map(str::to_owned))
        .set_groups((!groups.is_empty()).then(|| groups.to_vec()))
        .set_private_ip_address(address.map(str::to_owned))
        .set_associate_public_ip_address(base.and_then(Interface::associate_public_ip_address))
        .delete_on_termination(
            base.and_then(Interface::delete_on_termination)
                .unwrap_or(true),
        )
        .build()
}

fn carried_over(base: &Interface) -> InterfaceRequest {
    InterfaceRequest::builder()
        .set_device_index(base.device_index())
        .set_network_interface_id(base.network_interface_id().map(str::to_owned))
        .set_subnet_id(base.subnet_id().map(str::to_owned))
        .set_groups((!base.groups().is_empty()).then(|| base.groups().to_vec()))
        .set_private_ip_address(base.private_ip_address().map(str::to_owned))
        .set_description(base.description().map(str::to_owned))
        .set_interface_type(base.interface_type().map(str::to_owned))
        .set_network_card_index(base.network_card_index())
        .set_delete_on_termination(base.delete_on_termination())
        .build()
}

/// The tags by resource type: those of the source version (MGN finds its instances by its own), and over
/// them, on instances and volumes, the request's.
fn tags(
    base: Option<&ResponseLaunchTemplateData>,
    record: &MigrationRecord,
) -> Vec<LaunchTemplateTagSpecificationRequest> {
    let mut by_type: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for specification in base
        .map(ResponseLaunchTemplateData::tag_specifications)
        .unwrap_or_default()
    {
        let Some(resource_type) = specification.resource_type() else {
            continue;
        };
        let tags = by_type
            .entry(resource_type.as_str().to_owned())
            .or_default();
        for tag in specification.tags() {
            if let Some(key) = tag.key() {
                tags.insert(key.to_owned(), tag.value().unwrap_or_default().to_owned());
            }
        }
    }
    let wanted = wanted_tags(record);
    for resource_type in [ResourceType::Instance, ResourceType::Volume] {
        by_type
            .entry(resource_type.as_str().to_owned())
            .or_default()
            .extend(wanted.clone());
    }
    by_type
        .into_iter()
        .map(|(resource_type, tags)| {
            let tags = tags
                .into_iter()
                .map(|(key, value)| Tag::builder().key(key).value(value).build())
                .collect();
            LaunchTemplateTagSpecificationRequest::builder()
                .resource_type(ResourceType::from(resource_type.as_str()))
                .set_tags(Some(tags))
                .build()
        })
        .collect()
}

fn wanted_tags(record: &MigrationRecord) -> BTreeMap<String, String> {
    let request = &record.request;
    let mut tags = request.tags.clone();
    if let Some(name) = &request.target_vm_name {
        tags.insert("Name".to_owned(), name.clone());
    }
    tags.insert(MIGRATION_TAG.to_owned(), request.migration_id.clone());
    tags.insert(SOURCE_TAG.to_owned(), request.source_vm_id.clone());
    tags
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_ec2::types::LaunchTemplateTagSpecification;
    use serde_json::{Value, json};

    fn record(changes: Value) -> MigrationRecord {
        let mut request = json!({
            "migrationId": "mig-1", "appName": "app", "source": "azure", "target": "aws",
            "environment": "prod", "wave": "wave-1", "sourceVmId": "vm-1", "steps": ["replicate"],
        });
        if let (Value::Object(request), Value::Object(changes)) = (&mut request, changes) {
            request.extend(changes);
        }
        let at = "2026-11-21T11:59:00Z";
        serde_json::from_value(json!({
            "tenantId": "default", "migrationId": "mig-1", "attempt": 1, "version": 1,
            "status": "READY_FOR_TEST", "correlationId": "c-1", "request": request, "requestDigest": "d",
            "eventSeq": 1, "eventHash": "h", "createdAt": at, "updatedAt": at, "statusSince": at,
        }))
        .unwrap()
    }

    fn base() -> ResponseLaunchTemplateData {
        let interface = |index, subnet: &str| {
            Interface::builder()
                .device_index(index)
                .subnet_id(subnet)
                .groups("sg-old")
                .private_ip_address("10.0.0.9")
                .associate_public_ip_address(false)
                .build()
        };
        let tag = |key: &str, value: &str| Tag::builder().key(key).value(value).build();
        let instance_tags = LaunchTemplateTagSpecification::builder()
            .resource_type(ResourceType::Instance)
            .tags(tag("Name", "web-01"))
            .tags(tag("mgn", "1"))
            .build();
        ResponseLaunchTemplateData::builder()
            .network_interfaces(interface(1, "subnet-second"))
            .network_interfaces(interface(0, "subnet-old"))
            .tag_specifications(instance_tags)
            .build()
    }

    #[test]
    fn a_request_without_a_network_leaves_the_template_s() {
        let data = data(Some(&base()), &record(json!({}))).unwrap();
        assert!(data.network_interfaces.is_none());
        assert!(data.instance_type().is_none());
    }

    #[test]
    fn only_what_still_fits_is_kept_of_the_primary_interface() {
        let primary = |changes| {
            let data = data(Some(&base()), &record(changes)).unwrap();
            assert_eq!(
                data.network_interfaces()[1].subnet_id(),
                Some("subnet-second")
            );
            data.network_interfaces()[0].clone()
        };
        let moved = primary(json!({"subnetId": "subnet-new"}));
        assert_eq!(moved.subnet_id(), Some("subnet-new"));
        assert!(moved.groups().is_empty());
        assert_eq!(moved.private_ip_address(), None);
        assert_eq!(moved.associate_public_ip_address(), Some(false));
        let regrouped = primary(json!({"securityGroupIds": ["sg-new"]}));
        assert_eq!(regrouped.subnet_id(), Some("subnet-old"));
        assert_eq!(regrouped.groups(), ["sg-new"]);
        assert_eq!(regrouped.private_ip_address(), Some("10.0.0.9"));
        let addressed = primary(json!({"privateIp": "10.0.0.10"}));
        assert_eq!(addressed.groups(), ["sg-old"]);
        assert_eq!(addressed.private_ip_address(), Some("10.0.0.10"));
    }

    #[test]
    fn the_request_s_tags_lie_over_the_template_s() {
        let record = record(json!({"targetVmName": "app-01", "tags": {"Environment": "prod"}}));
        let data = data(Some(&base()), &record).unwrap();
        let of = |kind: ResourceType| {
            let specification = data
                .tag_specifications()
                .iter()
                .find(|s| s.resource_type() == Some(&kind));
            let pairs = specification.unwrap().tags().iter();
            pairs
                .map(|tag| format!("{}={}", tag.key().unwrap(), tag.value().unwrap()))
                .collect::<Vec<_>>()
        };
        let ours = ["landfall:migrationId=mig-1", "landfall:sourceVmId=vm-1"];
        assert_eq!(
            of(ResourceType::Instance),
            ["Environment=prod", "Name=app-01", ours[0], ours[1], "mgn=1"]
        );
        assert_eq!(
            of(ResourceType::Volume),
            ["Environment=prod", "Name=app-01", ours[0], ours[1]]
        );
    }

    #[test]
    fn security_groups_of_the_instance_are_in_the_way_of_an_interface() {
        let base = ResponseLaunchTemplateData::builder()
            .security_group_ids("sg-old")
            .build();
        assert!(data(Some(&base), &record(json!({}))).is_ok());
        let problem = data(Some(&base), &record(json!({"subnetId": "subnet-new"})));
        assert!(
            problem
                .unwrap_err()
                .contains("security groups of the instance")
        );
    }

    #[test]
    fn the_longest_description_fits() {
        let mark = mark(&"d".repeat(64), &"m".repeat(128));
        assert!(description(&mark, i64::from(u32::MAX)).len() <= 255);
        let version = LaunchTemplateVersion::builder()
            .version_description(description(&mark, 3))
            .build();
        assert!(carries(&version, &mark));
        assert!(!carries(&version, &super::mark(&"d".repeat(64), "m")));
    }
}
