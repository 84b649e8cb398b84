//! What `landfall validate` prints: for each request a verdict, the findings, and what differs in MGN.

use std::fmt::Write as _;
use std::path::Path;

use landfall_domain::{Finding, Severity};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::table::{self, Cell};
use super::text::{Palette, clean, wrapped};
use crate::error::CliError;
use crate::requests::Document;

/// What the deployment's pre-flight answers to a dry run.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// Everything that it found. An answer that does not say is none: silence must not pass for readiness.
    pub findings: Vec<Finding>,
    /// The phases that the migration would go through.
    #[serde(default)]
    pub plan: Value,
    /// The server in MGN; absent where MGN does not know it yet, or knows several.
    pub source_server_id: Option<String>,
    /// The digest of the launch settings that the request asks for.
    pub settings_digest: Option<String>,
    /// What differs in MGN from what the request asks for; absent where MGN does not know the server yet, or where it
    /// was not asked for.
    pub differences: Option<Vec<Difference>>,
}

/// One setting that MGN has otherwise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// The request's field.
    pub field: String,
    /// What MGN has; null where it has nothing.
    #[serde(default)]
    pub present: Value,
    /// What the request asks for.
    #[serde(default)]
    pub wanted: Value,
    /// Whether the change would make MGN copy the disks anew.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub resync: bool,
}

/// Why a request could not be checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What happened, and what to do about it.
    pub error: CliError,
    /// Whether any other request would have met the same.
    pub same_for_all: bool,
}

/// All that is known of one request.
#[derive(Clone, Debug)]
pub struct Report {
    /// The file it came from.
    pub file: String,
    /// Its place in the file, from 1.
    pub number: usize,
    /// The line on which it begins.
    pub line: usize,
    /// The `migrationId`, if it has one.
    pub migration_id: Option<String>,
    /// The source's ID of the server, if it names one.
    pub source_vm_id: Option<String>,
    /// Everything that was found, here first and then by the deployment.
    pub findings: Vec<Finding>,
    /// What the deployment said; its findings are with the others.
    pub answer: Option<Answer>,
    /// Why it said nothing.
    pub failure: Option<Failure>,
}

impl Report {
    /// The report of a document, before anything is known of it.
    pub fn of(document: &Document) -> Self {
        let server = document
            .value
            .as_ref()
            .and_then(|it| it["sourceVmId"].as_str());
        Self {
            file: document.file.clone(),
            number: document.number,
            line: document.line,
            migration_id: document.migration_id().map(str::to_owned),
            source_vm_id: server.map(str::to_owned),
            findings: Vec::new(),
            answer: None,
            failure: None,
        }
    }

    /// The report of a file that cannot be read.
    pub fn unread(file: &Path, error: CliError) -> Self {
        Self {
            file: file.display().to_string(),
            number: 1,
            line: 1,
            migration_id: None,
            source_vm_id: None,
            findings: Vec::new(),
            answer: None,
            failure: Some(Failure {
                error,
                same_for_all: false,
            }),
        }
    }

    /// Notes what the deployment said.
    pub fn take(&mut self, answer: Result<Answer, Failure>) {
        match answer {
            Ok(mut answer) => {
                self.findings.append(&mut answer.findings);
                self.answer = Some(answer);
            }
            Err(failure) => self.failure = Some(failure),
        }
    }

    /// Whether something stops the migration.
    pub fn is_blocked(&self) -> bool {
        self.findings.iter().any(Finding::is_blocking)
    }

