//! Connectors, imports and exports. A task ends with the call that asks for it: the simulator reads no S3, so an
//! import changes nothing and says so in its counts.

use serde_json::{Value, json};

use super::{page, tag_map, text, texts, view};
use crate::error::{ApiError, ApiResult};
use crate::world::{World, ids};

pub(super) fn connectors(world: &mut World, operation: &str, input: &Value) -> ApiResult {
    let id = text(input, "connectorID");
    let missing = || ApiError::not_found("Connector", id);
    if let Some(name) = input["name"].as_str() {
        let taken = world
            .here
            .connectors
            .iter()
            .any(|(other, c)| other != id && text(c, "name").eq_ignore_ascii_case(name));
        if taken {
            return Err(ApiError::field("name", format!("`{name}` is taken")));
        }
    }
    match operation {
        "CreateConnector" => {
            let id = ids::mint("connector");
            let mut connector = json!({"connectorID": id, "arn": world.arn("connector", &id), "tags": tag_map(input)});
            view::merge(
                &mut connector,
                input,
                &["name", "ssmInstanceID", "ssmCommandConfig"],
            );
            world.here.connectors.insert(id, connector.clone());
            Ok(connector)
        }
        "UpdateConnector" => {
            let connector = world.here.connectors.get_mut(id).ok_or_else(missing)?;
            view::merge(connector, input, &["name", "ssmCommandConfig"]);
            Ok(connector.clone())
        }
        "DeleteConnector" => world
            .here
            .connectors
            .remove(id)
            .map(|_| Value::Null)
            .ok_or_else(missing),
        _ => {
            let wanted = texts(&input["filters"], "connectorIDs");
            let chosen = world
                .here
                .connectors
                .iter()
                .filter(|(id, _)| wanted.is_empty() || wanted.contains(id));
            page::page(
                chosen.map(|(id, c)| (id.clone(), c.clone())).collect(),
                input,
                operation,
            )
        }
    }
}

pub(super) fn start(world: &mut World, operation: &str, input: &Value) -> Value {
    let now = world.stamp(world.now);
    let mut task = json!({"creationDateTime": now, "endDateTime": now, "status": "SUCCEEDED", "progressPercentage": 100.0, "tags": tag_map(input)});
    if operation == "StartImport" {
        let id = ids::mint("import");
        let none = json!({"createdCount": 0, "modifiedCount": 0});
        task["importID"] = id.clone().into();
        task["arn"] = world.arn("import", &id).into();
        task["s3BucketSource"] = input["s3BucketSource"].clone();
        task["summary"] = json!({"waves": none, "applications": none, "servers": none});
        world.here.imports.insert(id, task.clone());
        return json!({"importTask": task});
    }
    let id = ids::mint("export");
    task["exportID"] = id.clone().into();
    task["arn"] = world.arn("export", &id).into();
    task["summary"] = json!({
        "serversCount": world.here.servers.len(), "applicationsCount": world.here.applications.len(), "wavesCount": world.here.waves.len(),
    });
    view::merge(&mut task, input, &["s3Bucket", "s3Key", "s3BucketOwner"]);
    world.here.exports.insert(id, task.clone());
    json!({"exportTask": task})
}

pub(super) fn list(world: &World, operation: &str, input: &Value) -> ApiResult {
    let (tasks, filter) = if operation == "ListImports" {
        (&world.here.imports, "importIDs")
    } else {
        (&world.here.exports, "exportIDs")
    };
    let wanted = texts(&input["filters"], filter);
    let chosen = tasks
        .iter()
        .filter(|(id, _)| wanted.is_empty() || wanted.contains(id));
    page::page(
        chosen.map(|(id, t)| (id.clone(), t.clone())).collect(),
        input,
        operation,
    )
}

pub(super) fn errors(world: &World, operation: &str, input: &Value) -> ApiResult {
    let (tasks, member) = if operation == "ListImportErrors" {
        (&world.here.imports, "importID")
    } else {
        (&world.here.exports, "exportID")
    };
    if !tasks.contains_key(text(input, member)) {
        return Err(ApiError::field(member, "no task has this identifier"));
    }
    page::page(Vec::new(), input, operation)
}
