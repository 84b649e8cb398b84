//! `finalize-cutover` against a world in memory.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::large_futures,
    clippy::result_large_err,
    clippy::too_many_lines,
    reason = "helpers of tests"
)]

#[path = "finalize/archive.rs"]
mod archive;
#[path = "finalize/cmdb.rs"]
mod cmdb;
#[path = "finalize/cmf.rs"]
mod cmf;
#[path = "finalize/night.rs"]
mod night;
mod source;
mod world;

use finalize_cutover::{Deps, handle};
use landfall_domain::finalize::State;
use landfall_domain::record::DnsValue;
use landfall_domain::{ErrorName, StageError, Status};
use landfall_gates::Holds;
use serde_json::{Value, json};
use world::{Fault, Parts, TARGET};

struct Stage {
    parts: Parts,
    deps: Deps,
}

impl Stage {
    async fn new() -> Self {
        let parts = world::cut_over(ErrorName::CutoverError).await;
        let deps = Deps {
            accounts: landfall_accounts::Accounts::home_only(),
            journal: parts.journal.clone(),
            mgn: parts.mgn.clone(),
            ec2: parts.ec2.clone(),
            dns: parts.dns.clone(),
            sources: parts.sources.clone(),
            cmdb: parts.cmdb.clone(),
            cmf: parts.cmf.clone(),
            holds: Holds::default(),
        };
        // No resolver keeps an old answer; the tests of the night have one that does.
        for value in parts.world().names.values_mut() {
            value.ttl = 0;
        }
        Self { parts, deps }
    }

    /// A source that runs elsewhere than in Azure.
    async fn on(kind: &str) -> Self {
        let stage = Self::new().await;
        stage.parts.source_on(kind);
        stage
    }

    async fn run(&self, members: Value) -> Result<Value, StageError> {
        handle(&self.deps, world::event(members), world::invocation()).await
    }

    /// As the workflow does: again, for as long as the error is transient.
    async fn finish(&self) -> Result<Value, StageError> {
        let mut last = self.run(json!({})).await;
        for _ in 0..10 {
            match &last {
                Err(error) if error.name.is_transient() => last = self.run(json!({})).await,
                _ => break,
            }
        }
        last
    }

    /// Everything is moved, once, and what was there before is known.
    fn assert_moved(&self, what: &str) {
        let world = self.parts.world();
        let target = DnsValue {
            ttl: 60,
            values: vec!["10.1.0.11".into()],
        };
        assert_eq!(world.name("app.example.com", "A"), Some(&target), "{what}");
        assert!(world.name("www.example.com", "CNAME").is_some(), "{what}");
        assert_eq!(world.cmdb["ip_address"], "10.1.0.11", "{what}");
        assert_eq!(world.cmdb["object_id"], TARGET, "{what}");
        assert_eq!(world.power, "deallocated", "{what}");
        assert_eq!(world.cmf_status, "Landfall: cutover complete", "{what}");
        assert_eq!(world.lifecycle, "CUTOVER", "{what}");
        assert_eq!(world.finalized, 1, "{what}");
        let instance = &world.instances[TARGET];
        assert!(instance.protected, "{what}");
        assert_eq!(instance.tags["Environment"], "prod", "{what}");
        assert_eq!(instance.tags["landfall:migrationId"], "mig-1", "{what}");
        let record = world.record();
        assert_eq!(record.status, Status::Succeeded, "{what}");
        assert!(record.done.finalized_at.is_some(), "{what}");
        assert!(record.done.source_powered_off_at.is_some(), "{what}");
        assert_eq!(record.done.dns.len(), 2, "{what}");
        let open = record
            .done
            .finalize
            .iter()
            .find(|note| note.state == State::Begun);
        assert_eq!(open, None, "{what}");
        assert_eq!(record.done.finalize.len(), 6, "{what}");
        let before = record.done.dns[0].previous.as_ref().unwrap();
        assert_eq!(before.values, ["192.0.2.10"], "{what}");
        assert_eq!(record.done.dns[1].previous, None, "{what}");
        assert_eq!(
            record.done.cmdb_previous,
            Some(json!({"ip_address": "192.0.2.10", "object_id": ""})),
            "{what}"
        );
    }
}

