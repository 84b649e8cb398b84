//! What a launch template version says, made from the version before.
//!
//! What it leaves out comes from the source version. A member that it names replaces the source version's whole, so
//! lists carry over what is to stay.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::{
    LaunchTemplateBlockDeviceMapping as Mapping,
    LaunchTemplateBlockDeviceMappingRequest as MappingRequest,
    LaunchTemplateEbsBlockDevice as Volume, LaunchTemplateEbsBlockDeviceRequest as VolumeRequest,
    LaunchTemplateIamInstanceProfileSpecificationRequest,
    LaunchTemplateInstanceMetadataOptionsRequest,
    LaunchTemplateInstanceNetworkInterfaceSpecification as Interface,
    LaunchTemplateInstanceNetworkInterfaceSpecificationRequest as InterfaceRequest,
    LaunchTemplateTagSpecificationRequest, RequestLaunchTemplateData, ResourceType,
    ResponseLaunchTemplateData, Tag,
};
use landfall_domain::launch::{Disk, EffectiveSettings};

use crate::read;

/// The description of a version with these settings, made for a migration from another version. EC2 allows 255
/// characters; the longest migration ID (128) leaves room.
pub fn description(settings_digest: &str, migration_id: &str, source_version: i64) -> String {
    format!("landfall settings={settings_digest} migration={migration_id} source={source_version}")
}

/// The data of the new version.
///
/// # Errors
/// What is in the way.
pub(crate) fn data(
    base: Option<&ResponseLaunchTemplateData>,
    present: &EffectiveSettings,
    wanted: &EffectiveSettings,
) -> Result<RequestLaunchTemplateData, &'static str> {
    let interfaces = interfaces(base, present, wanted);
    let instance_level = base.is_some_and(|base| {
        !base.security_group_ids().is_empty() || !base.security_groups().is_empty()
    });
    if interfaces.is_some() && instance_level {
        return Err(
            "its default version names security groups of the instance, which EC2 refuses together with a network interface; move them to the network interface, or leave subnetId, securityGroupIds and privateIp out",
        );
    }
    let profile = wanted
        .instance_profile
        .as_deref()
        .filter(|_| wanted.instance_profile != present.instance_profile)
        .map(|name| {
            LaunchTemplateIamInstanceProfileSpecificationRequest::builder()
                .name(name)
                .build()
        });
    Ok(RequestLaunchTemplateData::builder()
        .set_instance_type(wanted.instance_type.as_deref().map(Into::into))
        .set_network_interfaces(interfaces)
        .set_iam_instance_profile(profile)
        .set_block_device_mappings(mappings(base, present, wanted))
        .set_tag_specifications(Some(tags(base, wanted)))
        .metadata_options(metadata(base, wanted))
        .build())
}

fn metadata(
    base: Option<&ResponseLaunchTemplateData>,
    wanted: &EffectiveSettings,
) -> LaunchTemplateInstanceMetadataOptionsRequest {
    let before = base.and_then(|base| base.metadata_options());
    LaunchTemplateInstanceMetadataOptionsRequest::builder()
        .set_http_tokens(wanted.http_tokens.as_deref().map(Into::into))
        .set_http_endpoint(wanted.http_endpoint.as_deref().map(Into::into))
        .set_http_put_response_hop_limit(wanted.http_hop_limit)
        .set_http_protocol_ipv6(before.and_then(|before| before.http_protocol_ipv6().cloned()))
        .set_instance_metadata_tags(
            before.and_then(|before| before.instance_metadata_tags().cloned()),
        )
        .build()
}

/// The network interfaces, where the primary one changes.
fn interfaces(
    base: Option<&ResponseLaunchTemplateData>,
    present: &EffectiveSettings,
    wanted: &EffectiveSettings,
) -> Option<Vec<InterfaceRequest>> {
    let same = present.subnet_id == wanted.subnet_id
        && present.security_group_ids == wanted.security_group_ids
        && present.private_ip == wanted.private_ip
        && present.network_interface_id == wanted.network_interface_id;
    if same {
        return None;
    }
    let others = base
        .map(ResponseLaunchTemplateData::network_interfaces)
        .unwrap_or_default()
        .iter()
        .filter(|interface| !read::is_primary(interface));
    let own = primary(base.and_then(read::primary), present, wanted);
    Some(
        std::iter::once(own)
            .chain(others.map(carried_over))
            .collect(),
    )
}

