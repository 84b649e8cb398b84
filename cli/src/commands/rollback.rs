//! `landfall rollback`: undoes what a migration did. With `--plan` nothing is changed: what a rollback would do, or how far
//! the one that runs is.

use std::fmt::Write as _;
use std::path::Path;

use aws_sdk_lambda::primitives::Blob;
use clap::Args;
use landfall_common::aws_error::stage_error;
use landfall_domain::rollback::{HandOver, Progress, RollbackPlan, Step};
use landfall_domain::{ErrorName, Status};
use serde::Deserialize;
use serde_json::{Value, json};

use super::control::{Order, Which, give};
use crate::error::{CliError, Exit};
use crate::output::text::{Palette, clean, duration};
use crate::output::{print, print_json};
use crate::target::{TargetArgs, Validator};

/// The function that answers, by the name of its folder.
const FUNCTION: &str = "rollback";
/// The alias through which every caller reaches a function, see terraform/modules/function.
const ALIAS: &str = "live";

/// `landfall rollback`.
#[derive(Args, Debug)]
pub struct RollbackArgs {
    /// The `migrationId` of the request.
    #[arg(value_name = "ID")]
    id: String,
    /// The tenant.
    #[arg(long, default_value = landfall_domain::request::DEFAULT_TENANT)]
    tenant: String,
    /// Show the plan, and change nothing.
    #[arg(long, conflicts_with_all = ["reason", "emergency"])]
    plan: bool,
    /// Why, in one line: it stands in the history for good.
    #[arg(long, value_name = "TEXT", required_unless_present = "plan")]
    reason: Option<String>,
    /// Ask nobody, however risky the rollback is.
    #[arg(long)]
    emergency: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: TargetArgs,
}

/// What the function answers, as far as it is shown.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    migration_id: String,
    status: Status,
    attempt: u32,
    approval_wanted: bool,
    plan: RollbackPlan,
    progress: Option<Progress>,
    hand_over: Option<HandOver>,
}

/// Runs the command.
///
/// # Errors
/// The deployment cannot be asked, or there is no such migration ([`Exit::Unknown`]).
pub async fn run(args: &RollbackArgs, root: &Path) -> Result<Exit, CliError> {
    if let Some(reason) = &args.reason {
        if args.emergency {
            eprintln!(
                "EMERGENCY: {} is to be rolled back without anybody's agreement. Where the order is taken, your name and your reason \
                 stand in its history.",
                clean(&args.id)
            );
        }
        let which = Which::one(&args.id, &args.tenant, reason, args.json, &args.target);
        return give(&which, Order::Rollback, args.emergency, root).await;
    }
    let function = Validator::find(&args.target, root)
        .await?
        .beside(FUNCTION)?;
    let answer = ask(&function, &args.tenant, &args.id).await?;
    if args.json {
        print_json(&answer)?;
        return Ok(Exit::Ok);
    }
    let answer: Answer = serde_json::from_value(answer).map_err(|error| {
        CliError::new(
            format!(
                "{} gave an answer that cannot be read: {error}",
                function.function
            ),
            "Is the deployment of another version than this landfall? Bring the older one up to date.",
        )
    })?;
    print(&text(&answer, Palette::of_stdout()))?;
    Ok(Exit::Ok)
}

async fn ask(function: &Validator, tenant: &str, id: &str) -> Result<Value, CliError> {
    let question = json!({ "action": "plan", "tenantId": tenant, "migrationId": id });
    let name = &function.function;
    let output = function
        .client
        .invoke()
        .function_name(name)
        .qualifier(ALIAS)
        .payload(Blob::new(question.to_string()))
        .send()
        .await
        .map_err(|error| {
            let error = stage_error(
                &error,
                ErrorName::PrerequisiteError,
                "lambda:InvokeFunction",
            );
            let advice = format!(
                "{} Your credentials need lambda:InvokeFunction on {name}:{ALIAS}.",
                function.advice
            );
            CliError::of_call(&error, &advice)
        })?;
    let answer = output.payload().map(AsRef::as_ref).unwrap_or_default();
    let answer: Value = serde_json::from_slice(answer).unwrap_or_default();
    if output.function_error().is_none() {
        return Ok(answer);
    }
    let said = |member: &str| clean(answer[member].as_str().unwrap_or("it did not say why"));
    let (kind, message) = (said("errorType"), said("errorMessage"));
    Err(if kind == ErrorName::ValidationError.as_str() {
        CliError::new(message, "Check the ID and --tenant.").exit(Exit::Unknown)
    } else {
        CliError::new(
            format!("{name} failed: {kind}: {message}"),
            format!("The log group /aws/lambda/{name} says more."),
        )
    })
}

