//! The `landfall` binary, run as a user runs it, against a server of the test's own that plays AWS.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test stops at the first surprise"
)]

mod callbacks;
mod control;
mod status;
mod support;
mod validate;
