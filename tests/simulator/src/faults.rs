//! Injected faults: rules that the next matching calls use up.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::ApiError;

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The call is refused as too many, without effect.
    Throttle,
    /// The call is refused with `error`, without effect.
    Error,
    /// The call takes effect and its response is lost.
    DropResponse,
    /// The call is answered `delayMs` later.
    Slow,
    /// An event (service `events`, operation = detail-type) is not emitted.
    LoseEvent,
    /// An event is emitted twice.
    DoubleEvent,
}

/// One rule.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rule {
    /// `mgn`, `ssm`, `servicequotas`, `ec2`, `events`, `cmf`, `cmdb`, `azure`, `vsphere`; `*` for any.
    #[serde(default = "any")]
    pub service: String,
    /// The operation; `*` for any.
    #[serde(default = "any")]
    pub operation: String,
    /// What goes wrong.
    pub kind: Kind,
    /// How many calls it meets.
    #[serde(default = "once")]
    pub count: u32,
    /// The exception's name, for `error`.
    #[serde(default)]
    pub error: Option<String>,
    /// Its status.
    #[serde(default)]
    pub status: Option<u16>,
    /// Its message.
    #[serde(default)]
    pub message: Option<String>,
    /// Milliseconds of real time, for `slow`.
    #[serde(default)]
    pub delay_ms: Option<u64>,
    /// `Retry-After` in seconds, for `throttle`.
    #[serde(default)]
    pub retry_after: Option<u32>,
}

/// The rules in force.
#[derive(Debug, Default)]
pub struct Faults {
    rules: Vec<Rule>,
}

impl Faults {
    /// Adds a rule.
    pub fn add(&mut self, rule: Rule) {
        self.rules.push(rule);
    }

    /// Forgets all rules.
    pub fn clear(&mut self) {
        self.rules.clear();
    }

    /// The rules that have not been used up.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The rule that this call meets, which is thereby used once.
    pub fn meet(&mut self, service: &str, operation: &str) -> Option<Rule> {
        let fits = |pattern: &str, name: &str| pattern == "*" || pattern == name;
        let at = self.rules.iter().position(|rule| {
            // `*` means any API call; events are met by name only.
            let service_fits = if service == "events" {
                rule.service == "events"
            } else {
                fits(&rule.service, service)
            };
            service_fits && fits(&rule.operation, operation)
        })?;
        let rule = self.rules[at].clone();
        if rule.count <= 1 {
            self.rules.remove(at);
        } else {
            self.rules[at].count -= 1;
        }
        Some(rule)
    }
}

impl Rule {
    /// The refusal that this rule makes, if it makes one.
    pub fn refusal(&self) -> Option<ApiError> {
        let message = |text: &str| self.message.clone().unwrap_or_else(|| text.to_owned());
        match self.kind {
            Kind::Throttle => {
                let mut error = ApiError::new("ThrottlingException", 429, message("Rate exceeded"));
                if let Some(seconds) = self.retry_after {
                    error = error.with("retryAfterSeconds", seconds.into());
                }
                Some(error)
            }
            Kind::Error => {
                let name = self.error.as_deref().unwrap_or("InternalServerException");
                let status = self.status.unwrap_or_else(|| usual_status(name));
                Some(ApiError::new(name, status, message("An injected fault.")))
            }
            Kind::DropResponse | Kind::Slow | Kind::LoseEvent | Kind::DoubleEvent => None,
        }
    }

    /// How long the answer is held back.
    pub fn delay(&self) -> Option<Duration> {
        (self.kind == Kind::Slow).then(|| Duration::from_millis(self.delay_ms.unwrap_or(1_000)))
    }
}

fn usual_status(name: &str) -> u16 {
    match name {
        "ConflictException" => 409,
        "ResourceNotFoundException" => 404,
        "AccessDeniedException" => 403,
        "ServiceQuotaExceededException" => 402,
        "ThrottlingException" => 429,
        "ValidationException" | "UninitializedAccountException" => 400,
        _ => 500,
    }
}

fn any() -> String {
    "*".into()
}

fn once() -> u32 {
    1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(json: &str) -> Rule {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_rule_meets_as_many_calls_as_it_says() {
        let mut faults = Faults::default();
        faults.add(rule(
            r#"{"service":"mgn","operation":"StartTest","kind":"throttle","count":2}"#,
        ));
        assert!(faults.meet("mgn", "StartCutover").is_none());
        assert!(faults.meet("ssm", "StartTest").is_none());
        assert_eq!(
            faults
                .meet("mgn", "StartTest")
                .unwrap()
                .refusal()
                .unwrap()
                .status,
            429
        );
        assert!(faults.meet("mgn", "StartTest").is_some());
        assert!(faults.meet("mgn", "StartTest").is_none());
    }

    #[test]
    fn a_rule_for_any_call_leaves_events_alone() {
        let mut faults = Faults::default();
        faults.add(rule(r#"{"kind":"error","error":"ConflictException"}"#));
        assert!(
            faults
                .meet("events", "MGN Source Server Launch Result")
                .is_none()
        );
        assert_eq!(
            faults
                .meet("mgn", "StartTest")
                .unwrap()
                .refusal()
                .unwrap()
                .status,
            409
        );
    }
}
