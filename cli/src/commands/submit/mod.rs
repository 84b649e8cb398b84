//! `landfall submit`: sends migration requests to the queue.

mod send;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

pub use self::send::{Sent, Submission, send};
use crate::error::{CliError, Exit};
use crate::output::text::clean;
use crate::output::{print, print_json, summary, table};
use crate::requests::{self, Problem};
use crate::target::{Queue, TargetArgs};

/// `landfall submit`.
#[derive(Args, Debug)]
pub struct SubmitArgs {
    /// Files of requests, `-` for standard input: an object, an array, or objects one after the other.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Send what does not pass the schema, too; the deployment will refuse it.
    #[arg(long)]
    no_check: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: TargetArgs,
}

/// Runs the command.
pub async fn run(args: &SubmitArgs, root: &Path) -> Result<Exit, CliError> {
    let mut documents = Vec::new();
    for file in &args.files {
        documents.extend(requests::split(
            &file.display().to_string(),
            &requests::read(file)?,
        ));
    }
    if !args.no_check {
        let problems = requests::check(&documents);
        if !problems.is_empty() {
            return refuse(&problems, documents.len(), args.json);
        }
    }
    let queue = Queue::find(&args.target, root).await?;
    let submission = send(&queue, &documents).await;
    report(&submission, args.json)?;
    match submission.failed.first() {
        None => Ok(Exit::Ok),
        Some((which, why)) => Err(CliError::new(
            format!(
                "{} of {} requests could not be sent, the first of them {which}: {why}",
                submission.failed.len(),
                documents.len()
            ),
            format!(
                "{} Then run the same command again: a request that has arrived already changes nothing.",
                queue.advice
            ),
        )),
    }
}

/// Tells what is wrong with the documents; nothing was sent.
fn refuse(problems: &[Problem], documents: usize, as_json: bool) -> Result<Exit, CliError> {
    if as_json {
        let invalid: Vec<_> = problems
            .iter()
            .map(|problem| {
                json!({
                    "file": problem.file, "line": problem.line, "request": problem.number, "migrationId": problem.migration_id,
                    "reason": problem.reason, "findings": problem.findings,
                })
            })
            .collect();
        print_json(&json!({"submitted": [], "invalid": invalid}))?;
    } else {
        eprint!("{}", problem_text(problems));
    }
    Err(CliError::new(
        format!(
            "{} of {documents} requests are not valid; nothing was sent",
            problems.len()
        ),
        "Correct them and submit again; --no-check sends them all the same.",
    )
    .exit(Exit::Invalid))
}

fn problem_text(problems: &[Problem]) -> String {
    let mut text = String::new();
    for problem in problems {
        let id = problem
            .migration_id
            .as_ref()
            .map_or_else(String::new, |id| format!(" ({})", clean(id)));
        let _ = writeln!(
            text,
            "{}, line {}, request {}{id}:",
            problem.file, problem.line, problem.number
        );
        summary::findings(&mut text, &problem.findings, "  ");
    }
    text
}

fn report(submission: &Submission, as_json: bool) -> Result<(), CliError> {
    if as_json {
        let failed: Vec<_> = submission
            .failed
            .iter()
            .map(|(request, reason)| json!({"request": request, "reason": reason}))
            .collect();
        return Ok(print_json(
            &json!({"submitted": submission.sent, "failed": failed}),
        )?);
    }
    if submission.sent.is_empty() {
        return Ok(());
    }
    Ok(print(&sent_text(&submission.sent))?)
}

/// The table of what was sent.
pub fn sent_text(sent: &[Sent]) -> String {
    let rows = sent
        .iter()
        .map(|sent| {
            let id = sent.migration_id.as_deref().unwrap_or("-");
            [id.into(), sent.correlation_id.as_str().into()]
        })
        .collect();
    table::text(["MIGRATION", "CORRELATION"], rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_reads_as_printed_here() {
        let sent = |id: Option<&str>| Sent {
            migration_id: id.map(str::to_owned),
            tenant_id: "default".to_owned(),
            correlation_id: "mig-0197".to_owned(),
            message_id: "m".to_owned(),
        };
        assert_eq!(
            sent_text(&[sent(Some("mig-1")), sent(None)]),
            "MIGRATION  CORRELATION\nmig-1      mig-0197\n-          mig-0197\n"
        );
    }

    #[test]
    fn what_is_wrong_reads_as_printed_here() {
        let text = problem_text(&requests::check(&requests::split("wave.json", "{\"a\": }")));
        assert_eq!(
            text,
            "wave.json, line 1, request 1:\n  - NOT_JSON: this is not JSON: expected value, at line 1 column 7 of the file. \
             Send one JSON object per message.\n"
        );
    }
}
