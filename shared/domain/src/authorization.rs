//! Encoded authorization failures: what EC2 answers instead of saying which permission is missing, and what the decoded
//! text means.
//!
//! Source: AWS STS API reference, `DecodeAuthorizationMessage`; EC2 and MGN (in `rawError` of a job's log) put the encoded
//! text behind the words "Encoded authorization failure message:".

use serde_json::Value;

const MARK: &str = "Encoded authorization failure message: ";

/// The encoded part of a text, where it has one.
pub fn encoded(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once(MARK)?;
    let end = rest
        .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '=' | '+' | '/')))
        .unwrap_or(rest.len());
    let found = &rest[..end];
    (!found.is_empty()).then_some(found)
}

/// The text with its encoded part replaced by what it means.
pub fn with_meaning(text: &str, meaning: &str) -> String {
    match encoded(text) {
        Some(encoded) => text.replace(&format!("{MARK}{encoded}"), meaning),
        None => text.to_owned(),
    }
}

/// What a decoded message says, in a sentence: who may not do what on which resource, and why. A message of another shape
/// is given as it is, in short.
pub fn meaning(decoded: &str) -> String {
    let Ok(message) = serde_json::from_str::<Value>(decoded) else {
        return short(decoded);
    };
    let context = &message["context"];
    let (Some(action), Some(resource)) = (context["action"].as_str(), context["resource"].as_str())
    else {
        return short(decoded);
    };
    let principal = context["principal"]["arn"].as_str().unwrap_or("the caller");
    let why = if message["explicitDeny"].as_bool() == Some(true) {
        let statement = message["matchedStatements"]["items"][0]["statementId"]
            .as_str()
            .filter(|id| !id.is_empty());
        match statement {
            Some(id) => format!("statement {id} denies it"),
            None => "a policy denies it".to_owned(),
        }
    } else {
        "no policy allows it".to_owned()
    };
    format!("{principal} may not {action} on {resource}: {why}")
}

fn short(text: &str) -> String {
    text.chars().take(1_000).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const TEXT: &str = "You are not authorized to perform this operation. Encoded authorization failure message: 4GIOHlTkIaWHQD0Q0m6XSnuUMCm-abc_DEF= (Service: Ec2)";

    #[test]
    fn the_encoded_part_is_found_and_replaced() {
        assert_eq!(encoded(TEXT), Some("4GIOHlTkIaWHQD0Q0m6XSnuUMCm-abc_DEF="));
        assert_eq!(encoded("VcpuLimitExceeded"), None);
        assert_eq!(encoded("Encoded authorization failure message: "), None);
        assert_eq!(
            with_meaning(TEXT, "it means this"),
            "You are not authorized to perform this operation. it means this (Service: Ec2)"
        );
        assert_eq!(with_meaning("plain", "x"), "plain");
    }

    #[test]
    fn what_it_means_is_a_sentence() {
        let mut message = json!({
            "allowed": false, "explicitDeny": false, "matchedStatements": {"items": []},
            "context": {
                "principal": {"id": "AROA:landfall", "arn": "arn:aws:sts::1:assumed-role/r/s"},
                "action": "ec2:RunInstances", "resource": "arn:aws:ec2:eu-central-1:1:instance/*",
            },
        });
        assert_eq!(
            meaning(&message.to_string()),
            "arn:aws:sts::1:assumed-role/r/s may not ec2:RunInstances on arn:aws:ec2:eu-central-1:1:instance/*: no policy allows it"
        );
        message["explicitDeny"] = true.into();
        assert!(meaning(&message.to_string()).ends_with(": a policy denies it"));
        message["matchedStatements"]["items"] = json!([{"statementId": "DenyRegions"}]);
        assert!(meaning(&message.to_string()).ends_with(": statement DenyRegions denies it"));
        assert_eq!(meaning("something else"), "something else");
        assert_eq!(meaning("{}"), "{}");
    }
}
