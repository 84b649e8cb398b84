//! `landfall-simulator`: see the library and `README.md`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use landfall_simulator::{Config, Simulator};
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Simulates the outside world for Landfall's local stack.
#[derive(Debug, Parser)]
struct Options {
    /// Port on 127.0.0.1; 0 picks a free one.
    #[arg(long, env = "LANDFALL_SIMULATOR_PORT", default_value_t = 4570)]
    port: u16,
    /// `MiniStack`'s endpoint; without it target instances exist in the simulator only.
    #[arg(long, env = "LANDFALL_MINISTACK_URL")]
    ministack_url: Option<String>,
    /// Simulated seconds per real second.
    #[arg(long, env = "LANDFALL_SIMULATOR_SCALE", default_value_t = 60.0)]
    scale: f64,
    /// Seed file; more can be posted to /_sim/seed.
    #[arg(long)]
    seed: Option<PathBuf>,
    /// Scenario file; one can be posted to /_sim/scenario, too.
    #[arg(long)]
    scenario: Option<PathBuf>,
    /// The secret that callbacks are signed with, `whsec_<base64>`.
    #[arg(long, env = "LANDFALL_CALLBACK_SECRET", hide_env_values = true)]
    callback_secret: Option<String>,
    /// Account.
    #[arg(long, default_value = "000000000000")]
    account: String,
    /// Region.
    #[arg(long, env = "AWS_REGION", default_value = "us-east-1")]
    region: String,
    /// A switch, `name=value`; repeatable. `GET /_sim/switches` lists them.
    #[arg(long = "switch", value_name = "NAME=VALUE")]
    switches: Vec<String>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let filter = EnvFilter::try_from_env("LANDFALL_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    match run(Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// The JSON document that a flag names, if it does.
fn document(flag: &str, path: Option<&Path>) -> Result<Option<Value>, String> {
    let Some(path) = path else { return Ok(None) };
    let fault = |e: &dyn std::fmt::Display| format!("{flag} {}: {e}", path.display());
    let text = std::fs::read_to_string(path).map_err(|e| fault(&e))?;
    serde_json::from_str(&text).map_err(|e| fault(&e)).map(Some)
}

async fn run(options: Options) -> Result<(), Box<dyn std::error::Error>> {
    let seed = document("--seed", options.seed.as_deref())?;
    let scenario = document("--scenario", options.scenario.as_deref())?;
    let simulator = Simulator::start(Config {
        port: options.port,
        ministack_url: options.ministack_url,
        scale: options.scale,
        callback_secret: options.callback_secret,
        account: options.account,
        region: options.region,
        switches: options.switches,
        seed,
        scenario,
    })
    .await?;
    // Whoever started this process waits for the line.
    let mut out = std::io::stdout();
    writeln!(out, "{}", json!({"listening": simulator.url()}))?;
    out.flush()?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = terminate.recv() => {}
        result = tokio::signal::ctrl_c() => result?,
    }
    Ok(())
}
