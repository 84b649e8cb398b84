//! What the event itself says of why, in the words of whoever wrote its evidence. Only members that are meant for people
//! are repeated.

use std::fmt::Write as _;

use serde_json::Value;

use crate::event::Detail;

/// How many findings, or steps of a list, are repeated; the others are counted.
const FEW: usize = 5;
/// How many lines of a hand-over are repeated: all that a person must do is in `landfall status`.
const LINES: usize = 40;

/// A paragraph each.
pub(super) fn told(detail: &Detail, evidence: &Value) -> Vec<String> {
    let mut told = Vec::new();
    if let Some(order) = person(&evidence["emergency"]) {
        told.push(format!(
            "EMERGENCY: nobody is asked for approval, as ordered by {order}"
        ));
    }
    if let Some(order) = person(&evidence["order"]) {
        told.push(format!("Ordered by {order}"));
    }
    let one = std::iter::once(&evidence["answer"]);
    for answer in one.chain(evidence["answers"].as_array().into_iter().flatten()) {
        told.extend(answered(answer));
    }
    if let Some(text) = evidence["handOver"].as_str() {
        // It says what `because` and the lists say.
        told.extend(text.lines().take(LINES).map(|line| line.trim().to_owned()));
    } else {
        for name in ["because", "rawError", "remedy"] {
            told.extend(evidence[name].as_str().map(str::to_owned));
        }
        told.extend(listed("Done", &evidence["done"], "compensation"));
        told.extend(listed("Cannot be undone", &evidence["irreversible"], ""));
    }
    failure(&mut told, &evidence["failure"]);
    findings(&mut told, &evidence["findings"]);
    if let Some(until) = evidence["until"].as_str() {
        told.push(format!("As it looks now, until {until}."));
    }
    if let Some(seconds) = evidence["outage"]["outageSeconds"].as_u64() {
        let minutes = seconds.div_ceil(60);
        told.push(if seconds < 60 {
            format!("The outage took {seconds} seconds.")
        } else {
            format!("The outage took {minutes} minutes ({seconds} seconds).")
        });
    }
    if let (true, Some(code)) = (told.is_empty(), &detail.reason_code) {
        told.push(format!("The reason is {code}."));
    }
    told
}

/// `{by, reason}`: who, and why.
fn person(order: &Value) -> Option<String> {
    let by = order["by"].as_str()?;
    let reason = order["reason"].as_str().unwrap_or("no reason was given");
    Some(format!("{by}: {reason}"))
}

fn answered(answer: &Value) -> Option<String> {
    let said = if answer["approve"].as_bool()? {
        "agreed"
    } else {
        "refused"
    };
    let (by, reason) = (answer["by"].as_str()?, answer["reason"].as_str()?);
    let change = answer["changeReference"].as_str();
    let change = change.map_or_else(String::new, |it| format!(" ({it})"));
    Some(format!("{by} {said}{change}: {reason}"))
}

/// A list in one line; of objects, one member.
fn listed(title: &str, list: &Value, member: &str) -> Option<String> {
    let all = list.as_array()?;
    let names: Vec<&str> = all
        .iter()
        .filter_map(|it| it.as_str().or_else(|| it[member].as_str()))
        .collect();
    if names.is_empty() {
        return None;
    }
    let mut text = format!("{title}: {}", names[..names.len().min(FEW)].join(", "));
    if names.len() > FEW {
        let _ = write!(text, " and {} more", names.len() - FEW);
    }
    Some(text + ".")
}

/// `{error, message, state, findings}`.
fn failure(told: &mut Vec<String>, failure: &Value) {
    if let (Some(error), Some(message)) = (failure["error"].as_str(), failure["message"].as_str()) {
        let state = failure["state"].as_str().filter(|it| !it.is_empty());
        let state = state.map_or_else(String::new, |it| format!(" in {it}"));
        told.push(format!("{error}{state}: {message}"));
        findings(told, &failure["findings"]);
    }
}

fn findings(told: &mut Vec<String>, findings: &Value) {
    let findings = findings.as_array().map_or(&[][..], Vec::as_slice);
    for finding in findings.iter().take(FEW) {
        let text = |name: &str| finding[name].as_str().unwrap_or_default();
        let mut line = format!("{}: {}", text("code"), text("message"));
        if !text("remedy").is_empty() {
            let _ = write!(line, " {}", text("remedy"));
        }
        told.push(line);
    }
    if findings.len() > FEW {
        told.push(format!("And {} more.", findings.len() - FEW));
    }
}
