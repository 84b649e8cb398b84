//! What the migration's roles will have to do in the target account.
//!
//! Only what the request's phases will really call, on the resources they will call it on. At home each stage has a
//! role of its own; in another account all of them use the role that the request names.

use landfall_accounts::Home;
use landfall_domain::WorkflowPlan;
use landfall_domain::request::{AgentKind, MigrationRequest, Step};

/// That a stage must be allowed some actions on some resources.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Need {
    /// The function whose role needs it at home.
    pub function: &'static str,
    /// For example `ec2:RunInstances`.
    pub actions: Vec<&'static str>,
    /// ARNs; every action is wanted on every one.
    pub resources: Vec<String>,
    /// Keys and values that the call will have.
    pub context: Vec<(&'static str, &'static str)>,
}

/// MGN calls EC2 with its caller's permissions.
const VIA_SERVICE: (&str, &str) = ("aws:ViaAWSService", "true");

/// The needs of a request. `profile_roles` are the roles of its instance profile, `key` the ARN of the key that its
/// volumes are encrypted with.
pub fn of(
    request: &MigrationRequest,
    place: &Home,
    partition: &str,
    profile_roles: &[String],
    key: Option<&str>,
) -> Vec<Need> {
    let plan = WorkflowPlan::of(request);
    let (region, account) = (&place.region, &place.account);
    let ec2 = |kind: &str| format!("arn:{partition}:ec2:{region}:{account}:{kind}");
    let servers = || {
        vec![format!(
            "arn:{partition}:mgn:{region}:{account}:source-server/*"
        )]
    };
    let mut needs = Vec::new();
    let mut need = |function, actions: &[&'static str], resources, context| {
        needs.push(Need {
            function,
            actions: actions.to_vec(),
            resources,
            context,
        });
    };
    if plan.replicate {
        need(
            "prepare-source",
            &[
                "ec2:CreateLaunchTemplateVersion",
                "ec2:ModifyLaunchTemplate",
            ],
            vec![ec2("launch-template/*")],
            vec![],
        );
        need(
            "prepare-source",
            if key.is_some() {
                &[
                    "mgn:UpdateLaunchConfiguration",
                    "mgn:UpdateReplicationConfiguration",
                ]
            } else {
                &["mgn:UpdateLaunchConfiguration"]
            },
            servers(),
            vec![],
        );
    }
    if request.wants(Step::Replicate) && request.agent_kind() == AgentKind::Install {
        need(
            "prepare-source",
            &["ssm:SendCommand"],
            vec![
                format!("arn:{partition}:ssm:{region}::document/AWS-RunShellScript"),
                format!("arn:{partition}:ssm:{region}::document/AWS-RunPowerShellScript"),
                format!("arn:{partition}:ssm:{region}:{account}:managed-instance/*"),
                ec2("instance/*"),
            ],
            vec![],
        );
    }
    if !(plan.validate || plan.switch) {
        return needs;
    }
    let mut launches = Vec::new();
    if plan.validate {
        launches.push("mgn:StartTest");
    }
    if plan.switch {
        launches.push("mgn:StartCutover");
        let archive = request.policy.retention.is_some();
        let finalize: &[&str] = if archive {
            &["mgn:FinalizeCutover", "mgn:MarkAsArchived"]
        } else {
            &["mgn:FinalizeCutover"]
        };
        need("finalize-cutover", finalize, servers(), vec![]);
        need(
            "finalize-cutover",
            &["ec2:CreateTags", "ec2:ModifyInstanceAttribute"],
            vec![ec2("instance/*")],
            vec![],
        );
    }
    need("trigger-migration", &launches, servers(), vec![]);
    need(
        "verify-migration",
        &["mgn:ChangeServerLifeCycleState"],
        servers(),
        vec![],
    );
    // What RunInstances creates, it also tags.
    need(
        "trigger-migration",
        &["ec2:RunInstances", "ec2:CreateTags"],
        ["instance/*", "volume/*", "network-interface/*"]
            .map(ec2)
            .to_vec(),
        vec![VIA_SERVICE],
    );
    let subnet = request.subnet_id.as_deref().unwrap_or("*");
    let mut used = vec![
        ec2(&format!("subnet/{subnet}")),
        ec2("launch-template/*"),
        format!("arn:{partition}:ec2:{region}::image/*"),
    ];
    if request.security_group_ids.is_empty() {
        used.push(ec2("security-group/*"));
    }
    for id in &request.security_group_ids {
        used.push(ec2(&format!("security-group/{id}")));
    }
    need(
        "trigger-migration",
        &["ec2:RunInstances"],
        used,
        vec![VIA_SERVICE],
    );
    // The conversion server's work: volumes from snapshots.
    need(
        "trigger-migration",
        &["ec2:CreateSnapshot", "ec2:CreateTags"],
        vec![format!("arn:{partition}:ec2:{region}::snapshot/*")],
        vec![VIA_SERVICE],
    );
    need(
        "trigger-migration",
        &["ec2:CreateVolume", "ec2:AttachVolume"],
        vec![ec2("volume/*")],
        vec![VIA_SERVICE],
    );
    if !profile_roles.is_empty() {
        need(
            "trigger-migration",
            &["iam:PassRole"],
            profile_roles.to_vec(),
            vec![VIA_SERVICE, ("iam:PassedToService", "ec2.amazonaws.com")],
        );
    }
    if let Some(key) = key {
        need(
            "trigger-migration",
            &["kms:CreateGrant"],
            vec![key.to_owned()],
            vec![VIA_SERVICE, ("kms:GrantIsForAWSResource", "true")],
        );
        need(
            "trigger-migration",
            &[
                "kms:Decrypt",
                "kms:DescribeKey",
                "kms:GenerateDataKeyWithoutPlaintext",
                "kms:ReEncryptFrom",
                "kms:ReEncryptTo",
            ],
            vec![key.to_owned()],
            vec![VIA_SERVICE],
        );
    }
    // A rollback must be possible before anything is launched.
    need(
        "rollback",
        &[
            "mgn:ChangeServerLifeCycleState",
            "mgn:TerminateTargetInstances",
            "mgn:UpdateLaunchConfiguration",
        ],
        servers(),
        vec![],
    );
    if request.policy.rollback.stops_replication() {
        need(
            "rollback",
            &["mgn:DisconnectFromService"],
            servers(),
            vec![],
        );
    }
    need(
        "rollback",
        &["ec2:ModifyLaunchTemplate"],
        vec![ec2("launch-template/*")],
        vec![],
    );
    need(
        "rollback",
        &["ec2:TerminateInstances"],
        vec![ec2("instance/*")],
        vec![VIA_SERVICE],
    );
    needs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::tests::request;
    use landfall_accounts::actions;
    use serde_json::json;

    fn home() -> Home {
        Home {
            account: "123456789012".into(),
            region: "eu-central-1".into(),
        }
    }

    fn actions_of(steps: &[&str], key: Option<&str>) -> Vec<&'static str> {
        let request = request(json!({ "steps": steps }));
        let roles = ["arn:aws:iam::123456789012:role/app".to_owned()];
        let needs = of(&request, &home(), "aws", &roles, key);
        let mut actions: Vec<_> = needs.iter().flat_map(|need| need.actions.clone()).collect();
        actions.sort_unstable();
        actions.dedup();
        actions
    }

    #[test]
    fn only_what_the_phases_will_call() {
        assert!(actions_of(&["freeze"], None).is_empty());
        let replicate = actions_of(&["replicate"], None);
        assert!(replicate.contains(&"ssm:SendCommand"));
        assert!(!replicate.iter().any(|action| action.starts_with("ec2:Run")));
        let test = actions_of(&["validate"], None);
        assert!(test.contains(&"mgn:StartTest") && !test.contains(&"mgn:StartCutover"));
        assert!(!test.contains(&"ssm:SendCommand") && !test.contains(&"kms:CreateGrant"));
        let all = actions_of(&["replicate", "validate", "switch"], Some("arn:key"));
        for action in ["mgn:FinalizeCutover", "iam:PassRole", "kms:CreateGrant"] {
            assert!(all.contains(&action), "{action}");
        }
    }

    #[test]
    fn a_rollback_that_ends_the_replication_may_disconnect() {
        let stop = json!({"steps": ["validate"], "policy": {"rollback": {"replication": "stop"}}});
        for (changes, wanted) in [(json!({"steps": ["validate"]}), false), (stop, true)] {
            let needs = of(&request(changes), &home(), "aws", &[], None);
            let mut actions = needs.iter().flat_map(|need| need.actions.iter());
            assert_eq!(actions.any(|it| *it == "mgn:DisconnectFromService"), wanted);
        }
    }

    #[test]
    fn nothing_is_wanted_that_the_stage_s_session_policy_would_not_let_through() {
        let request = request(json!({}));
        let roles = ["arn:aws:iam::123456789012:role/app".to_owned()];
        for need in of(&request, &home(), "aws", &roles, Some("arn:key")) {
            let stage = actions::ALL
                .into_iter()
                .find(|stage| stage.function == need.function)
                .unwrap();
            let via = need.context.contains(&VIA_SERVICE);
            for action in &need.actions {
                let list = if via { stage.via_service } else { stage.direct };
                assert!(list.contains(action), "{} {action}", need.function);
            }
        }
    }

    #[test]
    fn the_request_s_own_resources_are_named() {
        let needs = of(&request(json!({})), &home(), "aws-cn", &[], None);
        let all: Vec<&String> = needs.iter().flat_map(|need| &need.resources).collect();
        for wanted in [
            "arn:aws-cn:ec2:eu-central-1:123456789012:subnet/subnet-0a1b2c3d",
            "arn:aws-cn:ec2:eu-central-1:123456789012:security-group/sg-0a1b2c3d",
        ] {
            assert!(all.iter().any(|resource| *resource == wanted), "{wanted}");
        }
        assert!(
            all.iter()
                .all(|resource| resource.starts_with("arn:aws-cn:"))
        );
    }
}
