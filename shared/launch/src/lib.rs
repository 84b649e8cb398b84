//! The launch settings of a source server: read from MGN and EC2, and put into the form a new version of its launch
//! template takes.
//!
//! It changes nothing. What is wanted, and what is wrong with that, is decided in [`landfall_domain::launch`].
#![warn(missing_docs)]

mod key;
mod read;
mod template;

use std::collections::BTreeMap;

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{LaunchTemplateVersion, RequestLaunchTemplateData};
use landfall_common::AwsResultExt;
use landfall_domain::launch::{Device, EffectiveSettings};
use landfall_domain::request::MigrationRequest;
use landfall_domain::{ErrorName, Finding, StageError};
use landfall_mgn::{LaunchConfiguration, Mgn};

pub use key::{Key, key};
pub use template::description;

/// The launch settings of a server as they are.
#[derive(Clone, Debug, PartialEq)]
pub struct Present {
    /// What a launch now would be made with.
    pub settings: EffectiveSettings,
    /// The disks of the source, by name.
    pub devices: BTreeMap<String, Device>,
    /// MGN's own part of it.
    pub configuration: LaunchConfiguration,
    /// The EC2 launch template of the server.
    pub template_id: String,
    /// The number of the template's default version.
    pub version: i64,
    default: LaunchTemplateVersion,
    latest: LaunchTemplateVersion,
}

/// Reads the launch settings of a connected server: three calls, none of which changes anything.
///
/// # Errors
/// With the given name where a read is refused, or where EC2 has no default version of the template; or a transient
/// error, as where MGN names no template: it makes one some time after the server appears.
pub async fn present(
    ec2: &Client,
    mgn: &Mgn,
    server_id: &str,
    name: ErrorName,
) -> Result<Present, StageError> {
    let configuration = mgn.launch_configuration(server_id, name).await?;
    let replication = mgn.replication_configuration(server_id, name).await?;
    let template_id = configuration.template_id.clone().ok_or_else(|| {
        StageError::new(
            ErrorName::DependencyUnavailable,
            format!(
                "MGN names no launch template for {server_id}: it makes one when the server appears, and drops it when the server is disconnected"
            ),
        )
    })?;
    let (default, latest) = versions(ec2, &template_id, name).await?;
    let version = default.version_number().ok_or_else(|| {
        StageError::new(
            name,
            format!("EC2 named a version of launch template {template_id} without a number"),
        )
    })?;
    let data = default.launch_template_data();
    Ok(Present {
        settings: read::settings(&configuration, &replication, data),
        devices: read::devices(&replication, data),
        configuration,
        template_id,
        version,
        default,
        latest,
    })
}

impl Present {
    /// The settings as the request wants them; `key_arn` is that of its `kmsKeyId`, from [`key`]. Compare with
    /// [`landfall_domain::launch::differences`].
    ///
    /// # Errors
    /// Everything that the server's disks cannot become.
    pub fn wanted(
        &self,
        request: &MigrationRequest,
        key_arn: Option<&str>,
    ) -> Result<EffectiveSettings, Vec<Finding>> {
        self.settings.wanted(&self.devices, request, key_arn)
    }

    /// The data of a version made from the default one, so that a launch has these settings.
    ///
    /// # Errors
    /// With the given name and what is in the way.
    pub fn data(
        &self,
        wanted: &EffectiveSettings,
        name: ErrorName,
    ) -> Result<RequestLaunchTemplateData, StageError> {
        let base = self.default.launch_template_data();
        template::data(base, &self.settings, wanted).map_err(|problem| {
            StageError::new(
                name,
                format!(
                    "launch template {} cannot take the launch settings: {problem}",
                    self.template_id
                ),
            )
        })
    }

    /// The number of the latest version, where it has this description and is not the default already. A version never
    /// changes, so one that was made for these settings has them.
    pub fn made_before(&self, description: &str) -> Option<i64> {
        self.latest
            .version_number()
            .filter(|number| *number != self.version)
            .filter(|_| self.latest.version_description() == Some(description))
    }
}

/// The default version and the latest one, which may be the same.
async fn versions(
    ec2: &Client,
    template_id: &str,
    name: ErrorName,
) -> Result<(LaunchTemplateVersion, LaunchTemplateVersion), StageError> {
    let answer = ec2
        .describe_launch_template_versions()
        .launch_template_id(template_id)
        .versions("$Default")
        .versions("$Latest")
        .send()
        .await
        .or_stage(name, "ec2:DescribeLaunchTemplateVersions")?;
    let found = answer.launch_template_versions();
    let default = found
        .iter()
        .find(|version| version.default_version() == Some(true));
    let latest = found.iter().max_by_key(|version| version.version_number());
    match (default, latest) {
        (Some(default), Some(latest)) => Ok((default.clone(), latest.clone())),
        _ => Err(StageError::new(
            name,
            format!("launch template {template_id} has no default version"),
        )),
    }
}
