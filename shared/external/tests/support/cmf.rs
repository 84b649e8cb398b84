//! A Cloud Migration Factory on a local port, for the tests of the crates that share it by `#[path]`.
#![allow(dead_code, reason = "each test takes the part it needs")]

use std::sync::{Arc, Mutex, MutexGuard};

use aws_sdk_secretsmanager::Client as Secrets;
use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueOutput;
use aws_smithy_mocks::{RuleMode, mock, mock_client};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use landfall_domain::cmf::Weight;
use landfall_external::LazyHttp;
use landfall_external::cmf::Access;
use serde_json::{Value, json};

pub(crate) const TOKEN: &str = "eyJ.id-token.sig";

/// What it has, and how it is asked.
#[derive(Debug)]
pub(crate) struct Factory {
    /// `wave`, `app` and `server`: a list of records each.
    pub(crate) records: Value,
    /// Whether it wants the token of a sign-in.
    pub(crate) wants_token: bool,
    /// What signing in answers.
    pub(crate) login: (u16, String),
    /// Requests that are answered with a status of their own.
    pub(crate) faults: Vec<(&'static str, u16)>,
    /// Every request: method, path and, for a login, its body.
    pub(crate) calls: Vec<String>,
}

/// A factory on a port.
#[derive(Clone)]
pub(crate) struct Cmf {
    pub(crate) url: String,
    factory: Arc<Mutex<Factory>>,
}

impl Cmf {
    /// One that has these records and wants nobody to sign in.
    pub(crate) async fn serve(records: Value) -> Self {
        let factory = Arc::new(Mutex::new(Factory {
            records,
            wants_token: false,
            login: (200, json!(TOKEN).to_string()),
            faults: vec![],
            calls: vec![],
        }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new()
            .fallback(answer)
            .with_state(Arc::clone(&factory));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, factory }
    }

    pub(crate) fn factory(&self) -> MutexGuard<'_, Factory> {
        self.factory.lock().unwrap()
    }

    /// How a deployment gets there without signing in.
    pub(crate) fn access(&self, weight: Weight) -> Access {
        Access {
            url: format!("{}/cmf", self.url),
            login_url: None,
            secret_id: None,
            weight,
            http: LazyHttp::default(),
            secrets: secrets(r#"{"username": "landfall", "password": "s3cr&t"}"#),
        }
    }
}

/// A Secrets Manager in which every secret is this text.
pub(crate) fn secrets(text: &'static str) -> Secrets {
    let rule = mock!(Secrets::get_secret_value)
        .then_output(move || GetSecretValueOutput::builder().secret_string(text).build());
    mock_client!(aws_sdk_secretsmanager, RuleMode::MatchAny, [&rule])
}

async fn answer(
    State(factory): State<Arc<Mutex<Factory>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut factory = factory.lock().unwrap();
    let path = uri.path().trim_start_matches("/cmf");
    let body = String::from_utf8(body.to_vec()).unwrap();
    let call = format!("{method} {path}");
    let signs_in = path.ends_with("/login");
    factory.calls.push(if signs_in {
        format!("{call} {body}")
    } else {
        call.clone()
    });
    let reply =
        |status: u16, body: String| (StatusCode::from_u16(status).unwrap(), body).into_response();
    if let Some((_, status)) = factory.faults.iter().find(|(fault, _)| *fault == call) {
        return reply(*status, json!({"message": "as the test says"}).to_string());
    }
    if signs_in {
        let (status, text) = factory.login.clone();
        return reply(status, text);
    }
    let authorization = headers.get("authorization").map(|it| it.to_str().unwrap());
    if factory.wants_token && authorization != Some(TOKEN) {
        return reply(401, json!({"message": "Unauthorized"}).to_string());
    }
    let mut parts = path.trim_start_matches("/user/").split('/');
    let (schema, id) = (parts.next().unwrap().to_owned(), parts.next());
    let list = factory.records[&schema].as_array_mut().unwrap();
    let Some(id) = id else {
        return reply(200, json!(list).to_string());
    };
    let key = format!("{schema}_id");
    let Some(record) = list.iter_mut().find(|record| record[&key] == id) else {
        let text = format!("{schema} Id: {id} does not exist");
        return reply(400, json!({ "errors": [text] }).to_string());
    };
    if method == Method::GET {
        return reply(200, record.to_string());
    }
    let changes: Value = serde_json::from_str(&body).unwrap();
    let members = record.as_object_mut().unwrap();
    members.extend(changes.as_object().unwrap().clone());
    members.retain(|_, value| value != "");
    reply(
        200,
        json!({"ResponseMetadata": {"HTTPStatusCode": 200}}).to_string(),
    )
}
