//! The published schemas say what the code does.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests"
)]

#[path = "support/callback_schema.rs"]
mod callback_schema;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use jsonschema::Validator;
use landfall_domain::event::{Detail, SCHEMA_VERSION};
use landfall_domain::{EventType, Finding, Status};
use serde_json::{Value, json};

/// Where the descriptions are written: the documentation of each event.
const EVENTS: &str = include_str!("../../domain/src/event.rs");

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../schemas")
}

fn read(name: &str) -> Value {
    let path = folder().join(name);
    let text = std::fs::read_to_string(&path);
    let text = text.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn schema(name: &str) -> Validator {
    jsonschema::draft202012::new(&read(name)).unwrap()
}

fn faults(validator: &Validator, value: &Value) -> Vec<String> {
    let errors = validator.iter_errors(value);
    errors
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect()
}

/// The documentation of each event type.
fn documented() -> BTreeMap<&'static str, &'static str> {
    let lines: Vec<&str> = EVENTS.lines().map(str::trim).collect();
    lines
        .windows(2)
        .filter_map(|pair| {
            let doc = pair[0].strip_prefix("/// ")?;
            Some((pair[1].strip_suffix(',')?, doc))
        })
        .collect()
}

fn least() -> Detail {
    Detail {
        schema_version: SCHEMA_VERSION.into(),
        tenant_id: "default".into(),
        migration_id: "mig-1".into(),
        correlation_id: "mig-c".into(),
        app_name: "app".into(),
        wave: "wave-1".into(),
        from: None,
        to: Status::Requested,
        attempt: 1,
        source_server_id: None,
        job_id: None,
        reason_code: None,
        evidence: None,
        occurred_at: "2026-11-21T12:00:00Z".into(),
    }
}

fn everything() -> Detail {
    Detail {
        from: Some(Status::Testing),
        source_server_id: Some("s-1".into()),
        job_id: Some("mgnjob-1".into()),
        reason_code: Some("FAILED".into()),
        evidence: Some(json!({ "rawError": "VcpuLimitExceeded" })),
        ..least()
    }
}

#[test]
fn each_event_type_has_its_schema_and_none_is_left_over() {
    let mut expected: BTreeSet<String> = ["detail.schema.json".to_owned()].into();
    let documented = documented();
    for event in EventType::ALL {
        let name = format!("{event}.schema.json");
        let wanted = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$id": format!("https://landfall.dev/schemas/events/{name}"),
            "title": event.as_str(),
            "description": documented[event.as_str()],
            "$ref": "detail.schema.json",
        });
        assert_eq!(read(&format!("events/{name}")), wanted, "{name}");
        expected.insert(name);
    }
    let there = std::fs::read_dir(folder().join("events")).unwrap();
    let there: BTreeSet<String> = there
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(there, expected);
}

#[test]
fn the_detail_fits_with_everything_and_with_the_least() {
    let validator = schema("events/detail.schema.json");
    for detail in [least(), everything()] {
        let value = serde_json::to_value(&detail).unwrap();
        assert_eq!(faults(&validator, &value), Vec::<String>::new());
        assert_eq!(serde_json::from_value::<Detail>(value).unwrap(), detail);
    }
}

#[test]
fn the_schema_and_the_type_have_the_same_members() {
    let members = |detail: Detail| -> BTreeSet<String> {
        let value = serde_json::to_value(detail).unwrap();
        value.as_object().unwrap().keys().cloned().collect()
    };
    let schema = read("events/detail.schema.json");
    let listed = schema["properties"].as_object().unwrap().keys();
    assert_eq!(members(everything()), listed.cloned().collect());
    let required = schema["required"].as_array().unwrap().iter();
    let required = required.map(|name| name.as_str().unwrap().to_owned());
    assert_eq!(members(least()), required.collect());
    let statuses = schema["$defs"]["status"]["enum"].clone();
    assert_eq!(statuses, json!(Status::ALL));
}

