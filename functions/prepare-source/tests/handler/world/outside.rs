//! Cloud Migration Factory and Azure on a local port.

use std::sync::{Arc, Mutex, OnceLock};

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post, put};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::{Fault, World};

type Shared = Arc<OnceLock<Arc<Mutex<World>>>>;
type Answer = (StatusCode, Json<Value>);

/// What is outside AWS.
pub(crate) struct Outside {
    base: String,
    world: Shared,
}

impl Outside {
    pub(crate) async fn serve() -> Self {
        let world = Shared::default();
        let machine = "/azure/subscriptions/sub-1/resourceGroups/rg-1/providers/Microsoft.Compute/virtualMachines/web-01";
        let snapshot = "/azure/subscriptions/sub-1/resourceGroups/rg-1/providers/Microsoft.Compute/snapshots/{name}";
        let router = Router::new()
            .route("/cmf/login", post(sign_in))
            .route("/cmf/user/{schema}", get(list))
            .route("/cmf/user/{schema}/{id}", put(change))
            .route("/azure/t/oauth2/v2.0/token", post(token))
            .route(machine, get(describe))
            .route(snapshot, put(take))
            .with_state(Arc::clone(&world));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { base, world }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.base)
    }

    /// From now on the outside belongs to this world.
    pub(crate) fn attach(&self, world: &Arc<Mutex<World>>) {
        assert!(self.world.set(Arc::clone(world)).is_ok());
    }
}

/// Answers a call from the world, or as its fault says.
fn answer(world: &Shared, call: &'static str, act: impl FnOnce(&mut World) -> Answer) -> Answer {
    let mut world = world.get().unwrap().lock().unwrap();
    let failed = |status| (status, Json(json!({"errors": ["as the test says"]})));
    match world.called(call) {
        None => act(&mut world),
        Some(Fault::Refused) => failed(StatusCode::FORBIDDEN),
        Some(Fault::Unavailable) => failed(StatusCode::SERVICE_UNAVAILABLE),
        Some(Fault::Lost) => {
            let _ = act(&mut world);
            failed(StatusCode::BAD_GATEWAY)
        }
    }
}

async fn sign_in(State(world): State<Shared>) -> Answer {
    answer(&world, "cmf:login", |_| (StatusCode::OK, Json(json!("t"))))
}

async fn list(State(world): State<Shared>, Path(schema): Path<String>) -> Answer {
    answer(&world, "cmf:list", |world| {
        (StatusCode::OK, Json(world.cmf[schema].clone()))
    })
}

async fn change(
    State(world): State<Shared>,
    Path((schema, id)): Path<(String, String)>,
    Json(body): Json<Value>,
) -> Answer {
    let call = if schema == "wave" {
        "cmf:wave"
    } else {
        "cmf:server"
    };
    answer(&world, call, |world| {
        let done = world.record().done;
        let noted = if schema == "wave" {
            done.cmf_wave
        } else {
            done.cmf
        };
        world.noted_before_cmf = noted.is_some_and(|noted| noted.id == id);
        let record = &mut world.cmf[schema][0];
        let changes = body.as_object().unwrap().clone();
        record.as_object_mut().unwrap().extend(changes);
        (StatusCode::OK, Json(json!({})))
    })
}

async fn token(State(world): State<Shared>) -> Answer {
    answer(&world, "azure:token", |_| {
        (StatusCode::OK, Json(json!({"access_token": "x"})))
    })
}

async fn describe(State(world): State<Shared>) -> Answer {
    answer(&world, "azure:describe", |_| {
        let storage = json!({"osDisk": {"managedDisk": {"id": "/disks/os"}}, "dataDisks": []});
        let machine = json!({"location": "westeurope", "properties": {"storageProfile": storage}});
        (StatusCode::OK, Json(machine))
    })
}

async fn take(State(world): State<Shared>, Path(name): Path<String>) -> Answer {
    answer(&world, "azure:snapshot", |world| {
        let noted = world.record().done.snapshot;
        world.noted_before_snapshot.push(noted);
        let id = format!("/snapshots/{name}");
        if world.snapshot_takes > 0 {
            world.snapshot_takes -= 1;
            let body = json!({"id": id, "properties": {"provisioningState": "Creating"}});
            return (StatusCode::ACCEPTED, Json(body));
        }
        // The same name again is the same snapshot.
        if !world.snapshots.contains(&id) {
            world.snapshots.push(id.clone());
        }
        let body = json!({"id": id, "properties": {"provisioningState": "Succeeded"}});
        (StatusCode::CREATED, Json(body))
    })
}
