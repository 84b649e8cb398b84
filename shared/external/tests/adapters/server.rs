//! A local server that plays a list of answers, and what the adapters are reached with.

use std::sync::{Arc, Mutex};

use aws_sdk_secretsmanager::Client as Secrets;
use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueOutput;
use aws_smithy_mocks::{RuleMode, mock, mock_client};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use landfall_domain::{ErrorName, MigrationRequest, StageError};
use landfall_external::LazyHttp;
use landfall_external::source::{self, Access, Ec2Sources, Machine};
use serde_json::{Value, json};

pub(crate) const REFUSAL: ErrorName = ErrorName::CutoverError;

/// A request as it arrived.
pub(crate) struct Seen {
    pub(crate) line: String,
    pub(crate) authorization: String,
    /// The header that carries a vSphere session.
    pub(crate) session: String,
    pub(crate) body: String,
}

/// Answers every request with the next of a list of answers.
#[derive(Clone, Default)]
pub(crate) struct Server {
    answers: Arc<Mutex<Vec<(u16, Value)>>>,
    pub(crate) seen: Arc<Mutex<Vec<Seen>>>,
    pub(crate) url: String,
}

impl Server {
    pub(crate) async fn with(answers: impl IntoIterator<Item = (u16, Value)>) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self {
            answers: Arc::new(Mutex::new(answers.into_iter().collect())),
            url: format!("http://{}", listener.local_addr().unwrap()),
            ..Self::default()
        };
        let router = Router::new().fallback(answer).with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        server
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.seen
            .lock()
            .unwrap()
            .iter()
            .map(|seen| seen.line.clone())
            .collect()
    }
}

async fn answer(
    State(server): State<Server>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let header = |name: &str| {
        let value = headers.get(name).map(|value| value.to_str().unwrap());
        value.unwrap_or_default().to_owned()
    };
    server.seen.lock().unwrap().push(Seen {
        line: format!("{method} {uri}"),
        authorization: header("authorization"),
        session: header("vmware-api-session-id"),
        body: String::from_utf8(body.to_vec()).unwrap(),
    });
    let (status, body) = server.answers.lock().unwrap().remove(0);
    let body = match body {
        Value::Null => String::new(),
        // XML, as EC2 and STS speak it.
        Value::String(text) if text.starts_with('<') => text,
        body => body.to_string(),
    };
    // A session of vSphere's JSON API comes in a header.
    let session = [("vmware-api-session-id", "vim-session")];
    (StatusCode::from_u16(status).unwrap(), session, body).into_response()
}

pub(crate) fn secrets(text: &str) -> Secrets {
    let text = text.to_owned();
    let rule = mock!(Secrets::get_secret_value)
        .then_output(move || GetSecretValueOutput::builder().secret_string(&text).build());
    mock_client!(aws_sdk_secretsmanager, RuleMode::MatchAny, [&rule])
}

/// Secrets that nobody may read: whoever asks for one fails the test.
pub(crate) fn no_secrets() -> Secrets {
    mock_client!(
        aws_sdk_secretsmanager,
        RuleMode::MatchAny,
        &[] as &[&aws_smithy_mocks::Rule]
    )
}

/// An EC2 that nobody may call.
pub(crate) fn no_ec2() -> Ec2Sources {
    Ec2Sources::with_client(mock_client!(
        aws_sdk_ec2,
        RuleMode::MatchAny,
        &[] as &[&aws_smithy_mocks::Rule]
    ))
}

/// A request whose source is controlled so.
pub(crate) fn request(control: &Value) -> MigrationRequest {
    serde_json::from_value(json!({
        "migrationId": "mig-1", "appName": "app", "source": "physical", "target": "aws",
        "environment": "prod", "wave": "wave-1", "sourceVmId": "vm-1", "steps": ["switch"],
        "sourceControl": control,
    }))
    .unwrap()
}

/// Connects to the machine of a platform outside AWS.
pub(crate) async fn connect(
    control: &Value,
    secrets: &Secrets,
    allowed: &[&str],
) -> Result<Machine, StageError> {
    let access = Access {
        http: LazyHttp::default(),
        secrets: secrets.clone(),
        ec2: no_ec2(),
        allowed: allowed.iter().map(|&origin| origin.to_owned()).collect(),
        removable: vec![],
    };
    let machine = source::connect(&access, &request(control), REFUSAL).await?;
    Ok(machine.unwrap())
}
