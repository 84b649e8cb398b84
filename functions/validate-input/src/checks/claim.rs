//! What another migration has already.

use landfall_common::state::claim::Holder;
use landfall_domain::Finding;

use super::Subject;
use crate::facts::Claims;

/// Checks that no other migration moves the server, or is to launch under its private address.
pub(super) fn check(subject: Subject<'_>, claims: &Claims) -> Vec<Finding> {
    let request = subject.request;
    let mut findings = Vec::new();
    if let Some(rival) = &claims.server {
        let who = who(subject, &rival.holder);
        findings.push(
            Finding::blocking(
                "ALREADY_MIGRATING",
                "/sourceVmId",
                format!("{} is being moved by {who}.", request.source_vm_id),
            )
            .evidence(who, "no other migration of the server")
            .remedy("Wait until that migration has ended, then submit again."),
        );
    }
    if let (Some(rival), Some(address)) = (&claims.address, &request.private_ip) {
        let who = who(subject, &rival.holder);
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
    let mut frozen = claims.free.iter().filter(|taking| taking.frozen);
    if let Some(holder) = frozen.find_map(|taking| taking.from.as_ref()) {
        let who = who(subject, holder);
        findings.push(
            Finding::warning(
                "FROZEN_BEFORE",
                "/sourceVmId",
                format!("{} was moved by {who}, which is FROZEN.", request.source_vm_id),
            )
            .evidence(who, "no migration that a person must finish")
            .remedy("Make sure that what it left is finished or undone by hand; nothing automatic touches it again."),
        );
    }
    findings
}

/// The migration, by name to its own tenant alone.
fn who(subject: Subject<'_>, holder: &Holder) -> String {
    if holder.key.tenant_id == subject.tenant_id {
        format!("migration {}", holder.key.migration_id)
    } else {
        "a migration of another tenant".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::tests::{assert_helpful, codes, request, subject};
    use landfall_common::state::Key;
    use landfall_common::state::claim::{Claim, Rival, Taking};
    use serde_json::json;

    fn holder(tenant: &str) -> Holder {
        Holder {
            key: Key::new(tenant, "mig-other"),
            attempt: 1,
        }
    }

    fn rival(tenant: &str) -> Rival {
        Rival {
            holder: holder(tenant),
        }
    }

    #[test]
    fn a_server_and_an_address_are_had_once() {
        let request = request(json!({"privateIp": "10.0.1.10"}));
        let check = |claims: Claims| {
            let findings = super::check(subject(&request), &claims);
            assert_helpful(&findings);
            findings
        };
        assert_eq!(check(Claims::default()), []);
        let both = check(Claims {
            server: Some(rival("default")),
            address: Some(rival("default")),
            ..Claims::default()
        });
        assert_eq!(codes(&both), ["ALREADY_MIGRATING", "IP_CLAIMED"]);
        assert!(both.iter().all(|f| f.message.contains("mig-other")));
        assert!(both.iter().all(Finding::is_blocking));
        let foreign = check(Claims {
            server: Some(rival("globex")),
            ..Claims::default()
        });
        assert!(!format!("{foreign:?}").contains("mig-other"));
        assert!(!format!("{foreign:?}").contains("globex"));
        let frozen = check(Claims {
            free: vec![Taking {
                claim: Claim::server("1", "r", "vm-123456"),
                from: Some(holder("default")),
                frozen: true,
            }],
            ..Claims::default()
        });
        assert_eq!(codes(&frozen), ["FROZEN_BEFORE"]);
        assert!(!frozen[0].is_blocking());
    }
}
