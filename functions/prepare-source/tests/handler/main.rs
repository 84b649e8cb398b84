//! The function as a whole, against AWS in memory.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper of a test fails as the test does"
)]

mod cmf;
mod faults;
mod launch_settings;
mod prepare;
mod replication;
mod sources;
mod world;
