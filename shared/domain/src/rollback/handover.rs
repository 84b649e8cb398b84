//! What a person is told who must go on where a rollback could not: what is done, what is not, and what to do by hand.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Compensation, Progress, RollbackPlan, Step};
use crate::health;
use crate::record::{DnsValue, MigrationRecord};

/// A compensation, and what is to be said of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Line {
    /// The compensation's ID.
    pub compensation: String,
    /// What was found or done, or what is in its way.
    pub said: String,
}

/// What is handed over.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HandOver {
    /// Why nothing automatic goes on.
    pub because: String,
    /// What was undone and verified.
    pub done: Vec<Line>,
    /// What was not.
    pub not_done: Vec<Line>,
    /// What a person does, in this order.
    pub by_hand: Vec<String>,
    /// What nobody can undo.
    pub irreversible: Vec<String>,
    /// What stays on purpose.
    pub kept: Vec<String>,
}

impl HandOver {
    /// Of a plan as far as it was carried out.
    pub fn of(
        record: &MigrationRecord,
        plan: &RollbackPlan,
        progress: &Progress,
        because: &str,
    ) -> Self {
        let mut hand_over = Self {
            because: because.to_owned(),
            irreversible: plan.irreversible.clone(),
            kept: plan.kept.clone(),
            ..Self::default()
        };
        for step in &plan.compensations {
            let state = progress.of(step);
            let line = |said: String| Line {
                compensation: step.id.clone(),
                said,
            };
            if progress.is_done(&step.id) {
                let said = state.map_or_else(String::new, |state| state.said.clone());
                hand_over.done.push(line(said));
                continue;
            }
            let said = state.map_or_else(
                || match step.after.iter().find(|before| !progress.is_done(before)) {
                    Some(before) => format!("not tried: it comes after {before}"),
                    None => "not tried".to_owned(),
                },
                |state| match state.refused {
                    0 => format!("not done in time: {}", state.said),
                    times => format!("refused {times} times: {}", state.said),
                },
            );
            hand_over.not_done.push(line(said));
            hand_over.by_hand.push(by_hand(record, step));
        }
        hand_over
    }

    /// For the event that tells of it.
    pub fn evidence(&self) -> Value {
        let left = self.not_done.iter().map(|line| line.compensation.as_str());
        json!({
            "done": self.done, "notDone": left.collect::<Vec<_>>(), "because": self.because, "kept": self.kept,
            "irreversible": self.irreversible, "handOver": self.text(),
        })
    }

    /// For a person to read.
    pub fn text(&self) -> String {
        let partly = !self.irreversible.is_empty() && !self.done.is_empty();
        let how = if partly && self.not_done.is_empty() {
            "What could still be undone is undone"
        } else {
            "The rollback was not completed"
        };
        let mut text = format!("{how}: {}.\n", self.because);
        let mut list = |title: &str, lines: &mut dyn Iterator<Item = String>| {
            let mut lines = lines.peekable();
            if lines.peek().is_some() {
                let _ = writeln!(text, "{title}");
                for line in lines {
                    let _ = writeln!(text, "  {line}");
                }
            }
        };
        let told = |line: &Line| format!("- {}: {}", line.compensation, line.said);
        list("Done:", &mut self.done.iter().map(told));
        list("Not done:", &mut self.not_done.iter().map(told));
        let numbered = self.by_hand.iter().enumerate();
        list(
            "By hand, in this order:",
            &mut numbered.map(|(index, what)| format!("{}. {what}", index + 1)),
        );
        let dashed = |what: &String| format!("- {what}");
        list(
            "Cannot be undone:",
            &mut self.irreversible.iter().map(dashed),
        );
        list("Stays on purpose:", &mut self.kept.iter().map(dashed));
        text
    }
}

/// What a person does in a compensation's stead.
fn by_hand(record: &MigrationRecord, step: &Step) -> String {
    let server = record.source_server_id.as_deref().unwrap_or("(unknown)");
    let vm = &record.request.source_vm_id;
    match &step.compensation {
        Compensation::PowerOnSource | Compensation::CheckSource => {
            let asked = health::on_source(&record.request.health_checks);
            let urls: Vec<String> = asked.map(|(_, _, url)| health::shown(url)).collect();
            if urls.is_empty() {
                format!("Power on the source {vm} and see that its application runs.")
            } else {
                let urls = urls.join(", ");
                format!("Power on the source {vm} and see that it answers at {urls}.")
            }
        }
        Compensation::RestoreDns { change } => {
            let name = format!(
                "{} {} in the hosted zone {}",
                change.record_type, change.name, change.hosted_zone_id
            );
            match &change.previous {
                Some(before) => format!("Set {name} to {}.", held(before)),
                None => format!("Remove {name}: there was none before."),
            }
        }
        Compensation::CheckTraffic => {
            format!("See that the names lead to the source {vm}, and that it serves its users.")
        }
        Compensation::RestoreCmdb => {
            let item = record.request.cmdb.as_ref();
            let item = item.map_or_else(String::new, |item| {
                format!(" {} in the table {}", item.sys_id, item.table)
            });
            let fields = record.done.cmdb_previous.clone().unwrap_or_default();
            format!("In the CMDB, give the item{item} its fields back: {fields}.")
        }
        Compensation::RevertLifecycle { to, .. } => {
            format!("In MGN, revert the lifecycle of the source server {server} to {to}.")
        }
        Compensation::TerminateTarget { action, job_id } => {
            let launch = record.done.launch(*action);
            let instance = launch.and_then(|launch| launch.instance_id.as_deref());
            let instance = instance.unwrap_or("that it launched");
            format!(
                "In MGN, terminate the instance {instance} of the job {job_id} (source server {server}), once nobody \
                 works on it."
            )
        }
        Compensation::RestoreRightSizing { method } => format!(
            "In MGN's launch settings of {server}, set the right-sizing method to {method}."
        ),
        Compensation::RestoreCopyPrivateIp => {
            format!("In MGN's launch settings of {server}, copy the private address again.")
        }
        Compensation::RestoreLaunchTemplate { change } => format!(
            "In EC2, make version {} of the launch template {} its default.",
            change.previous_version, change.template_id
        ),
        Compensation::RestoreCmf { before } => format!(
            "In Cloud Migration Factory, set the migration status of the server {} to {:?}.",
            before.id, before.previous
        ),
        Compensation::StopReplication => {
            format!("In MGN, disconnect the source server {server} from the service.")
        }
    }
}

fn held(value: &DnsValue) -> String {
    format!("{} (TTL {} s)", value.values.join(", "), value.ttl)
}
