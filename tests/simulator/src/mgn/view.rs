//! What the service shows of servers and jobs.

use std::fmt::Write;

use jiff::SignedDuration;
use serde_json::{Map, Value, json};

use crate::world::job::{Job, LogItem};
use crate::world::replication::{STEPS, State};
use crate::world::server::{Launched, LifeCycle, Marks, Server};
use crate::world::{BOOT, World};

/// A `SourceServer`.
pub(super) fn server(world: &World, server: &Server) -> Value {
    let mut out = json!({
        "sourceServerID": server.id, "arn": world.arn("source-server", &server.id), "isArchived": server.archived,
        "tags": server.tags, "replicationType": server.replication_type,
        "lifeCycle": life_cycle(world, server), "sourceProperties": properties(world, server),
    });
    put(&mut out, "userProvidedID", server.user_provided_id.clone());
    put(
        &mut out,
        "fqdnForActionFramework",
        server.fqdn_for_action_framework.clone(),
    );
    put(&mut out, "applicationID", server.application_id.clone());
    put(&mut out, "connectorAction", server.connector_action.clone());
    if server.life_cycle != LifeCycle::PendingInstallation {
        out["dataReplicationInfo"] = replication(world, server);
    }
    let shown = server
        .launched
        .as_ref()
        .filter(|l| world.shown(l.at))
        .or(server.shown_before.as_ref());
    put(
        &mut out,
        "launchedInstance",
        shown.map(|l| launched(world, l)),
    );
    out
}

fn launched(world: &World, launched: &Launched) -> Value {
    let first_boot = match (launched.started, world.now >= launched.at + BOOT) {
        (false, _) => "STOPPED",
        (true, false) => "WAITING",
        (true, true) => "SUCCEEDED",
    };
    json!({"ec2InstanceID": launched.instance_id, "jobID": launched.job_id, "firstBoot": first_boot})
}

fn life_cycle(world: &World, server: &Server) -> Value {
    let until = server.ended.unwrap_or(world.now);
    let mut out = json!({
        "state": server.life_cycle.name(),
        "addedToServiceDateTime": world.stamp(server.added),
        "lastTest": marks(world, &server.last_test),
        "lastCutover": marks(world, &server.last_cutover),
    });
    if let Some(first_byte) = server.replication.first_byte {
        out["firstByteDateTime"] = world.stamp(first_byte).into();
        out["elapsedReplicationDuration"] = duration(until.duration_since(first_byte)).into();
    }
    if server.life_cycle != LifeCycle::PendingInstallation {
        out["lastSeenByServiceDateTime"] = world.stamp(until).into();
    }
    out
}

fn marks(world: &World, marks: &Marks) -> Value {
    let call = |at| json!({"apiCallDateTime": world.stamp(at)});
    json!({
        "initiated": marks.initiated.as_ref().map_or_else(|| json!({}), |(at, job)| {
            json!({"apiCallDateTime": world.stamp(*at), "jobID": job})
        }),
        "reverted": marks.reverted.map_or_else(|| json!({}), call),
        "finalized": marks.finalized.map_or_else(|| json!({}), call),
    })
}

fn properties(world: &World, server: &Server) -> Value {
    let linux = server.os == "linux";
    let ids = &server.id[2..];
    let mac = format!(
        "0A-40-{}-{}-{}-{}",
        &ids[0..2],
        &ids[2..4],
        &ids[4..6],
        &ids[6..8]
    )
    .to_uppercase();
    let interfaces: Vec<_> = if server.ips.is_empty() {
        Vec::new()
    } else {
        vec![json!({"macAddress": mac, "ips": server.ips, "isPrimary": true})]
    };
    json!({
        "lastUpdatedDateTime": world.stamp(server.added), "recommendedInstanceType": "c5.large",
        "identificationHints": {"hostname": server.hostname, "fqdn": server.fqdn},
        "networkInterfaces": interfaces, "disks": server.disks,
        "cpus": [{"cores": 2, "modelName": "Intel(R) Xeon(R) CPU E5-2686 v4 @ 2.30GHz"}], "ramBytes": 8_i64 << 30,
        "os": {"fullString": if linux {
            "Linux version 5.15.0-105-generic (Ubuntu 22.04)"
        } else {
            "Microsoft Windows Server 2022 Datacenter 64 bit"
        }},
    })
}

