//! The names point where they did before.

use landfall_domain::finalize::{self, State, Step};
use landfall_domain::record::{DnsChange, DnsValue};
use landfall_domain::rollback::Outcome;
use landfall_domain::{ErrorName, MigrationRecord, StageError};
use landfall_external::dns::{RecordName, same};

use crate::{Deps, REFUSED};

/// Puts a record set back, or removes it where there was none, and waits until Route 53's servers have it. One that
/// somebody else has changed since stays.
pub(crate) async fn restore(
    deps: &Deps,
    record: &MigrationRecord,
    change: &DnsChange,
) -> Result<Outcome, StageError> {
    let name = name_of(change);
    let current = deps.dns.read(name).await?;
    let id = match (&current, &change.previous) {
        // An earlier run may have removed it just now. Nothing can be put here that would give a change to wait for: what
        // the name servers answer is asked by the compensation after this one.
        (None, None) => return Ok(Outcome::Found(format!("{name} is not there, as before"))),
        (Some(current), Some(previous)) if same(current, previous) => {
            if !same(previous, &change.value) {
                settle_again(deps, record, change, previous).await?;
            }
            return Ok(Outcome::Found(format!("{name} is as before")));
        }
        (Some(current), previous) if same(current, &change.value) => match previous {
            Some(previous) => deps.dns.put(name, previous).await?,
            None => deps.dns.remove(name, current).await?,
        },
        (current, _) => {
            let holds = current.as_ref().map_or_else(
                || "is gone".to_owned(),
                |value| format!("holds {} (TTL {})", value.values.join(", "), value.ttl),
            );
            return Err(StageError::new(
                REFUSED,
                format!("{name} {holds}: somebody else changed it since; set it right by hand"),
            ));
        }
    };
    deps.dns.settle(&[id]).await?;
    Ok(Outcome::Did(format!("{name} was put back")))
}

/// Waits for a value that the zone has already: an earlier run may have put it there and not lived to see it on all name
/// servers. The same value again changes nothing, and gives a change to wait for.
async fn settle_again(
    deps: &Deps,
    record: &MigrationRecord,
    change: &DnsChange,
    previous: &DnsValue,
) -> Result<(), StageError> {
    let switched = finalize::note(&record.done, Step::Dns);
    let switched = switched.is_some_and(|note| note.state == State::Done);
    match deps.dns.put(name_of(change), previous).await {
        Ok(id) => deps.dns.settle(&[id]).await,
        // Whoever may not change the name has not changed it: the switch was refused the same way.
        Err(error) if !error.name.is_transient() && !switched => Ok(()),
        Err(error) => Err(error),
    }
}

/// Asks Route 53's name servers for every name that was put back: what they answer is where users go.
pub(crate) async fn check_traffic(
    deps: &Deps,
    record: &MigrationRecord,
) -> Result<Outcome, StageError> {
    for change in &record.done.dns {
        let name = name_of(change);
        let answered = deps.dns.answer(name).await?;
        let wanted = change.previous.as_ref();
        let is_back = match (&answered, wanted) {
            (None, None) => true,
            (Some(values), Some(wanted)) => {
                // An answer tells how long it may still be kept, not how long the record may.
                let values = values.clone();
                let ttl = wanted.ttl;
                same(&DnsValue { ttl, values }, wanted)
            }
            _ => false,
        };
        if !is_back {
            let values = answered.map_or_else(|| "nothing".to_owned(), |it| it.join(", "));
            return Err(StageError::new(
                ErrorName::DependencyUnavailable,
                format!("Route 53's name servers still answer {values} for {name}"),
            ));
        }
    }
    let count = record.done.dns.len();
    Ok(Outcome::Did(format!(
        "Route 53's name servers answer {count} names as before"
    )))
}

fn name_of(change: &DnsChange) -> RecordName<'_> {
    RecordName {
        zone: &change.hosted_zone_id,
        name: &change.name,
        record_type: &change.record_type,
    }
}
