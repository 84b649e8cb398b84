//! What the tests of cancelled migrations share: people, a name by which users find a server, and calls that are refused.

use landfall_domain::MigrationRecord;
use landfall_e2e::people::Person;
use landfall_e2e::source::Source;
use landfall_e2e::zone::Zone;
use landfall_e2e::{Migration, Stack, poll, unique};
use serde_json::{Value, json};

/// What all of them share.
pub(crate) struct Scene {
    pub(crate) stack: Stack,
    pub(crate) run: String,
    pub(crate) ann: Person,
    pub(crate) op: Person,
    pub(crate) zone: Zone,
}

impl Scene {
    pub(crate) async fn new() -> Self {
        let (stack, run) = (Stack::load().await, unique());
        Self {
            ann: Person::new(&stack, &run, "ann").await,
            op: Person::new(&stack, &run, "op").await,
            zone: Zone::new(&stack, &run).await,
            stack,
            run,
        }
    }

    /// The server of a phase, and a request that is held there where it needs one.
    pub(crate) fn source(&self, name: &str) -> Source {
        let source = Source::new(&self.stack, &self.run, name);
        let asks = |gate| json!({"approvals": [{"gate": gate, "approvers": [&self.ann.arn]}]});
        match name {
            // Ten hours, at the usual scale.
            "replicating" => source.machine("replicationSeconds", 4_320_000),
            // However late it is met: a launch is over in seconds, and its check is not.
            "testing" => source.machine("neverPassesStatus", true),
            "asked" => source.request("policy", asks("cutover")),
            "verified" => source.request("policy", asks("finalize")),
            "soaking" => source.request("policy", json!({"soakSeconds": 3_600})),
            "finalizing" => self.named(source),
            _ => source,
        }
    }

    /// With a name by which users find it.
    pub(crate) fn named(&self, source: Source) -> Source {
        let name = self.zone.name("app");
        let dns = json!([{"hostedZoneId": self.zone.id, "name": name, "type": "A", "ttl": 30}]);
        source.request("dns", dns)
    }

    /// Has a call about a server refused: as too many, or with an error.
    pub(crate) async fn refuse(&self, source: &Source, operation: &str, error: Option<&str>) {
        let service = if operation == "SendCommand" {
            "ssm"
        } else {
            "mgn"
        };
        let mut rule = json!({
            "service": service, "operation": operation, "kind": "throttle", "server": source.vm(), "count": 1_000_000,
        });
        if let Some(error) = error {
            rule["kind"] = "error".into();
            rule["error"] = error.into();
        }
        self.stack.post("faults", &rule).await;
    }

    /// Has every call about a server pass again.
    pub(crate) async fn let_pass(&self, source: &Source) {
        let what = format!("faults?server={}", source.vm());
        self.stack.delete(&what).await;
    }

    /// Waits until a call about a server was refused.
    pub(crate) async fn refused(&self, source: &Source, migration: &Migration, operation: &str) {
        let node = source.machine["ssmInstanceId"].clone();
        poll(&format!("a refused {operation}"), async || {
            let record = migration.record().await.expect("a record");
            let server = json!(record.source_server_id);
            let calls = self
                .stack
                .simulator(&format!("calls?operation={operation}"))
                .await;
            let names = |call: &&Value| {
                let named = call["resources"].as_array();
                named.is_some_and(|it| it.contains(&server) || it.contains(&node))
            };
            let mut calls = calls.as_array().expect("a list of calls").iter();
            let met = calls.any(|call| call["ok"] == false && names(&call));
            met.then_some(()).ok_or_else(|| record.status.to_string())
        })
        .await;
    }
}

/// Nothing of the migration waits, runs or is held.
pub(crate) async fn assert_nothing_left(migration: &Migration, record: &MigrationRecord) {
    let stack = &migration.stack;
    let waits = stack.store.waits_of(&migration.key).await;
    assert_eq!(waits.expect("waits").len(), 0, "{}", migration.key);
    assert_eq!(record.claims, Vec::<String>::new(), "{}", migration.key);
    for launch in [&record.done.test, &record.done.cutover]
        .into_iter()
        .flatten()
    {
        if let Some(instance) = &launch.instance_id {
            let state = stack.instance_state(instance).await;
            assert!(
                state
                    .as_deref()
                    .is_none_or(|it| it == "terminated" || it == "shutting-down"),
                "{}: {instance} is {state:?}",
                migration.key
            );
        }
    }
    // Its execution ends, too.
    migration.states("FAILED").await;
}
