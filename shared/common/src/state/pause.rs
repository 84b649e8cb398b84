//! What an operator's pause does to what waits: nothing that it leads to is begun, and its time stands still.

use jiff::Timestamp;
use landfall_domain::{ErrorName, StageError};

use super::StateStore;
use super::item::{Key, text};
use super::wait::{Phase, Wait, applied};

impl Wait {
    /// Whether its time stands still in a pause: a launch that is under way ends when it does, and a gate is only looked at.
    fn stands_still(&self) -> bool {
        match self.kind.action() {
            Some(_) => self.phase == Phase::Pending,
            None => self.kind.gate().is_none(),
        }
    }

    /// When it is due, had its time stood still from one instant until another.
    fn due_after(&self, since: &str, now: Timestamp) -> String {
        let (due, since) = (self.due_at.parse::<Timestamp>(), since.parse::<Timestamp>());
        let (Ok(due), Ok(since)) = (due, since) else {
            return self.due_at.clone();
        };
        let later = due.checked_add(now.duration_since(since));
        later.unwrap_or(Timestamp::MAX).to_string()
    }
}

impl StateStore {
    /// Pauses the open waits of a migration from now on; what is paused already stays so since then.
    pub async fn pause_waits(&self, key: &Key, now: Timestamp) -> Result<(), StageError> {
        for wait in self.waits_of(key).await? {
            let update = self
                .update_wait(&wait)
                .update_expression("SET pausedAt = :now")
                .condition_expression(
                    "attribute_exists(waitKey) AND attribute_not_exists(pausedAt)",
                )
                .expression_attribute_values(":now", text(&now.to_string()));
            applied(update.send().await.err(), "UpdateItem")?;
        }
        Ok(())
    }

    /// Lets the paused waits of a migration go on, with as much time as they had left.
    pub async fn resume_waits(&self, key: &Key, now: Timestamp) -> Result<(), StageError> {
        for wait in self.waits_of(key).await? {
            let Some(since) = &wait.paused_at else {
                continue;
            };
            let due = if wait.stands_still() {
                wait.due_after(since, now)
            } else {
                wait.due_at.clone()
            };
            let update = self
                .update_wait(&wait)
                .update_expression("SET dueAt = :due REMOVE pausedAt")
                .condition_expression(
                    "attribute_exists(waitKey) AND pausedAt = :since AND dueAt = :before",
                )
                .expression_attribute_values(":since", text(since))
                .expression_attribute_values(":before", text(&wait.due_at))
                .expression_attribute_values(":due", text(&due));
            if !applied(update.send().await.err(), "UpdateItem")? {
                return Err(StageError::new(
                    ErrorName::Conflict,
                    "a wait changed while it was to go on",
                ));
            }
        }
        Ok(())
    }

    /// Pauses the open waits of a migration, or lets them go on, as its record says now: for whoever opened one while an
    /// operator's order came.
    ///
    /// # Errors
    /// `Conflict` when orders come faster than it can follow.
    pub async fn follow_pause(&self, key: &Key, now: Timestamp) -> Result<(), StageError> {
        let paused =
            async || Ok::<_, StageError>(self.require(key).await?.control.paused.is_some());
        for _ in 0..3 {
            let before = paused().await?;
            if before {
                self.pause_waits(key, now).await?;
            } else {
                self.resume_waits(key, now).await?;
            }
            if paused().await? == before {
                return Ok(());
            }
        }
        Err(StageError::new(
            ErrorName::Conflict,
            "pause and resume follow each other too fast",
        ))
    }
}
