//! IAM policies as far as an identity's permissions go: statements, wildcards and conditions.
//!
//! By the IAM user guide, "Policy evaluation logic" and "IAM JSON policy elements". What is not understood (policy
//! variables, dates, numbers, addresses) is an error rather than a guess.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value;

use super::condition::{Condition, Context, Met};
use super::pattern::{arn_like, wildcard};

/// A policy of an identity.
#[derive(Debug)]
pub(super) struct Policy {
    /// Its name.
    pub(super) id: String,
    /// `role`, `user-managed`, `aws-managed` or `none`: where it comes from.
    pub(super) kind: &'static str,
    statements: Vec<Statement>,
}

/// What a simulation comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Decision {
    Allowed,
    ImplicitDeny,
    ExplicitDeny,
}

impl Decision {
    /// The name on the wire.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::ImplicitDeny => "implicitDeny",
            Self::ExplicitDeny => "explicitDeny",
        }
    }
}

/// The decision on one action on one resource.
#[derive(Debug)]
pub(super) struct Outcome<'a> {
    pub(super) decision: Decision,
    /// The policy of each statement that decided.
    pub(super) matched: Vec<&'a Policy>,
    /// Context keys that were looked for and not given.
    pub(super) missing: BTreeSet<String>,
}

#[derive(Debug)]
struct Statement {
    allows: bool,
    actions: Among,
    resources: Among,
    conditions: Vec<Condition>,
}

/// `Action` or `NotAction`, `Resource` or `NotResource`.
#[derive(Debug)]
struct Among {
    listed: bool,
    patterns: Vec<String>,
}

