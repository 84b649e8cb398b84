//! What MGN says of the server, its jobs and the account.

use jiff::{Timestamp, ToSpan as _};
use landfall_domain::StageError;
use landfall_domain::request::{MigrationRequest, Step};
use landfall_mgn::{Mgn, Server, identity};

use super::MgnFacts;

/// Asks MGN.
pub(super) async fn mgn(
    mgn: &Mgn,
    request: &MigrationRequest,
    now: Timestamp,
) -> Result<MgnFacts, StageError> {
    // A job takes hours at most; a day is ample.
    let since = now.checked_sub(24.hours()).unwrap_or(now);
    let (initialized, servers, jobs) = tokio::join!(
        mgn.is_initialized(),
        mgn.all_servers(),
        mgn.jobs_since(since),
    );
    if !initialized? {
        // MGN answers every other call with an error then, which says nothing more.
        return Ok(MgnFacts::default());
    }
    let meant = |servers: &[Server]| -> Vec<Server> {
        let host = request.source_host.as_deref();
        let found = identity::matching(servers, &request.source_vm_id, host);
        found.into_iter().cloned().collect()
    };
    let all = servers?;
    let replicating = all.iter().filter(|server| replicates(server)).count();
    let servers = meant(&all);
    let archived = if servers.is_empty() && !request.wants(Step::Replicate) {
        meant(&mgn.archived_servers().await?)
    } else {
        Vec::new()
    };
    Ok(MgnFacts {
        initialized: true,
        servers,
        archived,
        jobs: jobs?.into_iter().filter(|job| !job.completed).collect(),
        replicating,
    })
}

/// Whether a server counts against the quota of replicating servers.
fn replicates(server: &Server) -> bool {
    !matches!(
        server.replication.state.as_str(),
        "" | "DISCONNECTED" | "STOPPED"
    )
}
