//! Launch settings: what a target would be launched with, what the request wants, and where the two differ.
//!
//! Read and written by `landfall-launch`; the rules are here. Whatever the request is silent about stays as it is.

mod disks;
mod gates;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::finding::Finding;
use crate::request::MigrationRequest;

pub use disks::{Device, check_disks};
pub use gates::{Launching, changed_since_test, resync, untested};

/// The right-sizing method that leaves the template's instance type alone.
pub const RIGHT_SIZING_OFF: &str = "NONE";
/// The tag of the target that names the migration.
pub const MIGRATION_TAG: &str = "landfall:migrationId";
/// The tag of the target that names its source.
pub const SOURCE_TAG: &str = "landfall:sourceVmId";

/// `httpTokens` where the instance metadata service answers to session tokens alone (IMDSv2).
pub const TOKENS_REQUIRED: &str = "required";
/// `httpEndpoint` of an instance metadata service that answers.
pub const ENDPOINT_ENABLED: &str = "enabled";
/// How far an answer of the metadata service may travel: to a container on the instance, and no further.
const HOP_LIMIT: i32 = 2;

/// [`Difference::field`] of the right-sizing method.
const RIGHT_SIZING: &str = "rightSizing";
/// [`Difference::field`] of MGN's copying of the source's address.
const COPY_PRIVATE_IP: &str = "copyPrivateIp";
/// [`Difference::field`] of the key.
const ENCRYPTION_KEY: &str = "encryptionKey";

/// What the target is launched with, wherever it is written: in MGN's launch and replication configuration, or in the
/// default version of the EC2 launch template. What MGN sets by itself and as it likes is left out: the instance type
/// while it chooses, the address while it copies the source's, the size of volumes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EffectiveSettings {
    /// MGN's right-sizing method: `NONE`, `BASIC` or `IN_AWS`; empty where it names none.
    pub right_sizing: String,
    /// The instance type, where MGN does not choose it.
    pub instance_type: Option<String>,
    /// A network interface that is there already and becomes the primary one.
    pub network_interface_id: Option<String>,
    /// The subnet of the primary network interface.
    pub subnet_id: Option<String>,
    /// The security groups of the primary network interface, or else of the instance.
    pub security_group_ids: BTreeSet<String>,
    /// The fixed private address, where MGN does not copy the source's.
    pub private_ip: Option<String>,
    /// Whether MGN gives the target the source's private address.
    pub copy_private_ip: bool,
    /// Whether the target gets a public address; absent leaves it to the subnet.
    pub public_ip: Option<bool>,
    /// The name of the IAM instance profile.
    pub instance_profile: Option<String>,
    /// The volumes by the names of the source's disks.
    pub disks: BTreeMap<String, Disk>,
    /// Tags of the instance.
    pub instance_tags: BTreeMap<String, String>,
    /// Tags of its volumes.
    pub volume_tags: BTreeMap<String, String>,
    /// `required` where only IMDSv2 answers.
    pub http_tokens: Option<String>,
    /// `enabled` or `disabled`: the instance metadata service.
    pub http_endpoint: Option<String>,
    /// How many hops an answer of the metadata service may travel.
    pub http_hop_limit: Option<i32>,
    /// The ARN of the KMS key of the replication, and of the volumes made from it; absent is the account's default.
    pub encryption_key: Option<String>,
}

/// A volume of the target. An absent member leaves the choice to MGN or EC2.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Disk {
    /// The type, for example `gp3`.
    pub volume_type: Option<String>,
    /// I/O operations per second.
    pub iops: Option<u32>,
    /// MiB/s.
    pub throughput: Option<u32>,
    /// A key of its own, which wins over the replication's.
    pub kms_key_id: Option<String>,
}

