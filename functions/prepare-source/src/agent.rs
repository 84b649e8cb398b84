//! The replication agent: whether it has to be sent, and its installation through SSM.

use aws_sdk_ssm::config::retry::RetryConfig;
use aws_sdk_ssm::types::{
    CommandFilter, CommandFilterKey, InstanceInformation, InstanceInformationStringFilter,
    PingStatus, PlatformType,
};
use jiff::Timestamp;
use landfall_common::AwsResultExt;
use landfall_domain::agent::Standing;
use landfall_domain::installer::{self, Installation, Network, Platform};
use landfall_domain::record::AgentCommand;
use landfall_domain::request::{Account, AgentKind, MigrationRequest, Step};
use landfall_domain::{ErrorName, MigrationRecord, StageError, digest};
use landfall_mgn::identity;
use serde_json::json;

use crate::Deps;

/// The tag by which a managed node names its source.
const NODE_TAG: &str = "landfall:sourceVmId";
/// How long SSM tries to hand the command over, in seconds.
const DELIVERY_SECONDS: i32 = 600;
/// How long the installer may run, in seconds.
const EXECUTION_SECONDS: &str = "3600";

/// Whether the installer has to be sent: MGN does not have the server, and bringing it there is left to us.
///
/// # Errors
/// `SourcePreparationError` when MGN knows the source by several servers, when it is missing there and `replicate` is
/// not among the steps, or when it was discovered for replication without an agent and an agent is asked for.
pub(crate) async fn is_wanted(deps: &Deps, record: &MigrationRecord) -> Result<bool, StageError> {
    let request = &record.request;
    let id = request.source_vm_id.as_str();
    let servers = deps.mgn.all_servers().await?;
    let standing = match identity::matching(&servers, id, request.source_host.as_deref()).as_slice()
    {
        [] => Standing::Unknown,
        [server] => server.standing(),
        [first, second, ..] => {
            return Err(fault(format!(
                "MGN knows {id} by several source servers, {} and {}; archive or delete those that are not used",
                first.id, second.id
            )));
        }
    };
    if standing.is_connected() {
        return Ok(false);
    }
    if !request.wants(Step::Replicate) {
        return Err(fault(format!(
            "no connected source server in MGN is known by {id}, and the step replicate, which would wait for it, is not asked for"
        )));
    }
    match (request.agent_kind(), standing) {
        (AgentKind::Install, Standing::Discovered) => {
            Err(fault(standing.overdue(AgentKind::Install, id)))
        }
        (AgentKind::Install, _) => Ok(true),
        (kind @ (AgentKind::Preinstalled | AgentKind::Agentless), _) => {
            tracing::info!("the source comes to MGN by itself ({kind:?}): no agent is sent");
            Ok(false)
        }
    }
}

/// Sends the installer to the source, once. `again` tells that an earlier run may have sent it and died
/// before it could note that.
pub(crate) async fn install(
    deps: &Deps,
    mut record: MigrationRecord,
    again: bool,
    now: Timestamp,
) -> Result<MigrationRecord, StageError> {
    if record.done.agent_command.is_some() {
        return Ok(record);
    }
    let node = find_node(deps, &record.request).await?;
    let commands = commands(deps, &record.request, &node)?;
    let comment = comment(&record)?;
    let sent_before = if again {
        find_command(deps, &node.id, &comment, &record.status_since).await?
    } else {
        None
    };
    let command_id = match sent_before {
        Some(id) => id,
        None => send(deps, &node, &comment, commands).await?,
    };
    tracing::info!(
        commandId = command_id,
        instanceId = node.id,
        "the agent's installation is under way"
    );
    record.done.agent_command = Some(AgentCommand {
        command_id,
        instance_id: node.id,
    });
    deps.journal.store.save(record, now).await
}

struct Node {
    id: String,
    platform: Platform,
}

async fn find_node(deps: &Deps, request: &MigrationRequest) -> Result<Node, StageError> {
    let named = request
        .source_control
        .as_ref()
        .and_then(|control| control.ssm_instance_id.as_deref());
    let (key, value) = match named {
        Some(id) => ("InstanceIds".to_owned(), id),
        None => (format!("tag:{NODE_TAG}"), request.source_vm_id.as_str()),
    };
    let filter = InstanceInformationStringFilter::builder()
        .key(key)
        .values(value)
        .build()
        .map_err(|error| StageError::new(ErrorName::InternalError, error.to_string()))?;
    let mut items = deps
        .ssm
        .describe_instance_information()
        .filters(filter)
        .into_paginator()
        .items()
        .send();
    let mut nodes = Vec::new();
    while let Some(item) = items.next().await {
        nodes.push(item.or_stage(
            ErrorName::SourcePreparationError,
            "ssm:DescribeInstanceInformation",
        )?);
    }
    choose_node(&nodes, named, &request.source_vm_id)
}

