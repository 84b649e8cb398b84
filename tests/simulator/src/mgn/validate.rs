//! Checks a request against the service's own model, as the service does and as its clients do not:
//! required members, types, lengths, ranges, patterns and enums.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::Regex;
use serde::Deserialize;
use serde_json::Value;

use crate::error::ApiError;

/// What an operation looks like from outside.
#[derive(Debug, Deserialize)]
pub struct Operation {
    /// The method.
    pub method: String,
    /// The path; `{resourceArn}` stands for one segment.
    pub uri: String,
    /// The status of success.
    pub status: u16,
    input: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Shape {
    #[serde(rename = "type")]
    kind: String,
    min: Option<i64>,
    max: Option<i64>,
    pattern: Option<String>,
    #[serde(default, rename = "enum")]
    choices: Vec<String>,
    #[serde(default)]
    required: Vec<String>,
    #[serde(default)]
    members: BTreeMap<String, String>,
    member: Option<String>,
    key: Option<String>,
    value: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
struct Model {
    operations: BTreeMap<String, Operation>,
    shapes: BTreeMap<String, Shape>,
}

// The file is part of the program and a test reads it; a broken one would serve no operation at all.
static MODEL: LazyLock<Model> =
    LazyLock::new(|| serde_json::from_str(include_str!("model.json")).unwrap_or_default());

// Patterns in the model are meant for the whole text.
static PATTERNS: LazyLock<BTreeMap<&str, Regex>> = LazyLock::new(|| {
    let patterns = MODEL.shapes.values().filter_map(|s| s.pattern.as_deref());
    patterns
        .filter_map(|p| Some((p, Regex::new(&format!("^(?:{p})$")).ok()?)))
        .collect()
});

/// The operation of this name.
pub fn operation(name: &str) -> Option<&'static Operation> {
    MODEL.operations.get(name)
}

/// Every operation's name.
pub fn names() -> impl Iterator<Item = &'static str> {
    MODEL.operations.keys().map(String::as_str)
}

/// Checks an input; all wrong fields are reported at once.
pub fn check(name: &str, input: &Value) -> Result<(), ApiError> {
    let Some(shape) = operation(name).and_then(|op| op.input.as_deref()) else {
        return Ok(());
    };
    let mut wrong = Vec::new();
    walk(shape, input, "", &mut wrong);
    if wrong.is_empty() {
        return Ok(());
    }
    let list: Vec<_> = wrong
        .iter()
        .map(|(field, message)| format!("{field}: {message}"))
        .collect();
    Err(ApiError::validation(
        "fieldValidationFailed",
        list.join("; "),
        &wrong,
    ))
}

fn walk(name: &str, value: &Value, path: &str, wrong: &mut Vec<(String, String)>) {
    let Some(shape) = MODEL.shapes.get(name) else {
        return;
    };
    let mut say = |message: String| wrong.push((path.to_owned(), message));
    match (shape.kind.as_str(), value) {
        ("structure", Value::Object(members)) => {
            for required in &shape.required {
                if members.get(required).is_none_or(Value::is_null) {
                    wrong.push((join(path, required), "is required".into()));
                }
            }
            for (member, kind) in &shape.members {
                if let Some(value) = members.get(member).filter(|v| !v.is_null()) {
                    walk(kind, value, &join(path, member), wrong);
                }
            }
        }
        ("list", Value::Array(items)) => {
            size(shape, items.len(), "items", &mut say);
            for (i, item) in items.iter().enumerate() {
                walk(
                    shape.member.as_deref().unwrap_or_default(),
                    item,
                    &format!("{path}[{i}]"),
                    wrong,
                );
            }
        }
        ("map", Value::Object(entries)) => {
            size(shape, entries.len(), "entries", &mut say);
            for (key, value) in entries {
                let path = join(path, key);
                walk(
                    shape.key.as_deref().unwrap_or_default(),
                    &Value::String(key.clone()),
                    &path,
                    wrong,
                );
                walk(
                    shape.value.as_deref().unwrap_or_default(),
                    value,
                    &path,
                    wrong,
                );
            }
        }
        ("string", Value::String(text)) => {
            size(shape, text.chars().count(), "characters", &mut say);
            if !shape.choices.is_empty() && !shape.choices.contains(text) {
                say(format!(
                    "`{text}` is not one of {}",
                    shape.choices.join(", ")
                ));
            }
            if let Some(pattern) = shape.pattern.as_deref()
                && PATTERNS
                    .get(pattern)
                    .is_some_and(|regex| !regex.is_match(text))
            {
                say(format!("`{text}` does not fit the pattern {pattern}"));
            }
        }
        ("integer" | "long", Value::Number(number)) => match number.as_i64() {
            None => say(format!("{number} is not a whole number")),
            Some(n)
                if shape.min.is_some_and(|min| n < min) || shape.max.is_some_and(|max| n > max) =>
            {
                say(format!(
                    "{n} is outside {}..{}",
                    shape.min.map_or(String::new(), |n| n.to_string()),
                    shape.max.map_or(String::new(), |n| n.to_string())
                ));
            }
            Some(_) => {}
        },
        ("boolean", Value::Bool(_)) | ("float" | "double" | "timestamp", _) => {}
        (kind, _) => say(format!("must be a {kind}")),
    }
}

