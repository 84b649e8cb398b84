//! A cancel, whatever a migration is doing: it ends CANCELLED, what was done is undone, nothing of it waits or starts any
//! more, and MGN has its server where it was before.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

#[path = "cancelled/scene.rs"]
mod scene;

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt as _;
use landfall_domain::gate::Gate;
use landfall_domain::record::LaunchAction;
use landfall_domain::{EventType, MigrationRecord, Status};
use landfall_e2e::Migration;
use landfall_e2e::breakpoint::Breakpoint;
use landfall_e2e::source::{Source, seed};
use scene::{Scene, assert_nothing_left};
use serde_json::json;

const LONG: Duration = Duration::from_mins(4);

/// Where users came to before, and for how many seconds resolvers keep it: longer than any test.
const BEFORE: (i64, &str) = (3_600, "192.0.2.10");

/// Where a migration is cancelled.
#[derive(Clone, Copy, Debug)]
struct Phase {
    name: &'static str,
    /// How far it has come.
    at: Status,
    /// What it shows while it is held there, where that is something else.
    held: Option<Status>,
    kept: Kept,
    /// Where MGN has its server afterwards; none where the record knows of no server.
    lifecycle: Option<&'static str>,
    /// How many test and cutover launches MGN has accepted, then and ever.
    launches: [usize; 2],
}

