//! The outside world for Landfall's local stack, on one port: MGN, Systems Manager, Service Quotas and EC2 as the
//! functions call them, the source side's systems, and the sink for callbacks.
//!
//! Time is simulated and scalable; what the world does is a pure function of it ([`world`]). See `README.md`.

mod caller;
mod change;
pub mod clock;
mod control;
pub mod ec2_proxy;
mod ec2_world;
pub mod error;
pub mod faults;
mod http;
mod iam;
pub mod mgn;
mod ministack;
pub mod quotas;
mod resign;
mod scenario;
pub mod seed;
mod sim;
pub mod sink;
pub mod source_apis;
pub mod ssm;
pub mod switches;
mod template_address;
pub mod world;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{Request, Response};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use clock::Clock;
use ec2_proxy::Proxy;
use ministack::Ministack;
use seed::Seed;
use sim::{Sim, Wall};
use switches::Switches;
use world::World;
use world::place::Place;

/// How to start a simulator.
#[derive(Debug, Clone)]
pub struct Config {
    /// The port on 127.0.0.1; 0 for a free one.
    pub port: u16,
    /// `MiniStack`'s endpoint. Without it instance identifiers are made up and events are only listed.
    pub ministack_url: Option<String>,
    /// Simulated seconds per real second.
    pub scale: f64,
    /// The secret that callbacks are signed with, `whsec_<base64>`.
    pub callback_secret: Option<String>,
    /// The account.
    pub account: String,
    /// The Region.
    pub region: String,
    /// Switches that differ from their defaults, each `name=value`.
    pub switches: Vec<String>,
    /// What there is from the start.
    pub seed: Option<Value>,
    /// What there is and what goes wrong with it; after the seed.
    pub scenario: Option<Value>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            port: 0,
            ministack_url: None,
            scale: 60.0,
            callback_secret: None,
            account: "000000000000".into(),
            region: "us-east-1".into(),
            switches: Vec::new(),
            seed: None,
            scenario: None,
        }
    }
}

/// Why a simulator did not start.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum StartError {
    #[error("scale {0} is not between 0 and 1000000 simulated seconds per second")]
    Scale(f64),
    #[error("{0}")]
    Switch(String),
    #[error(
        "cannot listen on 127.0.0.1:{port}: {source}; choose another port, or 0 for a free one"
    )]
    Listen { port: u16, source: std::io::Error },
    #[error("the seed does not fit: {0}")]
    Seed(String),
    #[error("the scenario does not fit:\n{0}")]
    Scenario(String),
}

/// A running simulator. It stops when this is dropped.
pub struct Simulator {
    address: SocketAddr,
    sim: Arc<Sim>,
    tasks: Vec<JoinHandle<()>>,
}

// By hand: its world is large.
impl std::fmt::Debug for Simulator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Simulator")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Simulator {
    /// Starts a simulator in this process and applies its seed.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        Self::begin(config, None).await
    }

    /// Starts one whose time stands, at the given instant, until [`Simulator::advance`] moves it; a second of simulated
    /// time is one of its own. See [`world::ids::repeat`] for a run that must repeat another.
    pub async fn manual(config: Config, at: Timestamp) -> Result<Self, StartError> {
        Self::begin(config, Some(at)).await
    }

    async fn begin(config: Config, begin: Option<Timestamp>) -> Result<Self, StartError> {
        if !(config.scale > 0.0 && config.scale <= 1e6) {
            return Err(StartError::Scale(config.scale));
        }
        let mut switches = Switches::default();
        for assignment in &config.switches {
            switches.set(assignment).map_err(StartError::Switch)?;
        }
        let seed = config.seed.map(serde_json::from_value::<Seed>).transpose();
        let seed = seed.map_err(|e| StartError::Seed(e.to_string()))?;
        let listen = |source| StartError::Listen {
            port: config.port,
            source,
        };
        let listener = TcpListener::bind(("127.0.0.1", config.port))
            .await
            .map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;

        let (wall, now, scale) = match begin {
            None => (Wall::Real, Timestamp::now(), config.scale),
            Some(at) => (Wall::Manual(Mutex::new(at)), at, 1.0),
        };
        let ticks = begin.is_none();
        let home = Place::new(&config.account, &config.region);
        let url = config.ministack_url.as_deref();
        let ministack = url.map(|url| Ministack::new(url, &home));
        let proxy = url.map(|url| Proxy::new(url, &home));
        let world = World::new(home, Clock::new(now, scale), switches, now);
        let sim = Sim::new(world, wall, ministack, proxy, config.callback_secret);
        let sim = Arc::new(sim);
        if let Some(seed) = seed {
            seed::apply(&sim, seed).await.map_err(StartError::Seed)?;
        }
        if let Some(scenario) = config.scenario {
            let applied = scenario::apply(&sim, scenario).await;
            applied.map_err(|problems| StartError::Scenario(problems.join("\n")))?;
        }
        let served = Arc::clone(&sim);
        let mut tasks = vec![tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, http::router(served)).await {
                tracing::error!(%error, "the listener ended");
            }
        })];
        if ticks {
            let ticker = Arc::clone(&sim);
            tasks.push(tokio::spawn(async move { ticker.run().await }));
        }
        Ok(Self {
            address,
            sim,
            tasks,
        })
    }

    /// Its endpoint.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The time that its world follows.
    pub fn now(&self) -> Timestamp {
        self.sim.now()
    }

    /// Lets time pass in one of [`Simulator::manual`]; everything that was due has happened when this returns.
    pub async fn advance(&self, by: SignedDuration) {
        self.sim.move_on(by).await;
    }

    /// How many events it has emitted so far.
    pub fn events(&self) -> usize {
        self.sim.world().events.len()
    }

    /// When something happens next by itself, if nobody does anything.
    pub fn next_change(&self) -> Option<Timestamp> {
        self.sim.world().next_change()
    }

    /// Answers a request without a socket between, for tests whose order must not depend on one.
    ///
    /// # Errors
    /// The answer was lost, by a fault that says so.
    pub async fn answer(&self, request: Request<Vec<u8>>) -> Result<Response<Bytes>, LostAnswer> {
        let request = request.map(axum::body::Body::from);
        let (parts, body) = http::route(State(Arc::clone(&self.sim)), request)
            .await
            .into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await;
        let body = body.map_err(|_| LostAnswer)?;
        Ok(Response::from_parts(parts, body))
    }
}

/// An answer that a fault has lost: the call may have been carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the answer was lost")]
pub struct LostAnswer;

impl Drop for Simulator {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}
