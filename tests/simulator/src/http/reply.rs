//! What happens to every API call around its answer: the call log, slow answers, lost answers.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::http::{HeaderMap, header};
use axum::response::Response;
use http_body::Frame;
use serde_json::{Value, json};

use crate::error::ApiError;
use crate::faults::{Kind, Rule, call};
use crate::sim::Sim;
use crate::world::World;

/// Old calls are forgotten: a simulator may run for days.
const KEPT_CALLS: usize = 50_000;

/// The application that a caller calls itself in its user agent (`app/…`, as the SDKs write it).
pub(super) fn application(headers: &HeaderMap) -> Option<&str> {
    let agent = headers.get(header::USER_AGENT)?.to_str().ok()?;
    agent.split(' ').find_map(|part| part.strip_prefix("app/"))
}

/// Writes a call to the log.
pub(super) fn log(
    world: &mut World,
    application: Option<&str>,
    service: &str,
    operation: &str,
    input: &Value,
    error: Option<&ApiError>,
) {
    let mut call = json!({
        "at": world.wall(), "service": service, "operation": operation, "ok": error.is_none(),
        "account": world.place.account, "region": world.place.region,
        "sourceServerIDs": call::servers(input), "resources": resources(input),
    });
    if let Some(application) = application {
        call["application"] = application.into();
    }
    if let Some(error) = error {
        call["error"] = error.name.clone().into();
        call["message"] = error.message.clone().into();
    }
    if world.calls.len() >= KEPT_CALLS {
        world.calls.drain(..KEPT_CALLS / 10);
    }
    world.calls.push(call);
}

/// Everything with an AWS identifier that a call names, wherever in its input: `subnet-0a1b2c3d`, `mi-…`, `s-…`.
fn resources(input: &Value) -> BTreeSet<String> {
    match input {
        Value::String(text) if is_identifier(text) => [text.clone()].into(),
        Value::Array(items) => items.iter().flat_map(resources).collect(),
        Value::Object(members) => members.values().flat_map(resources).collect(),
        _ => BTreeSet::new(),
    }
}

fn is_identifier(text: &str) -> bool {
    text.rsplit_once('-').is_some_and(|(kind, number)| {
        (8..=17).contains(&number.len())
            && number.bytes().all(|b| b.is_ascii_hexdigit())
            && !kind.is_empty()
            && kind.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')
    })
}

/// Holds an answer back, or loses it.
pub(super) async fn finish(sim: &Sim, response: Response, rule: Option<Rule>) -> Response {
    let Some(rule) = rule else { return response };
    if let Some(delay) = rule.delay() {
        tokio::time::sleep(delay).await;
    }
    if rule.kind == Kind::Hold {
        hold(sim, &rule).await;
    }
    if rule.kind != Kind::DropResponse {
        return response;
    }
    let mut lost = response;
    lost.headers_mut().remove(header::CONTENT_LENGTH);
    *lost.body_mut() = Body::new(Broken);
    lost
}

/// Waits for the release of held answers. A caller that dies meanwhile takes its call from the list: the server drops
/// the future of a connection that is gone.
async fn hold(sim: &Sim, rule: &Rule) {
    let mut releases = sim.releases.subscribe();
    let _held = Held::new(sim, rule);
    // The simulator is gone when nobody can release any more.
    let _ = releases.changed().await;
}

/// One entry of the list of held calls.
struct Held<'a> {
    sim: &'a Sim,
    number: u64,
}

impl<'a> Held<'a> {
    fn new(sim: &'a Sim, rule: &Rule) -> Self {
        let mut world = sim.world();
        let number = world.held.keys().next_back().map_or(1, |last| last + 1);
        let call = json!({
            "service": rule.service, "operation": rule.operation, "sourceServerIDs": rule.named, "since": world.wall(),
        });
        world.held.insert(number, call);
        drop(world);
        Self { sim, number }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.sim.world().held.remove(&self.number);
    }
}

/// A body that breaks the connection instead of coming.
struct Broken;

impl HttpBody for Broken {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        Poll::Ready(Some(Err(std::io::Error::other(
            "an injected fault lost this response",
        ))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_identifiers_that_a_call_names_are_found_wherever_they_stand() {
        let input = json!({
            "SubnetId.1": "subnet-0a1b2c3d", "nested": {"list": ["s-11111111111111111", "us-east-1", 7]},
            "name": "web-01", "token": "01a1fcda-b0d6-750c-964e-bbfd96723a95",
        });
        let wanted = ["s-11111111111111111", "subnet-0a1b2c3d"].map(str::to_owned);
        assert_eq!(resources(&input), wanted.into());
    }
}
