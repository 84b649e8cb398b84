//! `watch-migrations`: one sweep for everything that waits.
//!
//! A schedule and MGN's events wake it. It reads the open waits, asks MGN in pages for all of them at once, and
//! completes or fails the task tokens of what has come true or never will. Events only wake it: what it decides
//! rests on DescribeSourceServers and DescribeJobs, so a lost, doubled or late event changes nothing.
//! The waits for agents and replication come to it as queue messages, each with the token of the state that waits.
//!
//! Gates and soaks wait here too, for people and for time: `landfall_gates` decides on them, and MGN is not asked.
//!
//! Environment: `LANDFALL_TABLE`, `LANDFALL_BUS`; optional `LANDFALL_APPROVALS` (JSON: the deployment's rules by environment) and
//! `LANDFALL_FREEZE_PARAMETER` (the SSM parameter with the freeze calendar).
#![warn(missing_docs)]

mod agent;
mod gate;
mod job_log;
mod launch;
mod open;
mod replicate;
mod settle;
mod truth;

use std::collections::BTreeMap;

use aws_config::SdkConfig;
use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt as _};
use jiff::Timestamp;
use landfall_accounts::{Accounts, actions, elsewhere};
use landfall_common::state::wait::{Phase, Wait, WaitKind};
use landfall_common::telemetry::{self, Unit};
use landfall_common::{Env, Invocation, Journal};
use landfall_domain::request::Account;
use landfall_domain::{ErrorName, StageError};
use landfall_gates::Gates;
use landfall_mgn::{Job, Mgn, Server};
use landfall_tasks::{self as tasks, Told};
use serde_json::{Value, json};
use tracing::Instrument as _;

use job_log::JobLogs;

/// How many waits are looked after at once.
const AT_ONCE: usize = 16;

/// What the function works with.
#[derive(Clone, Debug)]
pub struct Deps {
    /// State and events.
    pub journal: Journal,
    /// The clients of other accounts.
    pub accounts: Accounts<(Mgn, aws_sdk_ssm::Client)>,
    /// What is asked.
    pub mgn: Mgn,
    /// Completes task tokens.
    pub sfn: aws_sdk_sfn::Client,
    /// Tells how an agent's installation went.
    pub ssm: aws_sdk_ssm::Client,
    /// Who is asked where, and what else holds a switch.
    pub gates: Gates,
}

impl Deps {
    /// From the environment.
    pub fn load(aws: &SdkConfig, env: &mut Env<'_>) -> Self {
        Self {
            journal: Journal::load(aws, env),
            accounts: Accounts::new(aws, actions::WATCH_MIGRATIONS, |aws| {
                (Mgn::new(aws), aws_sdk_ssm::Client::new(aws))
            }),
            mgn: Mgn::new(aws),
            sfn: aws_sdk_sfn::Client::new(aws),
            ssm: aws_sdk_ssm::Client::new(aws),
            gates: Gates::load(aws, env),
        }
    }
}

/// Opens waits (an SQS batch), or sweeps: on the schedule's `"action": "sweep"` and on any event.
///
/// # Errors
/// Transient ones of the reads that everything depends on. A fault of one wait is logged and left to the next sweep.
pub async fn handle(
    deps: &Deps,
    event: Value,
    invocation: Invocation,
) -> Result<Value, StageError> {
    if event.get("Records").is_some() {
        return open::batch(deps, event, &invocation).await;
    }
    sweep(deps, &invocation).await
}

