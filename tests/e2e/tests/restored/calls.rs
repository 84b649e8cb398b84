//! The calls with which rollbacks changed something, and the faults that meet them when they are made again.

use landfall_domain::record::Done;
use landfall_e2e::Stack;
use serde_json::{Value, json};

use crate::cases::{Case, Refused};
use crate::world::{Known, Zone};

/// A call, and how many like it others make before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) kind: Kind,
    after: usize,
}

/// What is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// An operation of MGN about the server.
    Mgn(&'static str),
    /// The launch template's default.
    Template,
    /// The protection of the target.
    Protection,
    /// The record in Cloud Migration Factory.
    Factory,
    /// The configuration item.
    Item,
    /// The power of the source.
    Power,
    /// The name that was changed.
    Changed,
    /// The name that was made.
    Made,
    /// The look at what Route 53's name servers answer.
    Answers,
}

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// It is refused.
    Refused,
    /// It is carried out, and its answer is lost.
    Lost,
}

const MGN: [&str; 4] = [
    "ChangeServerLifeCycleState",
    "TerminateTargetInstances",
    CONFIGURE,
    "DisconnectFromService",
];
const CONFIGURE: &str = "UpdateLaunchConfiguration";

/// Every call that the simulator has answered or refused.
pub(crate) struct Log(Vec<Value>);

impl Log {
    pub(crate) async fn read(stack: &Stack) -> Self {
        let calls = stack.simulator("calls").await;
        let calls = calls.as_array().expect("a list of calls").iter();
        // Those that a fault has met it meets again, so that no other one counts them.
        let natural = calls.filter(|call| call["message"] != "An injected fault.");
        Self(natural.cloned().collect())
    }

    /// How many of such calls the rollback made, and how many others did.
    fn count(&self, service: &str, operation: &str, about: &str) -> (usize, usize) {
        let of = |call: &&Value| {
            let said = call["sourceServerIDs"].to_string() + &call["resources"].to_string();
            call["service"] == service && call["operation"] == operation && said.contains(about)
        };
        let calls = self.0.iter().filter(of);
        let (own, others): (Vec<_>, Vec<_>) =
            calls.partition(|call| call["application"] == "rollback");
        (own.len(), others.len())
    }

    /// The calls that the rollback of a case made.
    pub(crate) fn of(&self, case: &Case, known: &Known, done: &Done) -> Vec<Call> {
        let mut calls = Vec::new();
        let mut add = |kind, (own, others): (usize, usize)| {
            if own > 0 {
                calls.push(Call {
                    kind,
                    after: others,
                });
            }
        };
        for operation in MGN {
            add(
                Kind::Mgn(operation),
                self.count("mgn", operation, &known.server),
            );
        }
        // Two of its settings are given back, one after the other.
        if done.copied_private_ip {
            let (own, others) = self.count("mgn", CONFIGURE, &known.server);
            add(Kind::Mgn(CONFIGURE), (own.saturating_sub(1), others + 1));
        }
        let template = self.count("ec2", "ModifyLaunchTemplate", &known.template);
        add(Kind::Template, template);
        let cutover = done.cutover.as_ref();
        if let Some(instance) = cutover.and_then(|launch| launch.instance_id.as_ref()) {
            let protection = self.count("ec2", "ModifyInstanceAttribute", instance);
            add(Kind::Protection, protection);
        }
        // Of these nobody says who called: the rollback's is the last.
        for (kind, service, operation) in [
            (Kind::Factory, "cmf", known.factory_change()),
            (Kind::Item, "cmdb", known.item_change()),
            (Kind::Power, "azure", known.machine("POST", "start")),
        ] {
            let (_, all) = self.count(service, &operation, "");
            add(kind, (all.min(1), all.saturating_sub(1)));
        }
        if !done.dns.is_empty() {
            add(Kind::Changed, (1, 0));
            add(Kind::Answers, (1, 0));
            // The first one makes it.
            if case.refused != Some(Refused::SecondName) {
                add(Kind::Made, (1, 1));
            }
        }
        calls
    }
}

impl Call {
    /// The fault that meets this call of another migration of the same kind.
    pub(crate) fn rule(self, known: &Known, zone: &Zone, case: &Case, fault: Fault) -> Value {
        let [www, app] = zone.names(&case.name);
        let server = known.server.clone();
        let (service, operation, about) = match self.kind {
            Kind::Mgn(operation) => ("mgn", operation.to_owned(), Some(server)),
            Kind::Template => (
                "ec2",
                "ModifyLaunchTemplate".to_owned(),
                Some(known.template.clone()),
            ),
            Kind::Protection => ("ec2", "ModifyInstanceAttribute".to_owned(), Some(server)),
            Kind::Factory => ("cmf", known.factory_change(), None),
            Kind::Item => ("cmdb", known.item_change(), None),
            Kind::Power => ("azure", known.machine("POST", "start"), None),
            // By the value that it is given back.
            Kind::Changed => (
                "route53",
                "ChangeResourceRecordSets".to_owned(),
                Some(zone.before(&case.name)),
            ),
            Kind::Made => ("route53", "ChangeResourceRecordSets".to_owned(), Some(app)),
            Kind::Answers => ("route53", "TestDNSAnswer".to_owned(), Some(www)),
        };
        let mut rule = match fault {
            Fault::Refused => {
                json!({"kind": "error", "error": "AccessDeniedException", "status": 403})
            }
            Fault::Lost => json!({"kind": "drop-response"}),
        };
        rule["service"] = service.into();
        rule["operation"] = operation.into();
        rule["after"] = self.after.into();
        if let Some(about) = about {
            rule["server"] = about.into();
        }
        rule
    }
}
