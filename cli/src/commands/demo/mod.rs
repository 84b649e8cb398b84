//! `landfall demo`: a small mixed wave on the local stack, from nothing to the closing table.

mod simulator;
mod wave;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use clap::Args;
use jiff::Timestamp;
use landfall_common::Key;
use landfall_domain::MigrationRecord;
use landfall_domain::request::DEFAULT_TENANT;
use tokio::time::{MissedTickBehavior, interval, timeout};

use self::simulator::{Callback, Simulator};
use super::{status, submit, watch};
use crate::error::{CliError, Exit};
use crate::output::print;
use crate::output::screen::Screen;
use crate::output::text::Palette;
use crate::stack::{self, StackInfo, UpOptions};
use crate::target::{Queue, Records};

/// How long the wave may take before something must be wrong.
const WAVE_LIMIT: Duration = Duration::from_mins(10);
/// How long the last callbacks may take after the last migration has ended.
const CALLBACK_LIMIT: Duration = Duration::from_mins(1);

/// `landfall demo`.
#[derive(Args, Debug)]
pub struct DemoArgs {
    /// Simulated seconds per real second.
    #[arg(long, default_value_t = 120.0)]
    scale: f64,
    /// Leave the stack running, to look at what happened.
    #[arg(long)]
    keep: bool,
    /// Port of MiniStack; 0 picks a free one.
    #[arg(long, env = "LANDFALL_MINISTACK_PORT", default_value_t = 4566)]
    ministack_port: u16,
    /// Port of the simulator; 0 picks a free one.
    #[arg(long, env = "LANDFALL_SIMULATOR_PORT", default_value_t = 4570)]
    simulator_port: u16,
}

