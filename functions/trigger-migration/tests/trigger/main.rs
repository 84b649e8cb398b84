//! `trigger-migration` against AWS in memory.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::result_large_err,
    clippy::similar_names,
    clippy::large_futures,
    reason = "helpers of tests"
)]

mod batch;
mod gate;
mod hold;
#[path = "../../../../shared/mgn/tests/support/mod.rs"]
mod mgn;
mod once;
#[path = "../../../../shared/common/tests/support/queue.rs"]
mod queue;
mod refusal;
mod stage;
#[path = "../../../../shared/common/tests/support/mod.rs"]
mod support;
#[path = "../../../../shared/common/tests/support/tasks.rs"]
mod tasks;
