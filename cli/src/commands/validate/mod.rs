//! `landfall validate`: what the deployment would say to requests, without submitting them.

mod ask;

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::Value;
use tokio::task::JoinSet;

use self::ask::ask;
use crate::error::{CliError, Exit};
use crate::output::progress::Progress;
use crate::output::text::Palette;
use crate::output::validation::{self, Answer, Failure, Report};
use crate::output::{print, print_json, screen};
use crate::requests;
use crate::target::{TargetArgs, Validator};

/// How many requests are asked about at once: far fewer than a deployment's functions may run, and enough for a wave.
const AT_ONCE: usize = 8;

/// `landfall validate`.
#[derive(Args, Debug)]
pub struct ValidateArgs {
    /// Files of requests, `-` for standard input: an object, an array, or objects one after the other.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Compare with the settings that the server has in MGN, too; nothing is changed there.
    #[arg(long)]
    diff: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: TargetArgs,
}

/// Runs the command.
pub async fn run(args: &ValidateArgs, root: &Path) -> Result<Exit, CliError> {
    let (mut reports, questions) = read(&args.files);
    if !questions.is_empty() {
        for (index, answer) in answers(args, root, questions).await {
            if let Some(report) = reports.get_mut(index) {
                report.take(answer);
            }
        }
    }
    if args.json {
        let reports = reports.iter().map(|report| report.json(args.diff));
        print_json(&Value::Array(reports.collect()))?;
    } else {
        let (width, palette) = (screen::width(), Palette::of_stdout());
        print(&validation::text(&reports, args.diff, width, palette))?;
    }
    conclude(&reports)
}

/// A request to ask about, and the index of its report.
type Question = (usize, Value);

/// Reads all files; what can be judged here is judged. What the schema takes is a question to the deployment.
fn read(files: &[PathBuf]) -> (Vec<Report>, Vec<Question>) {
    let mut reports = Vec::new();
    let mut indexes = Vec::new();
    let mut documents = Vec::new();
    for file in files {
        match requests::read(file) {
            Ok(text) => {
                for document in requests::split(&file.display().to_string(), &text) {
                    indexes.push(reports.len());
                    reports.push(Report::of(&document));
                    documents.push(document);
                }
            }
            Err(error) => reports.push(Report::unread(file, error)),
        }
    }
    let mut questions = Vec::new();
    let judged = requests::judge(&documents).into_iter();
    for ((index, document), judgement) in indexes.into_iter().zip(documents).zip(judged) {
        if let Some(report) = reports.get_mut(index) {
            report.findings = judgement.findings;
        }
        if let (Some(_), Some(value)) = (judgement.request, document.value) {
            questions.push((index, value));
        }
    }
    (reports, questions)
}

/// Asks the deployment all questions, in no particular order.
async fn answers(
    args: &ValidateArgs,
    root: &Path,
    questions: Vec<Question>,
) -> Vec<(usize, Result<Answer, Failure>)> {
    let validator = match Validator::find(&args.target, root).await {
        Ok(validator) => validator,
        Err(error) => {
            let failure = Failure {
                error,
                same_for_all: true,
            };
            let questions = questions.into_iter();
            return questions
                .map(|(index, _)| (index, Err(failure.clone())))
                .collect();
        }
    };
    let mut progress = Progress::new("checked", questions.len());
    let mut waiting = questions.into_iter();
    let mut asked = JoinSet::new();
    let mut answers = Vec::new();
    let mut hopeless = None;
    loop {
        while asked.len() < AT_ONCE && hopeless.is_none() {
            let Some((index, request)) = waiting.next() else {
                break;
            };
            let (validator, diff) = (validator.clone(), args.diff);
            asked.spawn(async move { (index, ask(&validator, &request, diff).await) });
        }
        let Some(answered) = asked.join_next().await else {
            break;
        };
        match answered {
            Ok((index, answer)) => {
                if let Err(failure) = &answer
                    && failure.same_for_all
                {
                    hopeless = Some(failure.clone());
                }
                answers.push((index, answer));
            }
            Err(failure) => std::panic::resume_unwind(failure.into_panic()),
        }
        progress.step();
    }
    if let Some(failure) = hopeless {
        answers.extend(waiting.map(|(index, _)| (index, Err(failure.clone()))));
    }
    answers
}

/// What the process reports: what could not be checked weighs more than what was found.
fn conclude(reports: &[Report]) -> Result<Exit, CliError> {
    let failures: Vec<&CliError> = reports
        .iter()
        .filter_map(|report| Some(&report.failure.as_ref()?.error))
        .collect();
    if let Some(first) = failures.first() {
        let count = failures.len();
        let why = first.what.lines().next().unwrap_or_default();
        let what = format!(
            "{count} of {} requests could not be checked: {why}",
            reports.len()
        );
        return Err(CliError::new(what, first.remedy.clone()).exit(Exit::Invalid));
    }
    Ok(if reports.iter().any(Report::is_blocked) {
        Exit::Failed
    } else {
        Exit::Ok
    })
}
