//! Tags of any resource, by ARN.

use serde_json::{Map, Value, json};

use super::{text, texts};
use crate::error::{ApiError, ApiResult};
use crate::world::World;
use crate::world::place::Place;

const MOST: usize = 50;

pub(super) fn answer(world: &mut World, operation: &str, input: &Value) -> ApiResult {
    let arn = text(input, "resourceArn").to_owned();
    let before = read(world, &arn)?;
    let mut tags = before.clone();
    match operation {
        "ListTagsForResource" => return Ok(json!({"tags": before})),
        "TagResource" => tags.extend(input["tags"].as_object().cloned().unwrap_or_default()),
        _ => {
            for key in texts(input, "tagKeys") {
                tags.remove(&key);
            }
        }
    }
    if tags.len() > MOST {
        return Err(ApiError::field(
            "tags",
            format!(
                "the resource would have {} tags, at most {MOST} are allowed",
                tags.len()
            ),
        ));
    }
    write(world, &arn, &tags);
    Ok(Value::Null)
}

/// The kind and identifier of an ARN of this account.
fn parts<'a>(world: &World, arn: &'a str) -> Option<(&'a str, &'a str)> {
    let Place { account, region } = &world.place;
    arn.strip_prefix(&format!("arn:aws:mgn:{region}:{account}:"))?
        .split_once('/')
}

fn read(world: &mut World, arn: &str) -> ApiResult<Map<String, Value>> {
    let missing = || ApiError::not_found("Resource", arn);
    let (kind, id) = parts(world, arn).ok_or_else(missing)?;
    let own = |tags: &std::collections::BTreeMap<String, String>| {
        tags.iter()
            .map(|(k, v)| (k.clone(), v.clone().into()))
            .collect()
    };
    match kind {
        "source-server" => world
            .here
            .servers
            .get(id)
            .map(|s| own(&s.tags))
            .ok_or_else(missing),
        "job" => world
            .here
            .jobs
            .iter()
            .find(|j| j.id == id)
            .map(|j| own(&j.tags))
            .ok_or_else(missing),
        _ => document(world, kind, id)
            .map(|d| d["tags"].as_object().cloned().unwrap_or_default())
            .ok_or_else(missing),
    }
}

fn write(world: &mut World, arn: &str, tags: &Map<String, Value>) {
    let Some((kind, id)) = parts(world, arn) else {
        return;
    };
    let own = || {
        tags.iter()
            .filter_map(|(k, v)| Some((k.clone(), v.as_str()?.to_owned())))
            .collect()
    };
    match kind {
        "source-server" => {
            if let Some(server) = world.here.servers.get_mut(id) {
                server.tags = own();
            }
        }
        "job" => {
            if let Some(job) = world.here.jobs.iter_mut().find(|j| j.id == id) {
                job.tags = own();
            }
        }
        _ => {
            if let Some(document) = document(world, kind, id) {
                document["tags"] = tags.clone().into();
            }
        }
    }
}

fn document<'a>(world: &'a mut World, kind: &str, id: &str) -> Option<&'a mut Value> {
    match kind {
        "application" => &mut world.here.applications,
        "wave" => &mut world.here.waves,
        "connector" => &mut world.here.connectors,
        "import" => &mut world.here.imports,
        "export" => &mut world.here.exports,
        "launch-configuration-template" => &mut world.here.launch_templates,
        "replication-configuration-template" => &mut world.here.replication_templates,
        _ => return None,
    }
    .get_mut(id)
}
