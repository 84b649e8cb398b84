//! Source servers: list, change, replicate, finalize, archive.

use serde_json::Value;

use super::{page, text, texts, view};
use crate::error::{ApiError, ApiResult};
use crate::switches::Switch;
use crate::world::World;
use crate::world::quota::ACTIVE_SERVERS;
use crate::world::replication::State;
use crate::world::server::{LifeCycle, Server};

const KIND: &str = "SourceServer";

pub(super) fn describe(world: &World, input: &Value) -> ApiResult {
    let filters = &input["filters"];
    let among = |member: &str, actual: Option<&str>| {
        // An empty list filters nothing, like an absent one.
        let wanted = filters[member].as_array().filter(|list| !list.is_empty());
        wanted.is_none_or(|list| actual.is_some_and(|actual| list.iter().any(|v| v == actual)))
    };
    let fits = |server: &Server| {
        among("sourceServerIDs", Some(&server.id))
            && among("replicationTypes", Some(&server.replication_type))
            && among("lifeCycleStates", Some(server.life_cycle.name()))
            && among("applicationIDs", server.application_id.as_deref())
            && filters["isArchived"]
                .as_bool()
                .is_none_or(|archived| archived == server.archived)
    };
    let items = world
        .here
        .servers
        .values()
        .filter(|s| fits(s))
        .map(|s| (s.id.clone(), view::server(world, s)));
    page::page(items.collect(), input, "DescribeSourceServers")
}

pub(super) fn update(world: &mut World, input: &Value) -> ApiResult {
    let server = world.server(text(input, "sourceServerID"))?;
    if server.archived {
        return Err(ApiError::conflict(
            KIND,
            &server.id,
            "The source server is archived.",
        ));
    }
    if let Some(given) = input["userProvidedID"].as_str() {
        server.user_provided_id = Some(given.to_owned());
    }
    if let Some(given) = input["fqdnForActionFramework"].as_str() {
        server.fqdn_for_action_framework = Some(given.to_owned());
    }
    if input["connectorAction"].is_object() {
        server.connector_action = Some(input["connectorAction"].clone());
    }
    shown(world, input)
}

pub(super) fn update_replication_type(world: &mut World, input: &Value) -> ApiResult {
    let server = world.server(text(input, "sourceServerID"))?;
    if server.replication.state != State::Stopped {
        return Err(ApiError::conflict(
            KIND,
            &server.id,
            "The replication type can be changed while replication is stopped only.",
        ));
    }
    text(input, "replicationType").clone_into(&mut server.replication_type);
    shown(world, input)
}

pub(super) fn change_life_cycle(world: &mut World, input: &Value) -> ApiResult {
    let id = text(input, "sourceServerID");
    let target = text(&input["lifeCycle"], "state");
    let guard = world.switches.is(Switch::LaunchableGuard, "on");
    let marks_revert = world.switches.is(Switch::Reverted, "on");
    refuse_while_busy(world, id)?;
    let now = world.now;
    let server = world.server(id)?;
    let refuse = |why: String| Err(ApiError::conflict(KIND, id, why));
    if server.archived {
        return refuse("The source server is archived.".into());
    }
    let finished_elsewhere = target == "CUTOVER" && server.life_cycle == LifeCycle::Disconnected;
    if guard && !server.replication.launchable() && !finished_elsewhere {
        return refuse(format!(
            "The source server is not launchable: it has no lagDuration (state {}).",
            server.life_cycle.name()
        ));
    }
    if server.life_cycle == LifeCycle::Cutover && target != "CUTOVER" {
        return refuse("The cutover of the source server is complete.".into());
    }
    let before = server.life_cycle;
    server.life_cycle = match target {
        "READY_FOR_TEST" => LifeCycle::ReadyForTest,
        "READY_FOR_CUTOVER" => LifeCycle::ReadyForCutover,
        _ => LifeCycle::Cutover,
    };
    if marks_revert {
        match (before, server.life_cycle) {
            (LifeCycle::Testing, LifeCycle::ReadyForTest) => server.last_test.reverted = Some(now),
            (LifeCycle::CuttingOver, LifeCycle::ReadyForCutover | LifeCycle::ReadyForTest) => {
                server.last_cutover.reverted = Some(now);
            }
            _ => {}
        }
    }
    shown(world, input)
}

pub(super) fn finalize(world: &mut World, input: &Value) -> ApiResult {
    let id = text(input, "sourceServerID");
    refuse_while_busy(world, id)?;
    let now = world.now;
    let again = world.switches.is(Switch::FinalizeTwice, "accept");
    let server = world.server(id)?;
    let allowed = server.life_cycle == LifeCycle::CuttingOver
        || again && server.life_cycle == LifeCycle::Cutover;
    if !allowed || server.archived {
        let state = server.life_cycle.name();
        return Err(ApiError::conflict(
            KIND,
            id,
            format!("The source server is in {state}; a cutover can be finalized in CUTTING_OVER."),
        ));
    }
    if server.life_cycle == LifeCycle::CuttingOver {
        server.life_cycle = LifeCycle::Cutover;
        server.last_cutover.finalized = Some(now);
        end_replication(server, now);
    }
    shown(world, input)
}

