//! What an operator keeps in Secrets Manager for a deployment, as the local stack has it.

use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::error::DisplayErrorContext;
use aws_sdk_secretsmanager::operation::create_secret::CreateSecretError;

use super::{REGION, StackError};

/// The name of the secret with the CMDB's account.
pub(super) const CMDB: &str = "landfall/cmdb";
/// The one account that the simulated CMDB lets in (tests/simulator/README.md).
const CMDB_ACCOUNT: &str =
    r#"{"username": "landfall@cmdb.local", "password": "simulated-cmdb-password"}"#;

/// Keeps the secrets, as often as one likes.
pub(super) async fn store(endpoint: &str) -> Result<(), StackError> {
    let config = aws_config::defaults(BehaviorVersion::v2026_01_12())
        .region(Region::new(REGION))
        .endpoint_url(endpoint)
        .credentials_provider(Credentials::new("test", "test", None, None, "local stack"))
        .load()
        .await;
    keep(&Client::new(&config), endpoint, CMDB, CMDB_ACCOUNT).await
}

async fn keep(
    client: &Client,
    endpoint: &str,
    name: &'static str,
    text: &str,
) -> Result<(), StackError> {
    let refused = |problem: String| StackError::Secret {
        url: endpoint.to_owned(),
        name,
        problem,
    };
    let created = client.create_secret().name(name).secret_string(text).send();
    match created.await {
        Ok(_) => return Ok(()),
        // From the `up` before; its content may be an older one.
        Err(error)
            if error
                .as_service_error()
                .is_some_and(CreateSecretError::is_resource_exists_exception) => {}
        Err(error) => return Err(refused(DisplayErrorContext(&error).to_string())),
    }
    let put = client
        .put_secret_value()
        .secret_id(name)
        .secret_string(text);
    match put.send().await {
        Ok(_) => Ok(()),
        Err(error) => Err(refused(DisplayErrorContext(&error).to_string())),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use axum::Router;
    use axum::extract::State;
    use axum::http::{HeaderMap, StatusCode};

    use super::*;

    type Calls = Arc<Mutex<Vec<String>>>;

    /// A Secrets Manager that knows one secret from the second call on.
    async fn answer(
        State(calls): State<Calls>,
        headers: HeaderMap,
        body: String,
    ) -> (StatusCode, &'static str) {
        let target = headers["x-amz-target"].to_str().unwrap_or_default();
        let operation = target.rsplit('.').next().unwrap_or_default().to_owned();
        let mut calls = calls.lock().unwrap();
        let again = calls.contains(&operation);
        assert!(body.contains("simulated-cmdb-password"), "{body}");
        calls.push(operation.clone());
        if operation == "CreateSecret" && again {
            return (
                StatusCode::BAD_REQUEST,
                r#"{"__type": "ResourceExistsException", "message": "there is one"}"#,
            );
        }
        (StatusCode::OK, "{}")
    }

    #[tokio::test]
    async fn a_secret_is_kept_and_kept_again() {
        let calls = Calls::default();
        let router = Router::new()
            .fallback(answer)
            .with_state(Arc::clone(&calls));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        store(&url).await.unwrap();
        store(&url).await.unwrap();
        assert_eq!(
            *calls.lock().unwrap(),
            ["CreateSecret", "CreateSecret", "PutSecretValue"]
        );
    }
}
