//! The names point where they did before.

use landfall_domain::StageError;
use landfall_domain::record::DnsChange;
use landfall_external::dns::{RecordName, same};

use crate::{Deps, REFUSED};

/// Puts a record set back, or removes it where there was none; the change is added to those to be waited for. One
/// that somebody else has changed since stays.
pub(crate) async fn restore(
    deps: &Deps,
    change: &DnsChange,
    changes: &mut Vec<String>,
) -> Result<String, StageError> {
    let name = RecordName {
        zone: &change.hosted_zone_id,
        name: &change.name,
        record_type: &change.record_type,
    };
    let current = deps.dns.read(name).await?;
    let id = match (&current, &change.previous) {
        (None, None) => return Ok(format!("{name} is not there, as before")),
        (Some(current), Some(previous)) if same(current, previous) => {
            return Ok(format!("{name} is as before"));
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
    changes.push(id);
    Ok(format!("{name} was put back"))
}