/// What keeps a migration in its phase until it is met there.
#[derive(Clone, Copy, Debug)]
enum Kept {
    /// What it waits for.
    Itself,
    /// The workflow stops before this state.
    Before(&'static str),
    /// This call about its server is refused as too many, until it has been cancelled: its rollback makes the call, too.
    UntilOrdered(&'static str),
    /// The same, until it has ended.
    UntilEnded(&'static str),
}

const fn phase(name: &'static str, at: Status, kept: Kept) -> Phase {
    let (held, lifecycle, launches) = (None, None, [0, 0]);
    Phase {
        name,
        at,
        held,
        kept,
        lifecycle,
        launches,
    }
}

impl Phase {
    const fn held(mut self, shown: Status) -> Self {
        self.held = Some(shown);
        self
    }

    const fn then(mut self, lifecycle: &'static str, tests: usize, cutovers: usize) -> Self {
        self.lifecycle = Some(lifecycle);
        self.launches = [tests, cutovers];
        self
    }

    fn is_met(&self, record: &MigrationRecord) -> bool {
        record.status == self.held.unwrap_or(self.at) && record.stage() == self.at
    }
}

/// One for each status that is no end, in the order of the flow.
const PHASES: [Phase; 14] = [
    phase(
        "requested",
        Status::Requested,
        Kept::Before("ClaimMigration"),
    ),
    phase(
        "validating",
        Status::Validating,
        Kept::Before("PrepareSource"),
    ),
    phase(
        "preparing",
        Status::Preparing,
        Kept::UntilEnded("SendCommand"),
    ),
    // Its agent goes on, so that a resubmission needs no new full sync.
    phase("replicating", Status::Replicating, Kept::Itself).then("NOT_READY", 0, 0),
    phase(
        "queuedtest",
        Status::ReadyForTest,
        Kept::UntilEnded("StartTest"),
    )
    .then("READY_FOR_TEST", 0, 0),
    phase("testing", Status::Testing, Kept::Itself).then("READY_FOR_TEST", 1, 0),
    phase(
        "testverified",
        Status::TestVerified,
        Kept::UntilOrdered("ChangeServerLifeCycleState"),
    )
    .then("READY_FOR_TEST", 1, 0),
    phase("asked", Status::ReadyForCutover, Kept::Itself)
        .held(Status::AwaitingApproval)
        .then("READY_FOR_TEST", 1, 0),
    phase("paused", Status::ReadyForCutover, Kept::Itself)
        .held(Status::AwaitingWindow)
        .then("READY_FOR_TEST", 1, 0),
    phase(
        "queuedcutover",
        Status::ReadyForCutover,
        Kept::UntilEnded("StartCutover"),
    )
    .then("READY_FOR_TEST", 1, 0),
    phase("cuttingover", Status::CuttingOver, Kept::Itself).then("READY_FOR_CUTOVER", 1, 1),
    phase("verified", Status::CutoverVerified, Kept::Itself)
        .held(Status::AwaitingApproval)
        .then("READY_FOR_CUTOVER", 1, 1),
    phase("soaking", Status::Soaking, Kept::Itself).then("READY_FOR_CUTOVER", 1, 1),
    // Its names are changed, and resolvers still keep the old answers.
    phase("finalizing", Status::Finalizing, Kept::Itself)
        .held(Status::AwaitingWindow)
        .then("READY_FOR_CUTOVER", 1, 1),
];

async fn assert_launches(migration: &Migration, name: &str, wanted: [usize; 2]) {
    let record = migration.record().await.expect("a record");
    let Some(server) = record.source_server_id else {
        return;
    };
    let stack = &migration.stack;
    let made = [
        stack.calls("StartTest", &server).await,
        stack.calls("StartCutover", &server).await,
    ];
    assert_eq!(made, wanted, "{name}");
}

/// Meets a migration in its phase, cancels it there, and looks at what is left.
async fn cancelled_in(scene: &Scene, phase: Phase, source: &Source) {
    let Phase { name, kept, .. } = phase;
    let (stack, op) = (&scene.stack, &scene.op);
    let migration = Migration::new(stack, source.id());
    let id = migration.key.migration_id.as_str();
    let stop = match kept {
        Kept::Before(state) => {
            let copy = format!("{name}-{}", scene.run);
            let copy = Breakpoint::before(stack, &copy, state).await;
            copy.begin(source).await;
            let token = copy.met().await;
            Some((copy, token))
        }
        _ => None,
    };
    if name == "paused" {
        let tested = |it: &MigrationRecord| it.done.test.is_some();
        migration.until(LONG, "was tested", tested).await;
        assert_eq!(op.order(stack, id, "pause").await.0, 200);
    }
    if name == "cuttingover" {
        let test = |it: &MigrationRecord| it.done.launch(LaunchAction::Test).cloned();
        let tested = |it: &MigrationRecord| test(it).is_some_and(|it| it.verified_at.is_some());
        migration.until(LONG, "was tested", tested).await;
        // However late it is met: a launch is over in seconds, and its check is not.
        let never = json!({"neverPassesStatus": true});
        stack
            .post(&format!("servers/{}", source.vm()), &never)
            .await;
    }
    migration.until(LONG, name, |it| phase.is_met(it)).await;
    if let Kept::UntilOrdered(operation) | Kept::UntilEnded(operation) = kept {
        scene.refused(source, &migration, operation).await;
    }
    if name == "finalizing" {
        assert_ne!(scene.zone.held("app").await.1, BEFORE.1);
    }
    let (status, said) = op.order(stack, id, "cancel").await;
    assert_eq!(status, 200, "{name}: {said}");
    if let Some((copy, token)) = &stop {
        copy.let_go(token).await;
    }
    if let Kept::UntilOrdered(_) = kept {
        scene.let_pass(source).await;
    }
    let record = migration.ended_within(LONG).await;
    assert_eq!(record.status, Status::Cancelled, "{name}");
    let failure = record.failure.as_ref().expect("why");
    assert_eq!(failure.error, "Cancelled", "{name}");
    assert!(
        failure.message.contains(&op.arn),
        "{name}: {}",
        failure.message
    );
    assert_nothing_left(&migration, &record).await;
    assert_launches(&migration, name, phase.launches).await;
    if let Some((copy, _)) = stop {
        copy.close().await;
    }
    let known = record.source_server_id.is_some();
    assert_eq!(known, phase.lifecycle.is_some(), "{name}");
    if let Some(lifecycle) = phase.lifecycle {
        let server = migration.server().await;
        assert_eq!(server["life_cycle"], lifecycle, "{name}: {server}");
    }
    if !known {
        let commands = stack.simulator("state").await["commands"].to_string();
        assert!(!commands.contains(source.vm()), "{name}: an agent was sent");
    }
    if name == "finalizing" {
        let (ttl, address) = scene.zone.held("app").await;
        assert_eq!((ttl, address.as_str()), BEFORE);
    }
    // Again it changes nothing, and says so.
    let (status, said) = op.order(stack, id, "cancel").await;
    assert_eq!(
        (status, &said["finding"]["code"]),
        (409, &json!("STATUS_FORBIDS")),
        "{name}"
    );
}

#[tokio::test]
async fn a_cancelled_migration_leaves_nothing_whatever_phase_it_was_in() {
    let open = Status::ALL.into_iter().filter(|status| !status.is_end());
    let met = PHASES.iter().flat_map(|it| [Some(it.at), it.held]);
    let met: BTreeSet<Status> = met.flatten().collect();
    assert_eq!(met, open.collect(), "a phase in which nobody cancels");

    let scene = Scene::new().await;
    let (stack, zone) = (&scene.stack, &scene.zone);
    zone.put("app", BEFORE.0, BEFORE.1).await;
    let sources: Vec<Source> = PHASES.iter().map(|it| scene.source(it.name)).collect();
    stack.seed(&seed(&sources)).await;
    let mut messages = Vec::new();
    for (phase, source) in PHASES.iter().zip(&sources) {
        if let Kept::UntilOrdered(operation) | Kept::UntilEnded(operation) = phase.kept {
            scene.refuse(source, operation, None).await;
        }
        if !matches!(phase.kept, Kept::Before(_)) {
            messages.push(source.message());
        }
    }
    for batch in messages.chunks(10) {
        stack.submit(batch).await;
    }
    let work = PHASES.iter().zip(&sources).map(async |(phase, source)| {
        let work = AssertUnwindSafe(cancelled_in(&scene, *phase, source));
        let outcome = work.catch_unwind().await;
        // Whatever became of it, it holds up no other.
        scene.let_pass(source).await;
        outcome.err().map(|_| phase.name)
    });
    let failed = futures_util::future::join_all(work).await;
    let failed: Vec<_> = failed.into_iter().flatten().collect();
    assert!(failed.is_empty(), "{failed:?}");

    // Whatever starts another's launches would start theirs with them, had one been left in a queue.
    let witness = scene.source("witness");
    stack.seed(&seed([&witness])).await;
    stack.submit(&[witness.message()]).await;
    let witness = Migration::new(stack, witness.id());
    assert_eq!(witness.ended_within(LONG).await.status, Status::Succeeded);
    for (phase, source) in PHASES.iter().zip(&sources) {
        let migration = Migration::new(stack, source.id());
        assert_launches(&migration, phase.name, phase.launches).await;
        let record = migration.record().await.expect("a record");
        assert_eq!(record.status, Status::Cancelled, "{}", phase.name);
    }
}

/// How often each event is in a migration's history.
async fn count(migration: &Migration, wanted: EventType) -> usize {
    let events = migration.events().await;
    events.iter().filter(|it| **it == wanted).count()
}

#[tokio::test]
async fn a_cancel_in_the_middle_of_a_rollback_lets_it_end_and_doubles_nothing() {
    let scene = Scene::new().await;
    let (stack, op) = (&scene.stack, &scene.op);
    let source = scene.source("undoing").machine("healthy", false);
    let migration = Migration::new(stack, source.id());
    let id = source.id();
    stack.seed(&seed([&source])).await;
    // Half of it is undone, and the rest is tried again and again.
    let operation = "TerminateTargetInstances";
    scene.refuse(&source, operation, None).await;
    stack.submit(&[source.message()]).await;
    let begun = |it: &MigrationRecord| it.rollback.is_some();
    migration.until(LONG, "is undone", begun).await;
    scene.refused(&source, &migration, operation).await;
    assert_eq!(migration.server().await["life_cycle"], "READY_FOR_TEST");
    for _ in 0..2 {
        let (status, said) = op.order(stack, id, "cancel").await;
        assert_eq!(status, 200, "{said}");
    }
    scene.let_pass(&source).await;
    let record = migration.ended_within(LONG).await;
    assert_eq!(record.status, Status::Cancelled, "{:?}", record.failure);
    // Why it is undone is still told.
    let failure = record.failure.as_ref().expect("why");
    assert_eq!(failure.error, "VerificationError", "{failure:?}");
    assert_nothing_left(&migration, &record).await;
    for (event, wanted) in [
        (EventType::RollbackStarted, 1),
        (EventType::CancelRequested, 1),
        (EventType::MigrationCancelled, 1),
        (EventType::RollbackCompleted, 0),
        (EventType::MigrationFrozen, 0),
    ] {
        assert_eq!(count(&migration, event).await, wanted, "{event}");
    }
    let server = record.source_server_id.expect("a server");
    for operation in [operation, "ChangeServerLifeCycleState"] {
        assert_eq!(stack.calls(operation, &server).await, 1, "{operation}");
    }
    assert_eq!(migration.server().await["life_cycle"], "READY_FOR_TEST");
}

#[tokio::test]
async fn a_cancel_while_people_are_asked_about_the_rollback_asks_on() {
    let scene = Scene::new().await;
    let (stack, op, ann) = (&scene.stack, &scene.op, &scene.ann);
    // Nobody keeps the old answer for longer than a moment: the end is come to, and refused there.
    scene.zone.put("app", 1, BEFORE.1).await;
    let rules = json!([{"gate": "rollback", "approvers": [&ann.arn, &op.arn]}]);
    let source = scene.named(scene.source("moved"));
    let source = source.request("policy", json!({"approvals": rules}));
    let (migration, id) = (Migration::new(stack, source.id()), source.id());
    stack.seed(&seed([&source])).await;
    let denied = Some("AccessDeniedException");
    scene.refuse(&source, "FinalizeCutover", denied).await;
    stack.submit(&[source.message()]).await;
    let asked = |it: &MigrationRecord| it.gate(Gate::Rollback).is_some();
    migration.until(LONG, "asks", asked).await;
    let (status, said) = op.order(stack, id, "cancel").await;
    assert_eq!(status, 200, "{said}");
    let (status, said) = op.answer(stack, id, "rollback", "approve").await;
    assert_eq!(
        (status, &said["finding"]["code"]),
        (403, &json!("REQUESTER_MAY_NOT_APPROVE"))
    );
    let record = migration.record().await.expect("a record");
    assert!(!record.status.is_end() && !record.may_pass(Gate::Rollback));
    assert_ne!(scene.zone.held("app").await.1, BEFORE.1, "nobody agreed");
    let (status, said) = ann.answer(stack, id, "rollback", "approve").await;
    assert_eq!((status, &said["granted"]), (200, &json!(true)), "{said}");
    let record = migration.ended_within(LONG).await;
    scene.let_pass(&source).await;
    assert_eq!(record.status, Status::Cancelled, "{:?}", record.failure);
    assert_nothing_left(&migration, &record).await;
    assert_eq!(scene.zone.held("app").await, (1, BEFORE.1.to_owned()));
    assert_eq!(count(&migration, EventType::RollbackStarted).await, 1);
    assert_eq!(migration.server().await["life_cycle"], "READY_FOR_CUTOVER");
}
