//! Orders that people send: an HTTP API with IAM authorization hands them to a function, with who sent them.
//!
//! API Gateway has verified the signature and the permission before the function runs, and says who it was in
//! `requestContext.authorizer.iam`. Nothing in the body is believed about that. Whoever may invoke the function past the
//! API may write there what they like, so nobody but the API is given that permission.
//! Source: API Gateway Developer Guide, "Working with AWS Lambda proxy integrations for HTTP APIs" (payload 2.0) and
//! "Control access to HTTP APIs with IAM authorization".

use landfall_domain::gate::Caller;
use landfall_domain::text::steers;
use landfall_domain::{Finding, StageError};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// An answer that says no: an HTTP status, and what is wrong in the words of a [`Finding`].
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// What is wrong, and what to do.
    pub finding: Finding,
}

impl Refusal {
    /// A refusal.
    pub fn new(status: u16, code: &str, pointer: &str, message: impl Into<String>) -> Self {
        Self {
            status,
            finding: Finding::blocking(code, pointer, message),
        }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.finding.remedy = remedy.into();
        self
    }
}

impl From<StageError> for Refusal {
    /// 503 where the same order may be carried out later, else 500. The context is for the log alone.
    fn from(error: StageError) -> Self {
        tracing::warn!(
            error = error.name.as_str(),
            context = error.context,
            "an order could not be carried out: {error}"
        );
        let status = if error.name.is_transient() { 503 } else { 500 };
        let refusal = Self::new(status, error.name.as_str(), "", error.message);
        if status == 503 {
            refusal.remedy("Send the same order again: what was done of it is found.")
        } else {
            refusal
        }
    }
}

/// Who sent an event of the HTTP API, and what.
///
/// # Errors
/// 403 `CALLER_UNKNOWN` where the API did not say who it was; 400 `ORDER_INVALID` for a body that is not what is wanted.
pub fn read<T: DeserializeOwned>(event: &Value) -> Result<(Caller, T), Refusal> {
    let iam = &event["requestContext"]["authorizer"]["iam"];
    let text = |name: &str| {
        iam[name]
            .as_str()
            .filter(|text| !text.is_empty())
            .map(str::to_owned)
    };
    let caller = text("userArn").zip(text("userId").or_else(|| text("callerId")));
    let Some((arn, id)) = caller else {
        return Err(Refusal::new(
            403,
            "CALLER_UNKNOWN",
            "",
            "the API did not say who sent this; only signed requests are taken",
        ));
    };
    let body = event["body"].as_str().unwrap_or_default();
    let invalid = |message: String| {
        Err(Refusal::new(400, "ORDER_INVALID", "", message)
            .remedy("Send it with the landfall command of this deployment's version."))
    };
    if event["isBase64Encoded"].as_bool() == Some(true) {
        return invalid("the body is not text; send application/json".to_owned());
    }
    match serde_json::from_str(body) {
        Ok(order) => Ok((Caller { arn, id }, order)),
        Err(error) => invalid(format!("the body is not what is wanted: {error}")),
    }
}

/// An order of a body that was read as JSON.
///
/// # Errors
/// 400 `ORDER_INVALID` for one that is not what is wanted.
pub fn order<T: DeserializeOwned>(body: Value) -> Result<T, Refusal> {
    serde_json::from_value(body).map_err(|error| {
        let text = format!("the body is not what is wanted: {error}");
        Refusal::new(400, "ORDER_INVALID", "", text)
            .remedy("Send it with the landfall command of this deployment's version.")
    })
}

/// What to do about `MIGRATION_UNKNOWN`.
pub const UNKNOWN: &str = "Check the ID and the tenant; `landfall watch` shows what is on its way.";

/// The longest reason, in characters.
const REASON: usize = 512;

/// Judges what a person wrote: one line, neither empty nor endless.
///
/// # Errors
/// 400 with the member's pointer.
pub fn words(pointer: &str, text: &str) -> Result<String, Refusal> {
    let text = text.trim();
    let fault = if text.chars().count() < 3 {
        "is too short to tell anybody anything"
    } else if text.chars().count() > REASON {
        "is longer than 512 characters"
    } else if text.chars().any(steers) {
        "has control or formatting characters, or several lines"
    } else {
        return Ok(text.to_owned());
    };
    let name = pointer.trim_start_matches('/');
    let remedy = if name == "reason" {
        "Say in one line why: it stands in the history for good."
    } else {
        "Give it in one line of 3 to 512 characters: it stands in the history for good."
    };
    Err(Refusal::new(400, "REASON_INVALID", pointer, format!("{name} {fault}")).remedy(remedy))
}

/// The event's answer, as the API wants it.
pub fn response(outcome: Result<Value, Refusal>) -> Value {
    let (status, body) = match outcome {
        Ok(body) => (200, body),
        Err(refusal) => (refusal.status, json!({ "finding": refusal.finding })),
    };
    json!({
        "statusCode": status,
        "headers": { "content-type": "application/json" },
        "body": body.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(iam: &Value, body: &str) -> Value {
        json!({ "body": body, "requestContext": { "authorizer": { "iam": iam } } })
    }

    #[test]
    fn who_sent_it_is_what_the_api_says_and_never_the_body() {
        let iam = json!({"userArn": "arn:aws:iam::1:user/ann", "userId": "AIDA1"});
        let body = r#"{"userArn": "arn:aws:iam::1:user/eve"}"#;
        let (caller, order) = read::<Value>(&event(&iam, body)).unwrap();
        assert_eq!(
            (caller.arn.as_str(), caller.id.as_str()),
            ("arn:aws:iam::1:user/ann", "AIDA1")
        );
        assert_eq!(order["userArn"], "arn:aws:iam::1:user/eve");
        for iam in [
            Value::Null,
            json!({}),
            json!({"userArn": "", "userId": "x"}),
            json!({"userId": "AIDA1"}),
            json!({"userArn": "arn"}),
        ] {
            let refusal = read::<Value>(&event(&iam, "{}")).unwrap_err();
            assert_eq!(
                (refusal.status, refusal.finding.code.as_str()),
                (403, "CALLER_UNKNOWN"),
                "{iam}"
            );
        }
    }

    #[test]
    fn a_body_that_cannot_be_read_is_refused() {
        let iam = json!({"userArn": "a", "userId": "b"});
        for body in ["", "{", "[]"] {
            let refusal =
                read::<std::collections::BTreeMap<String, String>>(&event(&iam, body)).unwrap_err();
            assert_eq!(refusal.status, 400, "{body}");
        }
        let mut encoded = event(&iam, "e30=");
        encoded["isBase64Encoded"] = true.into();
        assert_eq!(read::<Value>(&encoded).unwrap_err().status, 400);
    }

    #[test]
    fn a_reason_is_one_line_that_says_something() {
        assert_eq!(
            words("/reason", "  CHG1 is in place ").unwrap(),
            "CHG1 is in place"
        );
        for text in [
            "",
            "  ",
            "ok",
            "two\nlines",
            "\u{202e}turned round",
            &"x".repeat(513),
        ] {
            let refusal = words("/reason", text).unwrap_err();
            assert_eq!(
                (refusal.status, refusal.finding.pointer.as_str()),
                (400, "/reason"),
                "{text}"
            );
        }
    }
}
