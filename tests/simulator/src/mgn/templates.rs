//! Replication and launch configuration templates.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{page, tag_map, text, texts, view};
use crate::error::{ApiError, ApiResult};
use crate::world::{World, ids};

const REPLICATION_ID: &str = "replicationConfigurationTemplateID";
const REPLICATION_KIND: &str = "ReplicationConfigurationTemplate";
const REPLICATION: [&str; 15] = [
    "stagingAreaSubnetId",
    "associateDefaultSecurityGroup",
    "replicationServersSecurityGroupsIDs",
    "replicationServerInstanceType",
    "useDedicatedReplicationServer",
    "defaultLargeStagingDiskType",
    "ebsEncryption",
    "ebsEncryptionKeyArn",
    "bandwidthThrottling",
    "dataPlaneRouting",
    "createPublicIP",
    "stagingAreaTags",
    "useFipsEndpoint",
    "internetProtocol",
    "storeSnapshotOnLocalZone",
];
const LAUNCH_ID: &str = "launchConfigurationTemplateID";
const LAUNCH_KIND: &str = "LaunchConfigurationTemplate";
const LAUNCH: [&str; 15] = [
    "postLaunchActions",
    "launchDisposition",
    "targetInstanceTypeRightSizingMethod",
    "copyPrivateIp",
    "copyTags",
    "associatePublicIpAddress",
    "licensing",
    "bootMode",
    "smallVolumeMaxSize",
    "smallVolumeConf",
    "largeVolumeConf",
    "enableMapAutoTagging",
    "mapAutoTaggingMpeID",
    "enableParametersEncryption",
    "parametersEncryptionKey",
];

pub(super) fn create_replication(world: &mut World, input: &Value) -> ApiResult {
    if let Some(id) = world.here.replication_templates.keys().next() {
        return Err(ApiError::validation(
            "other",
            format!("The account has the replication configuration template {id} already."),
            &[],
        ));
    }
    let id = ids::mint("rct");
    let mut template = json!({REPLICATION_ID: id, "arn": world.arn("replication-configuration-template", &id), "tags": tag_map(input)});
    view::merge(&mut template, input, &REPLICATION);
    world
        .here
        .replication_templates
        .insert(id, template.clone());
    Ok(template)
}

pub(super) fn describe_replication(world: &World, input: &Value) -> ApiResult {
    let wanted = texts(input, "replicationConfigurationTemplateIDs");
    describe(
        &world.here.replication_templates,
        &wanted,
        REPLICATION_KIND,
        input,
    )
}

pub(super) fn update_replication(world: &mut World, input: &Value) -> ApiResult {
    update(
        &mut world.here.replication_templates,
        text(input, REPLICATION_ID),
        REPLICATION_KIND,
        input,
        &REPLICATION,
    )
}

pub(super) fn delete_replication(world: &mut World, input: &Value) -> ApiResult {
    let id = text(input, REPLICATION_ID);
    world
        .here
        .replication_templates
        .remove(id)
        .map(|_| Value::Null)
        .ok_or_else(|| ApiError::not_found(REPLICATION_KIND, id))
}

pub(super) fn create_launch(world: &mut World, input: &Value) -> Value {
    let id = ids::mint("lct");
    let mut template = json!({
        LAUNCH_ID: id, "arn": world.arn("launch-configuration-template", &id), "tags": tag_map(input),
        "ec2LaunchTemplateID": ids::mint("lt"), "launchDisposition": "STARTED", "targetInstanceTypeRightSizingMethod": "BASIC",
        "copyPrivateIp": false, "copyTags": false, "associatePublicIpAddress": false, "licensing": {"osByol": true},
        "bootMode": "LEGACY_BIOS", "postLaunchActions": {},
    });
    view::merge(&mut template, input, &LAUNCH);
    world.here.launch_templates.insert(id, template.clone());
    template
}

pub(super) fn describe_launch(world: &World, input: &Value) -> ApiResult {
    let wanted = texts(input, "launchConfigurationTemplateIDs");
    describe(&world.here.launch_templates, &wanted, LAUNCH_KIND, input)
}

pub(super) fn update_launch(world: &mut World, input: &Value) -> ApiResult {
    update(
        &mut world.here.launch_templates,
        text(input, LAUNCH_ID),
        LAUNCH_KIND,
        input,
        &LAUNCH,
    )
}

pub(super) fn delete_launch(world: &mut World, input: &Value) -> ApiResult {
    let id = text(input, LAUNCH_ID);
    world
        .here
        .launch_templates
        .remove(id)
        .ok_or_else(|| ApiError::not_found(LAUNCH_KIND, id))?;
    world.here.template_actions.remove(id);
    Ok(Value::Null)
}

fn describe(
    templates: &BTreeMap<String, Value>,
    wanted: &[String],
    kind: &str,
    input: &Value,
) -> ApiResult {
    if let Some(unknown) = wanted.iter().find(|id| !templates.contains_key(*id)) {
        return Err(ApiError::not_found(kind, unknown));
    }
    let chosen = templates
        .iter()
        .filter(|(id, _)| wanted.is_empty() || wanted.contains(id));
    page::page(
        chosen
            .map(|(id, template)| (id.clone(), template.clone()))
            .collect(),
        input,
        kind,
    )
}

fn update(
    templates: &mut BTreeMap<String, Value>,
    id: &str,
    kind: &str,
    input: &Value,
    members: &[&str],
) -> ApiResult {
    let template = templates
        .get_mut(id)
        .ok_or_else(|| ApiError::not_found(kind, id))?;
    view::merge(template, input, members);
    Ok(template.clone())
}
