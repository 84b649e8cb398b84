//! A call as a rule sees it: what is called, where, and about which servers.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Kind, Rule};
use crate::world::World;
use crate::world::place::Place;

/// A call, or an event.
#[derive(Debug)]
pub struct Call<'a> {
    /// The service; `events` for an event.
    pub service: &'a str,
    /// The operation; an event's detail-type.
    pub operation: &'a str,
    /// Where it is made.
    pub place: &'a Place,
    /// What it says.
    pub input: &'a Value,
    /// By what each machine and server is called; each set starts with no particular name.
    pub known: &'a [BTreeSet<String>],
}

impl Call<'_> {
    /// Whether a rule may meet this call; with the source servers that it is about then.
    pub fn fits(&self, rule: &Rule) -> Option<Vec<String>> {
        let fits = |pattern: &str, name: &str| pattern == "*" || pattern == name;
        // `*` means any API call; events are met by name only.
        let service = if self.service == "events" {
            rule.service == "events"
        } else {
            fits(&rule.service, self.service)
        };
        let place = |wanted: &Option<String>, here: &str| wanted.as_ref().is_none_or(|w| w == here);
        if !service
            || !fits(&rule.operation, self.operation)
            || !place(&rule.account, &self.place.account)
            || !place(&rule.region, &self.place.region)
        {
            return None;
        }
        let mut named = servers(self.input);
        if let Some(wanted) = &rule.server {
            // All the names of those that are wanted.
            let called: BTreeSet<&str> = wanted
                .each()
                .iter()
                .flat_map(|name| {
                    let also = self.known.iter().filter(move |names| names.contains(name));
                    std::iter::once(name.as_str()).chain(also.flatten().map(String::as_str))
                })
                .collect();
            if !says(self.input, &called) {
                return None;
            }
            named.retain(|id| called.contains(id.as_str()));
        }
        // A conflict is about servers.
        (rule.kind != Kind::Conflict || !named.is_empty()).then_some(named)
    }
}

/// The source servers that an input names.
pub(crate) fn servers(input: &Value) -> Vec<String> {
    let one = input.get("sourceServerID").into_iter();
    let many = [
        &input["sourceServerIDs"],
        &input["filters"]["sourceServerIDs"],
    ];
    one.chain(many.into_iter().filter_map(Value::as_array).flatten())
        .filter_map(|id| id.as_str().map(str::to_owned))
        .collect()
}

/// Whether one of the names stands in an input: as a whole text, or at the end of a path or ARN.
fn says(input: &Value, names: &BTreeSet<&str>) -> bool {
    match input {
        Value::String(text) => {
            let last = text.rsplit('/').next().unwrap_or_default();
            names.contains(text.as_str()) || names.contains(last)
        }
        Value::Array(items) => items.iter().any(|item| says(item, names)),
        Value::Object(members) => members.values().any(|member| says(member, names)),
        _ => false,
    }
}

impl World {
    /// The rule that a call in the present place meets.
    pub fn meet(&mut self, service: &str, operation: &str, input: &Value) -> Option<Rule> {
        let wanted = self.faults.rules();
        if wanted.is_empty() {
            return None;
        }
        let known = if wanted.iter().any(|rule| rule.server.is_some()) {
            self.names()
        } else {
            Vec::new()
        };
        self.faults.meet(&Call {
            service,
            operation,
            place: &self.place,
            input,
            known: &known,
        })
    }

    /// By what each machine is called: in the source's system, in Systems Manager, in MGN, and its instances in EC2.
    fn names(&self) -> Vec<BTreeSet<String>> {
        let servers = || {
            self.everywhere()
                .flat_map(|(_, local)| local.servers.values())
        };
        let unnamed = servers().filter(|server| server.user_provided_id.is_none());
        let machines = self.machines.values().map(|machine| {
            let own = [&machine.source_vm_id, &machine.hostname];
            let node = machine.ssm_instance_id.iter();
            let mut names: BTreeSet<String> = own.into_iter().chain(node).cloned().collect();
            let id = Some(&machine.source_vm_id);
            for server in servers().filter(|server| server.user_provided_id.as_ref() == id) {
                self.add_names(&server.id, &mut names);
            }
            names
        });
        machines
            .chain(unnamed.map(|server| {
                let mut names = BTreeSet::new();
                self.add_names(&server.id, &mut names);
                names
            }))
            .collect()
    }

    fn add_names(&self, server_id: &str, names: &mut BTreeSet<String>) {
        names.insert(server_id.to_owned());
        let jobs = self.everywhere().flat_map(|(_, local)| &local.jobs);
        let parts = jobs.flat_map(|job| &job.participants);
        let own = parts.filter(|part| part.server_id == server_id);
        names.extend(own.filter_map(|part| part.instance_id.clone()));
    }
}
