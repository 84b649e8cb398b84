//! `verify-migration`: whether a launched instance may be believed.
//!
//! EC2's instance and system status first, then the request's health checks. An instance that is still starting
//! is `DependencyUnavailable`, which the workflow retries; a check that failed its last try is
//! `VerificationError`, which rolls the migration back. After a test it moves the server on in MGN.
//!
//! Environment: `LANDFALL_TABLE`, `LANDFALL_BUS`.
#![warn(missing_docs)]

mod instance;
mod probe;

use std::borrow::Cow;
use std::collections::BTreeMap;

use aws_config::SdkConfig;
use jiff::Timestamp;
use landfall_accounts::{Accounts, actions};
use landfall_common::state::Change;
use landfall_common::{Env, Invocation, Journal, StageInput, stage, telemetry};
use landfall_domain::health::{self, Target, Verdict};
use landfall_domain::record::{LaunchAction, TestEvidence};
use landfall_domain::{
    ErrorName, EventType, Finding, MigrationRecord, MigrationRequest, StageError, Status,
};
use landfall_mgn::Mgn;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::task::JoinSet;

/// After so many retries by the workflow an instance that never became ready, or whose checks have not passed, counts
/// as failed: the start and the rounds of checks share them. Below the workflow's own limit of 30, so that the reason
/// given is ours.
const MAX_RETRIES: u32 = 28;

/// What the function works with.
#[derive(Clone, Debug)]
pub struct Deps {
    /// State and events.
    pub journal: Journal,
    /// The clients of other accounts.
    pub accounts: Accounts<(Mgn, aws_sdk_ec2::Client)>,
    /// To mark a server as tested.
    pub mgn: Mgn,
    /// Instance status and address.
    pub ec2: aws_sdk_ec2::Client,
    /// For HTTP checks; follows no redirects.
    pub http: reqwest::Client,
}

