//! One try of a delivery, to an address that it may go to.

use jiff::Timestamp;
use landfall_common::correlation;
use landfall_domain::webhook::{self, Answer};
use landfall_external::outbound::{Guard, Stopped};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

/// What is delivered.
pub(crate) struct Message<'a> {
    pub(crate) url: &'a str,
    pub(crate) id: &'a str,
    pub(crate) correlation_id: &'a str,
    pub(crate) body: &'a str,
}

/// What became of a try.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Attempt {
    /// The receiver answered 2xx.
    Delivered(u16),
    /// Another try may succeed.
    TryAgain {
        why: String,
        /// For so many seconds the receiver wants to be left alone.
        asked: Option<u32>,
    },
    /// No other try will.
    Refused(String),
}

impl Attempt {
    pub(crate) const fn try_again(why: String) -> Self {
        Self::TryAgain { why, asked: None }
    }
}

/// Posts the message, if the guard lets it through. The time of the signature is that of the try.
pub(crate) async fn deliver(
    message: &Message<'_>,
    signature: &str,
    guard: &Guard,
    now: Timestamp,
) -> Attempt {
    let admitted = match guard.admit(message.url).await {
        Ok(admitted) => admitted,
        Err(Stopped::Forbidden(forbidden)) => {
            return Attempt::Refused(format!(
                "callbacks may not go to this URL: {}",
                forbidden.problem
            ));
        }
        Err(Stopped::Unresolved(why)) => return Attempt::try_again(why),
    };
    let headers = match headers(message, signature, now) {
        Ok(headers) => headers,
        Err(name) => {
            return Attempt::Refused(format!("the header {name} cannot hold its value"));
        }
    };
    match admitted.post(headers, message.body.to_owned()).await {
        Ok(answered) => {
            let status = answered.status;
            match webhook::judge(status) {
                Answer::Taken => Attempt::Delivered(status),
                Answer::Later => Attempt::TryAgain {
                    why: format!("the receiver answered {status}"),
                    asked: answered
                        .retry_after
                        .and_then(|header| webhook::retry_after(&header, now)),
                },
                Answer::Never(why) => {
                    Attempt::Refused(format!("the receiver answered {status}, {why}"))
                }
            }
        }
        Err(why) => Attempt::try_again(why),
    }
}

fn headers(
    message: &Message<'_>,
    signature: &str,
    now: Timestamp,
) -> Result<HeaderMap, &'static str> {
    let timestamp = now.as_second().to_string();
    [
        ("webhook-id", message.id),
        ("webhook-timestamp", &timestamp),
        ("webhook-signature", signature),
        (correlation::HEADER, message.correlation_id),
    ]
    .into_iter()
    .map(|(name, value)| {
        let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| name)?;
        Ok((key, HeaderValue::from_str(value).map_err(|_| name)?))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_no_header_holds_is_told_by_the_header_s_name() {
        let message = Message {
            url: "https://a.example.com/",
            id: "i",
            correlation_id: "line\nbreak",
            body: "{}",
        };
        let now = "2026-11-21T12:00:00Z".parse().unwrap();
        assert_eq!(headers(&message, "s", now), Err(correlation::HEADER));
    }
}