fn text(answer: &Answer, palette: Palette) -> String {
    let plan = &answer.plan;
    let mut out = format!(
        "{}  {}  attempt {}\n",
        clean(&answer.migration_id),
        answer.status,
        answer.attempt
    );
    if plan.compensations.is_empty() {
        out.push_str("\nThere is nothing to undo.\n");
    } else {
        let _ = writeln!(
            out,
            "\n{}  {} steps, about {}; nothing is changed by this",
            palette.heading("Plan of a rollback"),
            plan.compensations.len(),
            duration(i64::from(plan.estimate_seconds)),
        );
    }
    for step in &plan.compensations {
        one(&mut out, step, answer.progress.as_ref(), palette);
    }
    let still = !answer.status.is_end()
        || matches!(
            answer.status,
            Status::Succeeded | Status::Frozen | Status::Failed
        );
    if answer.approval_wanted && still {
        out.push_str(
            "\nIt is risky: whoever the rules of the gate `rollback` name must agree before it begins, unless it is \
             ordered with --emergency.\n",
        );
    }
    for (title, lines) in [
        ("Cannot be undone any more", &plan.irreversible),
        ("Stays on purpose", &plan.kept),
    ] {
        if !lines.is_empty() {
            let _ = writeln!(out, "\n{}", palette.heading(title));
        }
        for line in lines {
            let _ = writeln!(out, "  - {}", clean(line));
        }
    }
    if let Some(hand_over) = &answer.hand_over {
        let _ = writeln!(out, "\n{}", palette.heading("Hand-over"));
        for line in hand_over.text().lines() {
            let _ = writeln!(out, "  {}", clean(line));
        }
    }
    out
}

fn one(out: &mut String, step: &Step, progress: Option<&Progress>, palette: Palette) {
    let about = format!(
        "{:<6}  ~{}",
        step.risk.as_str(),
        duration(i64::from(step.estimate_seconds))
    );
    let _ = writeln!(out, "  {:<40}  {about}", clean(&step.id));
    if !step.after.is_empty() {
        let _ = writeln!(out, "      after {}", clean(&step.after.join(", ")));
    }
    let _ = writeln!(out, "      done when {}", clean(&step.verification));
    let Some(state) = progress.and_then(|progress| progress.of(step)) else {
        return;
    };
    let said = clean(&state.said);
    let stands = match (&state.done_at, state.refused) {
        (Some(at), _) => palette.good(&format!("done at {at}: {said}")),
        (None, 0) => format!("under way since {}: {said}", state.began_at),
        (None, times) => palette.bad(&format!("refused {times} times: {said}")),
    };
    let _ = writeln!(out, "      {stands}");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the function answers.
    fn answer() -> Answer {
        serde_json::from_value(json!({
            "tenantId": "default", "migrationId": "mig-1", "status": "FROZEN", "attempt": 1, "risk": "HIGH",
            "approvalWanted": true,
            "plan": {
                "compensations": [
                    {
                        "id": "POWER_ON_SOURCE", "kind": "POWER_ON_SOURCE", "after": [], "risk": "MEDIUM",
                        "estimateSeconds": 300, "verification": "it runs",
                    },
                    {
                        "id": "REVERT_LIFECYCLE", "kind": "REVERT_LIFECYCLE", "action": "CUTOVER",
                        "to": "READY_FOR_TEST", "after": ["POWER_ON_SOURCE"], "risk": "LOW", "estimateSeconds": 30,
                        "verification": "MGN shows it",
                    },
                ],
                "kept": ["the source snapshot snap-1"], "irreversible": [], "estimateSeconds": 330,
            },
            "progress": {"startedAt": "2026-01-01T00:00:00Z", "steps": {
                "POWER_ON_SOURCE": {"beganAt": "2026-01-01T00:00:00Z", "refused": 3, "said": "no such machine\u{1b}[2J"},
            }},
            "handOver": {"because": "POWER_ON_SOURCE: no such machine", "byHand": ["Power on the source vm-1."]},
        }))
        .unwrap()
    }

    #[test]
    fn the_plan_reads_as_printed_here() {
        let text = text(&answer(), Palette::OFF);
        assert_eq!(
            text,
            "mig-1  FROZEN  attempt 1\n\
             \nPlan of a rollback  2 steps, about 5m 30s; nothing is changed by this\n  \
               POWER_ON_SOURCE                           MEDIUM  ~5m 00s\n      \
                   done when it runs\n      \
                   refused 3 times: no such machine [2J\n  \
               REVERT_LIFECYCLE                          LOW     ~30s\n      \
                   after POWER_ON_SOURCE\n      \
                   done when MGN shows it\n\
             \nIt is risky: whoever the rules of the gate `rollback` name must agree before it begins, unless it is ordered \
                   with --emergency.\n\
             \nStays on purpose\n  \
               - the source snapshot snap-1\n\
             \nHand-over\n  \
               The rollback was not completed: POWER_ON_SOURCE: no such machine.\n  \
               By hand, in this order:\n    \
                 1. Power on the source vm-1.\n"
        );
    }

    #[test]
    fn nothing_done_is_nothing_to_undo() {
        let mut answer = answer();
        answer.plan = RollbackPlan::default();
        assert!(text(&answer, Palette::OFF).contains("There is nothing to undo."));
    }
}
