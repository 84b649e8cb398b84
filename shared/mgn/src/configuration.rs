//! What MGN replicates and launches a server with.

use aws_sdk_mgn::types::ReplicationConfigurationEbsEncryption as EbsEncryption;
use landfall_common::AwsResultExt;
use landfall_domain::{ErrorName, StageError};

use crate::Mgn;
use crate::types::{LaunchConfiguration, ReplicatedDisk, ReplicationConfiguration};

impl Mgn {
    /// What MGN launches the server with.
    pub async fn launch_configuration(
        &self,
        server_id: &str,
        name: ErrorName,
    ) -> Result<LaunchConfiguration, StageError> {
        let answer = self
            .client
            .get_launch_configuration()
            .source_server_id(server_id)
            .send()
            .await
            .or_stage(name, "mgn:GetLaunchConfiguration")?;
        Ok(LaunchConfiguration {
            template_id: answer.ec2_launch_template_id,
            right_sizing: answer
                .target_instance_type_right_sizing_method
                .map(|method| method.as_str().to_owned()),
            copy_private_ip: answer.copy_private_ip.unwrap_or(false),
        })
    }

    /// Sets the right-sizing method (`NONE`, `BASIC`, `IN_AWS`). With any but `NONE` MGN's recommendation overrides the
    /// template's instance type.
    pub async fn set_right_sizing(
        &self,
        server_id: &str,
        method: &str,
        name: ErrorName,
    ) -> Result<(), StageError> {
        self.client
            .update_launch_configuration()
            .source_server_id(server_id)
            .target_instance_type_right_sizing_method(method.into())
            .send()
            .await
            .or_stage(name, "mgn:UpdateLaunchConfiguration")?;
        Ok(())
    }

    /// Sets whether MGN gives the target the source's private address. It then writes it into the launch template.
    pub async fn set_copy_private_ip(
        &self,
        server_id: &str,
        copy: bool,
        name: ErrorName,
    ) -> Result<(), StageError> {
        self.client
            .update_launch_configuration()
            .source_server_id(server_id)
            .copy_private_ip(copy)
            .send()
            .await
            .or_stage(name, "mgn:UpdateLaunchConfiguration")?;
        Ok(())
    }

    /// What MGN replicates the server with.
    pub async fn replication_configuration(
        &self,
        server_id: &str,
        name: ErrorName,
    ) -> Result<ReplicationConfiguration, StageError> {
        let answer = self
            .client
            .get_replication_configuration()
            .source_server_id(server_id)
            .send()
            .await
            .or_stage(name, "mgn:GetReplicationConfiguration")?;
        let encryption_key = own_key(
            answer.ebs_encryption.as_ref(),
            answer.ebs_encryption_key_arn,
        );
        let disks = answer.replicated_disks.unwrap_or_default();
        Ok(ReplicationConfiguration {
            encryption_key,
            disks: disks
                .into_iter()
                .filter_map(|disk| {
                    Some(ReplicatedDisk {
                        device_name: disk.device_name?,
                        boot: disk.is_boot_disk.unwrap_or(false),
                    })
                })
                .collect(),
        })
    }

    /// Makes MGN encrypt the staging disks with a key; everything that is replicated is then copied again.
    ///
    /// # Errors
    /// `DependencyUnavailable` when MGN does not have the key afterwards; what [`AwsResultExt::or_stage`] makes of
    /// refusals.
    pub async fn set_encryption_key(
        &self,
        server_id: &str,
        key_arn: &str,
        name: ErrorName,
    ) -> Result<(), StageError> {
        let answer = self
            .client
            .update_replication_configuration()
            .source_server_id(server_id)
            .ebs_encryption(EbsEncryption::Custom)
            .ebs_encryption_key_arn(key_arn)
            .send()
            .await
            .or_stage(name, "mgn:UpdateReplicationConfiguration")?;
        let key = own_key(
            answer.ebs_encryption.as_ref(),
            answer.ebs_encryption_key_arn,
        );
        if key.as_deref() == Some(key_arn) {
            Ok(())
        } else {
            Err(StageError::new(
                ErrorName::DependencyUnavailable,
                format!("MGN does not replicate {server_id} with {key_arn} yet"),
            ))
        }
    }
}

/// The key in use: an ARN may be left from before the encryption went back to the account's default.
fn own_key(encryption: Option<&EbsEncryption>, arn: Option<String>) -> Option<String> {
    arn.filter(|_| encryption == Some(&EbsEncryption::Custom))
}
