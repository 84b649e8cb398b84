use super::*;
use aws_sdk_ec2::types::{
    LaunchTemplateIamInstanceProfileSpecification, LaunchTemplateInstanceMetadataOptions,
    LaunchTemplateInstanceMetadataTagsState, LaunchTemplateTagSpecification, VolumeType,
};
use landfall_domain::launch::differences;
use landfall_domain::request::MigrationRequest;
use landfall_mgn::{LaunchConfiguration, ReplicatedDisk, ReplicationConfiguration};
use serde_json::{Value, json};

#[path = "../../tests/support/mod.rs"]
mod support;

fn request(changes: Value) -> MigrationRequest {
    let mut request = json!({
        "migrationId": "mig-1", "appName": "app", "source": "azure", "target": "aws",
        "environment": "prod", "wave": "wave-1", "sourceVmId": "vm-1", "steps": ["replicate"],
    });
    if let (Value::Object(request), Value::Object(changes)) = (&mut request, changes) {
        request.extend(changes);
    }
    serde_json::from_value(request).unwrap()
}

/// A template as MGN makes it, with a second interface, tags and a profile that somebody added.
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
    let volume = |device: &str| {
        let volume = Volume::builder()
            .volume_type(VolumeType::Gp3)
            .iops(3_000)
            .throughput(125)
            .volume_size(8)
            .delete_on_termination(true)
            .build();
        Mapping::builder().device_name(device).ebs(volume).build()
    };
    let tag = |key: &str, value: &str| Tag::builder().key(key).value(value).build();
    let tags = |kind, tag| {
        LaunchTemplateTagSpecification::builder()
            .resource_type(kind)
            .tags(tag)
            .build()
    };
    let profile = "arn:aws:iam::123456789012:instance-profile/apps/web";
    ResponseLaunchTemplateData::builder()
        .instance_type("c5.large".into())
        .network_interfaces(interface(1, "subnet-second"))
        .network_interfaces(interface(0, "subnet-old"))
        .block_device_mappings(volume("/dev/sda"))
        .block_device_mappings(volume("/dev/sdb"))
        .tag_specifications(tags(ResourceType::Instance, tag("Name", "web-01")))
        .tag_specifications(tags(ResourceType::NetworkInterface, tag("net", "1")))
        .iam_instance_profile(
            LaunchTemplateIamInstanceProfileSpecification::builder()
                .arn(profile)
                .build(),
        )
        .metadata_options(
            LaunchTemplateInstanceMetadataOptions::builder()
                .instance_metadata_tags(LaunchTemplateInstanceMetadataTagsState::Enabled)
                .build(),
        )
        .build()
}

fn replication() -> ReplicationConfiguration {
    let disk = |name: &str| ReplicatedDisk {
        device_name: name.into(),
        boot: name.ends_with('a'),
    };
    ReplicationConfiguration {
        encryption_key: None,
        disks: ["/dev/sda", "/dev/sdb", "/dev/sdc"].map(disk).into(),
    }
}

struct Settings {
    before: EffectiveSettings,
    wanted: EffectiveSettings,
    data: RequestLaunchTemplateData,
    after: EffectiveSettings,
}

/// Brings a template to what the request wants; what MGN keeps itself is as it is wanted.
fn brought(base: &ResponseLaunchTemplateData, copies: bool, changes: Value) -> Settings {
    let request = request(changes);
    let method = if request.instance_type.is_some() {
        "NONE"
    } else {
        "BASIC"
    };
    let configuration = LaunchConfiguration {
        template_id: None,
        right_sizing: Some(method.into()),
        copy_private_ip: copies && request.private_ip.is_none(),
    };
    let read = |data| read::settings(&configuration, &replication(), Some(data));
    let before = read(base);
    let devices = read::devices(&replication(), Some(base));
    let wanted = before.wanted(&devices, &request, None).unwrap();
    let data = data(Some(base), &before, &wanted).unwrap();
    let after = read(&support::stored(Some(base), &data));
    Settings {
        before,
        wanted,
        data,
        after,
    }
}

