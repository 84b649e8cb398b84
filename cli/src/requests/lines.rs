//! Lines of a file: where a broken one ends, and what is said of one.

use landfall_domain::schema::Rejection;
use landfall_domain::{Finding, MigrationRequest, schema};

use super::Document;

/// The reason of a refusal for want of anything to judge.
const NONE: &str = "NO_REQUEST";

/// Where a document ends that begins at a place and is no JSON: with its line, where another value begins the next one, as in
/// a file with a request on each line; else with the text.
pub(super) fn broken(text: &str, start: usize) -> usize {
    let rest = text.get(start..).unwrap_or_default();
    let begins_line = text
        .get(..start)
        .is_none_or(|before| before.is_empty() || before.ends_with('\n'));
    let Some((line, after)) = rest.split_once('\n') else {
        return text.len();
    };
    let mut next = after.lines().filter(|line| !line.trim().is_empty());
    // What is indented belongs to something that began before.
    let is_of_lines = next.next().is_none_or(|line| line.starts_with('{'));
    // A list that is spread over lines begins with one of its own.
    if begins_line && is_of_lines && !line.starts_with('[') {
        start + line.len()
    } else {
        text.len()
    }
}

/// Judges a document by the rules of the deployment; a fault of its JSON is told by the line of the file.
pub(super) fn parse(document: &Document) -> Result<MigrationRequest, Rejection> {
    if let Some(message) = emptiness(document) {
        let finding = Finding::blocking(NONE, "", message).remedy("Put a request into it.");
        return Err(Rejection {
            reason: NONE,
            findings: vec![finding],
            migration_id: None,
            tenant_id: None,
        });
    }
    schema::parse(&document.body).map_err(|mut rejection| {
        let fault = serde_json::from_str::<serde::de::IgnoredAny>(&document.body).err();
        if let (Some(fault), [finding]) = (fault, rejection.findings.as_mut_slice())
            && finding.code == "NOT_JSON"
        {
            let said = fault.to_string();
            let at = format!(" at line {} column {}", fault.line(), fault.column());
            let said = said.strip_suffix(&at).unwrap_or(&said);
            finding.message = format!(
                "this is not JSON: {said}, at line {} column {} of the file.",
                document.line + fault.line().saturating_sub(1),
                fault.column()
            );
        }
        rejection
    })
}

/// That there is nothing in it, if there is nothing.
fn emptiness(document: &Document) -> Option<&'static str> {
    if document.body.is_empty() {
        return Some("the file is empty: it holds no request.");
    }
    let mut lists = serde_json::Deserializer::from_str(&document.body).into_iter::<Vec<()>>();
    let is_empty = lists.all(|list| list.is_ok_and(|list| list.is_empty()));
    is_empty.then_some("the list of requests is empty.")
}
