//! Types and decisions of Landfall, and nothing else: no AWS, no network, no clock, no async runtime.
//!
//! Everything here is a pure function of its arguments, so that each rule of a migration (which status may
//! follow which, whether a server is ready to launch, what a rollback must undo) is tested with tables and
//! properties. Adapters in `landfall-common`, `landfall-mgn` and the functions turn the answers into calls.
#![warn(missing_docs)]

pub mod agent;
pub mod authorization;
pub mod batch;
pub mod calendar;
pub mod cmf;
pub mod control;
pub mod decommission;
pub mod digest;
pub mod error;
pub mod event;
pub mod finalize;
pub mod finding;
pub mod gate;
pub mod health;
pub mod installer;
pub mod launch;
pub mod mask;
pub mod notice;
pub mod outage;
pub mod plan;
pub mod record;
pub mod replication;
pub mod request;
pub mod rollback;
#[cfg(feature = "schema")]
pub mod schema;
pub mod soak;
pub mod start;
pub mod status;
pub mod text;
mod warnings;
pub mod webhook;

pub use error::{ErrorName, StageError};
pub use event::EventType;
pub use finding::{Finding, Severity};
pub use plan::WorkflowPlan;
pub use record::MigrationRecord;
pub use request::MigrationRequest;
pub use status::Status;