/// The one node that is meant, if it can be used.
fn choose_node(
    nodes: &[InstanceInformation],
    named: Option<&str>,
    source_vm_id: &str,
) -> Result<Node, StageError> {
    let node = match (nodes, named) {
        ([node], _) => node,
        ([], Some(id)) => {
            return Err(fault(format!(
                "Systems Manager knows no managed node {id}; correct sourceControl.ssmInstanceId, or register the source with Systems Manager"
            )));
        }
        ([], None) => {
            return Err(fault(format!(
                "no managed node of Systems Manager has the tag {NODE_TAG}={source_vm_id}; register the source with Systems Manager and tag it, or give sourceControl.ssmInstanceId"
            )));
        }
        (several, _) => {
            let ids: Vec<&str> = several.iter().filter_map(|n| n.instance_id()).collect();
            return Err(fault(format!(
                "{} managed nodes have the tag {NODE_TAG}={source_vm_id}: {}; give sourceControl.ssmInstanceId",
                several.len(),
                ids.join(", ")
            )));
        }
    };
    let id = node
        .instance_id()
        .ok_or_else(|| fault("Systems Manager named a managed node without an ID"))?;
    if node.ping_status() != Some(&PingStatus::Online) {
        return Err(fault(format!(
            "managed node {id} is {} and not Online; start the source and its SSM agent, then resubmit",
            node.ping_status().map_or("unknown", PingStatus::as_str)
        )));
    }
    let platform = match node.platform_type() {
        Some(PlatformType::Linux) => Platform::Linux,
        Some(PlatformType::Windows) => Platform::Windows,
        other => {
            return Err(fault(format!(
                "managed node {id} runs {}, for which MGN has no agent; it has one for Linux and Windows",
                other.map_or("an unknown system", PlatformType::as_str)
            )));
        }
    };
    Ok(Node {
        id: id.to_owned(),
        platform,
    })
}

/// What a command of this attempt carries, so that a later run finds it again. SSM allows 100 characters.
fn comment(record: &MigrationRecord) -> Result<String, StageError> {
    let of = json!([record.tenant_id, record.migration_id, record.attempt]);
    let digest = digest::of_json(&of)
        .map_err(|error| StageError::new(ErrorName::InternalError, error.to_string()))?;
    Ok(format!("landfall agent {}", &digest[..32]))
}

