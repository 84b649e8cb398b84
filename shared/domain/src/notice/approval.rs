//! How to answer when people are asked.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::{command, shell};
use crate::event::{Detail, EventType};
use crate::gate::ApprovalRule;

/// Who is asked, and what they may type.
pub(super) struct Asked {
    pub(super) who: String,
    pub(super) commands: Vec<(String, String)>,
}

/// What an event that asks people says to them.
pub(super) fn asked(event: EventType, detail: &Detail, evidence: &Value) -> Option<Asked> {
    if !matches!(
        event,
        EventType::ApprovalRequested | EventType::ApprovalEscalated
    ) {
        return None;
    }
    let gate = evidence["gate"].as_str()?;
    let rules: Vec<ApprovalRule> =
        serde_json::from_value(evidence["rules"].clone()).unwrap_or_default();
    let escalated = event == EventType::ApprovalEscalated;
    let each: Vec<String> = rules
        .iter()
        .map(|rule| {
            let mut names = rule.approvers.clone();
            if escalated {
                names.extend(rule.escalate_to.iter().cloned());
            }
            let mut text = format!("{} of {}", rule.count, names.join(", "));
            // An escalation comes later; the time to answer counts from the first question.
            if !escalated && let Some(end) = end(&detail.occurred_at, rule.deadline_seconds) {
                text = format!("{text} until {end}");
            }
            text
        })
        .collect();
    let reference = if rules.iter().any(|rule| rule.require_change_reference) {
        " --change-reference CHANGE"
    } else {
        ""
    };
    let gate = shell(gate);
    let approve = format!(" --gate {gate} --reason WHY{reference}");
    let deny = format!(" --gate {gate} --reason WHY");
    Some(Asked {
        who: format!("At the gate {gate} this is wanted: {}.", each.join("; ")),
        commands: vec![
            ("To agree".to_owned(), command("approve", detail, &approve)),
            ("To refuse".to_owned(), command("deny", detail, &deny)),
        ],
    })
}

fn end(from: &str, seconds: u32) -> Option<Timestamp> {
    let from: Timestamp = from.parse().ok()?;
    from.checked_add(SignedDuration::from_secs(i64::from(seconds)))
        .ok()
}
