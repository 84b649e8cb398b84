//! Requests checked against `schemas/migration-request.schema.json`, which is compiled into the binary.

use std::sync::LazyLock;

use jsonschema::Validator;
use serde_json::Value;

use crate::finding::Finding;
use crate::request::MigrationRequest;

/// The schema as published.
pub const MIGRATION_REQUEST: &str = include_str!("../../../schemas/migration-request.schema.json");

/// The largest body that is read, in bytes: half of what the queue carries, so that a refused one still fits the
/// dead-letter queue with its findings, and far above any honest request.
pub const MAX_BODY_BYTES: usize = 128 * 1024;

/// The one format version this build reads.
pub const SUPPORTED_VERSION: &str = "1.0";

static VALIDATOR: LazyLock<Option<Validator>> = LazyLock::new(|| {
    let schema: Value = serde_json::from_str(MIGRATION_REQUEST).ok()?;
    jsonschema::draft202012::new(&schema).ok()
});

/// A body that is no acceptable request: a stable reason, every finding, and the ID where one could be read.
#[derive(Clone, Debug, PartialEq)]
pub struct Rejection {
    /// `NOT_JSON`, `BODY_TOO_LARGE`, `SCHEMA_VERSION_UNSUPPORTED` or `SCHEMA_INVALID`.
    pub reason: &'static str,
    /// Everything that is wrong.
    pub findings: Vec<Finding>,
    /// The `migrationId`, when the body had a usable one.
    pub migration_id: Option<String>,
    /// The `tenantId`, when the body had a usable one.
    pub tenant_id: Option<String>,
}

/// Parses a message body.
///
/// # Errors
/// [`Rejection`] with every fault of the body at once; each finding names the JSON pointer, the value that was
/// given and the rule it breaks.
pub fn parse(body: &str) -> Result<MigrationRequest, Rejection> {
    if body.len() > MAX_BODY_BYTES {
        return Err(Rejection::bare(
            "BODY_TOO_LARGE",
            Finding::blocking(
                "BODY_TOO_LARGE",
                "",
                format!(
                    "the body has {} bytes; the limit is {MAX_BODY_BYTES}.",
                    body.len()
                ),
            )
            .remedy("Send one server per message, without embedded documents."),
        ));
    }
    let value: Value = serde_json::from_str(body).map_err(|error| {
        Rejection::bare(
            "NOT_JSON",
            Finding::blocking("NOT_JSON", "", format!("the body is not JSON: {error}."))
                .remedy("Send one JSON object per message."),
        )
    })?;
    let id_of = |name: &str| {
        value
            .get(name)
            .and_then(Value::as_str)
            .filter(|id| is_id(id))
            .map(str::to_owned)
    };
    let reject = |reason, findings| Rejection {
        reason,
        findings,
        migration_id: id_of("migrationId"),
        tenant_id: id_of("tenantId"),
    };
    if let Some(version) = value
        .get("schemaVersion")
        .filter(|v| *v != SUPPORTED_VERSION)
    {
        return Err(reject(
            "SCHEMA_VERSION_UNSUPPORTED",
            vec![
                Finding::blocking(
                    "SCHEMA_VERSION_UNSUPPORTED",
                    "/schemaVersion",
                    format!("this deployment does not read version {version} of the message."),
                )
                .evidence(version.clone(), SUPPORTED_VERSION)
                .remedy("Send version \"1.0\", or leave schemaVersion out."),
            ],
        ));
    }
    let findings = findings_of(&value);
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

impl Rejection {
    fn bare(reason: &'static str, finding: Finding) -> Self {
        Self {
            reason,
            findings: vec![finding],
            migration_id: None,
            tenant_id: None,
        }
    }
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
        .map(|error| {
            let pointer = error.instance_path().to_string();
            let rule = error.schema_path().to_string();
            Finding::blocking("SCHEMA_INVALID", &pointer, format!("{error}."))
                .evidence(shortened(error.instance()), rule)
                .remedy("See schemas/migration-request.schema.json.")
        })
        .collect();
    findings.sort_by(|a, b| (&a.pointer, &a.message).cmp(&(&b.pointer, &b.message)));
    findings.dedup_by(|a, b| a.pointer == b.pointer && a.message == b.message);
    findings
}

/// The value as evidence, cut where it is long: findings travel in message attributes and events.
fn shortened(value: &Value) -> Value {
    let text = value.to_string();
    match text.char_indices().nth(200) {
        Some((end, _)) => Value::String(format!("{}…", &text[..end])),
        None => value.clone(),
    }
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
