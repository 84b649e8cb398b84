//! Systems Manager Run Command for the source machines, and for the target instances that were launched of them.
//! Installing the replication agent is the one command that does something: it makes the server appear in MGN.

mod agent;

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::error::{ApiError, ApiResult};
use crate::world::effect::{Effect, EventRecord};
use crate::world::machine::Machine;
use crate::world::place::Place;
use crate::world::{BOOT, World};

const INSTALLATION: SignedDuration = SignedDuration::from_secs(60);
const OTHER: SignedDuration = SignedDuration::from_secs(5);

/// Commands that were sent in one place.
#[derive(Debug, Default, Serialize)]
pub struct Commands {
    invocations: Vec<Invocation>,
}

/// One command on one node.
#[derive(Debug, Clone, Serialize)]
struct Invocation {
    command_id: String,
    instance_id: String,
    document: String,
    comment: String,
    /// All of them, the script's lines among them.
    parameters: Value,
    script: String,
    status: &'static str,
    code: i64,
    stdout: String,
    stderr: String,
    sent: Timestamp,
    due: Timestamp,
}

/// Answers one SSM operation; `None` when it is not one of these and belongs to `MiniStack`.
pub fn answer(world: &mut World, operation: &str, input: &Value) -> Option<ApiResult> {
    Some(match operation {
        "DescribeInstanceInformation" => describe(world, input),
        "SendCommand" => send(world, input),
        "GetCommandInvocation" => get(world, input),
        "ListCommandInvocations" => Ok(list(world, input)),
        "ListCommands" => Ok(list_commands(world, input)),
        "CancelCommand" => cancel(world, input),
        _ => return None,
    })
}

impl Commands {
    /// When the next command ends.
    pub(crate) fn deadline(&self) -> Option<Timestamp> {
        let running = self
            .invocations
            .iter()
            .filter(|it| it.status == "InProgress");
        running.map(|it| it.due).min()
    }
}

impl World {
    /// Ends the commands that are due.
    pub(crate) fn advance_commands(&mut self, now: Timestamp) {
        let due: Vec<usize> = (0..self.here.commands.invocations.len())
            .filter(|i| {
                let invocation = &self.here.commands.invocations[*i];
                invocation.status == "InProgress" && invocation.due <= now
            })
            .collect();
        for index in due {
            let invocation = self.here.commands.invocations[index].clone();
            let outcome = agent::run(self, &invocation);
            let target = &mut self.here.commands.invocations[index];
            (target.status, target.code) = if outcome.code == 0 {
                ("Success", 0)
            } else {
                ("Failed", outcome.code)
            };
            target.stdout = outcome.stdout;
            target.stderr = outcome.stderr;
            let ended = target.clone();
            self.tell_command_ended(&ended);
        }
    }

    /// SSM's own event for the end of a command on one node (user guide, "Monitoring Systems Manager events").
    fn tell_command_ended(&mut self, invocation: &Invocation) {
        let Place { account, region } = &self.place;
        let resource = format!(
            "arn:aws:ssm:{region}:{account}:managed-instance/{}",
            invocation.instance_id
        );
        self.ask_for(Effect::Event(EventRecord {
            source: "simulator.ssm",
            detail_type: "EC2 Command Invocation Status-change Notification",
            resource,
            detail: json!({
                "command-id": invocation.command_id,
                "instance-id": invocation.instance_id,
                "document-name": invocation.document,
                "status": invocation.status,
            }),
            at: self.wall(),
        }));
    }

    /// Every node here: its ID, the machine behind it, and whether its agent answers. A target's does once it has booted.
    fn nodes(&self) -> impl Iterator<Item = (&str, &Machine, bool)> {
        let sources = self.machines_here().filter_map(|machine| {
            let online = machine.ssm_online && machine.running;
            Some((machine.ssm_instance_id.as_deref()?, machine, online))
        });
        let targets = self.here.servers.values().filter_map(|server| {
            let (launched, machine) = (server.launched.as_ref()?, self.machine_of(server)?);
            let booted = self.now >= launched.at + BOOT;
            let online = booted && machine.ssm_online;
            Some((launched.instance_id.as_str(), machine, online))
        });
        sources.chain(targets)
    }

    fn node(&self, instance_id: &str) -> Option<(&str, &Machine, bool)> {
        self.nodes().find(|(id, ..)| *id == instance_id)
    }
}

