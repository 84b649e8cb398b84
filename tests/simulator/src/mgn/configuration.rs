//! Launch and replication configuration of one server.

use serde_json::{Value, json};

use super::{text, view};
use crate::error::{ApiError, ApiResult};
use crate::world::World;
use crate::world::replication::State;

pub(super) fn get_launch(world: &mut World, input: &Value) -> ApiResult {
    let server = world.server(text(input, "sourceServerID"))?;
    let mut out = server.launch_configuration.clone();
    // A disconnected server has no template any more.
    view::put(&mut out, "ec2LaunchTemplateID", server.template_id.clone());
    if out.get("postLaunchActions").is_none() {
        out["postLaunchActions"] = json!({});
    }
    Ok(out)
}

pub(super) fn update_launch(world: &mut World, input: &Value) -> ApiResult {
    let server = world.server(text(input, "sourceServerID"))?;
    connected(server.connected(), &server.id)?;
    let members = [
        "name",
        "launchDisposition",
        "targetInstanceTypeRightSizingMethod",
        "copyPrivateIp",
        "copyTags",
        "licensing",
        "bootMode",
        "postLaunchActions",
        "enableMapAutoTagging",
        "mapAutoTaggingMpeID",
    ];
    view::merge(&mut server.launch_configuration, input, &members);
    get_launch(world, input)
}

pub(super) fn get_replication(world: &mut World, input: &Value) -> ApiResult {
    Ok(world
        .server(text(input, "sourceServerID"))?
        .replication_configuration
        .clone())
}

/// Another key begins the replication anew: the staging disks are made again, and everything is copied onto them.
pub(super) fn update_replication(world: &mut World, input: &Value) -> ApiResult {
    let now = world.now;
    let server = world.server(text(input, "sourceServerID"))?;
    connected(server.connected(), &server.id)?;
    let members = [
        "name",
        "stagingAreaSubnetId",
        "associateDefaultSecurityGroup",
        "replicationServersSecurityGroupsIDs",
        "replicationServerInstanceType",
        "useDedicatedReplicationServer",
        "defaultLargeStagingDiskType",
        "replicatedDisks",
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
    let before = key(&server.replication_configuration).cloned();
    view::merge(&mut server.replication_configuration, input, &members);
    let changed = key(&server.replication_configuration) != before.as_ref();
    if changed && server.replication.state != State::Stopped {
        server.replication.initiate(now);
    }
    get_replication(world, input)
}

/// The key that staging disks are encrypted with; none is the account's default.
fn key(configuration: &Value) -> Option<&Value> {
    let own = configuration["ebsEncryption"] == "CUSTOM";
    configuration.get("ebsEncryptionKeyArn").filter(|_| own)
}

fn connected(connected: bool, id: &str) -> ApiResult<()> {
    if connected {
        return Ok(());
    }
    Err(ApiError::conflict(
        "SourceServer",
        id,
        "The source server is disconnected from the service.",
    ))
}
