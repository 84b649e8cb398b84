//! `rollback`: undoes what the record says was done, and nothing else.
//!
//! First it makes sure that nothing starts any more: open waits and launch intents are closed under the launch
//! lease, and a launch that MGN accepted but nobody noted is found by its tag. Then it walks the plan of
//! [`landfall_domain::rollback`] in order. Each compensation looks at the world, acts where needed and verifies, so a
//! second run goes on where the first one was cut off; what takes its time fails as `DependencyUnavailable` and is
//! tried again. The first compensation that is refused stops the walk: the later ones rest on it (a target must
//! not go while users are still on it), and the migration is FROZEN for a person.
//!
//! With `"action": "freeze"` it undoes nothing and only writes that the migration is FROZEN: the workflow asks for it
//! when the rollback itself has failed, so that the record does not say for ever what was true before.
//!
//! A migration that nobody has claimed is claimed first: its execution could not see its claim, and nobody else would
//! ever end it.
//!
//! Past MGN `FinalizeCutover` nothing is undone at all: the users work on the target, and moving them back to a
//! source that has missed their writes is no decision for a machine.
//!
//! Environment: `LANDFALL_TABLE`, `LANDFALL_BUS`; optional `LANDFALL_CMDB_URL`, `LANDFALL_SOURCE_API_ALLOW` (list of
//! origins), `LANDFALL_CMF_URL` with `LANDFALL_CMF_LOGIN_URL`, `LANDFALL_CMF_SECRET_ID` and `LANDFALL_CMF_REQUIRED`.
#![warn(missing_docs)]

mod compensate;
mod failure;
mod freeze;
mod launches;
mod names;
mod records;
mod source;
mod target;

use std::borrow::Cow;

use aws_config::SdkConfig;
use jiff::{SignedDuration, Timestamp};
use landfall_accounts::{Accounts, actions};
use landfall_common::state::{Change, Key};
use landfall_common::{Env, Invocation, Journal, StageInput, stage, telemetry};
use landfall_domain::rollback::{Compensation, RollbackPlan, plan};
use landfall_domain::{
    ErrorName, EventType, MigrationRecord, MigrationRequest, StageError, Status,
};
use landfall_external::LazyHttp;
use landfall_external::cmf;
use landfall_external::dns::Dns;
use landfall_external::source as source_api;
use landfall_mgn::Mgn;
use serde::Deserialize;
use serde_json::{Value, json};

/// The error name of a compensation that is refused.
const REFUSED: ErrorName = ErrorName::RollbackError;

/// How long compensations may take; then a person must look. A launch that is under way has to end before its
/// target can go, and large servers take most of an hour.
const PATIENCE: SignedDuration = SignedDuration::from_mins(90);

/// What the function works with.
#[derive(Clone, Debug)]
pub struct Deps {
    /// State and events.
    pub journal: Journal,
    /// The clients of other accounts.
    pub accounts: Accounts<(Mgn, aws_sdk_ec2::Client)>,
    /// Lifecycles and targets.
    pub mgn: Mgn,
    /// The target instance and the launch template.
    pub ec2: aws_sdk_ec2::Client,
    /// The users' names.
    pub dns: Dns,
    /// For everything that is not AWS.
    pub http: LazyHttp,
    /// The way to the machine that moves, in the deployment's own account.
    pub sources: source_api::Access,
    /// The CMDB, where there is one.
    pub cmdb_url: Option<String>,
    /// Cloud Migration Factory, where there is one.
    pub cmf: Option<cmf::Access>,
}

impl Deps {
    /// From the environment.
    pub fn load(aws: &SdkConfig, env: &mut Env<'_>) -> Self {
        let http = LazyHttp::default();
        Self {
            journal: Journal::load(aws, env),
            accounts: Accounts::new(aws, actions::ROLLBACK, |aws| {
                (Mgn::new(aws), aws_sdk_ec2::Client::new(aws))
            }),
            mgn: Mgn::new(aws),
            ec2: aws_sdk_ec2::Client::new(aws),
            dns: Dns::new(aws_sdk_route53::Client::new(aws), REFUSED),
            sources: source_api::Access::load(aws, env, &http),
            cmf: cmf::Access::load(aws, env, &http),
            http,
            cmdb_url: env.optional("LANDFALL_CMDB_URL"),
        }
    }

