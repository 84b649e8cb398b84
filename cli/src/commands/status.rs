//! `landfall status`: everything known of one migration.

use std::path::Path;

use clap::Args;
use jiff::Timestamp;
use landfall_common::{Key, StateStore};
use landfall_domain::StageError;

use crate::error::{CliError, Exit};
use crate::output::text::{Palette, clean};
use crate::output::timeline::Story;
use crate::output::{print, print_json};
use crate::target::{Records, TargetArgs};

/// `landfall status`.
#[derive(Args, Debug)]
pub struct StatusArgs {
    /// The `migrationId` of the request.
    #[arg(value_name = "ID")]
    id: String,
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
    let key = Key::new(&args.tenant, &args.id);
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
                "the history of {} was changed: entry {seq} does not fit the chain of hashes",
                args.id
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
