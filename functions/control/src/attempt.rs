//! Orders to a migration that has ended: each begins a new attempt, or allows one.

use landfall_common::caller::Refusal;
use landfall_common::state::claim::{Claim, Taking};
use landfall_common::state::{Change, Key};
use landfall_domain::control::{Control, Purpose};
use landfall_domain::record::Ended;
use landfall_domain::rollback::{Estimates, plan};
use landfall_domain::{EventType, Finding, MigrationRecord, StageError, Status};
use serde_json::json;

use crate::{Outcome, Task, forbidden, outcome};

impl Task<'_> {
    /// Begins again with the same request. A test that was passed is kept, and with it the phases before it.
    pub(crate) async fn retry(&self, record: MigrationRecord) -> Outcome {
        if record.purpose == Purpose::Retry && record.status == Status::Requested {
            return self.announce(record, EventType::MigrationRequested).await;
        }
        let remedy = match record.status {
            Status::RolledBack | Status::Failed if record.done.finalized_at.is_some() => {
                "MGN has finalized it, and its replication has ended: see its hand-over. To move it once more, bring the \
                 source to MGN anew and submit it under another ID."
            }
            Status::Failed | Status::RolledBack | Status::Cancelled => {
                let next = self.next(&record, Purpose::Retry);
                return self
                    .begin(&record, next, EventType::MigrationRequested, Vec::new())
                    .await;
            }
            Status::Frozen => {
                "A person must finish or undo it first; then `landfall release`, then retry."
            }
            Status::Succeeded => "It has reached its goal. Submit a changed request to go further.",
            Status::Rejected => "Submit a request that is valid.",
            _ => "It is under way. `landfall cancel` ends it.",
        };
        Err(forbidden(&record, "", remedy))
    }

    /// Lets a frozen migration be submitted again.
    pub(crate) async fn release(&self, record: MigrationRecord) -> Outcome {
        if record.status != Status::Frozen {
            let history = self.deps.journal.store.history(&Key::of(&record)).await?;
            if history
                .last()
                .is_some_and(|it| it.event_type == EventType::MigrationReleased)
            {
                return Ok(Ok(record));
            }
            let remedy = "Only a FROZEN migration is released; see `landfall status` for where this one stands.";
            return Err(forbidden(&record, "", remedy));
        }
        let change = Change::to(Status::Failed, EventType::MigrationReleased)
            .reason("RELEASED")
            .evidence(json!({ "order": self.order }));
        outcome(
            Box::pin(
                self.deps
                    .journal
                    .release(record, change, self.invocation.now),
            )
            .await,
        )
    }

    /// Begins an attempt that undoes what the one before has done.
    pub(crate) async fn roll_back(&self, record: MigrationRecord) -> Outcome {
        // What a released one did is still there: its release changed nothing else.
        let released = record.status == Status::Failed && {
            let history = self.deps.journal.store.history(&Key::of(&record)).await?;
            let left = [EventType::MigrationReleased, EventType::RollbackRefused];
            history
                .last()
                .is_some_and(|it| left.contains(&it.event_type))
        };
        if !released && !matches!(record.status, Status::Succeeded | Status::Frozen) {
            let remedy = "It left nothing behind that could be undone; see `landfall status` for what was kept.";
            return Err(forbidden(&record, "", remedy));
        }
        // What another one did may be unknown still: a launch that nobody lived to note.
        let undoable = plan(&record, &Estimates::default());
        if record.status == Status::Succeeded && undoable.compensations.is_empty() {
            let text = format!(
                "{} did nothing that can be undone{}",
                record.migration_id,
                told(&undoable.irreversible)
            );
            return Err(Refusal::new(409, "NOTHING_TO_UNDO", "/order", text)
                .remedy("See `landfall rollback ID --plan` for what stays."));
        }
        let takings = match self.server(&record).await? {
            Ok(taking) => vec![taking],
            Err(refusal) => return Err(refusal),
        };
        let mut next = self.next(&record, Purpose::Rollback);
        next.done = record.done.clone();
        next.source_server_id.clone_from(&record.source_server_id);
        next.claims.clone_from(&record.claims);
        next.hand_over.clone_from(&record.hand_over);
        next.undoes = Some(Box::new(Ended::of(&record)));
        next.control.emergency = self.emergency.then(|| self.order.clone());
        self.begin(&record, next, EventType::RollbackRequested, takings)
            .await
    }

    /// The first record of the next attempt, with the same request.
    fn next(&self, ended: &MigrationRecord, purpose: Purpose) -> MigrationRecord {
        let correlation_id = ended.correlation_id.clone();
        let control = Control {
            ordered: Some(self.order.clone()),
            ..Control::default()
        };
        MigrationRecord {
            purpose,
            control,
            test_evidence: ended.test_evidence.clone(),
            sender_id: ended.sender_id.clone(),
            ..MigrationRecord::new(
                ended.request.clone(),
                ended.request_digest.clone(),
                correlation_id,
                ended.attempt + 1,
                self.order.at.clone(),
            )
        }
    }

    async fn begin(
        &self,
        ended: &MigrationRecord,
        next: MigrationRecord,
        event: EventType,
        takings: Vec<Taking>,
    ) -> Outcome {
        let change = Change::to(Status::Requested, event)
            .taking(takings)
            .evidence(json!({
                "order": self.order, "reason": self.order.reason, "emergency": self.emergency,
                "purpose": next.purpose, "after": { "attempt": ended.attempt, "status": ended.status },
            }));
        let journal = &self.deps.journal;
        let now = self.invocation.now;
        let begun = Box::pin(journal.store.start_attempt(ended, next, &change, now)).await;
        let (record, detail) = match begun {
            Ok(begun) => begun,
            Err(error) => return outcome(Err(error)),
        };
        journal.events.publish(event, &detail).await?;
        Ok(Ok(record))
    }

    /// Publishes the beginning once more: the event of the same order may have been lost.
    pub(crate) async fn announce(&self, record: MigrationRecord, event: EventType) -> Outcome {
        if record.execution_arn.is_none() {
            let history = self.deps.journal.store.history(&Key::of(&record)).await?;
            let mut entries = history.iter().rev();
            if let Some(last) = entries.find(|entry| entry.event_type == event) {
                self.deps
                    .journal
                    .events
                    .publish(event, &last.detail)
                    .await?;
            }
        }
        Ok(Ok(record))
    }

    /// How the server may be taken; a migration that has it is in the way.
    async fn server(
        &self,
        record: &MigrationRecord,
    ) -> Result<Result<Taking, Refusal>, StageError> {
        let request = &record.request;
        // arn:aws:lambda:<region>:<account>:function:<name>
        let mut home = self.invocation.function_arn.split(':').skip(3);
        let region = home.next().unwrap_or_default().to_owned();
        let account = home.next().unwrap_or_default().to_owned();
        let (account, region) = request
            .account
            .as_ref()
            .map_or((account, region), |it| (it.id.clone(), it.region.clone()));
        let claim = Claim::server(&account, &region, &request.source_vm_id);
        let store = &self.deps.journal.store;
        Ok(store
            .look_at_claim(claim, &Key::of(record))
            .await?
            .map_err(|rival| {
                let holder = &rival.holder.key.migration_id;
                let text = format!("{holder} is moving the server {}", request.source_vm_id);
                Refusal {
                    status: 409,
                    finding: Finding::blocking("ALREADY_MIGRATING", "/migrationId", text)
                        .remedy(format!("Wait for {holder} to end, or cancel it.")),
                }
            }))
    }
}

/// What can no longer be undone, after a colon.
fn told(irreversible: &[String]) -> String {
    if irreversible.is_empty() {
        String::new()
    } else {
        format!(": {}", irreversible.join("; "))
    }
}