/// One member of the settings that is not what is wanted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// Which, for example `instanceType`, `instanceTags.Name` or `disks./dev/xvda.volumeType`.
    pub field: String,
    /// What there is; null where there is nothing.
    pub present: Value,
    /// What is wanted; null where there is to be nothing.
    pub wanted: Value,
    /// Whether MGN would have to copy every disk again.
    pub forces_resync: bool,
}

impl Difference {
    /// Whether the member stands in the EC2 launch template, and not in MGN's own configuration.
    pub fn in_template(&self) -> bool {
        ![RIGHT_SIZING, COPY_PRIVATE_IP, ENCRYPTION_KEY].contains(&self.field.as_str())
    }
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            field,
            present,
            wanted,
            ..
        } = self;
        write!(f, "{field} is {present} and should be {wanted}")
    }
}

impl EffectiveSettings {
    /// The digest of the settings: equal where nothing differs.
    ///
    /// # Errors
    /// Never, for what these types can hold; `serde_json` says otherwise.
    pub fn digest(&self) -> Result<String, serde_json::Error> {
        crate::digest::of_json(&self.fields())
    }

    /// The settings as the request wants them: its own over these. `devices` are the disks of the source, by name, and
    /// `key_arn` the ARN of the request's `kmsKeyId`.
    ///
    /// # Errors
    /// Everything that these disks cannot become, each with its pointer.
    pub fn wanted(
        &self,
        devices: &BTreeMap<String, Device>,
        request: &MigrationRequest,
        key_arn: Option<&str>,
    ) -> Result<Self, Vec<Finding>> {
        let mut wanted = self.clone();
        if let Some(wanted_type) = &request.instance_type {
            RIGHT_SIZING_OFF.clone_into(&mut wanted.right_sizing);
            wanted.instance_type = Some(wanted_type.clone());
        }
        wanted.place(request);
        if let Some(profile) = &request.instance_profile {
            wanted.instance_profile = Some(profile.clone());
        }
        let tags = tags(request);
        wanted.instance_tags.extend(tags.clone());
        wanted.volume_tags.extend(tags);
        wanted.http_tokens = Some(TOKENS_REQUIRED.to_owned());
        wanted.http_endpoint = Some(ENDPOINT_ENABLED.to_owned());
        // A template that is stricter stays so.
        wanted.http_hop_limit = self
            .http_hop_limit
            .filter(|limit| *limit < HOP_LIMIT)
            .or(Some(HOP_LIMIT));
        let mut findings = check_disks(request);
        findings.extend(disks::apply(&mut wanted.disks, devices, request));
        if let Some(key) = key_arn {
            wanted.encryption_key = Some(key.to_owned());
            for disk in wanted.disks.values_mut() {
                // Else the key that the request names would not be that of the volume.
                disk.kms_key_id = None;
            }
        }
        if findings.is_empty() {
            Ok(wanted)
        } else {
            Err(findings)
        }
    }

    /// The network.
    fn place(&mut self, request: &MigrationRequest) {
        if request.subnet_id.is_some()
            || !request.security_group_ids.is_empty()
            || request.private_ip.is_some()
        {
            // It has a subnet, groups and an address, which nothing else may then name.
            self.network_interface_id = None;
        }
        if request.subnet_id.is_some() && request.subnet_id != self.subnet_id {
            self.subnet_id.clone_from(&request.subnet_id);
            // The groups may be of another VPC, and the address is out of range.
            self.security_group_ids.clear();
            self.private_ip = None;
        }
        if !request.security_group_ids.is_empty() {
            self.security_group_ids = request.security_group_ids.iter().cloned().collect();
        }
        if let Some(address) = &request.private_ip {
            self.private_ip = Some(address.clone());
            // MGN would write the source's over it:
            // https://docs.aws.amazon.com/mgn/latest/ug/key-considerations.html
            self.copy_private_ip = false;
        }
    }

