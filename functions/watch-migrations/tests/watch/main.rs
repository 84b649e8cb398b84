//! `watch-migrations` against AWS in memory.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::result_large_err,
    clippy::large_futures,
    reason = "helpers of tests"
)]

mod agent;
mod launch;
#[path = "../../../../shared/mgn/tests/support/mod.rs"]
mod mgn;
mod opening;
mod paused;
mod replication;
mod stage;
#[path = "../../../../shared/common/tests/support/mod.rs"]
mod support;
mod sweep;
#[path = "../../../../shared/common/tests/support/tasks.rs"]
mod tasks;

use tasks::Ended;

fn failed(ended: Option<Ended>) -> (String, String) {
    match ended {
        Some(Ended::Failed(name, cause)) => (name, cause),
        other => panic!("{other:?} instead of a failure"),
    }
}
