//! Azure, a vCenter Server, Cloud Migration Factory and the CMDB on a local port.

use std::sync::{Arc, Mutex, OnceLock};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use super::{Fault, World};

/// The password of the CMDB's one account, and what it signs in with.
pub(crate) const CMDB_PASSWORD: &str = "p";
const CMDB_AUTHORIZATION: &str = "Basic dTpw";

type Shared = Arc<OnceLock<Arc<Mutex<World>>>>;

/// What is outside AWS.
pub(crate) struct Outside {
    pub(crate) url: String,
    world: Shared,
}

impl Outside {
    /// From now on it belongs to this world.
    pub(crate) fn attach(&self, world: &Arc<Mutex<World>>) {
        assert!(self.world.set(Arc::clone(world)).is_ok());
    }
}

pub(crate) async fn serve() -> Outside {
    let world = Shared::default();
    let router = Router::new()
        .fallback(answer)
        .with_state(Arc::clone(&world));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    Outside { url, world }
}

async fn answer(
    State(world): State<Shared>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut world = world.get().unwrap().lock().unwrap();
    let last = uri.path().rsplit('/').next().unwrap_or_default();
    let system = uri.path().split('/').nth(1).unwrap_or_default();
    let fault = world.called(&format!("{system}:{method}:{last}"));
    if let Some(fault @ (Fault::Refused | Fault::Unavailable)) = fault {
        let status = if fault == Fault::Refused { 403 } else { 503 };
        return (StatusCode::from_u16(status).unwrap(), "{}").into_response();
    }
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let (status, answer) = match system {
        "azure" => azure(&mut world, &method, last),
        "vsphere" => vsphere(&mut world, &method, &uri),
        "cmf" if last == "login" => (200, json!("t")),
        "cmf" => cmf(&mut world, &method, &body),
        _ if headers
            .get("authorization")
            .is_none_or(|it| it != CMDB_AUTHORIZATION) =>
        {
            (
                401,
                json!({"error": {"message": "User Not Authenticated", "detail": "Required to provide Auth information"}}),
            )
        }
        _ => cmdb(&mut world, &method, &body),
    };
    if fault.is_some() {
        return StatusCode::BAD_GATEWAY.into_response();
    }
    let text = if answer.is_null() {
        String::new()
    } else {
        answer.to_string()
    };
    (StatusCode::from_u16(status).unwrap(), text).into_response()
}

fn azure(world: &mut World, method: &Method, last: &str) -> (u16, Value) {
    match last {
        "web-01" if method == Method::DELETE => {
            let there = world.power != "deleted";
            if there {
                assert_eq!(world.power, "deallocated", "one that runs is deleted");
                world.power = "deleting".into();
            }
            (if there { 202 } else { 204 }, Value::Null)
        }
        "instanceView" if world.power == "deleted" => (404, Value::Null),
        "token" => (200, json!({"access_token": "x"})),
        "deallocate" => {
            world.power = "deallocating".into();
            (202, Value::Null)
        }
        "start" => {
            assert_eq!(
                world.power, "deallocated",
                "Azure starts a machine only from rest"
            );
            world.power = "starting".into();
            (202, Value::Null)
        }
        "instanceView" => {
            let seen = world.look_at_power();
            if seen == "deleting" {
                return (
                    200,
                    json!({"statuses": [{"code": "ProvisioningState/deleting"}]}),
                );
            }
            (
                200,
                json!({"statuses": [{"code": "ProvisioningState/succeeded"}, {"code": format!("PowerState/{seen}")}]}),
            )
        }
        _ => (404, Value::Null),
    }
}

/// One virtual machine, whose guest has VMware Tools.
fn vsphere(world: &mut World, method: &Method, uri: &Uri) -> (u16, Value) {
    let path = uri.path().trim_start_matches("/vsphere/api/");
    let (post, action) = (method == Method::POST, uri.query().unwrap_or_default());
    match path.trim_start_matches("vcenter/vm/vm-42/") {
        "session" if post => (201, json!("a-session")),
        "session" => (204, Value::Null),
        "vcenter/vm" => (200, json!([{"vm": "vm-42", "name": "web-01"}])),
        "guest/power" if post => {
            assert_eq!(action, "action=shutdown");
            world.power = "deallocating".into();
            (204, Value::Null)
        }
        "guest/power" => {
            let state = match world.look_at_power().as_str() {
                "deallocating" if world.hangs => "RUNNING",
                "deallocating" => "SHUTTING_DOWN",
                "starting" => "NOT_RUNNING",
                _ => "RUNNING",
            };
            (200, json!({"state": state, "operations_ready": true}))
        }
        "power" if post => {
            world.power = if action == "action=stop" {
                "deallocated".into()
            } else {
                "starting".into()
            };
            (204, Value::Null)
        }
        "power" => {
            let off = world.power == "deallocated";
            let state = if off { "POWERED_OFF" } else { "POWERED_ON" };
            (200, json!({ "state": state }))
        }
        "tools" => (
            200,
            json!({"run_state": "RUNNING", "version_status": "CURRENT"}),
        ),
        _ => (404, Value::Null),
    }
}

fn cmf(world: &mut World, method: &Method, body: &Value) -> (u16, Value) {
    if method == Method::PUT {
        world.cmf_status = body["migration_status"].as_str().unwrap().into();
    }
    (
        200,
        json!({"server_id": "7", "server_name": "web-01", "migration_status": world.cmf_status}),
    )
}

fn cmdb(world: &mut World, method: &Method, body: &Value) -> (u16, Value) {
    if method == Method::PATCH {
        let fields = body.as_object().unwrap().clone();
        world.cmdb.as_object_mut().unwrap().extend(fields);
    }
    (200, json!({"result": world.cmdb}))
}
