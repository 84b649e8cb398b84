//! `rollback` against a world in memory.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::large_futures,
    clippy::result_large_err,
    clippy::too_many_lines,
    reason = "helpers of tests"
)]

mod account;
mod again;
mod freeze;
mod launches;
mod orders;
mod own;
mod source;
mod stage;
mod undo;
// The same world that `finalize-cutover` changes: what one does the other must undo.
#[path = "../../../finalize-cutover/tests/world/mod.rs"]
mod world;
