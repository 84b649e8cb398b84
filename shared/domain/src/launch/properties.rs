//! What holds for any settings and any request.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::tests::devices;
use super::{Disk, EffectiveSettings, differences};
use crate::record::tests::request;
use crate::request::{DiskSettings, MigrationRequest, VolumeType};

fn some(texts: &'static [&'static str]) -> impl Strategy<Value = Option<String>> {
    proptest::option::of(proptest::sample::select(texts).prop_map(str::to_owned))
}

fn texts(texts: &'static [&'static str]) -> impl Strategy<Value = Vec<String>> {
    proptest::sample::subsequence(texts.to_vec(), 0..=texts.len())
        .prop_map(|chosen| chosen.into_iter().map(str::to_owned).collect())
}

fn any_disk() -> impl Strategy<Value = Disk> {
    let kind = some(&["gp2", "gp3", "io1"]);
    let iops = proptest::option::of(100_u32..9_000);
    (kind, iops, some(&["arn:own"])).prop_map(|(volume_type, iops, kms_key_id)| Disk {
        volume_type,
        iops,
        throughput: None,
        kms_key_id,
    })
}

fn any_settings() -> impl Strategy<Value = EffectiveSettings> {
    let network = (
        some(&["subnet-1", "subnet-2"]),
        texts(&["sg-1", "sg-2", "sg-3"]),
        some(&["10.0.0.1", "10.0.0.2"]),
        any::<bool>(),
        proptest::option::of(any::<bool>()),
        some(&["eni-1"]),
    );
    let machine = (
        proptest::sample::select(vec!["NONE", "BASIC", "IN_AWS"]),
        some(&["t3.large", "m5.large"]),
        some(&["web", "db"]),
        proptest::option::of(1_i32..64),
        some(&["required", "optional"]),
    );
    let disks = (any_disk(), any_disk());
    let tags = texts(&["a", "b", "Name"]);
    (network, machine, disks, tags, some(&["arn:1", "arn:2"])).prop_map(
        |(network, machine, (first, second), tags, encryption_key)| {
            let tags: BTreeMap<_, _> = tags.into_iter().map(|tag| (tag, "v".into())).collect();
            EffectiveSettings {
                right_sizing: machine.0.into(),
                instance_type: machine.1,
                network_interface_id: network.5,
                subnet_id: network.0,
                security_group_ids: network.1.into_iter().collect(),
                private_ip: network.2,
                copy_private_ip: network.3,
                public_ip: network.4,
                instance_profile: machine.2,
                disks: [
                    ("/dev/sda".to_owned(), first),
                    ("/dev/sdb".to_owned(), second),
                ]
                .into(),
                instance_tags: tags.clone(),
                volume_tags: tags,
                http_tokens: machine.4,
                http_endpoint: None,
                http_hop_limit: machine.3,
                encryption_key,
            }
        },
    )
}

fn any_request() -> impl Strategy<Value = MigrationRequest> {
    let network = (
        some(&["subnet-1", "subnet-2"]),
        texts(&["sg-1", "sg-2", "sg-3"]),
        some(&["10.0.0.1", "10.0.0.2"]),
    );
    let kinds = vec![VolumeType::Gp2, VolumeType::Gp3, VolumeType::Standard];
    let disk = proptest::option::of(proptest::sample::select(kinds));
    (
        network,
        some(&["t3.large", "m5.large"]),
        some(&["web", "db"]),
        texts(&["a", "b", "Name"]),
        disk,
    )
        .prop_map(|(network, instance_type, instance_profile, tags, disk)| {
            let mut request = request();
            request.subnet_id = network.0;
            request.security_group_ids = network.1;
            request.private_ip = network.2;
            request.instance_type = instance_type;
            request.instance_profile = instance_profile;
            request.tags = tags.into_iter().map(|tag| (tag, "w".into())).collect();
            request.disks = disk
                .map(|volume_type| DiskSettings {
                    device_name: "/dev/sdb".into(),
                    volume_type,
                    iops: None,
                    throughput: None,
                })
                .into_iter()
                .collect();
            request
        })
}

proptest! {
    #[test]
    fn nothing_differs_from_itself(settings in any_settings()) {
        prop_assert_eq!(differences(&settings, &settings), vec![]);
    }

    #[test]
    fn what_is_wanted_is_wanted_no_more_once_it_is_there(
        present in any_settings(), request in any_request(), key in some(&["arn:1", "arn:3"])
    ) {
        let wanted = present.wanted(&devices(), &request, key.as_deref()).unwrap();
        let again = wanted.wanted(&devices(), &request, key.as_deref()).unwrap();
        prop_assert_eq!(differences(&wanted, &again), vec![]);
        prop_assert_eq!(again, wanted);
    }

    #[test]
    fn the_digest_is_equal_exactly_where_nothing_differs(one in any_settings(), other in any_settings()) {
        let same = one.digest().unwrap() == other.digest().unwrap();
        prop_assert_eq!(same, differences(&one, &other).is_empty());
    }

    #[test]
    fn every_difference_names_a_member_and_both_of_its_values(one in any_settings(), other in any_settings()) {
        let there = differences(&one, &other);
        let back = differences(&other, &one);
        prop_assert_eq!(there.len(), back.len());
        for (a, b) in there.iter().zip(&back) {
            prop_assert_eq!((&a.field, &a.present, &a.wanted), (&b.field, &b.wanted, &b.present));
            prop_assert!(a.present != a.wanted);
        }
    }
}
