//! `landfall callbacks`: the failed-delivery queue, for the person who mends what stands behind it.

mod queue;
mod send;
mod show;

use std::path::Path;

use clap::{Args, Subcommand};
use serde_json::Value;
use tokio::task::JoinSet;

use self::queue::{Queue, Waiting};
use self::send::{Answer, send};
use crate::error::{CliError, Exit};
use crate::output::{print, print_json};
use crate::target::{FailedCallbacks, TargetArgs};

/// `landfall callbacks`.
#[derive(Args, Debug)]
pub struct CallbacksArgs {
    #[command(subcommand)]
    order: Order,
}

#[derive(Debug, Subcommand)]
enum Order {
    /// List what could not be delivered; nothing is changed.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        target: TargetArgs,
    },
    /// Deliver again, each once.
    Redeliver {
        /// Migration IDs or webhook IDs.
        #[arg(
            value_name = "ID",
            required_unless_present = "all",
            conflicts_with = "all"
        )]
        ids: Vec<String>,
        /// Everything that lies there.
        #[arg(long)]
        all: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        target: TargetArgs,
    },
}

/// Runs the command.
pub async fn run(args: &CallbacksArgs, root: &Path) -> Result<Exit, CliError> {
    match &args.order {
        Order::List { json, target } => {
            let place = FailedCallbacks::find(target, root).await?;
            list(&place, *json).await
        }
        Order::Redeliver {
            ids, json, target, ..
        } => {
            let place = FailedCallbacks::find(target, root).await?;
            redeliver(&place, ids, *json).await
        }
    }
}

async fn list(place: &FailedCallbacks, json: bool) -> Result<Exit, CliError> {
    let mut queue = Queue::open(place).await?;
    let mut all = Vec::new();
    let read = loop {
        match queue.next().await {
            Ok(batch) if batch.is_empty() => break Ok(()),
            Ok(batch) => all.extend(batch),
            Err(error) => break Err(error),
        }
    };
    // Whatever came of it: the messages are for whoever looks next.
    queue.release(&all).await;
    read?;
    if json {
        print_json(&all.iter().map(show::json).collect())?;
    } else {
        print(&show::list(&all))?;
    }
    Ok(Exit::Ok)
}

/// Delivers what is meant: all of it, where no ID is given.
async fn redeliver(place: &FailedCallbacks, ids: &[String], json: bool) -> Result<Exit, CliError> {
    let mut queue = Queue::open(place).await?;
    let (mut done, mut left) = (Vec::new(), Vec::new());
    let ended = loop {
        let batch = match queue.next().await {
            Ok(batch) if batch.is_empty() => break Ok(()),
            Ok(batch) => batch,
            Err(error) => break Err(error),
        };
        let (meant, others): (Vec<_>, Vec<_>) = batch
            .into_iter()
            .partition(|it| ids.is_empty() || ids.iter().any(|id| it.is(id)));
        left.extend(others);
        for (message, answer) in deliver(place, meant).await {
            match &answer {
                // Only now: whoever dies before this finds the message in the queue again.
                Ok(answer) if answer.delivered => queue.remove(&message).await,
                Ok(_) | Err(_) => left.push(message.clone()),
            }
            if !json {
                print(&show::answer(&message, &answer))?;
            }
            done.push((message, answer));
        }
    };
    queue.release(&left).await;
    ended?;
    if json {
        let answers = done.iter().map(|(message, answer)| {
            let mut value = show::json(message);
            value["delivered"] = Value::Bool(answer.as_ref().is_ok_and(|it| it.delivered));
            value["outcome"] = match answer {
                Ok(answer) => answer.outcome.as_str(),
                Err(error) => error.what.as_str(),
            }
            .into();
            value
        });
        print_json(&answers.collect())?;
    }
    conclude(ids, &done)
}

/// Delivers a batch, all of it at once; in the order in which it came.
async fn deliver(
    place: &FailedCallbacks,
    batch: Vec<Waiting>,
) -> Vec<(Waiting, Result<Answer, CliError>)> {
    let mut sent = JoinSet::new();
    for (nth, message) in batch.into_iter().enumerate() {
        let place = place.clone();
        sent.spawn(async move {
            let answer = send(&place, &message).await;
            (nth, message, answer)
        });
    }
    let mut answers = sent.join_all().await;
    answers.sort_by_key(|(nth, _, _)| *nth);
    let answers = answers.into_iter();
    answers
        .map(|(_, message, answer)| (message, answer))
        .collect()
}

fn conclude(
    ids: &[String],
    done: &[(Waiting, Result<Answer, CliError>)],
) -> Result<Exit, CliError> {
    let missing: Vec<&str> = ids
        .iter()
        .filter(|id| !done.iter().any(|(message, _)| message.is(id)))
        .map(String::as_str)
        .collect();
    if !missing.is_empty() {
        return Err(CliError::new(
            format!(
                "no callback of {} lies in the failed-delivery queue",
                missing.join(", ")
            ),
            "`landfall callbacks list` shows what does; what somebody else looks at now is back within five minutes.",
        )
        .exit(Exit::Unknown));
    }
    let failed = done
        .iter()
        .filter(|(_, answer)| !answer.as_ref().is_ok_and(|it| it.delivered))
        .count();
    if failed > 0 {
        return Err(CliError::new(
            format!("{failed} of {} callbacks were not delivered", done.len()),
            "They stay in the queue; mend what is told beside each, and run the same command again.",
        ));
    }
    Ok(Exit::Ok)
}
