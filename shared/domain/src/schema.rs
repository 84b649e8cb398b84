//! Requests checked against `schemas/migration-request.schema.json`, which is compiled into the binary.

mod keys;
mod words;

use std::sync::LazyLock;

use jsonschema::{ValidationError, Validator};
use serde_json::Value;

use crate::calendar::window;
use crate::finding::Finding;
use crate::request::{MigrationRequest, health, is_id};

pub use keys::repeated as repeated_keys;

/// The schema as published.
pub const MIGRATION_REQUEST: &str = include_str!("../../../schemas/migration-request.schema.json");

/// The largest body that is read, in bytes: half of what the queue carries, so that a refused one still fits the
/// dead-letter queue with its findings, and far above any honest request.
pub const MAX_BODY_BYTES: usize = 128 * 1024;

/// The most findings that a rejection lists; what is beyond is only counted. A body can hold thousands of faults,
/// and the list must fit an item of the table (400 KB) and an event (256 KB).
pub const MAX_FINDINGS: usize = 50;

/// The code of the last finding of a list that is cut; its `found` tells how many were left out.
pub const MORE: &str = "MORE";

/// A message is cut at so many characters: the validator repeats whole values in it.
const MAX_MESSAGE_CHARS: usize = 300;

/// A pointer, and a value that is shown as evidence, is cut at so many characters.
const MAX_EVIDENCE_CHARS: usize = 200;

/// The one format version this build reads.
pub const SUPPORTED_VERSION: &str = "1.0";

static SCHEMA: LazyLock<Option<Value>> =
    LazyLock::new(|| serde_json::from_str(MIGRATION_REQUEST).ok());

static VALIDATOR: LazyLock<Option<Validator>> =
    LazyLock::new(|| jsonschema::draft202012::new(SCHEMA.as_ref()?).ok());

/// A body that is no acceptable request: a stable reason, what is wrong, and the ID where one could be read.
#[derive(Clone, Debug, PartialEq)]
pub struct Rejection {
    /// `NOT_JSON`, `BODY_TOO_LARGE`, `SCHEMA_VERSION_UNSUPPORTED`, `DUPLICATE_KEY` or `SCHEMA_INVALID`.
    pub reason: &'static str,
    /// Everything that is wrong, up to [`MAX_FINDINGS`] and a [`MORE`], each cut to a size that travels.
    pub findings: Vec<Finding>,
    /// The `migrationId`, when the body had a usable one.
    pub migration_id: Option<String>,
    /// The `tenantId`, when the body had a usable one.
    pub tenant_id: Option<String>,
}

/// Parses a message body.
///
/// # Errors
/// [`Rejection`] with the faults of the body at once; each finding names the JSON pointer, the value that was
/// given and the rule it breaks.
pub fn parse(body: &str) -> Result<MigrationRequest, Rejection> {
    // Read even when it is too large, for the ID under which the rejection can be found; a queue's message is
    // never large enough to make that costly.
    let value = serde_json::from_str::<Value>(body);
    let reject = |reason, findings| Rejection::new(reason, findings, value.as_ref().ok());
    if body.len() > MAX_BODY_BYTES {
        return Err(reject("BODY_TOO_LARGE", vec![too_large(body.len())]));
    }
    let value = match &value {
        Ok(value) => value,
        Err(error) => {
            let finding =
                Finding::blocking("NOT_JSON", "", format!("the body is not JSON: {error}."))
                    .remedy("Send one JSON object per message.");
            return Err(reject("NOT_JSON", vec![finding]));
        }
    };
    if let Some(version) = value
        .get("schemaVersion")
        .filter(|v| *v != SUPPORTED_VERSION)
    {
        return Err(reject(
            "SCHEMA_VERSION_UNSUPPORTED",
            vec![unsupported(version)],
        ));
    }
    let mut findings: Vec<Finding> = repeated_keys(body)
        .iter()
        .map(|pointer| keys::finding(pointer))
        .collect();
    let reason = if findings.is_empty() {
        "SCHEMA_INVALID"
    } else {
        "DUPLICATE_KEY"
    };
    findings.extend(findings_of(value));
    if !findings.is_empty() {
        return Err(reject(reason, findings));
    }
    let request: MigrationRequest = serde_json::from_value(value.clone()).map_err(|error| {
        reject(
            "SCHEMA_INVALID",
            vec![Finding::blocking("SCHEMA_INVALID", "", format!("{error}."))],
        )
    })?;
    let mut faults = health::faults(&request.health_checks);
    let window = request.policy.window.as_ref();
    faults.extend(window.map_or_else(Vec::new, |it| window::faults(it, "/policy/window")));
    if faults.is_empty() {
        Ok(request)
    } else {
        Err(reject("SCHEMA_INVALID", faults))
    }
}

