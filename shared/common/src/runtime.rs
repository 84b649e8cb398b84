//! The entry point of every function.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{AppName, BehaviorVersion, SdkConfig};
use jiff::Timestamp;
use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use landfall_domain::{ErrorName, StageError};
use serde_json::Value;
use tracing::Instrument as _;

use crate::config::Env;
use crate::{correlation, telemetry};

/// What a handler is told of its invocation.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// Lambda's request ID.
    pub request_id: String,
    /// The running function's ARN, which tells the account and Region of the deployment.
    pub function_arn: String,
    /// When it began; handlers take the time from here, so that tests can set it.
    pub now: Timestamp,
}

/// Runs a Lambda function: telemetry, configuration (everything missing is told at once), SDK configuration,
/// then one call of `handle` per event. Handlers get raw JSON and read it themselves, so that bad input
/// becomes an error of ours and not a type path of the runtime's.
///
/// # Errors
/// A configuration that is not usable, or the runtime API gone.
pub async fn lambda_main<D, L, H>(
    function: &'static str,
    load: L,
    handle: H,
) -> Result<(), lambda_runtime::Error>
where
    L: FnOnce(&SdkConfig, &mut Env<'_>) -> D,
    H: AsyncFn(&D, Value, Invocation) -> Result<Value, StageError>,
{
    let mut env = Env::from_process();
    telemetry::init(
        &env.optional("LANDFALL_LOG")
            .unwrap_or_else(|| "info".to_owned()),
    );
    let config = sdk_config(function).await;
    let deps = Arc::new(load(&config, &mut env));
    if let Err(error) = env.finish() {
        tracing::error!(function, "{error}");
        return Err(error.into());
    }
    let handle = &handle;
    lambda_runtime::run(service_fn(move |event: LambdaEvent<Value>| {
        let deps = Arc::clone(&deps);
        let invocation = Invocation {
            request_id: event.context.request_id.clone(),
            function_arn: event.context.invoked_function_arn.clone(),
            now: Timestamp::now(),
        };
        let correlation_id = correlation::of_event(&event.payload).unwrap_or_default();
        let span = telemetry::work_span(function, &invocation.request_id, correlation_id);
        async move {
            // Boxed: a handler's future holds those of every SDK call it makes, and the runtime's layers nest it
            // deeper than the compiler computes layouts.
            let work: Pin<Box<dyn Future<Output = _> + '_>> =
                Box::pin(handle(&deps, event.payload, invocation));
            work.await.map_err(|error| diagnostic(&error))
        }
        .instrument(span)
    }))
    .await
}

/// What the Lambda runtime reports: our error name as `errorType`, the cause as `errorMessage`. Logs the error
/// once, here at the boundary, with the context that nobody else sees.
pub fn diagnostic(error: &StageError) -> Diagnostic {
    if error.name == ErrorName::DependencyUnavailable {
        // The usual answer to "not ready yet", retried by the workflow; not worth a page.
        tracing::warn!(
            error = error.name.as_str(),
            context = error.context,
            "{}",
            error.message
        );
    } else {
        tracing::error!(
            error = error.name.as_str(),
            context = error.context,
            "{}",
            error.message
        );
    }
    Diagnostic {
        error_type: error.name.as_str().to_owned(),
        error_message: error.cause(),
    }
}

/// The SDK configuration of every function: a pinned behaviour version, three attempts, and time-outs, which
/// the SDK does not set by itself. The function's name goes into the user agent, so that CloudTrail tells which stage
/// made a call.
pub async fn sdk_config(function: &'static str) -> SdkConfig {
    let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12());
    if let Ok(name) = AppName::new(function) {
        loader = loader.app_name(name);
    }
    loader
        .retry_config(RetryConfig::standard().with_max_attempts(3))
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(Duration::from_secs(3))
                .operation_attempt_timeout(Duration::from_secs(8))
                .operation_timeout(Duration::from_secs(20))
                .build(),
        )
        .load()
        .await
}
