//! Where a callback may go. The callback function looks again when it sends.

use landfall_domain::Finding;
use landfall_domain::webhook::{self, Forbidden};

/// Checks the callback's URL; `resolved` is what speaks against the addresses that its name has now.
pub(super) fn check(
    url: &str,
    allowed: &[String],
    resolved: Option<&Forbidden>,
) -> Option<Finding> {
    // What follows the origin may be a secret, and so may what stands before its host: neither is repeated.
    let Forbidden { problem, origin } = match webhook::forbidden(url, allowed) {
        Err(forbidden) => forbidden,
        Ok(_) => resolved?.clone(),
    };
    Some(
        Finding::blocking(
            "CALLBACK_URL_FORBIDDEN",
            "/callbackUrl",
            format!("callbacks may not go to this URL: {problem}."),
        )
        .evidence(origin, "an https URL on the public Internet, or a listed origin")
        .remedy("Give a public https URL, or have the operator list its origin in the deployment's callback_allow."),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::tests::assert_helpful;

    #[test]
    fn what_the_url_or_its_addresses_tell_blocks() {
        let allowed = ["http://127.0.0.1:4570".to_owned()];
        let inside = Forbidden {
            problem: "intern.example.com is at 10.0.0.1, which is not on the public Internet"
                .into(),
            origin: Some("https://intern.example.com".into()),
        };
        for (url, resolved, told) in [
            ("https://runbook.example.com/status", None, None),
            ("http://127.0.0.1:4570/sink/a", None, None),
            (
                "https://169.254.169.254/secret",
                None,
                Some("169.254.169.254"),
            ),
            (
                "https://user:secret@example.com/",
                None,
                Some("credentials"),
            ),
            (
                "https://intern.example.com/secret",
                Some(&inside),
                Some("10.0.0.1"),
            ),
        ] {
            let finding = check(url, &allowed, resolved);
            assert_helpful(finding.as_slice());
            let text = format!("{finding:?}");
            assert_eq!(finding.is_some(), told.is_some(), "{url}: {text}");
            assert!(told.is_none_or(|told| text.contains(told)), "{url}: {text}");
            assert!(!text.contains("secret"), "{text}");
        }
    }
}
