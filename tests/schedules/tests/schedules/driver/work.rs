//! Invocations: alone or side by side, and what follows from each.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use fastrand::Rng;
use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp};
use landfall_common::state::wait::Phase;
use landfall_domain::StageError;
use serde_json::{Value, json};

use super::{Action, At, Message, Retries, Run, seconds};
use crate::gate::{self, Gate};
use crate::lambda::{Function, sqs_event};
use crate::support::{sent_back, stage_input};

/// When a message comes again whose time nobody has changed.
const VISIBILITY: SignedDuration = SignedDuration::from_mins(2);
/// After how many retries verify gives up by itself.
const VERIFY_RETRIES: u32 = 28;

/// What an invocation is for.
#[derive(Clone, Debug)]
pub(super) enum Work {
    Sweep { event: bool },
    Receive(Vec<Message>),
    Verify(usize, Retries),
}

struct Done {
    work: Work,
    gate: Arc<Mutex<Gate>>,
    answer: Result<Value, StageError>,
}

impl Run {
    /// Does all of it: one after the other, or all at once but for the verifications. These have health checks over a real
    /// socket, and the order of its answers would be another each time a seed is replayed.
    pub(super) async fn work(&mut self, work: Vec<Work>) {
        let at_once = self.dice.bool();
        let mut wanted = Vec::new();
        for work in work {
            if self.is_wanted(&work) {
                wanted.push((work, self.dice.u64(..), self.number()));
            }
        }
        let (together, one_by_one): (Vec<_>, Vec<_>) = wanted
            .into_iter()
            .partition(|(work, ..)| at_once && !matches!(work, Work::Verify(..)));
        let this = &*self;
        let invoke = |(work, seed, number)| this.invoke(work, seed, number);
        let mut done = join_all(together.into_iter().map(invoke)).await;
        for one in one_by_one {
            done.push(invoke(one).await);
        }
        for done in done {
            self.take(done).await;
        }
    }

    /// Nobody invokes verify for an execution that was stopped.
    fn is_wanted(&self, work: &Work) -> bool {
        let Work::Verify(number, _) = work else {
            return true;
        };
        matches!(self.migrations[*number].at, At::Verifies { .. })
    }

    async fn invoke(&self, work: Work, seed: u64, number: u64) -> Done {
        let gate = Gate::new(Rng::with_seed(seed), self.plan.rates);
        let (function, event) = match &work {
            Work::Sweep { event: false } => (Function::Watch, json!({"action": "sweep"})),
            Work::Sweep { event: true } => (
                Function::Watch,
                json!({"source": "aws.mgn", "detail-type": "any"}),
            ),
            Work::Receive(messages) => {
                let all = messages
                    .iter()
                    .map(|it| (it.number, it.body.as_str(), it.receives + 1));
                let function = if messages[0].launches {
                    Function::Trigger
                } else {
                    Function::Watch
                };
                (function, sqs_event(all))
            }
            Work::Verify(number, retries) => {
                let cutover = self.migrations[*number].at == At::Verifies { cutover: true };
                let phase = if cutover { "cutover" } else { "test" };
                let more = json!({"phase": phase, "retryCount": retries.count});
                (
                    Function::Verify,
                    stage_input(&self.migrations[*number].id, more),
                )
            }
        };
        let invocation =
            self.functions
                .invoke(function, event, self.now, format!("request-{number}"));
        let answer = gate::behind(&gate, invocation).await;
        Done { work, gate, answer }
    }

