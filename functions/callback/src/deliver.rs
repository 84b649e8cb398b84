//! One try of a delivery, to an address that it may go to.

use std::net::SocketAddr;
use std::time::Duration;

use landfall_domain::webhook;

/// How long one try may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What is delivered.
pub(crate) struct Message<'a> {
    pub(crate) url: &'a str,
    pub(crate) id: &'a str,
    pub(crate) timestamp: i64,
    pub(crate) signature: &'a str,
    pub(crate) correlation_id: &'a str,
    pub(crate) body: &'a str,
}

/// What became of a try.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Attempt {
    /// The receiver answered 2xx.
    Delivered(u16),
    /// Another try may succeed.
    TryAgain(String),
    /// No other try will.
    Refused(String),
}

/// As much of a URL as may be shown: `scheme://host[:port]`. What follows may be a secret, and so may what stands
/// before the host.
pub(crate) fn origin(url: &str) -> String {
    match reqwest::Url::parse(url).map(|url| url.origin()) {
        Ok(origin) if origin.is_tuple() => origin.ascii_serialization(),
        _ => "a URL that has no origin".to_owned(),
    }
}

/// Posts the message. The address is resolved once, judged, and then used as judged: a name that resolves to
/// something else a moment later gains nothing. Redirects are not followed.
pub(crate) async fn deliver(message: &Message<'_>, allowed_origins: &[String]) -> Attempt {
    let url = match reqwest::Url::parse(message.url) {
        Ok(url) => url,
        Err(error) => return Attempt::Refused(format!("the callback URL cannot be read: {error}")),
    };
    let Some(host) = url.host_str().map(str::to_owned) else {
        return Attempt::Refused("the callback URL names no host".to_owned());
    };
    let listed = webhook::is_listed(
        &url.origin().ascii_serialization(),
        allowed_origins.iter().map(String::as_str),
    );
    if !listed && url.scheme() != "https" {
        return Attempt::Refused(
            "the callback URL is not https, and its origin is not allowed".to_owned(),
        );
    }
    let port = url.port_or_known_default().unwrap_or(443);
    let name = host.trim_matches(['[', ']']);
    let addresses: Vec<SocketAddr> = match tokio::net::lookup_host((name, port)).await {
        Ok(addresses) => addresses.collect(),
        Err(error) => return Attempt::TryAgain(format!("{host} does not resolve: {error}")),
    };
    if !listed
        && let Some(address) = addresses
            .iter()
            .find(|address| !webhook::is_public(address.ip()))
    {
        return Attempt::Refused(format!(
            "{host} is at {}, which is no public address",
            address.ip()
        ));
    }
    match post(message, url, &host, &addresses).await {
        Ok(status) if (200..300).contains(&status) => Attempt::Delivered(status),
        // 408, 429 and 5xx may pass; any other answer will be the same next time.
        Ok(status) if status == 408 || status == 429 || status >= 500 => {
            Attempt::TryAgain(format!("the receiver answered {status}"))
        }
        Ok(status) => Attempt::Refused(format!("the receiver answered {status}")),
        Err(error) if error.is_timeout() => Attempt::TryAgain("no answer in time".to_owned()),
        Err(error) => Attempt::TryAgain(error.without_url().to_string()),
    }
}

async fn post(
    message: &Message<'_>,
    url: reqwest::Url,
    host: &str,
    addresses: &[SocketAddr],
) -> Result<u16, reqwest::Error> {
    // A client of its own per delivery, because the judged addresses are part of it.
    let client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .timeout(TIMEOUT)
        .resolve_to_addrs(host, addresses)
        .build()?;
    let answer = client
        .post(url)
        .header("content-type", "application/json")
        .header(
            "user-agent",
            concat!("landfall/", env!("CARGO_PKG_VERSION")),
        )
        .header("webhook-id", message.id)
        .header("webhook-timestamp", message.timestamp.to_string())
        .header("webhook-signature", message.signature)
        .header(landfall_common::correlation::HEADER, message.correlation_id)
        .body(message.body.to_owned())
        .send()
        .await?;
    Ok(answer.status().as_u16())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn refusal(url: &str) -> Attempt {
        let message = Message {
            url,
            id: "i",
            timestamp: 0,
            signature: "s",
            correlation_id: "c",
            body: "{}",
        };
        deliver(&message, &[]).await
    }

    #[test]
    fn of_a_url_only_the_origin_is_shown() {
        for (url, shown) in [
            (
                "https://user:secret@a.example.com:8443/secret?t=secret#secret",
                "https://a.example.com:8443",
            ),
            ("https://A.example.com:443/", "https://a.example.com"),
            ("http://[::1]:80/secret", "http://[::1]"),
            ("data:secret", "a URL that has no origin"),
            ("secret", "a URL that has no origin"),
        ] {
            assert_eq!(origin(url), shown);
        }
    }

    #[tokio::test]
    async fn addresses_that_are_not_public_are_refused_before_a_byte_is_sent() {
        for url in [
            "https://127.0.0.1/",
            "https://localhost/",
            "https://[::1]/",
            "https://[::ffff:127.0.0.1]/",
            "https://169.254.169.254/latest/meta-data",
            "https://10.0.0.1/",
            "https://2130706433/",
            "https://0x7f.1/",
            "http://example.com/",
            "ftp://example.com/",
            "not a url",
        ] {
            assert!(
                matches!(refusal(url).await, Attempt::Refused(_)),
                "{url}: {:?}",
                refusal(url).await
            );
        }
    }
}
