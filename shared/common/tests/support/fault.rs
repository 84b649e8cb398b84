//! Calls that are noted, and of which any one can be made to fail.

use std::sync::{Arc, Mutex};

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The service refuses it: nothing is done.
    Refused,
    /// The service is down: nothing is done.
    Unavailable,
    /// It is done, but the answer is lost.
    AnswerLost,
}

impl Fault {
    /// Every kind.
    pub(crate) const ALL: [Self; 3] = [Self::Refused, Self::Unavailable, Self::AnswerLost];
}

/// Decides of a call whether it fails, and how.
type Script = Box<dyn FnMut(&'static str) -> Option<Fault> + Send>;

#[derive(Default)]
struct Log {
    made: Vec<&'static str>,
    failing: Option<(usize, Fault)>,
    script: Option<Script>,
}

/// The log of calls, shared by all clients of a test.
#[derive(Clone, Default)]
pub(crate) struct Calls(Arc<Mutex<Log>>);

impl Calls {
    /// Makes the nth call from now (counted from 0, whatever it is) fail.
    pub(crate) fn fail_nth(&self, nth: usize, fault: Fault) {
        let mut log = self.0.lock().unwrap();
        log.failing = Some((log.made.len() + nth, fault));
    }

    /// Lets a script decide of every call from now on.
    pub(crate) fn fail_as(
        &self,
        script: impl FnMut(&'static str) -> Option<Fault> + Send + 'static,
    ) {
        self.0.lock().unwrap().script = Some(Box::new(script));
    }

    /// Notes a call; tells how it fails, if it does.
    pub(crate) fn note(&self, name: &'static str) -> Option<Fault> {
        let mut log = self.0.lock().unwrap();
        log.made.push(name);
        if let Some(script) = &mut log.script {
            return script(name);
        }
        log.failing
            .filter(|(at, _)| *at + 1 == log.made.len())
            .map(|(_, fault)| fault)
    }

    /// Every call so far.
    pub(crate) fn made(&self) -> Vec<&'static str> {
        self.0.lock().unwrap().made.clone()
    }

    /// How often an operation was called.
    pub(crate) fn count(&self, name: &str) -> usize {
        self.made().iter().filter(|made| **made == name).count()
    }
}

/// A place for an answer to return early from.
pub(crate) fn run<T, E>(answer: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    answer()
}

/// A rule that notes the call, fails it where the test says so, and answers from shared state.
macro_rules! answer {
    ($calls:expr, $state:ident = $shared:expr, $operation:path, $error:ty, $name:literal, |$input:ident| $answer:expr) => {{
        let (calls, shared) = ($calls.clone(), std::sync::Arc::clone($shared));
        aws_smithy_mocks::mock!($operation).then_compute_response(move |$input| {
            use aws_smithy_mocks::MockResponse;
            let fault = calls.note($name);
            match fault {
                Some($crate::support::Fault::Refused) => {
                    return MockResponse::Error($crate::support::refusal!(
                        $error,
                        "AccessDeniedException"
                    ));
                }
                Some($crate::support::Fault::Unavailable) => {
                    return MockResponse::Error($crate::support::refusal!(
                        $error,
                        "ServiceUnavailable"
                    ));
                }
                _ => {}
            }
            let mut guard = shared.lock().unwrap();
            let $state = &mut *guard;
            let answer: Result<_, $error> = $crate::support::run(|| $answer);
            match (answer, fault) {
                (Ok(_), Some(_)) => {
                    MockResponse::Error($crate::support::refusal!($error, "ServiceUnavailable"))
                }
                (Ok(output), None) => MockResponse::Output(output),
                (Err(error), _) => MockResponse::Error(error),
            }
        })
    }};
}
pub(crate) use answer;

/// A service's error by its code.
macro_rules! refusal {
    ($error:ty, $code:expr) => {
        <$error>::generic(
            aws_sdk_dynamodb::error::ErrorMetadata::builder()
                .code($code)
                .message("as the test says")
                .build(),
        )
    };
}
pub(crate) use refusal;