    async fn take(&mut self, done: Done) {
        let (dead, wrong, calls) = {
            let gate = done.gate.lock().unwrap();
            (gate.is_dead(), gate.wrong.clone(), gate.calls.clone())
        };
        self.summary.invocations += 1;
        self.summary.deaths += usize::from(dead);
        self.summary.calls += calls.len();
        self.summary.wrong += wrong.len();
        let clean = wrong.is_empty() && done.answer.is_ok();
        if !clean || !matches!(done.work, Work::Sweep { .. }) {
            let answer = match &done.answer {
                Ok(answer) => answer.to_string(),
                Err(error) => format!("{}: {}", error.name.as_str(), error.message),
            };
            let name = match &done.work {
                Work::Sweep { event } => format!("sweep (by an event: {event})"),
                Work::Receive(messages) => {
                    let all: Vec<_> = messages
                        .iter()
                        .map(|it| format!("{}/{}", it.number, it.receives))
                        .collect();
                    let queue = if messages[0].launches {
                        "launches"
                    } else {
                        "waits"
                    };
                    format!("{queue} {}", all.join(" "))
                }
                Work::Verify(number, retries) => format!("verify mig-{number} {}", retries.count),
            };
            self.tell(format!("{name}: {answer} {wrong:?}"));
        }
        let answer = if dead { None } else { Some(done.answer) };
        match done.work {
            Work::Sweep { .. } if clean => self.look_for_late(Phase::Waiting).await,
            Work::Sweep { .. } => {}
            Work::Receive(messages) => {
                self.stirred = true;
                let launched = calls.iter().any(|call| call == "DescribeJobs");
                let launches = messages[0].launches;
                self.received(messages, answer, clean && (launched || !launches));
                if clean && launches && launched {
                    self.look_for_late(Phase::Pending).await;
                }
            }
            Work::Verify(number, retries) => self.seen(number, retries, answer).await,
        }
    }

    /// Which of a batch's messages come again, and when. All of them where nobody answered.
    fn received(
        &mut self,
        messages: Vec<Message>,
        answer: Option<Result<Value, StageError>>,
        calm: bool,
    ) {
        let again = match &answer {
            Some(Ok(answer)) => Some(sent_back(answer)),
            _ => None,
        };
        for mut message in messages {
            let id = format!("message-{}", message.number);
            if again.as_ref().is_some_and(|again| !again.contains(&id)) {
                continue;
            }
            message.receives += 1;
            message.calm = if calm { message.calm + 1 } else { 0 };
            let receipt = format!("receipt-{}", message.number);
            let later = {
                let changed = &mut self.functions.queue.lock().unwrap().again;
                let found = changed.iter().rposition(|(of, _)| *of == receipt);
                found.map_or(VISIBILITY, |at| seconds(changed.remove(at).1.into()))
            };
            self.plan_at(later, Action::Receive(message));
        }
    }

    /// The workflow's Retry and Catch of a verification.
    async fn seen(
        &mut self,
        number: usize,
        mut retries: Retries,
        answer: Option<Result<Value, StageError>>,
    ) {
        let At::Verifies { cutover } = self.migrations[number].at else {
            return;
        };
        let (tries, most, first, rate) = match &answer {
            None => (&mut retries.deaths, 6, 2.0, 2.0),
            Some(Ok(_)) => return self.verified(number, cutover),
            Some(Err(error)) if error.name.is_transient() => {
                (&mut retries.transient, 30, 15.0, 1.5)
            }
            Some(Err(error)) => {
                let name = error.name.as_str();
                self.tell(format!("mig-{number} is not verified: {}", error.cause()));
                if retries.count >= VERIFY_RETRIES {
                    self.tell(format!("mig-{number} has had its retries"));
                }
                return self.failed(number, name, name == "VerificationError").await;
            }
        };
        if *tries >= most {
            self.migrations[number].excused = true;
            let name = answer.map_or("Lambda.Unknown", |it| {
                it.map_or_else(|e| e.name.as_str(), |_| "")
            });
            return self.failed(number, name, false).await;
        }
        let exponent = i32::try_from(*tries).unwrap();
        *tries += 1;
        retries.count += 1;
        let pause = f64::min(first * f64::powi(rate, exponent), 60.0);
        let pause = SignedDuration::from_secs_f64(pause.ceil());
        self.plan_at(pause, Action::Verify(number, retries));
    }

    /// After two invocations in a row to which nothing happened, nobody waits past a deadline.
    async fn look_for_late(&mut self, phase: Phase) {
        let waits = self.store.waits(phase).await.unwrap();
        let late = waits.iter().filter(|wait| {
            wait.due_at
                .parse::<Timestamp>()
                .is_ok_and(|due| due < self.now)
        });
        let name = |kind: &dyn std::fmt::Debug| format!("{phase:?} {kind:?}");
        let late: BTreeSet<String> = late
            .map(|wait| name(&(&wait.key, wait.kind, &wait.due_at)))
            .collect();
        let still: Vec<_> = late.intersection(&self.late).cloned().collect();
        if !still.is_empty() {
            self.fault(format!("left waiting past the deadline: {still:?}"));
        }
        let of_this = format!("{phase:?}");
        self.late.retain(|wait| !wait.starts_with(&of_this));
        self.late.extend(late);
    }
}
