//! What requests that are sent together may not share: an ID, a server, an address.

use std::collections::HashMap;

use landfall_domain::{Finding, MigrationRequest};

/// The code of every finding of this module, and the reason of a refusal for it.
pub(super) const CODE: &str = "DUPLICATE_IN_FILES";

/// The requests so far, by what each has for itself.
#[derive(Default)]
pub(super) struct Collisions<'a> {
    ids: HashMap<(&'a str, &'a str), Taken<'a>>,
    /// By target account, Region and source, whoever's tenant moves it, as the deployment sees it.
    servers: HashMap<(Place<'a>, &'a str), Taken<'a>>,
    /// By subnet, whose ID no two tenants share.
    addresses: HashMap<(&'a str, &'a str), Taken<'a>>,
}

/// The account and Region a request names; the deployment's own is not known here.
type Place<'a> = Option<(&'a str, &'a str)>;

/// Who has it.
#[derive(Clone)]
struct Taken<'a> {
    request: &'a MigrationRequest,
    place: String,
}

impl<'a> Collisions<'a> {
    /// What a request shares with those before it; `place` says where it stands.
    pub(super) fn with(&mut self, request: &'a MigrationRequest, place: String) -> Vec<Finding> {
        let tenant = request.tenant_id.as_str();
        let taken = Taken { request, place };
        let mut findings = Vec::new();

        let id = request.migration_id.as_str();
        if let Some(other) = claim(&mut self.ids, (tenant, id), &taken) {
            if other.request == request {
                let message = format!("the same request stands in {}.", other.place);
                // It shares everything else as well, and that says no more.
                return vec![
                    Finding::blocking(CODE, "/migrationId", message)
                        .remedy("Leave one of them out."),
                ];
            }
            let message = format!("{id} is the ID of {}, too.", other.place);
            findings.push(
                Finding::blocking(CODE, "/migrationId", message)
                    .evidence(id, "an ID of its own")
                    .remedy("Give each server a migrationId of its own."),
            );
        }
        let server = request.source_vm_id.as_str();
        let account = request.account.as_ref();
        let target = account.map(|it| (it.id.as_str(), it.region.as_str()));
        if let Some(other) = claim(&mut self.servers, (target, server), &taken) {
            let message = format!("{server} is the server of {}, too.", other.told());
            findings.push(
                Finding::blocking(CODE, "/sourceVmId", message)
                    .evidence(server, "a server of its own")
                    .remedy("Leave one of them out: a server is in one migration at a time."),
            );
        }
        if let (Some(subnet), Some(ip)) = (&request.subnet_id, &request.private_ip)
            && let Some(other) = claim(&mut self.addresses, (subnet, ip), &taken)
        {
            let message = format!("{ip} in {subnet} is the address of {}, too.", other.told());
            findings.push(
                Finding::blocking(CODE, "/privateIp", message)
                    .evidence(ip.as_str(), "an address of its own")
                    .remedy("Give each server an address of its own, or leave the choice to EC2."),
            );
        }
        findings
    }
}

impl Taken<'_> {
    fn told(&self) -> String {
        format!("{} ({})", self.place, self.request.migration_id)
    }
}

/// Takes something for a request, unless another has it.
fn claim<'m, 'a, K: Eq + std::hash::Hash>(
    map: &'m mut HashMap<K, Taken<'a>>,
    key: K,
    taken: &Taken<'a>,
) -> Option<&'m Taken<'a>> {
    match map.entry(key) {
        std::collections::hash_map::Entry::Vacant(entry) => {
            entry.insert(taken.clone());
            None
        }
        std::collections::hash_map::Entry::Occupied(entry) => Some(entry.into_mut()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn request(changes: &Value) -> MigrationRequest {
        let mut request = json!({
            "migrationId": "mig-1", "appName": "a", "source": "azure", "target": "aws", "environment": "prod",
            "wave": "w", "steps": ["replicate"], "sourceVmId": "vm-1", "subnetId": "subnet-1", "privateIp": "10.0.0.5",
        });
        for (name, value) in changes.as_object().unwrap() {
            request[name] = value.clone();
        }
        serde_json::from_value(request).unwrap()
    }

    /// What a second request shares with the first one.
    fn shared(changes: &Value) -> Vec<String> {
        let (first, second) = (request(&json!({})), request(changes));
        let mut collisions = Collisions::default();
        assert_eq!(collisions.with(&first, "a.json, request 1".to_owned()), []);
        let findings = collisions.with(&second, "b.json, request 1".to_owned());
        assert!(findings.iter().all(Finding::is_blocking));
        let told = |finding: &Finding| format!("{} {}", finding.pointer, finding.message);
        findings.iter().map(told).collect()
    }

    #[test]
    fn an_id_a_server_and_an_address_belong_to_one_request() {
        let apart = json!({"migrationId": "mig-2", "sourceVmId": "vm-2", "privateIp": "10.0.0.6"});
        assert_eq!(shared(&apart), Vec::<String>::new());
        let with = |name: &str, value: &str| {
            let mut changes = apart.clone();
            changes[name] = json!(value);
            shared(&changes)
        };
        assert_eq!(
            with("migrationId", "mig-1"),
            ["/migrationId mig-1 is the ID of a.json, request 1, too."]
        );
        assert_eq!(
            with("sourceVmId", "vm-1"),
            ["/sourceVmId vm-1 is the server of a.json, request 1 (mig-1), too."]
        );
        assert_eq!(
            with("privateIp", "10.0.0.5"),
            ["/privateIp 10.0.0.5 in subnet-1 is the address of a.json, request 1 (mig-1), too."]
        );
    }

    #[test]
    fn everything_that_is_shared_is_told_and_of_a_copy_only_that_it_is_one() {
        assert_eq!(shared(&json!({"wave": "w2"})).len(), 3);
        assert_eq!(
            shared(&json!({})),
            ["/migrationId the same request stands in a.json, request 1."]
        );
    }

    #[test]
    fn another_tenant_s_ids_and_another_subnet_s_addresses_are_others() {
        assert_eq!(
            shared(&json!({"tenantId": "t2", "sourceVmId": "vm-2", "subnetId": "subnet-2"})),
            Vec::<String>::new()
        );
        // A server is one server, whoever moves it; in another account it is another one of MGN's.
        let theirs = shared(&json!({"tenantId": "t2", "subnetId": "subnet-2"}));
        assert!(theirs[0].starts_with("/sourceVmId"), "{theirs:?}");
        let account = json!({"id": "222222222222", "region": "eu-central-1"});
        let elsewhere = json!({"migrationId": "mig-2", "account": account, "subnetId": "subnet-2"});
        assert_eq!(shared(&elsewhere), Vec::<String>::new());
        let no_address = json!({"migrationId": "mig-2", "sourceVmId": "vm-2", "privateIp": null});
        assert_eq!(shared(&no_address), Vec::<String>::new());
    }
}
