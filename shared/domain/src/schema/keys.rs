//! Keys that an object holds more than once.
//!
//! JSON leaves open which of them counts (RFC 8259, section 4), and readers differ: the sender, a tool in between and
//! Landfall may each mean another value. So a request may not have any.

use std::collections::HashMap;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::finding::Finding;

/// The JSON pointers of the keys that stand more than once in their objects, in the order of the text; none for a
/// text that is no JSON.
pub fn repeated(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let walk = Walk {
        path: &mut String::new(),
        found: &mut found,
    };
    let mut reader = serde_json::Deserializer::from_str(text);
    if walk.deserialize(&mut reader).is_err() {
        return Vec::new();
    }
    found
}

/// What is wrong with a key that stands more than once. The values are not shown: any of them may hold a secret.
pub(super) fn finding(pointer: &str) -> Finding {
    let key = pointer.rsplit('/').next().unwrap_or_default();
    let key = key.replace("~1", "/").replace("~0", "~");
    let message = format!("the key {key:?} stands more than once in its object.");
    Finding::blocking("DUPLICATE_KEY", pointer, message)
        .remedy("Keep one of them; JSON does not say which one counts.")
}

/// Walks a text and keeps nothing of it but where it is.
struct Walk<'a> {
    path: &'a mut String,
    found: &'a mut Vec<String>,
}

impl Walk<'_> {
    fn below(&mut self, step: &str) -> (usize, Walk<'_>) {
        let before = self.path.len();
        self.path.push('/');
        self.path
            .push_str(&step.replace('~', "~0").replace('/', "~1"));
        let walk = Walk {
            path: self.path,
            found: self.found,
        };
        (before, walk)
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<(), A::Error> {
        let mut seen: HashMap<String, usize> = HashMap::new();
        while let Some(key) = members.next_key::<String>()? {
            let (before, walk) = self.below(&key);
            let times = seen.entry(key).or_default();
            *times += 1;
            if *times == 2 {
                walk.found.push(walk.path.clone());
            }
            members.next_value_seed(walk)?;
            self.path.truncate(before);
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<(), A::Error> {
        let mut more = true;
        let mut index = 0;
        while more {
            let (before, walk) = self.below(&index.to_string());
            more = items.next_element_seed(walk)?.is_some();
            self.path.truncate(before);
            index += 1;
        }
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_counts_within_its_own_object() {
        let table: [(&str, &[&str]); 7] = [
            (r#"{"a": 1, "b": {"a": 2}, "c": [{"a": 3}, {"a": 4}]}"#, &[]),
            (r#"{"a": 1, "a": 1}"#, &["/a"]),
            (r#"{"a": 1, "\u0061": 2, "a": 3}"#, &["/a"]),
            (
                r#"{"tags": {"x/y": "1", "x/y": "2"}, "l": [0, {"k~": null, "k~": true}]}"#,
                &["/tags/x~1y", "/l/1/k~0"],
            ),
            (
                r#"{"a": {"b": -1, "b": 1.5}, "a": {"b": 1}}"#,
                &["/a/b", "/a"],
            ),
            (r#"{"a": 1, "a": "#, &[]),
            ("3", &[]),
        ];
        for (text, pointers) in table {
            assert_eq!(repeated(text), pointers, "{text}");
        }
    }

    #[test]
    fn the_finding_names_the_key_as_it_was_written() {
        let finding = finding("/tags/x~1y");
        assert_eq!(
            finding.message,
            "the key \"x/y\" stands more than once in its object."
        );
    }
}