impl Among {
    fn holds(&self, fits: impl Fn(&str) -> bool) -> bool {
        self.patterns.iter().any(|pattern| fits(pattern)) == self.listed
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawDocument {
    statement: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct RawStatement {
    #[serde(rename = "Sid")]
    _sid: Option<String>,
    effect: Effect,
    action: Option<Value>,
    not_action: Option<Value>,
    resource: Option<Value>,
    not_resource: Option<Value>,
    #[serde(default)]
    condition: BTreeMap<String, BTreeMap<String, Value>>,
}

#[derive(Deserialize, PartialEq)]
enum Effect {
    Allow,
    Deny,
}

impl Policy {
    /// Reads a document. The error says what in it is wrong or not simulated.
    pub(super) fn read(id: &str, kind: &'static str, document: &str) -> Result<Self, String> {
        let about = |error: String| format!("policy {id}: {error}");
        let raw: RawDocument = serde_json::from_str(document).map_err(|e| about(e.to_string()))?;
        let statements = match raw.statement {
            Value::Array(statements) => statements,
            one => vec![one],
        };
        let statements = statements.into_iter().map(Statement::read);
        Ok(Self {
            id: id.to_owned(),
            kind,
            statements: statements.collect::<Result<_, _>>().map_err(about)?,
        })
    }
}

impl Statement {
    fn read(raw: Value) -> Result<Self, String> {
        let raw: RawStatement = serde_json::from_value(raw).map_err(|e| e.to_string())?;
        let mut conditions = Vec::new();
        for (operator, keys) in raw.condition {
            for (key, values) in keys {
                conditions.push(Condition::read(&operator, &key, texts(&values))?);
            }
        }
        Ok(Self {
            allows: raw.effect == Effect::Allow,
            actions: among("Action", raw.action, raw.not_action)?,
            resources: among("Resource", raw.resource, raw.not_resource)?,
            conditions,
        })
    }

    fn concerns(&self, action: &str, resource: &str) -> bool {
        let action = action.to_ascii_lowercase();
        let same = |pattern: &str| wildcard(&pattern.to_ascii_lowercase(), &action);
        self.actions.holds(same) && self.resources.holds(|pattern| arn_like(pattern, resource))
    }
}

fn among(name: &str, listed: Option<Value>, others: Option<Value>) -> Result<Among, String> {
    let (listed, patterns) = match (listed, others) {
        (Some(patterns), None) => (true, texts(&patterns)),
        (None, Some(patterns)) => (false, texts(&patterns)),
        _ => return Err(format!("a statement must have either {name} or Not{name}")),
    };
    match patterns.iter().find(|pattern| pattern.contains("${")) {
        Some(pattern) => Err(format!(
            "{name} `{pattern}`: policy variables are not simulated"
        )),
        None => Ok(Among { listed, patterns }),
    }
}

/// One text or several; JSON's own booleans and numbers stand for their texts.
fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::Array(values) => values.iter().flat_map(texts).collect(),
        Value::String(text) => vec![text.clone()],
        other => vec![other.to_string()],
    }
}

/// Decides on one action on one resource: a statement that denies wins over any that allows, and what none allows
/// is denied.
pub(super) fn evaluate<'a>(
    policies: &'a [Policy],
    action: &str,
    resource: &str,
    context: &Context,
) -> Outcome<'a> {
    let (mut allowing, mut denying, mut missing) = (Vec::new(), Vec::new(), BTreeSet::new());
    for policy in policies {
        for statement in &policy.statements {
            if !statement.concerns(action, resource) {
                continue;
            }
            let mut applies = true;
            // Every condition is looked at: all that is missing shall be told.
            for condition in &statement.conditions {
                match condition.met(context) {
                    Met::Yes => {}
                    Met::No => applies = false,
                    Met::Missing(key) => {
                        missing.insert(key);
                        applies = false;
                    }
                }
            }
            match (applies, statement.allows) {
                (true, true) => allowing.push(policy),
                (true, false) => denying.push(policy),
                (false, _) => {}
            }
        }
    }
    let (decision, matched) = if !denying.is_empty() {
        (Decision::ExplicitDeny, denying)
    } else if !allowing.is_empty() {
        (Decision::Allowed, allowing)
    } else {
        (Decision::ImplicitDeny, Vec::new())
    };
    Outcome {
        decision,
        matched,
        missing,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const SERVER: &str = "arn:aws:mgn:us-east-1:123456789012:source-server/s-1";

    #[allow(clippy::needless_pass_by_value, reason = "json! at the call")]
    fn policy(statements: Value) -> Policy {
        Policy::read("p", "role", &json!({"Statement": statements}).to_string()).unwrap()
    }

    fn decision(statements: Value, action: &str, resource: &str) -> Decision {
        evaluate(&[policy(statements)], action, resource, &Context::default()).decision
    }

    #[test]
    fn a_statement_is_about_its_actions_on_its_resources() {
        use Decision::{Allowed, ExplicitDeny, ImplicitDeny};
        let allow = |action: Value, resource: Value| json!({"Effect": "Allow", "Action": action, "Resource": resource});
        let any = json!("*");
        let table = [
            (
                json!([allow(json!("mgn:StartTest"), any.clone())]),
                "mgn:StartTest",
                SERVER,
                Allowed,
            ),
            (
                allow(json!("MGN:starttest"), any.clone()),
                "mgn:StartTest",
                "*",
                Allowed,
            ),
            (
                allow(json!(["a:B", "mgn:Start*"]), any.clone()),
                "mgn:StartTest",
                SERVER,
                Allowed,
            ),
            (
                allow(json!("mgn:Start????"), any.clone()),
                "mgn:StartTest",
                SERVER,
                Allowed,
            ),
            (
                allow(json!("mgn:Start???"), any.clone()),
                "mgn:StartTest",
                SERVER,
                ImplicitDeny,
            ),
            (json!([]), "mgn:StartTest", SERVER, ImplicitDeny),
            (
                allow(
                    json!("mgn:StartTest"),
                    json!("arn:aws:mgn:*:123456789012:source-server/*"),
                ),
                "mgn:StartTest",
                SERVER,
                Allowed,
            ),
            (
                allow(
                    json!("mgn:StartTest"),
                    json!("arn:aws:mgn:*:210987654321:source-server/*"),
                ),
                "mgn:StartTest",
                SERVER,
                ImplicitDeny,
            ),
            // Not any resource, if all are asked for.
            (
                allow(
                    json!("mgn:StartTest"),
                    json!("arn:aws:mgn:*:123456789012:source-server/*"),
                ),
                "mgn:StartTest",
                "*",
                ImplicitDeny,
            ),
            (
                json!([{"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"}]),
                "mgn:StartTest",
                SERVER,
                Allowed,
            ),
            (
                json!([{"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"}]),
                "iam:PassRole",
                "*",
                ImplicitDeny,
            ),
            (
                json!([{"Effect": "Allow", "Action": "*", "NotResource": SERVER}]),
                "mgn:StartTest",
                SERVER,
                ImplicitDeny,
            ),
            (
                json!([allow(json!("*"), any.clone()), {"Effect": "Deny", "Action": "mgn:*", "Resource": SERVER}]),
                "mgn:StartTest",
                SERVER,
                ExplicitDeny,
            ),
            (
                json!([{"Effect": "Deny", "Action": "mgn:*", "Resource": SERVER}, allow(json!("*"), any)]),
                "ec2:RunInstances",
                SERVER,
                Allowed,
            ),
        ];
        for (statements, action, resource, wanted) in table {
            assert_eq!(
                decision(statements.clone(), action, resource),
                wanted,
                "{action} on {resource} under {statements}"
            );
        }
    }

    #[test]
    fn a_condition_decides_with_the_context_and_tells_what_it_misses() {
        let through_mgn = policy(json!([
            {"Effect": "Allow", "Action": "ec2:RunInstances", "Resource": "*", "Condition": {"Bool": {"aws:ViaAWSService": "true"}}},
            {"Effect": "Allow", "Action": "ec2:StopInstances", "Resource": "*"},
        ]));
        let policies = [through_mgn];
        let outcome = |action: &str, context: &[(&str, &str)]| {
            let context = context.iter().map(|(key, value)| (*key, [*value]));
            let context = Context::new(context);
            let outcome = evaluate(&policies, action, "*", &context);
            (
                outcome.decision,
                outcome.missing.into_iter().collect::<Vec<_>>(),
            )
        };
        let none: Vec<String> = Vec::new();
        assert_eq!(
            outcome("ec2:RunInstances", &[("aws:viaawsservice", "TRUE")]),
            (Decision::Allowed, none.clone())
        );
        assert_eq!(
            outcome("ec2:RunInstances", &[("aws:ViaAWSService", "false")]),
            (Decision::ImplicitDeny, none.clone())
        );
        assert_eq!(
            outcome("ec2:RunInstances", &[]),
            (Decision::ImplicitDeny, vec!["aws:ViaAWSService".to_owned()])
        );
        // A statement that is about something else misses nothing.
        assert_eq!(outcome("ec2:StopInstances", &[]), (Decision::Allowed, none));
    }

    #[test]
    fn the_statements_that_decide_are_told() {
        let read = |id: &str, effect: &str| {
            let document =
                json!({"Statement": {"Effect": effect, "Action": "mgn:*", "Resource": "*"}});
            Policy::read(id, "user-managed", &document.to_string()).unwrap()
        };
        let policies = [read("one", "Allow"), read("two", "Allow")];
        let ids = |policies: &[Policy]| {
            let outcome = evaluate(policies, "mgn:StartTest", "*", &Context::default());
            let matched = outcome.matched.iter();
            matched.map(|p| p.id.clone()).collect::<Vec<_>>()
        };
        assert_eq!(ids(&policies), ["one", "two"]);
        let denied = [read("one", "Allow"), read("three", "Deny")];
        assert_eq!(ids(&denied), ["three"], "only what denies has decided");
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        let statement = |member: &str, value: Value| {
            let mut statement = json!({"Effect": "Allow", "Action": "*", "Resource": "*"});
            statement[member] = value;
            json!({"Statement": statement}).to_string()
        };
        let table = [
            (
                statement("Resource", json!("arn:aws:s3:::${aws:username}")),
                "policy variables",
            ),
            (
                statement(
                    "Condition",
                    json!({"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}),
                ),
                "IpAddress",
            ),
            (statement("NotAction", json!("iam:*")), "either Action"),
            (statement("Effect", json!("Maybe")), "Maybe"),
            (statement("Principal", json!("*")), "Principal"),
            ("no JSON".to_owned(), "policy p"),
        ];
        for (document, text) in table {
            let refused = Policy::read("p", "role", &document).unwrap_err();
            assert!(
                refused.contains(text) && refused.contains("policy p"),
                "{refused}"
            );
        }
    }
}
