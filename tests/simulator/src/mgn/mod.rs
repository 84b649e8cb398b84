//! The MGN API: from an operation's name and input to its output, under the world's lock.

mod actions;
mod applications;
mod configuration;
mod import;
mod jobs;
mod page;
mod servers;
mod tags;
mod templates;
pub mod validate;
mod view;

use serde_json::{Value, json};

use crate::error::{ApiError, ApiResult};
use crate::switches::Switch;
use crate::world::World;

/// Answers an operation.
pub fn answer(world: &mut World, operation: &str, input: &Value) -> ApiResult {
    validate::check(operation, input)?;
    // What makes an account usable must itself work in an unusable one, and tags have no such error.
    let open = [
        "InitializeService",
        "CreateReplicationConfigurationTemplate",
        "TagResource",
        "UntagResource",
        "ListTagsForResource",
    ];
    if !open.contains(&operation) && !world.usable() {
        return Err(ApiError::uninitialized());
    }
    if operation == "CreateReplicationConfigurationTemplate" && !world.here.initialized {
        return Err(ApiError::uninitialized());
    }
    let output = dispatch(world, operation, input)?;
    Ok(if world.switches.is(Switch::BogusArnTag, "on") {
        with_bogus_tag(output)
    } else {
        output
    })
}

#[rustfmt::skip]
fn dispatch(world: &mut World, operation: &str, input: &Value) -> ApiResult {
    match operation {
        "InitializeService" => { world.here.initialized = true; Ok(Value::Null) }
        "ListManagedAccounts" => page::page(vec![(world.place.account.clone(), json!({"accountId": world.place.account}))], input, operation),

        "DescribeSourceServers" => servers::describe(world, input),
        "UpdateSourceServer" => servers::update(world, input),
        "UpdateSourceServerReplicationType" => servers::update_replication_type(world, input),
        "ChangeServerLifeCycleState" => servers::change_life_cycle(world, input),
        "FinalizeCutover" => servers::finalize(world, input),
        "DisconnectFromService" => servers::disconnect(world, input),
        "MarkAsArchived" => servers::archive(world, input),
        "DeleteSourceServer" => servers::delete(world, input),
        "StartReplication" | "StopReplication" | "PauseReplication" | "ResumeReplication" | "RetryDataReplication" =>
            servers::replicate(world, operation, input),

        "StartTest" | "StartCutover" | "TerminateTargetInstances" => jobs::start(world, operation, input),
        "DescribeJobs" => jobs::describe(world, input),
        "DescribeJobLogItems" => jobs::log(world, input),
        "DeleteJob" => jobs::delete(world, input),

        "GetLaunchConfiguration" => configuration::get_launch(world, input),
        "UpdateLaunchConfiguration" => configuration::update_launch(world, input),
        "GetReplicationConfiguration" => configuration::get_replication(world, input),
        "UpdateReplicationConfiguration" => configuration::update_replication(world, input),

        "CreateReplicationConfigurationTemplate" => templates::create_replication(world, input),
        "DescribeReplicationConfigurationTemplates" => templates::describe_replication(world, input),
        "UpdateReplicationConfigurationTemplate" => templates::update_replication(world, input),
        "DeleteReplicationConfigurationTemplate" => templates::delete_replication(world, input),
        "CreateLaunchConfigurationTemplate" => Ok(templates::create_launch(world, input)),
        "DescribeLaunchConfigurationTemplates" => templates::describe_launch(world, input),
        "UpdateLaunchConfigurationTemplate" => templates::update_launch(world, input),
        "DeleteLaunchConfigurationTemplate" => templates::delete_launch(world, input),

        "PutSourceServerAction" | "PutTemplateAction" => actions::put(world, operation, input),
        "ListSourceServerActions" | "ListTemplateActions" => actions::list(world, operation, input),
        "RemoveSourceServerAction" | "RemoveTemplateAction" => actions::remove(world, operation, input),

        "CreateApplication" | "CreateWave" => applications::create(world, operation, input),
        "UpdateApplication" | "UpdateWave" => applications::update(world, operation, input),
        "DeleteApplication" | "DeleteWave" => applications::delete(world, operation, input),
        "ListApplications" | "ListWaves" => applications::list(world, operation, input),
        "ArchiveApplication" | "ArchiveWave" | "UnarchiveApplication" | "UnarchiveWave" =>
            applications::archive(world, operation, input),
        "AssociateSourceServers" | "DisassociateSourceServers" => applications::servers(world, operation, input),
        "AssociateApplications" | "DisassociateApplications" => applications::waves(world, operation, input),

        "CreateConnector" | "UpdateConnector" | "DeleteConnector" | "ListConnectors" => import::connectors(world, operation, input),
        "StartImport" | "StartExport" => Ok(import::start(world, operation, input)),
        "ListImports" | "ListExports" => import::list(world, operation, input),
        "ListImportErrors" | "ListExportErrors" => import::errors(world, operation, input),
        "DescribeVcenterClients" => page::page(Vec::new(), input, operation),
        "DeleteVcenterClient" => Err(ApiError::not_found("VcenterClient", input["vcenterClientID"].as_str().unwrap_or_default())),

        "ListTagsForResource" | "TagResource" | "UntagResource" => tags::answer(world, operation, input),
        other => Err(ApiError::validation("unknownOperation", format!("The operation {other} is not known."), &[])),
    }
}

/// The live service was seen to answer with a tag that its resource does not have.
fn with_bogus_tag(mut output: Value) -> Value {
    if let (Some(arn), Some(tags)) = (
        output.get("arn").cloned(),
        output.get_mut("tags").and_then(Value::as_object_mut),
    ) {
        tags.insert("resourceArn".into(), arn);
    }
    output
}

/// A text member of a validated input.
fn text<'a>(input: &'a Value, member: &str) -> &'a str {
    input[member].as_str().unwrap_or_default()
}

/// A list of texts.
fn texts(input: &Value, member: &str) -> Vec<String> {
    input[member]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|v| v.as_str().map(str::to_owned))
        .collect()
}

/// Tags as given.
fn tag_map(input: &Value) -> std::collections::BTreeMap<String, String> {
    let tags = input["tags"].as_object().into_iter().flatten();
    tags.filter_map(|(k, v)| Some((k.clone(), v.as_str()?.to_owned())))
        .collect()
}
