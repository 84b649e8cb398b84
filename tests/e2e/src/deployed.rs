//! A function under another environment, for as long as a test needs it.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{Stack, raw};

/// The alias that every caller goes through.
const ALIAS: &str = "live";

/// What a function was before.
#[derive(Debug)]
pub struct Before {
    function: String,
    variables: Value,
    version: Value,
}

/// Deploys a function anew with a variable more: a version of its own, to which the alias moves.
pub async fn with_variable(stack: &Stack, function: &str, name: &str, value: &str) -> Before {
    let function = stack.info.function_names[function].clone();
    let configuration = format!("{function}/configuration");
    let now = raw::lambda(stack, Method::GET, &configuration, None).await;
    let variables = now["Environment"]["Variables"].clone();
    let alias = format!("{function}/aliases/{ALIAS}");
    let alias = raw::lambda(stack, Method::GET, &alias, None).await;
    let mut more = variables.clone();
    more[name] = value.into();
    configure(stack, &function, &more).await;
    let versions = format!("{function}/versions");
    let published = raw::lambda(stack, Method::POST, &versions, Some(&json!({}))).await;
    point(stack, &function, &published["Version"]).await;
    Before {
        function,
        variables,
        version: alias["FunctionVersion"].clone(),
    }
}

/// Moves the alias back, and gives the function its variables back.
pub async fn restore(stack: &Stack, before: &Before) {
    point(stack, &before.function, &before.version).await;
    configure(stack, &before.function, &before.variables).await;
}

async fn configure(stack: &Stack, function: &str, variables: &Value) {
    let path = format!("{function}/configuration");
    let body = json!({"Environment": {"Variables": variables}});
    raw::lambda(stack, Method::PUT, &path, Some(&body)).await;
}

async fn point(stack: &Stack, function: &str, version: &Value) {
    let path = format!("{function}/aliases/{ALIAS}");
    let body = json!({"FunctionVersion": version});
    raw::lambda(stack, Method::PUT, &path, Some(&body)).await;
}
