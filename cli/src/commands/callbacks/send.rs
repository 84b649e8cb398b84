//! One order to the function that delivers.

use aws_sdk_lambda::primitives::Blob;
use landfall_common::AwsResultExt as _;
use landfall_domain::ErrorName;
use serde::Deserialize;
use serde_json::json;

use super::queue::Waiting;
use crate::error::CliError;
use crate::output::text::clean;
use crate::target::FailedCallbacks;

/// The alias through which every caller reaches a function, see terraform/modules/function.
const ALIAS: &str = "live";

/// What became of it.
#[derive(Debug, Deserialize)]
pub(super) struct Answer {
    pub(super) delivered: bool,
    /// The receiver's status, or why it was not delivered.
    pub(super) outcome: String,
}

/// What Lambda says of a function that failed.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Failure {
    error_type: String,
    error_message: String,
}

/// Has a message delivered once.
pub(super) async fn send(place: &FailedCallbacks, message: &Waiting) -> Result<Answer, CliError> {
    let Ok(parked) = &message.content else {
        return Err(CliError::new(
            "the message cannot be read",
            "Somebody else put it there: look at it, and take it out.",
        ));
    };
    let order = json!({
        "action": "redeliver", "correlationId": parked.correlation_id, "message": parked,
    });
    let output = place
        .lambda
        .invoke()
        .function_name(&place.function)
        .qualifier(ALIAS)
        .payload(Blob::new(order.to_string()))
        .send()
        .await
        .or_stage(ErrorName::PrerequisiteError, "lambda:InvokeFunction")
        .map_err(|error| CliError::of_call(&error, place.advice))?;
    let payload = output.payload().map(AsRef::as_ref).unwrap_or_default();
    let log = format!("The log group /aws/lambda/{} says more.", place.function);
    if output.function_error().is_some() {
        let failure: Failure = serde_json::from_slice(payload).unwrap_or_default();
        let (kind, message) = (clean(&failure.error_type), clean(&failure.error_message));
        return Err(CliError::new(
            format!("{} failed: {kind}: {message}", place.function),
            log,
        ));
    }
    serde_json::from_slice(payload).map_err(|error| {
        CliError::new(
            format!(
                "{} gave an answer that cannot be read: {error}",
                place.function
            ),
            log,
        )
    })
}
