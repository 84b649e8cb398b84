//! The passing of time: what is due, what may be skipped, and when a schedule is over.

use jiff::Timestamp;
use landfall_common::Key;
use landfall_common::state::Change;
use landfall_common::state::wait::{Phase, Wait};
use landfall_domain::record::Failure;
use landfall_domain::{ErrorName, EventType, StageError, Status};
use serde_json::json;

use super::work::Work;
use super::{Action, At, Ending, Message, Outcome, Retries, Run, State, minutes, seconds};
use crate::judge;
use crate::support::stage_input;
use crate::tasks::Ended;

/// No schedule has more steps, or lasts longer.
const STEPS: usize = 20_000;
const DAYS: i64 = 16;

impl Run {
    pub(crate) async fn to_the_end(&mut self) -> Outcome {
        loop {
            let ended = self
                .migrations
                .iter()
                .all(|it| matches!(it.at, At::Ended(_)));
            let only_sweeps = self.actions.values().all(|it| matches!(it, Action::Sweep));
            // What comes after a fault only follows from it.
            if !self.faults.is_empty() || ended && only_sweeps && self.waits().await.is_empty() {
                break;
            }
            let days = self.now.duration_since(crate::support::now()).as_hours() / 24;
            self.steps += 1;
            if self.steps > STEPS || days > DAYS {
                let open: Vec<_> = self
                    .migrations
                    .iter()
                    .map(|it| format!("{} {:?}", it.id, it.at))
                    .collect();
                self.fault(format!(
                    "it does not end after {} steps and {days} days: {open:?}",
                    self.steps
                ));
                break;
            }
            self.leap().await;
            self.step().await;
        }
        if self.faults.is_empty() {
            judge::judge(self).await;
        }
        self.summary.virtual_hours = self.now.duration_since(crate::support::now()).as_hours();
        self.summary.migrations = self.migrations.len();
        for migration in &self.migrations {
            match migration.at {
                At::Ended(Ending::Succeeded) => self.summary.succeeded += 1,
                At::Ended(Ending::Aborted) => self.summary.aborted += 1,
                _ => self.summary.failed += 1,
            }
        }
        Outcome {
            trace: std::mem::take(&mut self.trace),
            faults: std::mem::take(&mut self.faults),
            summary: self.summary.clone(),
        }
    }

    /// All open waits.
    pub(super) async fn waits(&self) -> Vec<Wait> {
        let mut waits = self.store.waits(Phase::Waiting).await.unwrap();
        waits.extend(self.store.waits(Phase::Pending).await.unwrap());
        waits
    }

    /// Where nothing will change until a deadline, goes there at once.
    async fn leap(&mut self) {
        let stands = self.actions.values().all(|action| match action {
            Action::Sweep => true,
            Action::Receive(message) => message.calm >= 3,
            _ => false,
        });
        if self.stirred || !stands || self.simulator.next_change().is_some() {
            return;
        }
        let waits = self.waits().await;
        // What was asked without an answer is looked for a little later.
        if waits.iter().any(|wait| wait.is_unconfirmed(self.now)) {
            return;
        }
        let dues = waits
            .iter()
            .filter_map(|wait| wait.due_at.parse::<Timestamp>().ok());
        let Some(due) = dues.min().filter(|due| *due > self.now + minutes(5)) else {
            return;
        };
        self.tell(format!("nothing changes until {due}"));
        let actions = std::mem::take(&mut self.actions);
        for ((at, number), action) in actions {
            self.actions
                .insert((at.max(due - seconds(30)), number), action);
        }
    }

    /// Goes to the next instant at which something is to be done, and does it.
    async fn step(&mut self) {
        let Some(((at, _), _)) = self.actions.first_key_value() else {
            return;
        };
        let at = *at;
        if self
            .simulator
            .next_change()
            .is_some_and(|change| change <= at)
        {
            self.stirred = true;
        }
        self.simulator.advance(at.duration_since(self.now)).await;
        self.now = at;
        let mut due = Vec::new();
        while let Some(entry) = self.actions.first_entry().filter(|it| it.key().0 <= at) {
            due.push(entry.remove());
        }
        let mut work = Vec::new();
        let mut messages = Vec::new();
        let mut sweeps = false;
        for action in due {
            match action {
                Action::Sweep => {
                    self.plan_at(minutes(1), Action::Sweep);
                    // Of the sweeps that would find what the last one found, most are left out.
                    sweeps |= self.stirred || self.dice.u8(0..4) == 0;
                }
                Action::Begin(number) => self.begin(number),
                Action::Abort(number) => self.abort(number),
                Action::Disconnect(number) => self.disconnect(number).await,
                Action::Receive(message) => messages.push(message),
                Action::Verify(number, retries) => work.push(Work::Verify(number, retries)),
            }
        }
        self.dice.shuffle(&mut messages);
        let (launches, waits): (Vec<_>, Vec<_>) = messages.into_iter().partition(|it| it.launches);
        for mut of_a_queue in [launches, waits] {
            while !of_a_queue.is_empty() {
                let size = self.dice.usize(1..=10).min(of_a_queue.len());
                work.push(Work::Receive(of_a_queue.drain(..size).collect()));
            }
        }
        let events = self.simulator.events();
        if events > self.events {
            self.events = events;
            work.push(Work::Sweep { event: true });
        }
        if sweeps {
            self.stirred = false;
            work.push(Work::Sweep { event: false });
        }
        self.work(work).await;
        self.go_on().await;
    }

