//! A migration in a state to be rolled back.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use landfall_common::state::wait::{Phase, Wait, WaitKind};
use landfall_domain::gate::{Gate, GateRecord};
use landfall_domain::record::{DnsChange, DnsValue, LaunchAction};
use landfall_domain::{ErrorName, StageError, Status};
use rollback::{Deps, handle};
use serde_json::{Value, json};

use crate::world::{self, Parts, SERVER, TARGET, key};

/// A world and the function in it.
pub(crate) struct Stage {
    pub(crate) parts: Parts,
    pub(crate) deps: Deps,
}

impl Stage {
    /// A migration whose cutover instance was verified; nobody was moved.
    pub(crate) async fn new() -> Self {
        let parts = world::cut_over(ErrorName::RollbackError).await;
        let deps = Deps {
            accounts: landfall_accounts::Accounts::home_only(),
            journal: parts.journal.clone(),
            mgn: parts.mgn.clone(),
            ec2: parts.ec2.clone(),
            dns: parts.dns.clone(),
            sources: parts.sources.clone(),
            cmdb: parts.cmdb.clone(),
            cmf: parts.cmf.clone(),
        };
        Self { parts, deps }
    }

    /// A migration that failed in the middle of finalize: everything was moved but the point of no return. Whoever had
    /// to agree has agreed.
    pub(crate) async fn moved() -> Self {
        let stage = Self::unapproved().await;
        stage.parts.change_record(|record| {
            record.gates.push(GateRecord {
                gate: Gate::Rollback,
                opened_at: world::NOW.into(),
                answers: vec![],
                escalated_at: None,
                refused_at: None,
                granted_at: Some(world::NOW.into()),
            });
        });
        stage
    }

    /// The same, before anybody was asked.
    pub(crate) async fn unapproved() -> Self {
        let stage = Self::new().await;
        let name = |name: &str, kind: &str| ("Z1".to_owned(), name.to_owned(), kind.to_owned());
        let value = |ttl, value: &str| DnsValue {
            ttl,
            values: vec![value.to_owned()],
        };
        {
            let mut world = stage.parts.world();
            world
                .names
                .insert(name("app.example.com", "A"), value(60, "10.1.0.11"));
            world.names.insert(
                name("www.example.com", "CNAME"),
                value(60, "app.example.com"),
            );
            world.cmdb = json!({"sys_id": "abc", "ip_address": "10.1.0.11", "object_id": TARGET, "name": "web-01"});
            world.power = "deallocated".into();
            world.cmf_status = "Landfall: cutover complete".into();
            world.instances.get_mut(TARGET).unwrap().protected = true;
        }
        let change = |name: &str, kind: &str, previous, value| DnsChange {
            hosted_zone_id: "Z1".into(),
            name: name.into(),
            record_type: kind.into(),
            previous,
            value,
        };
        stage.parts.change_record(|record| {
            record.status = Status::Finalizing;
            record.done.dns = vec![
                change(
                    "app.example.com",
                    "A",
                    Some(value(300, "192.0.2.10")),
                    value(60, "10.1.0.11"),
                ),
                change(
                    "www.example.com",
                    "CNAME",
                    None,
                    value(60, "app.example.com"),
                ),
            ];
            record.done.cmdb_previous = Some(json!({"ip_address": "192.0.2.10", "object_id": ""}));
            record.done.source_powered_off_at = Some("2026-11-21T11:00:00Z".into());
        });
        stage
    }

    /// A migration that waits for a launch of which the record knows nothing yet.
    pub(crate) async fn before_launch(action: LaunchAction) -> Self {
        let stage = Self::new().await;
        {
            let mut world = stage.parts.world();
            world.jobs.clear();
            world.instances.clear();
            world.launched = None;
            world.lifecycle = match action {
                LaunchAction::Test => "READY_FOR_TEST".into(),
                LaunchAction::Cutover => "READY_FOR_CUTOVER".into(),
            };
        }
        stage.parts.change_record(|record| {
            record.status = match action {
                LaunchAction::Test => Status::ReadyForTest,
                LaunchAction::Cutover => Status::ReadyForCutover,
            };
            record.done = landfall_domain::record::Done::default();
        });
        stage
    }

