//! What another migration has already.

use landfall_common::state::claim::Rival;
use landfall_domain::{Finding, Status};

use super::Subject;
use crate::facts::Claims;

/// Checks that no other migration moves the server, or is to launch under its private address.
pub(super) fn check(subject: Subject<'_>, claims: &Claims) -> Vec<Finding> {
    let request = subject.request;
    let mut findings = Vec::new();
    if let Some(rival) = &claims.server {
        let who = who(subject, rival);
        findings.push(
            Finding::blocking(
                "ALREADY_MIGRATING",
                "/sourceVmId",
                format!("{} is being moved by {who}.", request.source_vm_id),
            )
            .evidence(who, "no other migration of the server")
            .remedy(remedy(rival)),
        );
    }
    if let (Some(rival), Some(address)) = (&claims.address, &request.private_ip) {
        let who = who(subject, rival);
        findings.push(
            Finding::blocking(
                "IP_CLAIMED",
                "/privateIp",
                format!("{address} is wanted by {who}, whose target will have it."),
            )
            .evidence(who, "an address that no other migration wants")
            .remedy("Choose another address, or leave privateIp out."),
        );
    }
    findings
}

/// The migration, by name to its own tenant alone.
fn who(subject: Subject<'_>, rival: &Rival) -> String {
    if rival.holder.key.tenant_id == subject.tenant_id {
        format!("migration {}", rival.holder.key.migration_id)
    } else {
        "a migration of another tenant".to_owned()
    }
}

fn remedy(rival: &Rival) -> &'static str {
    if rival.status == Status::Frozen {
        "That migration is FROZEN: a person must look at it and submit it again, or undo it, first."
    } else {
        "Wait until that migration has ended, then submit again."
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::tests::{assert_helpful, codes, request, subject};
    use landfall_common::state::Key;
    use landfall_common::state::claim::Holder;
    use serde_json::json;

    fn rival(tenant: &str, status: Status) -> Option<Rival> {
        Some(Rival {
            holder: Holder {
                key: Key::new(tenant, "mig-other"),
                attempt: 1,
            },
            status,
        })
    }

    #[test]
    fn a_server_and_an_address_are_had_once() {
        let request = request(json!({"privateIp": "10.0.1.10"}));
        let check = |server: Option<Rival>, address: Option<Rival>| {
            let claims = Claims {
                free: vec![],
                server,
                address,
            };
            let findings = super::check(subject(&request), &claims);
            assert_helpful(&findings);
            findings
        };
        assert_eq!(check(None, None), []);
        let both = check(
            rival("default", Status::Testing),
            rival("default", Status::Testing),
        );
        assert_eq!(codes(&both), ["ALREADY_MIGRATING", "IP_CLAIMED"]);
        assert!(both.iter().all(|f| f.message.contains("mig-other")));
        let frozen = check(rival("default", Status::Frozen), None);
        assert!(frozen[0].remedy.contains("FROZEN"));
        let foreign = check(rival("globex", Status::Testing), None);
        assert!(!format!("{foreign:?}").contains("mig-other"));
        assert!(!format!("{foreign:?}").contains("globex"));
    }
}
