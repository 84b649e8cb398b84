//! HTTP answers.

use std::time::Duration;

use crate::health::SourceAnswer;
use crate::request::HttpCheck;
use crate::request::health::pattern;

/// An HTTP answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its headers, by lower-case name; of one that stands several times, all.
    pub headers: Vec<(String, String)>,
    /// The start of its body.
    pub body: String,
    /// The time from the connection to the last byte that was read.
    pub took: Duration,
}

impl Answer {
    /// How long it took, in milliseconds.
    pub fn millis(&self) -> u64 {
        u64::try_from(self.took.as_millis()).unwrap_or(u64::MAX)
    }
}

/// What the answer must be, in words.
pub(super) fn wanted(check: &HttpCheck, baseline: Option<&SourceAnswer>) -> String {
    let mut parts = vec![check.expected_status.to_string()];
    let headers = check.expected_headers.iter();
    parts.extend(headers.map(|(name, text)| {
        if is_secret(&name.to_lowercase()) {
            format!("{name}: as the check says")
        } else {
            format!("{name}: …{text}…")
        }
    }));
    parts.extend(check.expected_body.as_ref().map(|text| format!("{text:?}")));
    parts.extend(check.body_pattern.as_ref().map(|text| format!("/{text}/")));
    let said = parts.join(" with ");
    let Some(baseline) = baseline else {
        return said;
    };
    let status = baseline.status;
    match baseline.limit_millis(check) {
        Some(limit) => format!(
            "{said}; the source answered {status} in {} ms, so within {limit} ms",
            baseline.millis
        ),
        None => format!("{said}; the source answered {status}"),
    }
}

/// The answer in words; an error where it is not as it must be.
pub(super) fn judge(
    check: &HttpCheck,
    answer: &Answer,
    baseline: Option<&SourceAnswer>,
) -> Result<String, String> {
    let (status, millis) = (answer.status, answer.millis());
    if !check.expected_status.contains(status) {
        return Err(format!("answered {status}"));
    }
    for (name, text) in &check.expected_headers {
        let lower = name.to_lowercase();
        let mut values = answer
            .headers
            .iter()
            .filter(|(name, _)| *name == lower)
            .map(|(_, value)| value.as_str())
            .peekable();
        if values.peek().is_none() {
            return Err(format!("answered {status} without the header {name}"));
        }
        let values: Vec<&str> = values.collect();
        if !values.iter().any(|value| value.contains(text.as_str())) {
            let shown = if is_secret(&lower) {
                "something else".to_owned()
            } else {
                format!("{:?}", values.join(", "))
            };
            return Err(format!("answered {status} with {name}: {shown}"));
        }
    }
    let lacks_text = |text: &str| !answer.body.contains(text);
    if check.expected_body.as_deref().is_some_and(lacks_text) {
        return Err(format!("answered {status} without the expected text"));
    }
    if let Some(text) = &check.body_pattern {
        // It was compiled when the request came in; one of an earlier schema could have none.
        let Ok(pattern) = pattern(text) else {
            return Err(format!("cannot be checked: /{text}/ is no pattern"));
        };
        if !pattern.is_match(&answer.body) {
            return Err(format!(
                "answered {status} with a body that /{text}/ does not match"
            ));
        }
    }
    if let Some(baseline) = baseline {
        if baseline.status != status {
            return Err(format!(
                "answered {status}, and the source answered {} before the cutover",
                baseline.status
            ));
        }
        if let Some(limit) = baseline.limit_millis(check)
            && millis > limit
        {
            return Err(format!(
                "answered {status} in {millis} ms, and the source in {} ms before the cutover; {limit} ms are allowed",
                baseline.millis
            ));
        }
    }
    Ok(format!("answered {status} in {millis} ms"))
}

/// Whether a header's value lets somebody in.
/// An address as it may be shown: without the password and the parameters that a person may have put into it.
pub fn shown(url: &str) -> String {
    let (address, parameters) = match url.split_once(['?', '#']) {
        Some((address, _)) => (address, "?…"),
        None => (url, ""),
    };
    let (scheme, rest) = address.split_once("://").unwrap_or(("", address));
    // Whatever stands before an @ may be a password, a slash in it or not.
    let shown = rest.rsplit('@').next().unwrap_or(rest);
    let separator = if scheme.is_empty() { "" } else { "://" };
    format!("{scheme}{separator}{shown}{parameters}")
}

fn is_secret(name: &str) -> bool {
    matches!(name, "set-cookie" | "authorization" | "www-authenticate")
        || name.contains("token")
        || name.contains("secret")
}
