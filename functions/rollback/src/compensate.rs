//! From a compensation to what carries it out.

use landfall_domain::rollback::{Compensation, Outcome};
use landfall_domain::{MigrationRecord, StageError};

use crate::{Deps, names, records, source, target, terminate};

/// Undoes one thing and verifies it; answers with what was found or done. `last` says that it is not tried again when it
/// is refused.
///
/// # Errors
/// A transient name while it takes its time; anything else when it is refused.
pub(crate) async fn undo(
    deps: &Deps,
    record: &MigrationRecord,
    compensation: &Compensation,
    last: bool,
) -> Result<Outcome, StageError> {
    match compensation {
        Compensation::PowerOnSource => source::power_on(deps, record).await,
        Compensation::CheckSource => source::check(deps, record).await,
        Compensation::RestoreDns { change } => names::restore(deps, record, change).await,
        Compensation::CheckTraffic => names::check_traffic(deps, record).await,
        Compensation::RestoreCmdb => records::restore_cmdb(deps, record).await,
        Compensation::RevertLifecycle { action, to } => {
            target::revert_lifecycle(deps, record, *action, to).await
        }
        Compensation::TerminateTarget { action, job_id } => {
            terminate::terminate(deps, record, *action, job_id).await
        }
        Compensation::RestoreRightSizing { method } => {
            target::restore_right_sizing(deps, record, method).await
        }
        Compensation::RestoreCopyPrivateIp => target::restore_copy_private_ip(deps, record).await,
        Compensation::RestoreLaunchTemplate { change } => {
            target::restore_template(deps, change).await
        }
        Compensation::RestoreCmf { before } => records::restore_cmf(deps, before, last).await,
        Compensation::StopReplication => target::stop_replication(deps, record).await,
    }
}
