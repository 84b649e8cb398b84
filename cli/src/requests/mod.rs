//! Reading requests from files: one JSON object, an array of them, several in a row, or one per line; and checking
//! each as the deployment will.

mod collisions;
mod lines;

use std::io::Read as _;
use std::ops::Range;
use std::path::Path;

use landfall_common::correlation;
use landfall_domain::request::DEFAULT_TENANT;
use landfall_domain::{Finding, MigrationRequest, schema};
use serde::de::IgnoredAny;
use serde_json::Value;

use self::collisions::Collisions;
use crate::error::{CliError, Exit};

/// One message to be.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// The file it came from.
    pub file: String,
    /// Its place in the file, from 1.
    pub number: usize,
    /// The line on which it begins.
    pub line: usize,
    /// The body to send.
    pub body: String,
    /// The same as JSON, if it is JSON.
    pub value: Option<Value>,
}

/// What is wrong with one document.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    /// The file it came from.
    pub file: String,
    /// Its place in the file, from 1.
    pub number: usize,
    /// The line on which it begins.
    pub line: usize,
    /// The `migrationId`, if it has one.
    pub migration_id: Option<String>,
    /// The stable reason, as the deployment would give it.
    pub reason: String,
    /// Everything that is wrong.
    pub findings: Vec<Finding>,
}

impl Document {
    fn text(&self, name: &str) -> Option<&str> {
        self.value.as_ref()?.get(name)?.as_str()
    }

    /// The caller's ID of the migration, if there is one.
    pub fn migration_id(&self) -> Option<&str> {
        self.text("migrationId")
    }

    /// The tenant.
    pub fn tenant_id(&self) -> &str {
        self.text("tenantId").unwrap_or(DEFAULT_TENANT)
    }

    /// The correlation ID of the request, or a new one.
    pub fn correlation_id(&self) -> String {
        correlation::choose(None, self.text("correlationId"))
    }

    /// Where it stands, for a person.
    pub fn place(&self) -> String {
        format!("{}, request {}", self.file, self.number)
    }

    fn problem(&self, reason: &str, findings: Vec<Finding>) -> Problem {
        Problem {
            file: self.file.clone(),
            number: self.number,
            line: self.line,
            migration_id: self.migration_id().map(str::to_owned),
            reason: reason.to_owned(),
            findings,
        }
    }
}

/// The text of a file, `-` for standard input.
pub fn read(file: &Path) -> Result<String, CliError> {
    let text = if file.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(file)
    };
    text.map_err(|error| {
        CliError::new(
            format!("{} cannot be read: {error}", file.display()),
            "Name files of JSON in UTF-8, or - for standard input; nothing was sent.",
        )
        .exit(Exit::Invalid)
    })
}

/// Splits the text of a file into its documents. A line of a file of lines that is no JSON is a document of its own, and so
/// is all that follows such a fault in another file: [`check`] names the fault, and who sends it all the same sends it as
/// it stands.
pub fn split(file: &str, text: &str) -> Vec<Document> {
    let text = text.trim_start_matches('\u{feff}');
    let mut documents: Vec<Document> = Vec::new();
    let mut push = |span: Range<usize>, value: Option<Value>| {
        let before = text.get(..span.start).unwrap_or_default();
        let written = text.get(span).unwrap_or_default().trim_end();
        let body = match &value {
            // As a value it has only one of each key: what the deployment must judge is what was written.
            Some(value) if schema::repeated_keys(written).is_empty() => value.to_string(),
            _ => written.to_owned(),
        };
        documents.push(Document {
            file: file.to_owned(),
            number: documents.len() + 1,
            line: before.matches('\n').count() + 1,
            body,
            value,
        });
    };
    // White space belongs to neither document.
    let mut at = skipped(text, 0, char::is_whitespace);
    while at < text.len() {
        let rest = text.get(at..).unwrap_or_default();
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<Value>();
        let read = values.next();
        let end = match read {
            Some(Ok(_)) => at + values.byte_offset(),
            _ => lines::broken(text, at),
        };
        match read {
            Some(Ok(Value::Array(items))) => {
                let mut end = at + 1;
                for item in items {
                    let begin = skipped(text, end, |c| c.is_whitespace() || c == ',');
                    end = begin + length(text.get(begin..).unwrap_or_default());
                    push(begin..end, Some(item));
                }
            }
            Some(Ok(value)) => push(at..end, Some(value)),
            _ => push(at..end, None),
        }
        at = skipped(text, end, char::is_whitespace);
    }
    if documents.is_empty() {
        // So that an empty file, or an empty array, is a finding and not a silent success.
        let body = text.trim().to_owned();
        documents.push(Document {
            file: file.to_owned(),
            number: 1,
            line: 1,
            value: serde_json::from_str(&body).ok(),
            body,
        });
    }
    documents
}

