//! AWS's protocols: MGN's REST-JSON by path, JSON 1.1 by `X-Amz-Target`, the query protocol of EC2 and IAM by form.
//! A call is answered in the account and Region that it was signed for.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{json_body, reply};
use crate::caller::Credential;
use crate::error::{ApiError, ApiResult};
use crate::faults::Rule;
use crate::mgn::{self, validate};
use crate::resign::Protocol;
use crate::sim::Sim;
use crate::switches::Switch;
use crate::world::place::Place;
use crate::{caller, ec2_proxy, ec2_world, iam, quotas, ssm};

/// The members of a form.
type Form = BTreeMap<String, String>;

/// Answers whatever is none of the simulator's own paths.
pub(super) async fn answer(
    sim: &Arc<Sim>,
    method: &str,
    path: &str,
    query: &[(String, String)],
    headers: &HeaderMap,
    body: &Bytes,
) -> Response {
    if path != "/" {
        return mgn_call(sim, method, path, query, headers, body).await;
    }
    if method != "POST" {
        return (StatusCode::OK, "Landfall simulator: see GET /_sim/health\n").into_response();
    }
    let target = headers
        .get("x-amz-target")
        .and_then(|v| v.to_str().ok())
        .unwrap_or_default();
    match target.split_once('.') {
        Some(("AmazonSSM", operation)) => json_call(sim, "ssm", operation, headers, body).await,
        Some(("ServiceQuotasV20190624", operation)) => {
            json_call(sim, "servicequotas", operation, headers, body).await
        }
        Some((service, _)) => {
            let error = ApiError::new(
                "UnknownOperationException",
                400,
                format!("The simulator does not serve {service}: use MiniStack's endpoint."),
            );
            json_11(&Err(error))
        }
        None => form_call(sim, headers, body).await,
    }
}

async fn mgn_call(
    sim: &Arc<Sim>,
    method: &str,
    path: &str,
    query: &[(String, String)],
    headers: &HeaderMap,
    body: &Bytes,
) -> Response {
    let Some((name, operation)) = mgn_operation(method, path) else {
        let error = ApiError::new(
            "UnknownOperationException",
            404,
            format!("There is no {method} {path}."),
        );
        return rest_json(404, &Err(error));
    };
    let input = match mgn_input(method, path, query, body) {
        Ok(input) => input,
        Err(error) => return rest_json(400, &Err(error)),
    };
    if name.ends_with("LaunchConfiguration") {
        // A server's launch template is made when the server appears: nobody sees the one without the other. In a task of its
        // own, for a caller that gives up takes this one with it, and what the world has asked for would never be done.
        let sim = Arc::clone(sim);
        if let Err(error) = tokio::spawn(async move { sim.settle().await }).await {
            tracing::error!(%error, "what the world asked for was not done");
        }
    }
    let place = caller::place(sim, headers).await;
    let (result, rule) = {
        let mut world = sim.world_at(&place);
        let rule = world.meet("mgn", name, &input);
        let result = match unsigned(headers).or_else(|| rule.as_ref().and_then(Rule::refusal)) {
            Some(refusal) => Err(refusal),
            None => mgn::answer(&mut world, name, &input),
        };
        let application = reply::application(headers);
        reply::log(
            &mut world,
            application,
            "mgn",
            name,
            &input,
            result.as_ref().err(),
        );
        (result, rule)
    };
    reply::finish(sim, rest_json(operation.status, &result), rule).await
}

fn mgn_operation(method: &str, path: &str) -> Option<(&'static str, &'static validate::Operation)> {
    let name = if path.starts_with("/tags/") {
        match method {
            "GET" => "ListTagsForResource",
            "POST" => "TagResource",
            "DELETE" => "UntagResource",
            _ => return None,
        }
    } else {
        validate::names().find(|name| path.strip_prefix('/') == Some(*name))?
    };
    Some((
        name,
        validate::operation(name).filter(|op| op.method == method)?,
    ))
}

