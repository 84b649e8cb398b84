//! Random schedules of faults over trigger-migration, watch-migrations and verify-migration: the handlers as they are
//! deployed, the SDK's real clients against the simulator, in virtual time.
//!
//! A seed is a schedule: how many servers, what is wrong with each, what goes wrong with which call, which invocations
//! die between two calls, which events are lost. Whatever it is, every migration must reach its end, no server may be
//! launched twice for one intent, and nobody may be left waiting past a deadline.
//!
//! `LANDFALL_SCHEDULES` sets how many schedules are run, `LANDFALL_SEED` replays one and prints all that happened.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::result_large_err,
    clippy::large_futures,
    clippy::needless_pass_by_value,
    clippy::similar_names,
    clippy::wrong_self_convention,
    reason = "helpers of tests"
)]

mod clients;
mod driver;
mod gate;
mod judge;
mod lambda;
mod plan;
#[path = "../../../../shared/common/tests/support/queue.rs"]
mod queue;
#[path = "../../../../shared/common/tests/support/mod.rs"]
mod support;
#[path = "../../../../shared/common/tests/support/tasks.rs"]
mod tasks;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use driver::{Outcome, Run};
use plan::Plan;
use tokio::runtime::Runtime;

/// How many schedules are run when nobody says otherwise; their seeds count from 1.
const SCHEDULES: u64 = 1_000;

fn runtime() -> Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().unwrap()
}

/// Runs a seed's schedule to its end.
fn run(runtime: &Runtime, seed: u64) -> Outcome {
    runtime.block_on(async {
        let mut run = Run::new(Plan::of(seed)).await;
        run.to_the_end().await
    })
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{variable}={text} is no number")),
    )
}

/// Tells the seed when a schedule panics, for then nobody else does.
struct Told(u64);

impl Drop for Told {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("the schedule of LANDFALL_SEED={} panicked", self.0);
        }
    }
}

#[test]
fn every_migration_ends_once_and_in_time_whatever_goes_wrong() {
    if let Some(seed) = number("LANDFALL_SEED") {
        let outcome = run(&runtime(), seed);
        for line in &outcome.trace {
            println!("{line}");
        }
        assert!(
            outcome.faults.is_empty(),
            "LANDFALL_SEED={seed}:\n{}",
            outcome.faults.join("\n")
        );
        return;
    }
    let schedules = number("LANDFALL_SCHEDULES").unwrap_or(SCHEDULES);
    let next = AtomicU64::new(1);
    let outcomes = Mutex::new(Vec::new());
    let began = Instant::now();
    let workers = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                let runtime = runtime();
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed > schedules {
                        return;
                    }
                    let told = Told(seed);
                    let outcome = run(&runtime, seed);
                    drop(told);
                    if !outcome.faults.is_empty() {
                        println!("LANDFALL_SEED={seed}: {}", outcome.faults.join("; "));
                    }
                    outcomes.lock().unwrap().push((seed, outcome.summary()));
                }
            });
        }
    });
    let outcomes = outcomes.into_inner().unwrap();
    let mut total = driver::Summary::default();
    for (_, summary) in &outcomes {
        total.add(summary);
    }
    println!(
        "{schedules} schedules in {:.0?}: {total:?}",
        began.elapsed()
    );
    let mut bad: Vec<u64> = outcomes
        .iter()
        .filter(|(_, it)| it.faults > 0)
        .map(|(seed, _)| *seed)
        .collect();
    bad.sort_unstable();
    assert!(bad.is_empty(), "replay with LANDFALL_SEED, one of {bad:?}");
}

#[test]
fn a_seed_repeats_its_schedule_to_the_letter() {
    let runtime = runtime();
    for seed in [3, 14, 159] {
        let (one, other) = (run(&runtime, seed), run(&runtime, seed));
        assert!(one.trace.len() > 20, "{:?}", one.trace);
        assert_eq!(one.trace, other.trace, "LANDFALL_SEED={seed}");
    }
}