/// The command that an earlier run sent without living to note it.
async fn find_command(
    deps: &Deps,
    node_id: &str,
    comment: &str,
    since: &str,
) -> Result<Option<String>, StageError> {
    let since: Option<Timestamp> = since.parse().ok();
    let filter = since
        .map(|at| {
            CommandFilter::builder()
                .key(CommandFilterKey::InvokedAfter)
                .value(at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
                .build()
        })
        .transpose()
        .map_err(|error| StageError::new(ErrorName::InternalError, error.to_string()))?;
    let mut items = deps
        .ssm
        .list_command_invocations()
        .instance_id(node_id)
        .set_filters(filter.map(|filter| vec![filter]))
        .into_paginator()
        .items()
        .send();
    while let Some(item) = items.next().await {
        let item = item.or_stage(
            ErrorName::SourcePreparationError,
            "ssm:ListCommandInvocations",
        )?;
        if item.comment() == Some(comment) && item.instance_id() == Some(node_id) {
            return Ok(item.command_id().map(str::to_owned));
        }
    }
    Ok(None)
}

/// What the node is told to run.
fn commands(
    deps: &Deps,
    request: &MigrationRequest,
    node: &Node,
) -> Result<Vec<String>, StageError> {
    let network = Network::of(request.agent.as_ref()).or(&deps.agent_network);
    if network.tells_a_secret() {
        return Err(fault(
            "the agent's proxy URL (agent.proxyUrl, or LANDFALL_AGENT_PROXY_URL of the deployment) carries credentials, which Systems Manager would keep and show; give one without",
        ));
    }
    let devices: &[String] = request
        .agent
        .as_ref()
        .map_or(&[], |agent| agent.devices.as_slice());
    if let Some(device) = devices.iter().find(|device| !node.platform.has(device)) {
        return Err(fault(format!(
            "agent.devices names {device}, and managed node {} runs {:?}; give /dev/… for Linux, and letters such as c: for Windows",
            node.id, node.platform
        )));
    }
    let role_arn = deps
        .agent_role_arn
        .as_deref()
        .map(|arn| there(arn, request.account.as_ref()));
    Ok(installer::commands(
        node.platform,
        &Installation {
            region: &deps.region,
            source_vm_id: &request.source_vm_id,
            role_arn: role_arn.as_deref(),
            network: &network,
            devices,
        },
    ))
}

/// The installer's role in the account that the request goes to: an agent registers with the account of its credentials.
fn there(role_arn: &str, account: Option<&Account>) -> String {
    let mut parts: Vec<&str> = role_arn.splitn(6, ':').collect();
    if let (Some(own), Some(account)) = (parts.get_mut(4), account) {
        *own = &account.id;
    }
    parts.join(":")
}

async fn send(
    deps: &Deps,
    node: &Node,
    comment: &str,
    commands: Vec<String>,
) -> Result<String, StageError> {
    let answer = deps
        .ssm
        .send_command()
        .document_name(node.platform.document())
        .instance_ids(&node.id)
        .comment(comment)
        .timeout_seconds(DELIVERY_SECONDS)
        .parameters("commands", commands)
        .parameters("executionTimeout", vec![EXECUTION_SECONDS.to_owned()])
        .customize()
        // SendCommand has no client token. After a lost answer the workflow runs this stage again, which looks
        // for the command first; the SDK would just send another.
        .config_override(aws_sdk_ssm::config::Builder::new().retry_config(RetryConfig::disabled()))
        .send()
        .await
        .or_stage(ErrorName::SourcePreparationError, "ssm:SendCommand")?;
    answer
        .command
        .and_then(|command| command.command_id)
        .ok_or_else(|| {
            StageError::new(
                ErrorName::DependencyUnavailable,
                "ssm:SendCommand answered without a command ID",
            )
        })
}

fn fault(message: impl Into<String>) -> StageError {
    StageError::new(ErrorName::SourcePreparationError, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(id: &str, ping: &str, platform: &str) -> InstanceInformation {
        InstanceInformation::builder()
            .instance_id(id)
            .ping_status(ping.into())
            .platform_type(platform.into())
            .build()
    }

    #[test]
    fn the_agent_registers_where_the_request_goes() {
        let arn = "arn:aws:iam::111111111111:role/landfall/agent:x";
        let account = Account {
            id: "222222222222".into(),
            region: "eu-central-1".into(),
            role_arn: None,
            external_id: None,
        };
        assert_eq!(there(arn, None), arn);
        assert_eq!(
            there(arn, Some(&account)),
            "arn:aws:iam::222222222222:role/landfall/agent:x"
        );
    }

    #[test]
    fn exactly_one_node_that_can_be_used() {
        let check = |nodes: &[InstanceInformation], named: Option<&str>, expected: &str| {
            let text = match choose_node(nodes, named, "vm-1") {
                Ok(node) => format!("{} {:?}", node.id, node.platform),
                Err(error) => {
                    assert_eq!(error.name, ErrorName::SourcePreparationError);
                    error.message
                }
            };
            assert!(text.contains(expected), "{text}");
        };
        let linux = node("mi-1", "Online", "Linux");
        check(std::slice::from_ref(&linux), None, "mi-1 Linux");
        check(
            &[node("mi-1", "Online", "Windows")],
            Some("mi-1"),
            "mi-1 Windows",
        );
        check(&[], None, "tag landfall:sourceVmId=vm-1; register");
        check(&[], Some("mi-9"), "correct sourceControl.ssmInstanceId");
        check(
            &[linux, node("mi-2", "Online", "Linux")],
            None,
            "mi-1, mi-2; give",
        );
        check(
            &[node("mi-1", "ConnectionLost", "Linux")],
            None,
            "is ConnectionLost and not Online",
        );
        check(&[node("mi-1", "Online", "MacOS")], None, "runs MacOS");
    }
}
