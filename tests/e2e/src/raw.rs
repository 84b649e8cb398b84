//! Calls of AWS services by hand: their SDKs are large crates, and a test has one or two questions.
//!
//! The emulator tells services apart by the scope of the signature, and the keys of an account's root need no more.

use serde_json::Value;

use crate::Stack;
use crate::account::Place;
use reqwest::Method;

fn authorization(stack: &Stack, place: Place<'_>, service: &str) -> String {
    let Place { account, region } = place;
    let key = if account == stack.info.account_id {
        "test"
    } else {
        account
    };
    format!(
        "AWS4-HMAC-SHA256 Credential={key}/20260101/{region}/{service}/aws4_request, SignedHeaders=host, Signature=x"
    )
}

/// Asks `MiniStack`'s EC2; its XML.
pub async fn ec2(stack: &Stack, place: Place<'_>, members: &[(&str, &str)]) -> String {
    // Identifiers and names of operations need no encoding.
    let members = members
        .iter()
        .map(|(name, value)| format!("&{name}={value}"));
    let body = format!("Version=2016-11-15{}", members.collect::<String>());
    let request = stack
        .http
        .post(&stack.info.ministack_url)
        .header("authorization", authorization(stack, place, "ec2"))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(body);
    let answer = request.send().await.expect("EC2");
    answer.text().await.expect("EC2 answers in text")
}

/// Asks EC2 as the functions do, through the simulator; its XML.
pub async fn simulated_ec2(stack: &Stack, query: &str) -> String {
    let request = stack
        .http
        .post(&stack.info.simulator_url)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(format!("Version=2016-11-15&{query}"));
    let answer = request.send().await.expect("EC2");
    assert!(answer.status().is_success(), "{query}: {answer:?}");
    answer.text().await.expect("EC2 answers in text")
}

/// The text of the first such element.
pub fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    Some(rest.split_once(&format!("</{name}>"))?.0)
}

/// Calls an operation of a JSON service of `MiniStack`, at home: `target` is the prefix and the operation, as in
/// `Logs_20140328.FilterLogEvents`.
pub async fn json(stack: &Stack, service: &str, target: &str, body: &Value) -> Value {
    json_in(stack, stack.home(), service, target, body).await
}

/// The same, in another account or Region.
pub async fn json_in(
    stack: &Stack,
    place: Place<'_>,
    service: &str,
    target: &str,
    body: &Value,
) -> Value {
    let request = stack
        .http
        .post(&stack.info.ministack_url)
        .header("authorization", authorization(stack, place, service))
        .header("content-type", "application/x-amz-json-1.1")
        .header("x-amz-target", target)
        .body(body.to_string());
    let answer = request.send().await.expect("MiniStack");
    let (status, text) = (answer.status(), answer.text().await.unwrap_or_default());
    assert!(status.is_success(), "{target}: {text}");
    serde_json::from_str(&text).expect("a JSON service answers in JSON")
}

/// GETs from a REST service of `MiniStack`, at home.
pub async fn get(stack: &Stack, service: &str, path: &str) -> String {
    let request = stack
        .http
        .get(format!("{}{path}", stack.info.ministack_url))
        .header("authorization", authorization(stack, stack.home(), service));
    let answer = request.send().await.expect("MiniStack");
    let (status, text) = (answer.status(), answer.text().await.unwrap_or_default());
    assert!(status.is_success(), "{path}: {text}");
    text
}

/// Calls an operation of Lambda, below `/2015-03-31/functions/`, at home; without a body it only asks.
///
/// # Panics
/// When it is refused.
pub async fn lambda(stack: &Stack, method: Method, path: &str, body: Option<&Value>) -> Value {
    let url = format!("{}/2015-03-31/functions/{path}", stack.info.ministack_url);
    let mut request = stack.http.request(method, url).header(
        "authorization",
        authorization(stack, stack.home(), "lambda"),
    );
    if let Some(body) = body {
        request = request.json(body);
    }
    let answer = request.send().await.expect("Lambda");
    let (status, text) = (answer.status(), answer.text().await.unwrap_or_default());
    assert!(status.is_success(), "{path}: {text}");
    serde_json::from_str(&text).expect("Lambda answers in JSON")
}

/// Asks the deployed pre-flight for a dry run of a request; its answer.
pub async fn validate(stack: &Stack, request: &Value) -> Value {
    let function = &stack.info.function_names["validate-input"];
    let event = serde_json::json!({"dryRun": true, "request": request});
    let path = format!("{function}/invocations");
    lambda(stack, Method::POST, &path, Some(&event)).await
}

/// Calls an operation of MGN in a place.
pub async fn mgn(stack: &Stack, place: Place<'_>, operation: &str, body: &Value) -> Value {
    let request = stack
        .http
        .post(format!("{}/{operation}", stack.info.simulator_url))
        .header("authorization", authorization(stack, place, "mgn"))
        .json(body);
    let answer = request.send().await.expect("MGN");
    let (status, text) = (answer.status(), answer.text().await.unwrap_or_default());
    assert!(status.is_success(), "{operation}: {text}");
    serde_json::from_str(&text).unwrap_or(Value::Null)
}

/// Asks `MiniStack`'s Route 53, whose API is XML by path below `/2013-04-01/`; its answer.
pub async fn route53(stack: &Stack, method: Method, path: &str, body: &str) -> String {
    let url = format!("{}/2013-04-01/{path}", stack.info.ministack_url);
    let request = stack
        .http
        .request(method, url)
        .header(
            "authorization",
            authorization(stack, stack.home(), "route53"),
        )
        .header("content-type", "text/xml")
        .body(body.to_owned());
    let answer = request.send().await.expect("Route 53");
    let (status, text) = (
        answer.status(),
        answer.text().await.expect("Route 53 answers in text"),
    );
    assert!(status.is_success(), "{path} is refused: {text}");
    text
}
