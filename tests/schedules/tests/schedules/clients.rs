//! The SDK's clients as in production, on a wire that ends in the simulator of this process. The wire has no socket, so
//! that nothing depends on the order in which the operating system wakes whom; and a retry waits no real time.

use std::sync::Arc;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_mgn::config::retry::RetryPartition;
use aws_sdk_mgn::config::{
    AsyncSleep, Credentials, SharedCredentialsProvider, Sleep, StalledStreamProtectionConfig,
};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use axum::http::Request;
use landfall_simulator::Simulator;

use crate::gate;
use crate::support::Fault;

/// Where everything is.
pub(crate) const REGION: &str = "eu-central-1";
/// Whose everything is.
pub(crate) const ACCOUNT: &str = "123456789012";

/// The configuration that the functions get.
pub(crate) fn sdk_config(simulator: &Arc<Simulator>) -> SdkConfig {
    let wire = Wire(Arc::clone(simulator));
    let client = http_client_fn(move |_, _| SharedHttpConnector::new(wire.clone()));
    let credentials = Credentials::new("test", "test", None, None, "test");
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new(REGION))
        .endpoint_url(simulator.url())
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .retry_config(RetryConfig::standard().with_max_attempts(3))
        .timeout_config(TimeoutConfig::disabled())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .sleep_impl(NoSleep)
        .http_client(client)
        .build()
}

/// MGN's client. The budget of retries is the schedule's own: what others spend must not change it.
pub(crate) fn mgn(config: &SdkConfig, schedule: &str) -> aws_sdk_mgn::Client {
    let config = aws_sdk_mgn::config::Builder::from(config);
    let partition = RetryPartition::new(format!("mgn-{schedule}"));
    aws_sdk_mgn::Client::from_conf(config.retry_partition(partition).build())
}

/// EC2's client, likewise.
pub(crate) fn ec2(config: &SdkConfig, schedule: &str) -> aws_sdk_ec2::Client {
    let config = aws_sdk_ec2::config::Builder::from(config);
    let partition = RetryPartition::new(format!("ec2-{schedule}"));
    aws_sdk_ec2::Client::from_conf(config.retry_partition(partition).build())
}

/// Service Quotas' client, likewise.
pub(crate) fn quotas(config: &SdkConfig, schedule: &str) -> aws_sdk_servicequotas::Client {
    let config = aws_sdk_servicequotas::config::Builder::from(config);
    let partition = RetryPartition::new(format!("quotas-{schedule}"));
    aws_sdk_servicequotas::Client::from_conf(config.retry_partition(partition).build())
}

/// A pause between two tries that takes no time.
#[derive(Clone, Copy, Debug)]
struct NoSleep;

impl AsyncSleep for NoSleep {
    fn sleep(&self, _: std::time::Duration) -> Sleep {
        Sleep::new(std::future::ready(()))
    }
}

#[derive(Clone, Debug)]
struct Wire(Arc<Simulator>);

impl HttpConnector for Wire {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let simulator = Arc::clone(&self.0);
        HttpConnectorFuture::new(async move {
            let operation = operation(&request);
            let fault = gate::pass(&operation);
            for _ in 0..gate::yields() {
                tokio::task::yield_now().await;
            }
            if matches!(fault, Some(Fault::Unavailable | Fault::Refused)) {
                return Err(lost());
            }
            let answer = simulator.answer(translated(&request)).await;
            let answer = answer.map_err(|_| {
                gate::note(format!("{operation} lost"));
                lost()
            });
            let (parts, body) = answer?.into_parts();
            if parts.status.as_u16() >= 429 {
                gate::note(format!("{operation} {}", parts.status));
            }
            if fault == Some(Fault::AnswerLost) {
                return Err(lost());
            }
            let status = parts.status.as_u16().try_into().unwrap();
            let mut response = HttpResponse::new(status, SdkBody::from(body.to_vec()));
            for (name, value) in &parts.headers {
                let value = value.to_str().unwrap().to_owned();
                response
                    .headers_mut()
                    .insert(name.as_str().to_owned(), value);
            }
            Ok(response)
        })
    }
}

fn lost() -> ConnectorError {
    ConnectorError::io("the connection broke".into())
}

/// What a request asks for: the path is MGN's operation, a header names Service Quotas', a form EC2's.
fn operation(request: &HttpRequest) -> String {
    if let Some(target) = request.headers().get("x-amz-target") {
        return target.rsplit('.').next().unwrap_or_default().to_owned();
    }
    let path = request.uri().split('?').next().unwrap_or_default();
    let last = path.rsplit('/').next().unwrap_or_default();
    if !last.is_empty() {
        return last.to_owned();
    }
    let body = String::from_utf8_lossy(request.body().bytes().unwrap_or_default()).into_owned();
    let mut members = body.split('&').filter_map(|member| member.split_once('='));
    let action = members.find(|(name, _)| *name == "Action");
    action.map_or_else(|| "?".to_owned(), |(_, action)| action.to_owned())
}

fn translated(request: &HttpRequest) -> Request<Vec<u8>> {
    let mut built = Request::builder()
        .method(request.method())
        .uri(request.uri());
    for (name, value) in request.headers() {
        built = built.header(name, value);
    }
    let body = request.body().bytes().unwrap_or_default().to_vec();
    built.body(body).unwrap()
}