/// The first `limit` findings, and one [`MORE`] that counts the others. A list that is cut already can be cut
/// again: its count is carried on.
pub fn first(mut findings: Vec<Finding>, limit: usize) -> Vec<Finding> {
    let mut left_out = match findings.pop_if(|last| last.code == MORE) {
        Some(more) => more.found.as_u64().unwrap_or_default(),
        None => 0,
    };
    left_out += findings.len().saturating_sub(limit) as u64;
    findings.truncate(limit);
    if left_out > 0 {
        findings.push(
            Finding::blocking(
                MORE,
                "",
                format!("more findings are left out here: {left_out}."),
            )
            .evidence(left_out, Value::Null)
            .remedy("Mend what is listed and send the message again."),
        );
    }
    findings
}

impl Rejection {
    fn new(reason: &'static str, findings: Vec<Finding>, body: Option<&Value>) -> Self {
        let id_of = |name: &str| {
            body?
                .get(name)
                .and_then(Value::as_str)
                .filter(|id| is_id(id))
                .map(str::to_owned)
        };
        Self {
            reason,
            findings: first(findings, MAX_FINDINGS)
                .into_iter()
                .map(bounded)
                .collect(),
            migration_id: id_of("migrationId"),
            tenant_id: id_of("tenantId"),
        }
    }
}

fn too_large(bytes: usize) -> Finding {
    Finding::blocking(
        "BODY_TOO_LARGE",
        "",
        format!("the body has {bytes} bytes; the limit is {MAX_BODY_BYTES}."),
    )
    .remedy("Send one server per message, without embedded documents.")
}

fn unsupported(version: &Value) -> Finding {
    Finding::blocking(
        "SCHEMA_VERSION_UNSUPPORTED",
        "/schemaVersion",
        format!("this deployment does not read version {version} of the message."),
    )
    .evidence(version.clone(), SUPPORTED_VERSION)
    .remedy("Send version \"1.0\", or leave schemaVersion out.")
}

fn findings_of(value: &Value) -> Vec<Finding> {
    let Some(validator) = VALIDATOR.as_ref() else {
        return vec![Finding::blocking(
            "SCHEMA_UNREADABLE",
            "",
            "the schema compiled into this binary cannot be read; this is a bug of Landfall.",
        )];
    };
    let mut findings: Vec<Finding> = validator
        .iter_errors(value)
        .map(|error| finding_of(value, &error))
        .collect();
    findings.sort_by(|a, b| (&a.pointer, &a.message).cmp(&(&b.pointer, &b.message)));
    findings.dedup_by(|a, b| a.pointer == b.pointer && a.message == b.message);
    findings
}

fn finding_of(body: &Value, error: &ValidationError<'_>) -> Finding {
    let pointer = error.instance_path().to_string();
    // A callback's URL may hold a secret, and so may a proxy's. Findings go into events: neither they nor the body around
    // them is shown.
    let hidden = match pointer.as_str() {
        "" => Some("the body"),
        "/agent" => Some("the block"),
        "/callbackUrl" | "/agent/proxyUrl" => Some("the URL"),
        _ => None,
    };
    let found = match hidden {
        Some(_) => Value::Null,
        None => error.instance().as_ref().clone(),
    };
    let message = words::message(body, error, hidden);
    Finding::blocking("SCHEMA_INVALID", &pointer, format!("{message}."))
        .evidence(found, words::wanted(error))
        .remedy("See schemas/migration-request.schema.json.")
}

/// The finding, cut where it repeats what the sender chose: findings travel in message attributes and events.
fn bounded(mut finding: Finding) -> Finding {
    cut(&mut finding.message, MAX_MESSAGE_CHARS);
    cut(&mut finding.pointer, MAX_EVIDENCE_CHARS);
    let mut found = finding.found.to_string();
    if cut(&mut found, MAX_EVIDENCE_CHARS) {
        finding.found = Value::String(found);
    }
    finding
}

/// Cuts a text after so many characters, never within one; tells whether there was something to cut.
fn cut(text: &mut String, chars: usize) -> bool {
    let Some((end, _)) = text.char_indices().nth(chars) else {
        return false;
    };
    text.truncate(end);
    text.push('…');
    true
}

#[cfg(test)]
mod tests;
