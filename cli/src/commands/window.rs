//! `landfall window`: the cutover window of a wave.

use std::path::Path;

use clap::{Args, Subcommand};
use jiff::Timestamp;
use landfall_common::state::wave::WaveWindow;
use landfall_domain::calendar::window::faults;
use landfall_domain::request::{DEFAULT_TENANT, Window};
use serde_json::{Value, json};

use crate::error::{CliError, Exit};
use crate::output::text::clean;
use crate::output::window::words;
use crate::output::{print, print_json};
use crate::target::{Operators, Records, Reply, TargetArgs, name};

/// `landfall window`.
#[derive(Args, Debug)]
pub struct WindowArgs {
    #[command(subcommand)]
    what: What,
}

/// What is done with the window of a wave.
#[derive(Debug, Subcommand)]
enum What {
    /// Set it, or replace the one that is set.
    Set(SetArgs),
    /// Show it, and when it opens next.
    Show(ShowArgs),
    /// Take it away: then the requests' own windows alone count.
    Clear(ClearArgs),
}

/// Which wave.
#[derive(Args, Debug)]
#[expect(clippy::struct_field_names, reason = "the names of the options")]
struct Wave {
    /// The wave.
    #[arg(long, value_name = "WAVE", value_parser = name)]
    wave: String,
    /// The tenant.
    #[arg(long, default_value = DEFAULT_TENANT, value_parser = name)]
    tenant: String,
    #[command(flatten)]
    target: TargetArgs,
}

#[derive(Args, Debug)]
struct SetArgs {
    #[command(flatten)]
    wave: Wave,
    /// When it opens (first), by the clock of the zone: 2026-11-28T22:00.
    #[arg(long, value_name = "TIME")]
    start: String,
    /// When it shuts (first), in the same form.
    #[arg(long, value_name = "TIME")]
    end: String,
    /// The zone's IANA name: Europe/Berlin.
    #[arg(long, value_name = "ZONE")]
    time_zone: String,
    /// How it comes again, a rule of RFC 5545: FREQ=WEEKLY;BYDAY=SA.
    #[arg(long, value_name = "RRULE")]
    recurrence: Option<String>,
    /// Why, in one line.
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

#[derive(Args, Debug)]
struct ShowArgs {
    #[command(flatten)]
    wave: Wave,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
struct ClearArgs {
    #[command(flatten)]
    wave: Wave,
    /// Why, in one line.
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

/// Runs `window`.
pub async fn run(args: &WindowArgs, root: &Path) -> Result<Exit, CliError> {
    match &args.what {
        What::Set(set) => {
            let window = Window {
                start: set.start.clone(),
                end: set.end.clone(),
                time_zone: set.time_zone.clone(),
                recurrence: set.recurrence.clone(),
            };
            let found = faults(&window, "");
            if !found.is_empty() {
                let lines = found
                    .iter()
                    .map(|it| format!("{}: {}", flag(&it.pointer), clean(&it.message)));
                let mut remedies: Vec<_> = found.iter().map(|it| it.remedy.as_str()).collect();
                remedies.dedup();
                return Err(CliError::new(
                    lines.collect::<Vec<_>>().join("\n"),
                    remedies.join(" "),
                )
                .exit(Exit::Invalid));
            }
            let order = json!({ "window": window, "reason": set.reason });
            send(&set.wave, order, root).await
        }
        What::Clear(clear) => {
            let order = json!({ "clear": true, "reason": clear.reason });
            send(&clear.wave, order, root).await
        }
        What::Show(show) => self::show(show, root).await,
    }
}

/// The flag that gives a member of a window.
fn flag(pointer: &str) -> String {
    let name = pointer.trim_start_matches('/');
    let mut flag = String::from("--");
    for c in name.chars() {
        if c.is_ascii_uppercase() {
            flag.push('-');
        }
        flag.push(c.to_ascii_lowercase());
    }
    flag
}

async fn send(wave: &Wave, mut order: Value, root: &Path) -> Result<Exit, CliError> {
    order["order"] = "window".into();
    order["wave"] = wave.wave.as_str().into();
    order["tenantId"] = wave.tenant.as_str().into();
    let operators = Operators::find(&wave.target, root).await?;
    match operators.send("/orders", &order).await? {
        Reply::Taken(answer) => {
            let window: Option<Window> =
                serde_json::from_value(answer["window"].clone()).unwrap_or_default();
            let told = words(&wave.wave, window.as_ref(), Timestamp::now());
            print(&format!(
                "{told}\nMigrations that wait for it look again within five minutes.\n"
            ))?;
            Ok(Exit::Ok)
        }
        Reply::Refused(status, finding) => {
            let exit = if status == 400 {
                Exit::Invalid
            } else {
                Exit::Failed
            };
            let text = format!(
                "refused: {} ({})",
                clean(&finding.message),
                clean(&finding.code)
            );
            Err(CliError::new(text, clean(&finding.remedy)).exit(exit))
        }
        Reply::Failed(_, finding) => Err(CliError::new(
            clean(&finding.message),
            clean(&finding.remedy),
        )),
    }
}

async fn show(args: &ShowArgs, root: &Path) -> Result<Exit, CliError> {
    let wave = &args.wave;
    let records = Records::find(&wave.target, root).await?;
    let found = records.store.wave_window(&wave.tenant, &wave.wave).await;
    let found = found.map_err(|error| CliError::of_call(&error, records.advice))?;
    if args.json {
        print_json(&serde_json::to_value(&found).unwrap_or_default())?;
        return Ok(Exit::Ok);
    }
    let order = found.as_ref().map(|it: &WaveWindow| &it.order);
    let by = order.map_or_else(String::new, |it| {
        format!(
            "Last said by {} at {}: {}\n",
            clean(&it.by),
            clean(&it.at),
            clean(&it.reason)
        )
    });
    let window = found.as_ref().and_then(|it| it.window.as_ref());
    print(&format!(
        "{}\n{by}",
        words(&wave.wave, window, Timestamp::now())
    ))?;
    Ok(Exit::Ok)
}
