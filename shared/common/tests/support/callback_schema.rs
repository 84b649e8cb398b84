//! The published schemas of callbacks.
#![allow(dead_code, reason = "each test takes the part it needs")]

use std::path::PathBuf;

use jsonschema::Registry;
use landfall_domain::Status;
use serde_json::Value;

pub(crate) fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../schemas/callbacks")
}

pub(crate) fn read(name: &str) -> Value {
    let path = folder().join(name);
    let text = std::fs::read_to_string(&path);
    let text = text.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The name that an outcome has in a callback's `type`, and its schema's file.
pub(crate) fn type_of(outcome: Status) -> String {
    format!("migration.{}", outcome.as_str().to_lowercase())
}

/// What does not fit the schema of an outcome.
pub(crate) fn faults(outcome: Status, body: &Value) -> Vec<String> {
    let base = read("callback.schema.json");
    let schema = read(&format!("{}.schema.json", type_of(outcome)));
    let id = base["$id"].as_str().unwrap().to_owned();
    let registry = Registry::new().add(id, base).unwrap().prepare().unwrap();
    let validator = jsonschema::options()
        .with_registry(&registry)
        .should_validate_formats(true)
        .build(&schema)
        .unwrap();
    let errors = validator.iter_errors(body);
    errors
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect()
}
