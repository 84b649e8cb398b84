//! From MGN's and EC2's shapes to the settings a launch has.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::{
    LaunchTemplateBlockDeviceMapping, LaunchTemplateEbsBlockDevice,
    LaunchTemplateInstanceMetadataOptions,
    LaunchTemplateInstanceNetworkInterfaceSpecification as Interface, ResourceType,
    ResponseLaunchTemplateData,
};
use landfall_domain::launch::{Device, Disk, EffectiveSettings, RIGHT_SIZING_OFF};
use landfall_mgn::{LaunchConfiguration, ReplicationConfiguration};

/// What a launch would be made with.
pub(crate) fn settings(
    configuration: &LaunchConfiguration,
    replication: &ReplicationConfiguration,
    data: Option<&ResponseLaunchTemplateData>,
) -> EffectiveSettings {
    let right_sizing = configuration.right_sizing.clone().unwrap_or_default();
    let interface = data.and_then(primary);
    let metadata = data.and_then(|data| data.metadata_options());
    EffectiveSettings {
        // Elsewise MGN chooses, and may choose anew every hour.
        instance_type: data
            .and_then(|data| data.instance_type())
            .filter(|_| right_sizing == RIGHT_SIZING_OFF)
            .map(|kind| kind.as_str().to_owned()),
        right_sizing,
        network_interface_id: interface
            .and_then(Interface::network_interface_id)
            .map(str::to_owned),
        subnet_id: interface.and_then(Interface::subnet_id).map(str::to_owned),
        security_group_ids: data.map(groups).unwrap_or_default(),
        private_ip: interface
            .and_then(Interface::private_ip_address)
            .filter(|_| !configuration.copy_private_ip)
            .map(str::to_owned),
        copy_private_ip: configuration.copy_private_ip,
        public_ip: interface.and_then(Interface::associate_public_ip_address),
        instance_profile: data.and_then(profile),
        disks: data.map(disks).unwrap_or_default(),
        instance_tags: data
            .map(|data| tags(data, &ResourceType::Instance))
            .unwrap_or_default(),
        volume_tags: data
            .map(|data| tags(data, &ResourceType::Volume))
            .unwrap_or_default(),
        http_tokens: metadata
            .and_then(|options| options.http_tokens())
            .map(|tokens| tokens.as_str().to_owned()),
        http_endpoint: metadata
            .and_then(|options| options.http_endpoint())
            .map(|endpoint| endpoint.as_str().to_owned()),
        http_hop_limit: metadata
            .and_then(LaunchTemplateInstanceMetadataOptions::http_put_response_hop_limit),
        encryption_key: replication.encryption_key.clone(),
    }
}

/// The disks of the source: those that MGN replicates, for what else the template has is disregarded in a launch.
pub(crate) fn devices(
    replication: &ReplicationConfiguration,
    data: Option<&ResponseLaunchTemplateData>,
) -> BTreeMap<String, Device> {
    let volumes: BTreeMap<&str, &LaunchTemplateEbsBlockDevice> =
        data.map(|data| volumes(data).collect()).unwrap_or_default();
    replication
        .disks
        .iter()
        .map(|disk| {
            let size = volumes
                .get(disk.device_name.as_str())
                .and_then(|volume| volume.volume_size());
            let device = Device {
                size_gib: size.and_then(|size| u32::try_from(size).ok()),
                boot: disk.boot,
            };
            (disk.device_name.clone(), device)
        })
        .collect()
}

/// The interface that the instance is reached by.
pub(crate) fn primary(data: &ResponseLaunchTemplateData) -> Option<&Interface> {
    data.network_interfaces().iter().find(|it| is_primary(it))
}

/// Whether it is the first; EC2 may leave out the index.
pub(crate) fn is_primary(interface: &Interface) -> bool {
    interface.device_index().unwrap_or(0) == 0
}

fn groups(data: &ResponseLaunchTemplateData) -> BTreeSet<String> {
    let own = primary(data).map(Interface::groups).unwrap_or_default();
    let groups = if own.is_empty() {
        data.security_group_ids()
    } else {
        own
    };
    groups.iter().cloned().collect()
}

/// The profile's name: a template may have its ARN, `arn:aws:iam::…:instance-profile/path/name`, instead.
fn profile(data: &ResponseLaunchTemplateData) -> Option<String> {
    let profile = data.iam_instance_profile()?;
    let name = profile
        .name()
        .or_else(|| profile.arn()?.rsplit('/').next())?;
    Some(name.to_owned())
}

fn volumes(
    data: &ResponseLaunchTemplateData,
) -> impl Iterator<Item = (&str, &LaunchTemplateEbsBlockDevice)> {
    data.block_device_mappings()
        .iter()
        .filter_map(|mapping: &LaunchTemplateBlockDeviceMapping| {
            Some((mapping.device_name()?, mapping.ebs()?))
        })
}

fn disks(data: &ResponseLaunchTemplateData) -> BTreeMap<String, Disk> {
    let positive = |number: Option<i32>| number.and_then(|number| u32::try_from(number).ok());
    volumes(data)
        .map(|(device, volume)| {
            let disk = Disk {
                volume_type: volume.volume_type().map(|kind| kind.as_str().to_owned()),
                iops: positive(volume.iops()),
                throughput: positive(volume.throughput()),
                kms_key_id: volume.kms_key_id().map(str::to_owned),
            };
            (device.to_owned(), disk)
        })
        .collect()
}

/// The template's tags for one kind of resource.
pub(crate) fn tags(
    data: &ResponseLaunchTemplateData,
    kind: &ResourceType,
) -> BTreeMap<String, String> {
    data.tag_specifications()
        .iter()
        .filter(|specification| specification.resource_type() == Some(kind))
        .flat_map(aws_sdk_ec2::types::LaunchTemplateTagSpecification::tags)
        .filter_map(|tag| {
            Some((
                tag.key()?.to_owned(),
                tag.value().unwrap_or_default().to_owned(),
            ))
        })
        .collect()
}
