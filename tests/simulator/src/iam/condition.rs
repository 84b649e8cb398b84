//! The condition operators of IAM's policies that do without dates, numbers and addresses.

use std::collections::BTreeMap;

use super::pattern::{arn_like, wildcard};

/// The context of a request: values by key, keys in lower case.
#[derive(Debug, Default)]
pub(super) struct Context(BTreeMap<String, Vec<String>>);

impl Context {
    /// A context of keys and their values.
    pub(super) fn new<'a, V>(entries: impl IntoIterator<Item = (&'a str, V)>) -> Self
    where
        V: IntoIterator,
        V::Item: Into<String>,
    {
        let entries = entries.into_iter().map(|(key, values)| {
            let values = values.into_iter().map(Into::into).collect();
            (key.to_ascii_lowercase(), values)
        });
        Self(entries.collect())
    }
}

/// One key under one operator.
#[derive(Debug)]
pub(super) struct Condition {
    operator: Operator,
    key: String,
    values: Vec<String>,
}

/// Whether a condition is met.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Met {
    Yes,
    No,
    /// It is not, as the context does not have this key.
    Missing(String),
}

#[derive(Debug)]
struct Operator {
    test: Test,
    negated: bool,
    if_exists: bool,
    set: Option<Set>,
}

/// How one value of the context is compared with one of the policy.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Test {
    Equals,
    EqualsIgnoreCase,
    Like,
    Arn,
    Null,
}

/// The qualifier of a key with several values.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Set {
    All,
    Any,
}

impl Operator {
    fn read(name: &str) -> Result<Self, String> {
        let (set, rest) = match name.split_once(':') {
            Some(("ForAllValues", rest)) => (Some(Set::All), rest),
            Some(("ForAnyValue", rest)) => (Some(Set::Any), rest),
            _ => (None, name),
        };
        let base = rest.strip_suffix("IfExists").unwrap_or(rest);
        let (test, negated) = match base {
            "StringEquals" => (Test::Equals, false),
            "StringNotEquals" => (Test::Equals, true),
            "StringEqualsIgnoreCase" | "Bool" => (Test::EqualsIgnoreCase, false),
            "StringNotEqualsIgnoreCase" => (Test::EqualsIgnoreCase, true),
            "StringLike" => (Test::Like, false),
            "StringNotLike" => (Test::Like, true),
            "ArnEquals" | "ArnLike" => (Test::Arn, false),
            "ArnNotEquals" | "ArnNotLike" => (Test::Arn, true),
            "Null" => (Test::Null, false),
            _ => return Err(format!("the condition operator {name} is not simulated")),
        };
        Ok(Self {
            test,
            negated,
            if_exists: base.len() < rest.len(),
            set,
        })
    }
}

impl Condition {
    /// Reads a condition. The error says what is not simulated.
    pub(super) fn read(operator: &str, key: &str, values: Vec<String>) -> Result<Self, String> {
        if let Some(value) = values.iter().find(|value| value.contains("${")) {
            return Err(format!(
                "{key} `{value}`: policy variables are not simulated"
            ));
        }
        Ok(Self {
            operator: Operator::read(operator)?,
            key: key.to_owned(),
            values,
        })
    }

    /// Whether it is met in a context.
    pub(super) fn met(&self, context: &Context) -> Met {
        let Operator {
            test,
            negated,
            if_exists,
            set,
        } = self.operator;
        let given = context.0.get(&self.key.to_ascii_lowercase());
        if test == Test::Null {
            let absent = given.is_none_or(Vec::is_empty);
            return met(self.values.iter().any(|v| v == &absent.to_string()));
        }
        let Some(given) = given else {
            return if if_exists || set == Some(Set::All) || negated && set.is_none() {
                Met::Yes
            } else {
                Met::Missing(self.key.clone())
            };
        };
        let fits = |value: &String| self.values.iter().any(|v| same(test, v, value)) != negated;
        met(match set {
            Some(Set::All) => given.iter().all(fits),
            // Of several values none may fit an operator that negates.
            None if negated => given.iter().all(fits),
            Some(Set::Any) | None => given.iter().any(fits),
        })
    }
}

