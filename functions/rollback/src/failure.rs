//! What the workflow caught, as Step Functions tells it.

use landfall_domain::ErrorName;
use landfall_domain::record::Failure;
use serde::Deserialize;
use serde_json::Value;

/// The error output of a state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Caught {
    error: Option<String>,
    cause: Option<String>,
    state: Option<String>,
}

/// The `Cause` of a Lambda function that failed.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LambdaCause {
    error_type: Option<String>,
    error_message: Option<String>,
}

impl Caught {
    /// The form for the record: what the stage itself noted there, with its findings, where that is the same error.
    pub(crate) fn failure(&self, noted: Option<Failure>) -> Failure {
        let seen = self.seen();
        match noted {
            // A later run of the rollback may be invoked without words.
            Some(noted) if !noted.state.is_empty() => noted,
            Some(noted) if noted.error == seen.error => Failure {
                state: seen.state,
                ..noted
            },
            _ => seen,
        }
    }

    fn seen(&self) -> Failure {
        let state = self.state.clone().unwrap_or_default();
        let cause = self.cause.as_deref().unwrap_or_default().trim();
        let lambda: Option<LambdaCause> = serde_json::from_str(cause).ok();
        let (error_type, error_message) = lambda.map_or((None, None), |cause| {
            (cause.error_type, cause.error_message)
        });
        let error = self.error.clone().filter(|error| !error.is_empty());
        let error = match error {
            // Step Functions' own names say less than the function's.
            Some(error) if error.starts_with("States.") => error_type.or(Some(error)),
            Some(error) => Some(error),
            None => error_type,
        };
        let error = error.unwrap_or_else(|| ErrorName::InternalError.to_string());
        let message = error_message
            .filter(|message| !message.is_empty())
            .or_else(|| (!cause.is_empty() && !is_json(cause)).then(|| cause.to_owned()))
            .unwrap_or_else(|| without_words(&error, &state));
        Failure {
            error,
            message: message.chars().take(8_000).collect(),
            state,
            findings: Vec::new(),
        }
    }
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<Value>(text).is_ok_and(|value| value.is_object())
}

/// A message for an error that came with none.
fn without_words(error: &str, state: &str) -> String {
    let state = if state.is_empty() { "a step" } else { state };
    if error == "States.Timeout" || error == "States.HeartbeatTimeout" {
        format!("{state} did not finish in its time")
    } else {
        format!("{state} failed with {error}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use landfall_domain::{Finding, StageError};
    use serde_json::json;

    fn failure(caught: Value) -> Failure {
        serde_json::from_value::<Caught>(caught)
            .unwrap()
            .failure(None)
    }

    #[test]
    fn the_cause_of_a_function_is_unpacked() {
        let cause = json!({"errorType": "VerificationError", "errorMessage": "port 443 is closed"});
        let seen = failure(json!({
            "error": "VerificationError", "cause": cause.to_string(), "state": "VerifyTest"
        }));
        assert_eq!(seen.error, "VerificationError");
        assert_eq!(seen.message, "port 443 is closed");
        assert_eq!(seen.state, "VerifyTest");
    }

    #[test]
    fn what_the_stage_noted_keeps_its_findings() {
        let caught: Caught = serde_json::from_value(
            json!({"error": "VerificationError", "cause": "cut short", "state": "VerifyTest"}),
        )
        .unwrap();
        let noted = |error, state: &str| {
            let error = StageError::new(error, "port 443 is closed")
                .findings(vec![Finding::blocking("HEALTH_CHECK_FAILED", "", "closed")]);
            Failure {
                state: state.to_owned(),
                ..Failure::of(&error)
            }
        };
        let seen = caught.failure(Some(noted(ErrorName::VerificationError, "")));
        assert_eq!(seen, noted(ErrorName::VerificationError, "VerifyTest"));
        // Another error came after it, or the rollback runs again.
        let seen = caught.failure(Some(noted(ErrorName::CutoverError, "")));
        assert_eq!(seen.message, "cut short");
        let first = noted(ErrorName::CutoverError, "VerifyCutover");
        assert_eq!(caught.failure(Some(first.clone())), first);
    }

    #[test]
    fn plain_text_is_taken_as_it_is() {
        let seen = failure(
            json!({"error": "MigrationExecutionError", "cause": "MGN refused", "state": "LaunchTest"}),
        );
        assert_eq!(seen.message, "MGN refused");
    }

    #[test]
    fn the_function_s_name_wins_over_that_of_step_functions() {
        let cause = json!({"errorType": "CutoverError", "errorMessage": "no"}).to_string();
        assert_eq!(
            failure(json!({"error": "States.TaskFailed", "cause": cause})).error,
            "CutoverError"
        );
    }

    #[test]
    fn there_is_always_something_to_read() {
        for (caught, message) in [
            (
                json!({"error": "States.Timeout", "state": "LaunchTest"}),
                "LaunchTest did not finish in its time",
            ),
            (json!({"cause": null}), "a step failed with InternalError"),
            (
                json!({"error": "X", "cause": "{\"a\":1}", "state": "S"}),
                "S failed with X",
            ),
        ] {
            assert_eq!(failure(caught).message, message);
        }
    }
}
