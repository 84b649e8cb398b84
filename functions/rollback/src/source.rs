//! The source runs again, and serves.

use std::time::Duration;

use landfall_domain::health::{Sample, Seen, on_source_again};
use landfall_domain::rollback::Outcome;
use landfall_domain::{ErrorName, MigrationRecord, StageError};
use landfall_external::source::{self, Machine, Power, SourceMachine as _};
use tokio::task::JoinSet;

use crate::{Deps, REFUSED};

/// Powers the source on and waits until it runs and answers as it did before the cutover: users come back to it next.
pub(crate) async fn power_on(deps: &Deps, record: &MigrationRecord) -> Result<Outcome, StageError> {
    let machine = source::connect(&deps.sources, &record.request, REFUSED)
        .await?
        .ok_or_else(|| {
            StageError::new(
                REFUSED,
                "the source was powered off, and the request no longer says who controls it",
            )
        })?;
    let outcome = bring_up(&machine, &record.request.source_vm_id).await;
    machine.close().await;
    let (said, answers) = (outcome?, ask(record).await?);
    let add = |said: String| match answers {
        0 => said,
        count => format!("{said} and passes {count} of its checks of before the cutover"),
    };
    Ok(match said {
        Outcome::Did(said) => Outcome::Did(add(said)),
        Outcome::Found(said) => Outcome::Found(add(said)),
        Outcome::Nothing(said) => Outcome::Nothing(add(said)),
    })
}

/// Sees that a source which Landfall did not power off runs and answers as it did before the cutover. One that somebody else
/// powered off is theirs to power on: Landfall undoes what it did.
pub(crate) async fn check(deps: &Deps, record: &MigrationRecord) -> Result<Outcome, StageError> {
    let vm = &record.request.source_vm_id;
    let power = power(deps, record).await;
    if let Ok(Some(Power::Off | Power::Stopping)) = power {
        return Err(not_yet(format!(
            "the source {vm} is off, and Landfall did not power it off: power it on, and the rollback goes on"
        )));
    }
    // Whoever powers it on takes their own time: nothing of this is the rollback's work.
    match (ask(record).await?, power) {
        (0, Err(error)) => Err(error),
        (0, Ok(Some(Power::Starting | Power::Unknown))) => {
            Err(not_yet(format!("the source {vm} does not run yet")))
        }
        (0, Ok(_)) => Ok(Outcome::Nothing(format!("{vm} runs"))),
        // What answers runs, whatever its platform says, or does not say: users shall not stay away for that.
        (answers, power) => {
            let passes = format!("{vm} passes {answers} of its checks of before the cutover");
            let Err(error) = power else {
                return Ok(Outcome::Nothing(passes));
            };
            tracing::warn!(context = error.context, "{error}");
            Ok(Outcome::Nothing(format!(
                "{passes}; its power is not known: {}",
                error.message
            )))
        }
    }
}

/// What the source's platform says of its power; `None` where nobody controls the source.
async fn power(deps: &Deps, record: &MigrationRecord) -> Result<Option<Power>, StageError> {
    let Some(machine) = source::connect(&deps.sources, &record.request, REFUSED).await? else {
        return Ok(None);
    };
    let power = machine.power().await;
    machine.close().await;
    power.map(Some)
}

async fn bring_up(machine: &Machine, vm: &str) -> Result<Outcome, StageError> {
    match machine.power().await? {
        Power::Running => return Ok(Outcome::Found(format!("{vm} runs"))),
        Power::Off => machine.start().await?,
        // A start is taken only from rest.
        Power::Starting | Power::Stopping | Power::Unknown => {}
    }
    if machine.power().await? == Power::Running {
        return Ok(Outcome::Did(format!("{vm} was started")));
    }
    Err(not_yet(format!("the source {vm} does not run yet")))
}

/// Asks the source what it was asked just before the cutover, all at the same time; gives the number of checks. What it
/// did not pass then it need not pass now.
///
/// # Errors
/// `DependencyUnavailable` as long as one does not pass: a machine boots for minutes.
async fn ask(record: &MigrationRecord) -> Result<usize, StageError> {
    let checks = on_source_again(&record.request.health_checks, &record.done);
    let mut asked = JoinSet::new();
    let mut http = None;
    for (index, check, url) in checks {
        // Only now: it loads the trust store.
        let http = http.get_or_insert_with(landfall_probes::client).clone();
        let (check, url) = (check.clone(), url.to_owned());
        asked.spawn(async move {
            let seconds = check.timeout_seconds;
            let limit = Duration::from_secs(u64::from(seconds));
            let seen = tokio::time::timeout(limit, landfall_probes::get(&http, &check, &url)).await;
            let seen =
                seen.unwrap_or_else(|_| Seen::Nothing(format!("nothing within {seconds} s")));
            Sample::of(index, &check, &url, &[seen])
        });
    }
    let mut count = 0;
    while let Some(sampled) = asked.join_next().await {
        let failed = match sampled {
            Ok((_, None)) => None,
            Ok((sample, Some(_))) => Some(format!("{} {}", sample.url, sample.seen)),
            // One that panicked must not count as passed.
            Err(_) => Some("a check itself failed".to_owned()),
        };
        if let Some(failed) = failed {
            let vm = &record.request.source_vm_id;
            return Err(not_yet(format!(
                "the source {vm} does not answer as before the cutover: {failed}"
            )));
        }
        count += 1;
    }
    Ok(count)
}

fn not_yet(message: String) -> StageError {
    StageError::new(ErrorName::DependencyUnavailable, message)
}