fn met(yes: bool) -> Met {
    if yes { Met::Yes } else { Met::No }
}

fn same(test: Test, wanted: &str, value: &str) -> bool {
    match test {
        Test::EqualsIgnoreCase => wanted.eq_ignore_ascii_case(value),
        Test::Like => wildcard(wanted, value),
        Test::Arn => arn_like(wanted, value),
        Test::Equals | Test::Null => wanted == value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_compare_as_their_names_say() {
        let missing = || Met::Missing("k".to_owned());
        #[allow(clippy::type_complexity, reason = "the rows of a table")]
        let table: [(&str, &[&str], Option<&[&str]>, Met); 27] = [
            ("StringEquals", &["a", "b"], Some(&["b"]), Met::Yes),
            ("StringEquals", &["a"], Some(&["A"]), Met::No),
            ("StringEquals", &["a"], None, missing()),
            ("StringEqualsIfExists", &["a"], None, Met::Yes),
            ("StringEqualsIfExists", &["a"], Some(&["b"]), Met::No),
            ("StringNotEquals", &["a", "b"], Some(&["b"]), Met::No),
            ("StringNotEquals", &["a"], None, Met::Yes),
            ("StringEqualsIgnoreCase", &["a"], Some(&["A"]), Met::Yes),
            (
                "StringLike",
                &["mgn*"],
                Some(&["mgn.amazonaws.com"]),
                Met::Yes,
            ),
            ("StringLike", &["mgn?"], Some(&["mgn"]), Met::No),
            ("StringNotLike", &["mgn*"], Some(&["mgn"]), Met::No),
            ("Bool", &["true"], Some(&["True"]), Met::Yes),
            ("Bool", &["true"], Some(&["false"]), Met::No),
            ("Bool", &["true"], None, missing()),
            ("BoolIfExists", &["true"], None, Met::Yes),
            (
                "ArnLike",
                &["arn:aws:iam::1:role/*"],
                Some(&["arn:aws:iam::1:role/a"]),
                Met::Yes,
            ),
            (
                "ArnLike",
                &["arn:aws:iam::1:role/*"],
                Some(&["arn:aws:iam::2:role/a"]),
                Met::No,
            ),
            (
                "ArnNotLike",
                &["arn:aws:iam::1:role/*"],
                Some(&["arn:aws:iam::2:role/a"]),
                Met::Yes,
            ),
            ("Null", &["true"], None, Met::Yes),
            ("Null", &["true"], Some(&["x"]), Met::No),
            ("Null", &["false"], Some(&["x"]), Met::Yes),
            ("Null", &["false"], None, Met::No),
            (
                "ForAnyValue:StringEquals",
                &["a"],
                Some(&["x", "a"]),
                Met::Yes,
            ),
            ("ForAnyValue:StringEquals", &["a"], None, missing()),
            (
                "ForAllValues:StringEquals",
                &["a", "b"],
                Some(&["a", "x"]),
                Met::No,
            ),
            (
                "ForAllValues:StringEquals",
                &["a", "b"],
                Some(&["b", "a"]),
                Met::Yes,
            ),
            ("ForAllValues:StringEquals", &["a"], None, Met::Yes),
        ];
        for (operator, values, given, wanted) in table {
            let values = values.iter().map(|v| (*v).to_owned()).collect();
            let condition = Condition::read(operator, "k", values).unwrap();
            let context = Context::new(given.map(|given| ("K", given.iter().copied())));
            assert_eq!(condition.met(&context), wanted, "{operator} {given:?}");
        }
    }

    #[test]
    fn an_operator_that_is_not_simulated_is_named() {
        for operator in ["DateLessThan", "NumericEquals", "IpAddress", "Nonsense"] {
            let refused = Condition::read(operator, "k", vec!["1".into()]).unwrap_err();
            assert!(refused.contains(operator), "{refused}");
        }
    }
}