/// How long each part took.
#[derive(Default)]
struct Times(Vec<(&'static str, Duration)>);

impl Times {
    fn note(&mut self, part: &'static str, since: Instant) {
        self.0.push((part, since.elapsed()));
    }
}

impl std::fmt::Display for Times {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let parts: Vec<String> = self
            .0
            .iter()
            .map(|(part, time)| format!("{part} {:.1} s", time.as_secs_f64()))
            .collect();
        f.write_str(&parts.join(", "))
    }
}

/// Runs the command.
pub async fn run(args: &DemoArgs, root: &Path) -> Result<Exit, CliError> {
    let palette = Palette::of_stdout();
    let mut times = Times::default();
    let was_up = is_up(root).await;

    let since = Instant::now();
    build(root)?;
    times.note("build", since);

    let since = Instant::now();
    let stack = stack::up(UpOptions {
        ministack_port: args.ministack_port,
        simulator_port: args.simulator_port,
        scale: args.scale,
        seed: None,
        project_root: PathBuf::from(root),
        quiet: false,
    })
    .await?;
    times.note("up", since);

    let since = Instant::now();
    let outcome = Box::pin(migrate(&stack, palette)).await;
    times.note("wave", since);

    if args.keep || was_up {
        let reason = if args.keep {
            "--keep"
        } else {
            "it was up before"
        };
        print(&format!(
            "\nThe stack stays up ({reason}): try `landfall status demo-api-03`; `landfall down` stops it.\n"
        ))?;
    } else {
        let since = Instant::now();
        stack::down(root).await?;
        times.note("down", since);
    }
    print(&format!("\n{times}\n"))?;
    outcome
}

async fn is_up(root: &Path) -> bool {
    let Ok(stack) = StackInfo::load(root) else {
        return false;
    };
    match Simulator::at(&stack.simulator_url) {
        Ok(simulator) => simulator.answers().await,
        Err(_) => false,
    }
}

/// Builds what `up` would build, so that the time for it is told apart. Without cargo, `up` says how to get it.
fn build(root: &Path) -> Result<(), CliError> {
    let status = Command::new("cargo")
        .args(["build", "--workspace", "--bins", "--quiet"])
        .current_dir(root)
        .stdin(Stdio::null())
        .status();
    match status {
        Ok(status) if !status.success() => Err(CliError::new(
            format!("cargo build failed ({status})"),
            "The compiler's messages are above; the demo runs in a checkout, see --root.",
        )),
        _ => Ok(()),
    }
}

/// Submits the wave, follows it and judges how it ended.
async fn migrate(stack: &StackInfo, palette: Palette) -> Result<Exit, CliError> {
    let simulator = Simulator::at(&stack.simulator_url)?;
    let (queue, records) = tokio::try_join!(Queue::of_stack(stack), Records::of_stack(stack))?;
    let selection = watch::Selection {
        tenant: DEFAULT_TENANT.to_owned(),
        wave: Some(wave::WAVE.to_owned()),
        app: None,
    };
    let earlier = records
        .store
        .by_wave(DEFAULT_TENANT, wave::WAVE, None)
        .await
        .map_err(|error| CliError::of_call(&error, records.advice))?;
    if !earlier.is_empty() {
        return Err(CliError::new(
            "the demo has run on this stack already, and its servers have moved",
            "`landfall down`, then `landfall demo` again.",
        ));
    }

    simulator.seed(wave::SEED).await?;
    let documents = wave::documents(&stack.simulator_url);
    let submission = submit::send(&queue, &documents).await;
    if let Some((which, why)) = submission.failed.first() {
        return Err(CliError::new(
            format!("{which} could not be sent: {why}"),
            queue.advice,
        ));
    }
    print(&format!(
        "\n{}\n{}\n",
        palette.heading("Submitted"),
        submit::sent_text(&submission.sent)
    ))?;

    let ending = watch::Ending {
        at_least: Some(documents.len()),
        timeout: Some(WAVE_LIMIT),
    };
    let followed = watch::follow(&records, selection, ending, &mut Screen::stdout()).await;
    let ended = match followed {
        Ok(ended) => ended,
        Err(error) => {
            for document in &documents {
                tell(
                    &records,
                    document.migration_id().unwrap_or_default(),
                    palette,
                )
                .await?;
            }
            return Err(error);
        }
    };
    let correlations = wave::correlations(&submission.sent);
    let callbacks = await_callbacks(&simulator, &correlations).await?;
    close(&records, &ended, &callbacks, &correlations, palette).await
}

/// Waits for a good callback of each migration; the callback comes after the end of the migration that it reports.
async fn await_callbacks(
    simulator: &Simulator,
    correlations: &[(String, String)],
) -> Result<Vec<Callback>, CliError> {
    let mut ticks = interval(Duration::from_millis(500));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let complete = async {
        loop {
            ticks.tick().await;
            let callbacks = simulator.callbacks().await?;
            if simulator::faults(&callbacks, correlations).is_empty() {
                return Ok(callbacks);
            }
        }
    };
    match timeout(CALLBACK_LIMIT, complete).await {
        Ok(callbacks) => callbacks,
        Err(_) => simulator.callbacks().await,
    }
}

/// Prints the closing table and the callback log, and judges both.
async fn close(
    records: &Records,
    ended: &[MigrationRecord],
    callbacks: &[Callback],
    correlations: &[(String, String)],
    palette: Palette,
) -> Result<Exit, CliError> {
    let mut text = format!("\n{}\n", palette.heading("How it ended"));
    text.push_str(&wave::closing_table(ended, palette));
    let _ = write!(text, "\n{}\n", palette.heading("Callbacks"));
    text.push_str(&simulator::log(callbacks, palette));
    print(&text)?;

    let mut faults = simulator::faults(callbacks, correlations);
    for record in ended.iter().filter(|record| !wave::as_expected(record)) {
        faults.push(format!("{}: ended {}", record.migration_id, record.status));
        tell(records, &record.migration_id, palette).await?;
    }
    if faults.is_empty() {
        print(
            "\nEach migration ended as it should, and each callback arrived with a good signature.\n",
        )?;
        return Ok(Exit::Ok);
    }
    Err(CliError::new(
        format!("the demo did not end as it should: {}", faults.join("; ")),
        "`landfall demo --keep` leaves the stack and its logs (.landfall/logs) to look at.",
    ))
}

/// Prints the story of a migration that went wrong, as the stack may be gone in a moment.
async fn tell(records: &Records, migration_id: &str, palette: Palette) -> Result<(), CliError> {
    let key = Key::new(DEFAULT_TENANT, migration_id);
    let text = match status::read(&records.store, &key).await {
        Ok(story) if story.is_empty() => format!("{migration_id}: no record and no refusal\n"),
        Ok(story) => story.text(Timestamp::now(), palette),
        Err(error) => format!("{migration_id}: {}\n", error.message),
    };
    Ok(print(&format!("\n{text}"))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_as_printed_here() {
        let times = Times(vec![
            ("build", Duration::from_millis(1_240)),
            ("up", Duration::from_secs(61)),
        ]);
        assert_eq!(times.to_string(), "build 1.2 s, up 61.0 s");
    }
}
