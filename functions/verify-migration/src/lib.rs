//! `verify-migration`: whether a launched instance may be believed.
//!
//! EC2's instance and system status first, then the request's health checks. An instance that is still starting
//! is `DependencyUnavailable`, which the workflow retries; a check that failed its last try is
//! `VerificationError`, which rolls the migration back. After a test it moves the server on in MGN.
//!
//! While the target soaks (`"phase": "soak"`) the cutover's checks are repeated, a round each time; the answer's `soaked` says
//! whether that was the last.
//!
//! Just before the cutover (`"phase": "baseline"`) it looks whether the test still covers what will be launched, and how
//! the source answers the checks that compare the target with it. That changes nothing but the record.
//!
//! Environment: `LANDFALL_TABLE`, `LANDFALL_BUS`.
#![warn(missing_docs)]

mod before;
mod instance;
mod probe;
mod round;
mod soak;

use std::borrow::Cow;

use aws_config::SdkConfig;
use jiff::Timestamp;
use landfall_accounts::{Accounts, actions};
use landfall_common::state::Change;
use landfall_common::{Env, Invocation, Journal, StageInput, stage, telemetry};
use landfall_domain::health;
use landfall_domain::record::{LaunchAction, TestEvidence};
use landfall_domain::soak::Soak;
use landfall_domain::{
    ErrorName, EventType, MigrationRecord, MigrationRequest, StageError, Status,
};
use landfall_mgn::{Mgn, Server};
use serde::Deserialize;
use serde_json::{Value, json};

/// What it works with in the account that a request goes to.
type Target = (Mgn, aws_sdk_ec2::Client, aws_sdk_ssm::Client);

/// What the function works with.
#[derive(Clone, Debug)]
pub struct Deps {
    /// State and events.
    pub journal: Journal,
    /// The clients of other accounts.
    pub accounts: Accounts<Target>,
    /// To mark a server as tested.
    pub mgn: Mgn,
    /// Instance status and address.
    pub ec2: aws_sdk_ec2::Client,
    /// Scripts on the target.
    pub ssm: aws_sdk_ssm::Client,
    /// For HTTP checks; follows no redirects.
    pub http: reqwest::Client,
}

