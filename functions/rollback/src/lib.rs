//! `rollback`: undoes what the record says was done, and nothing else.
//!
//! First it makes sure that nothing starts any more: open waits and launch intents are closed under the launch
//! lease, and a launch that MGN accepted but nobody noted is found by its tag. Then it carries out the plan of
//! [`landfall_domain::rollback`], what is independent at the same time. Each compensation looks at the world, acts where
//! needed and verifies, so a second run goes on where the first one was cut off; what takes its time fails as
//! `DependencyUnavailable` and is tried again. One that is refused is tried again too, a few times; then what comes after
//! it is left (a target must not go while users are still on it), the rest is done, and the migration is FROZEN with a
//! hand-over for a person.
//!
//! With `"action": "freeze"` it undoes nothing and only writes that the migration is FROZEN: the workflow asks for it
//! when the rollback itself has failed, so that the record does not say for ever what was true before. Where people
//! refused a rollback that was ordered after the end, it writes that the migration stands as it had ended.
//!
//! With `"action": "plan"` it answers with the plan of a migration, whatever its status, and touches nothing.
//!
//! A migration that nobody has claimed is claimed first: its execution could not see its claim, and nobody else would
//! ever end it.
//!
//! Past MGN `FinalizeCutover` nothing is undone by itself: the users work on the target, and moving them back to a
//! source that has missed their writes is no decision for a machine. Where a person orders it, what can still be undone is.
//!
//! Environment: `LANDFALL_TABLE`, `LANDFALL_BUS`; optional `LANDFALL_CMDB_URL` with `LANDFALL_CMDB_SECRET_ID`,
//! `LANDFALL_SOURCE_API_ALLOW` (list of origins), `LANDFALL_CMF_URL` with `LANDFALL_CMF_LOGIN_URL`,
//! `LANDFALL_CMF_SECRET_ID` and `LANDFALL_CMF_REQUIRED`.
#![warn(missing_docs)]

mod compensate;
mod failure;
mod freeze;
mod launches;
mod look;
mod names;
mod records;
mod run;
mod source;
mod target;
mod terminate;
mod walk;

use std::borrow::Cow;

use aws_config::SdkConfig;
use jiff::Timestamp;
use landfall_accounts::{Accounts, actions};
use landfall_common::{Env, Invocation, Journal, StageInput, stage, telemetry};
use landfall_domain::{
    ErrorName, MigrationRecord, MigrationRequest, StageError, Status, WorkflowPlan,
};
use landfall_external::LazyHttp;
use landfall_external::dns::Dns;
use landfall_external::source as source_api;
use landfall_external::{cmdb, cmf};
use landfall_mgn::Mgn;
use serde::Deserialize;
use serde_json::{Value, json};

/// The error name of a compensation that is refused.
const REFUSED: ErrorName = ErrorName::RollbackError;

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
    /// The way to the machine that moves, in the deployment's own account.
    pub sources: source_api::Access,
    /// The CMDB, where there is one.
    pub cmdb: Option<cmdb::Access>,
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
            cmdb: cmdb::Access::load(aws, env, &http),
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
    /// Write that a person must look, or that the migration stands as before, and touch nothing.
    Freeze,
}

/// Rolls a migration back, or freezes it; answers `{"status", "failure", "approvalWanted", "plan"}`: what is risky is only
/// begun once its gate is passed, or in an emergency, and `plan` is what is left to do for one that stands as SUCCEEDED. An
/// ended migration is left as it is.
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
    if event.get("action").is_some_and(|action| action == "plan") {
        return look::at(deps, stage::read(event)?).await;
    }
    let input: Input = stage::read(event)?;
    let record = deps.journal.store.require(&input.stage.key()).await?;
    telemetry::identify(&record);
    let record = own(deps, record, &input.stage, invocation.now).await?;
    let (record, approval_wanted) = if record.status.is_end() {
        (record, false)
    } else {
        // Boxed here and below: a future of many SDK calls is large, and each level would copy it.
        match input.action {
            Action::RollBack => Box::pin(run::roll_back(deps, record, &input, &invocation)).await?,
            Action::Freeze => {
                let frozen = Box::pin(freeze::only(deps, record, &input, invocation.now));
                (frozen.await?, false)
            }
        }
    };
    let mut answer = json!({
        "status": record.status, "failure": record.failure, "approvalWanted": approval_wanted,
    });
    if record.status == Status::Succeeded {
        answer["plan"] = json!(WorkflowPlan::after_success(&record));
    }
    Ok(answer)
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
