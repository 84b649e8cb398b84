//! Requests checked against `schemas/migration-request.schema.json`, which is compiled into the binary.

use std::sync::LazyLock;

use jsonschema::error::ValidationErrorKind;
use jsonschema::{ValidationError, Validator};
use serde_json::Value;

use crate::finding::Finding;
use crate::request::MigrationRequest;

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

static VALIDATOR: LazyLock<Option<Validator>> = LazyLock::new(|| {
    let schema: Value = serde_json::from_str(MIGRATION_REQUEST).ok()?;
    jsonschema::draft202012::new(&schema).ok()
});

/// A body that is no acceptable request: a stable reason, what is wrong, and the ID where one could be read.
#[derive(Clone, Debug, PartialEq)]
pub struct Rejection {
    /// `NOT_JSON`, `BODY_TOO_LARGE`, `SCHEMA_VERSION_UNSUPPORTED` or `SCHEMA_INVALID`.
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
    let findings = findings_of(value);
    if !findings.is_empty() {
        return Err(reject("SCHEMA_INVALID", findings));
    }
    serde_json::from_value(value.clone()).map_err(|error| {
        reject(
            "SCHEMA_INVALID",
            vec![Finding::blocking("SCHEMA_INVALID", "", format!("{error}."))],
        )
    })
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

fn is_id(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 128
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
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
        .map(|error| finding_of(&error))
        .collect();
    findings.sort_by(|a, b| (&a.pointer, &a.message).cmp(&(&b.pointer, &b.message)));
    findings.dedup_by(|a, b| a.pointer == b.pointer && a.message == b.message);
    findings
}

fn finding_of(error: &ValidationError<'_>) -> Finding {
    let pointer = error.instance_path().to_string();
    // A callback's URL may hold a secret, and findings go into events: neither it nor the body around it is shown.
    let hidden = match pointer.as_str() {
        "" => Some("the body"),
        "/callbackUrl" => Some("the URL"),
        _ => None,
    };
    let (message, found) = match hidden {
        Some(name) => (error.masked_with(name).to_string(), Value::Null),
        None => (said(error), error.instance().as_ref().clone()),
    };
    Finding::blocking("SCHEMA_INVALID", &pointer, format!("{message}."))
        .evidence(found, error.schema_path().to_string())
        .remedy("See schemas/migration-request.schema.json.")
}

/// What is wrong with a value; the validator's own words leave out the value, or most of what is allowed.
fn said(error: &ValidationError<'_>) -> String {
    let value = error.instance();
    match error.kind() {
        ValidationErrorKind::Enum { options } => {
            let options = options.as_array().into_iter().flatten();
            let options: Vec<String> = options.map(Value::to_string).collect();
            format!("{value} is not one of {}", options.join(", "))
        }
        ValidationErrorKind::Constant { expected_value } => {
            format!("{value} is not {expected_value}")
        }
        _ => error.to_string(),
    }
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
mod tests {
    use super::*;
    use serde_json::json;

    /// The canonical message, exactly as the design prints it.
    const CANONICAL: &str = r#"{ "migrationId": "mig-12345", "appName": "billing-app", "source": "azure", "target": "aws", "environment": "prod", "wave": "wave-3",
  "steps": ["freeze", "replicate", "validate", "switch"], "callbackUrl": "https://runbook.example.com/status",
  "sourceVmId": "vm-123456", "targetVmName": "billing-app-prod-01", "instanceType": "t3.large",
  "subnetId": "subnet-0a1b2c3d", "securityGroupIds": ["sg-0a1b2c3d"], "tags": { "Environment": "prod", "Application": "billing" } }"#;

    fn with(changes: &[(&str, Value)]) -> String {
        let mut value: Value = serde_json::from_str(CANONICAL).unwrap();
        for (name, change) in changes {
            value[*name] = change.clone();
        }
        value.to_string()
    }

    fn pointers(body: &str) -> Vec<String> {
        parse(body)
            .unwrap_err()
            .findings
            .into_iter()
            .map(|f| f.pointer)
            .collect()
    }

    #[test]
    fn the_canonical_message_is_accepted_as_printed() {
        let request = parse(CANONICAL).unwrap();
        assert_eq!(request.migration_id, "mig-12345");
        assert_eq!(request.tenant_id, "default");
        assert_eq!(request.security_group_ids, ["sg-0a1b2c3d"]);
    }

    #[test]
    fn what_was_parsed_serializes_to_something_that_parses_again() {
        let body = with(&[
            (
                "healthChecks",
                json!([{"kind": "http", "url": "http://{privateIp}/"}, {"kind": "tcp", "host": "{privateIp}", "port": 22}]),
            ),
            ("policy", json!({"soakSeconds": 60})),
            (
                "dns",
                json!([{"hostedZoneId": "Z1", "name": "a.example.com", "type": "A"}]),
            ),
            (
                "sourceControl",
                json!({"kind": "none", "ssmInstanceId": "mi-0123456789abcdef0"}),
            ),
        ]);
        let request = parse(&body).unwrap();
        let again = parse(&serde_json::to_string(&request).unwrap()).unwrap();
        assert_eq!(request, again);
        assert_eq!(request.digest().unwrap(), again.digest().unwrap());
    }

    #[test]
    fn every_fault_is_named_at_once_with_its_pointer_and_value() {
        let body = with(&[
            ("source", json!("mainframe")),
            ("subnetId", json!("subnet-XYZ")),
            ("steps", json!(["replicate", "replicate"])),
            ("surprise", json!(1)),
            ("policy", json!({"soakSeconds": "soon", "typo": 1})),
        ]);
        let rejection = parse(&body).unwrap_err();
        assert_eq!(rejection.reason, "SCHEMA_INVALID");
        assert_eq!(rejection.migration_id.as_deref(), Some("mig-12345"));
        let found = pointers(&body);
        for pointer in [
            "",
            "/policy",
            "/policy/soakSeconds",
            "/source",
            "/steps",
            "/subnetId",
        ] {
            assert!(
                found.contains(&pointer.to_owned()),
                "{pointer} is missing in {found:?}"
            );
        }
        let unknown = rejection
            .findings
            .iter()
            .find(|f| f.pointer.is_empty())
            .unwrap();
        assert!(unknown.message.contains("surprise"), "{}", unknown.message);
        let source = rejection
            .findings
            .iter()
            .find(|f| f.pointer == "/source")
            .unwrap();
        assert!(
            source.message.contains("mainframe") && source.message.contains("azure"),
            "{}",
            source.message
        );
    }

    #[test]
    fn what_is_allowed_is_told_whole() {
        let body = with(&[("environment", json!("qa")), ("target", json!("gcp"))]);
        let findings = parse(&body).unwrap_err().findings;
        let messages: Vec<&str> = findings.iter().map(|f| f.message.as_str()).collect();
        assert_eq!(
            messages,
            [
                r#""qa" is not one of "dev", "test", "staging", "prod"."#,
                r#""gcp" is not "aws"."#
            ]
        );
    }

    #[test]
    fn a_name_that_would_steer_a_terminal_or_break_a_template_is_refused() {
        for name in ["a\u{1b}[31mred", "two\nlines", "x\u{202e}y", "bell\u{7}"] {
            for field in ["targetVmName", "appName"] {
                let body = with(&[(field, json!(name))]);
                assert_eq!(pointers(&body), [format!("/{field}")], "{name:?}");
            }
        }
        parse(&with(&[("targetVmName", json!("Büro-Server 01 (東京)"))])).unwrap();
    }

    #[test]
    fn reasons_are_told_apart() {
        for (body, reason) in [
            ("{".to_owned(), "NOT_JSON"),
            (String::new(), "NOT_JSON"),
            ("[]".to_owned(), "SCHEMA_INVALID"),
            ("null".to_owned(), "SCHEMA_INVALID"),
            (
                with(&[("schemaVersion", json!("2.0"))]),
                "SCHEMA_VERSION_UNSUPPORTED",
            ),
            (
                with(&[("schemaVersion", json!(1))]),
                "SCHEMA_VERSION_UNSUPPORTED",
            ),
            (
                with(&[("owner", json!("x".repeat(MAX_BODY_BYTES)))]),
                "BODY_TOO_LARGE",
            ),
            (with(&[("migrationId", json!("../etc"))]), "SCHEMA_INVALID"),
        ] {
            assert_eq!(parse(&body).unwrap_err().reason, reason);
        }
        assert_eq!(
            parse(&with(&[("migrationId", json!("../etc"))]))
                .unwrap_err()
                .migration_id,
            None
        );
    }

    #[test]
    fn a_body_that_is_too_large_is_still_known_by_its_ids() {
        let large = json!("x".repeat(MAX_BODY_BYTES));
        let rejection = parse(&with(&[
            ("owner", large.clone()),
            ("tenantId", json!("acme")),
        ]))
        .unwrap_err();
        assert_eq!(rejection.reason, "BODY_TOO_LARGE");
        assert_eq!(rejection.migration_id.as_deref(), Some("mig-12345"));
        assert_eq!(rejection.tenant_id.as_deref(), Some("acme"));
        // An ID that is none, and a body that is no JSON, leave it too large without an ID.
        for body in [
            with(&[("owner", large), ("migrationId", json!("../etc"))]),
            "{".repeat(MAX_BODY_BYTES + 1),
        ] {
            let rejection = parse(&body).unwrap_err();
            assert_eq!(rejection.reason, "BODY_TOO_LARGE");
            assert_eq!(rejection.migration_id, None);
        }
    }

    #[test]
    fn of_thousands_of_faults_the_first_are_told_and_the_others_counted() {
        let body = with(&[("securityGroupIds", json!((0..2_000).collect::<Vec<_>>()))]);
        let findings = parse(&body).unwrap_err().findings;
        assert_eq!(findings.len(), MAX_FINDINGS + 1);
        let more = findings.last().unwrap();
        // Each number, and the list for its length.
        assert_eq!(
            (&*more.code, &more.found),
            (MORE, &json!(2_001 - MAX_FINDINGS))
        );
        assert!(more.message.contains("1951"), "{}", more.message);
        assert!(findings[..MAX_FINDINGS].iter().all(|f| f.code != MORE));
    }

    #[test]
    fn a_list_that_is_cut_again_counts_on() {
        let all: Vec<_> = (0..9)
            .map(|n| Finding::blocking("X", "", format!("{n}")))
            .collect();
        assert_eq!(first(all.clone(), 9), all);
        let once = first(all.clone(), 6);
        assert_eq!(once.last().unwrap().found, 3);
        assert_eq!(first(once.clone(), 6), once);
        let twice = first(once, 2);
        assert_eq!((twice.len(), &twice.last().unwrap().found), (3, &json!(7)));
        assert_eq!(first(all, 0).last().unwrap().found, 9);
    }

    #[test]
    fn what_the_sender_wrote_is_cut_between_characters() {
        // Four bytes a character, so that a cut at a byte would show.
        let long = "🚚".repeat(20_000);
        let tag = json!({ &long: 7 });
        for body in [
            with(&[("wave", json!(long))]),
            with(&[("schemaVersion", json!(long))]),
            with(&[("tags", tag)]),
            with(&[(&long, json!(1))]),
        ] {
            for finding in parse(&body).unwrap_err().findings {
                assert!(finding.message.chars().count() <= MAX_MESSAGE_CHARS + 1);
                assert!(finding.pointer.chars().count() <= MAX_EVIDENCE_CHARS + 1);
                let found = finding.found.as_str().unwrap_or_default();
                assert!(found.chars().count() <= MAX_EVIDENCE_CHARS + 1);
            }
        }
    }

    #[test]
    fn the_worst_body_s_findings_fit_an_event() {
        // Names as long as they may be, of what takes six bytes in JSON; values of what takes most in UTF-8.
        let name = |n: usize| format!("{n:03}{}", "\u{1}".repeat(125));
        let tags: serde_json::Map<String, Value> = (0..60)
            .map(|n| (name(n), json!(["🚚".repeat(300)])))
            .collect();
        let findings = parse(&with(&[("tags", Value::Object(tags))]))
            .unwrap_err()
            .findings;
        assert_eq!(findings.len(), MAX_FINDINGS + 1);
        let bytes = serde_json::to_string(&findings).unwrap().len();
        assert!(bytes < 250_000, "{bytes}");
    }

    #[test]
    fn no_finding_repeats_the_callback_s_url() {
        for body in [
            with(&[("callbackUrl", json!("ftp://a/?token=secret"))]),
            with(&[("callbackUrl", json!(["https://a/?token=secret"]))]),
            with(&[
                ("callbackUrl", json!("https://a/?token=secret")),
                ("zeal", json!(1)),
            ]),
            json!([{"callbackUrl": "https://a/?token=secret"}]).to_string(),
        ] {
            let findings = parse(&body).unwrap_err().findings;
            assert!(!format!("{findings:?}").contains("secret"), "{findings:?}");
        }
    }

    #[test]
    fn an_azure_source_control_names_what_it_needs() {
        let found = parse(&with(&[("sourceControl", json!({"kind": "azure"}))])).unwrap_err();
        let text = format!("{:?}", found.findings);
        for field in ["credentialsSecretId", "subscriptionId", "resourceGroup"] {
            assert!(text.contains(field), "{text}");
        }
    }

    #[test]
    fn a_cname_needs_a_value_and_a_health_check_its_url() {
        assert_eq!(
            pointers(&with(&[(
                "dns",
                json!([{"hostedZoneId": "Z1", "name": "a", "type": "CNAME"}])
            )])),
            ["/dns/0"]
        );
        assert_eq!(
            pointers(&with(&[("healthChecks", json!([{"kind": "http"}]))])),
            ["/healthChecks/0"]
        );
    }
}