impl Deps {
    /// From the environment.
    pub fn load(aws: &SdkConfig, env: &mut Env<'_>) -> Self {
        Self {
            journal: Journal::load(aws, env),
            accounts: Accounts::new(aws, actions::VERIFY_MIGRATION, |aws| {
                (
                    Mgn::new(aws),
                    aws_sdk_ec2::Client::new(aws),
                    aws_sdk_ssm::Client::new(aws),
                )
            }),
            mgn: Mgn::new(aws),
            ec2: aws_sdk_ec2::Client::new(aws),
            ssm: aws_sdk_ssm::Client::new(aws),
            http: probe::client(),
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
            .at(self, account, arn, |deps, (mgn, ec2, ssm)| {
                deps.mgn = mgn;
                deps.ec2 = ec2;
                deps.ssm = ssm;
            })
            .await
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Phase {
    /// Just before the cutover is launched.
    Baseline,
    /// After the test launch.
    Test,
    /// After the cutover launch.
    Cutover,
    /// After a round of the soak.
    Soak,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Verify {
    #[serde(flatten)]
    input: StageInput,
    phase: Phase,
    #[serde(default)]
    retry_count: u32,
}

/// Verifies the instance of a launch, or clears the way for the cutover.
///
/// # Errors
/// `CutoverError` where the test does not cover the cutover;
/// `DependencyUnavailable` while it starts or has tries left, `VerificationError` when it does not pass; those of
/// [`StageInput::check`].
pub async fn handle(
    deps: &Deps,
    event: Value,
    invocation: Invocation,
) -> Result<Value, StageError> {
    let call: Verify = stage::read(event)?;
    let now = invocation.now;
    let record = deps.journal.store.require(&call.input.key()).await?;
    telemetry::identify(&record);
    call.input.check(&record)?;
    let deps = &*deps.at(&record.request, &invocation).await?;
    let action = match call.phase {
        Phase::Baseline => {
            let record = Box::pin(before::look(deps, record, now)).await?;
            return Ok(json!({ "status": record.status }));
        }
        Phase::Soak => {
            let checked = soak::check(deps, record, call.retry_count, now);
            let (record, soaked) = Box::pin(checked).await?;
            return Ok(json!({ "status": record.status, "soaked": soaked }));
        }
        Phase::Test => LaunchAction::Test,
        Phase::Cutover => LaunchAction::Cutover,
    };
    let record = match (action, record.status) {
        (LaunchAction::Test, Status::Testing) | (LaunchAction::Cutover, Status::CuttingOver) => {
            let record =
                Box::pin(round::check(deps, record, action, call.retry_count, now)).await?;
            pass(deps, record, action, now).await?
        }
        // An earlier try passed and died later: only what comes after is left.
        _ => record,
    };
    let record = after(deps, record, action, now).await?;
    Ok(json!({ "status": record.status }))
}

async fn pass(
    deps: &Deps,
    mut record: MigrationRecord,
    action: LaunchAction,
    now: Timestamp,
) -> Result<MigrationRecord, StageError> {
    let mut evidence = Value::Null;
    let effective_digest = record.done.settings_digest.clone();
    let (health, checks) = (
        record.done.health.clone(),
        record.request.health_checks.clone(),
    );
    if let Some(launch) = record.done.launch_mut(action).as_mut() {
        launch.verified_at = Some(now.to_string());
        evidence = json!({
            "instanceId": launch.instance_id, "settingsDigest": launch.settings_digest,
            "effectiveDigest": effective_digest,
        });
        if let Some(health) = &health {
            evidence["checks"] = json!(health.checks);
        }
        let unverified = health::unverified(&checks);
        if !unverified.is_empty() {
            evidence["findings"] = json!(unverified);
        }
        if action == LaunchAction::Test {
            record.test_evidence = Some(TestEvidence {
                settings_digest: launch.settings_digest.clone(),
                effective_digest,
                verified_at: now.to_string(),
                job_id: launch.job_id.clone(),
            });
        }
    }
    let change = match action {
        LaunchAction::Test => Change::to(Status::TestVerified, EventType::TestVerified),
        LaunchAction::Cutover => Change::to(Status::CutoverVerified, EventType::HealthCheckPassed),
    };
    deps.journal
        .advance(record, change.evidence(evidence), now)
        .await
}

/// What follows a verification: MGN is told that testing is done; a cutover begins to soak where asked.
async fn after(
    deps: &Deps,
    mut record: MigrationRecord,
    action: LaunchAction,
    now: Timestamp,
) -> Result<MigrationRecord, StageError> {
    match (action, record.status) {
        (LaunchAction::Test, Status::TestVerified) => {
            let id = record.source_server_id.clone().unwrap_or_default();
            let server = deps.mgn.server(&id).await?;
            let lifecycle = server.as_ref().map(|server| server.lifecycle.as_str());
            if lifecycle != Some("READY_FOR_CUTOVER") {
                if server.as_ref().is_some_and(Server::has_no_lag_yet) {
                    return Err(StageError::new(
                        ErrorName::DependencyUnavailable,
                        format!(
                            "MGN has no launchable snapshot of {id} now, and changes no lifecycle until it has"
                        ),
                    ));
                }
                deps.mgn
                    .change_lifecycle(&id, "READY_FOR_CUTOVER", ErrorName::MigrationExecutionError)
                    .await?;
            }
            let change = Change::to(Status::ReadyForCutover, EventType::CutoverReady);
            deps.journal.advance(record, change, now).await
        }
        (LaunchAction::Cutover, Status::CutoverVerified)
            if record.request.policy.soak_seconds.unwrap_or(0) > 0 =>
        {
            let seconds = record.request.policy.soak_seconds.unwrap_or(0);
            let soak = Soak::begin(seconds, now);
            let change = Change::to(Status::Soaking, EventType::SoakStarted)
                .evidence(json!({ "soakSeconds": seconds, "rounds": soak.rounds }));
            record.done.soak = Some(soak);
            deps.journal.advance(record, change, now).await
        }
        _ => Ok(record),
    }
}