/// Where a text goes on after what is skipped from a place on.
fn skipped(text: &str, from: usize, skip: impl Fn(char) -> bool) -> usize {
    let rest = text.get(from..).unwrap_or_default();
    from + rest.len() - rest.trim_start_matches(skip).len()
}

/// How many bytes the JSON value takes with which a text begins.
fn length(text: &str) -> usize {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<IgnoredAny>();
    values.next();
    values.byte_offset()
}

/// What can be said of a document without asking anybody.
#[derive(Clone, Debug, PartialEq)]
pub struct Judgement {
    /// The request, where the schema takes it.
    pub request: Option<MigrationRequest>,
    /// The stable reason for a refusal, as the deployment would give it.
    pub reason: Option<&'static str>,
    /// Everything that is wrong.
    pub findings: Vec<Finding>,
}

/// Judges each document by the rules of the deployment, and by what it shares with those before it.
pub fn judge(documents: &[Document]) -> Vec<Judgement> {
    let parsed: Vec<_> = documents.iter().map(lines::parse).collect();
    let mut collisions = Collisions::default();
    let findings: Vec<_> = documents
        .iter()
        .zip(&parsed)
        .map(|(document, parsed)| match parsed {
            Ok(request) => collisions.with(request, document.place()),
            Err(rejection) => rejection.findings.clone(),
        })
        .collect();
    parsed
        .into_iter()
        .zip(findings)
        .map(|(parsed, findings)| Judgement {
            reason: match &parsed {
                Err(rejection) => Some(rejection.reason),
                Ok(_) if findings.is_empty() => None,
                Ok(_) => Some(collisions::CODE),
            },
            request: parsed.ok(),
            findings,
        })
        .collect()
}

