//! The keys that encrypt the target's volumes.

use landfall_domain::Finding;

use crate::facts::{Key, TargetFacts};

/// Checks the request's key, and the one EBS takes when there is none.
pub(super) fn check(facts: &TargetFacts) -> Vec<Finding> {
    let own = facts.key.as_ref().and_then(|key| {
        let problem = problem(key)?;
        let code = match key.arn {
            None => "KMS_KEY_NOT_FOUND",
            Some(_) => "KMS_KEY_UNUSABLE",
        };
        Some(
            Finding::blocking(code, "/kmsKeyId", format!("key {} {problem}.", key.named))
                .evidence(found(key), "an enabled symmetric key of the target Region")
                .remedy("Name an enabled symmetric encryption key of the target account's Region, or leave kmsKeyId out."),
        )
    });
    // Where the request names a key, the default is not asked.
    let default = facts
        .ebs_default
        .key
        .as_ref()
        .filter(|_| facts.key.is_none())
        .and_then(|key| {
            let problem = problem(key)?;
            Some(
                Finding::blocking(
                    "EBS_DEFAULT_KEY_UNUSABLE",
                    "",
                    format!(
                        "EBS encrypts every new volume here with key {}, which {problem}.",
                        key.named
                    ),
                )
                .evidence(found(key), "an enabled symmetric key")
                .remedy("Repair the key, or set another default with `aws ec2 modify-ebs-default-kms-key-id`; no staging disk can be made before."),
            )
        });
    own.into_iter().chain(default).collect()
}

fn problem(key: &Key) -> Option<String> {
    if key.arn.is_none() {
        return Some("does not exist in the target account and Region".to_owned());
    }
    if key.state != "Enabled" {
        return Some(format!("is {} and not Enabled", key.state));
    }
    (!key.symmetric).then(|| "is not symmetric, which EBS needs".to_owned())
}

fn found(key: &Key) -> &str {
    if key.state.is_empty() {
        &key.named
    } else {
        &key.state
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::tests::{assert_helpful, codes};
    use crate::facts::EbsDefault;

    fn key(arn: Option<&str>, state: &str, symmetric: bool) -> Key {
        Key {
            named: "alias/app".into(),
            arn: arn.map(str::to_owned),
            state: state.into(),
            symmetric,
        }
    }

    #[test]
    fn a_key_must_be_there_enabled_and_symmetric() {
        let arn = Some("arn:aws:kms:eu-central-1:123456789012:key/1");
        let table = [
            (key(arn, "Enabled", true), None),
            (key(None, "", false), Some("KMS_KEY_NOT_FOUND")),
            (key(arn, "Disabled", true), Some("KMS_KEY_UNUSABLE")),
            (key(arn, "PendingDeletion", true), Some("KMS_KEY_UNUSABLE")),
            (key(arn, "Enabled", false), Some("KMS_KEY_UNUSABLE")),
        ];
        for (key, expected) in table {
            let default = EbsDefault {
                encrypts: true,
                key: Some(key.clone()),
            };
            let asked = TargetFacts {
                key: Some(key.clone()),
                ebs_default: default.clone(),
                ..TargetFacts::default()
            };
            let findings = check(&asked);
            assert_helpful(&findings);
            assert_eq!(codes(&findings), Vec::from_iter(expected), "{key:?}");
            let by_default = TargetFacts {
                ebs_default: default,
                ..TargetFacts::default()
            };
            let findings = check(&by_default);
            assert_helpful(&findings);
            let expected = expected.map(|_| "EBS_DEFAULT_KEY_UNUSABLE");
            assert_eq!(codes(&findings), Vec::from_iter(expected), "{key:?}");
        }
        assert_eq!(check(&TargetFacts::default()), []);
    }
}