fn replication(world: &World, server: &Server) -> Value {
    let (replication, now) = (&server.replication, world.now);
    let gone = replication.state == State::Disconnected;
    let total = server.total_bytes();
    let counters = replication.counters(now, total);
    let part = |bytes: i64, ppm: i64| {
        i64::try_from(i128::from(bytes) * i128::from(ppm) / 1_000_000).unwrap_or(i64::MAX)
    };
    let disks: Vec<_> = server
        .disks
        .iter()
        .enumerate()
        .map(|(i, disk)| {
            let share = if gone { 0 } else { disk.bytes };
            json!({
                "deviceName": disk.device_name, "totalStorageBytes": share,
                "replicatedStorageBytes": part(share, counters.replicated_ppm),
                "rescannedStorageBytes": part(share, counters.rescanned_ppm),
                // All that waits is counted on the first disk.
                "backloggedStorageBytes": if i == 0 && !gone { counters.backlog } else { 0 },
            })
        })
        .collect();
    let mut initiation = json!({
        "steps": STEPS.iter().zip(replication.steps(now)).map(|(name, status)| json!({"name": name, "status": status})).collect::<Vec<_>>(),
    });
    put(
        &mut initiation,
        "startDateTime",
        replication.initiated_at.map(|at| world.stamp(at)),
    );
    put(
        &mut initiation,
        "nextAttemptDateTime",
        replication.next_attempt().map(|at| world.stamp(at)),
    );
    let mut out = json!({
        "dataReplicationState": replication.state, "replicatedDisks": disks, "dataReplicationInitiation": initiation,
    });
    put(&mut out, "lagDuration", replication.lag(now).map(duration));
    put(
        &mut out,
        "etaDateTime",
        replication.eta(now).map(|at| world.stamp(at)),
    );
    put(
        &mut out,
        "lastSnapshotDateTime",
        replication.last_snapshot(now).map(|at| world.stamp(at)),
    );
    if let Some(fault) = replication
        .fault
        .as_ref()
        .filter(|_| replication.state == State::Stalled)
    {
        out["dataReplicationError"] = json!({"error": fault.error, "rawError": fault.raw_error});
    }
    out
}

/// A `Job`.
pub(super) fn job(world: &World, job: &Job) -> Value {
    let participants: Vec<_> = job
        .participants
        .iter()
        .map(|p| {
            let mut out = json!({"sourceServerID": p.server_id, "launchStatus": p.status});
            put(&mut out, "launchedEc2InstanceID", p.instance_id.clone());
            out
        })
        .collect();
    let mut out = json!({
        "jobID": job.id, "arn": world.arn("job", &job.id), "type": job.purpose.job_type(),
        "initiatedBy": job.purpose.initiated_by(), "creationDateTime": world.stamp(job.created),
        "status": job.status, "participatingServers": participants, "tags": job.tags,
    });
    put(&mut out, "endDateTime", job.ended.map(|at| world.stamp(at)));
    out
}

/// A `JobLog`.
pub(super) fn log_item(world: &World, item: &LogItem) -> Value {
    let mut data = json!({});
    put(&mut data, "sourceServerID", item.server_id.clone());
    put(
        &mut data,
        "conversionServerID",
        item.conversion_server.clone(),
    );
    put(&mut data, "targetInstanceID", item.instance_id.clone());
    put(&mut data, "rawError", item.raw_error.clone());
    json!({"logDateTime": world.stamp(item.at), "event": item.event, "eventData": data})
}

/// ISO 8601 as Python's isodate writes it: `P0D`, `PT16H20M38.697305S`, `P1DT2H`.
pub(super) fn duration(duration: SignedDuration) -> String {
    let (secs, micros) = (duration.as_secs().max(0), duration.subsec_micros().max(0));
    let (days, hours, minutes, seconds) =
        (secs / 86_400, secs / 3_600 % 24, secs / 60 % 60, secs % 60);
    let mut time = String::new();
    for (amount, unit) in [(hours, 'H'), (minutes, 'M')] {
        if amount > 0 {
            let _ = write!(time, "{amount}{unit}");
        }
    }
    match (seconds, micros) {
        (0, 0) => {}
        (seconds, 0) => drop(write!(time, "{seconds}S")),
        (seconds, micros) => drop(write!(time, "{seconds}.{micros:06}S")),
    }
    match (days, time.is_empty()) {
        (days, true) => format!("P{days}D"),
        (0, false) => format!("PT{time}"),
        (days, false) => format!("P{days}DT{time}"),
    }
}

/// Sets a member when there is a value: the service omits what is unset.
pub(super) fn put(out: &mut Value, member: &str, value: Option<impl Into<Value>>) {
    if let (Some(map), Some(value)) = (out.as_object_mut(), value) {
        map.insert(member.to_owned(), value.into());
    }
}

/// Lays the given members of a request over a document.
pub(super) fn merge(document: &mut Value, input: &Value, members: &[&str]) {
    let given: Map<String, Value> = members
        .iter()
        .filter_map(|m| {
            Some((
                (*m).to_owned(),
                input.get(*m).filter(|v| !v.is_null())?.clone(),
            ))
        })
        .collect();
    if let Some(map) = document.as_object_mut() {
        map.extend(given);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_captured() {
        let table = [
            (SignedDuration::ZERO, "P0D"),
            (
                SignedDuration::new(58_838, 697_305_000),
                "PT16H20M38.697305S",
            ),
            (SignedDuration::from_secs(300), "PT5M"),
            (SignedDuration::from_secs(93_600), "P1DT2H"),
            (SignedDuration::from_hours(24 * 15), "P15D"),
        ];
        for (given, text) in table {
            assert_eq!(duration(given), text);
        }
    }
}