    pub(crate) async fn run(&self, now: &str) -> Result<Value, StageError> {
        let failure = json!({
            "error": "CutoverError", "state": "FinalizeCutover",
            "cause": json!({"errorType": "CutoverError", "errorMessage": "no such zone"}).to_string(),
        });
        let event = world::event(json!({ "failure": failure }));
        handle(&self.deps, event, world::at(now)).await
    }

    /// As the workflow does: again, for as long as the error is transient.
    pub(crate) async fn finish(&self) -> Result<Value, StageError> {
        let mut last = self.run(world::NOW).await;
        for _ in 0..20 {
            match &last {
                Err(error) if error.name.is_transient() => last = self.run(world::NOW).await,
                _ => break,
            }
        }
        last
    }

    pub(crate) async fn open(&self, wait: &Wait) {
        self.deps.journal.store.open_wait(wait).await.unwrap();
        self.parts.world().calls.clear();
    }

    pub(crate) async fn stored(&self, wait: &Wait) -> Option<Wait> {
        self.deps.journal.store.get_wait(wait).await.unwrap()
    }

    /// Everything is as it was before the finalize.
    pub(crate) fn assert_undone(&self, what: &str) {
        let world = self.parts.world();
        let app = world.name("app.example.com", "A").unwrap();
        assert_eq!(
            (app.ttl, app.values[0].as_str()),
            (300, "192.0.2.10"),
            "{what}"
        );
        assert_eq!(world.name("www.example.com", "CNAME"), None, "{what}");
        assert_eq!(world.cmdb["ip_address"], "192.0.2.10", "{what}");
        assert_eq!(world.cmdb["object_id"], "", "{what}");
        assert_eq!(world.power, "running", "{what}");
        assert_eq!(world.cmf_status, "Not started", "{what}");
        assert_eq!(world.lifecycle, "READY_FOR_CUTOVER", "{what}");
        assert_eq!(world.template_default, 3, "{what}");
        assert_eq!(world.right_sizing, "BASIC", "{what}");
        assert!(world.copy_private_ip, "{what}");
        assert_eq!(world.instances[TARGET].state, "terminated", "{what}");
        assert_eq!(world.terminations, 1, "{what}");
        let record = world.record();
        assert_eq!(record.status, Status::RolledBack, "{what}");
        let failure = record.failure.as_ref().unwrap();
        assert_eq!(failure.message, "no such zone", "{what}");
        let started = |item: &&HashMap<String, AttributeValue>| {
            item.get("eventType")
                .is_some_and(|kind| kind.as_s().unwrap() == "RollbackStarted")
        };
        assert_eq!(world.items.values().filter(started).count(), 1, "{what}");
        assert!(
            !world
                .items
                .keys()
                .any(|(pk, _)| pk.starts_with("LEASE#LAUNCH")),
            "the lease is given back: {what}"
        );
    }

    pub(crate) fn assert_frozen(&self, reason: &str) {
        let world = self.parts.world();
        assert_eq!(world.record().status, Status::Frozen);
        let types = world.event_types();
        let end = &types[types.len() - 2..];
        assert_eq!(end, ["RollbackFailed", "MigrationFrozen"]);
        let because = &world.events.last().unwrap().1["evidence"]["because"];
        assert!(because.as_str().unwrap().contains(reason), "{because}");
    }
}

/// A wait as it was opened.
pub(crate) fn wait(kind: WaitKind) -> Wait {
    Wait {
        key: key(),
        attempt: 1,
        correlation_id: "c-1".into(),
        kind,
        phase: Phase::Pending,
        task_token: "token".into(),
        retry_count: 0,
        due_at: "2026-11-21T15:00:00Z".into(),
        created_at: "2026-11-21T11:59:00Z".into(),
        source_vm_id: "vm-1".into(),
        source_server_id: Some(SERVER.into()),
        account: None,
        command: None,
        policy: landfall_domain::request::Policy::default(),
        intent_id: None,
        job_id: None,
        held: None,
        intents: Vec::new(),
        claimed_at: None,
        paused_at: None,
        closed: false,
        barred: false,
    }
}