    /// For scripts.
    pub fn json(&self, diff: bool) -> Value {
        let verdict = match (self.is_blocked(), &self.failure) {
            (true, _) => "blocked",
            (false, Some(_)) => "unknown",
            (false, None) => "ready",
        };
        let answer = self.answer.as_ref();
        let mut report = json!({
            "file": self.file,
            "index": self.number,
            "line": self.line,
            "migrationId": self.migration_id,
            "verdict": verdict,
            "findings": self.findings,
            "plan": answer.map(|answer| &answer.plan),
            "sourceServerId": answer.and_then(|answer| answer.source_server_id.as_ref()),
            "settingsDigest": answer.and_then(|answer| answer.settings_digest.as_ref()),
            "error": self.failure.as_ref().map(|failure| {
                json!({"message": failure.error.what, "remedy": failure.error.remedy})
            }),
        });
        if diff {
            report["differences"] = json!(answer.and_then(|answer| answer.differences.as_ref()));
        }
        report
    }

    /// `ready with 1 warning`, `2 faults, 1 warning`, `not checked`, in its colour.
    fn verdict(&self, palette: Palette) -> String {
        let faults = self.findings.iter().filter(|it| it.is_blocking()).count();
        let warnings = counted(self.findings.len() - faults, "warning");
        let faults = counted(faults, "fault");
        match (faults, warnings, &self.failure) {
            (None, None, None) => palette.good("ready"),
            (None, Some(warnings), None) => palette.caution(&format!("ready with {warnings}")),
            (Some(faults), None, None) => palette.bad(&faults),
            (Some(faults), Some(warnings), None) => palette.bad(&format!("{faults}, {warnings}")),
            (None, _, Some(_)) => palette.bad("not checked"),
            (Some(faults), _, Some(_)) => {
                palette.bad(&format!("{faults}, and not checked further"))
            }
        }
    }

    fn heading(&self, palette: Palette) -> String {
        let mut names: Vec<&str> = Vec::new();
        names.extend(self.source_vm_id.as_deref());
        names.extend(
            self.answer
                .as_ref()
                .and_then(|it| it.source_server_id.as_deref()),
        );
        let mut heading = palette.heading(&clean(self.migration_id.as_deref().unwrap_or("-")));
        if !names.is_empty() {
            let _ = write!(heading, "  {}", clean(&names.join(", ")));
        }
        let (file, line, number) = (clean(&self.file), self.line, self.number);
        let verdict = self.verdict(palette);
        let _ = write!(
            heading,
            "  {verdict}  ({file}, line {line}, request {number})"
        );
        heading
    }

    /// What stands below the heading.
    fn body(&self, diff: bool, width: Option<usize>, palette: Palette) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(Failure {
            error,
            same_for_all: false,
        }) = &self.failure
        {
            for line in error.what.lines().chain([error.remedy.as_str()]) {
                lines.extend(folded(&clean(line), width));
            }
        }
        if !self.findings.is_empty() {
            let header = ["SEVERITY", "CODE", "FIELD", "FINDING"];
            let rows = self.findings.iter();
            let rows = rows.flat_map(|finding| rows_of(finding, width.is_some(), palette));
            lines.extend(laid_out(header, rows.collect(), width));
        }
        if let (true, Some(answer)) = (diff, &self.answer) {
            if !lines.is_empty() {
                lines.push(String::new());
            }
            let known = answer.source_server_id.is_some();
            let found = answer.differences.as_deref();
            lines.extend(differences(found, known, width, palette));
        }
        lines
    }
}

/// All reports, in the order of the files. `width` is that of the terminal; without one each finding is one line, however
/// long.
pub fn text(reports: &[Report], diff: bool, width: Option<usize>, palette: Palette) -> String {
    let room = width.map(|width| width.saturating_sub(INDENT.len()));
    let mut out = String::new();
    let mut apart = false;
    for (index, report) in reports.iter().enumerate() {
        let body = report.body(diff, room, palette);
        // Headings alone stand close together; one with a table below it stands apart.
        if index > 0 && (apart || !body.is_empty()) {
            out.push('\n');
        }
        apart = !body.is_empty();
        let _ = writeln!(out, "{}", report.heading(palette));
        for line in body {
            let indent = if line.is_empty() { "" } else { INDENT };
            let _ = writeln!(out, "{indent}{line}");
        }
    }
    if reports.len() > 1 {
        let _ = writeln!(out, "\n{}", summary(reports));
    }
    out
}

