//! Just before the cutover: whether the test still covers it, and how the source answers while it still runs.
//!
//! The pre-flight has asked the same, days or weeks ago. Since then somebody may have changed the launch template by
//! hand, and a wait may have made the test old. Nothing is changed here but the record.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use landfall_common::state::Change;
use landfall_domain::health::{Baseline, Sample, Seen, on_source};
use landfall_domain::launch::{self, Difference, Launching};
use landfall_domain::request::HttpCheck;
use landfall_domain::{ErrorName, EventType, Finding, MigrationRecord, StageError, Status};
use serde_json::json;
use tokio::task::JoinSet;

use crate::{Deps, probe};

const FAULT: ErrorName = ErrorName::CutoverError;
/// How often the source is asked for one check; the median of the times counts.
const TRIES: usize = 3;
/// No further try begins after this: together with the last one, which may take 20 seconds, well within the function's
/// time-out.
const ENOUGH: Duration = Duration::from_secs(20);

/// Looks, and writes what it saw, once.
pub(crate) async fn look(
    deps: &Deps,
    record: MigrationRecord,
    now: Timestamp,
) -> Result<MigrationRecord, StageError> {
    if has_cut_over(record.status) {
        // A late second run: the launch has been asked for.
        return Ok(record);
    }
    let server_id = record.source_server_id.clone().ok_or_else(|| {
        StageError::new(
            ErrorName::InternalError,
            "the cutover was asked for before the MGN source server was known",
        )
    })?;
    let present = landfall_launch::present(&deps.ec2, &deps.mgn, &server_id, FAULT).await?;
    let effective = hashed(present.settings.digest())?;
    let requested = hashed(record.request.launch_settings_digest())?;
    let launching = Launching {
        requested: &requested,
        effective: Some(&effective),
    };
    let evidence = record.test_evidence.as_ref();
    let mut findings = launch::untested(&record.request, evidence, launching, now);
    // What the request has a say in can be told by name; the key's ARN is not asked for, and its change is no secret to
    // the wait for replication.
    if let Ok(wanted) = present.wanted(&record.request, None) {
        name_changes(
            &mut findings,
            &launch::differences(&present.settings, &wanted),
        );
    }
    if findings.iter().any(Finding::is_blocking) {
        return Err(refuse(deps, record, findings, now).await?);
    }
    let told = |finding: &Finding| {
        let mut before = record.done.warnings.iter();
        before.any(|it| it.code == finding.code)
    };
    // After the gate there may be more to override than before it.
    if record.done.baseline.is_some() && findings.iter().all(told) {
        return Ok(record);
    }
    clear(deps, record, effective, findings, now).await
}

const fn has_cut_over(status: Status) -> bool {
    matches!(
        status,
        Status::CuttingOver
            | Status::CutoverVerified
            | Status::Soaking
            | Status::Finalizing
            | Status::Succeeded
    )
}

/// Adds what differs from the request to the finding that something does.
fn name_changes(findings: &mut [Finding], differences: &[Difference]) {
    if differences.is_empty() {
        return;
    }
    let said: Vec<String> = differences.iter().map(Difference::to_string).collect();
    for finding in findings {
        if finding.code == "LAUNCH_SETTINGS_CHANGED_SINCE_TEST" {
            finding.message = format!("{} By the request, {}.", finding.message, said.join("; "));
        }
    }
}

async fn refuse(
    deps: &Deps,
    record: MigrationRecord,
    findings: Vec<Finding>,
    now: Timestamp,
) -> Result<StageError, StageError> {
    let reason = findings.first().map_or("", |finding| finding.code.as_str());
    let change = Change::to(record.status, EventType::CutoverRefused)
        .reason(reason)
        .evidence(json!({ "findings": findings }));
    let message = match findings.as_slice() {
        [one] => format!("the cutover is refused: {}", one.message),
        several => format!("the cutover is refused for {} reasons", several.len()),
    };
    let error = StageError::new(FAULT, message).findings(findings);
    deps.journal.fail(record, change, &error, now).await?;
    Ok(error)
}

/// Writes down what the cutover goes by: the test or what was overridden and why, and the source's answers.
async fn clear(
    deps: &Deps,
    mut record: MigrationRecord,
    settings_digest: String,
    overridden: Vec<Finding>,
    now: Timestamp,
) -> Result<MigrationRecord, StageError> {
    let (samples, failed) = match record.done.baseline.take() {
        // What the source answered stands.
        Some(before) => (before.samples, Vec::new()),
        None => sample(deps, &record).await,
    };
    let mut evidence = json!({ "settingsDigest": settings_digest });
    if let Some(test) = &record.test_evidence {
        evidence["test"] = json!(test);
    }
    if !samples.is_empty() {
        evidence["source"] = json!(samples);
    }
    let mut change = Change::to(record.status, EventType::CutoverCleared);
    if let Some(first) = overridden.first() {
        change = change.reason(&first.code);
        let gates: Vec<&str> = overridden.iter().map(|it| it.code.as_str()).collect();
        let reason = record.request.policy.untested_cutover_reason();
        evidence["override"] = json!({ "gates": gates, "reason": reason });
    }
    let told: Vec<Finding> = overridden.into_iter().chain(failed).collect();
    if !told.is_empty() {
        evidence["findings"] = json!(told);
    }
    for finding in told {
        record.done.warn(finding);
    }
    record.done.baseline = Some(Baseline {
        at: now.to_string(),
        settings_digest: Some(settings_digest),
        samples,
    });
    deps.journal
        .advance(record, change.evidence(evidence), now)
        .await
}

/// Asks the source what its checks ask, all of them at the same time.
async fn sample(deps: &Deps, record: &MigrationRecord) -> (Vec<Sample>, Vec<Finding>) {
    let mut probes = JoinSet::new();
    for (index, check, url) in on_source(&record.request.health_checks) {
        let (http, check, url) = (deps.http.clone(), check.clone(), url.to_owned());
        probes.spawn(async move {
            let tries = ask(&http, &check, &url).await;
            let (sample, finding) = Sample::of(index, &check, &url, &tries);
            (sample, finding)
        });
    }
    let mut seen = Vec::new();
    while let Some(probed) = probes.join_next().await {
        seen.extend(probed.ok());
    }
    seen.sort_by_key(|(sample, _)| sample.check);
    let (samples, findings): (Vec<Sample>, Vec<Option<Finding>>) = seen.into_iter().unzip();
    (samples, findings.into_iter().flatten().collect())
}

async fn ask(http: &reqwest::Client, check: &HttpCheck, url: &str) -> Vec<Seen> {
    let limit = Duration::from_secs(u64::from(check.timeout_seconds));
    let started = Instant::now();
    let mut tries = Vec::new();
    while tries.len() < TRIES && started.elapsed() < ENOUGH {
        let asked = tokio::time::timeout(limit, probe::get(http, check, url)).await;
        let seen = asked.unwrap_or_else(|_| {
            Seen::Nothing(format!("nothing within {} s", check.timeout_seconds))
        });
        let is_answer = matches!(seen, Seen::Http(_));
        tries.push(seen);
        if !is_answer {
            break;
        }
    }
    tries
}

fn hashed(digest: Result<String, serde_json::Error>) -> Result<String, StageError> {
    digest.map_err(|error| StageError::new(ErrorName::InternalError, error.to_string()))
}
