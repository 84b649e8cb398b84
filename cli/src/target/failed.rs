//! A deployment's failed-delivery queue, and the function that delivers from it.

use std::path::Path;

use super::place::Resource;
use super::{TargetArgs, advice, lambda, look, reach};
use crate::error::CliError;

/// Callbacks that could not be delivered. Terraform gives all names of a deployment one prefix: the table's names the
/// others.
#[derive(Clone, Debug)]
pub struct FailedCallbacks {
    /// Reaches the queue.
    pub sqs: aws_sdk_sqs::Client,
    /// The queue's name.
    pub queue: String,
    /// Reaches the function.
    pub lambda: aws_sdk_lambda::Client,
    /// The function's name.
    pub function: String,
    /// What to look at when a call fails.
    pub advice: &'static str,
}

impl FailedCallbacks {
    /// Finds both.
    pub async fn find(args: &TargetArgs, root: &Path) -> Result<Self, CliError> {
        let (place, config) = reach(look(Resource::Table, args, root)?).await?;
        let prefix = place.value.strip_suffix("-migrations").ok_or_else(|| {
            CliError::new(
                format!(
                    "the names of the queue and the function do not follow from the table's name {}",
                    place.value
                ),
                "Name the deployment's own table with --table: <prefix>-migrations.",
            )
        })?;
        Ok(Self {
            sqs: aws_sdk_sqs::Client::new(&config),
            queue: format!("{prefix}-callbacks-failed"),
            lambda: lambda(&config),
            function: format!("{prefix}-callback"),
            advice: advice(&place),
        })
    }
}
