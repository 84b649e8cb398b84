//! What must hold at the end of every schedule.

use axum::http::Request;
use landfall_common::Key;
use landfall_common::state::verify_history;
use landfall_domain::record::Launch;
use landfall_domain::{MigrationRecord, Status};
use landfall_simulator::Simulator;
use serde_json::Value;

use crate::driver::{At, Ending, Migration, Run};
use crate::plan::End;

/// What the simulator holds.
pub(crate) async fn state(simulator: &Simulator) -> Value {
    let request = Request::get("/_sim/state").body(Vec::new()).unwrap();
    let answer = simulator.answer(request).await.unwrap();
    serde_json::from_slice(answer.body()).unwrap()
}

pub(crate) async fn judge(run: &mut Run) {
    let jobs = state(&run.simulator).await["jobs"].clone();
    for number in 0..run.migrations.len() {
        let migration = &run.migrations[number];
        let key = Key::new("default", &migration.id);
        let record = run.store.require(&key).await.unwrap();
        let history = run.store.history(&key).await.unwrap();
        let mut faults = Vec::new();
        if let Err(seq) = verify_history(&history) {
            faults.push(format!("its history is broken at {seq}"));
        }
        let tests = jobs_of(&jobs, migration, "TEST");
        let cutovers = jobs_of(&jobs, migration, "CUTOVER");
        for (kind, jobs) in [("test", &tests), ("cutover", &cutovers)] {
            if jobs.len() > 1 {
                faults.push(format!(
                    "it was launched {} times for one {kind}",
                    jobs.len()
                ));
            }
        }
        let end = &run.plan.servers[number].end;
        match &migration.at {
            At::Ended(Ending::Succeeded) => {
                succeeded(&record, [&tests, &cutovers], &mut faults);
                if matches!(end, End::Fails(_)) {
                    faults.push("it succeeded, and could not".into());
                }
            }
            At::Ended(Ending::Failed(error)) => {
                let text = record.failure.as_ref().map(|it| it.message.as_str());
                let text = text.unwrap_or_default();
                // A job that never ends holds up every server in it.
                let held_up = [&tests, &cutovers].into_iter().flatten().any(|it| it.2);
                let strict = run.plan.gentle && !migration.excused && !held_up;
                match end {
                    End::Succeeds if strict => {
                        faults.push(format!("it failed for nothing, with {error}: {text}"));
                    }
                    End::Fails(why) if strict && !text.contains(why) => {
                        faults.push(format!("its failure does not say {why:?}: {text}"));
                    }
                    _ => {}
                }
            }
            At::Ended(Ending::Aborted) => {}
            other => faults.push(format!("it has not ended: {other:?}")),
        }
        let id = migration.id.clone();
        for fault in faults {
            run.fault(format!("{id}: {fault}"));
        }
    }
    for wait in run
        .store
        .waits(landfall_common::state::wait::Phase::Waiting)
        .await
        .unwrap()
    {
        run.fault(format!("a wait is left: {wait:?}"));
    }
    for wait in run
        .store
        .waits(landfall_common::state::wait::Phase::Pending)
        .await
        .unwrap()
    {
        run.fault(format!("a launch is left: {wait:?}"));
    }
}

/// The jobs of a purpose in which a migration's server took part: each its ID, the server's instance, and whether it goes
/// on still.
fn jobs_of<'a>(
    jobs: &'a Value,
    migration: &Migration,
    purpose: &str,
) -> Vec<(&'a str, &'a str, bool)> {
    let jobs = jobs.as_array().unwrap().iter();
    let jobs = jobs.filter(|job| job["purpose"] == purpose);
    jobs.filter_map(|job| {
        let mut parts = job["participants"].as_array()?.iter();
        let part = parts.find(|part| part["server_id"] == migration.server_id.as_str())?;
        Some((
            job["id"].as_str()?,
            part["instance_id"].as_str().unwrap_or_default(),
            job["status"] != "COMPLETED",
        ))
    })
    .collect()
}

/// The record of a migration that went all the way: it names the jobs and instances that there are.
fn succeeded(
    record: &MigrationRecord,
    jobs: [&Vec<(&str, &str, bool)>; 2],
    faults: &mut Vec<String>,
) {
    if record.status != Status::CutoverVerified || record.failure.is_some() {
        faults.push(format!(
            "it succeeded, and is {} with {:?}",
            record.status, record.failure
        ));
    }
    if record.test_evidence.is_none() {
        faults.push("it was cut over without the evidence of a test".into());
    }
    for (launch, jobs) in [&record.done.test, &record.done.cutover]
        .into_iter()
        .zip(jobs)
    {
        let known = |launch: &Launch| {
            let instance = launch.instance_id.as_deref().unwrap_or_default();
            jobs.as_slice() == [(launch.job_id.as_str(), instance, false)]
                && launch.verified_at.is_some()
        };
        if !launch.as_ref().is_some_and(known) {
            faults.push(format!("its record says {launch:?}, and there is {jobs:?}"));
        }
    }
}
