//! Post-launch actions of servers and of launch templates: kept and listed; launches do not run them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{page, text, texts, view};
use crate::error::{ApiError, ApiResult};
use crate::world::World;

const MEMBERS: [&str; 12] = [
    "actionID",
    "actionName",
    "documentIdentifier",
    "order",
    "documentVersion",
    "active",
    "timeoutSeconds",
    "mustSucceedForCutover",
    "parameters",
    "externalParameters",
    "description",
    "category",
];
const MOST: usize = 100;

pub(super) fn put(world: &mut World, operation: &str, input: &Value) -> ApiResult {
    let actions = of(world, operation, input)?;
    let id = text(input, "actionID");
    if actions.len() >= MOST && !actions.contains_key(id) {
        return Err(ApiError::conflict(
            "Action",
            id,
            format!("There are {MOST} actions, as many as are allowed."),
        ));
    }
    let mut action = json!({"active": true, "documentVersion": "$DEFAULT", "timeoutSeconds": 3600, "mustSucceedForCutover": false});
    view::merge(&mut action, input, &MEMBERS);
    if operation == "PutTemplateAction" {
        view::merge(&mut action, input, &["operatingSystem"]);
    }
    actions.insert(id.to_owned(), action.clone());
    Ok(action)
}

pub(super) fn list(world: &mut World, operation: &str, input: &Value) -> ApiResult {
    let wanted = texts(&input["filters"], "actionIDs");
    let actions = of(world, operation, input)?;
    let chosen = actions
        .iter()
        .filter(|(id, _)| wanted.is_empty() || wanted.contains(id));
    let mut items: Vec<_> = chosen
        .map(|(id, action)| (id.clone(), action.clone()))
        .collect();
    items.sort_by_key(|(_, action)| action["order"].as_i64());
    page::page(items, input, operation)
}

pub(super) fn remove(world: &mut World, operation: &str, input: &Value) -> ApiResult {
    let id = text(input, "actionID");
    of(world, operation, input)?
        .remove(id)
        .map(|_| Value::Null)
        .ok_or_else(|| ApiError::not_found("Action", id))
}

fn of<'a>(
    world: &'a mut World,
    operation: &str,
    input: &Value,
) -> ApiResult<&'a mut BTreeMap<String, Value>> {
    if operation.contains("SourceServer") {
        return Ok(&mut world.server(text(input, "sourceServerID"))?.actions);
    }
    let id = text(input, "launchConfigurationTemplateID");
    if !world.here.launch_templates.contains_key(id) {
        return Err(ApiError::not_found("LaunchConfigurationTemplate", id));
    }
    Ok(world
        .here
        .template_actions
        .entry(id.to_owned())
        .or_default())
}
