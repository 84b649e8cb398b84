//! The two services of the local stack: which options they get, and when a running one may stay.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use super::command::local_aws;
use super::console::Console;
use super::layout::{Layout, create_dir, remove, replace};
use super::process::{Process, answers, choose_port, client, start, wait_ready};
use super::{ACCOUNT, REGION, StackError};

const MINISTACK: &str = "ministack";
const MINISTACK_HEALTH: &str = "/_ministack/ready";
const SIMULATOR: &str = "simulator";
const SIMULATOR_HEALTH: &str = "/_sim/health";

/// What MiniStack is started with.
pub(super) struct Ministack<'a> {
    pub(super) python: &'a Path,
    pub(super) port: u16,
    pub(super) scale: f64,
}

/// What the simulator is started with.
pub(super) struct Simulator<'a> {
    pub(super) binary: &'a Path,
    pub(super) port: u16,
    pub(super) ministack_url: &'a str,
    pub(super) scale: f64,
    pub(super) seed: Option<&'a Path>,
    pub(super) callback_secret: &'a str,
    /// Whether a running one is of no use, as the MiniStack that holds its instances is gone.
    pub(super) renew: bool,
}

/// A service that answers.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) pid: u32,
    pub(super) url: String,
    /// Whether this run started it.
    pub(super) started: bool,
}

/// Sees to it that MiniStack runs.
pub(super) async fn ministack(
    layout: &Layout,
    options: &Ministack<'_>,
    console: Console,
) -> Result<Service, StackError> {
    // Waits and retries pass as simulated time does.
    let wait_scale = 1.0 / options.scale;
    if let Some(running) = running(layout, MINISTACK, options.port, MINISTACK_HEALTH).await? {
        let body = serde_json::json!({ "stepfunctions._SFN_WAIT_SCALE": wait_scale });
        order(
            "MiniStack",
            &running,
            "/_ministack/config",
            "the time scale",
            body.to_string(),
        )
        .await?;
        console.say(&format!("ministack: runs at {}", running.url()));
        return Ok(service(&running, false));
    }
    let before = stop(layout, MINISTACK)?;
    let began = Instant::now();
    let port = choose_port("MiniStack", options.port, before, "LANDFALL_MINISTACK_PORT")?;
    create_dir(&layout.scratch())?;
    let mut command = Command::new(options.python);
    // Its Lambda workers inherit this environment, hence the endpoint.
    local_aws(&mut command, &format!("http://127.0.0.1:{port}"))
        .args(["-m", "ministack"])
        .env("GATEWAY_PORT", port.to_string())
        .env("BIND_HOST", "127.0.0.1")
        .env("MINISTACK_HOST", "127.0.0.1")
        .env("MINISTACK_REGION", REGION)
        .env("MINISTACK_ACCOUNT_ID", ACCOUNT)
        .env("SFN_WAIT_SCALE", wait_scale.to_string())
        // Each role may do what its policies say and no more, so that a missing permission shows here and not in AWS.
        .env(
            "AUTH",
            std::env::var("LANDFALL_LOCAL_IAM").unwrap_or_else(|_| "true".to_owned()),
        )
        .env("LAMBDA_EXECUTOR", "local")
        .env("PERSIST_STATE", "0")
        .env("STATE_DIR", layout.scratch().join("state"))
        .env("TMPDIR", layout.scratch())
        .env("PYTHONUNBUFFERED", "1")
        // Servers for services that nothing here uses.
        .env("IOT_MTLS_ENABLED", "0")
        .env("SFTP_ENABLED", "0");
    let process = launch(
        layout,
        MINISTACK,
        &mut command,
        port,
        "ministack",
        MINISTACK_HEALTH,
    )
    .await?;
    console.done(&format!("ministack: listens at {}", process.url()), began);
    Ok(service(&process, true))
}