#[test]
fn a_version_has_the_settings_that_are_wanted() {
    for changes in [
        json!({}),
        json!({"instanceType": "t3.large"}),
        json!({"subnetId": "subnet-new"}),
        json!({"subnetId": "subnet-new", "securityGroupIds": ["sg-2", "sg-1"], "privateIp": "10.1.0.7"}),
        json!({"securityGroupIds": ["sg-new"]}),
        json!({"privateIp": "10.0.0.10"}),
        json!({"instanceProfile": "db"}),
        json!({"targetVmName": "app-01", "tags": {"Environment": "prod"}}),
        json!({"disks": [
            {"deviceName": "/dev/sdb", "volumeType": "io1", "iops": 200},
            {"deviceName": "/dev/sdc", "volumeType": "gp3", "iops": 4_000, "throughput": 500},
        ]}),
    ] {
        for copies in [false, true] {
            let seen = brought(&base(), copies, changes.clone());
            let left = differences(&seen.after, &seen.wanted);
            assert_eq!(left, vec![], "{changes} copies={copies}");
            assert!(seen.before != seen.wanted, "{changes}");
        }
    }
}

#[test]
fn what_the_request_is_silent_about_is_not_named() {
    let data = brought(&base(), false, json!({})).data;
    assert!(data.network_interfaces.is_none());
    assert!(data.block_device_mappings.is_none());
    assert!(data.instance_type().is_none());
    assert!(data.iam_instance_profile().is_none());
    // The profile that the template has by its ARN is the one that is named.
    let same = brought(&base(), false, json!({"instanceProfile": "web"}));
    assert!(same.data.iam_instance_profile().is_none());
}

#[test]
fn only_what_still_fits_is_kept_of_the_primary_interface() {
    let primary = |copies, changes| {
        let data = brought(&base(), copies, changes).data;
        assert_eq!(
            data.network_interfaces()[1].subnet_id(),
            Some("subnet-second")
        );
        data.network_interfaces()[0].clone()
    };
    let moved = primary(false, json!({"subnetId": "subnet-new"}));
    assert_eq!(moved.subnet_id(), Some("subnet-new"));
    assert!(moved.groups().is_empty());
    assert_eq!(moved.private_ip_address(), None);
    assert_eq!(moved.associate_public_ip_address(), Some(false));
    let regrouped = primary(false, json!({"securityGroupIds": ["sg-new"]}));
    assert_eq!(regrouped.subnet_id(), Some("subnet-old"));
    assert_eq!(regrouped.groups(), ["sg-new"]);
    assert_eq!(regrouped.private_ip_address(), Some("10.0.0.9"));
    let addressed = primary(false, json!({"privateIp": "10.0.0.10"}));
    assert_eq!(addressed.groups(), ["sg-old"]);
    assert_eq!(addressed.private_ip_address(), Some("10.0.0.10"));
    // What MGN copies it may keep where it is, and copies anew elsewhere.
    let copied = primary(true, json!({"securityGroupIds": ["sg-new"]}));
    assert_eq!(copied.private_ip_address(), Some("10.0.0.9"));
    let copied = primary(true, json!({"subnetId": "subnet-new"}));
    assert_eq!(copied.private_ip_address(), None);
}

#[test]
fn a_volume_keeps_its_size_and_what_else_the_request_cannot_say() {
    let disks = json!([{"deviceName": "/dev/sdb", "volumeType": "gp2"}, {"deviceName": "/dev/sdc", "volumeType": "st1"}]);
    let data = brought(&base(), false, json!({ "disks": disks })).data;
    let mappings = data.block_device_mappings();
    let names: Vec<_> = mappings.iter().filter_map(|m| m.device_name()).collect();
    assert_eq!(names, ["/dev/sda", "/dev/sdb", "/dev/sdc"]);
    let volumes: Vec<_> = mappings.iter().filter_map(|m| m.ebs()).collect();
    assert_eq!(volumes[0].volume_type(), Some(&VolumeType::Gp3));
    assert_eq!(
        (volumes[0].iops(), volumes[0].throughput()),
        (Some(3_000), Some(125))
    );
    assert_eq!(volumes[1].volume_type(), Some(&VolumeType::Gp2));
    assert_eq!((volumes[1].iops(), volumes[1].throughput()), (None, None));
    assert_eq!(
        (volumes[1].volume_size(), volumes[1].delete_on_termination()),
        (Some(8), Some(true))
    );
    assert_eq!(volumes[2].volume_type(), Some(&VolumeType::St1));
    assert_eq!(volumes[2].volume_size(), None);
}

