//! Launches that wait for their turn: opened once, put into batches, held back and started. Their waits are kept like
//! any other ([`super::wait`]).

use aws_sdk_dynamodb::error::ProvideErrorMetadata as _;
use aws_sdk_dynamodb::types::AttributeValue;
use jiff::Timestamp;
use landfall_domain::{ErrorName, StageError};

use super::StateStore;
use super::item::{self, text};
use super::wait::{Phase, Wait, applied, number};
use crate::aws_error::stage_error;

impl StateStore {
    /// Opens a launch, once: the launch of the same attempt that is there already stays as it is (a doubled
    /// message must not start it again) and is returned; only its token is replaced, by that of a later try.
    pub async fn open_launch(&self, wait: &Wait) -> Result<Wait, StageError> {
        let put = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(item::sub_item(&wait.key, &wait.sk(), wait, None)?))
            .condition_expression("attribute_not_exists(pk)")
            .send()
            .await;
        match put {
            Ok(_) => Ok(wait.clone()),
            Err(error) if error.code() == Some("ConditionalCheckFailedException") => {
                let gone = || {
                    StageError::new(
                        ErrorName::Conflict,
                        "the launch was closed while it was opened",
                    )
                };
                let there = self.get_wait(wait).await?.ok_or_else(gone)?;
                if there.barred || there.retry_count >= wait.retry_count {
                    return Ok(there);
                }
                if there.closed {
                    // Closed because nobody waited any more with the token before: now somebody does.
                    self.reopen_launch(&there, wait).await?;
                } else {
                    self.renew_token(wait).await?;
                }
                self.get_wait(wait).await?.ok_or_else(gone)
            }
            Err(error) => Err(stage_error(&error, ErrorName::InternalError, "PutItem")),
        }
    }

    /// Gives an open launch the token of a later try of its state, and changes nothing else: another invocation may
    /// be starting it.
    async fn renew_token(&self, wait: &Wait) -> Result<bool, StageError> {
        let update = self
            .update_wait(wait)
            .update_expression("SET taskToken = :token, retryCount = :retry")
            .condition_expression("attribute_not_exists(closed) AND retryCount < :retry")
            .expression_attribute_values(":token", text(&wait.task_token))
            .expression_attribute_values(":retry", number(wait.retry_count))
            .send()
            .await;
        applied(update.err(), "UpdateItem")
    }

    /// Opens a closed launch for a later try of its state: pending again as if it were new, or with its job where it has one.
    async fn reopen_launch(&self, there: &Wait, wait: &Wait) -> Result<bool, StageError> {
        let phase = match there.job_id {
            Some(_) => Phase::Waiting,
            None => Phase::Pending,
        };
        let update = self
            .update_wait(wait)
            .update_expression(
                "SET taskToken = :token, retryCount = :retry, waitKey = :phase, dueAt = :due, createdAt = :created \
                 REMOVE closed, expiresAt, held, pausedAt",
            )
            .condition_expression("closed = :yes AND attribute_not_exists(barred) AND retryCount < :retry")
            .expression_attribute_values(":token", text(&wait.task_token))
            .expression_attribute_values(":retry", number(wait.retry_count))
            .expression_attribute_values(":phase", text(phase.as_str()))
            .expression_attribute_values(":due", text(&wait.due_at))
            .expression_attribute_values(":created", text(&wait.created_at))
            .expression_attribute_values(":yes", AttributeValue::Bool(true))
            .send()
            .await;
        applied(update.err(), "UpdateItem")
    }

    /// Puts a pending launch into a batch. `false` when it is in one already, or gone.
    pub async fn claim_launch(
        &self,
        wait: &Wait,
        intent_id: &str,
        now: Timestamp,
    ) -> Result<bool, StageError> {
        let update = self
            .update_wait(wait)
            .update_expression("SET intentId = :intent, claimedAt = :now ADD intents :intents")
            .condition_expression(
                "attribute_exists(pk) AND attribute_not_exists(intentId) AND waitKey = :pending",
            )
            .expression_attribute_values(":intents", AttributeValue::Ss(vec![intent_id.to_owned()]))
            .expression_attribute_values(":intent", text(intent_id))
            .expression_attribute_values(":now", text(&now.to_string()))
            .expression_attribute_values(":pending", text(Phase::Pending.as_str()))
            .send()
            .await;
        applied(update.err(), "UpdateItem")
    }

    /// Takes a pending launch out of a batch that MGN refused, so that a later one may take it.
    pub async fn release_launch(&self, wait: &Wait, intent_id: &str) -> Result<bool, StageError> {
        let update = self
            .update_wait(wait)
            .update_expression("REMOVE intentId")
            .condition_expression("intentId = :intent AND waitKey = :pending")
            .expression_attribute_values(":intent", text(intent_id))
            .expression_attribute_values(":pending", text(Phase::Pending.as_str()))
            .send()
            .await;
        applied(update.err(), "UpdateItem")
    }

    /// Notes why a pending launch is not started yet. `false` when it is not pending any more.
    pub async fn hold_launch(&self, wait: &Wait, code: &str) -> Result<bool, StageError> {
        let update = self
            .update_wait(wait)
            .update_expression("SET held = :code")
            .condition_expression("waitKey = :pending")
            .expression_attribute_values(":code", text(code))
            .expression_attribute_values(":pending", text(Phase::Pending.as_str()))
            .send()
            .await;
        applied(update.err(), "UpdateItem")
    }

    /// Notes the job of a launch and when it must have ended; from now on the sweep looks at it.
    pub async fn launch_started(
        &self,
        wait: &Wait,
        job_id: &str,
        due: Timestamp,
    ) -> Result<bool, StageError> {
        let update = self
            .update_wait(wait)
            .update_expression("SET jobId = :job, waitKey = :waiting, dueAt = :due")
            .condition_expression("attribute_exists(pk) AND attribute_not_exists(closed)")
            .expression_attribute_values(":job", text(job_id))
            .expression_attribute_values(":due", text(&due.to_string()))
            .expression_attribute_values(":waiting", text(Phase::Waiting.as_str()))
            .send()
            .await;
        applied(update.err(), "UpdateItem")
    }
}
