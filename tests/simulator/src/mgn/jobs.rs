//! Jobs: start, list, read the log, delete.

use serde_json::{Value, json};

use super::{page, servers, tag_map, text, texts, view};
use crate::error::{ApiError, ApiResult};
use crate::switches::Switch;
use crate::world::World;
use crate::world::job::Purpose;
use crate::world::quota::{CONCURRENT_JOBS, Quota, SERVERS_IN_JOBS};
use crate::world::server::LifeCycle;

pub(super) fn start(world: &mut World, operation: &str, input: &Value) -> ApiResult {
    let purpose = match operation {
        "StartTest" => Purpose::Test,
        "StartCutover" => Purpose::Cutover,
        _ => Purpose::Terminate,
    };
    let ids = servers::requested(input);
    refuse(world, purpose, &ids)?;
    within_quotas(world, ids.len())?;
    let job_id = world.start_job(purpose, &ids, tag_map(input));
    let job = world.here.jobs.iter().find(|job| job.id == job_id);
    Ok(json!({"job": job.map(|job| view::job(world, job))}))
}

/// One server that may not take part refuses the call as a whole, with a reason for each such server.
fn refuse(world: &World, purpose: Purpose, ids: &[String]) -> ApiResult<()> {
    let errors: Vec<_> = ids
        .iter()
        .filter_map(|id| {
            let (code, message) = objection(world, purpose, id)?;
            Some(json!({"code": code, "message": message, "resourceId": id, "resourceType": "SourceServer"}))
        })
        .collect();
    let Some(first) = errors.first() else {
        return Ok(());
    };
    let (id, message) = (text(first, "resourceId"), text(first, "message"));
    let error = ApiError::conflict(
        "SourceServer",
        id,
        format!("One or more of the source servers cannot take part: {message}"),
    );
    Err(error.with("errors", errors.clone().into()))
}

fn objection(world: &World, purpose: Purpose, id: &str) -> Option<(&'static str, String)> {
    let Some(server) = world.here.servers.get(id) else {
        return Some((
            "RESOURCE_NOT_FOUND",
            format!("Source server {id} was not found."),
        ));
    };
    if server.archived {
        return Some((
            "SERVER_ARCHIVED",
            format!("Source server {id} is archived."),
        ));
    }
    if world.switches.is(Switch::OneJobPerServer, "on")
        && let Some(job) = world
            .here
            .jobs
            .iter()
            .find(|job| job.unfinished() && job.has(id))
    {
        return Some((
            "CONCURRENT_JOB",
            format!(
                "Source server {id} takes part in the unfinished job {}.",
                job.id
            ),
        ));
    }
    let state = server.life_cycle;
    let allowed = match purpose {
        Purpose::Test => matches!(
            state,
            LifeCycle::ReadyForTest | LifeCycle::Testing | LifeCycle::ReadyForCutover
        ),
        Purpose::Cutover => {
            let untested = matches!(state, LifeCycle::ReadyForTest | LifeCycle::Testing);
            matches!(state, LifeCycle::ReadyForCutover | LifeCycle::CuttingOver)
                || untested && world.switches.is(Switch::CutoverFromReadyForTest, "allow")
        }
        Purpose::Terminate => {
            world.switches.is(Switch::TerminateGuard, "off")
                || !matches!(
                    state,
                    LifeCycle::Testing | LifeCycle::CuttingOver | LifeCycle::Cutover
                )
        }
    };
    if !allowed {
        return Some((
            "INVALID_LIFECYCLE_STATE",
            format!("Source server {id} is in {}.", state.name()),
        ));
    }
    let launches = purpose != Purpose::Terminate;
    if launches
        && !server.replication.launchable()
        && world.switches.is(Switch::LaunchableGuard, "on")
    {
        return Some((
            "NOT_LAUNCHABLE",
            format!("Source server {id} has no launchable snapshot."),
        ));
    }
    None
}

fn within_quotas(world: &World, servers: usize) -> ApiResult<()> {
    let (name, status) = match world.switches.get(Switch::JobQuotas) {
        "off" => return Ok(()),
        "quota" => ("ServiceQuotaExceededException", 402),
        _ => ("ConflictException", 409),
    };
    let (jobs, in_jobs) = world.in_flight();
    let (most_jobs, most_servers) = (world.quota(&CONCURRENT_JOBS), world.quota(&SERVERS_IN_JOBS));
    if jobs >= most_jobs.value as usize {
        return Err(quota_error(&most_jobs, name, status));
    }
    if in_jobs + servers > most_servers.value as usize {
        return Err(quota_error(&most_servers, name, status));
    }
    Ok(())
}

/// A refusal for a quota that is used up.
pub(super) fn quota_error(quota: &Quota, name: &str, status: u16) -> ApiError {
    let message = format!(
        "The quota {} ({}) of {} would be exceeded.",
        quota.name, quota.code, quota.value
    );
    let error = ApiError::new(name, status, message)
        .with("resourceType", "Quota".into())
        .with("resourceId", quota.code.into());
    if name == "ConflictException" {
        return error;
    }
    error
        .with("serviceCode", "mgn".into())
        .with("quotaCode", quota.code.into())
        .with("quotaValue", quota.value.into())
}

pub(super) fn describe(world: &World, input: &Value) -> ApiResult {
    let filters = &input["filters"];
    let wanted = texts(filters, "jobIDs");
    let bound = |member: &str| -> ApiResult<Option<jiff::Timestamp>> {
        let Some(given) = filters[member].as_str() else {
            return Ok(None);
        };
        given
            .parse()
            .map(Some)
            .map_err(|_| ApiError::field(&format!("filters.{member}"), "is not an instant"))
    };
    let (from, to) = (bound("fromDate")?, bound("toDate")?);
    let jobs = world.here.jobs.iter().rev().filter(|job| {
        // The bounds are compared with what is shown.
        let created = if world.switches.is(Switch::Timestamps, "wall") {
            world.clock.wall(job.created)
        } else {
            job.created
        };
        (wanted.is_empty() || wanted.contains(&job.id))
            && from.is_none_or(|f| created >= f)
            && to.is_none_or(|t| created <= t)
    });
    page::page(
        jobs.map(|job| (job.id.clone(), view::job(world, job)))
            .collect(),
        input,
        "DescribeJobs",
    )
}

pub(super) fn log(world: &World, input: &Value) -> ApiResult {
    let id = text(input, "jobID");
    // ResourceNotFound is not modelled on this operation.
    let job = world
        .here
        .jobs
        .iter()
        .find(|job| job.id == id)
        .ok_or_else(|| ApiError::field("jobID", format!("no job is named {id}")))?;
    let mut log: Vec<_> = job.log.iter().collect();
    log.sort_by_key(|item| item.at);
    let items = log
        .iter()
        .enumerate()
        .map(|(i, item)| (format!("{id}/{i}"), view::log_item(world, item)));
    page::page(items.collect(), input, "DescribeJobLogItems")
}

pub(super) fn delete(world: &mut World, input: &Value) -> ApiResult {
    let id = text(input, "jobID");
    let at = world
        .here
        .jobs
        .iter()
        .position(|job| job.id == id)
        .ok_or_else(|| ApiError::not_found("Job", id))?;
    if world.here.jobs[at].unfinished() {
        return Err(ApiError::conflict(
            "Job",
            id,
            "The job has not been completed.",
        ));
    }
    world.here.jobs.remove(at);
    Ok(Value::Null)
}
