//! Correlation IDs: one ID from the message to the callback.

use landfall_domain::request::is_id;
use serde_json::Value;

/// The name of the SQS message attribute and of the JSON member.
pub const NAME: &str = "correlationId";

/// The HTTP header that carries it.
pub const HEADER: &str = "X-Correlation-Id";

/// A new ID: `mig-` and a UUID version 7, so that IDs sort by time.
pub fn generate() -> String {
    format!("mig-{}", uuid::Uuid::now_v7())
}

/// The ID to use: the message attribute, else the body's, else a new one. An attribute that is no usable ID
/// (empty, over 128 characters, or with characters outside `A-Za-z0-9._-`) is passed over: it would end up in
/// log lines, tags and headers.
pub fn choose(attribute: Option<&str>, body: Option<&str>) -> String {
    [attribute, body]
        .into_iter()
        .flatten()
        .find(|id| is_id(id))
        .map_or_else(generate, str::to_owned)
}

/// The ID in an event: at the top, or in an EventBridge `detail`.
pub fn of_event(event: &Value) -> Option<&str> {
    event
        .get(NAME)
        .or_else(|| event.get("detail").and_then(|detail| detail.get(NAME)))
        .and_then(Value::as_str)
        .filter(|id| is_id(id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_attribute_wins_then_the_body_then_a_new_one() {
        assert_eq!(choose(Some("a"), Some("b")), "a");
        assert_eq!(choose(None, Some("b")), "b");
        assert_eq!(choose(Some("bad\nline"), Some("b")), "b");
        assert!(choose(None, None).starts_with("mig-"));
        assert!(choose(Some(""), Some(&"x".repeat(129))).starts_with("mig-"));
    }

    #[test]
    fn found_at_the_top_and_in_the_detail() {
        assert_eq!(of_event(&json!({"correlationId": "a"})), Some("a"));
        assert_eq!(
            of_event(&json!({"detail": {"correlationId": "b"}})),
            Some("b")
        );
        assert_eq!(of_event(&json!({})), None);
    }
}
