//! As much of `DynamoDB`'s expressions as the state store writes.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;

use super::table::Item;

/// The placeholders of one request.
pub(crate) struct Terms<'a> {
    pub(crate) names: Option<&'a HashMap<String, String>>,
    pub(crate) values: Option<&'a Item>,
}

impl Terms<'_> {
    fn name<'n>(&'n self, name: &'n str) -> &'n str {
        if name.starts_with('#') {
            &self.names.unwrap()[name]
        } else {
            name
        }
    }

    fn value(&self, placeholder: &str) -> &AttributeValue {
        &self.values.unwrap()[placeholder]
    }

    /// Whether a condition holds for an item that may be absent.
    pub(crate) fn hold(&self, condition: &str, item: Option<&Item>) -> bool {
        let all = |part: &str| part.split(" AND ").all(|term| self.term(term.trim(), item));
        condition.split(" OR ").any(all)
    }

    fn term(&self, term: &str, item: Option<&Item>) -> bool {
        let attribute = |name: &str| item.and_then(|item| item.get(self.name(name.trim())));
        let inside = |prefix: &str| term.strip_prefix(prefix)?.strip_suffix(')');
        if let Some(name) = inside("attribute_not_exists(") {
            return attribute(name).is_none();
        }
        if let Some(name) = inside("attribute_exists(") {
            return attribute(name).is_some();
        }
        if let Some((name, prefix)) = inside("begins_with(").and_then(|t| t.split_once(", ")) {
            let prefix = self.value(prefix).as_s().unwrap();
            return attribute(name).is_some_and(|a| a.as_s().unwrap().starts_with(prefix));
        }
        if let Some((name, value)) = term.split_once(" = ") {
            return attribute(name) == Some(self.value(value));
        }
        let number = |value: &AttributeValue| value.as_n().unwrap().parse::<i64>().unwrap();
        if let Some((name, value)) = term.split_once(" <= ") {
            return attribute(name).is_some_and(|a| number(a) <= number(self.value(value)));
        }
        let (name, value) = term.split_once(" < ").unwrap();
        attribute(name).is_some_and(|a| number(a) < number(self.value(value)))
    }

    /// Applies an update.
    pub(crate) fn update(&self, expression: &str, item: &mut Item) {
        let mut words = expression.split([' ', ',']).filter(|word| !word.is_empty());
        let mut clause = "";
        while let Some(word) = words.next() {
            match (clause, word) {
                (_, "SET" | "REMOVE" | "ADD") => clause = word,
                ("ADD", name) => {
                    let added = self.value(words.next().unwrap()).as_ss().unwrap();
                    let name = self.name(name).to_owned();
                    let set = item.entry(name).or_insert(AttributeValue::Ss(Vec::new()));
                    let AttributeValue::Ss(set) = set else {
                        panic!("{expression}: no set of strings");
                    };
                    set.extend(
                        added
                            .iter()
                            .filter(|it| !set.contains(it))
                            .cloned()
                            .collect::<Vec<_>>(),
                    );
                }
                ("REMOVE", name) => drop(item.remove(self.name(name))),
                (_, name) => {
                    assert_eq!(words.next(), Some("="), "{expression}");
                    let value = self.value(words.next().unwrap()).clone();
                    item.insert(self.name(name).to_owned(), value);
                }
            }
        }
    }
}