fn mgn_input(method: &str, path: &str, query: &[(String, String)], body: &Bytes) -> ApiResult {
    let mut input: Map<String, Value> = if body.is_empty() || method != "POST" {
        Map::new()
    } else {
        serde_json::from_slice(body).map_err(|e| {
            ApiError::validation(
                "cannotParse",
                format!("The body is not a JSON object: {e}"),
                &[],
            )
        })?
    };
    if let Some(arn) = path.strip_prefix("/tags/") {
        let arn = percent_encoding::percent_decode_str(arn).decode_utf8_lossy();
        input.insert("resourceArn".into(), arn.into_owned().into());
    }
    for (name, value) in query {
        match name.as_str() {
            "tagKeys" => {
                let keys = input.entry("tagKeys").or_insert_with(|| json!([]));
                if let Some(keys) = keys.as_array_mut() {
                    keys.push(value.clone().into());
                }
            }
            "maxResults" => {
                let number = value
                    .parse::<i64>()
                    .map_err(|_| ApiError::field("maxResults", "is not a whole number"))?;
                input.insert("maxResults".into(), number.into());
            }
            other => {
                input.insert(other.to_owned(), value.clone().into());
            }
        }
    }
    Ok(input.into())
}

/// Signatures are not verified; their absence is what AWS answers first.
fn unsigned(headers: &HeaderMap) -> Option<ApiError> {
    (!headers.contains_key(header::AUTHORIZATION)).then(|| {
        ApiError::new(
            "MissingAuthenticationTokenException",
            403,
            "Missing Authentication Token",
        )
    })
}

async fn json_call(
    sim: &Sim,
    service: &str,
    operation: &str,
    headers: &HeaderMap,
    body: &Bytes,
) -> Response {
    let Ok(input) = serde_json::from_slice::<Value>(if body.is_empty() { b"{}" } else { body })
    else {
        return json_11(&Err(ApiError::new(
            "SerializationException",
            400,
            "The body is not JSON.",
        )));
    };
    let place = caller::place(sim, headers).await;
    let (result, rule) = {
        let mut world = sim.world_at(&place);
        let rule = world.meet(service, operation, &input);
        let result = match unsigned(headers).or_else(|| rule.as_ref().and_then(Rule::refusal)) {
            Some(refusal) => Some(Err(refusal)),
            None if service == "ssm" => ssm::answer(&mut world, operation, &input),
            None => Some(quotas::answer(&world, operation, &input)),
        };
        reply::log(
            &mut world,
            reply::application(headers),
            service,
            operation,
            &input,
            result.as_ref().and_then(|r| r.as_ref().err()),
        );
        (result, rule)
    };
    let response = if let Some(result) = result {
        json_11(&result)
    } else {
        let target = format!("AmazonSSM.{operation}");
        match pass(sim, &place, Protocol::Ssm(&target), body).await {
            Ok(response) => response,
            Err(why) => json_11(&Err(ApiError::new("Unavailable", 503, why))),
        }
    };
    reply::finish(sim, response, rule).await
}

