//! The local stack: MiniStack and Landfall's simulator as background processes, with Landfall deployed to them by the
//! same Terraform code that deploys to AWS.
//!
//! [`up`] may be repeated: what runs and is current stays, what changed is built and applied again. Everything it leaves
//! behind lies in `.landfall/` (which [`down`] removes), in `.venv/` and in cargo's target directory. `LANDFALL_STACK` names
//! another stack of the same checkout, in `.landfall-NAME/`.

mod build;
mod command;
mod console;
mod environment;
mod error;
mod info;
mod layout;
mod mirror;
mod process;
mod python;
mod secrets;
mod services;
mod terraform;
mod tools;

use std::path::{Path, PathBuf};

pub use self::error::StackError;
pub use self::info::{Pids, StackInfo};
pub use self::layout::{folder, name};

use self::console::Console;
use self::layout::Layout;
use self::services::{Ministack, Simulator};

/// Region that the local stack plays.
pub const REGION: &str = "us-east-1";
/// Account that the local stack plays.
pub const ACCOUNT: &str = "000000000000";

/// What `landfall up` may be told.
#[derive(Debug, Clone)]
pub struct UpOptions {
    /// Port of MiniStack; 0 picks a free one.
    pub ministack_port: u16,
    /// Port of the simulator; 0 picks a free one.
    pub simulator_port: u16,
    /// Simulated seconds per real second.
    pub scale: f64,
    /// Source servers, CMF and CMDB records with which the simulator begins.
    pub seed: Option<PathBuf>,
    /// The checkout.
    pub project_root: PathBuf,
    /// Whether to keep progress to oneself.
    pub quiet: bool,
}

/// Brings the local stack up, or an already running one up to date.
pub async fn up(options: UpOptions) -> Result<StackInfo, StackError> {
    let console = Console::new(options.quiet);
    if !(options.scale.is_finite() && options.scale > 0.0) {
        return Err(StackError::Option {
            name: "scale",
            problem: format!("must be a positive number, not {}", options.scale),
        });
    }
    let layout = Layout::new(&options.project_root)?;
    let _lock = layout.lock()?;

    let tools = tools::find(&layout)?;
    let mirror = mirror::configure(&layout)?;
    let (venv, artifacts, init) = tokio::join!(
        blocking({
            let (layout, python) = (layout.clone(), tools.python.clone());
            move || python::install(&layout, &python, console)
        }),
        blocking({
            let (layout, cargo) = (layout.clone(), tools.cargo.clone());
            move || build::build(&layout, &cargo, console)
        }),
        blocking({
            let (layout, terraform, mirror) =
                (layout.clone(), tools.terraform.clone(), mirror.clone());
            move || terraform::init(&layout, &terraform, mirror.as_deref())
        }),
    );
    let (venv, artifacts) = (venv?, artifacts?);
    init?;

    let secret = layout.callback_secret()?;
    let ministack = services::ministack(
        &layout,
        &Ministack {
            python: &venv,
            port: options.ministack_port,
            scale: options.scale,
        },
        console,
    )
    .await?;
    if ministack.started {
        // What Terraform remembers died with the MiniStack that it deployed to.
        layout.forget_deployment()?;
    }
    let simulator = services::simulator(
        &layout,
        &Simulator {
            binary: &artifacts.simulator,
            port: options.simulator_port,
            ministack_url: &ministack.url,
            scale: options.scale,
            seed: options.seed.as_deref(),
            callback_secret: &secret,
            renew: ministack.started,
        },
        console,
    )
    .await?;

    secrets::store(&ministack.url).await?;
    let outputs = blocking({
        let deployment = terraform::Deployment {
            terraform: tools.terraform,
            mirror,
            artifacts: layout.artifacts(),
            ministack_url: ministack.url.clone(),
            simulator_url: simulator.url.clone(),
            callback_secret: secret.clone(),
        };
        let layout = layout.clone();
        move || terraform::apply(&layout, &deployment, console)
    })
    .await?;

    environment::store(&layout, &ministack.url, &outputs)?;
    let info = StackInfo::new(&ministack, &simulator, &outputs, secret)?;
    info.store(&layout)?;
    console.say(&info.to_string());
    Ok(info)
}

/// Stops the stack's processes and removes its folder; `.venv/` and the build cache stay. Tells whether there was
/// anything to stop or to remove: a stack that is not there is not an error.
#[expect(
    clippy::unused_async,
    reason = "the pair of `up`; the caller awaits both"
)]
pub async fn down(root: &Path) -> Result<bool, StackError> {
    let layout = Layout::new(root)?;
    // Looked at before the lock, which lies in the same folder.
    if !layout.stands()? {
        return Ok(false);
    }
    {
        let _lock = layout.lock()?;
        services::stop_all(&layout)?;
    }
    layout.remove()?;
    Ok(true)
}

/// Runs work that blocks (processes, files) beside the async runtime.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StackError> + Send + 'static,
) -> Result<T, StackError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(failure) => std::panic::resume_unwind(failure.into_panic()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn down_tells_whether_there_was_a_stack() {
        let root = std::env::temp_dir().join(format!("landfall-down-{}", uuid::Uuid::new_v4()));
        let state = folder(name().as_deref()).unwrap();
        let logs = format!("{state}/logs");
        for folder in ["terraform", "functions", "tests", &logs] {
            std::fs::create_dir_all(root.join(folder)).unwrap();
        }
        for file in ["Cargo.toml", "tests/requirements.txt"] {
            std::fs::write(root.join(file), "").unwrap();
        }
        // Nobody's but its owner's.
        assert!(matches!(down(&root).await, Err(StackError::Foreign { .. })));
        assert!(root.join(&logs).exists());
        std::fs::write(root.join(&state).join("lock"), "").unwrap();
        assert!(down(&root).await.unwrap());
        assert!(!root.join(state).exists());
        assert!(!down(&root).await.unwrap());
        std::fs::remove_dir_all(&root).unwrap();
    }
}
