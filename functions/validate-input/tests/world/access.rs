//! IAM, KMS and Service Quotas.

use std::sync::{Arc, Mutex};

use aws_sdk_iam::operation::get_instance_profile as profile;
use aws_sdk_iam::operation::simulate_principal_policy as simulate;
use aws_sdk_iam::types::error::NoSuchEntityException;
use aws_sdk_iam::types::{
    EvaluationResult, InstanceProfile, PolicyEvaluationDecisionType as Decision, Role,
};
use aws_sdk_kms::operation::describe_key as key;
use aws_sdk_kms::types::KeyMetadata;
use aws_sdk_kms::types::error::NotFoundException;
use aws_sdk_servicequotas::operation::list_service_quotas as quotas;
use aws_sdk_servicequotas::types::ServiceQuota;
use aws_smithy_mocks::{MockResponse, RuleMode, mock, mock_client};
use aws_smithy_types::DateTime;

use super::World;

pub(crate) fn iam(world: &Arc<Mutex<World>>) -> aws_sdk_iam::Client {
    use aws_sdk_iam::Client;
    let shared = Arc::clone(world);
    let profiles = mock!(Client::get_instance_profile).then_compute_response(move |input| {
        let mut world = shared.lock().unwrap();
        world.calls.push("GetInstanceProfile");
        if let Some(refusal) = world.refusal("GetInstanceProfile") {
            return MockResponse::Error(profile::GetInstanceProfileError::generic(refusal));
        }
        let name = input.instance_profile_name().unwrap();
        let Some(has_role) = world.profiles.get(name) else {
            return MockResponse::Error(profile::GetInstanceProfileError::NoSuchEntityException(
                NoSuchEntityException::builder().message("none").build(),
            ));
        };
        let at = DateTime::from_secs(0);
        let role = Role::builder()
            .path("/")
            .role_name("app")
            .role_id("AROA")
            .arn("arn:aws:iam::123456789012:role/app")
            .create_date(at)
            .build()
            .unwrap();
        let found = InstanceProfile::builder()
            .path("/")
            .instance_profile_name(name)
            .instance_profile_id("AIPA")
            .arn("arn:aws:iam::123456789012:instance-profile/app")
            .create_date(at)
            .set_roles(Some(has_role.then_some(role).into_iter().collect()))
            .build()
            .unwrap();
        MockResponse::Output(
            profile::GetInstanceProfileOutput::builder()
                .instance_profile(found)
                .build(),
        )
    });
    let simulations = rule!(
        world,
        Client::simulate_principal_policy,
        simulate::SimulatePrincipalPolicyError,
        "SimulatePrincipalPolicy",
        |w, input| {
            let mut results = Vec::new();
            for action in input.action_names() {
                for resource in input.resource_arns() {
                    let decision = if w.denied.contains(&action.as_str()) {
                        Decision::ImplicitDeny
                    } else {
                        Decision::Allowed
                    };
                    results.push(
                        EvaluationResult::builder()
                            .eval_action_name(action)
                            .eval_resource_name(resource)
                            .eval_decision(decision)
                            .build()
                            .unwrap(),
                    );
                }
            }
            simulate::SimulatePrincipalPolicyOutput::builder()
                .set_evaluation_results(Some(results))
                .build()
        }
    );
    mock_client!(aws_sdk_iam, RuleMode::MatchAny, [&profiles, &simulations])
}

pub(crate) fn kms(world: &Arc<Mutex<World>>) -> aws_sdk_kms::Client {
    let shared = Arc::clone(world);
    let keys = mock!(aws_sdk_kms::Client::describe_key).then_compute_response(move |input| {
        let mut world = shared.lock().unwrap();
        world.calls.push("DescribeKey");
        if let Some(refusal) = world.refusal("DescribeKey") {
            return MockResponse::Error(key::DescribeKeyError::generic(refusal));
        }
        let id = input.key_id().unwrap();
        let Some(state) = world.keys.get(id) else {
            return MockResponse::Error(key::DescribeKeyError::NotFoundException(
                NotFoundException::builder()
                    .message("none")
                    .meta(
                        aws_smithy_types::error::ErrorMetadata::builder()
                            .code("NotFoundException")
                            .build(),
                    )
                    .build(),
            ));
        };
        MockResponse::Output(
            key::DescribeKeyOutput::builder()
                .key_metadata(
                    KeyMetadata::builder()
                        .key_id(id)
                        .arn(format!("arn:aws:kms:eu-central-1:123456789012:key/{id}"))
                        .key_state((*state).into())
                        .build()
                        .unwrap(),
                )
                .build(),
        )
    });
    mock_client!(aws_sdk_kms, RuleMode::MatchAny, [&keys])
}

pub(crate) fn quotas(world: &Arc<Mutex<World>>) -> aws_sdk_servicequotas::Client {
    let known = rule!(
        world,
        aws_sdk_servicequotas::Client::list_service_quotas,
        quotas::ListServiceQuotasError,
        "ListServiceQuotas",
        |w, _i| {
            let quota = w.replicating_quota.map(|value| {
                ServiceQuota::builder()
                    .quota_code("L-9A599620")
                    .value(value)
                    .build()
            });
            quotas::ListServiceQuotasOutput::builder()
                .set_quotas(Some(quota.into_iter().collect()))
                .build()
        }
    );
    mock_client!(aws_sdk_servicequotas, RuleMode::MatchAny, [&known])
}
