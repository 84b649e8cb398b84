//! Whether a migration passes the gate it waits at.

use aws_config::SdkConfig;
use aws_sdk_sfn::Client;
use jiff::{SignedDuration, Timestamp};
use landfall_common::state::Change;
use landfall_common::state::wait::Wait;
use landfall_common::{Env, Journal, stage, telemetry};
use landfall_domain::gate::{
    ApprovalRule, DeploymentRules, Gate, GateRecord, Verdict, agreed, is_escalated, judge,
};
use landfall_domain::{ErrorName, EventType, MigrationRecord, StageError, Status};
use landfall_tasks::{self as tasks, Told};
use serde_json::{Value, json};

use crate::freezes::others_differ_until;
use crate::{Hold, Holds};

/// A gate that is held by what may be changed at any time (a wave's window, the freeze calendar) is looked at this often.
const AGAIN: SignedDuration = SignedDuration::from_mins(5);
/// How long a migration may be held at a gate in all: a day less than the workflow's time-out of 45 days.
const PATIENCE: SignedDuration = SignedDuration::from_hours(44 * 24);

/// Settles gates.
#[derive(Clone, Debug, Default)]
pub struct Gates {
    /// The deployment's own rules.
    pub rules: DeploymentRules,
    /// What else may hold.
    pub holds: Holds,
}

impl Gates {
    /// From `LANDFALL_APPROVALS`, the deployment's rules as JSON, and what [`Holds::load`] reads.
    pub fn load(aws: &SdkConfig, env: &mut Env<'_>) -> Self {
        Self {
            rules: env.json("LANDFALL_APPROVALS").unwrap_or_default(),
            holds: Holds::load(aws, env),
        }
    }

    /// Looks at the gate that a wait is for, and goes as far as it can be gone now. The wait is closed when its token was
    /// used; else it is due when there is something to look at again.
    ///
    /// # Errors
    /// Transient ones, `Conflict` among them: the next look goes on.
    pub async fn settle(
        &self,
        journal: &Journal,
        sfn: &Client,
        wait: &Wait,
        now: Timestamp,
    ) -> Result<(), StageError> {
        let Some(gate) = wait.kind.gate() else {
            return Ok(());
        };
        let record = journal.store.get(&wait.key).await?;
        let alive = |record: &MigrationRecord| {
            record.attempt == wait.attempt
                && (!record.status.is_end()
                    || gate == Gate::Decommission && record.status == Status::Succeeded)
        };
        let Some(record) = record.filter(alive) else {
            tracing::info!("a gate of an attempt that is over is closed");
            journal.store.close_wait(wait).await?;
            return Ok(());
        };
        telemetry::identify(&record);
        let look = Look {
            gates: self,
            journal,
            sfn,
            wait,
            gate,
            now,
        };
        Box::pin(look.go_on(record)).await
    }
}

/// One look at a gate.
struct Look<'a> {
    gates: &'a Gates,
    journal: &'a Journal,
    sfn: &'a Client,
    wait: &'a Wait,
    gate: Gate,
    now: Timestamp,
}

