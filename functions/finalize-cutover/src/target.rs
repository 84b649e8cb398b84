//! The target instance: found, protected against termination, tagged.

use std::collections::BTreeMap;

use aws_sdk_ec2::types::{AttributeBooleanValue, InstanceStateName, Tag};
use landfall_common::AwsResultExt as _;
use landfall_domain::finalize::{State, Step};
use landfall_domain::{MigrationRecord, StageError};
use serde_json::json;

use crate::steps::{Clock, begin, finish};
use crate::{Deps, REFUSED};

/// Where the users are going.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) instance_id: String,
    pub(crate) private_ip: String,
}

/// The instance of the cutover, which must run: after a long soak this is not a matter of course.
pub(crate) async fn find(deps: &Deps, record: &MigrationRecord) -> Result<Target, StageError> {
    let instance_id = record
        .done
        .cutover
        .as_ref()
        .and_then(|launch| launch.instance_id.clone())
        .ok_or_else(|| {
            StageError::new(
                REFUSED,
                "the migration has no cutover instance; nothing can be finalized",
            )
        })?;
    let answer = deps
        .ec2
        .describe_instances()
        .instance_ids(&instance_id)
        .send()
        .await
        .or_stage(REFUSED, "ec2:DescribeInstances")?;
    let instance = answer
        .reservations()
        .iter()
        .flat_map(aws_sdk_ec2::types::Reservation::instances)
        .find(|instance| instance.instance_id() == Some(instance_id.as_str()));
    let state = instance
        .and_then(|instance| instance.state())
        .and_then(|state| state.name());
    if state != Some(&InstanceStateName::Running) {
        let state = state.map_or("gone", InstanceStateName::as_str);
        return Err(StageError::new(
            REFUSED,
            format!(
                "the cutover instance {instance_id} is {state}, not running; users stay on the source"
            ),
        ));
    }
    let private_ip = instance
        .and_then(|instance| instance.private_ip_address())
        .unwrap_or_default()
        .to_owned();
    if private_ip.is_empty() {
        return Err(StageError::new(
            REFUSED,
            format!("the cutover instance {instance_id} has no private address"),
        ));
    }
    Ok(Target {
        instance_id,
        private_ip,
    })
}

/// Protects the instance and tags it. Both calls set a state, so doing them again changes nothing.
pub(crate) async fn seal(
    deps: &Deps,
    record: MigrationRecord,
    target: &Target,
    clock: Clock,
) -> Result<MigrationRecord, StageError> {
    let intent = json!({ "instanceId": target.instance_id, "privateIp": target.private_ip });
    let record = begin(deps, record, Step::TargetSealed, intent.clone(), clock).await?;
    let tags = tags(&record)
        .into_iter()
        .map(|(key, value)| Tag::builder().key(key).value(value).build())
        .collect();
    let (protected, tagged) = tokio::join!(
        deps.ec2
            .modify_instance_attribute()
            .instance_id(&target.instance_id)
            .disable_api_termination(AttributeBooleanValue::builder().value(true).build())
            .send(),
        deps.ec2
            .create_tags()
            .resources(&target.instance_id)
            .set_tags(Some(tags))
            .send(),
    );
    protected.or_stage(REFUSED, "ec2:ModifyInstanceAttribute")?;
    tagged.or_stage(REFUSED, "ec2:CreateTags")?;
    finish(
        deps,
        record,
        Step::TargetSealed,
        (State::Done, intent),
        clock,
    )
    .await
}

/// The tags of the request, and where the instance came from.
fn tags(record: &MigrationRecord) -> BTreeMap<String, String> {
    let request = &record.request;
    let mut tags = request.tags.clone();
    let own = [
        ("Name", request.target_vm_name.as_ref()),
        ("CostCenter", request.cost_center.as_ref()),
        ("Owner", request.owner.as_ref()),
        ("DataClassification", request.data_classification.as_ref()),
        ("landfall:migrationId", Some(&record.migration_id)),
        ("landfall:tenantId", Some(&record.tenant_id)),
        ("landfall:sourceVmId", Some(&request.source_vm_id)),
        ("landfall:wave", Some(&request.wave)),
    ];
    for (key, value) in own {
        if let Some(value) = value {
            // What the request says itself wins.
            tags.entry(key.to_owned()).or_insert_with(|| value.clone());
        }
    }
    tags
}
