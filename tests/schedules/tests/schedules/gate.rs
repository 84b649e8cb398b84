//! What every AWS call of an invocation passes on its way: where it may fail, and where the process may die.
//!
//! A dead process does nothing any more. Here its code runs on, but no call of it has an effect or an answer, and
//! nobody hears what it returns: for the world outside that is the same.

use std::sync::{Arc, Mutex};

use crate::support::Fault;

tokio::task_local! {
    static GATE: Arc<Mutex<Gate>>;
}

/// How often things go wrong, as shares of all calls or invocations.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rates {
    /// Calls that fail for a while, or whose answers are lost.
    pub(crate) transient: f64,
    /// Calls that are refused for good.
    pub(crate) refused: f64,
    /// Invocations that die.
    pub(crate) deaths: f64,
}

/// Of one invocation.
#[derive(Debug)]
pub(crate) struct Gate {
    dice: fastrand::Rng,
    rates: Rates,
    /// At which call it dies, and whether the call takes effect.
    dies: Option<(usize, bool)>,
    dead: bool,
    /// What went wrong, for the trace.
    pub(crate) wrong: Vec<String>,
    /// The calls that were made.
    pub(crate) calls: Vec<String>,
}

impl Gate {
    pub(crate) fn new(mut dice: fastrand::Rng, rates: Rates) -> Arc<Mutex<Self>> {
        let dies = (dice.f64() < rates.deaths).then(|| (dice.usize(1..25), dice.bool()));
        Arc::new(Mutex::new(Self {
            dice,
            rates,
            dies,
            dead: false,
            wrong: Vec::new(),
            calls: Vec::new(),
        }))
    }

    /// Whether the process lives no more.
    pub(crate) fn is_dead(&self) -> bool {
        self.dead
    }

    fn pass(&mut self, call: &str) -> Option<Fault> {
        if self.dead {
            return Some(Fault::Unavailable);
        }
        self.calls.push(call.to_owned());
        let number = self.calls.len();
        if let Some((_, after)) = self.dies.filter(|(at, _)| *at == number) {
            self.dead = true;
            let when = if after { "after" } else { "before" };
            self.wrong.push(format!("died {when} {call} ({number})"));
            return Some(if after {
                Fault::AnswerLost
            } else {
                Fault::Unavailable
            });
        }
        let thrown = self.dice.f64();
        let fault = if thrown < self.rates.transient / 2.0 {
            Fault::Unavailable
        } else if thrown < self.rates.transient {
            Fault::AnswerLost
        } else if thrown < self.rates.transient + self.rates.refused {
            Fault::Refused
        } else {
            return None;
        };
        self.wrong.push(format!("{call} ({number}) {fault:?}"));
        Some(fault)
    }
}

/// Passes a call of the invocation that is running; calls of nobody's pass always.
pub(crate) fn pass(call: &str) -> Option<Fault> {
    let passed = GATE.try_with(|gate| gate.lock().unwrap().pass(call));
    passed.unwrap_or(None)
}

/// Notes that the other side refused a call or lost its answer.
pub(crate) fn note(text: String) {
    // Calls of nobody's are not noted.
    let _ = GATE.try_with(|gate| gate.lock().unwrap().wrong.push(text));
}

/// How often a call yields to other invocations on its way.
pub(crate) fn yields() -> u8 {
    GATE.try_with(|gate| gate.lock().unwrap().dice.u8(0..3))
        .unwrap_or(0)
}

/// Lets an invocation run behind its gate.
pub(crate) async fn behind<T>(gate: &Arc<Mutex<Gate>>, work: impl Future<Output = T>) -> T {
    GATE.scope(Arc::clone(gate), work).await
}
