//! `finalize-cutover`: moves the users to the target and ends the migration.
//!
//! In this order, so that a rollback can walk back the same way: names (Route 53), configuration item, the target
//! instance's protection and tags, power of the source, Cloud Migration Factory, and last MGN `FinalizeCutover`, the
//! point of no return, for which a guard wants evidence of all that comes before it. Each step is noted in the record
//! before it is taken and after, and what was there before is in the record before anything is changed. A step that is
//! over is skipped; one that had begun when a run was killed looks at the world and goes on from there.
//!
//! Before each step it asks what holds the switch: a pause, a window that has closed, a freeze, old answers of DNS that
//! still send users to the source. Then it answers `"held": true`, and the workflow waits at the gate before the next.
//!
//! With `"phase": "complete"` nothing is switched: the migration that asked for no cutover ends well. With
//! `"phase": "archive"` it ends the retention of one that has succeeded: the source is deleted, where that was asked for
//! and agreed to, and its server is archived in MGN.
//!
//! Environment: `LANDFALL_TABLE`, `LANDFALL_BUS`; optional `LANDFALL_CMDB_URL` with `LANDFALL_CMDB_SECRET_ID`,
//! `LANDFALL_SOURCE_API_ALLOW` (list of origins), `LANDFALL_DECOMMISSION_INSTANCES` (list of ARNs), `LANDFALL_CMF_URL` with `LANDFALL_CMF_LOGIN_URL`,
//! `LANDFALL_CMF_SECRET_ID` and `LANDFALL_CMF_REQUIRED`, `LANDFALL_FREEZE_PARAMETER`.
#![warn(missing_docs)]

mod archive;
mod names;
mod records;
mod source;
mod steps;
mod target;

use std::borrow::Cow;

use aws_config::SdkConfig;
use jiff::Timestamp;
use landfall_accounts::{Accounts, actions};
use landfall_common::state::Change;
use landfall_common::{Env, Invocation, Journal, StageInput, stage, telemetry};
use landfall_domain::{
    ErrorName, EventType, MigrationRecord, MigrationRequest, StageError, Status,
};
use landfall_external::LazyHttp;
use landfall_external::dns::Dns;
use landfall_external::source as source_api;
use landfall_external::{cmdb, cmf};
use landfall_gates::Holds;
use landfall_mgn::Mgn;
use serde::Deserialize;
use serde_json::{Value, json};

/// The error name of everything that fails here for good.
const REFUSED: ErrorName = ErrorName::CutoverError;

/// What the function works with.
#[derive(Clone, Debug)]
pub struct Deps {
    /// State and events.
    pub journal: Journal,
    /// The clients of other accounts.
    pub accounts: Accounts<(Mgn, aws_sdk_ec2::Client)>,
    /// The point of no return.
    pub mgn: Mgn,
    /// The target instance.
    pub ec2: aws_sdk_ec2::Client,
    /// The users' names.
    pub dns: Dns,
    /// The way to the machine that moves, in the deployment's own account.
    pub sources: source_api::Access,
    /// The CMDB, where there is one.
    pub cmdb: Option<cmdb::Access>,
    /// Cloud Migration Factory, where there is one.
    pub cmf: Option<cmf::Access>,
    /// What may hold the next step.
    pub holds: Holds,
}

impl Deps {
    /// From the environment.
    pub fn load(aws: &SdkConfig, env: &mut Env<'_>) -> Self {
        let http = LazyHttp::default();
        Self {
            journal: Journal::load(aws, env),
            accounts: Accounts::new(aws, actions::FINALIZE_CUTOVER, |aws| {
                (Mgn::new(aws), aws_sdk_ec2::Client::new(aws))
            }),
            mgn: Mgn::new(aws),
            ec2: aws_sdk_ec2::Client::new(aws),
            dns: Dns::new(aws_sdk_route53::Client::new(aws), REFUSED),
            sources: source_api::Access::load(aws, env, &http),
            cmf: cmf::Access::load(aws, env, &http),
            cmdb: cmdb::Access::load(aws, env, &http),
            holds: Holds::load(aws, env),
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
    phase: Phase,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Phase {
    /// Switch to the target.
    #[default]
    Finalize,
    /// End without a switch.
    Complete,
    /// End the retention.
    Archive,
}

/// Ends a migration well; answers `{"status", "held"}`.
///
/// # Errors
/// `CutoverError` for what cannot be finalized (the workflow rolls back) or archived, `Cancelled` when an operator has
/// ended the migration, `PrerequisiteError` when it belongs to another execution, transient names for what may work
/// later.
pub async fn handle(
    deps: &Deps,
    event: Value,
    invocation: Invocation,
) -> Result<Value, StageError> {
    let input: Input = stage::read(event)?;
    let record = deps.journal.store.require(&input.stage.key()).await?;
    telemetry::identify(&record);
    input.stage.speaks_for(&record)?;
    // Boxed here and below: a future of many SDK calls is large, and each level would copy it.
    let record = match record.status {
        Status::Succeeded if input.phase == Phase::Archive => {
            Box::pin(switch(deps, record, input.phase, &invocation)).await?
        }
        // The answer of the run before was lost on its way.
        Status::Succeeded => record,
        status if status.is_end() || input.phase == Phase::Archive => {
            return Err(StageError::new(
                ErrorName::ValidationError,
                match input.phase {
                    Phase::Archive => {
                        format!("the migration is {status}; only one that SUCCEEDED is archived")
                    }
                    _ => format!("the migration has already ended as {status}"),
                },
            ));
        }
        _ if input.phase == Phase::Complete => {
            input.stage.check(&record)?;
            Box::pin(complete(deps, record, invocation.now)).await?
        }
        // The gate lets it through; this run comes too early, or a second time.
        status if status.is_held() => record,
        _ => {
            input.stage.check(&record)?;
            Box::pin(switch(deps, record, input.phase, &invocation)).await?
        }
    };
    Ok(json!({ "status": record.status, "held": record.status.is_held() }))
}

/// Works in the account that the migration goes to, and explains what IAM there refuses.
async fn switch(
    deps: &Deps,
    record: MigrationRecord,
    phase: Phase,
    invocation: &Invocation,
) -> Result<MigrationRecord, StageError> {
    let deps = deps.at(&record.request, invocation).await?;
    let account = record.request.account.clone();
    let done = match phase {
        Phase::Archive => Box::pin(archive::archive(&deps, record, invocation.now)).await,
        _ => Box::pin(steps::finalize(&deps, record, invocation.now)).await,
    };
    match done {
        Ok(record) => Ok(record),
        Err(error) => Err(deps.accounts.explain_error(account.as_ref(), error).await),
    }
}

async fn complete(
    deps: &Deps,
    record: MigrationRecord,
    now: Timestamp,
) -> Result<MigrationRecord, StageError> {
    let change = Change::to(Status::Succeeded, EventType::MigrationSucceeded).evidence(
        record
            .done
            .with_warnings(json!({ "steps": record.request.steps })),
    );
    Box::pin(deps.journal.advance(record, change, now)).await
}
