//! Applications and waves: a server belongs to at most one application, an application to at most one wave.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{page, tag_map, text, texts, view};
use crate::error::{ApiError, ApiResult};
use crate::switches::Switch;
use crate::world::World;
use crate::world::ids;
use crate::world::replication::State;
use crate::world::server::{LifeCycle, Server};

const MOST_SERVERS: usize = 200;
const MOST_ACTIVE: usize = 200;

/// Which of the two an operation is about.
#[derive(Clone, Copy, PartialEq)]
struct Kind {
    name: &'static str,
    id: &'static str,
    prefix: &'static str,
    arn: &'static str,
}

const APPLICATION: Kind = Kind {
    name: "Application",
    id: "applicationID",
    prefix: "app",
    arn: "application",
};
const WAVE: Kind = Kind {
    name: "Wave",
    id: "waveID",
    prefix: "wave",
    arn: "wave",
};

fn kind(operation: &str) -> Kind {
    if operation.contains("Wave") {
        WAVE
    } else {
        APPLICATION
    }
}

fn table(world: &mut World, kind: Kind) -> &mut BTreeMap<String, Value> {
    if kind == WAVE {
        &mut world.here.waves
    } else {
        &mut world.here.applications
    }
}

fn found<'a>(world: &'a mut World, kind: Kind, id: &str) -> ApiResult<&'a mut Value> {
    table(world, kind)
        .get_mut(id)
        .ok_or_else(|| ApiError::not_found(kind.name, id))
}

pub(super) fn create(world: &mut World, operation: &str, input: &Value) -> ApiResult {
    let kind = kind(operation);
    unique(world, kind, text(input, "name"), None)?;
    within(active(world, kind), kind)?;
    let id = ids::mint(kind.prefix);
    let now = world.stamp(world.now);
    let mut item = json!({
        kind.id: id, "arn": world.arn(kind.arn, &id), "isArchived": false, "tags": tag_map(input),
        "creationDateTime": now, "lastModifiedDateTime": now,
    });
    view::merge(&mut item, input, &["name", "description"]);
    table(world, kind).insert(id.clone(), item);
    shown(world, kind, &id)
}

pub(super) fn update(world: &mut World, operation: &str, input: &Value) -> ApiResult {
    let kind = kind(operation);
    let id = text(input, kind.id);
    if let Some(name) = input["name"].as_str() {
        unique(world, kind, name, Some(id))?;
    }
    let item = found(world, kind, id)?;
    if item["isArchived"] == true {
        return Err(ApiError::conflict(kind.name, id, "It is archived."));
    }
    view::merge(item, input, &["name", "description"]);
    touch(world, kind, id);
    shown(world, kind, id)
}

pub(super) fn delete(world: &mut World, operation: &str, input: &Value) -> ApiResult {
    let kind = kind(operation);
    let id = text(input, kind.id);
    let item = found(world, kind, id)?.clone();
    let used = if kind == WAVE {
        members_of_wave(world, id) > 0
    } else {
        servers_of(world, id).next().is_some() || item.get("waveID").is_some()
    };
    if used {
        return Err(ApiError::conflict(
            kind.name,
            id,
            "It is associated; disassociate it first.",
        ));
    }
    table(world, kind).remove(id);
    Ok(Value::Null)
}

pub(super) fn list(world: &mut World, operation: &str, input: &Value) -> ApiResult {
    let kind = kind(operation);
    let filters = &input["filters"];
    let ids = texts(
        filters,
        if kind == WAVE {
            "waveIDs"
        } else {
            "applicationIDs"
        },
    );
    let waves = if kind == WAVE {
        Vec::new()
    } else {
        texts(filters, "waveIDs")
    };
    let archived = filters["isArchived"].as_bool();
    let chosen: Vec<String> = table(world, kind)
        .iter()
        .filter(|(id, item)| {
            (ids.is_empty() || ids.contains(id))
                && (waves.is_empty()
                    || item["waveID"]
                        .as_str()
                        .is_some_and(|w| waves.iter().any(|x| x == w)))
                && archived.is_none_or(|a| item["isArchived"] == a)
        })
        .map(|(id, _)| id.clone())
        .collect();
    let items = chosen
        .into_iter()
        .map(|id| Ok((id.clone(), shown(world, kind, &id)?)));
    let items = items.collect::<ApiResult<Vec<_>>>()?;
    page::page(items, input, operation)
}

pub(super) fn archive(world: &mut World, operation: &str, input: &Value) -> ApiResult {
    let kind = kind(operation);
    let id = text(input, kind.id);
    let archive = operation.starts_with("Archive");
    let item = found(world, kind, id)?;
    let was = item["isArchived"] == true;
    if archive {
        let pending = if kind == WAVE {
            members_of_wave(world, id) > 0
        } else {
            servers_of(world, id).any(|s| !s.archived)
        };
        if pending {
            return Err(ApiError::conflict(
                kind.name,
                id,
                "It has members that are not archived.",
            ));
        }
    } else if was {
        within(active(world, kind), kind)?;
    }
    found(world, kind, id)?["isArchived"] = archive.into();
    touch(world, kind, id);
    shown(world, kind, id)
}

pub(super) fn servers(world: &mut World, operation: &str, input: &Value) -> ApiResult {
    let id = text(input, "applicationID");
    found(world, APPLICATION, id)?;
    let ids = texts(input, "sourceServerIDs");
    let associate = operation.starts_with("Associate");
    for server_id in &ids {
        let already = world.server(server_id)?.application_id.clone();
        check(
            world,
            associate,
            already.as_deref(),
            id,
            "SourceServer",
            server_id,
        )?;
    }
    if associate && servers_of(world, id).count() + ids.len() > MOST_SERVERS {
        return Err(ApiError::new(
            "ServiceQuotaExceededException",
            402,
            format!("An application has at most {MOST_SERVERS} source servers."),
        ));
    }
    for server_id in &ids {
        world.server(server_id)?.application_id = associate.then(|| id.to_owned());
    }
    touch(world, APPLICATION, id);
    Ok(json!({}))
}

