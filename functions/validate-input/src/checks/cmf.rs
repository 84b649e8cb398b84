//! The plan in Cloud Migration Factory.

use landfall_domain::{Finding, MigrationRequest, cmf};

use crate::facts::CmfFacts;

/// Checks that the request's wave, application and server are there, and belong together.
pub(super) fn check(request: &MigrationRequest, facts: Option<&CmfFacts>) -> Vec<Finding> {
    let Some(facts) = facts else {
        return Vec::new();
    };
    match &facts.records {
        Ok(records) => records.findings(request, facts.weight),
        Err(why) => vec![cmf::unreachable(why, facts.weight)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::tests::{assert_helpful, codes, request};
    use landfall_domain::cmf::{App, Records, Server, Wave, Weight};
    use serde_json::json;

    #[test]
    fn a_deployment_without_a_plan_checks_none() {
        assert_eq!(check(&request(json!({})), None), []);
    }

    #[test]
    fn the_plan_is_judged_and_so_is_that_it_cannot_be_read() {
        let planned = Records {
            waves: vec![Wave {
                id: "3".into(),
                name: "wave-3".into(),
                status: String::new(),
            }],
            apps: vec![App {
                id: "5".into(),
                name: "billing-app".into(),
                wave_id: Some("3".into()),
            }],
            servers: vec![Server {
                id: "7".into(),
                name: "vm-123456".into(),
                fqdn: String::new(),
                app_id: Some("5".into()),
                status: String::new(),
            }],
        };
        let nothing = &[
            "CMF_WAVE_NOT_FOUND",
            "CMF_APP_NOT_FOUND",
            "CMF_SERVER_NOT_FOUND",
        ][..];
        let table = [
            (Ok(planned), &[][..]),
            (Ok(Records::default()), nothing),
            (
                Err("CMF: signing in answered 502".into()),
                &["CMF_UNREACHABLE"],
            ),
        ];
        for (records, expected) in table {
            for weight in [Weight::Told, Weight::Required] {
                let facts = CmfFacts {
                    weight,
                    records: records.clone(),
                };
                let findings = check(&request(json!({})), Some(&facts));
                assert_helpful(&findings);
                assert_eq!(codes(&findings), expected);
                let blocking = weight == Weight::Required;
                assert!(
                    findings
                        .iter()
                        .all(|finding| finding.is_blocking() == blocking)
                );
            }
        }
    }
}
