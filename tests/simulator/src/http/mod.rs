//! One port for everything: which service a request is for, by path and headers.

mod aws;
mod health;
mod reply;
mod route53;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::control;
use crate::sim::Sim;
use crate::source_apis::{Answer, azure, cmdb, cmf, vsphere};
use crate::switches::Switch;

/// No request of any simulated service is larger.
const LARGEST: usize = 8 << 20;

/// The routes.
pub(crate) fn router(sim: Arc<Sim>) -> Router {
    // Paths are matched as they arrive: an ARN in a path is one percent-encoded segment.
    Router::new().fallback(route).with_state(sim)
}

/// Answers one request.
pub(crate) async fn route(State(sim): State<Arc<Sim>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, LARGEST).await else {
        return (
            StatusCode::PAYLOAD_TOO_LARGE,
            "the body is too large or broke off",
        )
            .into_response();
    };
    let path = parts.uri.path().to_owned();
    let query: Vec<(String, String)> =
        form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes())
            .into_owned()
            .collect();
    let method = parts.method.as_str();
    let (first, rest) = path
        .trim_start_matches('/')
        .split_once('/')
        .unwrap_or((path.trim_start_matches('/'), ""));
    match first {
        "_sim" => plain(&control::answer(&sim, method, rest, &query, &body).await),
        "sink" if method == "POST" => sink(&sim, rest, &parts.headers, &body),
        "targets" if method == "GET" => plain(&health::target(&sim.world(), rest)),
        "sources" if method == "GET" => plain(&health::source(&sim.world(), rest)),
        "cmf" | "cmdb" | "azure" | "vsphere" => {
            source(&sim, first, method, rest, &query, &parts.headers, &body).await
        }
        _ if path.starts_with(route53::PREFIX) => {
            let address = parts
                .uri
                .path_and_query()
                .map_or(path.as_str(), |it| it.as_str());
            route53::answer(&sim, method, address, &query, &parts.headers, &body).await
        }
        _ => aws::answer(&sim, method, &path, &query, &parts.headers, &body).await,
    }
}

fn plain(answer: &Answer) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = if answer.body.is_null() {
        status.into_response()
    } else {
        (
            status,
            [(header::CONTENT_TYPE, "application/json")],
            answer.body.to_string(),
        )
            .into_response()
    };
    if let Some((name, value)) = &answer.header
        && let Ok(value) = HeaderValue::from_str(value)
    {
        response.headers_mut().insert(*name, value);
    }
    response
}

fn sink(sim: &Sim, name: &str, headers: &HeaderMap, body: &Bytes) -> Response {
    let headers: BTreeMap<String, String> = headers
        .iter()
        .map(|(name, value)| {
            (
                name.as_str().to_owned(),
                String::from_utf8_lossy(value.as_bytes()).into_owned(),
            )
        })
        .collect();
    let status = sim.world().sink.receive(
        name,
        headers,
        body,
        sim.callback_secret.as_deref(),
        sim.now(),
    );
    StatusCode::from_u16(status)
        .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
        .into_response()
}

async fn source(
    sim: &Sim,
    system: &str,
    method: &str,
    path: &str,
    query: &[(String, String)],
    headers: &HeaderMap,
    body: &Bytes,
) -> Response {
    let path = percent_encoding::percent_decode_str(path)
        .decode_utf8_lossy()
        .into_owned();
    let mut operation = format!("{method} /{path}");
    if let Some((_, action)) = query.iter().find(|(name, _)| name == "action") {
        operation = format!("{operation}?action={action}");
    }
    let named: Vec<_> = path.split('/').collect();
    let rule = sim.world().meet(system, &operation, &json!(named));
    if let Some(refusal) = rule.as_ref().and_then(crate::faults::Rule::refusal) {
        reply::log(
            &mut sim.world(),
            None,
            system,
            &operation,
            &Value::Null,
            Some(&refusal),
        );
        return plain(&Answer::new(
            refusal.status,
            json!({"error": {"code": refusal.name, "message": refusal.message}}),
        ));
    }
    let input: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    let answer = {
        let mut world = sim.world();
        let answer = match system {
            "cmf" => {
                let wants_token = world.switches.is(Switch::CmfToken, "on");
                let authorization = headers.get(header::AUTHORIZATION);
                let request = cmf::Request {
                    method,
                    path: &path,
                    authorization: authorization.and_then(|it| it.to_str().ok()),
                    body: &input,
                };
                cmf::answer(&mut world.sources, &request, wants_token)
            }
            "cmdb" => {
                let wants_account = world.switches.is(Switch::CmdbAccount, "on");
                let authorization = headers.get(header::AUTHORIZATION);
                let request = cmdb::Request {
                    method,
                    path: &path,
                    authorization: authorization.and_then(|it| it.to_str().ok()),
                    body: &input,
                };
                cmdb::answer(&mut world.sources, &request, wants_account)
            }
            "vsphere" => {
                let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
                let request = vsphere::Request {
                    method,
                    path: &path,
                    query,
                    authorization: text(header::AUTHORIZATION.as_str()),
                    session: text(vsphere::SESSION_HEADER),
                    body: &input,
                };
                vsphere::answer(&mut world, &request)
            }
            _ => azure::answer(
                &mut world,
                method,
                &path,
                headers
                    .get(header::AUTHORIZATION)
                    .and_then(|it| it.to_str().ok()),
                &input,
            ),
        };
        reply::log(&mut world, None, system, &operation, &Value::Null, None);
        answer
    };
    reply::finish(sim, plain(&answer), rule).await
}

/// A body of JSON.
fn json_body(value: &Value) -> Body {
    Body::from(value.to_string())
}
