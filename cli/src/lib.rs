//! What the `landfall` command line is made of, for its binary and for the end-to-end tests.

pub mod commands;
pub mod error;
pub mod output;
pub mod requests;
pub mod stack;
pub mod target;

pub use error::{CliError, Exit};
