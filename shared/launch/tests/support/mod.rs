//! What EC2 makes of the data of a new launch template version, for the tests that share it by `#[path]`.

use aws_sdk_ec2::types::{
    LaunchTemplateBlockDeviceMapping as Mapping, LaunchTemplateEbsBlockDevice as Volume,
    LaunchTemplateIamInstanceProfileSpecification as Profile,
    LaunchTemplateInstanceMetadataOptions as Metadata,
    LaunchTemplateInstanceNetworkInterfaceSpecification as Interface,
    LaunchTemplateTagSpecification as Tags, RequestLaunchTemplateData, ResponseLaunchTemplateData,
};

/// The data of a version made from `base`: what the request names replaces what there was, whole.
pub(crate) fn stored(
    base: Option<&ResponseLaunchTemplateData>,
    request: &RequestLaunchTemplateData,
) -> ResponseLaunchTemplateData {
    let mut data = base
        .cloned()
        .unwrap_or_else(|| ResponseLaunchTemplateData::builder().build());
    let given = request.clone();
    data.instance_type = given.instance_type.or(data.instance_type);
    data.network_interfaces = given
        .network_interfaces
        .map(|all| all.iter().map(interface).collect())
        .or(data.network_interfaces);
    data.block_device_mappings = given
        .block_device_mappings
        .map(|all| all.iter().map(mapping).collect())
        .or(data.block_device_mappings);
    data.iam_instance_profile = given
        .iam_instance_profile
        .map(|it| Profile::builder().set_arn(it.arn).set_name(it.name).build())
        .or(data.iam_instance_profile);
    data.tag_specifications = given
        .tag_specifications
        .map(|all| all.into_iter().map(tags).collect())
        .or(data.tag_specifications);
    data.metadata_options = given
        .metadata_options
        .map(metadata)
        .or(data.metadata_options);
    data
}

fn interface(
    from: &aws_sdk_ec2::types::LaunchTemplateInstanceNetworkInterfaceSpecificationRequest,
) -> Interface {
    let from = from.clone();
    Interface::builder()
        .set_device_index(from.device_index)
        .set_network_interface_id(from.network_interface_id)
        .set_subnet_id(from.subnet_id)
        .set_groups(from.groups)
        .set_private_ip_address(from.private_ip_address)
        .set_associate_public_ip_address(from.associate_public_ip_address)
        .set_delete_on_termination(from.delete_on_termination)
        .build()
}

fn mapping(from: &aws_sdk_ec2::types::LaunchTemplateBlockDeviceMappingRequest) -> Mapping {
    let from = from.clone();
    let volume = from.ebs.map(|ebs| {
        Volume::builder()
            .set_encrypted(ebs.encrypted)
            .set_delete_on_termination(ebs.delete_on_termination)
            .set_iops(ebs.iops)
            .set_kms_key_id(ebs.kms_key_id)
            .set_volume_size(ebs.volume_size)
            .set_volume_type(ebs.volume_type)
            .set_throughput(ebs.throughput)
            .build()
    });
    Mapping::builder()
        .set_device_name(from.device_name)
        .set_virtual_name(from.virtual_name)
        .set_no_device(from.no_device)
        .set_ebs(volume)
        .build()
}

fn tags(from: aws_sdk_ec2::types::LaunchTemplateTagSpecificationRequest) -> Tags {
    Tags::builder()
        .set_resource_type(from.resource_type)
        .set_tags(from.tags)
        .build()
}

fn metadata(from: aws_sdk_ec2::types::LaunchTemplateInstanceMetadataOptionsRequest) -> Metadata {
    Metadata::builder()
        .set_http_tokens(from.http_tokens)
        .set_http_endpoint(from.http_endpoint)
        .set_http_put_response_hop_limit(from.http_put_response_hop_limit)
        .set_http_protocol_ipv6(from.http_protocol_ipv6)
        .set_instance_metadata_tags(from.instance_metadata_tags)
        .build()
}