#[test]
fn a_volume_s_own_key_gives_way_to_the_request_s_with_its_encryption() {
    let mut base = base();
    let mappings = base.block_device_mappings.as_mut().unwrap();
    let volume = mappings[0].ebs.as_mut().unwrap();
    volume.kms_key_id = Some("arn:own".into());
    volume.encrypted = Some(true);
    let before = read::settings(&LaunchConfiguration::default(), &replication(), Some(&base));
    let devices = read::devices(&replication(), Some(&base));
    let named = |key| before.wanted(&devices, &request(json!({})), key).unwrap();
    let silent = data(Some(&base), &before, &named(None)).unwrap();
    assert!(silent.block_device_mappings.is_none());
    let own = data(Some(&base), &before, &named(Some("arn:new"))).unwrap();
    let volume = own.block_device_mappings()[0].ebs().unwrap();
    assert_eq!((volume.kms_key_id(), volume.encrypted()), (None, None));
}

#[test]
fn the_request_s_tags_lie_over_the_template_s() {
    let changes = json!({"targetVmName": "app-01", "tags": {"Environment": "prod"}});
    let data = brought(&base(), false, changes).data;
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
    let expected = [
        "Environment=prod",
        "Name=app-01",
        "landfall:migrationId=mig-1",
        "landfall:sourceVmId=vm-1",
    ];
    assert_eq!(of(ResourceType::Instance), expected);
    assert_eq!(of(ResourceType::Volume), expected);
    assert_eq!(of(ResourceType::NetworkInterface), ["net=1"]);
}

#[test]
fn imdsv2_is_required_and_the_template_s_other_choices_stay() {
    let data = brought(&base(), false, json!({})).data;
    let options = data.metadata_options().unwrap();
    assert_eq!(options.http_tokens().unwrap().as_str(), "required");
    assert_eq!(options.http_endpoint().unwrap().as_str(), "enabled");
    assert_eq!(options.http_put_response_hop_limit(), Some(2));
    assert_eq!(
        options.instance_metadata_tags(),
        Some(&LaunchTemplateInstanceMetadataTagsState::Enabled)
    );
}

#[test]
fn security_groups_of_the_instance_are_in_the_way_of_an_interface() {
    let base = ResponseLaunchTemplateData::builder()
        .security_group_ids("sg-old")
        .build();
    let before = read::settings(&LaunchConfiguration::default(), &replication(), Some(&base));
    assert!(before.security_group_ids.contains("sg-old"));
    let check = |changes| {
        let wanted = before.wanted(&BTreeMap::new(), &request(changes), None);
        data(Some(&base), &before, &wanted.unwrap())
    };
    assert!(check(json!({})).is_ok());
    let problem = check(json!({"subnetId": "subnet-new"}));
    assert!(
        problem
            .unwrap_err()
            .contains("security groups of the instance")
    );
}

#[test]
fn what_mgn_sets_as_it_likes_is_no_setting() {
    let read = |method: &str, copies| {
        let configuration = LaunchConfiguration {
            template_id: None,
            right_sizing: Some(method.into()),
            copy_private_ip: copies,
        };
        read::settings(&configuration, &replication(), Some(&base()))
    };
    let chosen = read("NONE", false);
    assert_eq!(chosen.instance_type.as_deref(), Some("c5.large"));
    assert_eq!(chosen.private_ip.as_deref(), Some("10.0.0.9"));
    let left = read("BASIC", true);
    assert_eq!((left.instance_type, left.private_ip), (None, None));
}

#[test]
fn the_longest_description_fits() {
    let text = description(&"d".repeat(64), &"m".repeat(128), i64::from(u32::MAX));
    assert!(text.len() <= 255, "{}", text.len());
}