fn describe(world: &World, input: &Value) -> ApiResult {
    let mut filters: Vec<(String, Vec<String>)> = Vec::new();
    for (list, key) in [("Filters", "Key"), ("InstanceInformationFilterList", "key")] {
        let values = if key == "Key" { "Values" } else { "valueSet" };
        for filter in input[list].as_array().into_iter().flatten() {
            let wanted = strings(&filter[values]);
            filters.push((filter[key].as_str().unwrap_or_default().to_owned(), wanted));
        }
    }
    let mut items = Vec::new();
    for (node, machine, online) in world.nodes() {
        let is_source = machine.ssm_instance_id.as_deref() == Some(node);
        let mut fits = true;
        for (key, wanted) in &filters {
            let actual = match key.as_str() {
                "InstanceIds" => Some(node),
                "PingStatus" => Some(ping(online)),
                "PlatformTypes" => Some(machine.os.platform_type()),
                "ResourceType" => Some("ManagedInstance"),
                // A target's own tags are EC2's.
                tag if tag.starts_with("tag:") && !is_source => None,
                "tag:landfall:sourceVmId" => Some(machine.source_vm_id.as_str()),
                tag if tag.starts_with("tag:") => machine.tags.get(&tag[4..]).map(String::as_str),
                "AgentVersion" => Some("3.3.987.0"),
                other => {
                    return Err(json_error(
                        "InvalidInstanceInformationFilterValue",
                        &format!("The filter key {other} is not known here."),
                    ));
                }
            };
            fits &= actual.is_some_and(|actual| wanted.iter().any(|w| w == actual));
        }
        if fits {
            items.push(information(world, machine, node, online));
        }
    }
    page(&items, input, "InstanceInformationList")
}

fn information(world: &World, machine: &Machine, node: &str, online: bool) -> Value {
    let windows = machine.os.platform_type() == "Windows";
    json!({
        "InstanceId": node, "PingStatus": ping(online), "LastPingDateTime": world.clock.wall(world.now).as_second(),
        "AgentVersion": "3.3.987.0", "IsLatestVersion": true, "PlatformType": machine.os.platform_type(),
        "PlatformName": if windows { "Microsoft Windows Server 2022 Datacenter" } else { "Ubuntu" },
        "PlatformVersion": if windows { "10.0.20348" } else { "22.04" }, "ResourceType": "ManagedInstance",
        "IPAddress": machine.ips.first().map_or("", String::as_str), "ComputerName": machine.fqdn(),
        "Name": machine.hostname, "AssociationStatus": "Success", "RegistrationDate": world.clock.wall(world.now).as_second(),
        "ActivationId": "00000000-0000-4000-8000-000000000001", "IamRole": "LandfallSourceServer",
    })
}

fn ping(online: bool) -> &'static str {
    if online { "Online" } else { "ConnectionLost" }
}

fn send(world: &mut World, input: &Value) -> ApiResult {
    let document = input["DocumentName"].as_str().unwrap_or_default();
    if !matches!(document, "AWS-RunShellScript" | "AWS-RunPowerShellScript") {
        return Err(json_error(
            "InvalidDocument",
            &format!("Document with name {document} does not exist."),
        ));
    }
    let script = strings(&input["Parameters"]["commands"]).join("\n");
    if script.is_empty() {
        return Err(json_error(
            "InvalidParameters",
            "The parameter commands is missing.",
        ));
    }
    let mut nodes = strings(&input["InstanceIds"]);
    for target in input["Targets"].as_array().into_iter().flatten() {
        let wanted = strings(&target["Values"]);
        let key = target["Key"].as_str().unwrap_or_default();
        nodes.extend(world.machines_here().filter_map(|m| {
            let value = match key {
                "InstanceIds" => m.ssm_instance_id.as_deref(),
                "tag:landfall:sourceVmId" => Some(m.source_vm_id.as_str()),
                tag => tag
                    .strip_prefix("tag:")
                    .and_then(|tag| m.tags.get(tag))
                    .map(String::as_str),
            };
            value
                .filter(|v| wanted.iter().any(|w| w == v))
                .and(m.ssm_instance_id.clone())
        }));
    }
    let platform = if document == "AWS-RunShellScript" {
        "Linux"
    } else {
        "Windows"
    };
    if input["InstanceIds"].is_array() {
        for node in &nodes {
            let Some((_, machine, true)) = world.node(node) else {
                return Err(json_error(
                    "InvalidInstanceId",
                    "Instances not in a valid state for account",
                ));
            };
            if machine.os.platform_type() != platform {
                return Err(json_error(
                    "UnsupportedPlatformType",
                    "The document does not support the platform type of the given instance IDs.",
                ));
            }
        }
    }
    let now = world.now;
    let command_id = Uuid::new_v4().to_string();
    let length = if agent::is_installation(&script) {
        INSTALLATION
    } else {
        OTHER
    };
    for node in nodes {
        world.here.commands.invocations.push(Invocation {
            command_id: command_id.clone(),
            instance_id: node,
            document: document.to_owned(),
            comment: input["Comment"].as_str().unwrap_or_default().to_owned(),
            parameters: input["Parameters"].clone(),
            script: script.clone(),
            status: "InProgress",
            code: -1,
            stdout: String::new(),
            stderr: String::new(),
            sent: now,
            due: now + length,
        });
    }
    let mut command = command(world, &command_id)
        .unwrap_or_else(|| json!({"CommandId": command_id, "TargetCount": 0}));
    command["Parameters"] = input["Parameters"].clone();
    command["Status"] = "Pending".into();
    Ok(json!({"Command": command}))
}

