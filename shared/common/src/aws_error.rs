//! AWS SDK errors turned into stage errors: the class decides the retry, the text is safe to show.

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use landfall_domain::{ErrorName, StageError};

/// Error codes by which AWS services say "slow down", over all services we call.
const THROTTLES: &[&str] = &[
    "BandwidthLimitExceeded",
    "PriorRequestNotComplete",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "SlowDown",
    "ThrottledException",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
    "TransactionInProgressException",
];

/// Error codes that mean a dependency is down for a while.
const UNAVAILABLE: &[&str] = &[
    "InternalError",
    "InternalFailure",
    "InternalServerError",
    "InternalServerException",
    "ServiceUnavailable",
    "ServiceUnavailableException",
];

/// Adds [`AwsResultExt::or_stage`] to the results of SDK calls.
pub trait AwsResultExt<T> {
    /// Turns an SDK error into a stage error. Throttling becomes `Throttled`; a time-out, a lost connection or
    /// a 5xx becomes `DependencyUnavailable`; anything else gets the name given here.
    fn or_stage(self, name: ErrorName, call: &str) -> Result<T, StageError>;
}

impl<T, E> AwsResultExt<T> for Result<T, SdkError<E, HttpResponse>>
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    fn or_stage(self, name: ErrorName, call: &str) -> Result<T, StageError> {
        self.map_err(|error| stage_error(&error, name, call))
    }
}

/// See [`AwsResultExt::or_stage`]; for code that first looks at the error itself.
pub fn stage_error<E>(error: &SdkError<E, HttpResponse>, name: ErrorName, call: &str) -> StageError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let code = code(error).unwrap_or("");
    let server_fault = error
        .raw_response()
        .is_some_and(|raw| raw.status().is_server_error());
    let class = match error {
        SdkError::TimeoutError(_) | SdkError::DispatchFailure(_) | SdkError::ResponseError(_) => {
            ErrorName::DependencyUnavailable
        }
        _ if THROTTLES.contains(&code) => ErrorName::Throttled,
        _ if server_fault || UNAVAILABLE.contains(&code) => ErrorName::DependencyUnavailable,
        _ => name,
    };
    let text = match error {
        SdkError::TimeoutError(_) => "did not answer in time".to_owned(),
        SdkError::DispatchFailure(_) => format!("could not be reached ({})", root_cause(error)),
        SdkError::ResponseError(_) => "gave an answer that cannot be read".to_owned(),
        _ => match message(error) {
            Some(message) if !message.is_empty() => format!("refused: {code}: {message}"),
            _ if code.is_empty() => match error.raw_response() {
                Some(raw) => format!(
                    "gave an answer that cannot be read (HTTP status {})",
                    raw.status()
                ),
                None => "failed before it was called".to_owned(),
            },
            _ => format!("refused: {code}"),
        },
    };
    StageError::new(class, format!("{call} {text}"))
}

/// The innermost of an error's causes: "no credentials", "connection refused" and the like.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// The service's error code, where the error came from the service.
pub fn code<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> Option<&str> {
    error
        .as_service_error()
        .and_then(ProvideErrorMetadata::code)
}

/// The service's own message.
pub fn message<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> Option<&str> {
    error
        .as_service_error()
        .and_then(ProvideErrorMetadata::message)
}
