//! How far a plan is carried out: kept in the record from run to run.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{RollbackPlan, Step};

/// So many times a compensation is tried that is refused; then it is left to a person.
pub const TRIES: u32 = 3;

/// How a compensation came to be done, and what is to be said of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It did its work now.
    Did(String),
    /// The world is as it should be already: by an earlier try, where there was one.
    Found(String),
    /// There is nothing to do, or it is for a person; how long that took tells nothing of its work.
    Nothing(String),
}

impl Outcome {
    /// What is to be said of it.
    pub fn said(&self) -> &str {
        let (Self::Did(said) | Self::Found(said) | Self::Nothing(said)) = self;
        said
    }
}

/// How a rollback stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Progress {
    /// When it began; empty before it has.
    pub started_at: String,
    /// The compensations that were tried, by their IDs.
    pub steps: BTreeMap<String, StepState>,
}

/// How a compensation stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StepState {
    /// When it was first tried.
    pub began_at: String,
    /// When it was done and verified.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub done_at: Option<String>,
    /// How often it was refused.
    #[serde(skip_serializing_if = "is_zero")]
    pub refused: u32,
    /// What was found or done, or what is in its way.
    pub said: String,
    /// Whether it did any work of which the time it took could tell.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub acted: bool,
    /// Whether it took too long.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub overdue: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl StepState {
    /// Whether it is not tried any more, although it is not done.
    pub const fn is_given_up(&self) -> bool {
        self.done_at.is_none() && (self.overdue || self.refused >= TRIES)
    }

    /// How long it took, in seconds, where it is done.
    pub fn took_seconds(&self) -> Option<u64> {
        let began: Timestamp = self.began_at.parse().ok()?;
        let done: Timestamp = self.done_at.as_deref()?.parse().ok()?;
        u64::try_from(done.duration_since(began).as_secs()).ok()
    }
}

impl Progress {
    /// How a compensation stands, where it was tried.
    pub fn of(&self, step: &Step) -> Option<&StepState> {
        self.steps.get(&step.id)
    }

    /// Whether a compensation is done.
    pub fn is_done(&self, id: &str) -> bool {
        let state = self.steps.get(id);
        state.is_some_and(|state| state.done_at.is_some())
    }

    /// Whether a compensation is not tried any more, although it is not done.
    pub fn is_given_up(&self, id: &str) -> bool {
        self.steps.get(id).is_some_and(StepState::is_given_up)
    }

    /// What may be tried now: not done, not given up, not among `tried`, and after nothing that is not done.
    pub fn ready<'a>(&self, plan: &'a RollbackPlan, tried: &[String]) -> Vec<&'a Step> {
        let open = |step: &&Step| {
            !self.is_done(&step.id)
                && !self.is_given_up(&step.id)
                && !tried.contains(&step.id)
                && step.after.iter().all(|before| self.is_done(before))
        };
        plan.compensations.iter().filter(open).collect()
    }

    /// Whether every compensation is done.
    pub fn is_complete(&self, plan: &RollbackPlan) -> bool {
        let mut steps = plan.compensations.iter();
        steps.all(|step| self.is_done(&step.id))
    }

    /// Notes that a compensation is tried.
    fn tried(&mut self, id: &str, now: Timestamp) -> &mut StepState {
        self.steps
            .entry(id.to_owned())
            .or_insert_with(|| StepState {
                began_at: now.to_string(),
                ..StepState::default()
            })
    }

    /// Notes that one is done: tried since `began`, done at `now`.
    pub fn done(&mut self, id: &str, outcome: &Outcome, began: Timestamp, now: Timestamp) {
        let again = self.steps.contains_key(id);
        let state = self.tried(id, began);
        state.acted = match outcome {
            Outcome::Did(_) => true,
            Outcome::Found(_) => again,
            Outcome::Nothing(_) => false,
        };
        state.done_at = Some(now.to_string());
        outcome.said().clone_into(&mut state.said);
    }

    /// Notes that one takes its time, or has taken too long.
    pub fn waits(&mut self, id: &str, why: &str, overdue: bool, now: Timestamp) {
        let state = self.tried(id, now);
        state.overdue = overdue;
        why.clone_into(&mut state.said);
    }

    /// Notes that one was refused.
    pub fn refused(&mut self, id: &str, why: &str, overdue: bool, now: Timestamp) {
        let state = self.tried(id, now);
        state.refused += 1;
        state.overdue = overdue;
        why.clone_into(&mut state.said);
    }
}