    /// The same, working in the account that a request goes to.
    ///
    /// # Errors
    /// `PrerequisiteError` when the account cannot be entered, or a transient error.
    async fn at(
        &self,
        request: &MigrationRequest,
        invocation: &Invocation,
    ) -> Result<Cow<'_, Self>, StageError> {
        let account = request.account.as_ref();
        let arn = &invocation.function_arn;
        self.accounts
            .at(self, account, arn, |deps, (mgn, ec2)| {
                deps.mgn = mgn;
                deps.ec2 = ec2;
            })
            .await
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Input {
    #[serde(flatten)]
    stage: StageInput,
    #[serde(default)]
    action: Action,
    /// Why the migration failed.
    #[serde(default)]
    failure: failure::Caught,
    /// Why the rollback failed, with [`Action::Freeze`].
    #[serde(default)]
    caught: failure::Caught,
    /// When the workflow entered the state, RFC 3339.
    since: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Action {
    /// Undo what was done.
    #[default]
    RollBack,
    /// Write that a person must look, and touch nothing.
    Freeze,
}

/// Rolls a migration back, or freezes it; answers `{"status", "failure"}`. An ended migration is left as it is.
///
/// # Errors
/// Transient names alone, except for bugs: a compensation that is refused ends in FROZEN, not in an error. And
/// `PrerequisiteError`, for this reason alone, when the migration belongs to another execution: the workflow then
/// ends without a word.
pub async fn handle(
    deps: &Deps,
    event: Value,
    invocation: Invocation,
) -> Result<Value, StageError> {
    let input: Input = stage::read(event)?;
    let record = deps.journal.store.require(&input.stage.key()).await?;
    telemetry::identify(&record);
    let record = own(deps, record, &input.stage, invocation.now).await?;
    let record = if record.status.is_end() {
        record
    } else {
        // Boxed here and below: a future of many SDK calls is large, and each level would copy it.
        match input.action {
            Action::RollBack => Box::pin(roll_back(deps, record, &input, &invocation)).await?,
            Action::Freeze => Box::pin(freeze::only(deps, record, &input, invocation.now)).await?,
        }
    };
    Ok(json!({ "status": record.status, "failure": record.failure }))
}

/// Makes sure that the execution owns the migration. One that could not see its claim takes what nobody has claimed:
/// an execution that claims it at the same time makes one of the two writes fail.
///
/// # Errors
/// `PrerequisiteError` when another execution owns it; `Conflict` when the record changed since it was read.
async fn own(
    deps: &Deps,
    mut record: MigrationRecord,
    input: &StageInput,
    now: Timestamp,
) -> Result<MigrationRecord, StageError> {
    let unclaimed = record.attempt == input.attempt
        && record.execution_arn.is_none()
        && record.status == Status::Requested;
    if unclaimed {
        record.execution_arn = Some(input.execution_arn.clone());
        record = deps.journal.store.save(record, now).await?;
    }
    input.speaks_for(&record)?;
    Ok(record)
}

async fn roll_back(
    deps: &Deps,
    mut record: MigrationRecord,
    input: &Input,
    invocation: &Invocation,
) -> Result<MigrationRecord, StageError> {
    let now = invocation.now;
    let started = started_at(deps, &record).await?;
    // Before anything is written, as long as launches are being started, only the workflow knows since when.
    let entered = input.since.as_deref().and_then(|at| at.parse().ok());
    let began: Option<Timestamp> = started.into_iter().chain(entered).min();
    let overdue = began.is_some_and(|at| now.duration_since(at) > PATIENCE);
    let refused = |error: &StageError| overdue || !error.name.is_transient();
    record.failure = Some(input.failure.failure(record.failure.take()));
    // A migration that was refused by the pre-flight did nothing anywhere, and may name an account that nobody can enter.
    let there = match record.stage() {
        Status::Requested | Status::Validating => Ok(Cow::Borrowed(deps)),
        _ => deps.at(&record.request, invocation).await,
    };
    let deps = match there {
        Ok(ref there) => &**there,
        Err(error) if refused(&error) => {
            // Nothing may be launched for it when the account opens again.
            deps.journal
                .store
                .close_all_waits(&Key::of(&record))
                .await?;
            let plan = plan(&record);
            let mut progress = Progress::of(&plan);
            progress.failed("ENTER_ACCOUNT", &error);
            return freeze::after(deps, record, &progress, now).await;
        }
        Err(error) => return Err(error),
    };
    record = match prepare(deps, record.clone(), started.is_none(), invocation).await {
        Ok(record) => record,
        Err(error) if refused(&error) => {
            let plan = plan(&record);
            let mut progress = Progress::of(&plan);
            progress.failed("STOP_LAUNCHES", &error);
            return freeze::after(deps, record, &progress, now).await;
        }
        Err(error) => return Err(error),
    };
    let plan = plan(&record);
    if started.is_none() {
        let change =
            Change::to(record.status, EventType::RollbackStarted).evidence(json!({ "plan": plan }));
        record = Box::pin(deps.journal.advance(record, change, now)).await?;
    }
    let mut progress = Progress::of(&plan);
    if !plan.irreversible.is_empty() {
        progress.because = String::from("the point of no return is passed");
        return freeze::after(deps, record, &progress, now).await;
    }
    let mut changes = Vec::new();
    for compensation in &plan.compensations {
        match compensate::undo(deps, &record, compensation, &mut changes).await {
            Ok(outcome) => progress.did(compensation, &outcome),
            Err(error) if refused(&error) => {
                let account = record.request.account.as_ref();
                let error = deps.accounts.explain_error(account, error).await;
                progress.failed(compensation.name(), &error);
                return freeze::after(deps, record, &progress, now).await;
            }
            Err(error) => return Err(error),
        }
    }
    match deps.dns.settle(&changes).await {
        Err(error) if refused(&error) => {
            progress.failed("RESTORE_DNS", &error);
            freeze::after(deps, record, &progress, now).await
        }
        Err(error) => Err(error),
        Ok(()) => end(deps, record, &progress, now).await,
    }
}

/// Makes the record say all that was done, and lets nothing be added to it.
async fn prepare(
    deps: &Deps,
    mut record: MigrationRecord,
    first_run: bool,
    invocation: &Invocation,
) -> Result<MigrationRecord, StageError> {
    if first_run {
        record = Box::pin(launches::stop(deps, record, invocation)).await?;
    }
    target::note_finalized(deps, record, invocation.now).await
}

/// When the rollback of this attempt began, if it did.
async fn started_at(
    deps: &Deps,
    record: &MigrationRecord,
) -> Result<Option<Timestamp>, StageError> {
    // The beginning writes the failure, so without one there is nothing to look up.
    if record.failure.is_none() {
        return Ok(None);
    }
    let history = deps.journal.store.history(&Key::of(record)).await?;
    Ok(history
        .iter()
        .find(|entry| {
            entry.event_type == EventType::RollbackStarted && entry.detail.attempt == record.attempt
        })
        .and_then(|entry| entry.detail.occurred_at.parse().ok()))
}

/// How far the plan was carried out, for the evidence of the end.
struct Progress<'a> {
    plan: &'a RollbackPlan,
    done: Vec<Value>,
    because: String,
}

impl<'a> Progress<'a> {
    fn of(plan: &'a RollbackPlan) -> Self {
        Self {
            plan,
            done: Vec::new(),
            because: String::new(),
        }
    }