fn primary(
    base: Option<&Interface>,
    present: &EffectiveSettings,
    wanted: &EffectiveSettings,
) -> InterfaceRequest {
    let groups: Vec<String> = wanted.security_group_ids.iter().cloned().collect();
    // Where MGN copies the source's address, the template has it already, unless it is of another subnet.
    let copied = base
        .and_then(Interface::private_ip_address)
        .filter(|_| wanted.copy_private_ip && wanted.subnet_id == present.subnet_id);
    let address = wanted.private_ip.as_deref().or(copied);
    InterfaceRequest::builder()
        .device_index(0)
        .set_network_interface_id(wanted.network_interface_id.clone())
        .set_subnet_id(wanted.subnet_id.clone())
        .set_groups((!groups.is_empty()).then_some(groups))
        .set_private_ip_address(address.map(str::to_owned))
        .set_associate_public_ip_address(wanted.public_ip)
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

/// The volumes, where any of them changes.
fn mappings(
    base: Option<&ResponseLaunchTemplateData>,
    present: &EffectiveSettings,
    wanted: &EffectiveSettings,
) -> Option<Vec<MappingRequest>> {
    if present.disks == wanted.disks {
        return None;
    }
    let there = base
        .map(ResponseLaunchTemplateData::block_device_mappings)
        .unwrap_or_default();
    let named: BTreeSet<&str> = there.iter().filter_map(Mapping::device_name).collect();
    let new = wanted
        .disks
        .iter()
        .filter(|(device, _)| !named.contains(device.as_str()))
        .map(|(device, disk)| {
            MappingRequest::builder()
                .device_name(device)
                .ebs(volume(None, disk))
                .build()
        });
    let changed = there.iter().map(|mapping| {
        let disk = mapping
            .device_name()
            .and_then(|device| wanted.disks.get(device));
        let volume = disk.map(|disk| volume(mapping.ebs(), disk));
        MappingRequest::builder()
            .set_device_name(mapping.device_name().map(str::to_owned))
            .set_virtual_name(mapping.virtual_name().map(str::to_owned))
            .set_no_device(mapping.no_device().map(str::to_owned))
            .set_ebs(volume)
            .build()
    });
    Some(changed.chain(new).collect())
}

fn volume(base: Option<&Volume>, wanted: &Disk) -> VolumeRequest {
    // Whether it is encrypted goes with a key of its own; without one it is the replication's to say.
    let encrypted = base
        .and_then(Volume::encrypted)
        .filter(|_| base.and_then(Volume::kms_key_id) == wanted.kms_key_id.as_deref());
    let number = |number: Option<u32>| number.and_then(|number| i32::try_from(number).ok());
    VolumeRequest::builder()
        .set_volume_type(wanted.volume_type.as_deref().map(Into::into))
        .set_iops(number(wanted.iops))
        .set_throughput(number(wanted.throughput))
        .set_kms_key_id(wanted.kms_key_id.clone())
        .set_encrypted(encrypted)
        .set_delete_on_termination(base.and_then(Volume::delete_on_termination))
        .set_snapshot_id(base.and_then(Volume::snapshot_id).map(str::to_owned))
        .set_volume_size(base.and_then(Volume::volume_size))
        .set_volume_initialization_rate(base.and_then(Volume::volume_initialization_rate))
        .set_ebs_card_index(base.and_then(Volume::ebs_card_index))
        .build()
}

/// The tags by resource type: the wanted ones of instance and volumes, and the template's of anything else.
fn tags(
    base: Option<&ResponseLaunchTemplateData>,
    wanted: &EffectiveSettings,
) -> Vec<LaunchTemplateTagSpecificationRequest> {
    let mut by_type: BTreeMap<String, BTreeMap<String, String>> = base
        .map(ResponseLaunchTemplateData::tag_specifications)
        .unwrap_or_default()
        .iter()
        .filter_map(|specification| specification.resource_type().zip(base))
        .map(|(kind, base)| (kind.as_str().to_owned(), read::tags(base, kind)))
        .collect();
    for (kind, tags) in [
        (ResourceType::Instance, &wanted.instance_tags),
        (ResourceType::Volume, &wanted.volume_tags),
    ] {
        by_type.insert(kind.as_str().to_owned(), tags.clone());
    }
    by_type
        .into_iter()
        .map(|(kind, tags)| {
            let tags = tags
                .into_iter()
                .map(|(key, value)| Tag::builder().key(key).value(value).build())
                .collect();
            LaunchTemplateTagSpecificationRequest::builder()
                .resource_type(ResourceType::from(kind.as_str()))
                .set_tags(Some(tags))
                .build()
        })
        .collect()
}

#[cfg(test)]
mod tests;
