//! The records that other people keep: the configuration item and Cloud Migration Factory.

use jiff::Timestamp;
use landfall_domain::cmf::{Weight, not_updated};
use landfall_domain::{MigrationRecord, StageError};
use landfall_external::cmdb::Cmdb;
use serde_json::{Map, Value, json};

use crate::target::Target;
use crate::{Deps, REFUSED, step};

/// The migration status of a finished server in Cloud Migration Factory.
const CMF_DONE: &str = "Landfall: cutover complete";

/// Writes the target into the configuration item; the fields as they were are in the record first.
pub(crate) async fn update_cmdb(
    deps: &Deps,
    mut record: MigrationRecord,
    target: &Target,
    now: Timestamp,
    evidence: &mut Vec<Value>,
) -> Result<MigrationRecord, StageError> {
    let Some(item) = record.request.cmdb.clone() else {
        return Ok(record);
    };
    let Some(url) = &deps.cmdb_url else {
        tracing::warn!("the request names a configuration item, and this deployment has no CMDB");
        evidence.push(step(
            "CMDB",
            "left to a person: LANDFALL_CMDB_URL is not set",
        ));
        return Ok(record);
    };
    let cmdb = Cmdb::new(&deps.http.get()?, url, REFUSED)?;
    let wanted = json!({ "ip_address": target.private_ip, "object_id": target.instance_id });
    let current = cmdb.get(&item).await?;
    if record.done.cmdb_previous.is_none() {
        record.done.cmdb_previous = Some(fields_of(&current, &wanted));
        record = deps.journal.store.save(record, now).await?;
    }
    if fields_of(&current, &wanted) != wanted {
        let changed = cmdb.patch(&item, &wanted).await?;
        if fields_of(&changed, &wanted) != wanted {
            return Err(StageError::new(
                REFUSED,
                format!(
                    "CMDB: the item {} did not take the target's fields; check the access rules of {}",
                    item.sys_id, item.table
                ),
            ));
        }
    }
    evidence.push(step("CMDB", wanted));
    Ok(record)
}

/// The fields of an item that a change is about; a field that is not there is empty, as it is in `ServiceNow`.
fn fields_of(item: &Value, change: &Value) -> Value {
    let names = change.as_object().into_iter().flat_map(Map::keys);
    names
        .map(|name| {
            let value = item.get(name).filter(|value| !value.is_null());
            (name.clone(), value.cloned().unwrap_or_else(|| "".into()))
        })
        .collect::<Map<_, _>>()
        .into()
}

/// Tells Cloud Migration Factory, where the source's preparation found a record there. What it does not take stops the
/// migration only where the deployment says so.
pub(crate) async fn update_cmf(
    deps: &Deps,
    record: &mut MigrationRecord,
    evidence: &mut Vec<Value>,
) -> Result<(), StageError> {
    let Some(access) = &deps.cmf else {
        return Ok(());
    };
    let Some(before) = &record.done.cmf else {
        evidence.push(step(
            "CMF",
            "left to a person: it had no record of the server",
        ));
        return Ok(());
    };
    let set = async {
        let cmf = access.connect(REFUSED).await?;
        cmf.set_server_status(&before.id, CMF_DONE).await
    };
    match (set.await, access.weight) {
        (Ok(()), _) => evidence.push(step("CMF", CMF_DONE)),
        (Err(error), Weight::Required) => return Err(error),
        (Err(error), Weight::Told) => {
            let what = format!("the server {}", before.id);
            let finding = not_updated(&what, CMF_DONE, &error.message);
            tracing::warn!(code = finding.code, "{}", finding.message);
            evidence.push(step("CMF", format!("left to a person: {}", error.message)));
            record.done.warn(finding);
        }
    }
    Ok(())
}
