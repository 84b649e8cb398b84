//! The `landfall` binary, and an AWS of a test's own to run it against.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use serde_json::Value;

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// Its path and query.
    pub(crate) path: String,
    /// The operation, where a header names it.
    pub(crate) operation: String,
    /// Who signed it, for which service, and how.
    pub(crate) authorization: String,
    /// Its body.
    pub(crate) body: Value,
}

/// A server that plays AWS on this machine for as long as the test runs.
pub(crate) struct Aws {
    /// Where it listens.
    pub(crate) url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Aws {
    /// A server that answers each request as it is told.
    pub(crate) async fn new<F>(answer: impl Fn(Seen) -> F + Clone + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Response> + Send,
    {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&seen);
        let respond = async move |uri: Uri, headers: HeaderMap, body: Bytes| {
            let target = headers.get("x-amz-target");
            let signed = headers.get("authorization");
            let request = Seen {
                path: uri.to_string(),
                operation: target.map_or("", |it| it.to_str().unwrap()).to_owned(),
                authorization: signed.map_or("", |it| it.to_str().unwrap()).to_owned(),
                body: serde_json::from_slice(&body).unwrap_or_default(),
            };
            noted.lock().unwrap().push(request.clone());
            answer(request).await
        };
        let router = Router::new().fallback(respond);
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, seen }
    }

    /// Every request so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

/// An answer with a JSON body.
pub(crate) fn json(
    status: u16,
    headers: &[(&'static str, &'static str)],
    body: &Value,
) -> Response {
    let mut response = body.to_string().into_response();
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    for (name, value) in headers {
        response.headers_mut().insert(*name, value.parse().unwrap());
    }
    response
}

/// How a run of `landfall` ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A folder of a test's own, in which nothing names a deployment.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        let path = std::env::temp_dir().join(format!("landfall-cli-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    /// With a file in it.
    pub(crate) fn with(self, name: &str, text: &str) -> Self {
        std::fs::write(self.0.join(name), text).unwrap();
        self
    }

    /// Runs `landfall` there, with nothing in its environment but what is given.
    pub(crate) async fn landfall(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Ended {
        let mut command = Command::new(env!("CARGO_BIN_EXE_landfall"));
        command
            .args(arguments)
            .env_clear()
            .env("HOME", &self.0)
            // A refusal that may pass need not be waited out.
            .env("AWS_MAX_ATTEMPTS", "1")
            .envs(environment.iter().copied())
            .current_dir(&self.0)
            .stdin(Stdio::null());
        let output = tokio::task::spawn_blocking(move || command.output().unwrap());
        let output = output.await.unwrap();
        Ended {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
