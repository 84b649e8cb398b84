//! One round of checks: what is due is tried once, all at the same time, and what was seen is kept.

use std::collections::BTreeMap;

use jiff::Timestamp;
use landfall_common::state::Change;
use landfall_domain::health::{self, Command, Health, Seen, Target, Verdict};
use landfall_domain::record::LaunchAction;
use landfall_domain::request::{HealthCheck, SsmCheck};
use landfall_domain::{ErrorName, EventType, Finding, MigrationRecord, StageError, digest};
use serde_json::json;
use tokio::task::JoinSet;

use crate::probe::command::{self, Script};
use crate::{Deps, instance, probe};

/// After so many retries by the workflow an instance that never became ready counts as failed.
const START_RETRIES: u32 = 28;
/// After so many, checks that have neither passed nor used up their tries do. Below the workflow's own limit of 270, so
/// that the reason given is ours. The longest that a request can ask for is 20 scripts of 5 minutes each, 5 minutes apart:
/// some 220 rounds, a minute each, after the start's.
const CHECK_RETRIES: u32 = 268;

/// Whether a script's note is of this round.
type Noted = Vec<usize>;

/// One round of checks; gives the record back when all passed.
pub(crate) async fn check(
    deps: &Deps,
    mut record: MigrationRecord,
    action: LaunchAction,
    retry_count: u32,
    now: Timestamp,
) -> Result<MigrationRecord, StageError> {
    let instance_id = launched(&record, action)?;
    let target = match instance::look(&deps.ec2, &instance_id).await? {
        instance::State::Ready(target) => target,
        instance::State::Starting(what) if retry_count < START_RETRIES => {
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
    let checks = record.request.health_checks.clone();
    if checks.is_empty() {
        return Ok(record);
    }
    let mut health = Health::of(record.done.health.as_ref(), &instance_id, &checks);
    let due = health.due(&checks, action, now);
    let noted = note_scripts(&mut health, &checks, &due, now);
    if !noted.is_empty() {
        // Before anything is sent. The write is conditional: of two runs at once, one sends.
        record.done.health = Some(health.clone());
        record = deps.journal.store.save(record, now).await?;
    }
    let round = Round {
        deps,
        record: &record,
        target: &target,
        now,
    };
    let baseline = match action {
        LaunchAction::Test => None,
        LaunchAction::Cutover => record.done.baseline.clone(),
    };
    let mut seen = round.try_all(&health, &due, &noted).await?;
    for index in due {
        let (Some(check), Some(state)) = (checks.get(index), health.checks.get_mut(index)) else {
            continue;
        };
        let (seen, command_id) = seen.remove(&index).unwrap_or_else(|| (probe::died(), None));
        if let Some(command) = &mut state.command {
            command.command_id = command_id;
        }
        let source = baseline.as_ref().and_then(|baseline| baseline.of(index));
        let judged = health::judge(index, check, &seen, &target, source);
        state.note(&seen, judged, now);
    }
    let (verdict, open) = (
        health.verdict(&checks, action),
        health.open(&checks, action),
    );
    record.done.health = Some(health);
    match verdict {
        Verdict::Healthy => Ok(record),
        Verdict::TryAgain(findings) if retry_count < CHECK_RETRIES => {
            deps.journal.store.save(record, now).await?;
            Err(StageError::new(
                ErrorName::DependencyUnavailable,
                format!(
                    "{open} of {} health checks have not passed; they are tried again",
                    checks.len()
                ),
            )
            .findings(findings))
        }
        Verdict::TryAgain(findings) | Verdict::Unhealthy(findings) => {
            Err(unhealthy(deps, record, findings, now).await?)
        }
    }
}

fn launched(record: &MigrationRecord, action: LaunchAction) -> Result<String, StageError> {
    let launch = record.done.launch(action);
    launch
        .and_then(|launch| launch.instance_id.clone())
        .ok_or_else(|| {
            StageError::new(
                ErrorName::InternalError,
                "the record names no launched instance",
            )
        })
}

/// Notes the scripts that are to be sent now; tells which.
fn note_scripts(
    health: &mut Health,
    checks: &[HealthCheck],
    due: &[usize],
    now: Timestamp,
) -> Noted {
    let mut noted = Vec::new();
    for index in due {
        let (Some(HealthCheck::Ssm(_)), Some(state)) =
            (checks.get(*index), health.checks.get_mut(*index))
        else {
            continue;
        };
        if state.command.is_none() {
            state.command = Some(Command::new(now));
            noted.push(*index);
        }
    }
    noted
}

/// What the tries of one round share.
struct Round<'a> {
    deps: &'a Deps,
    record: &'a MigrationRecord,
    target: &'a Target,
    now: Timestamp,
}

impl Round<'_> {
    /// Tries what is due, all at the same time: one after the other, twenty of twenty seconds would outlive the
    /// function. By the checks' places, what was seen and the SSM command of a script.
    async fn try_all(
        &self,
        health: &Health,
        due: &[usize],
        noted: &Noted,
    ) -> Result<BTreeMap<usize, (Seen, Option<String>)>, StageError> {
        let mut probes = JoinSet::new();
        let (deps, now) = (self.deps, self.now);
        for index in due.iter().copied() {
            let Some(check) = self.record.request.health_checks.get(index) else {
                continue;
            };
            let state = health.checks.get(index);
            if let (HealthCheck::Ssm(check), Some(command)) =
                (check, state.and_then(|state| state.command.as_ref()))
            {
                let nth = state.map_or(0, |state| state.failed);
                let script = self.script((index, nth), check, command, noted.contains(&index))?;
                let ssm = deps.ssm.clone();
                probes.spawn(async move { (index, command::probe(&ssm, &script, now).await) });
            } else {
                let (http, check, target) = (deps.http.clone(), check.clone(), self.target.clone());
                probes.spawn(async move {
                    let seen = probe::probe(&http, &check, &target).await;
                    (index, (seen, None))
                });
            }
        }
        let mut seen = BTreeMap::new();
        while let Some(probed) = probes.join_next().await {
            seen.extend(probed.ok());
        }
        Ok(seen)
    }

    fn script(
        &self,
        try_of_check: (usize, u32),
        check: &SsmCheck,
        command: &Command,
        fresh: bool,
    ) -> Result<Script, StageError> {
        let (record, target) = (self.record, self.target);
        // One try of one check on one instance. SSM allows 100 characters.
        let of = json!([
            record.tenant_id,
            record.migration_id,
            record.attempt,
            target.instance_id,
            try_of_check,
            command.asked_at
        ]);
        let digest = digest::of_json(&of)
            .map_err(|error| StageError::new(ErrorName::InternalError, error.to_string()))?;
        Ok(Script {
            check: check.clone(),
            lines: check
                .commands
                .iter()
                .map(|line| target.fill(line))
                .collect(),
            instance_id: target.instance_id.clone(),
            comment: format!("landfall check {}", &digest[..32]),
            command: command.clone(),
            fresh,
        })
    }
}

/// Writes down that the instance failed, with what each check saw; gives the error for the workflow.
async fn unhealthy(
    deps: &Deps,
    record: MigrationRecord,
    mut findings: Vec<Finding>,
    now: Timestamp,
) -> Result<StageError, StageError> {
    if findings.is_empty() {
        let text = "no result of the health checks came in time.";
        findings.push(
            Finding::blocking("HEALTH_CHECK_FAILED", "/healthChecks", text)
                .remedy("See the scripts in Systems Manager's Run Command."),
        );
    }
    let reason = findings.first().map_or("", |finding| finding.code.as_str());
    let text = format!(
        "the launched instance did not pass {} of its checks",
        findings.len()
    );
    let mut told = findings.clone();
    told.extend(health::unverified(&record.request.health_checks));
    let mut evidence = json!({ "findings": told });
    if let Some(health) = &record.done.health {
        evidence["checks"] = json!(health.checks);
    }
    let change = Change::to(record.status, EventType::HealthCheckFailed)
        .reason(reason)
        .evidence(evidence);
    let error = StageError::new(ErrorName::VerificationError, text).findings(findings);
    deps.journal.fail(record, change, &error, now).await?;
    Ok(error)
}
