//! Target instances as EC2 describes them, from what the simulator knows of their launches: where there is no `MiniStack`,
//! and for the status checks that a machine never passes.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::error::{ApiError, ApiResult};
use crate::world::server::Server;
use crate::world::{BOOT, World};

struct Instance<'a> {
    id: &'a str,
    state: (&'static str, u8),
    checks: &'static str,
}

/// Answers `DescribeInstances` or `DescribeInstanceStatus` for the instances that a form names.
pub(crate) fn describe(world: &World, form: &BTreeMap<String, String>) -> ApiResult<String> {
    let action = form.get("Action").map_or("", String::as_str);
    let mut items = String::new();
    for id in ids(form) {
        let instance = find(world, id).ok_or_else(|| {
            let message = format!("The instance ID '{id}' does not exist");
            ApiError::new("InvalidInstanceID.NotFound", 400, message)
        })?;
        let Instance { id, state, checks } = instance;
        let (name, code) = state;
        let state =
            format!("<instanceState><code>{code}</code><name>{name}</name></instanceState>");
        let _ = if action == "DescribeInstances" {
            write!(
                items,
                "<item><reservationId>r-{}</reservationId><instancesSet><item><instanceId>{id}</instanceId>{state}<privateIpAddress>{}</privateIpAddress></item></instancesSet></item>",
                &id[2..],
                address(id),
            )
        } else {
            let check = |which: &str| format!("<{which}><status>{checks}</status></{which}>");
            let (system, own) = (check("systemStatus"), check("instanceStatus"));
            write!(
                items,
                "<item><instanceId>{id}</instanceId>{state}{system}{own}</item>"
            )
        };
    }
    let set = if action == "DescribeInstances" {
        "reservationSet"
    } else {
        "instanceStatusSet"
    };
    Ok(format!(
        r#"<{action}Response xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>simulated</requestId><{set}>{items}</{set}></{action}Response>"#
    ))
}

/// Whether a form asks for the status of instances of which one must never become ok.
pub(crate) fn is_held_back(world: &World, form: &BTreeMap<String, String>) -> bool {
    form.get("Action")
        .is_some_and(|it| it == "DescribeInstanceStatus")
        && ids(form).any(|id| holder(world, id).is_some_and(|it| never_passes(world, it)))
}

fn ids(form: &BTreeMap<String, String>) -> impl Iterator<Item = &String> {
    let named = form.iter();
    named.filter_map(|(name, id)| name.starts_with("InstanceId.").then_some(id))
}

fn holder<'a>(world: &'a World, id: &str) -> Option<&'a Server> {
    let mut servers = world.here.servers.values();
    servers.find(|s| s.launched.as_ref().is_some_and(|l| l.instance_id == id))
}

fn never_passes(world: &World, server: &Server) -> bool {
    world
        .machine_of(server)
        .is_some_and(|it| it.never_passes_status)
}

fn find<'a>(world: &World, id: &'a str) -> Option<Instance<'a>> {
    let instance = |state, checks| Some(Instance { id, state, checks });
    if let Some(server) = holder(world, id) {
        let launched = server.launched.as_ref()?;
        return if !launched.started {
            instance(("stopped", 80), "not-applicable")
        } else if never_passes(world, server) || world.now < launched.at + BOOT {
            instance(("running", 16), "initializing")
        } else {
            instance(("running", 16), "ok")
        };
    }
    let jobs = world.here.jobs.iter();
    let mut made = jobs.flat_map(|job| job.participants.iter().map(move |part| (job, part)));
    let (job, _) = made.find(|(_, part)| part.instance_id.as_deref() == Some(id))?;
    if job.unfinished() {
        instance(("pending", 0), "initializing")
    } else {
        instance(("terminated", 48), "not-applicable")
    }
}

/// A private address that follows from the identifier.
fn address(id: &str) -> String {
    let digit = |at: usize| {
        id.get(at..at + 2)
            .and_then(|two| u8::from_str_radix(two, 16).ok())
    };
    let last = id.len().saturating_sub(4);
    format!(
        "10.255.{}.{}",
        digit(last).unwrap_or(0),
        digit(last + 2).unwrap_or(1)
    )
}
