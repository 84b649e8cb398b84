//! Whether a source can be deleted from its platform: asked by the pre-flight, and again before it is done.

use crate::finding::Finding;
use crate::request::{MigrationRequest, SourceControl, SourceControlKind};

const FIELD: &str = "/policy/retention/decommissionSource";
const CODE: &str = "DECOMMISSION_NOT_POSSIBLE";

/// What stands in the way of deleting the source of a request, whatever anybody agrees to. `listed` are the ARNs of
/// the EC2 instances that the operator lets Landfall terminate.
pub fn obstacle(request: &MigrationRequest, listed: &[String]) -> Option<Finding> {
    let Some(control) = request.controlled_source() else {
        return Some(
            Finding::blocking(
                CODE,
                FIELD,
                "the source is to be deleted, and the request names no sourceControl that could do it.",
            )
            .remedy("Name a sourceControl, or leave decommissionSource out and delete the source by hand."),
        );
    };
    match control.kind {
        SourceControlKind::Azure | SourceControlKind::None => None,
        SourceControlKind::Vsphere => Some(
            Finding::blocking(
                CODE,
                FIELD,
                "the source is to be deleted, and Landfall deletes no machine in vSphere.",
            )
            .remedy("Leave decommissionSource out and delete the machine in vCenter once it is archived."),
        ),
        SourceControlKind::Ec2 if is_listed(control, listed) => None,
        SourceControlKind::Ec2 => Some(
            Finding::blocking(
                CODE,
                FIELD,
                format!(
                    "the source is to be terminated, and the operator's decommission_instance_arns does not list {}.",
                    control.instance_id.as_deref().unwrap_or("it"),
                ),
            )
            .remedy("Have the operator list the instance's ARN, or leave decommissionSource out."),
        ),
    }
}

/// Whether the operator lists the instance: by its whole ARN, for a pattern would let a request choose.
fn is_listed(control: &SourceControl, listed: &[String]) -> bool {
    let (Some(instance), Some(region)) = (&control.instance_id, &control.region) else {
        return false;
    };
    let of_role = control.role_arn.as_deref();
    let account = of_role.and_then(|arn| arn.split(':').nth(4));
    listed.iter().any(|arn| {
        let parts: Vec<&str> = arn.split(':').collect();
        matches!(parts.as_slice(), ["arn", _, "ec2", in_region, in_account, resource]
            if *in_region == region.as_str()
                && account.is_none_or(|account| account == *in_account)
                && resource.strip_prefix("instance/") == Some(instance.as_str()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn with(control: Value) -> MigrationRequest {
        let mut request = crate::record::tests::request();
        request.source_control = serde_json::from_value(control).unwrap();
        request
    }

    #[test]
    fn a_source_is_deleted_where_its_platform_and_the_operator_let_us() {
        let ec2 =
            json!({"kind": "ec2", "instanceId": "i-0123456789abcdef0", "region": "eu-west-1"});
        let mut other = ec2.clone();
        other["roleArn"] = json!("arn:aws:iam::210987654321:role/landfall-source");
        let arn = |account: &str, instance: &str| {
            format!("arn:aws:ec2:eu-west-1:{account}:instance/{instance}")
        };
        let here = arn("123456789012", "i-0123456789abcdef0");
        let there = arn("210987654321", "i-0123456789abcdef0");
        for (control, listed, possible) in [
            (json!({"kind": "azure"}), vec![], true),
            (json!({"kind": "vsphere"}), vec![], false),
            (json!({"kind": "none"}), vec![], false),
            (Value::Null, vec![], false),
            (ec2.clone(), vec![], false),
            (ec2.clone(), vec![here.clone()], true),
            (
                ec2.clone(),
                vec![here.replace("eu-west-1", "eu-west-2")],
                false,
            ),
            (ec2.clone(), vec![arn("123456789012", "i-1")], false),
            (ec2.clone(), vec![arn("123456789012", "*")], false),
            (ec2, vec!["i-0123456789abcdef0".to_owned()], false),
            // Under a role, the instance of the role's own account.
            (other.clone(), vec![here], false),
            (other, vec![there], true),
        ] {
            let found = obstacle(&with(control.clone()), &listed);
            assert_eq!(found.is_none(), possible, "{control} {listed:?}: {found:?}");
            if let Some(finding) = found {
                assert!(finding.is_blocking());
                assert!(!finding.remedy.is_empty());
            }
        }
    }
}
