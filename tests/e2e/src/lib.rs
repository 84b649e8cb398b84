//! What the end-to-end tests share: the running local stack, polling with a deadline, and migrations of their own.
//!
//! Nothing here starts or stops the stack: `landfall up` does, and `make e2e` calls it. Everything a test makes
//! carries the ID of its run, so runs may follow each other, or overlap, on one stack.
#![allow(
    clippy::expect_used,
    clippy::missing_panics_doc,
    clippy::panic,
    reason = "a test stops at the first thing that is not as it must be"
)]

pub mod account;
pub mod breakpoint;
pub mod chats;
pub mod deployed;
pub mod exposed;
pub mod listener;
pub mod migration;
pub mod people;
pub mod poll;
pub mod queue;
pub mod raw;
pub mod source;
pub mod stack;
pub mod table;
#[cfg(target_os = "linux")]
pub mod worker;
pub mod workflow;
pub mod zone;

pub use account::Place;
pub use migration::Migration;
pub use poll::poll;
pub use stack::Stack;

use std::path::{Path, PathBuf};

/// A short ID that no other run has, fit for host names and resource names.
pub fn unique() -> String {
    // The end of a UUID v4 is random; eight digits are plenty for the runs that share a stack.
    let id = uuid::Uuid::new_v4().simple().to_string();
    id.get(24..).unwrap_or(&id).to_owned()
}

/// The root of the checkout.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .find(|folder| folder.join("Cargo.lock").is_file())
        .expect("the crate lies in the workspace")
        .to_owned()
}

/// The text of a file of the checkout.
pub fn text(path: &str) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{} cannot be read: {error}", path.display()))
}
