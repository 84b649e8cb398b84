//! Orders to a migration that is under way.

use landfall_common::stage;
use landfall_common::state::wait::{Wait, WaitKind};
use landfall_common::state::{Change, Key};
use landfall_domain::control::Purpose;
use landfall_domain::finalize;
use landfall_domain::gate::Gate;
use landfall_domain::{EventType, MigrationRecord, StageError};
use landfall_tasks as tasks;
use serde_json::json;

use crate::{Outcome, Task, forbidden, outcome};

impl Task<'_> {
    /// Holds the migration before the next thing that it would begin.
    pub(crate) async fn pause(&self, mut record: MigrationRecord) -> Outcome {
        if record.status.is_end() {
            return Err(forbidden(&record, "", "There is nothing left to pause."));
        }
        if record.control.cancel.is_some()
            || record.rollback.is_some()
            || record.purpose == Purpose::Rollback
        {
            let remedy = "What is undone is not held half-way: wait for its end.";
            return Err(forbidden(&record, " and is undone", remedy));
        }
        if record.control.paused.is_none() {
            record.control.paused = Some(self.order.clone());
            record = match outcome(self.tell(record, EventType::MigrationPaused).await)? {
                Ok(record) => record,
                conflict => return Ok(conflict),
            };
        }
        // A wait that is opened from now on sees the record.
        let key = Key::of(&record);
        let store = &self.deps.journal.store;
        store.pause_waits(&key, self.invocation.now).await?;
        Ok(Ok(record))
    }

    /// Lets a paused migration go on.
    pub(crate) async fn resume(&self, mut record: MigrationRecord) -> Outcome {
        if record.status.is_end() {
            return Err(forbidden(&record, "", "There is nothing left to resume."));
        }
        if record.control.cancel.is_some()
            || record.is_being_undone()
            || record.purpose == Purpose::Rollback
        {
            let remedy = "What is undone is not held: wait for its end.";
            return Err(forbidden(&record, " and is undone", remedy));
        }
        let past_window = self.past_window && record.control.past_window.is_none();
        if past_window {
            record.control.past_window = Some(self.order.clone());
        }
        if past_window || record.control.paused.is_some() {
            record.control.paused = None;
            record = match outcome(self.tell(record, EventType::MigrationResumed).await)? {
                Ok(record) => record,
                conflict => return Ok(conflict),
            };
        }
        let store = &self.deps.journal.store;
        let key = Key::of(&record);
        store.resume_waits(&key, self.invocation.now).await?;
        for wait in store.waits_of(&key).await? {
            if wait.kind.gate().is_some() {
                self.deps.look_again(&wait, self.invocation.now).await?;
            }
        }
        Ok(Ok(store.require(&key).await?))
    }

    /// Ends the migration: whatever waits is told, and whatever works finds the order at its next step.
    pub(crate) async fn cancel(&self, mut record: MigrationRecord) -> Outcome {
        if record.status.is_end() {
            let remedy =
                "See `landfall rollback ID --plan` for what an ended migration can still undo.";
            return Err(forbidden(&record, "", remedy));
        }
        if record.purpose == Purpose::Rollback {
            let why = " and undoes an attempt that has ended";
            return Err(forbidden(&record, why, "A rollback is not cancelled."));
        }
        // Noted before MGN is asked: whether it has done it is known only afterwards, at the latest when the rollback looks.
        let begun = finalize::note(&record.done, finalize::Step::MgnFinalize).is_some();
        let looked = record.is_being_undone() || record.gate(Gate::Rollback).is_some();
        if begun && !looked || record.done.finalized_at.is_some() {
            // Nobody would come to its end, had the execution been stopped or died.
            record = match self.freeze_if_gone(record).await? {
                Ok(record) if record.status.is_end() => return Ok(Ok(record)),
                Ok(record) => record,
                conflict => return Ok(conflict),
            };
            let why = String::from(" and MGN finalizes it: the point of no return is passed");
            return Err(forbidden(
                &record,
                &why,
                "Wait for its end, then see `landfall rollback ID --plan`.",
            ));
        }
        let urgent = self.emergency && record.control.emergency.is_none();
        if urgent {
            record.control.emergency = Some(self.order.clone());
        }
        if urgent || record.control.cancel.is_none() {
            record.control.cancel.get_or_insert(self.order.clone());
            record = match outcome(self.tell(record, EventType::CancelRequested).await)? {
                Ok(record) => record,
                conflict => return Ok(conflict),
            };
        }
        let store = &self.deps.journal.store;
        let key = Key::of(&record);
        let Some(order) = record.control.cancel.clone() else {
            return Ok(Ok(record));
        };
        let error = stage::cancelled(&order);
        for wait in store.waits_of(&key).await? {
            if wait.attempt != record.attempt {
                continue;
            }
            match wait.kind {
                // It is what the cancelling leads to, and asks people unless it is an emergency.
                WaitKind::RollbackGate => self.deps.look_again(&wait, self.invocation.now).await?,
                WaitKind::DecommissionGate => {}
                _ => self.end(&wait, &error).await?,
            }
        }
        let record = store.require(&key).await?;
        if record.status.is_end() {
            return Ok(Ok(record));
        }
        // Nobody would ever see the order, had the execution been stopped in the middle of a stage.
        self.freeze_if_gone(record).await
    }

    /// Freezes the migration where its execution has ended and it has not.
    async fn freeze_if_gone(&self, record: MigrationRecord) -> Outcome {
        let (deps, now) = (self.deps, self.invocation.now);
        outcome(Box::pin(tasks::freeze_if_gone(&deps.journal, &deps.sfn, record, now)).await)
    }

    /// The order to undo an ended attempt once more: starts what was lost, or stops asking people. One whose execution has
    /// ended is frozen, and may then be ordered anew.
    pub(crate) async fn urge(&self, mut record: MigrationRecord) -> Outcome {
        let gate = record.gate(Gate::Rollback);
        if gate.is_some_and(|gate| gate.refused_at.is_some()) && !record.is_being_undone() {
            let remedy = "Order it again once the migration has ended.";
            return Err(forbidden(
                &record,
                " and its rollback was refused just now",
                remedy,
            ));
        }
        if self.emergency && record.control.emergency.is_none() {
            record.control.emergency = Some(self.order.clone());
            record = match outcome(self.tell(record, EventType::EmergencyOrdered).await)? {
                Ok(record) => record,
                conflict => return Ok(conflict),
            };
        }
        let store = &self.deps.journal.store;
        let key = Key::of(&record);
        for wait in store.waits_of(&key).await? {
            if wait.kind == WaitKind::RollbackGate {
                self.deps.look_again(&wait, self.invocation.now).await?;
            }
        }
        match self.freeze_if_gone(store.require(&key).await?).await? {
            Ok(record) if !record.status.is_end() => {
                self.announce(record, EventType::RollbackRequested).await
            }
            ended => Ok(ended),
        }
    }

    /// Fails the task that waits. The rollback closes the wait itself: a launch may be under way.
    async fn end(&self, wait: &Wait, error: &StageError) -> Result<(), StageError> {
        tasks::fail(&self.deps.sfn, &wait.task_token, error).await?;
        if wait.kind.action().is_none() {
            self.deps.journal.store.close_wait(wait).await?;
        }
        Ok(())
    }

    /// Writes the order into the history, and with it the changed record.
    pub(crate) async fn tell(
        &self,
        record: MigrationRecord,
        event: EventType,
    ) -> Result<MigrationRecord, StageError> {
        let change = Change::to(record.status, event).evidence(json!({
            "order": self.order, "emergency": self.emergency, "pastWindow": self.past_window,
        }));
        Box::pin(
            self.deps
                .journal
                .advance(record, change, self.invocation.now),
        )
        .await
    }
}
