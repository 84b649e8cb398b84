//! Notices: what stakeholders are told of an event, by mail and in chats.
//!
//! A notice is made of the event alone. It repeats members of the evidence that are known to be fit for people, never the
//! whole of it.

mod approval;
mod render;
mod told;
mod words;

use std::fmt::Write as _;

use serde_json::Value;

use crate::event::{Detail, EventType};
use crate::request::DEFAULT_TENANT;
use crate::text::steers;

pub use render::{Mail, mail, slack, teams};

/// The events that stakeholders hear of unless the deployment says otherwise: those that want a person, and the ends.
/// Terraform's `notice_events` has the same default.
pub const DEFAULT_EVENTS: &[EventType] = &[
    EventType::ApprovalDenied,
    EventType::ApprovalEscalated,
    EventType::ApprovalRequested,
    EventType::EmergencyOrdered,
    EventType::MigrationCancelled,
    EventType::MigrationFailed,
    EventType::MigrationFrozen,
    EventType::MigrationRejected,
    EventType::MigrationSucceeded,
    EventType::ReplicationStalled,
    EventType::RollbackCompleted,
    EventType::RollbackFailed,
    EventType::RollbackRefused,
    EventType::RollbackStarted,
    EventType::SourceDecommissioned,
    EventType::SwitchHeld,
];

/// How many characters of one foreign text are repeated.
const LONGEST: usize = 500;

/// How much an event matters to its reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// A person is to do something.
    Wanted,
    /// Something went wrong.
    Bad,
    /// Something went well.
    Good,
    /// To know.
    Note,
}

/// What is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// How much it matters.
    pub level: Level,
    /// One line: whose event, and what happened.
    pub title: String,
    /// What to know of it, and what to do, a paragraph each.
    pub paragraphs: Vec<String>,
    /// Names and values.
    pub facts: Vec<(&'static str, String)>,
    /// Command lines that help the reader further, each with what it does.
    pub commands: Vec<(String, String)>,
}

/// The notice of an event.
pub fn notice(event: EventType, detail: &Detail) -> Notice {
    let (level, happened, advice) = words::words(event);
    let evidence = detail.evidence.as_ref().unwrap_or(&Value::Null);
    let who = match detail.migration_id.as_str() {
        "" => "a message",
        id => id,
    };
    let mut paragraphs = told::told(detail, evidence);
    let asked = approval::asked(event, detail, evidence);
    paragraphs.extend(asked.iter().map(|it| it.who.clone()));
    if !advice.is_empty() {
        paragraphs.push(advice.to_owned());
    }
    let mut commands: Vec<(String, String)> = asked.map(|it| it.commands).unwrap_or_default();
    if !detail.migration_id.is_empty() {
        let status = command("status", detail, "");
        commands.push(("What happened so far".to_owned(), status));
    }
    Notice {
        level,
        title: clean(&format!("{who}: {happened}")),
        paragraphs: paragraphs.iter().map(|it| clean(it)).collect(),
        facts: facts(event, detail),
        commands,
    }
}

fn facts(event: EventType, detail: &Detail) -> Vec<(&'static str, String)> {
    let status = match detail.from {
        Some(from) if from != detail.to => format!("{from} → {}", detail.to),
        _ => detail.to.to_string(),
    };
    let tenant = (detail.tenant_id != DEFAULT_TENANT).then(|| detail.tenant_id.clone());
    let attempt = (detail.attempt > 1).then(|| detail.attempt.to_string());
    [
        ("Event", Some(event.to_string())),
        ("Application", Some(detail.app_name.clone())),
        ("Wave", Some(detail.wave.clone())),
        ("Tenant", tenant),
        ("Status", Some(status)),
        ("Attempt", attempt),
        ("Source server", detail.source_server_id.clone()),
        ("MGN job", detail.job_id.clone()),
        ("At", Some(detail.occurred_at.clone())),
        ("Correlation ID", Some(detail.correlation_id.clone())),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name, clean(&value.filter(|it| !it.is_empty())?))))
    .collect()
}

/// A command line about the migration, with more arguments.
fn command(name: &str, detail: &Detail, more: &str) -> String {
    let mut line = format!("landfall {name} {}{more}", shell(&detail.migration_id));
    if detail.tenant_id != DEFAULT_TENANT {
        let _ = write!(line, " --tenant {}", shell(&detail.tenant_id));
    }
    line
}

/// A word as a shell reads it: what others chose must not become a command of the reader's.
fn shell(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._:/@-".contains(c);
    if !word.is_empty() && !word.starts_with('-') && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", clean(word).replace('\'', r"'\''"))
    }
}

/// Foreign text in one line, without what could steer a reader's screen, and not too long.
fn clean(text: &str) -> String {
    let mut clean: String = text
        .chars()
        .take(LONGEST)
        .map(|c| if steers(c) { ' ' } else { c })
        .collect();
    if text.chars().nth(LONGEST).is_some() {
        clean.push('…');
    }
    clean
}

#[cfg(test)]
mod tests;