    /// Every member that is set, by its name: what the digest is of, and what is compared.
    fn fields(&self) -> BTreeMap<String, Value> {
        // Taken apart, so that a new member is not forgotten here.
        let Self {
            right_sizing,
            instance_type,
            network_interface_id,
            subnet_id,
            security_group_ids,
            private_ip,
            copy_private_ip,
            public_ip,
            instance_profile,
            disks,
            instance_tags,
            volume_tags,
            http_tokens,
            http_endpoint,
            http_hop_limit,
            encryption_key,
        } = self;
        let groups: Vec<&str> = security_group_ids.iter().map(String::as_str).collect();
        let groups = (!groups.is_empty()).then_some(groups);
        let own: [(&str, Value); 13] = [
            (RIGHT_SIZING, right_sizing.as_str().into()),
            ("instanceType", instance_type.as_deref().into()),
            ("networkInterfaceId", network_interface_id.as_deref().into()),
            ("subnetId", subnet_id.as_deref().into()),
            ("securityGroupIds", groups.into()),
            ("privateIp", private_ip.as_deref().into()),
            (COPY_PRIVATE_IP, (*copy_private_ip).into()),
            ("publicIp", (*public_ip).into()),
            ("instanceProfile", instance_profile.as_deref().into()),
            ("httpTokens", http_tokens.as_deref().into()),
            ("httpEndpoint", http_endpoint.as_deref().into()),
            ("httpHopLimit", (*http_hop_limit).into()),
            (ENCRYPTION_KEY, encryption_key.as_deref().into()),
        ];
        let own = own.map(|(name, value)| (name.to_owned(), value));
        let tags = [("instanceTags", instance_tags), ("volumeTags", volume_tags)];
        let tags = tags.into_iter().flat_map(|(kind, tags)| {
            tags.iter()
                .map(move |(key, value)| (format!("{kind}.{key}"), Value::from(value.as_str())))
        });
        let disks = disks.iter().flat_map(|(device, disk)| {
            disk.fields()
                .map(|(name, value)| (format!("disks.{device}.{name}"), value))
        });
        own.into_iter()
            .chain(tags)
            .chain(disks)
            .filter(|(_, value)| !value.is_null())
            .collect()
    }
}

impl Disk {
    fn fields(&self) -> [(&'static str, Value); 4] {
        let Self {
            volume_type,
            iops,
            throughput,
            kms_key_id,
        } = self;
        [
            ("volumeType", volume_type.as_deref().into()),
            ("iops", (*iops).into()),
            ("throughput", (*throughput).into()),
            ("kmsKeyId", kms_key_id.as_deref().into()),
        ]
    }
}

/// Where the settings differ, in the order of the members' names; empty where nothing does.
pub fn differences(present: &EffectiveSettings, wanted: &EffectiveSettings) -> Vec<Difference> {
    let (mut before, after) = (present.fields(), wanted.fields());
    let mut pairs: BTreeMap<String, (Value, Value)> = after
        .into_iter()
        .map(|(field, wanted)| {
            let present = before.remove(&field).unwrap_or_default();
            (field, (present, wanted))
        })
        .collect();
    // What is left is not wanted at all.
    pairs.extend(
        before
            .into_iter()
            .map(|(field, present)| (field, (present, Value::Null))),
    );
    pairs
        .into_iter()
        .filter(|(_, (present, wanted))| present != wanted)
        .map(|(field, (present, wanted))| Difference {
            forces_resync: field == ENCRYPTION_KEY,
            field,
            present,
            wanted,
        })
        .collect()
}

/// The tags that instance and volumes get over those of the template.
fn tags(request: &MigrationRequest) -> BTreeMap<String, String> {
    let mut tags = request.tags.clone();
    if let Some(name) = &request.target_vm_name {
        tags.insert("Name".to_owned(), name.clone());
    }
    tags.insert(MIGRATION_TAG.to_owned(), request.migration_id.clone());
    tags.insert(SOURCE_TAG.to_owned(), request.source_vm_id.clone());
    tags
}