async fn form_call(sim: &Sim, headers: &HeaderMap, body: &Bytes) -> Response {
    let form: Form = form_urlencoded::parse(body).into_owned().collect();
    let service = match Credential::of(headers).service {
        Some("iam") => "iam",
        _ => "ec2",
    };
    let Some(action) = form.get("Action").cloned() else {
        let message = "The request names neither an X-Amz-Target nor an Action.";
        return refused(service, &ApiError::new("MissingAction", 400, message));
    };
    let place = caller::place(sim, headers).await;
    let rule = {
        let mut world = sim.world_at(&place);
        let input = json!(form);
        let rule = world.meet(service, &action, &input);
        let refusal = rule.as_ref().and_then(Rule::refusal);
        let application = reply::application(headers);
        reply::log(
            &mut world,
            application,
            service,
            &action,
            &input,
            refusal.as_ref(),
        );
        if let Some(refusal) = refusal {
            return refused(service, &refusal);
        }
        rule
    };
    let answer = match (service, action.as_str()) {
        ("ec2", "DescribeInstanceTypeOfferings") => {
            Ok(xml(200, ec2_proxy::offerings(&form, &place.region)))
        }
        // MiniStack has CreateSnapshot alone.
        ("ec2", "CreateSnapshots") => create_snapshots(sim, &place, &form).await,
        // MiniStack has no such operation; what it would change is not looked at by anybody here.
        ("ec2", "ModifyInstanceAttribute") => Ok(xml(200, ec2_proxy::done(&action))),
        ("ec2", "GetEbsEncryptionByDefault" | "GetEbsDefaultKmsKeyId") => {
            let ebs = sim.world_at(&place).here.ebs.clone();
            Ok(xml(200, ec2_proxy::ebs(&action, &ebs)))
        }
        ("ec2", "DescribeInstances" | "DescribeInstanceStatus")
            if answered_here(sim, &place, &form) =>
        {
            let world = sim.world_at(&place);
            ec2_world::describe(&world, &form).map(|body| xml(200, body))
        }
        ("iam", "SimulatePrincipalPolicy") => simulate(sim, &place, &form).await,
        _ => {
            let passed = pass(sim, &place, Protocol::Form(service), body).await;
            passed.map_err(|why| ApiError::new("Unavailable", 503, why))
        }
    };
    let response = answer.unwrap_or_else(|error| refused(service, &error));
    reply::finish(sim, response, rule).await
}

/// Whether instances are described from the simulator's own world: where there is no other, and where status checks must
/// not become ok.
fn answered_here(sim: &Sim, place: &Place, form: &Form) -> bool {
    sim.ministack.is_none() || ec2_world::is_held_back(&sim.world_at(place), form)
}

/// The policy simulation, which MiniStack answers without conditions and for one resource only.
async fn simulate(sim: &Sim, place: &Place, form: &Form) -> ApiResult<Response> {
    let each = sim
        .world()
        .switches
        .is(Switch::SimulationResults, "resource");
    let ministack = sim.ministack.as_ref().map(|it| it.at(place));
    let body = iam::simulate(ministack.as_ref(), place, form, each).await?;
    Ok(xml(200, body))
}

/// Takes a snapshot of each of an instance's volumes, one by one, as `MiniStack` can.
async fn create_snapshots(sim: &Sim, place: &Place, form: &Form) -> ApiResult<Response> {
    let unavailable = |why: String| ApiError::new("Unavailable", 503, why);
    let proxy = sim.proxy.as_ref().ok_or_else(|| {
        unavailable("The simulator was started without --ministack-url.".to_owned())
    })?;
    let (status, body) = ec2_proxy::create_snapshots(proxy, place, form)
        .await
        .map_err(|error| unavailable(format!("MiniStack did not answer: {error}")))?;
    Ok(xml(status, body))
}

/// A refusal in the service's own XML.
fn refused(service: &str, error: &ApiError) -> Response {
    let throttled = error.name == "ThrottlingException";
    if service == "iam" {
        let (name, status) = if throttled {
            ("Throttling", 400)
        } else {
            (error.name.as_str(), error.status)
        };
        return xml(status, iam::error(name, status, &error.message));
    }
    // EC2 has its own name for it.
    let (name, status) = if throttled {
        ("RequestLimitExceeded", 503)
    } else {
        (error.name.as_str(), error.status)
    };
    xml(status, ec2_proxy::error(name, &error.message))
}

/// Passes a request on to `MiniStack`; the error says why there is no answer.
async fn pass(
    sim: &Sim,
    place: &Place,
    protocol: Protocol<'_>,
    body: &Bytes,
) -> Result<Response, String> {
    let Some(proxy) = &sim.proxy else {
        return Err("The simulator was started without --ministack-url.".to_owned());
    };
    let aliases = sim.world().aliases.clone();
    let passed = proxy.pass(place, protocol, body, &aliases).await;
    let passed = passed.map_err(|error| format!("MiniStack did not answer: {error}"))?;
    let mut response = (passed.status, passed.body).into_response();
    if let Some(kind) = passed
        .content_type
        .and_then(|k| HeaderValue::from_str(&k).ok())
    {
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
    }
    Ok(response)
}

