//! Pre-flight: everything that can be known to be wrong before any work begins, told at once.
//!
//! It reads AWS and changes nothing there. [`facts`] collects what the checks need, concurrently; [`checks`]
//! judges it without any I/O; this module keeps the status. With `"dryRun": true` it keeps nothing at all and answers with
//! what it found ([`dry_run`]).
//!
//! Environment: `LANDFALL_TABLE`, `LANDFALL_BUS`, `LANDFALL_ROLE_ARN_PREFIX` (what the ARNs of the functions' roles begin
//! with), `AWS_REGION`; optional `LANDFALL_CALLBACK_ALLOW` and `LANDFALL_SOURCE_API_ALLOW` (lists of origins),
//! `LANDFALL_CMF_URL` with `LANDFALL_CMF_LOGIN_URL`, `LANDFALL_CMF_SECRET_ID` and `LANDFALL_CMF_REQUIRED`.
#![warn(missing_docs)]

pub mod checks;
pub mod dry_run;
pub mod facts;
pub mod needs;

use std::time::Duration;

use aws_config::SdkConfig;
use jiff::Timestamp;
use landfall_accounts::{Accounts, Home, actions};
use landfall_common::state::claim::Taking;
use landfall_common::state::{Change, Key};
use landfall_common::{Env, Invocation, Journal, StageInput, stage, telemetry};
use landfall_domain::control::Purpose;
use landfall_domain::launch::{Difference, Launching};
use landfall_domain::request::Step;
use landfall_domain::{
    ErrorName, EventType, Finding, MigrationRecord, MigrationRequest, StageError, Status,
    WorkflowPlan, launch,
};
use landfall_external::LazyHttp;
use landfall_external::cmf::Access;
use landfall_external::outbound::Guard;
use landfall_external::source;
use landfall_mgn::Mgn;
use serde_json::{Value, json};

use checks::{Allow, Subject};
use facts::{Facts, Proofs, Question, TargetFacts};

/// How long the callback's name may take to resolve: whoever waits for a pre-flight does not wait for that.
const RESOLVING: Duration = Duration::from_secs(3);

/// What the function works with.
#[derive(Clone, Debug)]
pub struct Deps {
    /// State and events.
    pub journal: Journal,
    /// The clients of other accounts.
    pub accounts: Accounts<Target>,
    /// The clients of the deployment's own.
    pub target: Target,
    /// Where the deployment runs.
    pub home: Home,
    /// What the ARNs of the functions' roles begin with; the function's name completes them.
    pub role_arn_prefix: String,
    /// What was simulated before.
    pub proofs: Proofs,
    /// Origins that a request's URLs may have.
    pub allow: Allow,
    /// Judges the addresses that the callback's name has.
    pub callbacks: Guard,
    /// Cloud Migration Factory, where there is one.
    pub cmf: Option<Access>,
    /// The way to the machine that moves, in the deployment's own account.
    pub sources: source::Access,
}

/// The clients of the account and Region that a migration goes to.
#[derive(Clone, Debug)]
pub struct Target {
    /// Subnets, security groups, instance types, encryption.
    pub ec2: aws_sdk_ec2::Client,
    /// Source servers and jobs.
    pub mgn: Mgn,
    /// Instance profiles and permissions.
    pub iam: aws_sdk_iam::Client,
    /// Keys.
    pub kms: aws_sdk_kms::Client,
    /// Quotas.
    pub quotas: aws_sdk_servicequotas::Client,
}

impl Target {
    fn new(aws: &SdkConfig) -> Self {
        Self {
            ec2: aws_sdk_ec2::Client::new(aws),
            mgn: Mgn::new(aws),
            iam: aws_sdk_iam::Client::new(aws),
            kms: aws_sdk_kms::Client::new(aws),
            quotas: aws_sdk_servicequotas::Client::new(aws),
        }
    }
}

