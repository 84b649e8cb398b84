//! The way to sources: secrets, and EC2 where they run on it.

use std::sync::{Arc, Mutex};

use aws_sdk_ec2::operation::describe_instances as instances;
use aws_sdk_ec2::types::{Instance, InstanceState, Reservation};
use aws_sdk_secretsmanager::operation::get_secret_value as secret;
use aws_smithy_mocks::{MockResponse, RuleMode, mock, mock_client};
use aws_smithy_types::error::ErrorMetadata;
use landfall_external::LazyHttp;
use landfall_external::source::{Access, Ec2Sources};

use super::World;

/// The one instance that is a source.
pub(crate) const INSTANCE: &str = "i-0123456789abcdef0";

pub(crate) fn sources(world: &Arc<Mutex<World>>) -> Access {
    let shared = Arc::clone(world);
    let secrets = mock!(aws_sdk_secretsmanager::Client::get_secret_value).then_compute_response(
        move |_input| {
            let mut world = shared.lock().unwrap();
            world.calls.push("GetSecretValue");
            let output = secret::GetSecretValueOutput::builder();
            match world.secret {
                Some(text) => MockResponse::Output(output.secret_string(text).build()),
                None => MockResponse::Error(secret::GetSecretValueError::generic(
                    ErrorMetadata::builder()
                        .code("ResourceNotFoundException")
                        .message("there is none")
                        .build(),
                )),
            }
        },
    );
    let described = rule!(
        world,
        aws_sdk_ec2::Client::describe_instances,
        instances::DescribeInstancesError,
        "DescribeInstances",
        |w, _i| {
            let instance = w.source_state.map(|state| {
                let state = InstanceState::builder().name(state.into()).build();
                let instance = Instance::builder().instance_id(INSTANCE);
                instance.state(state).build()
            });
            let found = Some(instance.into_iter().collect());
            instances::DescribeInstancesOutput::builder()
                .reservations(Reservation::builder().set_instances(found).build())
                .build()
        }
    );
    Access {
        http: LazyHttp::default(),
        secrets: mock_client!(aws_sdk_secretsmanager, RuleMode::MatchAny, [&secrets]),
        ec2: Ec2Sources::with_client(mock_client!(aws_sdk_ec2, RuleMode::MatchAny, [&described])),
        allowed: vec!["http://127.0.0.1:4570".into()],
        removable: vec![],
    }
}