pub(super) fn disconnect(world: &mut World, input: &Value) -> ApiResult {
    let id = text(input, "sourceServerID");
    refuse_while_busy(world, id)?;
    let now = world.now;
    let server = world.server(id)?;
    if server.archived {
        return Err(ApiError::conflict(
            KIND,
            id,
            "The source server is archived.",
        ));
    }
    end_replication(server, now);
    if server.life_cycle != LifeCycle::Cutover {
        server.life_cycle = LifeCycle::Disconnected;
    }
    shown(world, input)
}

fn end_replication(server: &mut Server, now: jiff::Timestamp) {
    server.ended.get_or_insert(now);
    server.replication.disconnect(now);
    server.template_id = None;
}

pub(super) fn archive(world: &mut World, input: &Value) -> ApiResult {
    let guard = world.switches.is(Switch::ArchiveGuard, "on");
    let server = world.server(text(input, "sourceServerID"))?;
    if guard
        && !matches!(
            server.life_cycle,
            LifeCycle::Disconnected | LifeCycle::Cutover
        )
    {
        let why = format!(
            "The source server is in {}; it can be archived in DISCONNECTED or CUTOVER.",
            server.life_cycle.name()
        );
        return Err(ApiError::conflict(KIND, &server.id, why));
    }
    server.archived = true;
    shown(world, input)
}

pub(super) fn delete(world: &mut World, input: &Value) -> ApiResult {
    let id = text(input, "sourceServerID");
    refuse_while_busy(world, id)?;
    let guard = world.switches.is(Switch::DeleteConnected, "refuse");
    let server = world.server(id)?;
    if guard && server.connected() {
        return Err(ApiError::conflict(
            KIND,
            id,
            "The source server is connected; disconnect it from the service first.",
        ));
    }
    world.here.servers.remove(id);
    Ok(Value::Null)
}

pub(super) fn replicate(world: &mut World, operation: &str, input: &Value) -> ApiResult {
    let id = text(input, "sourceServerID");
    let (now, active) = (world.now, world.active_servers());
    let most_active = world.quota(&ACTIVE_SERVERS);
    let server = world.server(id)?;
    let state = server.replication.state;
    let refuse = |why: &str| {
        Err(ApiError::conflict(
            KIND,
            id,
            format!("{why} (replication is {state:?})."),
        ))
    };
    if server.archived || state == State::Disconnected {
        return refuse("The source server is not connected");
    }
    match operation {
        "StartReplication" if state == State::Stopped => {
            if active >= most_active.value as usize {
                return Err(super::jobs::quota_error(
                    &most_active,
                    "ServiceQuotaExceededException",
                    402,
                ));
            }
            server.life_cycle = LifeCycle::NotReady;
            server.replication.initiate(now);
        }
        "StartReplication" => return refuse("Replication can be started when it is STOPPED"),
        "StopReplication" => {
            server.life_cycle = LifeCycle::Stopped;
            server.replication.stop(now);
        }
        "PauseReplication" if matches!(state, State::Stopped | State::Paused) => {
            return refuse("Replication does not run");
        }
        "PauseReplication" => server.replication.pause(now),
        "ResumeReplication" if state == State::Paused => server.replication.resume(now),
        "ResumeReplication" => return refuse("Replication can be resumed when it is PAUSED"),
        _ if state == State::Stalled => {
            let injected = server.replication.failing_step.is_some();
            server.replication.retry(now);
            if !injected {
                world.announce_stall(id, false);
            }
        }
        // Conflict is not modelled on this operation.
        _ => {
            return Err(ApiError::field(
                "sourceServerID",
                "replication is not STALLED, so there is nothing to retry",
            ));
        }
    }
    shown(world, input)
}

fn refuse_while_busy(world: &World, id: &str) -> ApiResult<()> {
    match world
        .here
        .jobs
        .iter()
        .find(|job| job.unfinished() && job.has(id))
    {
        Some(job) => Err(ApiError::conflict(
            KIND,
            id,
            format!(
                "The source server takes part in the unfinished job {}.",
                job.id
            ),
        )),
        None => Ok(()),
    }
}

fn shown(world: &World, input: &Value) -> ApiResult {
    let id = text(input, "sourceServerID");
    let server = world
        .here
        .servers
        .get(id)
        .ok_or_else(|| ApiError::not_found(KIND, id))?;
    Ok(view::server(world, server))
}

/// Servers by identifier that exist, for the batch calls.
pub(super) fn requested(input: &Value) -> Vec<String> {
    let mut ids = texts(input, "sourceServerIDs");
    ids.sort_unstable();
    ids.dedup();
    ids
}