fn rest_json(status: u16, result: &ApiResult) -> Response {
    let (status, kind, body) = match result {
        Ok(Value::Null) => (
            status,
            None,
            if status == 204 {
                Body::empty()
            } else {
                json_body(&json!({}))
            },
        ),
        Ok(output) => (status, None, json_body(output)),
        Err(error) => {
            // The body's own member `code` would be taken for the error's name but for the header.
            let mut body = error.extra.clone();
            body.remove("retryAfterSeconds");
            body.insert("message".into(), error.message.clone().into());
            body.insert("code".into(), error.name.clone().into());
            (error.status, Some(error), json_body(&body.into()))
        }
    };
    respond(status, "application/json", kind, body)
}

fn json_11(result: &ApiResult) -> Response {
    match result {
        Ok(output) => respond(200, "application/x-amz-json-1.1", None, json_body(output)),
        Err(error) => {
            // JSON 1.1 services answer every client error with 400.
            let status = if error.status == 429 {
                400
            } else {
                error.status
            };
            let body =
                json!({"__type": error.name, "message": error.message, "Message": error.message});
            respond(
                status,
                "application/x-amz-json-1.1",
                Some(error),
                json_body(&body),
            )
        }
    }
}

fn xml(status: u16, body: String) -> Response {
    respond(status, "text/xml;charset=UTF-8", None, Body::from(body))
}

fn respond(status: u16, kind: &'static str, error: Option<&ApiError>, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    if status != 204 {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    if let Ok(id) = HeaderValue::from_str(&Uuid::new_v4().to_string()) {
        headers.insert("x-amzn-requestid", id);
    }
    if let Some(error) = error {
        if let Ok(name) = HeaderValue::from_str(&error.name) {
            headers.insert("x-amzn-errortype", name);
        }
        if let Some(seconds) = error.extra.get("retryAfterSeconds").and_then(Value::as_u64) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use axum::extract::State;

    use super::*;
    use crate::world::effect::Effect;
    use crate::{Config, Simulator};

    #[tokio::test]
    async fn what_the_world_asked_for_is_done_though_a_caller_gives_up() {
        let machine = json!({
            "sourceVmId": "vm-1", "hostname": "one", "ips": ["10.0.0.1"], "os": "linux", "agentInstalled": true,
            "disks": [{"deviceName": "/dev/xvda", "bytes": 8_589_934_592_u64}],
        });
        let config = Config {
            seed: Some(json!({"initializeMgn": true, "servers": [machine]})),
            ..Config::default()
        };
        let begin = "2026-11-21T12:00:00Z".parse().unwrap();
        let simulator = Simulator::manual(config, begin).await.unwrap();
        let template = || {
            let world = simulator.sim.world();
            world
                .here
                .servers
                .values()
                .next()
                .unwrap()
                .template_id
                .clone()
        };
        let server_id = simulator
            .sim
            .world()
            .here
            .servers
            .keys()
            .next()
            .unwrap()
            .clone();
        let first = template();
        assert!(first.is_some());
        simulator.sim.world().ask_for(Effect::CreateTemplate {
            server_id: server_id.clone(),
            disks: Vec::new(),
            attempts: 0,
        });
        let request = axum::http::Request::post("/GetLaunchConfiguration")
            .body(Body::from(json!({"sourceServerID": server_id}).to_string()))
            .unwrap();
        let mut call = Box::pin(super::super::route(
            State(Arc::clone(&simulator.sim)),
            request,
        ));
        // It begins, and its caller has gone before it ends.
        tokio::select! {
            biased;
            _ = &mut call => panic!("it has not waited"),
            () = std::future::ready(()) => {}
        }
        drop(call);
        simulator.sim.settle().await;
        assert_ne!(template(), first);
    }
}