impl Deps {
    /// From the environment.
    pub fn load(aws: &SdkConfig, env: &mut Env<'_>) -> Self {
        Self {
            journal: Journal::load(aws, env),
            accounts: Accounts::new(aws, actions::VERIFY_MIGRATION, |aws| {
                (Mgn::new(aws), aws_sdk_ec2::Client::new(aws))
            }),
            mgn: Mgn::new(aws),
            ec2: aws_sdk_ec2::Client::new(aws),
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
            .at(self, account, arn, |deps, (mgn, ec2)| {
                deps.mgn = mgn;
                deps.ec2 = ec2;
            })
            .await
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Phase {
    Test,
    Cutover,
}

impl Phase {
    const fn action(self) -> LaunchAction {
        match self {
            Self::Test => LaunchAction::Test,
            Self::Cutover => LaunchAction::Cutover,
        }
    }
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

/// Verifies the instance of a launch.
///
/// # Errors
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
    let record = match (call.phase, record.status) {
        (Phase::Test, Status::Testing) | (Phase::Cutover, Status::CuttingOver) => {
            let record = check(deps, record, &call, now).await?;
            pass(deps, record, call.phase, now).await?
        }
        // An earlier try passed and died later: only what comes after is left.
        _ => record,
    };
    let record = after(deps, record, call.phase, now).await?;
    Ok(json!({ "status": record.status }))
}

/// One round of checks; gives the record back when all passed.
async fn check(
    deps: &Deps,
    record: MigrationRecord,
    call: &Verify,
    now: Timestamp,
) -> Result<MigrationRecord, StageError> {
    let action = call.phase.action();
    let instance_id = record
        .done
        .launch(action)
        .and_then(|launch| launch.instance_id.clone())
        .ok_or_else(|| {
            StageError::new(
                ErrorName::InternalError,
                "the record names no launched instance",
            )
        })?;
    let target = match instance::look(&deps.ec2, &instance_id).await? {
        instance::State::Ready(target) => target,
        instance::State::Starting(what) if call.retry_count < MAX_RETRIES => {
            return Err(StageError::new(
                ErrorName::DependencyUnavailable,
                format!("instance {instance_id} is not ready yet: {what}"),
            ));
        }
        instance::State::Starting(what) | instance::State::Gone(what) => {
            let finding = Finding::blocking(
                "INSTANCE_NOT_READY",
                "",
                format!("instance {instance_id} did not become ready: {what}."),
            )
            .remedy("See the instance's system log and screenshot in the EC2 console.");
            return Err(unhealthy(deps, record, vec![finding], now).await?);
        }
    };
    let failed = probe_all(deps, &record, &target).await;
    let round = record.done.health_rounds + 1;
    match health::verdict(failed, round) {
        Verdict::Healthy => Ok(record),
        Verdict::TryAgain(findings) if call.retry_count < MAX_RETRIES => {
            let mut record = record;
            record.done.health_rounds = round;
            deps.journal.store.save(record, now).await?;
            Err(StageError::new(
                ErrorName::DependencyUnavailable,
                format!(
                    "{} health checks did not pass in round {round}; they are tried again",
                    findings.len()
                ),
            )
            .findings(findings))
        }
        Verdict::TryAgain(findings) | Verdict::Unhealthy(findings) => {
            Err(unhealthy(deps, record, findings, now).await?)
        }
    }
}

/// Tries every check once, all at the same time: one after the other, twenty of twenty seconds would outlive the
/// function. Gives the failed ones with their number of attempts, in the order of the request.
async fn probe_all(deps: &Deps, record: &MigrationRecord, target: &Target) -> Vec<(u32, Finding)> {
    let mut probes = JoinSet::new();
    for (index, check) in record.request.health_checks.iter().enumerate() {
        let (http, check, target) = (deps.http.clone(), check.clone(), target.clone());
        probes.spawn(async move { (index, probe::probe(&http, &check, &target).await) });
    }
    let mut seen = BTreeMap::new();
    while let Some(probed) = probes.join_next().await {
        seen.extend(probed.ok());
    }
    let checks = record.request.health_checks.iter().enumerate();
    checks
        .filter_map(|(index, check)| {
            let seen = seen.remove(&index).unwrap_or_else(probe::died);
            let finding = health::judge(index, check, &seen, target)?;
            Some((check.attempts(), finding))
        })
        .collect()
}

/// Writes down that the instance failed; gives the error for the workflow.
async fn unhealthy(
    deps: &Deps,
    record: MigrationRecord,
    findings: Vec<Finding>,
    now: Timestamp,
) -> Result<StageError, StageError> {
    let reason = findings
        .first()
        .map_or("HEALTH_CHECK_FAILED", |f| f.code.as_str());
    let change = Change::to(record.status, EventType::HealthCheckFailed)
        .reason(reason)
        .evidence(json!({ "findings": findings }));
    let text = format!(
        "the launched instance did not pass {} of its checks",
        findings.len()
    );
    let error = StageError::new(ErrorName::VerificationError, text).findings(findings);
    deps.journal.fail(record, change, &error, now).await?;
    Ok(error)
}

async fn pass(
    deps: &Deps,
    mut record: MigrationRecord,
    phase: Phase,
    now: Timestamp,
) -> Result<MigrationRecord, StageError> {
    let mut evidence = Value::Null;
    let effective_digest = record.done.settings_digest.clone();
    if let Some(launch) = record.done.launch_mut(phase.action()).as_mut() {
        launch.verified_at = Some(now.to_string());
        evidence = json!({
            "instanceId": launch.instance_id, "settingsDigest": launch.settings_digest,
            "effectiveDigest": effective_digest,
        });
        if phase == Phase::Test {
            record.test_evidence = Some(TestEvidence {
                settings_digest: launch.settings_digest.clone(),
                effective_digest,
                verified_at: now.to_string(),
                job_id: launch.job_id.clone(),
            });
        }
    }
    let change = match phase {
        Phase::Test => Change::to(Status::TestVerified, EventType::TestVerified),
        Phase::Cutover => Change::to(Status::CutoverVerified, EventType::HealthCheckPassed),
    };
    deps.journal
        .advance(record, change.evidence(evidence), now)
        .await
}

/// What follows a verification: MGN is told that testing is done; a cutover begins to soak where asked.
async fn after(
    deps: &Deps,
    record: MigrationRecord,
    phase: Phase,
    now: Timestamp,
) -> Result<MigrationRecord, StageError> {
    match (phase, record.status) {
        (Phase::Test, Status::TestVerified) => {
            let id = record.source_server_id.clone().unwrap_or_default();
            let lifecycle = deps.mgn.server(&id).await?.map(|server| server.lifecycle);
            if lifecycle.as_deref() != Some("READY_FOR_CUTOVER") {
                deps.mgn
                    .change_lifecycle(&id, "READY_FOR_CUTOVER", ErrorName::MigrationExecutionError)
                    .await?;
            }
            let change = Change::to(Status::ReadyForCutover, EventType::CutoverReady);
            deps.journal.advance(record, change, now).await
        }
        (Phase::Cutover, Status::CutoverVerified)
            if record.request.policy.soak_seconds.unwrap_or(0) > 0 =>
        {
            let soak = json!({ "soakSeconds": record.request.policy.soak_seconds });
            let change = Change::to(Status::Soaking, EventType::SoakStarted).evidence(soak);
            deps.journal.advance(record, change, now).await
        }
        _ => Ok(record),
    }
}
