//! What is looked at once a migration has come to its end: its record, the world, and that nothing is held.

use aws_sdk_dynamodb::types::AttributeValue;
use landfall_domain::finalize::{self, State, Step};
use landfall_domain::{MigrationRecord, Status};
use landfall_e2e::{Migration, Stack, poll};
use serde_json::Value;

use crate::cases::{End, Extra, Refused};
use crate::failing::CAUSE;
use crate::world::{Known, Whole, Zone};

/// Where a round takes place.
#[derive(Clone, Debug)]
pub(crate) struct Scene {
    pub(crate) stack: Stack,
    pub(crate) run: String,
    pub(crate) zone: Zone,
}

impl Scene {
    /// A rollback has restored everything.
    pub(crate) async fn assert_restored(
        &self,
        known: &Known,
        record: &MigrationRecord,
        (before, extra): (&Whole, Option<Extra>),
    ) {
        let what = format!("{}: {:?}", known.source.id(), record.failure);
        let undone = record.status == Status::RolledBack;
        assert!(
            undone || record.status == Status::Failed,
            "{} {what}",
            record.status
        );
        assert!(
            undone || record.done.cutover.is_none() && record.done.test.is_none(),
            "{what}"
        );
        let world = known.look(&self.stack, &self.run, &self.zone).await;
        assert_eq!(world.launched, Value::Null, "{what}");
        assert_eq!(world, before.world, "{what}");
        let stopped = extra == Some(Extra::StoppedReplication);
        // A server that is disconnected has no launch template any more.
        if !stopped {
            let after = known.look_at_all(&self.stack, &self.run, &self.zone).await;
            assert_eq!(&after, before, "{what}");
        }
        let copied = extra == Some(Extra::CopiedAddress);
        assert_eq!(record.done.copied_private_ip, copied, "{what}");
        assert!(world.running && world.answers == 200, "{what}: {world:?}");
        // A test that was passed stays passed.
        let lifecycle = match &record.done.cutover {
            _ if stopped => "DISCONNECTED",
            Some(_) => "READY_FOR_CUTOVER",
            None => "READY_FOR_TEST",
        };
        let server = known.in_mgn(&self.stack).await;
        assert_eq!(server["life_cycle"], lifecycle, "{what}");
        for launch in [&record.done.test, &record.done.cutover]
            .into_iter()
            .flatten()
        {
            let Some(instance) = &launch.instance_id else {
                continue;
            };
            let state = self.stack.instance_state(instance).await;
            let gone = state.as_deref().is_none_or(|it| it == "terminated");
            assert!(gone, "{instance} is {state:?}; {what}");
        }
        self.assert_nothing_waits(known).await;
    }

    /// It has succeeded, and nothing of that was taken back.
    pub(crate) async fn assert_kept(
        &self,
        known: &Known,
        record: &MigrationRecord,
        (before, end): (&Whole, End),
    ) {
        let id = known.source.id();
        assert_eq!(
            record.status,
            Status::Succeeded,
            "{id}: {:?}",
            record.failure
        );
        assert_eq!(record.rollback, None, "{id}");
        let after = known.look(&self.stack, &self.run, &self.zone).await;
        let server = known.in_mgn(&self.stack).await;
        let switched = end != End::Tested;
        let launch = if switched {
            &record.done.cutover
        } else {
            &record.done.test
        };
        let instance = launch.as_ref().and_then(|it| it.instance_id.as_deref());
        let instance = instance.expect("a launched instance");
        let state = self.stack.instance_state(instance).await;
        assert_eq!(state.as_deref(), Some("running"), "{id}");
        assert_ne!(after.launched, Value::Null, "{id}");
        if switched {
            let (zone, names) = (&self.zone, after.names.join("\n"));
            let [www, app] = zone.names(known.case(&self.run));
            assert_eq!(after.names.len(), 2, "{id}: {names}");
            assert!(
                names.contains(&www) && names.contains(&zone.after()),
                "{id}: {names}"
            );
            assert!(names.contains(&app), "{id}: {names}");
            assert!(
                !after.running && after.answers != 200,
                "{id}: the source runs"
            );
            assert_eq!(after.cmdb["object_id"], instance, "{id}");
            let told = &after.cmf["migration_status"];
            assert_eq!(told, "Landfall: cutover complete", "{id}");
            assert_eq!(server["life_cycle"], "CUTOVER", "{id}");
        } else {
            let world = &before.world;
            assert_eq!(
                (after.names, after.cmdb),
                (world.names.clone(), world.cmdb.clone()),
                "{id}"
            );
            assert!(
                after.running && after.answers == 200,
                "{id}: the source is off"
            );
            assert_eq!(server["life_cycle"], "READY_FOR_CUTOVER", "{id}");
        }
        // Whoever fails on the way to the end of the source leaves it there.
        let state = self.stack.simulator("state").await;
        let vm = &known.source.request["sourceVmId"];
        let there = state["machines"][vm.as_str().unwrap_or_default()] != Value::Null;
        assert_eq!(there, end != End::Archived, "{id}");
        let archived = server["archived"] == true;
        assert_eq!(archived, end == End::Archived, "{id}: {server}");
        self.assert_nothing_waits(known).await;
    }