    fn did(&mut self, compensation: &Compensation, outcome: &str) {
        self.done
            .push(json!({ "compensation": compensation.name(), "outcome": outcome }));
    }

    fn failed(&mut self, name: &str, error: &StageError) {
        tracing::error!(
            compensation = name,
            context = error.context,
            "a compensation failed: {error}"
        );
        self.because = format!("{name}: {}", error.message);
    }

    fn not_done(&self) -> Vec<&'static str> {
        let rest = self.plan.compensations.iter().skip(self.done.len());
        rest.map(Compensation::name).collect()
    }
}

/// Everything is undone, or there was nothing to undo.
async fn end(
    deps: &Deps,
    record: MigrationRecord,
    progress: &Progress<'_>,
    now: Timestamp,
) -> Result<MigrationRecord, StageError> {
    let change = if progress.plan.compensations.is_empty() {
        Change::to(Status::Failed, EventType::MigrationFailed)
    } else {
        Change::to(Status::RolledBack, EventType::RollbackCompleted)
    };
    let change = change.reason(reason(&record)).evidence(
        json!({ "failure": record.failure, "done": progress.done, "kept": progress.plan.kept }),
    );
    Box::pin(deps.journal.advance(record, change, now)).await
}

/// The error that made the migration fail.
fn reason(record: &MigrationRecord) -> String {
    record
        .failure
        .as_ref()
        .map_or_else(|| ErrorName::InternalError.to_string(), |f| f.error.clone())
}
