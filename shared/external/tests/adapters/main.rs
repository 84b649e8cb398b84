//! The adapters against local servers that answer as each system does, and against the simulator.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod azure;
mod ec2;
mod looking;
mod records;
mod server;
mod vsphere;
mod vsphere_answers;
