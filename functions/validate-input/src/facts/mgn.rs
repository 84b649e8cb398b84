//! What MGN says of the server, its jobs and the account.

use jiff::{Timestamp, ToSpan as _};
use landfall_domain::StageError;
use landfall_domain::request::{MigrationRequest, Step};
use landfall_mgn::{Mgn, Server, identity};

use super::{Fact, MgnFacts, Unread};

/// Asks MGN; also what it refused to tell.
pub(super) async fn mgn(
    mgn: &Mgn,
    request: &MigrationRequest,
    now: Timestamp,
) -> Result<(MgnFacts, Unread), StageError> {
    // A job takes hours at most; a day is ample.
    let since = now.checked_sub(24.hours()).unwrap_or(now);
    let (initialized, servers, jobs) = tokio::join!(
        mgn.is_initialized(),
        mgn.all_servers(),
        mgn.jobs_since(since),
    );
    let mut unread = Unread::default();
    // Where nobody may know, the other calls tell: MGN answers them with an error where it is not initialized.
    let initialized = unread.or_note(Fact::Initialized, initialized.map(Some))?;
    if initialized == Some(false) {
        return Ok((MgnFacts::default(), unread));
    }
    let meant = |servers: &[Server]| -> Vec<Server> {
        let host = request.source_host.as_deref();
        let found = identity::matching(servers, &request.source_vm_id, host);
        found.into_iter().cloned().collect()
    };
    let all = unread.or_note(Fact::Servers, servers)?;
    let replicating = all.iter().filter(|server| replicates(server)).count();
    let servers = meant(&all);
    let to_be_found = servers.is_empty() && !request.wants(Step::Replicate);
    let archived = if to_be_found && !unread.has(Fact::Servers) {
        let archived = mgn.archived_servers().await;
        meant(&unread.or_note(Fact::Servers, archived)?)
    } else {
        Vec::new()
    };
    let jobs = unread.or_note(Fact::Jobs, jobs)?;
    let facts = MgnFacts {
        initialized: true,
        servers,
        archived,
        jobs: jobs.into_iter().filter(|job| !job.completed).collect(),
        replicating,
    };
    Ok((facts, unread))
}

/// Whether a server counts against the quota of replicating servers.
fn replicates(server: &Server) -> bool {
    !matches!(
        server.replication.state.as_str(),
        "" | "DISCONNECTED" | "STOPPED"
    )
}
