//! What the validator says, in the words of somebody who does not read JSON Schema.

use jsonschema::ValidationError;
use jsonschema::error::ValidationErrorKind as Kind;
use serde_json::Value;

use super::SCHEMA;

/// The members whose value says what else their object must have, or may not.
const DECIDING: [&str; 3] = ["kind", "volumeType", "type"];

/// What is wrong with a value of a body; `hidden` is what it is called where it must not be shown.
pub(super) fn message(body: &Value, error: &ValidationError<'_>, hidden: Option<&str>) -> String {
    let pointer = error.instance_path().to_string();
    // These show no value but that of a deciding member, which is a word of ours.
    match error.kind() {
        Kind::Required { property } => {
            let decided = is_conditional(error).then(|| deciding(error.instance()));
            return match decided.flatten() {
                Some(decided) => format!("{property} is missing; {decided} needs it"),
                None => format!("{property} is missing"),
            };
        }
        Kind::FalseSchema => {
            let (around, name) = pointer.rsplit_once('/').unwrap_or_default();
            let decided = body.pointer(around).and_then(deciding);
            let decided = decided.unwrap_or_else(|| "the values beside it".to_owned());
            return format!("\"{name}\" does not go with {decided}");
        }
        _ => {}
    }
    if let Some(name) = hidden {
        return error.masked_with(name).to_string();
    }
    let value = error.instance();
    match error.kind() {
        Kind::Enum { options } => {
            let options = options.as_array().into_iter().flatten();
            let options: Vec<String> = options.map(Value::to_string).collect();
            format!("{value} is not one of {}", options.join(", "))
        }
        Kind::Constant { expected_value } => format!("{value} is not {expected_value}"),
        Kind::AnyOf { .. } => match described(error) {
            Some(description) => {
                format!("{value} is in no form that is allowed; it is for: {description}")
            }
            None => format!("{value} is in no form that is allowed"),
        },
        _ => error.to_string(),
    }
}

/// The rule that a value breaks: where it stands in the schema, unless that is a branch that nobody finds.
pub(super) fn wanted(error: &ValidationError<'_>) -> String {
    let path = error.schema_path().to_string();
    match error.kind() {
        Kind::AnyOf { .. } => described(error).unwrap_or(path),
        _ if !is_conditional(error) => path,
        Kind::Required { property } => format!("a value of {property}"),
        Kind::FalseSchema => "no such member".to_owned(),
        Kind::Minimum { limit } => format!("{limit} or more"),
        Kind::Maximum { limit } => format!("{limit} or less"),
        _ => path,
    }
}

/// Whether a rule holds for some values of another member only.
fn is_conditional(error: &ValidationError<'_>) -> bool {
    // That one follows references, and the other names where they lead.
    error.evaluation_path().to_string().contains("/then/")
}

/// The member of an object that decides, with its value.
fn deciding(object: &Value) -> Option<String> {
    DECIDING
        .iter()
        .find_map(|name| Some(format!("\"{name}\": {}", object.get(name)?)))
}

/// What the schema says of the member that a rule of several forms is about, without its last full stop.
fn described(error: &ValidationError<'_>) -> Option<String> {
    let path = error.schema_path().to_string();
    let (member, _) = path.rsplit_once('/')?;
    let description = SCHEMA.as_ref()?.pointer(member)?.get("description")?;
    Some(description.as_str()?.trim_end_matches('.').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// The findings of a body that has only these members, by pointer.
    fn said(body: &Value) -> Vec<(String, String, String)> {
        let validator = super::super::VALIDATOR.as_ref().unwrap();
        let told = validator.iter_errors(body).map(|error| {
            let pointer = error.instance_path().to_string();
            (pointer, message(body, &error, None), wanted(&error))
        });
        let mut told: Vec<_> = told.filter(|(pointer, ..)| !pointer.is_empty()).collect();
        told.sort();
        told
    }

    #[test]
    fn what_a_branch_asks_for_is_told_with_what_asks_for_it() {
        let disk = |members: Value| {
            let mut disk = members;
            disk["deviceName"] = "/dev/sda".into();
            json!({ "disks": [disk] })
        };
        let dns =
            json!({"dns": [{"hostedZoneId": "Z1", "name": "a.example.com", "type": "CNAME"}]});
        let agent = json!({"agent": {"kind": "agentless", "noProxy": "10.0.0.0/8"}});
        for (body, pointer, text, rule) in [
            (
                disk(json!({"volumeType": "io1"})),
                "/disks/0",
                "\"iops\" is missing; \"volumeType\": \"io1\" needs it",
                "a value of \"iops\"",
            ),
            (
                disk(json!({"volumeType": "gp2", "iops": 3_000})),
                "/disks/0/iops",
                "\"iops\" does not go with \"volumeType\": \"gp2\"",
                "no such member",
            ),
            (
                disk(json!({"volumeType": "gp3", "iops": 100})),
                "/disks/0/iops",
                "100 is less than the minimum of 3000",
                "3000 or more",
            ),
            (
                disk(json!({"volumeType": "gp3", "throughput": 9_000})),
                "/disks/0/throughput",
                "9000 is greater than the maximum of 2000",
                "2000 or less",
            ),
            (
                dns,
                "/dns/0",
                "\"value\" is missing; \"type\": \"CNAME\" needs it",
                "a value of \"value\"",
            ),
            (
                agent,
                "/agent/noProxy",
                "\"noProxy\" does not go with \"kind\": \"agentless\"",
                "no such member",
            ),
            (
                json!({"sourceControl": {"kind": "ec2", "region": "eu-west-1"}}),
                "/sourceControl",
                "\"instanceId\" is missing; \"kind\": \"ec2\" needs it",
                "a value of \"instanceId\"",
            ),
            (
                json!({"healthChecks": [{"kind": "tcp", "host": "a"}]}),
                "/healthChecks/0",
                "\"port\" is missing; \"kind\": \"tcp\" needs it",
                "a value of \"port\"",
            ),
        ] {
            let expected = (pointer.to_owned(), text.to_owned(), rule.to_owned());
            assert_eq!(said(&body), [expected], "{body}");
        }
    }

    #[test]
    fn what_every_object_needs_is_asked_for_by_no_kind() {
        let body = json!({"dns": [{"hostedZoneId": "Z1", "type": "A"}]});
        assert_eq!(said(&body)[0].1, "\"name\" is missing");
    }

    #[test]
    fn of_several_forms_the_schema_s_description_tells() {
        let body = json!({"agent": {"devices": ["sda"]}});
        let [(pointer, text, _)] = said(&body).try_into().unwrap();
        assert_eq!(pointer, "/agent/devices");
        assert!(
            text.contains("[\"sda\"]") && text.contains("/dev/sda"),
            "{text}"
        );
        assert!(
            !text.contains("schema") && !text.contains("anyOf"),
            "{text}"
        );
    }

    #[test]
    fn whatever_has_several_forms_is_described() {
        fn check(schema: &Value) {
            if let Value::Object(members) = schema {
                let forms = ["anyOf", "oneOf"]
                    .iter()
                    .any(|it| members.contains_key(*it));
                assert!(!forms || members.contains_key("description"), "{schema}");
                members.values().for_each(check);
            } else if let Value::Array(items) = schema {
                items.iter().for_each(check);
            }
        }
        check(SCHEMA.as_ref().unwrap());
    }
}
