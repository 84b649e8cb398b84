//! A session in the account of a source, under the role that the request names.
//!
//! Source: STS API reference, AssumeRole; IAM user guide, "Session policies". An instance whose volumes are encrypted
//! with a key of the customer's starts only for somebody who may create grants on that key (EBS user guide,
//! "Requirements for Amazon EBS encryption").

use aws_config::SdkConfig;
use aws_sdk_ec2::config::Credentials;
use landfall_common::AwsResultExt as _;
use landfall_domain::{ErrorName, StageError};
use serde_json::{Value, json};

/// How long a session lasts, in seconds: the shortest that STS gives, and longer than any function's time-out.
const SESSION_SECONDS: i32 = 900;
/// STS takes no longer name of a session.
const SESSION_NAME_MAX: usize = 64;

/// A session of a role, before it is begun.
pub(super) struct Session<'a> {
    /// The role's ARN.
    pub(super) role: &'a str,
    pub(super) external_id: Option<&'a str>,
    /// Under which the other account's trail shows it; cut to what STS takes.
    pub(super) name: String,
    pub(super) region: &'a str,
    /// The one instance that it is for.
    pub(super) instance: &'a str,
    /// Whether it may terminate that instance.
    pub(super) removable: bool,
}

impl Session<'_> {
    /// Asked of STS itself, not through a credentials provider: that would hide a refusal in a failure to connect.
    ///
    /// # Errors
    /// A refusal that says what to mend, or a transient failure.
    pub(super) async fn begin(
        self,
        aws: &SdkConfig,
        refusal: ErrorName,
    ) -> Result<Credentials, StageError> {
        let policy = policy(self.role, self.region, self.instance, self.removable);
        let answer = aws_sdk_sts::Client::new(aws)
            .assume_role()
            .role_arn(self.role)
            .role_session_name(self.name.chars().take(SESSION_NAME_MAX).collect::<String>())
            .set_external_id(self.external_id.map(str::to_owned))
            .policy(policy.to_string())
            .duration_seconds(SESSION_SECONDS)
            .send()
            .await
            .or_stage(refusal, "sts:AssumeRole")
            .map_err(|mut error| {
                if error.name == refusal {
                    error.message.push_str(
                        "; list the role in the deployment's source_role_arns, and let it trust Landfall's functions \
                         with the external ID of /sourceControl",
                    );
                }
                error
            })?;
        let session = answer.credentials().ok_or_else(|| {
            StageError::new(refusal, "sts:AssumeRole answered without credentials")
        })?;
        Ok(Credentials::new(
            session.access_key_id(),
            session.secret_access_key(),
            Some(session.session_token().to_owned()),
            None,
            "landfall-source",
        ))
    }
}

/// What a session may do of all that its role may: only what is done here, and only to this instance.
fn policy(role_arn: &str, region: &str, instance: &str, removable: bool) -> Value {
    let mut parts = role_arn.split(':').skip(1);
    let partition = parts.next().unwrap_or("aws");
    let account = parts.nth(2).unwrap_or("*");
    let here = format!("arn:{partition}:ec2:{region}:{account}");
    let instance = format!("{here}:instance/{instance}");
    let snapshots = format!("arn:{partition}:ec2:{region}::snapshot/*");
    let mut power = vec!["ec2:StartInstances", "ec2:StopInstances"];
    power.extend(removable.then_some("ec2:TerminateInstances"));
    json!({
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": ["ec2:DescribeInstances", "ec2:DescribeSnapshots"], "Resource": "*"},
            {"Effect": "Allow", "Action": power, "Resource": instance},
            {
                "Effect": "Allow", "Action": "ec2:CreateSnapshots",
                "Resource": [instance, format!("{here}:volume/*"), snapshots],
            },
            {
                "Effect": "Allow", "Action": "ec2:CreateTags", "Resource": snapshots,
                "Condition": {"StringEquals": {"ec2:CreateAction": "CreateSnapshots"}},
            },
            {
                "Effect": "Allow", "Action": "kms:CreateGrant", "Resource": "*",
                "Condition": {"Bool": {"kms:GrantIsForAWSResource": "true"}},
            },
        ],
    })
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    #[test]
    fn a_session_may_touch_one_instance_and_nothing_beside_it() {
        let role = "arn:aws-cn:iam::210987654321:role/path/landfall-source";
        let policy = super::policy(role, "cn-north-1", "i-1", true);
        let statements = policy["Statement"].as_array().unwrap();
        let resource = |action: &str| {
            let fits = |statement: &&Value| statement["Action"].to_string().contains(action);
            statements.iter().find(fits).unwrap()["Resource"].clone()
        };
        let instance = "arn:aws-cn:ec2:cn-north-1:210987654321:instance/i-1";
        assert_eq!(resource("ec2:StopInstances"), instance);
        assert_eq!(resource("ec2:TerminateInstances"), instance);
        let kept = super::policy(role, "cn-north-1", "i-1", false).to_string();
        assert!(!kept.contains("Terminate"), "{kept}");
        assert_eq!(resource("ec2:CreateSnapshots")[0], instance);
        assert_eq!(
            resource("ec2:CreateTags"),
            "arn:aws-cn:ec2:cn-north-1::snapshot/*"
        );
        for statement in statements {
            let reads = statement["Action"].to_string().contains("Describe");
            let bounded = statement["Resource"] != "*" || statement["Condition"].is_object();
            assert!(reads || bounded, "{statement}");
        }
        assert!(
            policy.to_string().len() <= 2_048,
            "STS takes no longer policy"
        );
    }
}