#[test]
fn what_the_detail_is_not_does_not_fit() {
    let validator = schema("events/detail.schema.json");
    let with = |name: &str, value: Value| {
        let mut detail = serde_json::to_value(everything()).unwrap();
        detail[name] = value;
        detail
    };
    for (name, value) in [
        ("surprise", json!(1)),
        ("to", json!("DONE")),
        ("from", json!(null)),
        ("jobId", json!(null)),
        ("attempt", json!(-1)),
        ("schemaVersion", json!("2.0")),
        ("correlationId", json!("")),
    ] {
        assert_eq!(faults(&validator, &with(name, value)).len(), 1, "{name}");
    }
    for name in ["tenantId", "to", "occurredAt"] {
        let mut detail = serde_json::to_value(least()).unwrap();
        detail.as_object_mut().unwrap().remove(name);
        assert_eq!(faults(&validator, &detail).len(), 1, "{name}");
    }
}

#[test]
fn each_end_of_a_migration_has_a_schema_for_its_callback() {
    let ends: Vec<Status> = Status::ALL.into_iter().filter(|s| s.is_end()).collect();
    let base = callback_schema::read("callback.schema.json");
    let listed = &base["properties"]["data"]["properties"]["status"]["enum"];
    assert_eq!(listed, &json!(ends));
    let types: Vec<String> = ends
        .iter()
        .map(|end| callback_schema::type_of(*end))
        .collect();
    assert_eq!(base["properties"]["type"]["enum"], json!(types));
    let mut expected: BTreeSet<String> = ["callback.schema.json".to_owned()].into();
    for (end, name) in ends.iter().zip(&types) {
        let file = format!("{name}.schema.json");
        let schema = callback_schema::read(&file);
        assert_eq!(schema["title"], json!(name));
        assert_eq!(
            schema["$id"],
            json!(format!("https://landfall.dev/schemas/callbacks/{file}"))
        );
        let status = &schema["properties"]["data"]["properties"]["status"]["const"];
        assert_eq!(status, &json!(end));
        expected.insert(file);
    }
    let there = std::fs::read_dir(callback_schema::folder()).unwrap();
    let there: BTreeSet<String> = there
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(there, expected);
}

#[test]
fn a_callback_s_schema_knows_the_findings_and_nothing_unknown() {
    let finding = Finding::blocking("HEALTH_CHECK_FAILED", "/healthChecks/0", "answered 503.")
        .evidence(503, 200)
        .remedy("Look at the application.");
    let body = |failure: Value| {
        json!({
            "type": "migration.failed", "timestamp": "2026-11-21T12:00:00Z",
            "data": {
                "tenantId": "default", "migrationId": "mig-1", "correlationId": "mig-c", "attempt": 1,
                "status": "FAILED", "appName": "app", "wave": "wave-1", "sourceVmId": "vm-1",
                "sourceServerId": null, "targetInstanceId": null, "startedAt": "2026-11-21T11:00:00Z",
                "endedAt": "2026-11-21T12:00:00Z", "failure": failure,
                "outageSeconds": 601, "handOver": null,
            },
        })
    };
    let failure = json!({ "error": "VerificationError", "message": "m", "state": "VerifyTest", "findings": [finding] });
    let fits = body(failure);
    let faults = |body: &Value| callback_schema::faults(Status::Failed, body);
    assert_eq!(faults(&fits), Vec::<String>::new());
    for (pointer, value) in [
        ("/type", json!("migration.succeeded")),
        ("/timestamp", json!("yesterday")),
        ("/data/status", json!("SUCCEEDED")),
        ("/data/attempt", json!(0)),
        ("/data/endedAt", Value::Null),
        ("/data/failure", Value::Null),
    ] {
        let mut other = fits.clone();
        *other.pointer_mut(pointer).unwrap() = value;
        assert_eq!(faults(&other).len(), 1, "{pointer}");
    }
    let mut unknown = fits;
    unknown["data"]["surprise"] = json!(1);
    assert_eq!(faults(&unknown).len(), 1);
}
