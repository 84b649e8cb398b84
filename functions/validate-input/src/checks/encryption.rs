//! The keys that encrypt the target's volumes.

use landfall_domain::Finding;
use landfall_domain::request::{MigrationRequest, Step};
use landfall_launch::Key;

use crate::facts::{Fact, TargetFacts};

/// Checks the request's key, what a change of it would cost, and the key that EBS takes when there is none.
pub(super) fn check(request: &MigrationRequest, facts: &TargetFacts) -> Vec<Finding> {
    match &facts.key {
        Some(Key::Unusable(finding)) => vec![(**finding).clone()],
        Some(Key::Usable(arn)) => resync(request, facts, arn).into_iter().collect(),
        None => by_default(request, facts).into_iter().collect(),
    }
}

fn resync(request: &MigrationRequest, facts: &TargetFacts, wanted: &str) -> Option<Finding> {
    let present = facts.launch.as_ref()?;
    let [server] = facts.mgn.servers.as_slice() else {
        return None;
    };
    let key = present.settings.encryption_key.as_deref();
    landfall_domain::launch::resync(request, key, wanted, &server.replication)
}

/// Whether the default counts: where staging disks are still to be made, with no key that the request names.
pub(super) fn default_matters(request: &MigrationRequest, facts: &TargetFacts) -> bool {
    let replicates = facts
        .mgn
        .servers
        .iter()
        .any(|it| it.standing().is_connected());
    request.wants(Step::Replicate) && request.kms_key_id.is_none() && !replicates
}

fn by_default(request: &MigrationRequest, facts: &TargetFacts) -> Option<Finding> {
    if !default_matters(request, facts) || facts.unread.has(Fact::Servers) {
        return None;
    }
    let (named, Key::Unusable(finding)) = facts.ebs_default.key.as_ref()? else {
        return None;
    };
    Some(
        Finding::blocking(
            "EBS_DEFAULT_KEY_UNUSABLE",
            "",
            format!(
                "EBS encrypts every new volume here with key {named}: {}",
                finding.message
            ),
        )
        .evidence(finding.found.clone(), finding.wanted.clone())
        .remedy("Repair the key, or set another default with `aws ec2 modify-ebs-default-kms-key-id`; no staging disk can be made before."),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::tests::{assert_helpful, codes, request};
    use crate::facts::EbsDefault;
    use serde_json::json;

    fn unusable(code: &str) -> Key {
        Key::Unusable(Box::new(
            Finding::blocking(code, "/kmsKeyId", "it is of no use.").remedy("Take another."),
        ))
    }

    #[test]
    fn a_key_must_be_usable_and_the_default_counts_where_none_is_named() {
        let request = request(json!({}));
        let check = |key: Option<Key>, default: Option<Key>, expected: &[&str]| {
            let facts = TargetFacts {
                key,
                ebs_default: EbsDefault {
                    key: default.map(|key| ("alias/own".to_owned(), key)),
                },
                ..TargetFacts::default()
            };
            let findings = super::check(&request, &facts);
            assert_helpful(&findings);
            assert_eq!(codes(&findings), expected);
        };
        let usable = || Some(Key::Usable("arn:key".into()));
        let missing = || Some(unusable("KMS_KEY_NOT_FOUND"));
        check(None, None, &[]);
        check(usable(), None, &[]);
        check(missing(), None, &["KMS_KEY_NOT_FOUND"]);
        check(None, usable(), &[]);
        check(None, missing(), &["EBS_DEFAULT_KEY_UNUSABLE"]);
        check(usable(), missing(), &[]);
    }
}
