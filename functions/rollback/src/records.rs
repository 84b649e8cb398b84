//! The records that other people keep say what they did before.

use landfall_domain::cmf::{Server, Weight};
use landfall_domain::record::PreviousStatus;
use landfall_domain::rollback::Outcome;
use landfall_domain::{MigrationRecord, StageError};
use landfall_external::cmf::Access;
use serde_json::Value;

use crate::{Deps, REFUSED};

/// Puts the fields of the configuration item back.
pub(crate) async fn restore_cmdb(
    deps: &Deps,
    record: &MigrationRecord,
) -> Result<Outcome, StageError> {
    let (Some(previous), Some(item)) = (&record.done.cmdb_previous, &record.request.cmdb) else {
        return Ok(Outcome::Nothing(
            "no configuration item was changed".to_owned(),
        ));
    };
    let access = deps.cmdb.as_ref().ok_or_else(|| {
        StageError::new(
            REFUSED,
            "LANDFALL_CMDB_URL is not set any more, so what was changed there cannot be put back",
        )
    })?;
    let cmdb = access.connect(REFUSED).await?;
    let id = &item.sys_id;
    if holds(&cmdb.get(item).await?, previous) {
        return Ok(Outcome::Found(format!("{id} is as before")));
    }
    if holds(&cmdb.patch(item, previous).await?, previous) {
        return Ok(Outcome::Did(format!("{id} was put back")));
    }
    Err(StageError::new(
        REFUSED,
        format!("CMDB: the item {id} did not take its earlier fields back"),
    ))
}

/// Whether an item has the fields of before; one that is not there counts as empty.
fn holds(item: &Value, fields: &Value) -> bool {
    fields.as_object().is_none_or(|fields| {
        fields.iter().all(|(name, wanted)| {
            let value = item.get(name).filter(|value| !value.is_null());
            value.map_or_else(|| wanted == "", |value| value == wanted)
        })
    })
}

/// Puts the migration status of the server's record back. Where Cloud Migration Factory does not take it at the last try,
/// or is not configured any more, that is left to a person; the migration is only held up by it where the deployment says so.
pub(crate) async fn restore_cmf(
    deps: &Deps,
    before: &PreviousStatus,
    last: bool,
) -> Result<Outcome, StageError> {
    let left = |why: &str| {
        Outcome::Nothing(format!(
            "left to a person: {why}; the migration status of the server {} was {:?}",
            before.id, before.previous
        ))
    };
    let Some(access) = &deps.cmf else {
        return Ok(left("LANDFALL_CMF_URL is not set any more"));
    };
    match (put_back(access, before).await, access.weight) {
        (Ok(outcome), _) => Ok(outcome),
        (Err(error), Weight::Required) => Err(error),
        // It is not waited for, so that a factory that is down counts as one that refuses.
        (Err(error), Weight::Told) if !last => {
            Err(StageError::new(REFUSED, error.message).context(error.context))
        }
        (Err(error), Weight::Told) => {
            tracing::warn!(context = error.context, "{error}");
            Ok(left(&error.message))
        }
    }
}

async fn put_back(access: &Access, before: &PreviousStatus) -> Result<Outcome, StageError> {
    let cmf = access.connect(REFUSED).await?;
    let id = &before.id;
    // A record that was deleted meanwhile has no status to put back.
    let is_back =
        |server: Option<Server>| server.is_none_or(|server| server.status == before.previous);
    if is_back(cmf.server_by_id(id).await?) {
        return Ok(Outcome::Found(format!("{id} is as before")));
    }
    cmf.set_server_status(id, &before.previous).await?;
    if is_back(cmf.server_by_id(id).await?) {
        return Ok(Outcome::Did(format!("{id} was put back")));
    }
    Err(StageError::new(
        REFUSED,
        format!("CMF: the server {id} did not take its earlier migration status back"),
    ))
}
