//! `landfall status`: everything known of one migration, or how a wave stands.

use std::path::Path;

use clap::Args;
use jiff::Timestamp;
use landfall_common::{Key, StateStore};
use landfall_domain::StageError;

use crate::error::{CliError, Exit};
use crate::output::text::{Palette, clean};
use crate::output::timeline::Story;
use crate::output::wave::Wave;
use crate::output::{print, print_json};
use crate::target::{Records, TargetArgs};

/// `landfall status`.
#[derive(Args, Debug)]
pub struct StatusArgs {
    /// The `migrationId` of the request.
    #[arg(value_name = "ID", required_unless_present = "wave")]
    id: Option<String>,
    /// All migrations of this wave instead, with its window, their outages and how long each phase took.
    #[arg(long, value_name = "WAVE", conflicts_with = "id")]
    wave: Option<String>,
    /// The tenant.
    #[arg(long, default_value = landfall_domain::request::DEFAULT_TENANT)]
    tenant: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: TargetArgs,
}

/// Runs the command.
pub async fn run(args: &StatusArgs, root: &Path) -> Result<Exit, CliError> {
    let records = Records::find(&args.target, root).await?;
    match (&args.id, &args.wave) {
        (Some(id), _) => of_one(args, id, &records).await,
        (None, wave) => of_wave(args, wave.as_deref().unwrap_or_default(), &records).await,
    }
}

async fn of_wave(args: &StatusArgs, name: &str, records: &Records) -> Result<Exit, CliError> {
    let store = &records.store;
    let read = tokio::try_join!(
        store.by_wave(&args.tenant, name, None),
        store.wave_window(&args.tenant, name)
    );
    let (mut found, window) = read.map_err(|error| CliError::of_call(&error, records.advice))?;
    found.sort_by(|a, b| a.migration_id.cmp(&b.migration_id));
    let wave = Wave {
        name,
        window: window.as_ref().and_then(|it| it.window.as_ref()),
        records: &found,
    };
    if args.json {
        print_json(&wave.json())?;
    }
    if found.is_empty() {
        return Err(CliError::new(
            format!(
                "there is no migration in wave {} of tenant {}",
                clean(name),
                clean(&args.tenant)
            ),
            "Check --wave and --tenant.",
        )
        .exit(Exit::Unknown));
    }
    if !args.json {
        print(&wave.text(Timestamp::now(), Palette::of_stdout()))?;
    }
    Ok(Exit::Ok)
}

async fn of_one(args: &StatusArgs, id: &str, records: &Records) -> Result<Exit, CliError> {
    let key = Key::new(&args.tenant, id);
    let story = read(&records.store, &key)
        .await
        .map_err(|error| CliError::of_call(&error, records.advice))?;
    if args.json {
        // Of an unknown migration, too: a script gets JSON, with no record in it, and the exit code.
        print_json(&story.json())?;
    }
    if story.is_empty() {
        return Err(unknown(&key));
    }
    if !args.json {
        print(&story.text(Timestamp::now(), Palette::of_stdout()))?;
    }
    match story.broken_at() {
        None => Ok(Exit::Ok),
        Some(seq) => Err(CliError::new(
            format!(
                "the history of {id} was changed: entry {seq} does not fit the chain of hashes"
            ),
            "Keep the table as it is and restore a point in time before the change to compare with.",
        )),
    }
}

/// Reads everything known of a migration. The record comes first, so that the history is never behind it.
pub async fn read(store: &StateStore, key: &Key) -> Result<Story, StageError> {
    let record = store.get(key).await?;
    let (history, rejections) = tokio::try_join!(store.history(key), store.rejections(key))?;
    Ok(Story {
        record,
        history,
        rejections,
    })
}

fn unknown(key: &Key) -> CliError {
    CliError::new(
        format!("there is no migration {}", clean(&key.to_string())),
        "Check the ID and --tenant. A request submitted a moment ago may still be in the queue; one whose ID cannot be \
         read, or is none (letters, digits, dots, dashes and underscores, 128 at most), is in the dead-letter queue only.",
    )
    .exit(Exit::Unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_id_has_an_exit_code_of_its_own() {
        let error = unknown(&Key::new("default", "mig-9"));
        assert_eq!(error.exit, Exit::Unknown);
        assert!(error.what.contains("mig-9 of tenant default"));
    }
}
