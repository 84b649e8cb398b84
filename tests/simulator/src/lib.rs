//! The outside world for Landfall's local stack, on one port: MGN, Systems Manager, Service Quotas and EC2 as the
//! functions call them, the source side's systems, and the sink for callbacks.
//!
//! Time is simulated and scalable; what the world does is a pure function of it ([`world`]). See `README.md`.

mod caller;
pub mod clock;
mod control;
pub mod ec2_proxy;
pub mod error;
pub mod faults;
mod http;
mod iam;
pub mod mgn;
mod ministack;
pub mod quotas;
mod resign;
pub mod seed;
mod sim;
pub mod sink;
pub mod source_apis;
pub mod ssm;
pub mod switches;
mod template_address;
pub mod world;

use std::net::SocketAddr;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use clock::Clock;
use ec2_proxy::Proxy;
use ministack::Ministack;
use seed::Seed;
use sim::Sim;
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
}

/// A running simulator. It stops when this is dropped.
#[derive(Debug)]
pub struct Simulator {
    address: SocketAddr,
    tasks: [JoinHandle<()>; 2],
}

impl Simulator {
    /// Starts a simulator in this process and applies its seed.
    pub async fn start(config: Config) -> Result<Self, StartError> {
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

        let now = Timestamp::now();
        let home = Place::new(&config.account, &config.region);
        let url = config.ministack_url.as_deref();
        let ministack = url.map(|url| Ministack::new(url, &home));
        let proxy = url.map(|url| Proxy::new(url, &home));
        let world = World::new(home, Clock::new(now, config.scale), switches, now);
        let sim = Arc::new(Sim::new(world, ministack, proxy, config.callback_secret));
        if let Some(seed) = seed {
            seed::apply(&sim, seed).await.map_err(StartError::Seed)?;
        }
        let ticker = Arc::clone(&sim);
        let tasks = [
            tokio::spawn(async move { ticker.run().await }),
            tokio::spawn(async move {
                if let Err(error) = axum::serve(listener, http::router(sim)).await {
                    tracing::error!(%error, "the listener ended");
                }
            }),
        ];
        Ok(Self { address, tasks })
    }

    /// Its endpoint.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}
