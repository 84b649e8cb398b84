//! What every Landfall function shares: correlation IDs, errors, configuration, state, events, telemetry and
//! the entry point [`lambda_main`]. It decides nothing about a migration; decisions live in `landfall-domain`.
#![warn(missing_docs)]

pub mod aws_error;
pub mod caller;
pub mod config;
pub mod correlation;
pub mod events;
pub mod journal;
mod runtime;
pub mod stage;
pub mod state;
pub mod telemetry;

pub use aws_error::AwsResultExt;
pub use config::Env;
pub use journal::Journal;
pub use runtime::{Invocation, diagnostic, lambda_main, sdk_config};
pub use stage::StageInput;
pub use state::{Key, StateStore};
