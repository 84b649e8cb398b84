//! The application that moves: on the source, and on the target instances that were launched of it.

use serde_json::json;

use crate::source_apis::Answer;
use crate::world::{BOOT, World};

/// The header by which the application says what it is.
const APPLICATION: &str = "x-application";

/// `{sourceVmId}/health` on the source: it answers while the machine runs.
pub(super) fn source(world: &World, path: &str) -> Answer {
    let machine = path
        .strip_suffix("/health")
        .and_then(|id| world.machines.get(id));
    match machine {
        None => Answer::new(
            404,
            json!({"error": "ask for /sources/{sourceVmId}/health"}),
        ),
        Some(machine) if !machine.running => Answer::new(503, json!({"status": "off"})),
        Some(machine) => Answer::new(200, json!({"status": "ok", "hostname": machine.hostname}))
            .with_header(APPLICATION, machine.hostname.clone()),
    }
}

/// `{instance}/health` on a target: it answers once it has booted, and says what it is whether it is well or not.
pub(super) fn target(world: &World, path: &str) -> Answer {
    let Some((id, "health")) = path.split_once('/') else {
        return Answer::new(404, json!({"error": "ask for /targets/{instance}/health"}));
    };
    let found = world.everywhere().find_map(|(_, local)| {
        let mut servers = local.servers.values();
        servers.find_map(|s| Some((s, s.launched.as_ref().filter(|l| l.instance_id == id)?.at)))
    });
    let Some((server, at)) = found else {
        let comes = world
            .everywhere()
            .flat_map(|(_, local)| &local.jobs)
            .filter(|j| j.unfinished())
            .flat_map(|j| &j.participants)
            .any(|p| p.instance_id.as_deref() == Some(id));
        return if comes {
            Answer::new(503, json!({"status": "launching"}))
        } else {
            Answer::new(
                404,
                json!({"error": format!("no target instance {id} is alive")}),
            )
        };
    };
    let hostname = &server.hostname;
    let machine = world.machine_of(server);
    let answer = if world.now < at + BOOT {
        Answer::new(503, json!({"status": "booting", "hostname": hostname}))
    } else if machine.is_some_and(|m| !m.healthy) {
        Answer::new(503, json!({"status": "unhealthy", "hostname": hostname}))
    } else {
        Answer::new(
            200,
            json!({"status": "ok", "hostname": hostname, "sourceVmId": server.user_provided_id, "instanceId": id}),
        )
    };
    answer.with_header(APPLICATION, hostname.clone())
}