/// The documents with which something is wrong, see [`judge`].
pub fn check(documents: &[Document]) -> Vec<Problem> {
    documents
        .iter()
        .zip(judge(documents))
        .filter_map(|(document, judgement)| {
            Some(document.problem(judgement.reason?, judgement.findings))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALID: &str = r#"{"migrationId": "mig-1", "appName": "a", "source": "azure", "target": "aws",
        "environment": "prod", "wave": "w", "steps": ["replicate"], "sourceVmId": "vm-1"}"#;

    fn ids(text: &str) -> Vec<Option<String>> {
        split("f", text)
            .iter()
            .map(|document| document.migration_id().map(str::to_owned))
            .collect()
    }

    #[test]
    fn objects_arrays_and_lines_all_count() {
        let one = r#"{"migrationId":"1"}"#;
        let two = r#"{"migrationId":"2"}"#;
        for text in [
            format!("{one}\n{two}\n"),
            format!("{one}{two}"),
            format!("[{one}, {two}]"),
            format!("\u{feff}[{one}]\n{two}"),
        ] {
            assert_eq!(
                ids(&text),
                [Some("1".to_owned()), Some("2".to_owned())],
                "{text}"
            );
        }
    }

    #[test]
    fn each_item_of_an_array_has_its_own_line() {
        let documents = split("f", "[\n  {\"a\": [1, 2]}\n, 3 ,4,\n\n\"x,]\"\n]\n{}");
        let found: Vec<_> = documents
            .iter()
            .map(|document| (document.number, document.line, document.body.as_str()))
            .collect();
        assert_eq!(
            found,
            [
                (1, 2, "{\"a\":[1,2]}"),
                (2, 3, "3"),
                (3, 3, "4"),
                (4, 5, "\"x,]\""),
                (5, 7, "{}")
            ]
        );
    }

    #[test]
    fn a_key_that_stands_twice_is_a_problem_and_not_the_last_one_s_victory() {
        let twice = VALID.replacen(r#""appName": "a""#, r#""appName": "a", "appName": "b""#, 1);
        for text in [twice.clone(), format!("[{VALID},\n {twice}]")] {
            let documents = split("f", &text);
            let problems = check(&documents);
            assert_eq!(problems.len(), 1, "{text}");
            assert_eq!(problems[0].reason, "DUPLICATE_KEY");
            assert_eq!(problems[0].findings[0].pointer, "/appName");
            // Who sends it all the same sends both, for the deployment to refuse.
            assert_eq!(documents.last().unwrap().body, twice);
        }
    }

    #[test]
    fn what_is_no_json_stays_as_it_stands() {
        let documents = split("f", "{\"migrationId\":\"1\"}\n{\"migrationId\": oops}\n");
        assert_eq!(documents.len(), 2);
        assert_eq!(documents[1].body, "{\"migrationId\": oops}");
        let problems = check(&documents[1..]);
        assert_eq!(
            (problems[0].number, problems[0].reason.as_str()),
            (2, "NOT_JSON")
        );
        let message = &problems[0].findings[0].message;
        assert!(message.contains("line 2 column 17"), "{message}");
    }

    #[test]
    fn an_empty_file_is_a_problem_that_says_so() {
        for (text, said) in [
            ("", "the file is empty"),
            (" \n", "the file is empty"),
            ("[]", "the list of requests is empty"),
            ("[ ]\n[]", "the list of requests is empty"),
        ] {
            let problems = check(&split("f", text));
            let [problem] = problems.as_slice() else {
                panic!("{text:?}: {problems:?}");
            };
            assert_eq!(problem.reason, "NO_REQUEST", "{text:?}");
            assert!(problem.findings[0].message.contains(said), "{problem:?}");
        }
    }

    #[test]
    fn a_broken_line_is_told_and_the_next_ones_are_read() {
        let line = |number: u32| VALID.replace('\n', " ").replace('1', &number.to_string());
        for broken in [
            "{\"migrationId\": oops}",
            "{\"migrationId\": \"mig-9\"",
            "oops",
            "{\"a\": \"b",
        ] {
            let text = [&line(1), broken, "", &line(2), &line(3)].join("\n");
            let documents = split("f", &text);
            let lines: Vec<_> = documents.iter().map(|it| it.line).collect();
            assert_eq!(lines, [1, 2, 4, 5], "{broken}");
            assert_eq!(documents[1].body, broken);
            let problems = check(&documents);
            assert_eq!(problems.len(), 1, "{problems:?}");
            assert_eq!(problems[0].reason, "NOT_JSON");
            let message = &problems[0].findings[0].message;
            assert!(message.contains("at line 2 column"), "{message}");
        }
        // A fault in a file that is no list of lines leaves nothing to go on with.
        let spread =
            "{\n  \"migrationId\": oops,\n  \"disks\": [\n    {\"deviceName\": \"x\"}\n  ]\n}\n";
        assert_eq!(split("f", spread).len(), 1);
        assert_eq!(split("f", &format!("[\n{spread}]")).len(), 1);
    }

    #[test]
    fn every_document_is_checked_and_ids_are_unique_within_a_tenant() {
        let other_tenant = VALID
            .replacen('{', r#"{"tenantId": "t2","#, 1)
            .replace("vm-1", "vm-2");
        let bad = VALID
            .replace("mig-1", "mig-2")
            .replace("azure", "mainframe");
        let documents = split("f", &[VALID, &other_tenant, &bad, VALID].join("\n"));
        let problems = check(&documents);
        let found: Vec<_> = problems
            .iter()
            .map(|problem| {
                (
                    problem.number,
                    problem.reason.as_str(),
                    problem.findings[0].pointer.as_str(),
                )
            })
            .collect();
        assert_eq!(
            found,
            [
                (3, "SCHEMA_INVALID", "/source"),
                (4, "DUPLICATE_IN_FILES", "/migrationId")
            ]
        );
    }

    #[test]
    fn the_correlation_id_is_the_request_s_or_new() {
        let documents = split(
            "f",
            r#"{"correlationId":"mine"} {"correlationId":"not\nusable"}"#,
        );
        assert_eq!(documents[0].correlation_id(), "mine");
        assert!(documents[1].correlation_id().starts_with("mig-"));
    }
}
