//! SHA-256 over canonical JSON: request hashes, launch-settings hashes and the chain of the history.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// The lower-case hexadecimal SHA-256 of a value's canonical JSON: members in order of their names, no white space.
/// Two requests that say the same in another order have the same digest.
pub fn of_json(value: &impl Serialize) -> Result<String, serde_json::Error> {
    Ok(of_bytes(
        canonical(serde_json::to_value(value)?)
            .to_string()
            .as_bytes(),
    ))
}

/// 2^53: below it every whole number has a floating one of its own.
const WHOLE: f64 = 9_007_199_254_740_992.0;

/// Sorts the members of every object, whether or not some dependency switched on `serde_json/preserve_order`.
fn canonical(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let sorted: BTreeMap<_, _> = members
                .into_iter()
                .map(|(name, value)| (name, canonical(value)))
                .collect();
            Value::Object(sorted.into_iter().collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(canonical).collect()),
        // DynamoDB gives a whole number back without its fraction, whatever it was stored as.
        Value::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() && float.fract() == 0.0 && float.abs() < WHOLE =>
            {
                #[expect(clippy::cast_possible_truncation, reason = "a whole number below 2^53")]
                Value::from(float as i64)
            }
            _ => Value::Number(number),
        },
        other => other,
    }
}

/// The lower-case hexadecimal SHA-256 of bytes.
pub fn of_bytes(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// The hash of a history entry: over the previous entry's hash and this entry's content, so that changing or
/// removing one entry breaks every later one.
pub fn chain(previous: &str, content: &impl Serialize) -> Result<String, serde_json::Error> {
    let content = canonical(serde_json::to_value(content)?);
    Ok(of_bytes(format!("{previous}\n{content}").as_bytes()))
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            text.push(char::from_digit(u32::from(byte >> 4), 16).unwrap_or('0'));
            text.push(char::from_digit(u32::from(byte & 15), 16).unwrap_or('0'));
            text
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_whole_number_is_the_same_with_and_without_a_fraction() {
        let digest = |value: Value| of_json(&value).unwrap();
        assert_eq!(
            digest(json!({"s": [0.0, -3.0]})),
            digest(json!({"s": [0, -3]}))
        );
        assert_ne!(digest(json!(0.5)), digest(json!(0)));
        assert_ne!(digest(json!(1e300)), digest(json!(0)));
    }

    #[test]
    fn the_order_of_members_does_not_count() {
        assert_eq!(
            of_json(&json!({"a": 1, "b": [1, 2]})).unwrap(),
            of_json(&json!({"b": [1, 2], "a": 1})).unwrap()
        );
        assert_ne!(
            of_json(&json!({"b": [2, 1]})).unwrap(),
            of_json(&json!({"b": [1, 2]})).unwrap()
        );
    }

    #[test]
    fn known_value() {
        assert_eq!(
            of_bytes(b"abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn each_entry_depends_on_the_one_before() {
        assert_ne!(
            chain("a", &json!({"x": 1})).unwrap(),
            chain("b", &json!({"x": 1})).unwrap()
        );
    }
}