fn size(shape: &Shape, length: usize, unit: &str, say: &mut impl FnMut(String)) {
    let length = i64::try_from(length).unwrap_or(i64::MAX);
    if shape.max.is_some_and(|max| length > max) {
        say(format!(
            "has {length} {unit}, at most {} are allowed",
            shape.max.unwrap_or_default()
        ));
    }
    if shape.min.is_some_and(|min| length < min) {
        say(format!(
            "has {length} {unit}, at least {} are needed",
            shape.min.unwrap_or_default()
        ));
    }
}

fn join(path: &str, member: &str) -> String {
    if path.is_empty() {
        member.to_owned()
    } else {
        format!("{path}.{member}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fields(name: &str, input: &Value) -> Vec<String> {
        match check(name, input) {
            Ok(()) => Vec::new(),
            Err(e) => e.extra["fieldList"]
                .as_array()
                .unwrap()
                .iter()
                .map(|f| f["name"].as_str().unwrap().to_owned())
                .collect(),
        }
    }

    #[test]
    fn every_pattern_of_the_model_compiles() {
        let patterns: std::collections::BTreeSet<_> = MODEL
            .shapes
            .values()
            .filter_map(|s| s.pattern.as_deref())
            .collect();
        assert_eq!(patterns.len(), PATTERNS.len());
        assert!(names().count() >= 70);
    }

    #[test]
    fn the_wrong_fields_are_named() {
        let id = "s-11111111111111111";
        let table = [
            ("StartTest", json!({}), vec!["sourceServerIDs"]),
            (
                "StartTest",
                json!({"sourceServerIDs": []}),
                vec!["sourceServerIDs"],
            ),
            (
                "StartTest",
                json!({"sourceServerIDs": vec![id; 201]}),
                vec!["sourceServerIDs"],
            ),
            (
                "StartTest",
                json!({"sourceServerIDs": [id, "nope"]}),
                vec!["sourceServerIDs[1]", "sourceServerIDs[1]"],
            ),
            (
                "StartTest",
                json!({"sourceServerIDs": [id], "unknown": 1}),
                vec![],
            ),
            (
                "DescribeSourceServers",
                json!({"maxResults": 1001}),
                vec!["maxResults"],
            ),
            (
                "DescribeSourceServers",
                json!({"maxResults": "9", "filters": null}),
                vec!["maxResults"],
            ),
            (
                "ChangeServerLifeCycleState",
                json!({"sourceServerID": id, "lifeCycle": {"state": "TESTING"}}),
                vec!["lifeCycle.state"],
            ),
        ];
        for (operation, input, expected) in table {
            assert_eq!(fields(operation, &input), expected, "{operation} {input}");
        }
    }
}
