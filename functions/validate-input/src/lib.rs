//! Pre-flight: everything that can be known to be wrong before any work begins, told at once.
//!
//! It reads AWS and changes nothing there. [`facts`] collects what the checks need, concurrently; [`checks`]
//! judges it without any I/O; this module keeps the status.
//!
//! Environment: `LANDFALL_TABLE`, `LANDFALL_BUS`; optional `LANDFALL_CALLBACK_ALLOW` and `LANDFALL_SOURCE_API_ALLOW`
//! (lists of origins).
#![warn(missing_docs)]

pub mod checks;
pub mod facts;

use aws_config::SdkConfig;
use jiff::Timestamp;
use landfall_common::state::Change;
use landfall_common::{Env, Invocation, Journal, StageInput, stage, telemetry};
use landfall_domain::{
    ErrorName, EventType, Finding, MigrationRecord, StageError, Status, WorkflowPlan,
};
use landfall_mgn::Mgn;
use serde_json::{Value, json};

use checks::Allow;
use facts::Facts;

/// What the function works with.
#[derive(Clone, Debug)]
pub struct Deps {
    /// State and events.
    pub journal: Journal,
    /// Subnets, security groups, instance types.
    pub ec2: aws_sdk_ec2::Client,
    /// Source servers.
    pub mgn: Mgn,
    /// Origins that a request's URLs may have.
    pub allow: Allow,
}

impl Deps {
    /// From the environment.
    pub fn load(aws: &SdkConfig, env: &mut Env<'_>) -> Self {
        Self {
            journal: Journal::load(aws, env),
            ec2: aws_sdk_ec2::Client::new(aws),
            mgn: Mgn::new(aws),
            allow: Allow {
                callbacks: env.list("LANDFALL_CALLBACK_ALLOW"),
                sources: env.list("LANDFALL_SOURCE_API_ALLOW"),
            },
        }
    }
}

/// Checks a migration and answers with its [`WorkflowPlan`].
///
/// # Errors
/// `ValidationError` with every blocking finding; a transient error when AWS could not be asked.
pub async fn handle(
    deps: &Deps,
    event: Value,
    invocation: Invocation,
) -> Result<Value, StageError> {
    let input: StageInput = stage::read(event)?;
    let record = deps.journal.store.require(&input.key()).await?;
    telemetry::identify(&record);
    input.check(&record)?;
    let plan = WorkflowPlan::of(&record.request);
    if !matches!(record.status, Status::Requested | Status::Validating) {
        // A late second run of a step whose work is done: later steps own the migration now.
        return plan_value(plan);
    }
    // Futures of SDK calls are large: on the heap they do not swell the ones around them.
    let facts = Box::pin(Facts::gather(deps, &record, invocation.now)).await?;
    let findings = checks::all(
        &record,
        &input.execution_arn,
        &facts,
        &deps.allow,
        invocation.now,
    )?;
    if findings.iter().any(Finding::is_blocking) {
        Err(refuse(&deps.journal, record, findings, invocation.now).await?)
    } else {
        pass(&deps.journal, record, &findings, invocation.now).await?;
        plan_value(plan)
    }
}

/// Notes that the migration may go on, unless an earlier run did.
async fn pass(
    journal: &Journal,
    mut record: MigrationRecord,
    warnings: &[Finding],
    now: Timestamp,
) -> Result<(), StageError> {
    // An earlier run may have refused what is mended by now; its failure must not outlive that.
    let refused_before = record.failure.take().is_some();
    if record.status == Status::Validating && !refused_before {
        return Ok(());
    }
    let mut change = Change::to(Status::Validating, EventType::ValidationPassed);
    if !warnings.is_empty() {
        change = change.evidence(json!({ "findings": warnings }));
    }
    Box::pin(journal.advance(record, change, now)).await?;
    Ok(())
}

/// Notes why the migration cannot go on, once, and returns the error for the workflow.
async fn refuse(
    journal: &Journal,
    record: MigrationRecord,
    findings: Vec<Finding>,
    now: Timestamp,
) -> Result<StageError, StageError> {
    let blocking: Vec<&Finding> = findings.iter().filter(|f| f.is_blocking()).collect();
    let codes: Vec<&str> = blocking
        .iter()
        .map(|finding| finding.code.as_str())
        .collect();
    let message = match codes.as_slice() {
        [one] => format!("a pre-flight check failed: {one}"),
        many => format!(
            "{} pre-flight checks failed: {}",
            many.len(),
            many.join(", ")
        ),
    };
    let reason = codes.first().copied().unwrap_or_default().to_owned();
    let change = Change::to(Status::Validating, EventType::ValidationFailed)
        .reason(reason)
        .evidence(json!({ "findings": findings }));
    let error = StageError::new(ErrorName::ValidationError, message).findings(findings);
    Box::pin(journal.fail(record, change, &error, now)).await?;
    Ok(error)
}

fn plan_value(plan: WorkflowPlan) -> Result<Value, StageError> {
    serde_json::to_value(plan).map_err(|error| {
        StageError::new(
            ErrorName::InternalError,
            format!("the workflow plan cannot be written: {error}"),
        )
    })
}
