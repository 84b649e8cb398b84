//! An order for many migrations: each is sent by itself, and has an outcome of its own.

use std::collections::VecDeque;
use std::path::Path;

use landfall_domain::{Finding, MigrationRecord};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::Which;
use crate::error::{CliError, Exit};
use crate::output::text::clean;
use crate::output::{print, print_json};
use crate::target::{Operators, Reply};

/// How many orders are under way at once. When as many in a row did not get through, the others are not sent.
const AT_ONCE: usize = 8;

/// A migration, and what became of its order.
type Outcome = (String, Reply);

/// Sends an order for each migration that is meant, and tells what became of each.
pub(super) async fn send(
    which: &Which,
    path: &'static str,
    order: &Value,
    applies: impl Fn(&MigrationRecord) -> bool,
    told: impl Fn(&Value) -> String,
    root: &Path,
) -> Result<Exit, CliError> {
    let ids = which.ids(applies, root).await?;
    let operators = Operators::find(&which.target, root).await?;
    let (mut replies, ended) = send_all(&operators, path, order, &ids).await;
    replies.sort_by_key(|(id, _)| ids.iter().position(|it| it == id));
    // Whatever ended it: what was taken is taken, and nobody would know.
    if which.json {
        print_json(&replies.iter().map(json_of).collect())?;
    } else {
        let lines = replies.iter().map(|outcome| line(outcome, &told));
        print(&lines.collect::<String>())?;
    }
    let Some(mut error) = ended else {
        return Ok(exit(&replies));
    };
    let left = ids.len() - replies.len();
    if left > 1 {
        error.what = format!(
            "{left} of {} orders were not given: {}",
            ids.len(),
            error.what
        );
    }
    Err(error)
}

/// The outcomes as they come, and what the API refuses to all: then nothing more is sent.
async fn send_all(
    operators: &Operators,
    path: &'static str,
    order: &Value,
    ids: &[String],
) -> (Vec<Outcome>, Option<CliError>) {
    let mut waiting: VecDeque<&String> = ids.iter().collect();
    let mut sent = JoinSet::new();
    let mut replies: Vec<Outcome> = Vec::with_capacity(ids.len());
    let mut ended = None;
    let mut failed_in_a_row = 0;
    loop {
        while sent.len() < AT_ONCE
            && failed_in_a_row < AT_ONCE
            && ended.is_none()
            && let Some(id) = waiting.pop_front()
        {
            let (operators, mut order, id) = (operators.clone(), order.clone(), id.clone());
            order["migrationId"] = id.as_str().into();
            sent.spawn(async move {
                let reply = operators.send(path, &order).await;
                (id, reply)
            });
        }
        match sent.join_next().await {
            None => break,
            Some(Ok((id, Ok(reply)))) => {
                let failed = matches!(reply, Reply::Failed(..));
                failed_in_a_row = if failed { failed_in_a_row + 1 } else { 0 };
                replies.push((id, reply));
            }
            Some(Ok((_, Err(error)))) => {
                ended.get_or_insert(error);
            }
            Some(Err(error)) => {
                ended.get_or_insert(CliError::new(error.to_string(), ""));
            }
        }
    }
    if ended.is_none() {
        let left = waiting.into_iter().cloned();
        replies.extend(left.map(|id| (id, Reply::Failed(None, Box::new(not_sent())))));
    }
    (replies, ended)
}

fn not_sent() -> Finding {
    let text = format!("it was not sent: {AT_ONCE} others in a row did not get through");
    Finding::blocking("NOT_SENT", "", text)
        .remedy("Run the same command again when the API answers: an order that was taken is answered like the first time.")
}

fn line((id, reply): &Outcome, told: impl Fn(&Value) -> String) -> String {
    let (how, finding) = match reply {
        Reply::Taken(answer) => {
            let status = answer["status"].as_str().unwrap_or_default();
            return format!("{}  {status}  {}\n", clean(id), clean(&told(answer)));
        }
        Reply::Refused(_, finding) => ("refused", finding),
        Reply::Failed(_, finding) => ("failed", finding),
    };
    let remedy = match finding.remedy.as_str() {
        "" => String::new(),
        remedy => format!("\n  help: {}", clean(remedy)),
    };
    format!(
        "{}  {how}: {} ({}){remedy}\n",
        clean(id),
        clean(&finding.message),
        clean(&finding.code)
    )
}

fn exit(replies: &[Outcome]) -> Exit {
    let refused = |status: u16| {
        replies
            .iter()
            .any(|(_, reply)| matches!(reply, Reply::Refused(it, _) if *it == status))
    };
    if replies
        .iter()
        .all(|(_, reply)| matches!(reply, Reply::Taken(_)))
    {
        Exit::Ok
    } else if refused(400) {
        Exit::Invalid
    } else if refused(404) {
        Exit::Unknown
    } else {
        Exit::Failed
    }
}

fn json_of((id, reply): &Outcome) -> Value {
    let (status, finding) = match reply {
        Reply::Taken(answer) => {
            return json!({ "migrationId": id, "taken": true, "answer": answer });
        }
        Reply::Refused(status, finding) => (Some(*status), finding),
        Reply::Failed(status, finding) => (*status, finding),
    };
    json!({ "migrationId": id, "taken": false, "httpStatus": status, "finding": finding })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_tells_the_worst() {
        let taken = || ("a".to_owned(), Reply::Taken(json!({})));
        let refused = |status| {
            let finding = Finding::blocking("X", "", "x");
            ("b".to_owned(), Reply::Refused(status, Box::new(finding)))
        };
        assert_eq!(exit(&[taken()]), Exit::Ok);
        assert_eq!(exit(&[taken(), refused(409)]), Exit::Failed);
        assert_eq!(exit(&[refused(404), refused(409)]), Exit::Unknown);
        assert_eq!(exit(&[refused(404), refused(400)]), Exit::Invalid);
        let failed = ("c".to_owned(), Reply::Failed(None, Box::new(not_sent())));
        assert_eq!(exit(&[taken(), failed]), Exit::Failed);
    }
}
