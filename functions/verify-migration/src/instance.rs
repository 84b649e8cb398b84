//! What EC2 says of an instance.

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{InstanceStateName, SummaryStatus};
use landfall_common::AwsResultExt as _;
use landfall_common::aws_error::{code, stage_error};
use landfall_domain::health::Target;
use landfall_domain::{ErrorName, StageError};

/// Whether an instance can be checked.
#[derive(Debug, PartialEq)]
pub(crate) enum State {
    /// Running, and both status checks are ok.
    Ready(Target),
    /// Not yet; the text says what is missing.
    Starting(String),
    /// Stopped, terminated or unknown.
    Gone(String),
}

/// Two calls at once: the address comes from one, the status checks from the other.
pub(crate) async fn look(ec2: &Client, instance_id: &str) -> Result<State, StageError> {
    let (described, status) = tokio::join!(
        ec2.describe_instances().instance_ids(instance_id).send(),
        ec2.describe_instance_status()
            .instance_ids(instance_id)
            .include_all_instances(true)
            .send(),
    );
    let described = match described {
        Ok(described) => described,
        Err(error) if code(&error) == Some("InvalidInstanceID.NotFound") => {
            // EC2 is eventually consistent: a new instance may be unknown for a while.
            return Ok(State::Starting("EC2 does not know it".to_owned()));
        }
        Err(error) => {
            return Err(stage_error(
                &error,
                ErrorName::VerificationError,
                "ec2:DescribeInstances",
            ));
        }
    };
    let Some(instance) = described
        .reservations()
        .iter()
        .flat_map(aws_sdk_ec2::types::Reservation::instances)
        .next()
    else {
        return Ok(State::Starting("EC2 does not show it".to_owned()));
    };
    let name = instance.state().and_then(|state| state.name());
    match name {
        Some(InstanceStateName::Running) => {}
        Some(InstanceStateName::Pending) | None => {
            return Ok(State::Starting("it is pending".to_owned()));
        }
        Some(other) => return Ok(State::Gone(format!("it is {}", other.as_str()))),
    }
    let status = status.or_stage(ErrorName::VerificationError, "ec2:DescribeInstanceStatus")?;
    let checks = status.instance_statuses().first();
    let ok = |summary: Option<&SummaryStatus>| summary == Some(&SummaryStatus::Ok);
    let instance_status = checks
        .and_then(|c| c.instance_status())
        .and_then(|s| s.status());
    let system_status = checks
        .and_then(|c| c.system_status())
        .and_then(|s| s.status());
    if ok(instance_status) && ok(system_status) {
        return Ok(State::Ready(Target {
            instance_id: instance_id.to_owned(),
            private_ip: instance.private_ip_address().unwrap_or_default().to_owned(),
        }));
    }
    let name =
        |status: Option<&SummaryStatus>| status.map_or("unknown", SummaryStatus::as_str).to_owned();
    Ok(State::Starting(format!(
        "instance status is {}, system status is {}",
        name(instance_status),
        name(system_status)
    )))
}
