//! What the functions behind the operators' API work with.

use aws_config::SdkConfig;
use aws_sdk_sfn::Client;
use jiff::Timestamp;
use landfall_common::state::wait::Wait;
use landfall_common::{Env, Journal};
use landfall_domain::StageError;

use crate::Gates;

/// State, task tokens and gates.
#[derive(Clone, Debug)]
pub struct Desk {
    /// State and events.
    pub journal: Journal,
    /// Completes and fails the tokens of what waits.
    pub sfn: Client,
    /// Who is asked where, and what else holds a switch.
    pub gates: Gates,
}

impl Desk {
    /// From the environment.
    pub fn load(aws: &SdkConfig, env: &mut Env<'_>) -> Self {
        Self {
            journal: Journal::load(aws, env),
            sfn: Client::new(aws),
            gates: Gates::load(aws, env),
        }
    }

    /// Looks at a gate at once. What cannot be settled now is left to the next sweep, which is told first.
    ///
    /// # Errors
    /// Transient ones when the sweep could not be told.
    pub async fn look_again(&self, wait: &Wait, now: Timestamp) -> Result<(), StageError> {
        self.journal.store.postpone_wait(wait, now).await?;
        let settled = self.gates.settle(&self.journal, &self.sfn, wait, now);
        if let Err(error) = Box::pin(settled).await {
            tracing::warn!(
                error = error.name.as_str(),
                context = error.context,
                "a gate is left to the sweep: {error}"
            );
        }
        Ok(())
    }
}