    /// A person is told what is to be done, and nothing is done yet.
    pub(crate) async fn assert_handed_over(&self, known: &Known, record: &MigrationRecord) {
        let id = known.source.id();
        let told = record.hand_over.as_ref().expect("a hand-over");
        let left: Vec<_> = told.not_done.iter().map(|it| &*it.compensation).collect();
        for wanted in ["POWER_ON_SOURCE", "REVERT_LIFECYCLE", "TERMINATE_TARGET"] {
            assert!(left.contains(&wanted), "{id}: {told:?}");
        }
        assert_eq!(told.by_hand.len(), left.len(), "{id}: {told:?}");
        assert!(told.because.contains(CAUSE), "{id}: {told:?}");
        self.assert_untouched(known).await;
    }

    /// Everything is as it was when the last call of finalize was refused.
    pub(crate) async fn assert_untouched(&self, known: &Known) {
        let id = known.source.id();
        let world = known.look(&self.stack, &self.run, &self.zone).await;
        assert!(!world.running && world.names.len() == 2, "{id}: {world:?}");
        assert_ne!(world.launched, Value::Null, "{id}");
    }

    /// No wait, no open launch.
    async fn assert_nothing_waits(&self, known: &Known) {
        let migration = Migration::new(&self.stack, known.source.id());
        let what = format!("the end of what {} holds", known.source.id());
        poll(&what, async || {
            let query = self
                .stack
                .dynamodb
                .query()
                .table_name(&self.stack.info.table_name)
                .consistent_read(true)
                .key_condition_expression("pk = :pk")
                .expression_attribute_values(":pk", AttributeValue::S(migration.key.pk()));
            let items = query.send().await.expect("Query").items.unwrap_or_default();
            let held: Vec<_> = items
                .iter()
                .filter(|item| item.contains_key("waitKey"))
                .map(|item| item["sk"].clone())
                .collect();
            if held.is_empty() {
                Ok(())
            } else {
                Err(format!("{held:?}"))
            }
        })
        .await;
    }

    /// No migration of the round has anything for itself any more.
    pub(crate) async fn assert_nothing_claimed(&self) {
        let run = AttributeValue::S(format!("e2e-{}-", self.run));
        let scan = self
            .stack
            .dynamodb
            .scan()
            .table_name(&self.stack.info.table_name)
            .consistent_read(true)
            .filter_expression("sk = :claim AND begins_with(migrationId, :run)")
            .expression_attribute_values(":claim", AttributeValue::S("CLAIM".into()))
            .expression_attribute_values(":run", run);
        let mut claims = scan.into_paginator().items().send();
        let left = claims.next().await;
        assert!(left.is_none(), "a claim is left: {left:?}");
    }
}

/// Everything up to what was refused is done, and nothing after it is begun.
pub(crate) fn assert_stopped(record: &MigrationRecord, refused: Refused, end: End) {
    let order = [
        Step::Dns,
        Step::Cmdb,
        Step::TargetSealed,
        Step::SourcePowerOff,
        Step::Cmf,
        Step::MgnFinalize,
    ];
    let failure = record.failure.as_ref();
    // Where even the freeze died nobody has written down why.
    let written = failure.is_none_or(|failure| failure.state == "FinalizeCutover");
    assert!(
        written && (failure.is_some() || end == End::Gone),
        "{failure:?}"
    );
    let noted: Vec<_> = record
        .done
        .finalize
        .iter()
        .map(|note| (note.step, note.state))
        .collect();
    let wanted: Vec<_> = order
        .into_iter()
        .filter(|step| *step <= refused.step())
        .map(|step| match step {
            step if step == refused.step() => (step, State::Begun),
            Step::Cmf if refused == Refused::Factory => (step, State::Left),
            step => (step, State::Done),
        })
        .collect();
    assert_eq!(noted, wanted, "{failure:?}");
    let off = record.done.source_powered_off_at.is_some();
    assert_eq!(
        off,
        finalize::note(&record.done, Step::SourcePowerOff).is_some()
    );
    let undone = record.rollback.as_ref();
    let steps = undone.map_or(0, |progress| progress.steps.len());
    assert!(
        record.status != Status::RolledBack || steps > 5,
        "{undone:?}"
    );
}