    fn begin(&mut self, number: usize) {
        if self.migrations[number].at == At::NotBegun {
            self.wait_for(number, State::Replication);
        }
    }

    /// Somebody stops the execution: its token is dead, and nobody tells the functions.
    fn abort(&mut self, number: usize) {
        let at = std::mem::replace(&mut self.migrations[number].at, At::Ended(Ending::Aborted));
        match at {
            At::Ended(ending) => self.migrations[number].at = At::Ended(ending),
            At::Waits(_, token) => {
                self.tell(format!("mig-{number} is stopped while it waits"));
                let dead = Ended::Failed("States.Aborted".into(), String::new());
                self.functions
                    .tasks
                    .lock()
                    .unwrap()
                    .entry(token)
                    .or_insert(dead);
                self.stirred = true;
            }
            _ => self.tell(format!("mig-{number} is stopped")),
        }
    }

    async fn disconnect(&mut self, number: usize) {
        let id = &self.migrations[number].server_id;
        let sent = self
            .functions
            .mgn
            .disconnect_from_service()
            .source_server_id(id);
        let done = sent.send().await.is_ok();
        self.tell(format!("mig-{number} is disconnected: {done}"));
        self.stirred = true;
    }

    /// The workflow's state sends its message and waits.
    fn wait_for(&mut self, number: usize, state: State) {
        let token = format!("token-{number}-{state:?}");
        let (launches, mut message) = match state {
            State::Replication => (false, json!({"kind": "REPLICATION"})),
            State::Test => (true, json!({"action": "TEST"})),
            State::Cutover => (true, json!({"action": "CUTOVER"})),
        };
        message["retryCount"] = json!(0);
        message["taskToken"] = json!(token);
        let body = stage_input(&self.migrations[number].id, message).to_string();
        self.tell(format!("mig-{number} waits for {state:?}"));
        self.migrations[number].at = At::Waits(state, token);
        let mut copies = vec![1];
        if self.dice.f64() < self.plan.doubled {
            copies.push(self.dice.i64(1..2_400));
        }
        for later in copies {
            let message = Message {
                launches,
                body: body.clone(),
                number: self.number(),
                receives: 0,
                calm: 0,
            };
            self.plan_at(seconds(later), Action::Receive(message));
        }
    }

    /// Whoever's token was used goes on.
    async fn go_on(&mut self) {
        for number in 0..self.migrations.len() {
            let At::Waits(state, token) = self.migrations[number].at.clone() else {
                continue;
            };
            let ended = self.functions.tasks.lock().unwrap().get(&token).cloned();
            let Some(ended) = ended else { continue };
            self.stirred = true;
            match ended {
                Ended::Failed(error, cause) => {
                    self.tell(format!("mig-{number}: {state:?} failed: {error}: {cause}"));
                    self.failed(number, &error, true).await;
                }
                Ended::Succeeded(_) if state == State::Replication => {
                    self.wait_for(number, State::Test);
                }
                Ended::Succeeded(output) => {
                    self.tell(format!("mig-{number}: {state:?} succeeded: {output}"));
                    let cutover = state == State::Cutover;
                    self.migrations[number].at = At::Verifies { cutover };
                    self.plan_at(seconds(1), Action::Verify(number, Retries::default()));
                }
            }
        }
    }

    pub(super) fn verified(&mut self, number: usize, cutover: bool) {
        self.stirred = true;
        if cutover {
            self.tell(format!("mig-{number} has succeeded"));
            self.migrations[number].at = At::Ended(Ending::Succeeded);
        } else {
            self.wait_for(number, State::Cutover);
        }
    }

    /// In the place of the rollback: what waits is closed, and the record ends.
    pub(super) async fn failed(&mut self, number: usize, error: &str, noted: bool) {
        self.stirred = true;
        let key = Key::new("default", &self.migrations[number].id);
        self.store.close_all_waits(&key).await.unwrap();
        let mut record = self.store.require(&key).await.unwrap();
        let told = record
            .failure
            .as_ref()
            .map(|failure| failure.error.as_str());
        if noted && told != Some(error) {
            self.fault(format!(
                "mig-{number} failed with {error}, and its record says {told:?}"
            ));
        }
        if record.failure.is_none() {
            let error = StageError::new(ErrorName::InternalError, error);
            record.failure = Some(Failure::of(&error));
        }
        let change = Change::to(Status::Failed, EventType::MigrationFailed);
        self.store
            .transition(record, &change, self.now)
            .await
            .unwrap();
        self.migrations[number].at = At::Ended(Ending::Failed(error.to_owned()));
    }
}
