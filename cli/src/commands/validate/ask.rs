//! One question to the deployment's pre-flight, and what its answers mean.

use aws_sdk_lambda::error::SdkError;
use aws_sdk_lambda::operation::invoke::InvokeError;
use aws_sdk_lambda::primitives::Blob;
use landfall_common::aws_error::{code, stage_error};
use landfall_domain::ErrorName;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::error::CliError;
use crate::output::text::clean;
use crate::output::validation::{Answer, Failure};
use crate::target::Validator;

/// The alias through which every caller reaches a function, see terraform/modules/function.
const ALIAS: &str = "live";

/// Names of errors of the function after which the same question may be answered later. The first is Lambda's own.
const TRANSIENT: [&str; 4] = [
    "Sandbox.Timedout",
    ErrorName::Throttled.as_str(),
    ErrorName::DependencyUnavailable.as_str(),
    ErrorName::Conflict.as_str(),
];

/// Asks what the pre-flight would say to a request now. It changes nothing, so it may be asked again.
pub(super) async fn ask(
    validator: &Validator,
    request: &Value,
    diff: bool,
) -> Result<Answer, Failure> {
    let question = json!({"dryRun": true, "diff": diff, "request": request});
    let call = validator
        .client
        .invoke()
        .function_name(&validator.function)
        .payload(Blob::new(question.to_string()));
    let call = if validator.function.contains(':') {
        // An ARN, or a name with a version: whoever gave it knows which one to ask.
        call
    } else {
        call.qualifier(ALIAS)
    };
    let output = call
        .send()
        .await
        .map_err(|error| refused(&error, validator))?;
    let answer = output.payload().map(AsRef::as_ref).unwrap_or_default();
    if output.function_error().is_some() {
        return Err(failed(answer, validator));
    }
    serde_json::from_slice(answer).map_err(|error| Failure {
        error: CliError::new(
            format!("{} gave an answer that cannot be read: {error}", validator.function),
            "Is the deployment of another version than this landfall? Bring the older one up to date.",
        ),
        same_for_all: true,
    })
}

/// Lambda did not run the function.
fn refused(error: &SdkError<InvokeError>, validator: &Validator) -> Failure {
    let name = &validator.function;
    let code = code(error).unwrap_or_default();
    let stage = stage_error(error, ErrorName::PrerequisiteError, "Invoke");
    let error_of = |remedy: String| CliError::new(stage.cause(), remedy);
    let (error, same_for_all) = match (code, stage.name) {
        ("ResourceNotFoundException", _) => (
            error_of(format!(
                "There is no function {name} there. Check the Region and --validate-function; a local stack gets it \
                 with `landfall up`."
            )),
            true,
        ),
        ("AccessDeniedException" | "AccessDenied", _) => (
            error_of(format!(
                "Your credentials need the permission lambda:InvokeFunction on {name}:{ALIAS}."
            )),
            true,
        ),
        (_, ErrorName::Throttled) => (CliError::of_call(&stage, validator.advice), false),
        (_, ErrorName::DependencyUnavailable) if code.is_empty() => {
            // Nobody answered, and nobody will answer the next question.
            (error_of(validator.advice.to_owned()), true)
        }
        (_, ErrorName::DependencyUnavailable) => (
            error_of("Lambda could not answer just now; run the same command again.".to_owned()),
            false,
        ),
        _ => (error_of(validator.advice.to_owned()), true),
    };
    Failure {
        error,
        same_for_all,
    }
}

/// The function ran and failed: its own error, or Lambda's word on how it ended.
fn failed(payload: &[u8], validator: &Validator) -> Failure {
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Diagnostic {
        error_type: String,
        error_message: String,
    }
    let diagnostic: Diagnostic = serde_json::from_slice(payload).unwrap_or_default();
    let kind = diagnostic.error_type.as_str();
    let message: Vec<String> = diagnostic.error_message.lines().map(clean).collect();
    let what = match (kind, message.join("\n")) {
        ("", message) if message.is_empty() => "it did not say why".to_owned(),
        ("", message) => message,
        (kind, message) => format!("{}: {message}", clean(kind)),
    };
    let name = &validator.function;
    let remedy = if TRANSIENT.contains(&kind) {
        "This may pass: run the same command again.".to_owned()
    } else {
        format!(
            "The log group /aws/lambda/{name} says more. A deployment that is older than this landfall does not know \
             the dry run: bring it up to date."
        )
    };
    Failure {
        error: CliError::new(format!("{name} failed: {what}"), remedy),
        // It depends on what was asked.
        same_for_all: false,
    }
}