impl Deps {
    /// From the environment.
    pub fn load(aws: &SdkConfig, env: &mut Env<'_>) -> Self {
        let http = LazyHttp::default();
        let role_arn_prefix = env.required("LANDFALL_ROLE_ARN_PREFIX");
        let callbacks = env.list("LANDFALL_CALLBACK_ALLOW");
        let region = aws
            .region()
            .map_or_else(|| env.required("AWS_REGION"), ToString::to_string);
        Self {
            journal: Journal::load(aws, env),
            accounts: Accounts::new(aws, actions::VALIDATE_INPUT, Target::new),
            target: Target::new(aws),
            home: Home {
                // IAM has no Region; the account stands behind it all the same.
                account: role_arn_prefix.split(':').nth(4).unwrap_or_default().into(),
                region,
            },
            role_arn_prefix,
            proofs: Proofs::default(),
            callbacks: Guard::new(callbacks.clone()).within(RESOLVING),
            allow: Allow {
                callbacks,
                sources: env.list("LANDFALL_SOURCE_API_ALLOW"),
                removable: env.list("LANDFALL_DECOMMISSION_INSTANCES"),
                approvals: env.json("LANDFALL_APPROVALS").unwrap_or_default(),
            },
            cmf: Access::load(aws, env, &http),
            sources: source::Access::load(aws, env, &http),
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
    if dry_run::is_meant(&event) {
        return Box::pin(dry_run::run(deps, event, &invocation)).await;
    }
    let input: StageInput = stage::read(event)?;
    let record = deps.journal.store.require(&input.key()).await?;
    telemetry::identify(&record);
    input.check(&record)?;
    let plan = plan_of(&record, invocation.now)?;
    if !matches!(record.status, Status::Requested | Status::Validating) {
        // A late second run of a step whose work is done: later steps own the migration now.
        return plan_value(plan);
    }
    // Futures of SDK calls are large: on the heap they do not swell the ones around them.
    let subject = Subject {
        request: &record.request,
        tenant_id: &record.tenant_id,
        evidence: record.test_evidence.as_ref(),
    };
    let examined = Box::pin(examine(deps, subject, false, &invocation)).await?;
    if examined.findings.iter().any(Finding::is_blocking) {
        Err(refuse(&deps.journal, record, examined.findings, invocation.now).await?)
    } else {
        let tests = plan.validate;
        pass(&deps.journal, record, examined, tests, invocation.now).await?;
        plan_value(plan)
    }
}

/// What the workflow does. A retry makes no new test where the one that was passed still covers the cutover.
///
/// # Errors
/// `InternalError` when the launch settings cannot be hashed.
fn plan_of(record: &MigrationRecord, now: Timestamp) -> Result<WorkflowPlan, StageError> {
    let mut plan = WorkflowPlan::of(&record.request);
    if record.purpose == Purpose::Retry && plan.validate && plan.switch {
        let settings_digest = record
            .request
            .launch_settings_digest()
            .map_err(|error| StageError::new(ErrorName::InternalError, error.to_string()))?;
        let launching = Launching {
            requested: &settings_digest,
            effective: None,
        };
        let evidence = record.test_evidence.as_ref();
        let findings = launch::untested(&record.request, evidence, launching, now);
        plan.validate = !findings.is_empty();
    }
    Ok(plan)
}

/// What the checks said.
#[derive(Debug)]
pub(crate) struct Examined {
    /// Everything that is wrong.
    pub(crate) findings: Vec<Finding>,
    /// What the migration takes for itself if it goes on.
    pub(crate) takings: Vec<Taking>,
    /// The one server in MGN that is meant, where there is one.
    pub(crate) source_server_id: Option<String>,
    /// Where its launch settings are not what the request wants; known only where somebody asked for it.
    pub(crate) differences: Option<Vec<Difference>>,
}

/// Reads the facts and runs the checks.
pub(crate) async fn examine(
    deps: &Deps,
    subject: Subject<'_>,
    diff: bool,
    invocation: &Invocation,
) -> Result<Examined, StageError> {
    let request = subject.request;
    let account = request.account.as_ref();
    let entered = deps
        .accounts
        .clients(account, &invocation.function_arn)
        .await;
    let (target, refused) = match (entered, account) {
        (Ok(None), _) => (Some(deps.target.clone()), None),
        (Ok(Some(target)), _) => (Some(target), None),
        (Err(refusal), Some(account)) => (None, Some(refusal.finding(account)?)),
        (Err(_), None) => (None, None),
    };
    let place = account.map_or_else(
        || deps.home.clone(),
        |account| Home {
            account: account.id.clone(),
            region: account.region.clone(),
        },
    );
    let question = Question {
        request,
        place: &place,
        partition: deps.role_arn_prefix.split(':').nth(1).unwrap_or("aws"),
        own: &Key::new(subject.tenant_id, &request.migration_id),
        diff,
        now: invocation.now,
    };
    let facts = Facts::gather(deps, target.as_ref(), question).await?;
    let mut findings: Vec<Finding> = refused.into_iter().collect();
    findings.extend(checks::all(subject, &facts, &deps.allow, invocation.now)?);
    let servers = facts.target.as_ref().map(|target| &target.mgn.servers);
    let source_server_id = match servers.map(Vec::as_slice) {
        Some([server]) => Some(server.id.clone()),
        _ => None,
    };
    let differences = facts
        .target
        .as_ref()
        .filter(|_| diff)
        .and_then(|target| differences(request, target));
    Ok(Examined {
        findings,
        differences,
        takings: facts.claims.free,
        source_server_id,
    })
}

/// Where the server's launch settings are not what the request wants. `None` where MGN does not have the server, or the
/// request wants what its disks cannot become.
fn differences(request: &MigrationRequest, facts: &TargetFacts) -> Option<Vec<Difference>> {
    let present = facts.launch.as_ref()?;
    let key = match &facts.key {
        Some(landfall_launch::Key::Usable(arn)) => Some(arn.as_str()),
        _ => None,
    };
    let wanted = present.wanted(request, key).ok()?;
    Some(launch::differences(&present.settings, &wanted))
}

/// Notes that the migration may go on, unless an earlier run did.
async fn pass(
    journal: &Journal,
    mut record: MigrationRecord,
    examined: Examined,
    tests: bool,
    now: Timestamp,
) -> Result<(), StageError> {
    record.test_kept = record.request.wants(Step::Validate) && !tests;
    // An earlier run may have refused what is mended by now; its failure must not outlive that.
    let refused_before = record.failure.take().is_some();
    if record.status == Status::Validating && !refused_before {
        return Ok(());
    }
    // Taken in the write that lets the migration go on: of two that looked at the same time one is refused.
    let mut change =
        Change::to(Status::Validating, EventType::ValidationPassed).taking(examined.takings);
    if !examined.findings.is_empty() {
        change = change.evidence(json!({ "findings": examined.findings }));
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