fn command(world: &World, command_id: &str) -> Option<Value> {
    let all: Vec<_> = world
        .here
        .commands
        .invocations
        .iter()
        .filter(|i| i.command_id == command_id)
        .collect();
    let first = *all.first()?;
    let status = if all.iter().any(|i| i.status == "InProgress") {
        "InProgress"
    } else if all.iter().any(|i| i.status == "Failed") {
        "Failed"
    } else {
        first.status
    };
    Some(json!({
        "CommandId": command_id, "DocumentName": first.document, "DocumentVersion": "$DEFAULT", "Comment": first.comment,
        "InstanceIds": all.iter().map(|i| i.instance_id.clone()).collect::<Vec<_>>(), "Status": status, "StatusDetails": status,
        "TargetCount": all.len(), "CompletedCount": all.iter().filter(|i| i.status != "InProgress").count(),
        "ErrorCount": all.iter().filter(|i| i.status == "Failed").count(), "DeliveryTimedOutCount": 0,
        "RequestedDateTime": world.clock.wall(first.sent).as_second(), "MaxConcurrency": "50", "MaxErrors": "0",
    }))
}

fn get(world: &World, input: &Value) -> ApiResult {
    let (command, node) = (&input["CommandId"], &input["InstanceId"]);
    let found = world
        .here
        .commands
        .invocations
        .iter()
        .find(|i| *command == i.command_id && *node == i.instance_id);
    found.map(|i| invocation(world, i)).ok_or_else(|| {
        json_error(
            "InvocationDoesNotExist",
            "The command ID and instance ID don't match a command that was sent.",
        )
    })
}

fn invocation(world: &World, i: &Invocation) -> Value {
    let mut value = json!({
        "CommandId": i.command_id, "InstanceId": i.instance_id, "DocumentName": i.document, "DocumentVersion": "$DEFAULT",
        "Comment": i.comment, "PluginName": if i.document == "AWS-RunShellScript" { "aws:runShellScript" } else { "aws:runPowerShellScript" },
        "ResponseCode": i.code, "Status": i.status, "StatusDetails": i.status, "StandardOutputContent": i.stdout,
        "StandardErrorContent": i.stderr, "ExecutionStartDateTime": world.clock.wall(i.sent).to_string(),
        "StandardOutputUrl": "", "StandardErrorUrl": "",
    });
    if i.status != "InProgress" {
        value["ExecutionEndDateTime"] = world.clock.wall(i.due).to_string().into();
    }
    value
}

fn list(world: &World, input: &Value) -> Value {
    let fits = |filter: &Value, actual: &str| filter.as_str().is_none_or(|f| f == actual);
    let found = world.here.commands.invocations.iter().filter(|i| {
        fits(&input["CommandId"], &i.command_id) && fits(&input["InstanceId"], &i.instance_id)
    });
    let items: Vec<_> = found
        .map(|i| {
            json!({
                "CommandId": i.command_id, "InstanceId": i.instance_id, "DocumentName": i.document, "Comment": i.comment,
                "RequestedDateTime": world.clock.wall(i.sent).as_second(), "Status": i.status, "StatusDetails": i.status,
                "CommandPlugins": [{"Name": "aws:runScript", "Status": i.status, "ResponseCode": i.code, "Output": i.stdout}],
            })
        })
        .collect();
    json!({"CommandInvocations": items})
}

fn list_commands(world: &World, input: &Value) -> Value {
    let mut seen: BTreeMap<&str, Value> = BTreeMap::new();
    for i in &world.here.commands.invocations {
        let asked = input["CommandId"]
            .as_str()
            .is_none_or(|id| id == i.command_id);
        if asked && let Some(value) = command(world, &i.command_id) {
            seen.insert(&i.command_id, value);
        }
    }
    json!({"Commands": seen.into_values().collect::<Vec<_>>()})
}

fn cancel(world: &mut World, input: &Value) -> ApiResult {
    let mut known = false;
    for i in world
        .here
        .commands
        .invocations
        .iter_mut()
        .filter(|i| input["CommandId"] == i.command_id)
    {
        known = true;
        if i.status == "InProgress" {
            i.status = "Cancelled";
        }
    }
    if known {
        Ok(json!({}))
    } else {
        Err(json_error(
            "InvalidCommandId",
            "The specified command ID isn't valid.",
        ))
    }
}

fn page(items: &[Value], input: &Value, member: &str) -> ApiResult {
    let size = usize::try_from(input["MaxResults"].as_u64().unwrap_or(50))
        .unwrap_or(50)
        .clamp(1, 50);
    let from = match input["NextToken"].as_str() {
        None => 0,
        Some(token) => token
            .parse()
            .map_err(|_| json_error("InvalidNextToken", "The specified token isn't valid."))?,
    };
    let mut out = json!({member: items.iter().skip(from).take(size).collect::<Vec<_>>()});
    if from + size < items.len() {
        out["NextToken"] = (from + size).to_string().into();
    }
    Ok(out)
}

fn strings(list: &Value) -> Vec<String> {
    list.as_array()
        .into_iter()
        .flatten()
        .filter_map(|v| v.as_str().map(str::to_owned))
        .collect()
}

fn json_error(name: &str, message: &str) -> ApiError {
    ApiError::new(name, 400, message)
}
