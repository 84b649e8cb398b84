//! How the source of a migration is reached and powered.

use serde::{Deserialize, Serialize};

/// Who can snapshot and power the source; docs/SOURCES.md says what each needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceControlKind {
    /// Azure Resource Manager.
    Azure,
    /// A vCenter Server.
    Vsphere,
    /// EC2, in another Region or another account.
    Ec2,
    /// Nobody: snapshot and power stay with a person.
    None,
}

impl SourceControlKind {
    /// As a request names it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Azure => "azure",
            Self::Vsphere => "vsphere",
            Self::Ec2 => "ec2",
            Self::None => "none",
        }
    }
}

/// How to reach and power the source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SourceControl {
    /// Which adapter.
    pub kind: SourceControlKind,
    /// The SSM managed instance (`i-…` or `mi-…`) of the source; found by its `landfall:sourceVmId` tag when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssm_instance_id: Option<String>,
    /// The base URL of the control API: absent means public Azure, and vSphere has no public one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// The Secrets Manager secret: `{tenantId, clientId, clientSecret}` of the Azure application, or
    /// `{username, password, caCertificate?}` of the vCenter Server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_secret_id: Option<String>,
    /// The Azure subscription.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subscription_id: Option<String>,
    /// The Azure resource group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_group: Option<String>,
    /// The name of the virtual machine in Azure or vCenter; absent means `sourceVmId`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vm_name: Option<String>,
    /// The managed object ID of the virtual machine in vCenter, for example `vm-42`: tells two of one name apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vm_id: Option<String>,
    /// The EC2 instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<String>,
    /// The Region of the EC2 instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The role to assume for the EC2 instance; absent means that it is in the deployment's own account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role_arn: Option<String>,
    /// The external ID that the role's trust policy asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
}
