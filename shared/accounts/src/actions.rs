//! What each stage may do in the account a migration goes to: the session policy of the role it assumes there, and what
//! the pre-flight proves.
//!
//! In its own account a stage is limited by its function's role (`terraform/iam.tf`), which lists these and more; a test
//! holds the two together.

use serde_json::{Value, json};

/// The actions of one stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Actions {
    /// The function: folder, crate and binary.
    pub function: &'static str,
    /// What it calls itself.
    pub direct: &'static [&'static str],
    /// What MGN does with the caller's permissions: allowed only where an AWS service asks
    /// (`aws:ViaAWSService`).
    pub via_service: &'static [&'static str],
}

/// Reads everything the checks need.
pub const VALIDATE_INPUT: Actions = Actions {
    function: "validate-input",
    direct: &[
        "ec2:DescribeInstanceTypeOfferings",
        "ec2:DescribeLaunchTemplateVersions",
        "ec2:DescribeNetworkInterfaces",
        "ec2:DescribeSecurityGroups",
        "ec2:DescribeSubnets",
        "ec2:GetEbsDefaultKmsKeyId",
        "ec2:GetEbsEncryptionByDefault",
        "iam:GetInstanceProfile",
        "iam:SimulatePrincipalPolicy",
        "kms:DescribeKey",
        "mgn:DescribeJobs",
        "mgn:DescribeReplicationConfigurationTemplates",
        "mgn:DescribeSourceServers",
        "mgn:GetLaunchConfiguration",
        "mgn:GetReplicationConfiguration",
        "servicequotas:ListServiceQuotas",
    ],
    via_service: &[],
};

/// Installs the agent and writes the launch settings.
pub const PREPARE_SOURCE: Actions = Actions {
    function: "prepare-source",
    direct: &[
        "ec2:CreateLaunchTemplateVersion",
        "ec2:DescribeLaunchTemplateVersions",
        "ec2:ModifyLaunchTemplate",
        "kms:DescribeKey",
        "mgn:DescribeSourceServers",
        "mgn:GetLaunchConfiguration",
        "mgn:GetReplicationConfiguration",
        "mgn:UpdateLaunchConfiguration",
        "mgn:UpdateReplicationConfiguration",
        "ssm:DescribeInstanceInformation",
        "ssm:ListCommandInvocations",
        "ssm:SendCommand",
        "sts:DecodeAuthorizationMessage",
    ],
    via_service: &[],
};

/// Starts launches.
pub const TRIGGER_MIGRATION: Actions = Actions {
    function: "trigger-migration",
    direct: &[
        "mgn:ChangeServerLifeCycleState",
        "mgn:DescribeJobs",
        "mgn:DescribeSourceServers",
        "mgn:StartCutover",
        "mgn:StartTest",
        "mgn:TagResource",
        "servicequotas:ListServiceQuotas",
        "sts:DecodeAuthorizationMessage",
    ],
    // https://docs.aws.amazon.com/aws-managed-policy/latest/reference/AWSApplicationMigrationEC2Access.html
    via_service: &[
        "ec2:AttachVolume",
        "ec2:AuthorizeSecurityGroupEgress",
        "ec2:AuthorizeSecurityGroupIngress",
        "ec2:CreateLaunchTemplate",
        "ec2:CreateLaunchTemplateVersion",
        "ec2:CreateSecurityGroup",
        "ec2:CreateSnapshot",
        "ec2:CreateTags",
        "ec2:CreateVolume",
        "ec2:DeleteLaunchTemplateVersions",
        "ec2:DeleteSnapshot",
        "ec2:DeleteVolume",
        "ec2:DescribeAccountAttributes",
        "ec2:DescribeAvailabilityZones",
        "ec2:DescribeImages",
        "ec2:DescribeInstanceAttribute",
        "ec2:DescribeInstanceStatus",
        "ec2:DescribeInstanceTypes",
        "ec2:DescribeInstances",
        "ec2:DescribeLaunchTemplateVersions",
        "ec2:DescribeLaunchTemplates",
        "ec2:DescribeSecurityGroups",
        "ec2:DescribeSnapshots",
        "ec2:DescribeSubnets",
        "ec2:DescribeVolumes",
        "ec2:DetachVolume",
        "ec2:GetEbsDefaultKmsKeyId",
        "ec2:GetEbsEncryptionByDefault",
        "ec2:ModifyInstanceAttribute",
        "ec2:ModifyLaunchTemplate",
        "ec2:ModifyVolume",
        "ec2:RevokeSecurityGroupEgress",
        "ec2:RunInstances",
        "ec2:StartInstances",
        "ec2:StopInstances",
        "ec2:TerminateInstances",
        "iam:PassRole",
        "kms:CreateGrant",
        "kms:Decrypt",
        "kms:DescribeKey",
        "kms:GenerateDataKeyWithoutPlaintext",
        "kms:ReEncryptFrom",
        "kms:ReEncryptTo",
    ],
};

