//! `watch-migrations`: one sweep for everything that waits.
//!
//! A schedule and MGN's events wake it. It reads the open waits, asks MGN in pages for all of them at once, and
//! completes or fails the task tokens of what has come true or never will. Events only wake it: what it decides
//! rests on DescribeSourceServers and DescribeJobs, so a lost, doubled or late event changes nothing.
//! The workflow calls it too, to open the wait for replication (`{"action": "await"}`).
//!
//! Environment: `LANDFALL_TABLE`, `LANDFALL_BUS`.
#![warn(missing_docs)]

mod agent;
mod launch;
mod replicate;
mod settle;

use aws_config::SdkConfig;
use jiff::{Timestamp, ToSpan as _};
use landfall_common::state::wait::{Phase, Wait, WaitKind};
use landfall_common::telemetry::{self, Unit};
use landfall_common::{Env, Invocation, Journal, StageInput, stage};
use landfall_domain::{ErrorName, StageError};
use landfall_mgn::{Job, Mgn, Server};
use serde::Deserialize;
use serde_json::{Value, json};
use tracing::Instrument as _;

/// How long replication may take, in hours: one hour less than the workflow's own time-out of 14 days.
const REPLICATION_HOURS: i64 = 14 * 24 - 1;

/// What the function works with.
#[derive(Clone, Debug)]
pub struct Deps {
    /// State and events.
    pub journal: Journal,
    /// What is asked.
    pub mgn: Mgn,
    /// Completes task tokens.
    pub sfn: aws_sdk_sfn::Client,
    /// Tells how an agent's installation went.
    pub ssm: aws_sdk_ssm::Client,
}

impl Deps {
    /// From the environment.
    pub fn load(aws: &SdkConfig, env: &mut Env<'_>) -> Self {
        Self {
            journal: Journal::load(aws, env),
            mgn: Mgn::new(aws),
            sfn: aws_sdk_sfn::Client::new(aws),
            ssm: aws_sdk_ssm::Client::new(aws),
        }
    }
}

/// The workflow's call.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Await {
    #[serde(flatten)]
    input: StageInput,
    task_token: String,
}

/// Opens a wait (`"action": "await"`), or sweeps: on the schedule's `"action": "sweep"` and on any event.
///
/// # Errors
/// Transient ones of the reads that everything depends on. A fault of one wait is logged and left to the next sweep.
pub async fn handle(
    deps: &Deps,
    event: Value,
    invocation: Invocation,
) -> Result<Value, StageError> {
    if event.get("action").and_then(Value::as_str) == Some("await") {
        return open(deps, stage::read(event)?, invocation.now).await;
    }
    sweep(deps, &invocation).await
}

async fn open(deps: &Deps, call: Await, now: Timestamp) -> Result<Value, StageError> {
    let record = deps.journal.store.require(&call.input.key()).await?;
    telemetry::identify(&record);
    if record.attempt != call.input.attempt || record.status.is_end() {
        return Err(StageError::new(
            ErrorName::PrerequisiteError,
            format!(
                "attempt {} of {} has ended",
                call.input.attempt, record.migration_id
            ),
        ));
    }
    let wait = Wait {
        key: call.input.key(),
        attempt: record.attempt,
        correlation_id: record.correlation_id.clone(),
        kind: WaitKind::Replication,
        phase: Phase::Waiting,
        task_token: call.task_token,
        due_at: now
            .checked_add(REPLICATION_HOURS.hours())
            .unwrap_or(now)
            .to_string(),
        created_at: now.to_string(),
        source_vm_id: record.request.source_vm_id.clone(),
        source_server_id: record.source_server_id.clone(),
        command: None,
        policy: record.request.policy.clone(),
        intent_id: None,
        job_id: None,
        closed: false,
    };
    deps.journal.store.open_wait(&wait).await?;
    // The server may be ready already, and then no event will come: one look now spares a wait for the schedule.
    if let Some(id) = &wait.source_server_id {
        let servers = deps.mgn.servers(std::slice::from_ref(id)).await?;
        replicate::check(deps, &wait, &servers, now).await?;
    }
    Ok(json!({ "opened": "REPLICATION" }))
}

async fn sweep(deps: &Deps, invocation: &Invocation) -> Result<Value, StageError> {
    let waits = deps.journal.store.waits(Phase::Waiting).await?;
    if waits.is_empty() {
        return Ok(json!({ "waits": 0 }));
    }
    let (servers, jobs) = tokio::join!(servers_for(deps, &waits), jobs_for(deps, &waits));
    let (servers, jobs) = (servers?, jobs?);
    for wait in &waits {
        let span = telemetry::work_span(
            "watch-migrations",
            &invocation.request_id,
            &wait.correlation_id,
        );
        let outcome = check(deps, wait, &servers, &jobs, invocation.now)
            .instrument(span.clone())
            .await;
        if let Err(error) = outcome {
            let _guard = span.enter();
            tracing::warn!(
                error = error.name.as_str(),
                context = error.context,
                migrationId = wait.key.migration_id,
                "a wait is left to the next sweep: {error}"
            );
        }
    }
    #[expect(
        clippy::cast_precision_loss,
        reason = "a count of waits is far below 2^52"
    )]
    telemetry::metric(
        "watch-migrations",
        "OpenWaits",
        waits.len() as f64,
        Unit::Count,
    );
    Ok(json!({ "waits": waits.len() }))
}

/// The servers that any wait is about, in pages. An agent that is being installed has no server ID yet, so then
/// the whole list is read.
async fn servers_for(deps: &Deps, waits: &[Wait]) -> Result<Vec<Server>, StageError> {
    if waits.iter().any(|wait| wait.kind == WaitKind::Agent) {
        return deps.mgn.all_servers().await;
    }
    let ids: Vec<String> = waits
        .iter()
        .filter(|wait| wait.kind == WaitKind::Replication)
        .filter_map(|wait| wait.source_server_id.clone())
        .collect();
    if ids.is_empty() {
        Ok(Vec::new())
    } else {
        deps.mgn.servers(&ids).await
    }
}

async fn jobs_for(deps: &Deps, waits: &[Wait]) -> Result<Vec<Job>, StageError> {
    let mut ids: Vec<String> = waits
        .iter()
        .filter_map(|wait| wait.job_id.clone())
        .collect();
    ids.sort();
    ids.dedup();
    if ids.is_empty() {
        Ok(Vec::new())
    } else {
        deps.mgn.jobs(&ids).await
    }
}

async fn check(
    deps: &Deps,
    wait: &Wait,
    servers: &[Server],
    jobs: &[Job],
    now: Timestamp,
) -> Result<(), StageError> {
    match wait.kind {
        WaitKind::Agent => agent::check(deps, wait, servers, now).await,
        WaitKind::Replication => replicate::check(deps, wait, servers, now).await,
        WaitKind::TestLaunch | WaitKind::CutoverLaunch => {
            launch::check(deps, wait, jobs, now).await
        }
    }
}
