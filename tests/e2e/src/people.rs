//! People with credentials of their own: IAM users of the stack's account, who order and answer through the operators' API.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sdk_iam::Client;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use serde_json::{Value, json};

use crate::Stack;

/// Somebody who may call the operators' API.
#[derive(Clone, Debug)]
pub struct Person {
    /// Their ARN.
    pub arn: String,
    credentials: Credentials,
}

impl Person {
    /// A new IAM user of the run, with the permission to call the API.
    pub async fn new(stack: &Stack, run: &str, name: &str) -> Self {
        let iam = Client::new(&stack.sdk(stack.home()));
        let user = format!("{name}-{run}");
        let made = iam.create_user().user_name(&user).send().await;
        let made = made.expect("CreateUser").user.expect("a user");
        let policy = json!({"Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Action": "execute-api:Invoke", "Resource": "*",
        }]});
        let put = iam
            .put_user_policy()
            .user_name(&user)
            .policy_name("operators")
            .policy_document(policy.to_string());
        put.send().await.expect("PutUserPolicy");
        let key = iam.create_access_key().user_name(&user).send().await;
        let key = key.expect("CreateAccessKey").access_key.expect("a key");
        Self {
            arn: made.arn,
            credentials: Credentials::new(
                key.access_key_id,
                key.secret_access_key,
                None,
                None,
                "a test",
            ),
        }
    }

    /// Answers at a gate; the API's HTTP status and answer.
    pub async fn answer(
        &self,
        stack: &Stack,
        id: &str,
        gate: &str,
        decision: &str,
    ) -> (u16, Value) {
        let order = json!({
            "migrationId": id, "gate": gate, "decision": decision, "reason": "as the test says",
        });
        self.send(stack, "approvals", &order).await
    }

    /// Gives an order; the API's HTTP status and answer.
    pub async fn order(&self, stack: &Stack, id: &str, order: &str) -> (u16, Value) {
        let order = json!({ "migrationId": id, "order": order, "reason": "as the test says" });
        self.send(stack, "orders", &order).await
    }

    /// Sends anything to a path of the API.
    pub async fn send(&self, stack: &Stack, path: &str, order: &Value) -> (u16, Value) {
        let url = format!("{}/{path}", stack.info.operator_api_url);
        let body = order.to_string();
        let identity = self.credentials.clone().into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(&stack.info.region)
            .name("execute-api")
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()
            .expect("parameters")
            .into();
        let own = [("content-type", "application/json")];
        let bytes = SignableBody::Bytes(body.as_bytes());
        let request =
            SignableRequest::new("POST", &url, own.into_iter(), bytes).expect("a request");
        let (signed, _) = sign(request, &params).expect("a signature").into_parts();
        let mut request = stack.http.post(&url).header(own[0].0, own[0].1);
        for (name, value) in signed.headers() {
            request = request.header(name, value);
        }
        let answer = request.body(body).send().await.expect("the operators' API");
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap_or_default();
        let said = serde_json::from_str(&text).unwrap_or_else(|_| Value::String(text));
        (status, said)
    }
}