/// Looks at what waits.
pub const WATCH_MIGRATIONS: Actions = Actions {
    function: "watch-migrations",
    direct: &[
        "mgn:DescribeJobLogItems",
        "mgn:DescribeJobs",
        "mgn:DescribeSourceServers",
        "mgn:RetryDataReplication",
        "ssm:GetCommandInvocation",
        "sts:DecodeAuthorizationMessage",
    ],
    via_service: &[],
};

/// Judges what was launched.
pub const VERIFY_MIGRATION: Actions = Actions {
    function: "verify-migration",
    direct: &[
        "ec2:DescribeInstanceStatus",
        "ec2:DescribeInstances",
        "ec2:DescribeLaunchTemplateVersions",
        "mgn:ChangeServerLifeCycleState",
        "mgn:DescribeSourceServers",
        "mgn:GetLaunchConfiguration",
        "mgn:GetReplicationConfiguration",
        "ssm:DescribeInstanceInformation",
        "ssm:GetCommandInvocation",
        "ssm:ListCommandInvocations",
        "ssm:SendCommand",
    ],
    via_service: &[],
};

/// Ends a migration well.
pub const FINALIZE_CUTOVER: Actions = Actions {
    function: "finalize-cutover",
    direct: &[
        "ec2:CreateTags",
        "ec2:DescribeInstances",
        "ec2:ModifyInstanceAttribute",
        "mgn:DescribeSourceServers",
        "mgn:FinalizeCutover",
        "mgn:MarkAsArchived",
        "sts:DecodeAuthorizationMessage",
    ],
    via_service: &[],
};

/// Undoes what was done.
pub const ROLLBACK: Actions = Actions {
    function: "rollback",
    direct: &[
        "ec2:DescribeInstances",
        "ec2:ModifyInstanceAttribute",
        "ec2:ModifyLaunchTemplate",
        "mgn:ChangeServerLifeCycleState",
        "mgn:DescribeJobLogItems",
        "mgn:DescribeJobs",
        "mgn:DescribeSourceServers",
        "mgn:DisconnectFromService",
        "mgn:GetLaunchConfiguration",
        "mgn:TagResource",
        "mgn:TerminateTargetInstances",
        "mgn:UpdateLaunchConfiguration",
        "sts:DecodeAuthorizationMessage",
    ],
    via_service: &[
        "ec2:DeleteVolume",
        "ec2:DescribeInstances",
        "ec2:DescribeVolumes",
        "ec2:TerminateInstances",
    ],
};

/// Every stage that works in the target account.
pub const ALL: [Actions; 7] = [
    VALIDATE_INPUT,
    PREPARE_SOURCE,
    TRIGGER_MIGRATION,
    WATCH_MIGRATIONS,
    VERIFY_MIGRATION,
    FINALIZE_CUTOVER,
    ROLLBACK,
];

impl Actions {
    /// The session policy: what the assumed role may do at most in this stage, whatever its own policies allow more.
    ///
    /// STS takes 2,048 characters of session policies (AWS STS API reference, `AssumeRole`, `Policy`).
    pub fn session_policy(&self) -> String {
        let mut statements = vec![json!({
            "Effect": "Allow", "Action": self.direct, "Resource": "*",
        })];
        if !self.via_service.is_empty() {
            let actions: Vec<&str> = self.via_service.to_vec();
            statements.push(json!({
                "Effect": "Allow", "Action": actions, "Resource": "*",
                "Condition": {"Bool": {"aws:ViaAWSService": "true"}},
            }));
        }
        let policy: Value = json!({"Version": "2012-10-17", "Statement": statements});
        policy.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_session_policy_is_short_enough_for_sts() {
        for stage in ALL {
            let policy = stage.session_policy();
            assert!(
                policy.len() <= 2_048,
                "{}: {}",
                stage.function,
                policy.len()
            );
            assert!(!policy.contains(":*"), "{}", stage.function);
        }
    }
}
