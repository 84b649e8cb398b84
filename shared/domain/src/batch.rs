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

/// The account's limits on what runs at once, in a Region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Unfinished jobs.
    pub jobs: usize,
    /// Servers in one job.
    pub per_job: usize,
    /// Servers in unfinished jobs.
    pub in_flight: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            jobs: MAX_JOBS,
            per_job: MAX_SERVERS_PER_JOB,
            in_flight: MAX_SERVERS_IN_FLIGHT,
        }
    }
}

/// Splits what is pending into batches that may start now, one or more per kind, and the rest that must wait. The
/// places go by arrival, whatever the kind, so that no kind waits behind all of another; `kind` tells which call a
/// launch belongs to. Order of arrival holds within a batch and in the rest.
pub fn batches<T, K: PartialEq + Copy>(
    pending: Vec<T>,
    kind: impl Fn(&T) -> K,
    running: InFlight,
    limits: Limits,
) -> (Vec<(K, Vec<T>)>, Vec<T>) {
    let mut jobs_left = limits.jobs.saturating_sub(running.jobs);
    let mut servers_left = limits.in_flight.saturating_sub(running.servers);
    let mut batches: Vec<(K, Vec<T>)> = Vec::new();
    let mut rest = Vec::new();
    for one in pending {
        let kind = kind(&one);
        let open = batches
            .iter_mut()
            .rfind(|(of, batch)| *of == kind && batch.len() < limits.per_job);
        match open {
            // Who comes later may not pass one that waits, not even into a job that is being made.
            _ if servers_left == 0 || !rest.is_empty() => rest.push(one),
            Some((_, batch)) => {
                batch.push(one);
                servers_left -= 1;
            }
            None if jobs_left > 0 && limits.per_job > 0 => {
                batches.push((kind, vec![one]));
                jobs_left -= 1;
                servers_left -= 1;
            }
            None => rest.push(one),
        }
    }
    (batches, rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split(
        pending: Vec<usize>,
        running: InFlight,
        limits: Limits,
    ) -> (Vec<Vec<usize>>, Vec<usize>) {
        let (batches, rest) = batches(pending, |_| "one", running, limits);
        (batches.into_iter().map(|(_, batch)| batch).collect(), rest)
    }

    #[test]
    fn one_call_for_a_full_wave() {
        let (batches, rest) = split((0..500).collect(), InFlight::default(), Limits::default());
        assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), [200]);
        assert_eq!(rest.len(), 300);
    }

    #[test]
    fn two_hundred_and_one_servers_are_two_rounds() {
        let (batches, rest) = split((0..201).collect(), InFlight::default(), Limits::default());
        assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), [200]);
        assert_eq!(rest, [200]);
    }

    #[test]
    fn tests_and_cutovers_share_the_places_by_arrival() {
        let limits = Limits {
            in_flight: 3,
            ..Limits::default()
        };
        let pending = vec![("t", 1), ("c", 2), ("t", 3), ("c", 4), ("t", 5)];
        let (batches, rest) = batches(pending, |(kind, _)| *kind, InFlight::default(), limits);
        assert_eq!(
            batches,
            [("t", vec![("t", 1), ("t", 3)]), ("c", vec![("c", 2)])]
        );
        assert_eq!(rest, [("c", 4), ("t", 5)]);
    }

    #[test]
    fn a_raised_or_lowered_quota_counts() {
        let limits = Limits {
            per_job: 2,
            jobs: 2,
            in_flight: 200,
        };
        let (batches, rest) = split((0..5).collect(), InFlight::default(), limits);
        assert_eq!((batches, rest), (vec![vec![0, 1], vec![2, 3]], vec![4]));
    }

    proptest! {
        #[test]
        fn quotas_hold_and_nothing_is_lost(
            kinds in proptest::collection::vec(any::<bool>(), 0..700), jobs in 0usize..30, servers in 0usize..260,
            max_jobs in 0usize..25, per_job in 0usize..220, in_flight in 0usize..250,
        ) {
            let limits = Limits { jobs: max_jobs, per_job, in_flight };
            let pending: Vec<(bool, usize)> = kinds.into_iter().zip(0..).collect();
            let running = InFlight { jobs, servers };
            let (started, rest) = batches(pending.clone(), |(kind, _)| *kind, running, limits);
            prop_assert!(started.is_empty() || jobs + started.len() <= max_jobs);
            let count: usize = started.iter().map(|(_, batch)| batch.len()).sum();
            prop_assert!(count == 0 || servers + count <= in_flight);
            let fits = |(kind, batch): &(bool, Vec<(bool, usize)>)| {
                !batch.is_empty() && batch.len() <= per_job && batch.iter().all(|(of, _)| of == kind)
            };
            prop_assert!(started.iter().all(fits), "a batch is empty, too large or mixed");
            let mut all: Vec<_> = started.iter().flat_map(|(_, batch)| batch).copied().collect();
            // Nobody passes one that waits.
            prop_assert!(all.iter().all(|(_, n)| rest.iter().all(|(_, later)| n < later)));
            all.extend(rest);
            all.sort_by_key(|(_, n)| *n);
            prop_assert_eq!(all, pending);
        }
    }
}
