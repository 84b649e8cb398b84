//! AWS keys in texts of others: an installer's output may repeat what it was given.
//!
//! Source: IAM user guide, "IAM identifiers" (an access key ID is `AKIA` or `ASIA` and 16 characters) and the form of
//! what STS hands out (a secret of 40 base64 characters, a session token of some hundreds).

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::{Captures, Regex};

/// What stands in a key's place.
const HIDDEN: &str = "****";
/// The length of a secret access key.
const SECRET: usize = 40;
/// Session tokens are longer than this, and hardly anything else in an installer's output is.
const TOKEN: usize = 100;

struct Patterns {
    /// A value that is called a key.
    named: Regex,
    /// Characters of one base64 text.
    run: Regex,
}

static PATTERNS: LazyLock<Result<Patterns, regex::Error>> = LazyLock::new(|| {
    Ok(Patterns {
        named: Regex::new(
            r#"((?i:secret[_-]?access[_-]?key|(?:session|security)[_-]?token|access[_-]?key[_-]?id)["']?(?:\s*[=:]\s*|\s+)["']?)[^\s"',;}]+"#,
        )?,
        run: Regex::new("[A-Za-z0-9/+]{20,}={0,2}")?,
    })
});

/// The text without anything that looks like an AWS key: key IDs, secrets, session tokens, and whatever stands behind
/// one of their names. It rather hides too much than too little: a text in mixed case of just 40 characters is hidden.
pub fn keys(text: &str) -> Cow<'_, str> {
    let Ok(patterns) = PATTERNS.as_ref() else {
        // Patterns that cannot be built are a bug, and no reason to tell a key.
        return Cow::Borrowed("(a text that could not be searched for keys)");
    };
    let named = patterns.named.replace_all(text, format!("${{1}}{HIDDEN}"));
    let hidden = patterns
        .run
        .replace_all(&named, |found: &Captures<'_>| hide(&found[0]));
    match hidden {
        Cow::Borrowed(_) => named,
        Cow::Owned(hidden) => Cow::Owned(hidden),
    }
}

fn hide(run: &str) -> String {
    let mixed = run.contains(|c: char| c.is_ascii_uppercase())
        && run.contains(|c: char| c.is_ascii_lowercase());
    let is_secret = mixed && (run.len() == SECRET || run.len() >= TOKEN);
    match run.get(..4) {
        Some(kind @ ("AKIA" | "ASIA")) if run.len() == 20 => format!("{kind}{HIDDEN}"),
        _ if is_secret => HIDDEN.to_owned(),
        _ => run.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "ASIAIOSFODNN7EXAMPLE";
    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

    #[test]
    fn what_looks_like_a_key_is_hidden_and_the_rest_is_not() {
        let token = format!("IQoJb3JpZ2luX2VjE{}==", "aB3/+".repeat(60));
        let table = [
            (format!("key {ID} is bad"), "key ASIA**** is bad"),
            ("AKIAIOSFODNN7EXAMPLE,".into(), "AKIA****,"),
            (format!("with {SECRET}."), "with ****."),
            (format!("{SECRET} {SECRET}"), "**** ****"),
            (format!("token={token}"), "token=****"),
            (
                format!("--aws-access-key-id {ID} --aws-secret-access-key {SECRET} --aws-session-token short"),
                "--aws-access-key-id **** --aws-secret-access-key **** --aws-session-token ****",
            ),
            (
                r#"{"SecretAccessKey": "short", "SessionToken":"x", "Expiration": "2026"}"#.into(),
                r#"{"SecretAccessKey": "****", "SessionToken":"****", "Expiration": "2026"}"#,
            ),
            (
                "aws_secret_access_key = short\nAWS_SESSION_TOKEN='x'".into(),
                "aws_secret_access_key = ****\nAWS_SESSION_TOKEN='****'",
            ),
            // What installers do say.
            (
                "The following is the source server ID: s-0123456789abcdef0.".into(),
                "The following is the source server ID: s-0123456789abcdef0.",
            ),
            (
                "see /var/lib/aws-replication-agent/agent.log.0, arn:aws:iam::123456789012:role/landfall-agent".into(),
                "see /var/lib/aws-replication-agent/agent.log.0, arn:aws:iam::123456789012:role/landfall-agent",
            ),
            (
                "https://aws-application-migration-service-us-east-1.s3.us-east-1.amazonaws.com/latest/linux".into(),
                "https://aws-application-migration-service-us-east-1.s3.us-east-1.amazonaws.com/latest/linux",
            ),
            ("a".repeat(40), "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
            (String::new(), ""),
        ];
        for (text, expected) in table {
            assert_eq!(keys(&text), expected, "{text}");
        }
    }

    #[test]
    fn a_key_is_hidden_wherever_it_is_cut() {
        for text in [
            format!("{ID}\n{SECRET}"),
            format!("\"{ID}\":\"{SECRET}\""),
            format!("{ID}\t{SECRET}\t"),
        ] {
            let hidden = keys(&text);
            assert!(!hidden.contains(ID) && !hidden.contains(SECRET), "{hidden}");
        }
    }
}
