//! Which of MGN's servers a request means.
//!
//! The agent's `--user-provided-id` decides. A server whose agent was installed without it is found by what its agent
//! reported of itself: full name, host name or address, whatever their case. A short name is the last resort. Several
//! that fit equally well are all given back: nobody may guess which is meant.

use crate::Server;

/// The servers that a request means by its `sourceVmId`, and its `sourceHost` where it has one.
pub fn matching<'a>(
    servers: &'a [Server],
    source_vm_id: &str,
    source_host: Option<&str>,
) -> Vec<&'a Server> {
    let by_id = |server: &&Server| server.is_known_by(source_vm_id);
    // One that was given another ID is another server, whatever its host name says.
    let nameless = |server: &&Server| server.user_provided_id.as_deref().is_none_or(str::is_empty);
    let host = source_host.unwrap_or(source_vm_id);
    let found: Vec<&Server> = servers.iter().filter(by_id).collect();
    if !found.is_empty() {
        return found;
    }
    let found: Vec<&Server> = servers
        .iter()
        .filter(nameless)
        .filter(|server| names(server).any(|name| name.eq_ignore_ascii_case(host)))
        .collect();
    if !found.is_empty() || is_address(host) {
        return found;
    }
    servers
        .iter()
        .filter(nameless)
        // `web.a.example` and `web.b.example` are two machines; only a short name may stand for a long one.
        .filter(|server| match &server.fqdn {
            Some(full) if !is_short(full) => {
                is_short(host) && short(full).eq_ignore_ascii_case(host)
            }
            _ => server
                .hostname
                .as_ref()
                .is_some_and(|name| short(name).eq_ignore_ascii_case(short(host))),
        })
        .collect()
}

fn names(server: &Server) -> impl Iterator<Item = &String> {
    let names = server.fqdn.iter().chain(&server.hostname);
    names.chain(&server.ips)
}

fn is_address(host: &str) -> bool {
    host.parse::<std::net::IpAddr>().is_ok()
}

fn is_short(name: &str) -> bool {
    !name.contains('.')
}

fn short(name: &str) -> &str {
    name.split('.').next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use landfall_domain::replication::Replication;

    fn server(id: &str, given: Option<&str>, fqdn: &str, ip: &str) -> Server {
        Server {
            id: id.into(),
            user_provided_id: given.map(str::to_owned),
            vmware_uuid: None,
            hostname: Some(short(fqdn).to_owned()),
            fqdn: Some(fqdn.to_owned()),
            ips: vec![ip.to_owned()],
            archived: false,
            lifecycle: "READY_FOR_TEST".into(),
            replication: Replication::default(),
            launched: None,
        }
    }

    #[test]
    fn the_given_id_decides_then_names_and_addresses_then_short_names() {
        let servers = [
            server("s-1", Some("vm-1"), "web01.a.example", "10.0.0.1"),
            server("s-2", None, "web02.a.example", "10.0.0.2"),
            server("s-3", None, "web03.a.example", "10.0.0.3"),
            server("s-4", None, "web03.b.example", "10.0.0.3"),
            server("s-5", Some("vm-5"), "web02.a.example", "10.0.0.2"),
        ];
        let check = |id: &str, host: Option<&str>, expected: &[&str]| {
            let found = matching(&servers, id, host);
            let ids: Vec<&str> = found.iter().map(|server| server.id.as_str()).collect();
            assert_eq!(ids, expected, "{id} {host:?}");
        };
        check("vm-1", None, &["s-1"]);
        check("vm-1", Some("web02.a.example"), &["s-1"]);
        check("vm-9", None, &[]);
        check("vm-9", Some("WEB02.A.example"), &["s-2"]);
        check("vm-9", Some("10.0.0.2"), &["s-2"]);
        check("web02.a.example", None, &["s-2"]);
        check("web02", None, &["s-2"]);
        // A server that has an ID of its own is not found by its names.
        check("web01.a.example", None, &[]);
        // Twins.
        check("vm-9", Some("10.0.0.3"), &["s-3", "s-4"]);
        check("web03", None, &["s-3", "s-4"]);
        check("web03.a.example", None, &["s-3"]);
        check("web03.c.example", None, &[]);
        check("10.0.0.9", None, &[]);
    }
}