async fn sweep(deps: &Deps, invocation: &Invocation) -> Result<Value, StageError> {
    let waits = deps.journal.store.waits(Phase::Waiting).await?;
    look(deps, &waits, invocation).await?;
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

/// Asks MGN for all the waits at once, in every account that there are any in, and ends those that are over.
///
/// # Errors
/// Transient ones; an account at fault holds up no other.
async fn look(deps: &Deps, waits: &[Wait], invocation: &Invocation) -> Result<(), StageError> {
    let (waits, others): (Vec<&Wait>, Vec<&Wait>) =
        waits.iter().partition(|wait| wait.kind.is_of_mgn());
    gate::look(deps, &others, invocation).await;
    let mut groups: BTreeMap<Option<&Account>, Vec<Wait>> = BTreeMap::new();
    for wait in waits {
        let account = elsewhere(wait.account.as_ref(), &invocation.function_arn);
        groups.entry(account).or_default().push(wait.clone());
    }
    let work = groups
        .iter()
        .map(|(account, waits)| Box::pin(look_in(deps, *account, waits, invocation)));
    join_all(work).await.into_iter().collect()
}

/// [`look`] in one account and Region.
async fn look_in(
    deps: &Deps,
    account: Option<&Account>,
    waits: &[Wait],
    invocation: &Invocation,
) -> Result<(), StageError> {
    let arn = &invocation.function_arn;
    let entered = deps
        .accounts
        .at(deps, account, arn, |deps, (mgn, ssm)| {
            deps.mgn = mgn;
            deps.ssm = ssm;
        })
        .await;
    let deps = &*match entered {
        Ok(there) => there,
        Err(error) if error.name.is_transient() => return Err(error),
        Err(error) => {
            for wait in waits {
                settle::fail(deps, wait, &error, invocation.now).await?;
            }
            return Ok(());
        }
    };
    let (servers, jobs) = tokio::join!(servers_for(deps, waits), jobs_for(deps, waits));
    let (servers, jobs) = match servers.and_then(|servers| Ok((servers, jobs?))) {
        Ok(seen) => seen,
        Err(error) => {
            give_up_overdue(deps, waits, &error, invocation.now).await?;
            return Err(error);
        }
    };
    let seen = Seen {
        servers,
        jobs,
        logs: JobLogs::default(),
        now: invocation.now,
    };
    // Their writes go on at the same time: of a thousand waits each takes a few.
    let work = waits.iter().map(|wait| {
        let span = telemetry::work_span(
            "watch-migrations",
            &invocation.request_id,
            &wait.correlation_id,
        );
        Box::pin(check_one(deps, wait, &seen)).instrument(span)
    });
    stream::iter(work)
        .buffer_unordered(AT_ONCE)
        .collect::<()>()
        .await;
    Ok(())
}

/// Fails what is past its time although MGN cannot be asked: deadlines hold whatever is down.
async fn give_up_overdue(
    deps: &Deps,
    waits: &[Wait],
    error: &StageError,
    now: Timestamp,
) -> Result<(), StageError> {
    for wait in waits
        .iter()
        .filter(|wait| wait.is_overdue(now) && wait.paused_at.is_none())
    {
        let name = match wait.kind {
            WaitKind::Agent => ErrorName::SourcePreparationError,
            WaitKind::Replication | WaitKind::TestLaunch => ErrorName::MigrationExecutionError,
            _ => ErrorName::CutoverError,
        };
        let text = format!(
            "what {} waited for had not come by {}, and MGN could not be asked: {}",
            wait.source_vm_id, wait.due_at, error.message
        );
        settle::fail(deps, wait, &StageError::new(name, text), now).await?;
    }
    Ok(())
}

/// [`check`], and sometimes a look whether anybody still waits. The fault of one wait is its own. What a paused migration
/// waits for may come: it goes on when it is resumed. A launch that is under way ends as it would.
async fn check_one(deps: &Deps, wait: &Wait, seen: &Seen) {
    let outcome = if wait.paused_at.is_some() && wait.kind.action().is_none() {
        Ok(())
    } else if settle::beats(wait, seen.now) {
        heartbeat(deps, wait, seen).await
    } else {
        check(deps, wait, seen).await
    };
    if let Err(error) = outcome {
        tracing::warn!(
            error = error.name.as_str(),
            context = error.context,
            migrationId = wait.key.migration_id,
            "a wait is left to the next sweep: {error}"
        );
    }
}

async fn heartbeat(deps: &Deps, wait: &Wait, seen: &Seen) -> Result<(), StageError> {
    if tasks::beat(&deps.sfn, &wait.task_token).await? == Told::Nobody {
        return tasks::bury(&deps.journal, &deps.sfn, wait, seen.now).await;
    }
    check(deps, wait, seen).await
}

/// What MGN shows in one place, for all the waits of a sweep.
pub(crate) struct Seen {
    servers: Vec<Server>,
    jobs: Vec<Job>,
    logs: JobLogs,
    now: Timestamp,
}

/// The servers that any wait is about, in pages: a launch's, too, for what runs for it. An agent that is being installed
/// has no server ID yet, so then the whole list is read.
async fn servers_for(deps: &Deps, waits: &[Wait]) -> Result<Vec<Server>, StageError> {
    if waits.iter().any(|wait| wait.kind == WaitKind::Agent) {
        return deps.mgn.all_servers().await;
    }
    let ids: Vec<String> = waits
        .iter()
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

async fn check(deps: &Deps, wait: &Wait, seen: &Seen) -> Result<(), StageError> {
    match wait.kind {
        WaitKind::Agent => agent::check(deps, wait, &seen.servers, seen.now).await,
        // On the heap: the future of its writes is large.
        WaitKind::Replication => {
            Box::pin(replicate::check(deps, wait, &seen.servers, seen.now)).await
        }
        WaitKind::TestLaunch | WaitKind::CutoverLaunch => launch::check(deps, wait, seen).await,
        WaitKind::CutoverGate
        | WaitKind::FinalizeGate
        | WaitKind::RollbackGate
        | WaitKind::DecommissionGate
        | WaitKind::Soak => Ok(()),
    }
}
