//! Injected faults: rules that the next matching calls use up.

pub(crate) mod call;

use std::time::Duration;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::error::ApiError;
pub use call::Call;

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The call is refused as too many, without effect.
    Throttle,
    /// The call is refused with `error`, without effect.
    Error,
    /// The call is refused with a `ConflictException` whose `errors[]` name servers, without effect.
    Conflict,
    /// The call takes effect and its response is lost.
    DropResponse,
    /// The call is answered `delayMs` later.
    Slow,
    /// The call takes effect, and its answer is held until it is released or the caller is dead.
    Hold,
    /// An event (service `events`, operation = detail-type) is not emitted.
    LoseEvent,
    /// An event is emitted twice.
    DoubleEvent,
    /// An event is emitted `delaySeconds` later.
    LateEvent,
}

impl Kind {
    const fn is_of_events(self) -> bool {
        matches!(self, Self::LoseEvent | Self::DoubleEvent | Self::LateEvent)
    }
}

/// One name or several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
#[allow(missing_docs)]
pub enum Names {
    One(String),
    Many(Vec<String>),
}

impl Names {
    /// Each of them.
    pub fn each(&self) -> &[String] {
        match self {
            Self::One(name) => std::slice::from_ref(name),
            Self::Many(names) => names,
        }
    }
}

/// One rule.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rule {
    /// One of [`SERVICES`]; `*` for any but `events`.
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
    /// How many matching calls pass before.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub after: u32,
    /// How likely it meets a matching call, above 0 and up to 1; always when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probability: Option<f64>,
    /// Only calls that name one of these servers: `sourceVmId` or `s-…`. For events, those about them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<Names>,
    /// Only calls in this account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Only calls in this Region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The exception's name, for `error`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Its status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The message of a refusal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The code of each server in a `conflict`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Milliseconds of real time, for `slow`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_ms: Option<u64>,
    /// Seconds of simulated time, for `late-event`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_seconds: Option<u32>,
    /// `Retry-After` in seconds, for `throttle`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u32>,
    /// The servers that a `conflict` is about, once it has met a call.
    #[serde(skip)]
    pub(crate) named: Vec<String>,
}

/// The services whose calls a rule can meet.
pub const SERVICES: [&str; 11] = [
    "mgn",
    "ssm",
    "servicequotas",
    "ec2",
    "iam",
    "route53",
    "events",
    "cmf",
    "cmdb",
    "azure",
    "vsphere",
];

#[derive(Debug)]
struct Armed {
    rule: Rule,
    number: u64,
    /// How many calls the dice were thrown for.
    thrown: u64,
}

/// The rules in force.
#[derive(Debug, Default)]
pub struct Faults {
    armed: Vec<Armed>,
    /// Of the dice of rules with a probability.
    seed: u64,
    added: u64,
}

impl Faults {
    /// Adds a rule.
    pub fn add(&mut self, rule: Rule) {
        self.armed.push(Armed {
            rule,
            number: self.added,
            thrown: 0,
        });
        self.added += 1;
    }

    /// Forgets all rules.
    pub fn clear(&mut self) {
        self.armed.clear();
    }

    /// Forgets the rules that name this server, and leaves the others.
    pub fn clear_of(&mut self, server: &str) {
        self.armed.retain(|armed| {
            let named = armed.rule.server.as_ref();
            named.is_none_or(|names| !names.each().iter().any(|name| name == server))
        });
    }

    /// From now on the dice fall as this seed says: the nth call that a rule may meet is met or not by the seed, the
    /// rule's number and n alone, whatever is called beside it.
    pub fn throw_by(&mut self, seed: u64) {
        self.seed = seed;
        self.added = 0;
    }

    /// The rules that have not been used up.
    pub fn rules(&self) -> Vec<&Rule> {
        self.armed.iter().map(|armed| &armed.rule).collect()
    }

    /// The rule that this call meets, which is thereby used once. A rule counts the calls that none before it has met.
    pub fn meet(&mut self, call: &Call<'_>) -> Option<Rule> {
        let seed = self.seed;
        let mut rules = self.armed.iter_mut().enumerate();
        let (at, named) = rules.find_map(|(at, armed)| {
            let named = call.fits(&armed.rule)?;
            armed.strikes(seed).then_some((at, named))
        })?;
        let rule = Rule {
            named,
            service: call.service.to_owned(),
            operation: call.operation.to_owned(),
            ..self.armed[at].rule.clone()
        };
        if rule.count <= 1 {
            self.armed.remove(at);
        } else {
            self.armed[at].rule.count -= 1;
        }
        Some(rule)
    }
}

impl Armed {
    fn strikes(&mut self, seed: u64) -> bool {
        if self.rule.after > 0 {
            self.rule.after -= 1;
            return false;
        }
        let Some(probability) = self.rule.probability else {
            return true;
        };
        self.thrown += 1;
        let dice = seed ^ (self.number << 40) ^ self.thrown;
        fastrand::Rng::with_seed(dice).f64() < probability
    }
}

impl Rule {
    /// Everything that is wrong with it.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.service != "*" && !SERVICES.contains(&self.service.as_str()) {
            problems.push(format!(
                "service `{}` is none of {}, *",
                self.service,
                SERVICES.join(", ")
            ));
        }
        if self.kind.is_of_events() != (self.service == "events") {
            problems.push("service `events` and the kinds lose-event, double-event and late-event belong together".into());
        }
        if self.count == 0 {
            problems.push("count 0 meets no call".into());
        }
        if let Some(p) = self.probability.filter(|p| !(*p > 0.0 && *p <= 1.0)) {
            problems.push(format!("probability {p} is not above 0 and up to 1"));
        }
        for (name, given, kind) in [
            ("error", self.error.is_some(), Kind::Error),
            ("status", self.status.is_some(), Kind::Error),
            ("code", self.code.is_some(), Kind::Conflict),
            ("delayMs", self.delay_ms.is_some(), Kind::Slow),
            (
                "delaySeconds",
                self.delay_seconds.is_some(),
                Kind::LateEvent,
            ),
            ("retryAfter", self.retry_after.is_some(), Kind::Throttle),
        ] {
            if given && self.kind != kind {
                problems.push(format!("{name} is for the kind {}", json!(kind)));
            }
        }
        problems
    }

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
            Kind::Conflict => {
                let code = self.code.as_deref().unwrap_or("INVALID_LIFECYCLE_STATE");
                let about = |id: &String| {
                    let message = message(&format!("Source server {id} cannot take part."));
                    json!({"code": code, "message": message, "resourceId": id, "resourceType": "SourceServer"})
                };
                let errors: Vec<Value> = self.named.iter().map(about).collect();
                let text = "One or more of the source servers cannot take part.";
                let first = self.named.first().map_or("", String::as_str);
                let error = ApiError::conflict("SourceServer", first, text);
                Some(error.with("errors", errors.into()))
            }
            _ => None,
        }
    }

    /// How long the answer is held back.
    pub fn delay(&self) -> Option<Duration> {
        (self.kind == Kind::Slow).then(|| Duration::from_millis(self.delay_ms.unwrap_or(1_000)))
    }

    /// How late an event is, in simulated time.
    pub fn lateness(&self) -> SignedDuration {
        SignedDuration::from_secs(self.delay_seconds.unwrap_or(600).into())
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

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
fn is_zero(n: &u32) -> bool {
    *n == 0
}

#[cfg(test)]
mod tests;
