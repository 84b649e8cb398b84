//! How long compensations took in the past: one item of counters for all migrations.

use aws_sdk_dynamodb::types::AttributeValue;
use landfall_domain::rollback::{Estimates, PastRuns};
use landfall_domain::{ErrorName, StageError};

use super::StateStore;
use super::item::text;
use crate::aws_error::AwsResultExt;

const PK: &str = "ESTIMATES";
const SK: &str = "ROLLBACK";
const RUNS: &str = "#runs";
const SECONDS: &str = "#seconds";

impl StateStore {
    /// Reads how long the compensations of past rollbacks took.
    ///
    /// # Errors
    /// See [`StateStore::get`].
    pub async fn rollback_estimates(&self) -> Result<Estimates, StageError> {
        let answer = self
            .client
            .get_item()
            .table_name(&self.table)
            .key("pk", text(PK))
            .key("sk", text(SK))
            .send()
            .await
            .or_stage(ErrorName::InternalError, "GetItem")?;
        let mut estimates = Estimates::default();
        for (name, value) in answer.item.unwrap_or_default() {
            let number = value.as_n().ok().and_then(|number| number.parse().ok());
            let Some(number) = number else { continue };
            let (compensation, is_runs) = match name.strip_suffix(RUNS) {
                Some(compensation) => (compensation, true),
                None => (name.strip_suffix(SECONDS).unwrap_or_default(), false),
            };
            let past = estimates.0.entry(compensation.to_owned()).or_default();
            if is_runs {
                past.runs = number;
            } else {
                past.seconds = number;
            }
        }
        Ok(estimates)
    }

    /// Adds what a rollback took, each compensation by its name with its seconds.
    ///
    /// # Errors
    /// See [`StateStore::get`].
    pub async fn add_rollback_estimates(&self, took: &[(&str, u64)]) -> Result<(), StageError> {
        if took.is_empty() {
            return Ok(());
        }
        let mut sums = std::collections::BTreeMap::<&str, PastRuns>::new();
        for (compensation, seconds) in took {
            let past = sums.entry(compensation).or_default();
            past.runs += 1;
            past.seconds += seconds;
        }
        let mut update = self
            .client
            .update_item()
            .table_name(&self.table)
            .key("pk", text(PK))
            .key("sk", text(SK));
        let mut parts = Vec::new();
        for (index, (compensation, past)) in sums.into_iter().enumerate() {
            for (letter, suffix, number) in [("r", RUNS, past.runs), ("s", SECONDS, past.seconds)] {
                let (name, value) = (format!("#{letter}{index}"), format!(":{letter}{index}"));
                parts.push(format!("{name} {value}"));
                update = update
                    .expression_attribute_names(&name, format!("{compensation}{suffix}"))
                    .expression_attribute_values(&value, AttributeValue::N(number.to_string()));
            }
        }
        update
            .update_expression(format!("ADD {}", parts.join(", ")))
            .send()
            .await
            .or_stage(ErrorName::InternalError, "UpdateItem")?;
        Ok(())
    }
}