/// Sees to it that the simulator runs, with the present build, scale and seed.
pub(super) async fn simulator(
    layout: &Layout,
    options: &Simulator<'_>,
    console: Console,
) -> Result<Service, StackError> {
    let current = !options.renew && started_after_build(layout, options.binary);
    if let Some(running) = running(layout, SIMULATOR, options.port, SIMULATOR_HEALTH).await?
        && current
    {
        let clock = serde_json::json!({ "scale": options.scale });
        order(
            "the simulator",
            &running,
            "/_sim/clock",
            "the time scale",
            clock.to_string(),
        )
        .await?;
        if let Some(seed) = options.seed {
            let body = fs::read_to_string(seed).map_err(StackError::file("read", seed))?;
            order("the simulator", &running, "/_sim/seed", "the seed", body).await?;
        }
        console.say(&format!("simulator: runs at {}", running.url()));
        return Ok(service(&running, false));
    }
    let before = stop(layout, SIMULATOR)?;
    let began = Instant::now();
    let port = choose_port(
        "the simulator",
        options.port,
        before,
        "LANDFALL_SIMULATOR_PORT",
    )?;
    let mut command = Command::new(options.binary);
    local_aws(&mut command, options.ministack_url)
        .args(["--port", &port.to_string()])
        .args(["--ministack-url", options.ministack_url])
        .args(["--scale", &options.scale.to_string()])
        .args(["--callback-secret", options.callback_secret])
        .args(["--account", ACCOUNT])
        .args(["--region", REGION]);
    if let Some(seed) = options.seed {
        let seed = seed
            .canonicalize()
            .map_err(StackError::file("find", seed))?;
        command.arg("--seed").arg(seed);
    }
    let process = launch(
        layout,
        SIMULATOR,
        &mut command,
        port,
        "landfall-simulator",
        SIMULATOR_HEALTH,
    )
    .await?;
    console.done(&format!("simulator: listens at {}", process.url()), began);
    Ok(service(&process, true))
}

/// Stops whatever of the stack runs.
pub(super) fn stop_all(layout: &Layout) -> Result<(), StackError> {
    // The simulator first: it calls MiniStack.
    stop(layout, SIMULATOR)?;
    stop(layout, MINISTACK)?;
    Ok(())
}

fn service(process: &Process, started: bool) -> Service {
    Service {
        pid: process.pid,
        url: process.url(),
        started,
    }
}

/// Starts a process, writes it down at once (so that `down` finds it whatever happens next) and waits for it.
async fn launch(
    layout: &Layout,
    name: &'static str,
    command: &mut Command,
    port: u16,
    mark: &str,
    health: &str,
) -> Result<Process, StackError> {
    let started = start(layout, name, command, port, mark)?;
    let mut known = read(layout)?;
    known.insert(name.to_owned(), started.process.clone());
    write(layout, &known)?;
    wait_ready(layout, name, started, health).await
}

/// The recorded process, if it lives, answers, and listens where it is wanted.
async fn running(
    layout: &Layout,
    name: &str,
    port: u16,
    health: &str,
) -> Result<Option<Process>, StackError> {
    let Some(process) = read(layout)?.remove(name) else {
        return Ok(None);
    };
    let wanted = port == 0 || port == process.port;
    Ok((wanted && process.is_alive() && answers(&process, health).await).then_some(process))
}

/// Whether the running simulator was started from the present binary. The record's file tells when.
fn started_after_build(layout: &Layout, binary: &Path) -> bool {
    let changed = |path: &Path| fs::metadata(path).and_then(|meta| meta.modified());
    match (changed(&layout.processes_file()), changed(binary)) {
        (Ok(started), Ok(built)) => started >= built,
        _ => false,
    }
}

/// Stops a recorded process, which may have ended before, and returns its port.
fn stop(layout: &Layout, name: &str) -> Result<Option<u16>, StackError> {
    let mut known = read(layout)?;
    let Some(process) = known.remove(name) else {
        return Ok(None);
    };
    process.stop();
    write(layout, &known)?;
    Ok(Some(process.port))
}

async fn order(
    service: &'static str,
    process: &Process,
    path: &str,
    what: &'static str,
    body: String,
) -> Result<(), StackError> {
    let url = format!("{}{path}", process.url());
    let refused = |source| StackError::Refused {
        service,
        url: url.clone(),
        what,
        source,
    };
    client()
        .map_err(refused)?
        .post(&url)
        .header("content-type", "application/json")
        .body(body)
        .send()
        .await
        .and_then(reqwest::Response::error_for_status)
        .map_err(refused)?;
    Ok(())
}

fn read(layout: &Layout) -> Result<BTreeMap<String, Process>, StackError> {
    let path = layout.processes_file();
    match fs::read(&path) {
        Ok(content) => {
            serde_json::from_slice(&content).map_err(|source| StackError::Format { path, source })
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(BTreeMap::new()),
        Err(source) => Err(StackError::File {
            action: "read",
            path,
            source,
        }),
    }
}

fn write(layout: &Layout, known: &BTreeMap<String, Process>) -> Result<(), StackError> {
    let path = layout.processes_file();
    if known.is_empty() {
        return remove(&path);
    }
    let content = serde_json::to_vec_pretty(known).map_err(|source| StackError::Format {
        path: path.clone(),
        source,
    })?;
    replace(&path, &content)
}