const INDENT: &str = "  ";

/// How many ended how.
fn summary(reports: &[Report]) -> String {
    let of = |which: fn(&Report) -> bool| reports.iter().filter(|report| which(report)).count();
    let counts = [
        (
            of(|it| it.failure.is_none() && it.findings.is_empty()),
            "ready",
        ),
        (
            of(|it| it.failure.is_none() && !it.findings.is_empty() && !it.is_blocked()),
            "ready with warnings",
        ),
        (
            of(|it| it.failure.is_none() && it.is_blocked()),
            "with faults",
        ),
        (of(|it| it.failure.is_some()), "not checked"),
    ];
    let told: Vec<String> = counts
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    format!(
        "{} requests: {}; nothing was submitted",
        reports.len(),
        told.join(", ")
    )
}

/// The rows of a finding: on a terminal its evidence and its remedy below its message, else all in one.
fn rows_of(finding: &Finding, apart: bool, palette: Palette) -> Vec<[Cell; 4]> {
    let severity = match finding.severity {
        Severity::Blocking => Cell::painted("blocking", palette.bad("blocking")),
        Severity::Warning => Cell::painted("warning", palette.caution("warning")),
    };
    let evidence = match (&finding.found, &finding.wanted) {
        (Value::Null, Value::Null) => String::new(),
        (found, Value::Null) => format!("found {}", shown(found)),
        (Value::Null, wanted) => format!("wanted {}", shown(wanted)),
        (found, wanted) => format!("found {} → wanted {}", shown(found), shown(wanted)),
    };
    let parts = [finding.message.clone(), evidence, finding.remedy.clone()];
    let mut parts = parts.into_iter().filter(|part| !part.is_empty());
    let pointer = match finding.pointer.as_str() {
        "" => "-",
        pointer => pointer,
    };
    let said = if apart {
        parts.next().unwrap_or_default()
    } else {
        parts.by_ref().collect::<Vec<_>>().join("  ")
    };
    let mut rows = vec![[
        severity,
        finding.code.as_str().into(),
        pointer.into(),
        said.into(),
    ]];
    rows.extend(parts.map(|part| ["".into(), "".into(), "".into(), part.into()]));
    rows
}

fn differences(
    differences: Option<&[Difference]>,
    known: bool,
    width: Option<usize>,
    palette: Palette,
) -> Vec<String> {
    let differences = match differences {
        None => {
            return folded(
                if known {
                    "Not compared: mend the findings about the server and its disks first."
                } else {
                    "MGN does not know the server yet: there is nothing to compare with."
                },
                width,
            );
        }
        Some([]) => return folded("No difference: MGN has what the request asks for.", width),
        Some(differences) => differences,
    };
    let rows = differences.iter().map(|it| {
        let mark = "forces a resync";
        [
            it.field.as_str().into(),
            shown(&it.present).into(),
            shown(&it.wanted).into(),
            if it.resync {
                Cell::painted(mark, palette.caution(mark))
            } else {
                "".into()
            },
        ]
    });
    laid_out(["FIELD", "PRESENT", "WANTED", ""], rows.collect(), width)
}

/// A value for a person: a text as it is, anything else as JSON.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => "(none)".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// `1 fault`, `2 faults`, or nothing.
fn counted(count: usize, what: &str) -> Option<String> {
    match count {
        0 => None,
        1 => Some(format!("1 {what}")),
        _ => Some(format!("{count} {what}s")),
    }
}

fn folded(text: &str, width: Option<usize>) -> Vec<String> {
    width.map_or_else(|| vec![text.to_owned()], |width| wrapped(text, width))
}

fn laid_out<const N: usize>(
    header: [&str; N],
    rows: Vec<[Cell; N]>,
    width: Option<usize>,
) -> Vec<String> {
    match width {
        Some(width) => table::fitted(header, rows, width),
        None => table::lines(header, rows),
    }
}

#[cfg(test)]
mod tests;