pub(super) fn waves(world: &mut World, operation: &str, input: &Value) -> ApiResult {
    let id = text(input, "waveID");
    found(world, WAVE, id)?;
    let ids = texts(input, "applicationIDs");
    let associate = operation.starts_with("Associate");
    for application in &ids {
        let already = found(world, APPLICATION, application)?["waveID"]
            .as_str()
            .map(str::to_owned);
        check(
            world,
            associate,
            already.as_deref(),
            id,
            "Application",
            application,
        )?;
    }
    for application in &ids {
        let item = found(world, APPLICATION, application)?;
        if associate {
            item["waveID"] = id.into();
        } else if let Some(map) = item.as_object_mut() {
            map.remove("waveID");
        }
    }
    touch(world, WAVE, id);
    Ok(json!({}))
}

fn check(
    world: &World,
    associate: bool,
    already: Option<&str>,
    id: &str,
    kind: &str,
    member: &str,
) -> ApiResult<()> {
    match (associate, already) {
        (true, None) => Ok(()),
        (true, Some(owner)) => match world.switches.get(Switch::AssociateTwice) {
            "ok" if owner == id => Ok(()),
            // Seen live: AccessDenied rather than Conflict.
            "denied" => Err(ApiError::new(
                "AccessDeniedException",
                403,
                format!("{kind} {member} is associated with {owner} already."),
            )),
            _ => Err(ApiError::conflict(
                kind,
                member,
                format!("It is associated with {owner} already."),
            )),
        },
        (false, Some(owner)) if owner == id => Ok(()),
        (false, _) => Err(ApiError::conflict(
            kind,
            member,
            format!("It is not associated with {id}."),
        )),
    }
}

fn unique(world: &mut World, kind: Kind, name: &str, except: Option<&str>) -> ApiResult<()> {
    let taken = table(world, kind)
        .iter()
        .find(|(id, item)| item["name"] == name && Some(id.as_str()) != except);
    match taken {
        Some((id, _)) => Err(ApiError::conflict(
            kind.name,
            id,
            format!("The name `{name}` is taken."),
        )),
        None => Ok(()),
    }
}

fn active(world: &mut World, kind: Kind) -> usize {
    table(world, kind)
        .values()
        .filter(|item| item["isArchived"] == false)
        .count()
}

fn within(active: usize, kind: Kind) -> ApiResult<()> {
    if active < MOST_ACTIVE {
        return Ok(());
    }
    Err(ApiError::new(
        "ServiceQuotaExceededException",
        402,
        format!(
            "There are {MOST_ACTIVE} active resources of type {}.",
            kind.name
        ),
    ))
}

fn touch(world: &mut World, kind: Kind, id: &str) {
    let now = world.stamp(world.now);
    if let Some(item) = table(world, kind).get_mut(id) {
        item["lastModifiedDateTime"] = now.into();
    }
}

fn servers_of<'a>(world: &'a World, application: &'a str) -> impl Iterator<Item = &'a Server> {
    world
        .here
        .servers
        .values()
        .filter(move |s| s.application_id.as_deref() == Some(application))
}

fn members_of_wave(world: &World, wave: &str) -> usize {
    world
        .here
        .applications
        .values()
        .filter(|a| a["waveID"] == wave)
        .count()
}

/// The resource with its roll-up, whose rules the service does not publish.
fn shown(world: &mut World, kind: Kind, id: &str) -> ApiResult {
    let mut item = found(world, kind, id)?.clone();
    let members: Vec<&Server> = if kind == WAVE {
        let applications = world
            .here
            .applications
            .values()
            .filter(|a| a["waveID"] == id)
            .filter_map(|a| a["applicationID"].as_str());
        applications.flat_map(|a| servers_of(world, a)).collect()
    } else {
        servers_of(world, id).collect()
    };
    let broken = |s: &&Server| match s.replication.state {
        State::Stalled => true,
        State::Disconnected => s.life_cycle != LifeCycle::Cutover,
        _ => false,
    };
    let lagging = |s: &&Server| {
        s.replication
            .lag(world.now)
            .is_some_and(|lag| !lag.is_zero())
    };
    let idle = |s: &&Server| {
        matches!(
            s.life_cycle,
            LifeCycle::PendingInstallation | LifeCycle::Stopped
        )
    };
    let health = if members.iter().any(broken) {
        "ERROR"
    } else if members.iter().any(lagging) {
        "LAGGING"
    } else {
        "HEALTHY"
    };
    let progress = if members.iter().all(idle) {
        "NOT_STARTED"
    } else if members.iter().all(|s| s.life_cycle == LifeCycle::Cutover) {
        "COMPLETED"
    } else {
        "IN_PROGRESS"
    };
    let mut status = json!({"lastUpdateDateTime": world.stamp(world.now), "healthStatus": health, "progressStatus": progress});
    if kind == WAVE {
        status["totalApplications"] = members_of_wave(world, id).into();
        let started = members
            .iter()
            .filter_map(|s| s.replication.initiated_at)
            .min();
        view::put(
            &mut status,
            "replicationStartedDateTime",
            started.map(|at| world.stamp(at)),
        );
        item["waveAggregatedStatus"] = status;
    } else {
        status["totalSourceServers"] = members.len().into();
        item["applicationAggregatedStatus"] = status;
    }
    Ok(item)
}
