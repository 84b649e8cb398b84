//! MGN's quotas, their codes in Service Quotas, and how much of the job quotas is in use.

use super::World;

/// One quota.
#[derive(Debug, Clone, Copy)]
pub struct Quota {
    /// Its code.
    pub code: &'static str,
    /// Its name.
    pub name: &'static str,
    /// Its value in a new account.
    pub value: u32,
    /// Whether it can be raised.
    pub adjustable: bool,
}

const fn quota(code: &'static str, name: &'static str, value: u32, adjustable: bool) -> Quota {
    Quota {
        code,
        name,
        value,
        adjustable,
    }
}

/// Unfinished jobs at a time.
pub const CONCURRENT_JOBS: Quota = quota("L-FE2EBE17", "Concurrent jobs in progress", 20, false);
/// Servers over all unfinished jobs.
pub const SERVERS_IN_JOBS: Quota =
    quota("L-4FF77426", "Max Source Servers in all Jobs", 200, false);
/// Servers that replicate.
pub const ACTIVE_SERVERS: Quota = quota("L-9A599620", "Max Active Source Servers", 150, true);

/// All of them.
pub const QUOTAS: [Quota; 15] = [
    ACTIVE_SERVERS,
    quota("L-50980698", "Max Non-Archived Source Servers", 4_000, true),
    quota(
        "L-967C958D",
        "Max Total source servers Per AWS Account",
        50_000,
        false,
    ),
    CONCURRENT_JOBS,
    quota(
        "L-F1FD732F",
        "Max Source Servers in a single Job",
        200,
        false,
    ),
    SERVERS_IN_JOBS,
    quota(
        "L-615F978B",
        "Max concurrent Jobs per Source Server",
        1,
        false,
    ),
    quota(
        "L-90A3F9F5",
        "Max Source Servers per application",
        200,
        false,
    ),
    quota("L-CBE9E36A", "Max applications per wave", 1_000, false),
    quota("L-D5507441", "Max active applications", 200, false),
    quota("L-9FD6E875", "Max active waves", 200, false),
    quota("L-391504A2", "Max archived applications", 10_000, false),
    quota("L-BB9C7114", "Max archived waves", 10_000, false),
    quota(
        "L-0E532B45",
        "Max Post-Launch Actions per Source Server",
        100,
        false,
    ),
    quota(
        "L-322CA331",
        "Max Post-Launch Actions per template",
        100,
        false,
    ),
];

impl World {
    /// A quota with the value that it has in the present place.
    pub fn quota(&self, quota: &Quota) -> Quota {
        let value = self.here.quotas.get(quota.code).copied();
        Quota {
            value: value.unwrap_or(quota.value),
            ..*quota
        }
    }

    /// Unfinished jobs of the present place and the servers in them.
    pub fn in_flight(&self) -> (usize, usize) {
        let unfinished = self.here.jobs.iter().filter(|job| job.unfinished());
        unfinished.fold((0, 0), |(jobs, servers), job| {
            (jobs + 1, servers + job.participants.len())
        })
    }

    /// Servers that are connected, i.e. replicate or try to.
    pub fn active_servers(&self) -> usize {
        self.here
            .servers
            .values()
            .filter(|s| s.connected() && s.replication.state != super::replication::State::Stopped)
            .count()
    }
}
