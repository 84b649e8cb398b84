//! DNS: the names of the request point at the target.

use landfall_domain::finalize::{State, Step};
use landfall_domain::record::{DnsChange, DnsValue};
use landfall_domain::request::{DnsRecord, DnsType};
use landfall_domain::{MigrationRecord, StageError};
use landfall_external::dns::RecordName;
use serde_json::{Value, json};

use crate::Deps;
use crate::steps::{Clock, begin, finish};
use crate::target::Target;

/// Points every name at the target, and waits for Route 53's name servers. What was there before is in the record first,
/// for all names in one write.
pub(crate) async fn point_at_target(
    deps: &Deps,
    mut record: MigrationRecord,
    target: &Target,
    clock: Clock,
) -> Result<MigrationRecord, StageError> {
    if record.request.dns.is_empty() {
        return Ok(record);
    }
    let mut unknown = Vec::new();
    for wanted in &record.request.dns {
        let known = record.done.dns.iter().any(|change| is_of(change, wanted));
        if !known {
            unknown.push(change_of(deps, wanted, target).await?);
        }
    }
    if !unknown.is_empty() {
        record.done.dns.extend(unknown);
        let told = told(&record.done.dns);
        record = begin(deps, record, Step::Dns, told, clock).await?;
    }
    let mut changes = Vec::with_capacity(record.done.dns.len());
    for change in &record.done.dns {
        // Also on a second run: the same value again does no harm, and only a change can be waited for.
        changes.push(deps.dns.put(name_of(change), &change.value).await?);
    }
    deps.dns.settle(&changes).await?;
    let seen = (State::Done, told(&record.done.dns));
    finish(deps, record, Step::Dns, seen, clock).await
}

/// The changes as the history shows them.
fn told(changes: &[DnsChange]) -> Value {
    let told = changes.iter().map(|change| {
        json!({ "name": change.name, "type": change.record_type, "value": change.value, "before": change.previous })
    });
    told.collect()
}

async fn change_of(
    deps: &Deps,
    wanted: &DnsRecord,
    target: &Target,
) -> Result<DnsChange, StageError> {
    let value = wanted
        .value
        .clone()
        .unwrap_or_else(|| target.private_ip.clone());
    let mut change = DnsChange {
        hosted_zone_id: wanted.hosted_zone_id.clone(),
        name: wanted.name.clone(),
        record_type: type_name(wanted.record_type).to_owned(),
        previous: None,
        value: DnsValue {
            ttl: i64::from(wanted.ttl),
            values: vec![value],
        },
    };
    change.previous = deps.dns.read(name_of(&change)).await?;
    Ok(change)
}

fn name_of(change: &DnsChange) -> RecordName<'_> {
    RecordName {
        zone: &change.hosted_zone_id,
        name: &change.name,
        record_type: &change.record_type,
    }
}

fn is_of(change: &DnsChange, wanted: &DnsRecord) -> bool {
    change.hosted_zone_id == wanted.hosted_zone_id
        && change.name == wanted.name
        && change.record_type == type_name(wanted.record_type)
}

const fn type_name(record_type: DnsType) -> &'static str {
    match record_type {
        DnsType::A => "A",
        DnsType::Cname => "CNAME",
    }
}
