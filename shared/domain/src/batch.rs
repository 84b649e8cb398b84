//! How pending launches are grouped into MGN calls within its quotas.
//!
//! Quotas (AWS General Reference, MGN endpoints and quotas): 20 concurrent jobs, 200 source servers in one job,
//! 200 source servers over all jobs in progress; none of these is adjustable.

/// Concurrent jobs in progress, per account and Region (quota L-FE2EBE17).
pub const MAX_JOBS: usize = 20;
/// Source servers in a single job (quota L-F1FD732F).
pub const MAX_SERVERS_PER_JOB: usize = 200;
/// Source servers in all jobs in progress (quota L-4FF77426).
pub const MAX_SERVERS_IN_FLIGHT: usize = 200;
/// Servers that replicate at a time, by default; the quota L-9A599620 can be raised.
pub const MAX_REPLICATING: usize = 150;

/// What is running in the account and Region now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InFlight {
    /// Jobs PENDING or STARTED, of any type.
    pub jobs: usize,
    /// The servers that take part in them.
    pub servers: usize,
}

/// Splits what is pending into batches that may start now and the rest that must wait, both in arrival order.
pub fn batches<T>(pending: Vec<T>, running: InFlight) -> (Vec<Vec<T>>, Vec<T>) {
    let mut jobs_left = MAX_JOBS.saturating_sub(running.jobs);
    let mut servers_left = MAX_SERVERS_IN_FLIGHT.saturating_sub(running.servers);
    let mut batches = Vec::new();
    let mut rest = pending.into_iter().peekable();
    while rest.peek().is_some() && jobs_left > 0 && servers_left > 0 {
        let batch: Vec<T> = rest
            .by_ref()
            .take(MAX_SERVERS_PER_JOB.min(servers_left))
            .collect();
        servers_left -= batch.len();
        jobs_left -= 1;
        batches.push(batch);
    }
    (batches, rest.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_call_for_a_full_wave() {
        let (batches, rest) = batches((0..500).collect(), InFlight::default());
        assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), [200]);
        assert_eq!(rest.len(), 300);
    }

    proptest! {
        #[test]
        fn quotas_hold_and_nothing_is_lost(n in 0usize..700, jobs in 0usize..30, servers in 0usize..260) {
            let (started, rest) = batches((0..n).collect(), InFlight { jobs, servers });
            prop_assert!(started.is_empty() || jobs + started.len() <= MAX_JOBS);
            let count: usize = started.iter().map(Vec::len).sum();
            prop_assert!(count == 0 || servers + count <= MAX_SERVERS_IN_FLIGHT);
            prop_assert!(started.iter().all(|b| !b.is_empty() && b.len() <= MAX_SERVERS_PER_JOB));
            let all: Vec<usize> = started.into_iter().flatten().chain(rest).collect();
            prop_assert_eq!(all, (0..n).collect::<Vec<_>>());
        }
    }
}
