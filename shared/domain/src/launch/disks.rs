//! Which volumes the disks of a source may become.
//!
//! Limits: https://docs.aws.amazon.com/ebs/latest/userguide/ebs-volume-types.html. What one member alone says is
//! checked by the schema; here is what takes two, or the disk itself.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use crate::finding::Finding;
use crate::launch::Disk;
use crate::request::{DiskSettings, MigrationRequest, VolumeType};

/// What a `gp3` volume has without being provisioned with more.
const GP3_IOPS: u32 = 3_000;
/// How many IOPS a `gp3` volume must have for each MiB/s.
const GP3_IOPS_PER_MIB: u32 = 4;

/// A disk of the source, as far as the limits of volumes ask for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Device {
    /// In GiB; absent where neither MGN nor the template tells it.
    pub size_gib: Option<u32>,
    /// Whether the source boots from it.
    pub boot: bool,
}

/// The sizes of a type in GiB, and how many IOPS it may have for each.
const fn limits(volume_type: VolumeType) -> (RangeInclusive<u32>, Option<u32>) {
    match volume_type {
        VolumeType::Gp2 => (1..=16_384, None),
        VolumeType::Gp3 => (1..=65_536, Some(500)),
        VolumeType::Io1 => (4..=16_384, Some(50)),
        VolumeType::Io2 => (4..=65_536, Some(1_000)),
        VolumeType::St1 | VolumeType::Sc1 => (125..=16_384, None),
        VolumeType::Standard => (1..=1_024, None),
    }
}

/// What is wrong with the request's disks whatever the source is: for the pre-flight, which may not know it yet.
pub fn check_disks(request: &MigrationRequest) -> Vec<Finding> {
    let mut seen = BTreeSet::new();
    let mut findings = Vec::new();
    for (index, disk) in request.disks.iter().enumerate() {
        if !seen.insert(disk.device_name.as_str()) {
            findings.push(
                Finding::blocking(
                    "DISK_NAMED_TWICE",
                    &pointer(index, "deviceName"),
                    format!("{} is named by two entries.", disk.device_name),
                )
                .evidence(disk.device_name.as_str(), "one entry for each disk")
                .remedy("Leave one of the two out."),
            );
        }
        findings.extend(throughput(index, disk));
    }
    findings
}

fn throughput(index: usize, disk: &DiskSettings) -> Option<Finding> {
    let wanted = disk.throughput?;
    let iops = disk.iops.unwrap_or(GP3_IOPS);
    let most = iops / GP3_IOPS_PER_MIB;
    (wanted > most).then(|| {
        Finding::blocking(
            "DISK_THROUGHPUT_TOO_HIGH",
            &pointer(index, "throughput"),
            format!("{wanted} MiB/s are more than a volume with {iops} IOPS can have."),
        )
        .evidence(wanted, most)
        .remedy(format!(
            "Lower it to {most}, or raise iops to {}.",
            wanted.saturating_mul(GP3_IOPS_PER_MIB)
        ))
    })
}

/// Lays what the request says of disks over those there are.
pub(super) fn apply(
    disks: &mut BTreeMap<String, Disk>,
    devices: &BTreeMap<String, Device>,
    request: &MigrationRequest,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, wanted) in request.disks.iter().enumerate() {
        let Some(device) = devices.get(&wanted.device_name) else {
            findings.push(not_found(index, &wanted.device_name, devices));
            continue;
        };
        findings.extend(fits(index, wanted, *device));
        let disk = disks.entry(wanted.device_name.clone()).or_default();
        // Type, IOPS and throughput belong together: what the request leaves out of them is EC2's default.
        *disk = Disk {
            volume_type: Some(wanted.volume_type.as_str().to_owned()),
            iops: wanted.iops,
            throughput: wanted.throughput,
            kms_key_id: disk.kms_key_id.take(),
        };
    }
    findings
}

fn not_found(index: usize, name: &str, devices: &BTreeMap<String, Device>) -> Finding {
    let known: Vec<&str> = devices.keys().map(String::as_str).collect();
    let known = if known.is_empty() {
        "none".to_owned()
    } else {
        known.join(", ")
    };
    Finding::blocking(
        "DISK_NOT_FOUND",
        &pointer(index, "deviceName"),
        format!("the source has no disk {name} that is replicated; it has {known}."),
    )
    .evidence(name, known)
    .remedy("Name a disk that is replicated, or leave the entry out: no volume can be added to a target.")
}

/// What speaks against a type for a disk.
fn fits(index: usize, wanted: &DiskSettings, device: Device) -> Vec<Finding> {
    let name = &wanted.device_name;
    let kind = wanted.volume_type.as_str();
    let (sizes, iops_per_gib) = limits(wanted.volume_type);
    let mut findings = Vec::new();
    if device.boot && matches!(wanted.volume_type, VolumeType::St1 | VolumeType::Sc1) {
        findings.push(
            Finding::blocking(
                "DISK_NOT_BOOTABLE",
                &pointer(index, "volumeType"),
                format!("the source boots from {name}, and no instance boots from {kind}."),
            )
            .evidence(kind, "gp2, gp3, io1, io2 or standard")
            .remedy("Choose another type for this disk."),
        );
    }
    let Some(size) = device.size_gib else {
        return findings;
    };
    if !sizes.contains(&size) {
        let allowed = format!("{} to {} GiB", sizes.start(), sizes.end());
        findings.push(
            Finding::blocking(
                "DISK_SIZE_NOT_ALLOWED",
                &pointer(index, "volumeType"),
                format!("{name} has {size} GiB, and a {kind} volume has {allowed}."),
            )
            .evidence(size, allowed)
            .remedy("Choose another type for this disk."),
        );
    }
    let Some((iops, per_gib)) = wanted.iops.zip(iops_per_gib) else {
        return findings;
    };
    let least = if wanted.volume_type == VolumeType::Gp3 {
        GP3_IOPS
    } else {
        0
    };
    let most = size.saturating_mul(per_gib).max(least);
    if iops > most {
        findings.push(
            Finding::blocking(
                "DISK_IOPS_TOO_HIGH",
                &pointer(index, "iops"),
                format!("{iops} IOPS are more than a {kind} volume of {size} GiB can have."),
            )
            .evidence(iops, most)
            .remedy(format!("Lower iops to {most}, or choose another type.")),
        );
    }
    findings
}

fn pointer(index: usize, member: &str) -> String {
    format!("/disks/{index}/{member}")
}
