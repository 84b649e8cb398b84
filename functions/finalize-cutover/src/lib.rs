//! `finalize-cutover`: moves the users to the target and ends the migration.
//!
//! In this order, so that a rollback can walk back the same way: names (Route 53), configuration item, the target
//! instance's protection and tags, power of the source, Cloud Migration Factory, and last MGN `FinalizeCutover`, the
//! point of no return. What was there before is in the record before anything is changed. Each step looks at the
//! world first, so that a second run after a kill finds what the first one did and goes on from there.
//!
//! With `"phase": "complete"` nothing is switched: the migration that asked for no cutover ends well.
//!
//! Environment: `LANDFALL_TABLE`, `LANDFALL_BUS`; optional `LANDFALL_CMDB_URL`, `LANDFALL_SOURCE_API_ALLOW` (list of
//! origins), `LANDFALL_CMF_URL` with `LANDFALL_CMF_LOGIN_URL`, `LANDFALL_CMF_SECRET_ID` and `LANDFALL_CMF_REQUIRED`.
#![warn(missing_docs)]

mod names;
mod records;
mod source;
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
use landfall_external::cmf;
use landfall_external::dns::Dns;
use landfall_external::source as source_api;
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
            accounts: Accounts::new(aws, actions::FINALIZE_CUTOVER, |aws| {
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
}

/// Ends a migration well; answers `{"status"}`.
///
/// # Errors
/// `CutoverError` for what cannot be finalized (the workflow rolls back), `PrerequisiteError` when the migration
/// belongs to another execution, transient names for what may work later.
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
        // The answer of the run before was lost on its way.
        Status::Succeeded => record,
        status if status.is_end() => {
            return Err(StageError::new(
                ErrorName::ValidationError,
                format!("the migration has already ended as {status}"),
            ));
        }
        _ if input.phase == Phase::Complete => {
            Box::pin(complete(deps, record, invocation.now)).await?
        }
        _ => {
            let deps = deps.at(&record.request, &invocation).await?;
            let account = record.request.account.clone();
            match Box::pin(finalize(&deps, record, invocation.now)).await {
                Ok(record) => record,
                Err(error) => {
                    return Err(deps.accounts.explain_error(account.as_ref(), error).await);
                }
            }
        }
    };
    Ok(json!({ "status": record.status }))
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

async fn finalize(
    deps: &Deps,
    mut record: MigrationRecord,
    now: Timestamp,
) -> Result<MigrationRecord, StageError> {
    if record.stage() != Status::Finalizing {
        let change = Change::to(Status::Finalizing, EventType::FinalizeStarted)
            .evidence(source::intent(&record.request));
        record = Box::pin(deps.journal.advance(record, change, now)).await?;
    }
    // Before the users are moved: is there a target that can be finalized at all?
    let server_id = record.source_server_id.clone().ok_or_else(|| {
        StageError::new(
            REFUSED,
            "the migration has no MGN source server; nothing can be finalized",
        )
    })?;
    let (finalized, target) =
        tokio::try_join!(is_finalized(deps, &server_id), target::find(deps, &record))?;
    let mut evidence = Vec::new();
    record = names::point_at_target(deps, record, &target, now, &mut evidence).await?;
    record = records::update_cmdb(deps, record, &target, now, &mut evidence).await?;
    target::seal(deps, &record, &target, &mut evidence).await?;
    record = source::power_off(deps, record, now, &mut evidence).await?;
    records::update_cmf(deps, &mut record, &mut evidence).await?;
    if finalized {
        evidence.push(step("MGN_FINALIZE", "already in CUTOVER"));
    } else {
        // A write that fails when the record has changed: this run may have outlived its time-out, and a rollback
        // may be moving the users back.
        record = deps.journal.store.save(record, now).await?;
        deps.mgn.finalize_cutover(&server_id).await?;
        evidence.push(step("MGN_FINALIZE", "accepted"));
    }
    // One write for the point of no return and the end: a kill before it is found by the lifecycle CUTOVER.
    record.done.finalized_at = Some(now.to_string());
    let change = Change::to(Status::Succeeded, EventType::MigrationSucceeded).evidence(
        record
            .done
            .with_warnings(json!({ "target": target, "steps": evidence })),
    );
    Box::pin(deps.journal.advance(record, change, now)).await
}

/// Whether MGN has finalized the server already.
async fn is_finalized(deps: &Deps, server_id: &str) -> Result<bool, StageError> {
    let server = deps.mgn.server(server_id).await?.ok_or_else(|| {
        StageError::new(
            REFUSED,
            format!("MGN no longer knows the source server {server_id}"),
        )
    })?;
    match server.lifecycle.as_str() {
        "CUTOVER" => Ok(true),
        "CUTTING_OVER" => Ok(false),
        other => Err(StageError::new(
            REFUSED,
            format!(
                "source server {server_id} is {other} in MGN; only a server in CUTTING_OVER can be finalized. Somebody \
                 changed its lifecycle: resubmit the migration"
            ),
        )),
    }
}

/// What a step did, for the evidence of the end.
fn step(name: &str, outcome: impl Into<Value>) -> Value {
    json!({ "step": name, "outcome": outcome.into() })
}