#[tokio::test]
async fn users_move_and_the_point_of_no_return_comes_last() {
    let stage = Stage::new().await;
    assert_eq!(
        stage.finish().await.unwrap(),
        json!({"status": "SUCCEEDED", "held": false})
    );
    stage.assert_moved("");
    let world = stage.parts.world();
    assert_eq!(
        world.event_types(),
        ["FinalizeStarted", "MigrationSucceeded"]
    );
    let at = |call: &str| world.calls.iter().position(|c| c == call).unwrap();
    let order = [
        at("ListResourceRecordSets"),
        at("ChangeResourceRecordSets"),
        at("cmdb:PATCH:abc"),
        at("CreateTags"),
        at("azure:POST:deallocate"),
        at("cmf:PUT:7"),
        at("FinalizeCutover"),
    ];
    assert!(order.is_sorted(), "{:?}", world.calls);
    let evidence = &world.events[1].1["evidence"];
    let names = |list: &Value, member: &str| {
        let list = list.as_array().unwrap().iter();
        list.map(|it| it[member].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let steps = [
        "DNS",
        "CMDB",
        "TARGET_SEALED",
        "SOURCE_POWER_OFF",
        "CMF",
        "MGN_FINALIZE",
    ];
    assert_eq!(names(&evidence["steps"], "step"), steps);
    assert_eq!(
        names(&evidence["guard"], "item"),
        [
            "VERIFIED",
            "SOAKED",
            "APPROVED",
            "DNS",
            "CMDB",
            "TARGET_SEALED",
            "SOURCE_POWER_OFF"
        ]
    );
    assert!(
        evidence["guard"]
            .as_array()
            .unwrap()
            .iter()
            .all(|item| item["met"] == true)
    );
    assert_eq!(evidence["outage"]["outageSeconds"], 0);
}

#[tokio::test]
async fn a_second_run_asks_for_the_record_and_nothing_else() {
    let stage = Stage::new().await;
    stage.finish().await.unwrap();
    stage.parts.world().calls.clear();
    assert_eq!(stage.run(json!({})).await.unwrap()["status"], "SUCCEEDED");
    assert_eq!(stage.parts.world().calls, ["GetItem"]);
}

#[tokio::test]
async fn whatever_call_fails_once_the_next_run_goes_on() {
    let calls = {
        let stage = Stage::new().await;
        stage.finish().await.unwrap();
        stage.parts.world().calls.clone()
    };
    assert!(calls.len() > 20, "{calls:?}");
    for (index, call) in calls.iter().enumerate() {
        for fault in [Fault::Unavailable, Fault::Lost] {
            let stage = Stage::new().await;
            stage.parts.world().fault = Some((index, fault));
            let what = format!("{call} ({index}) {fault:?}");
            stage
                .finish()
                .await
                .unwrap_or_else(|error| panic!("{what}: {error}"));
            stage.assert_moved(&what);
        }
    }
}

#[tokio::test]
async fn whatever_call_is_refused_nothing_is_finalized() {
    let calls = {
        let stage = Stage::new().await;
        stage.finish().await.unwrap();
        stage.parts.world().calls.clone()
    };
    let end = calls
        .iter()
        .position(|call| call == "FinalizeCutover")
        .unwrap();
    for (index, call) in calls.iter().enumerate().take(end + 1) {
        let stage = Stage::new().await;
        stage.parts.world().fault = Some((index, Fault::Refused));
        let error = stage.finish().await.unwrap_err();
        let expected = match call.as_str() {
            "GetItem" | "TransactWriteItems" | "PutEvents" => ErrorName::InternalError,
            "DescribeSourceServers" => ErrorName::PrerequisiteError,
            _ => ErrorName::CutoverError,
        };
        assert_eq!(error.name, expected, "{call} ({index}): {error}");
        let world = stage.parts.world();
        assert_eq!(world.finalized, 0, "{call} ({index})");
        assert_ne!(world.record().status, Status::Succeeded, "{call} ({index})");
    }
}

#[tokio::test]
async fn what_was_there_is_in_the_record_before_it_is_changed() {
    let stage = Stage::new().await;
    let change = {
        stage.finish().await.unwrap();
        let world = stage.parts.world();
        world
            .calls
            .iter()
            .position(|call| call == "ChangeResourceRecordSets")
            .unwrap()
    };
    let stage = Stage::new().await;
    stage.parts.world().fault = Some((change, Fault::Refused));
    stage.finish().await.unwrap_err();
    let world = stage.parts.world();
    assert_eq!(world.record().done.dns.len(), 2);
    assert_eq!(
        world.name("app.example.com", "A").unwrap().values,
        ["192.0.2.10"]
    );
}

#[tokio::test]
async fn a_run_that_a_rollback_overtook_finalizes_nothing() {
    let last_write = {
        let stage = Stage::new().await;
        stage.finish().await.unwrap();
        let world = stage.parts.world();
        let end = world
            .calls
            .iter()
            .position(|call| call == "FinalizeCutover")
            .unwrap();
        assert_eq!(world.calls[end - 1], "TransactWriteItems");
        end - 1
    };
    let stage = Stage::new().await;
    // The rollback writes just before.
    stage.parts.world().fault = Some((last_write, Fault::Overtaken));
    // The run that is overtaken ends in a conflict, and would go on only as a new one.
    let mut last = stage.run(json!({})).await.unwrap_err();
    while stage.parts.world().calls.len() <= last_write {
        last = stage.run(json!({})).await.unwrap_err();
    }
    assert_eq!(last.name, ErrorName::Conflict);
    assert_eq!(stage.parts.world().finalized, 0);
}

#[tokio::test]
async fn a_server_that_is_not_cutting_over_moves_nobody() {
    let stage = Stage::new().await;
    stage.parts.world().lifecycle = "READY_FOR_CUTOVER".into();
    let error = stage.finish().await.unwrap_err();
    assert_eq!(error.name, ErrorName::CutoverError);
    assert!(error.message.contains("READY_FOR_CUTOVER"), "{error}");
    assert_eq!(stage.parts.world().count("ChangeResourceRecordSets"), 0);
}

#[tokio::test]
async fn a_target_that_stopped_moves_nobody() {
    let stage = Stage::new().await;
    stage.parts.world().instances.get_mut(TARGET).unwrap().state = "stopped".into();
    let error = stage.finish().await.unwrap_err();
    assert_eq!(error.name, ErrorName::CutoverError);
    assert!(error.message.contains("is stopped"), "{error}");
    assert_eq!(stage.parts.world().count("ChangeResourceRecordSets"), 0);
}

#[tokio::test]
async fn an_alias_is_refused_before_any_name_is_changed() {
    let stage = Stage::new().await;
    {
        let mut world = stage.parts.world();
        let key = ("Z1".into(), "www.example.com".into(), "CNAME".into());
        world.names.insert(
            key,
            DnsValue {
                ttl: 60,
                values: vec![],
            },
        );
        world.aliases.push("www.example.com".into());
    }
    let error = stage.finish().await.unwrap_err();
    assert_eq!(error.name, ErrorName::CutoverError);
    assert!(error.message.contains("alias"), "{error}");
    assert_eq!(stage.parts.world().count("ChangeResourceRecordSets"), 0);
}

#[tokio::test]
async fn a_request_without_extras_is_just_finalized() {
    let stage = Stage::new().await;
    stage.parts.change_record(|record| {
        record.request.dns.clear();
        record.request.cmdb = None;
        record.request.source_control = None;
        record.done.cmf = None;
    });
    stage.run(json!({})).await.unwrap();
    let world = stage.parts.world();
    assert_eq!(world.finalized, 1);
    // The record, two transitions with their events, five calls for the work, the writes around its steps, and before each
    // step a look at the wave's window.
    assert_eq!(
        world.calls,
        [
            "GetItem",
            "DescribeSourceServers",
            "DescribeInstances",
            "GetItem",
            "TransactWriteItems",
            "PutEvents",
            "GetItem",
            "GetItem",
            "TransactWriteItems",
            "ModifyInstanceAttribute",
            "CreateTags",
            "TransactWriteItems",
            // The source is left to a person, and so is its record in CMF.
            "GetItem",
            "TransactWriteItems",
            "GetItem",
            "TransactWriteItems",
            "GetItem",
            "TransactWriteItems",
            "FinalizeCutover",
            "TransactWriteItems",
            "PutEvents",
        ]
    );
}

#[tokio::test]
async fn a_migration_without_a_switch_ends_well() {
    for status in [
        Status::Preparing,
        Status::Replicating,
        Status::ReadyForTest,
        Status::ReadyForCutover,
    ] {
        let stage = Stage::new().await;
        stage.parts.change_record(|record| record.status = status);
        let answer = stage.run(json!({"phase": "complete"})).await.unwrap();
        assert_eq!(answer["status"], "SUCCEEDED");
        let world = stage.parts.world();
        assert_eq!(world.event_types(), ["MigrationSucceeded"]);
        assert_eq!(world.finalized, 0);
    }
}

#[tokio::test]
async fn another_execution_s_migration_is_left_alone() {
    let stage = Stage::new().await;
    for members in [json!({"executionArn": "other"}), json!({"attempt": 2})] {
        let error = stage.run(members).await.unwrap_err();
        assert_eq!(error.name, ErrorName::PrerequisiteError);
    }
    assert_eq!(stage.parts.world().calls, ["GetItem", "GetItem"]);
}

#[tokio::test]
async fn an_ended_migration_is_refused() {
    let stage = Stage::new().await;
    stage
        .parts
        .change_record(|record| record.status = Status::Frozen);
    let error = stage.run(json!({})).await.unwrap_err();
    assert_eq!(error.name, ErrorName::ValidationError);
    assert!(error.message.contains("already ended"), "{error}");
}