impl Look<'_> {
    async fn go_on(&self, record: MigrationRecord) -> Result<(), StageError> {
        // A rollback, and what comes after the end, is not stopped by the order that led to it.
        let stoppable = matches!(self.gate, Gate::Cutover | Gate::Finalize);
        if stoppable && let Some(order) = &record.control.cancel {
            return self.refuse(&stage::cancelled(order)).await;
        }
        let rules = self.gates.rules.of(&record.request, self.gate);
        let mut record = self.come_to(record, &rules).await?;
        let skipped = self.gate == Gate::Rollback && record.control.emergency.is_some();
        if !skipped && !record.may_pass(self.gate) {
            match Box::pin(self.answers(record, &rules)).await? {
                Some(granted) => record = granted,
                None => return Ok(()),
            }
        }
        let held = if stoppable {
            let store = &self.journal.store;
            Box::pin(self.gates.holds.hold(store, &record, self.now)).await?
        } else {
            None
        };
        if let Some(hold) = held {
            return Box::pin(self.hold(record, hold)).await;
        }
        // Whoever found the freeze may still see it: it would be held and let go on all the time.
        match others_differ_until(&record).filter(|until| stoppable && *until > self.now) {
            Some(until) => self.later(until).await,
            None => Box::pin(self.pass(record)).await,
        }
    }

    /// Judges the answers: the record once everybody has agreed, and `None` where the gate stays closed.
    async fn answers(
        &self,
        record: MigrationRecord,
        rules: &[ApprovalRule],
    ) -> Result<Option<MigrationRecord>, StageError> {
        let Some(there) = record.gate(self.gate) else {
            return Ok(None);
        };
        match judge(rules, there, self.now) {
            Verdict::Granted => return Ok(Some(self.granted(record, rules).await?)),
            Verdict::Denied(answer) => {
                let text = format!(
                    "{} refused the {}: {}",
                    answer.by,
                    self.gate.as_str(),
                    answer.reason
                );
                self.denied(record, "APPROVAL_DENIED", text).await?;
            }
            Verdict::Expired => {
                let text = format!(
                    "nobody decided on the {} in time: {}",
                    self.gate.as_str(),
                    missing(rules, there)
                );
                self.denied(record, "APPROVAL_EXPIRED", text).await?;
            }
            Verdict::Escalate => {
                let record = self.escalate(record, rules).await?;
                let next = record.gate(self.gate).map(|it| judge(rules, it, self.now));
                if let Some(Verdict::Waiting { until }) = next {
                    self.later(until).await?;
                }
            }
            Verdict::Waiting { until } => self.later(until).await?,
        }
        Ok(None)
    }

    /// Notes that the migration has come to the gate, and asks whoever is to be asked.
    async fn come_to(
        &self,
        mut record: MigrationRecord,
        rules: &[ApprovalRule],
    ) -> Result<MigrationRecord, StageError> {
        if record.gate(self.gate).is_some() {
            return Ok(record);
        }
        record.gates.push(GateRecord {
            gate: self.gate,
            opened_at: self.now.to_string(),
            answers: Vec::new(),
            escalated_at: None,
            refused_at: None,
            granted_at: rules.is_empty().then(|| self.now.to_string()),
        });
        if rules.is_empty() {
            return self.journal.store.save(record, self.now).await;
        }
        let change = Change::to(self.asking(&record), EventType::ApprovalRequested)
            .evidence(self.question(rules));
        Box::pin(self.journal.advance(record, change, self.now)).await
    }

    /// The status while people are asked: a rollback and a decommission show where the migration stands.
    fn asking(&self, record: &MigrationRecord) -> Status {
        match self.gate {
            Gate::Cutover | Gate::Finalize => Status::AwaitingApproval,
            Gate::Rollback | Gate::Decommission => record.status,
        }
    }

    fn question(&self, rules: &[ApprovalRule]) -> Value {
        json!({ "gate": self.gate, "rules": rules })
    }

    async fn granted(
        &self,
        mut record: MigrationRecord,
        rules: &[ApprovalRule],
    ) -> Result<MigrationRecord, StageError> {
        let at = self.now.to_string();
        let there = record.gates.iter_mut().find(|it| it.gate == self.gate);
        let answers = there.map(|it| {
            it.granted_at = Some(at);
            it.answers.clone()
        });
        let back = match self.gate {
            Gate::Cutover | Gate::Finalize => record.stage(),
            Gate::Rollback | Gate::Decommission => record.status,
        };
        let change = Change::to(back, EventType::ApprovalGranted)
            .evidence(json!({ "gate": self.gate, "answers": answers, "rules": rules }));
        Box::pin(self.journal.advance(record, change, self.now)).await
    }

    async fn escalate(
        &self,
        mut record: MigrationRecord,
        rules: &[ApprovalRule],
    ) -> Result<MigrationRecord, StageError> {
        let at = self.now.to_string();
        if let Some(there) = record.gates.iter_mut().find(|it| it.gate == self.gate) {
            there.escalated_at = Some(at);
        }
        let gate = record.gate(self.gate);
        let asked = rules.iter().cloned().map(|mut rule| {
            if !gate.is_some_and(|gate| is_escalated(&rule, gate)) {
                rule.escalate_to.clear();
            }
            rule
        });
        let asked: Vec<ApprovalRule> = asked.collect();
        let change =
            Change::to(record.status, EventType::ApprovalEscalated).evidence(self.question(&asked));
        Box::pin(self.journal.advance(record, change, self.now)).await
    }

    async fn denied(
        &self,
        mut record: MigrationRecord,
        code: &str,
        text: String,
    ) -> Result<(), StageError> {
        let at = self.now.to_string();
        if let Some(there) = record.gates.iter_mut().find(|it| it.gate == self.gate) {
            there.refused_at.get_or_insert(at);
        }
        let error = StageError::new(ErrorName::ApprovalError, text);
        let answers = record.gate(self.gate).map(|it| it.answers.clone());
        let change = Change::to(record.status, EventType::ApprovalDenied)
            .reason(code)
            .evidence(json!({ "gate": self.gate, "answers": answers, "because": error.message }));
        if self.gate == Gate::Rollback || self.gate == Gate::Decommission {
            // The failure in the record is what the rollback is for; a migration that has succeeded has none.
            if !self.was_told(&record).await? {
                Box::pin(self.journal.advance(record, change, self.now)).await?;
            }
        } else {
            self.journal.fail(record, change, &error, self.now).await?;
        }
        self.refuse(&error).await
    }

    /// Whether the refusal stands in the history already.
    async fn was_told(&self, record: &MigrationRecord) -> Result<bool, StageError> {
        let history = self.journal.store.history(&self.wait.key).await?;
        let gate = serde_json::to_value(self.gate).unwrap_or_default();
        Ok(history.iter().any(|entry| {
            entry.event_type == EventType::ApprovalDenied
                && entry.detail.attempt == record.attempt
                && entry
                    .detail
                    .evidence
                    .as_ref()
                    .is_some_and(|it| it["gate"] == gate)
        }))
    }

    async fn hold(&self, mut record: MigrationRecord, hold: Hold) -> Result<(), StageError> {
        let opened = record
            .gate(self.gate)
            .and_then(|it| it.opened_at.parse().ok());
        let overdue = opened.is_some_and(|at: Timestamp| self.now.duration_since(at) > PATIENCE);
        let code = hold.finding.code.clone();
        // Past the cutover a person decides: the target runs, and going back is no small thing.
        let never = code == "WINDOW_NEVER_OPENS" && self.gate == Gate::Cutover;
        if overdue || never {
            let error = StageError::new(ErrorName::CutoverError, hold.finding.message.clone())
                .findings(vec![hold.finding]);
            let change = Change::to(record.status, EventType::SwitchHeld).reason(code);
            self.journal.fail(record, change, &error, self.now).await?;
            return self.refuse(&error).await;
        }
        let known = record.status == Status::AwaitingWindow
            && record.held.as_ref().is_some_and(|it| it.code == code);
        if !known {
            let change = Change::to(Status::AwaitingWindow, EventType::SwitchHeld)
                .reason(code)
                .evidence(
                    json!({ "gate": self.gate, "findings": [&hold.finding], "until": hold.until }),
                );
            record.held = Some(hold.finding);
            Box::pin(self.journal.advance(record, change, self.now)).await?;
        }
        let again = self.now.checked_add(AGAIN).unwrap_or(Timestamp::MAX);
        self.later(hold.until.map_or(again, |until| until.min(again)))
            .await
    }

    async fn pass(&self, mut record: MigrationRecord) -> Result<(), StageError> {
        // Held in the middle of the finalize and cancelled there, a rollback goes through its gate as it stands.
        let stoppable = matches!(self.gate, Gate::Cutover | Gate::Finalize);
        if let Some(back) = record.held_from.filter(|_| stoppable) {
            let change = Change::to(back, EventType::SwitchContinued)
                .evidence(json!({ "gate": self.gate, "waitedFor": record.held }));
            record.held = None;
            record = Box::pin(self.journal.advance(record, change, self.now)).await?;
        }
        let output = json!({ "status": record.status });
        if tasks::succeed(self.sfn, &self.wait.task_token, &output).await? == Told::Nobody {
            return tasks::bury(self.journal, self.sfn, self.wait, self.now).await;
        }
        self.journal.store.close_wait(self.wait).await?;
        Ok(())
    }

    async fn refuse(&self, error: &StageError) -> Result<(), StageError> {
        tracing::warn!(
            error = error.name.as_str(),
            gate = self.gate.as_str(),
            "a gate stays closed: {error}"
        );
        if tasks::fail(self.sfn, &self.wait.task_token, error).await? == Told::Nobody {
            return tasks::bury(self.journal, self.sfn, self.wait, self.now).await;
        }
        self.journal.store.close_wait(self.wait).await?;
        Ok(())
    }

    async fn later(&self, at: Timestamp) -> Result<(), StageError> {
        if self.wait.due_at != at.to_string() {
            self.journal.store.postpone_wait(self.wait, at).await?;
        }
        Ok(())
    }
}

/// Whose agreement is missing, for a person.
fn missing(rules: &[ApprovalRule], gate: &GateRecord) -> String {
    let open = rules.iter().filter_map(|rule| {
        let agreed = agreed(rule, gate);
        (agreed < rule.count).then(|| {
            format!(
                "{agreed} of {} of {}",
                rule.count,
                rule.approvers.join(", ")
            )
        })
    });
    open.collect::<Vec<_>>().join("; ")
}
