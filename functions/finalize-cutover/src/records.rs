//! The records that other people keep: the configuration item and Cloud Migration Factory.

use landfall_domain::cmf::{Weight, not_updated};
use landfall_domain::finalize::{State, Step};
use landfall_domain::{MigrationRecord, StageError};
use serde_json::{Map, Value, json};

use crate::steps::{Clock, begin, finish};
use crate::target::Target;
use crate::{Deps, REFUSED};

/// The migration status of a finished server in Cloud Migration Factory.
const CMF_DONE: &str = "Landfall: cutover complete";

/// Writes the target into the configuration item; the fields as they were are in the record first.
pub(crate) async fn update_cmdb(
    deps: &Deps,
    mut record: MigrationRecord,
    target: &Target,
    clock: Clock,
) -> Result<MigrationRecord, StageError> {
    let Some(item) = record.request.cmdb.clone() else {
        return Ok(record);
    };
    let Some(access) = &deps.cmdb else {
        tracing::warn!("the request names a configuration item, and this deployment has no CMDB");
        let left = "left to a person: LANDFALL_CMDB_URL is not set";
        let left = (State::Left, left.into());
        return finish(deps, record, Step::Cmdb, left, clock).await;
    };
    let cmdb = access.connect(REFUSED).await?;
    let wanted = json!({ "ip_address": target.private_ip, "object_id": target.instance_id });
    let current = cmdb.get(&item).await?;
    if record.done.cmdb_previous.is_none() {
        record.done.cmdb_previous = Some(fields_of(&current, &wanted));
        record = begin(deps, record, Step::Cmdb, wanted.clone(), clock).await?;
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
    finish(deps, record, Step::Cmdb, (State::Done, wanted), clock).await
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
    mut record: MigrationRecord,
    clock: Clock,
) -> Result<MigrationRecord, StageError> {
    let Some(access) = &deps.cmf else {
        return Ok(record);
    };
    let Some(before) = record.done.cmf.clone() else {
        let left = "left to a person: it had no record of the server";
        return finish(deps, record, Step::Cmf, (State::Left, left.into()), clock).await;
    };
    record = begin(deps, record, Step::Cmf, CMF_DONE.into(), clock).await?;
    let set = async {
        let cmf = access.connect(REFUSED).await?;
        cmf.set_server_status(&before.id, CMF_DONE).await
    };
    let seen = match (set.await, access.weight) {
        (Ok(()), _) => (State::Done, CMF_DONE.into()),
        (Err(error), Weight::Required) => return Err(error),
        (Err(error), Weight::Told) => {
            let what = format!("the server {}", before.id);
            let finding = not_updated(&what, CMF_DONE, &error.message);
            tracing::warn!(code = finding.code, "{}", finding.message);
            record.done.warn(finding);
            let left = format!("left to a person: {}", error.message);
            (State::Left, left.into())
        }
    };
    finish(deps, record, Step::Cmf, seen, clock).await
}
