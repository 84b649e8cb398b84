//! Migrations from the message to the callback, on the running stack.
//!
//! All of them are submitted together when the first test asks, so that they run side by side however many test
//! threads there are; each test then follows its own.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

use std::sync::OnceLock;

use landfall_domain::{EventType, Status};
use landfall_e2e::poll::DEADLINE;
use landfall_e2e::source::{Source, seed};
use landfall_e2e::{Migration, Stack, unique, workflow};
use serde_json::json;

/// What MGN's raw error says where a launch must fail.
const LAUNCH_FAILURE: &str =
    "Your requested instance type is not supported in your requested Availability Zone";

/// Simulated seconds that an initial sync takes here.
const SYNC: u32 = 300;

/// A subnet that nobody has.
const NO_SUBNET: &str = "subnet-0fffffffffffffff0";

/// The states of a migration that does everything, in the order of the design.
const ALL_STATES: [&str; 28] = [
    "ClaimMigration",
    "Purpose",
    "ValidateInput",
    "PrepareSource",
    "ReplicationWanted",
    "AwaitAgent",
    "ConfigureReplication",
    "AwaitReplication",
    "LaunchWanted",
    "ConfigureLaunch",
    "TestWanted",
    "LaunchTest",
    "VerifyTest",
    "SwitchWanted",
    "BeforeCutover",
    "CutoverGate",
    "BeforeLaunch",
    "LaunchCutover",
    "CutoverLaunched",
    "VerifyCutover",
    "SoakWanted",
    "FinalizeGate",
    "FinalizeCutover",
    "Finalized",
    "Callback",
    "CallbackOver",
    "Outcome",
    "Succeeded",
];

/// The statuses of the same.
const ROAD: [Status; 12] = [
    Status::Requested,
    Status::Validating,
    Status::Preparing,
    Status::Replicating,
    Status::ReadyForTest,
    Status::Testing,
    Status::TestVerified,
    Status::ReadyForCutover,
    Status::CuttingOver,
    Status::CutoverVerified,
    Status::Finalizing,
    Status::Succeeded,
];

/// Seeds and submits every migration of this file once; returns the ID of the run.
fn run() -> &'static str {
    static RUN: OnceLock<String> = OnceLock::new();
    RUN.get_or_init(|| {
        // On a thread with a runtime of its own: the caller is inside one that cannot wait for another.
        let submitted = std::thread::spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(submit_all())
        });
        submitted.join().expect("every migration is submitted")
    })
}

async fn submit_all() -> String {
    let (stack, run) = (Stack::load().await, unique());
    let source = |name: &str| Source::new(&stack, &run, name);
    let sources = [
        source("success").machine("replicationSeconds", SYNC),
        source("slow").machine("replicationSeconds", 10 * SYNC),
        source("nosubnet").request("subnetId", NO_SUBNET),
        source("nolaunch").machine("launchFailure", LAUNCH_FAILURE),
        source("unhealthy").machine("healthy", false),
        source("rehearsal").request("steps", json!(["replicate", "validate"])),
        source("twice"),
    ];
    stack.seed(&seed(&sources)).await;
    let mut messages: Vec<_> = sources.iter().map(Source::message).collect();
    messages.push(messages.last().expect("a message").clone());
    stack.submit(&messages).await;
    run
}

async fn migration(name: &str) -> Migration {
    let stack = Stack::load().await;
    Migration::new(&stack, &format!("e2e-{}-{name}", run()))
}

#[tokio::test]
async fn a_server_moves_all_the_way() {
    let migration = migration("success").await;
    let record = migration.ended().await;
    assert_eq!((record.status, record.failure), (Status::Succeeded, None));
    assert_eq!(migration.statuses().await, ROAD);
    let states = migration.states("SUCCEEDED").await;
    assert_eq!(states, ALL_STATES);
    assert!(states.len() <= 60);

    let launch = record.done.cutover.expect("a cutover");
    let target = launch.instance_id.expect("a target instance");
    let state = migration.stack.instance_state(&target).await;
    assert_eq!(state.as_deref(), Some("running"));
    assert_eq!(migration.server().await["life_cycle"], "CUTOVER");
    assert!(record.done.finalized_at.is_some());

    let callback = migration.callback().await;
    assert_eq!(callback["verified"], true, "{callback}");
    assert_eq!(
        callback["headers"]["x-correlation-id"],
        record.correlation_id
    );
    let delivery = migration.record().await.and_then(|record| record.callback);
    assert!(delivery.is_some_and(|delivery| delivery.delivered));
}

#[tokio::test]
async fn transitions_do_not_grow_with_replication() {
    let migration = migration("slow").await;
    let record = migration.ended_within(2 * DEADLINE).await;
    assert_eq!((record.status, record.failure), (Status::Succeeded, None));
    // The quick one is held to the same list.
    assert_eq!(migration.states("SUCCEEDED").await, ALL_STATES);
}

#[tokio::test]
async fn what_the_checks_find_ends_it_before_anything_is_touched() {
    let migration = migration("nosubnet").await;
    let record = migration.ended().await;
    assert_eq!(record.status, Status::Failed);
    let failure = record.failure.expect("a failure");
    assert_eq!(failure.error, "ValidationError");
    let finding = failure.findings.first().expect("a finding");
    assert_eq!(
        (finding.code.as_str(), finding.pointer.as_str()),
        ("SUBNET_NOT_FOUND", "/subnetId")
    );
    assert!(finding.message.contains(NO_SUBNET), "{finding:?}");
    assert_eq!(record.done, landfall_domain::record::Done::default());

    let road = [Status::Requested, Status::Validating, Status::Failed];
    assert_eq!(migration.statuses().await, road);
    let states = [
        "ClaimMigration",
        "Purpose",
        "ValidateInput",
        "Rollback",
        "RolledBack",
        "Callback",
        "CallbackOver",
        "Outcome",
        "Failed",
    ];
    assert_eq!(migration.states("FAILED").await, states);
    assert_eq!(migration.callback().await["verified"], true);
}

#[tokio::test]
async fn a_launch_that_fails_says_what_mgn_said() {
    let migration = migration("nolaunch").await;
    let record = migration.ended().await;
    assert!(
        matches!(record.status, Status::RolledBack | Status::Failed),
        "{}",
        record.status
    );
    let failure = record.failure.expect("a failure");
    assert_eq!(failure.state, "LaunchTest");
    assert_eq!(failure.error, "MigrationExecutionError");
    assert!(
        failure.message.contains(LAUNCH_FAILURE),
        "{}",
        failure.message
    );
    let events = migration.events().await;
    assert!(events.contains(&EventType::TestLaunchFailed), "{events:?}");
    assert!(
        !events.contains(&EventType::CutoverLaunchStarted),
        "{events:?}"
    );
    assert_eq!(migration.callback().await["verified"], true);
}

#[tokio::test]
async fn an_unhealthy_target_is_taken_back() {
    let migration = migration("unhealthy").await;
    let record = migration.ended().await;
    assert_eq!(record.status, Status::RolledBack);
    let failure = record.failure.expect("a failure");
    assert_eq!(
        (failure.error.as_str(), failure.state.as_str()),
        ("VerificationError", "VerifyTest")
    );
    let events = migration.events().await;
    for expected in [
        EventType::HealthCheckFailed,
        EventType::RollbackStarted,
        EventType::RollbackCompleted,
    ] {
        assert!(events.contains(&expected), "{expected} of {events:?}");
    }

    let launch = record.done.test.expect("a test launch");
    let target = launch.instance_id.expect("a test instance");
    let state = migration.stack.instance_state(&target).await;
    assert!(
        matches!(
            state.as_deref(),
            None | Some("terminated" | "shutting-down")
        ),
        "{target} is {state:?}"
    );
    assert_eq!(migration.server().await["life_cycle"], "READY_FOR_TEST");
    assert_eq!(migration.callback().await["verified"], true);
}

#[tokio::test]
async fn a_rehearsal_ends_without_a_cutover() {
    let migration = migration("rehearsal").await;
    let record = migration.ended().await;
    assert_eq!((record.status, record.failure), (Status::Succeeded, None));
    assert_eq!(
        (record.done.cutover, record.done.finalized_at),
        (None, None)
    );
    assert!(record.test_evidence.is_some());
    let states = migration.states("SUCCEEDED").await;
    assert_eq!(states[..14], ALL_STATES[..14]);
    let rest = [
        "CompleteWithoutSwitch",
        "Callback",
        "CallbackOver",
        "Outcome",
        "Succeeded",
    ];
    assert_eq!(states[14..], rest);
    assert_eq!(migration.server().await["life_cycle"], "READY_FOR_CUTOVER");
}

#[tokio::test]
async fn the_same_message_twice_is_one_migration() {
    let migration = migration("twice").await;
    let record = migration.ended().await;
    assert_eq!((record.status, record.attempt), (Status::Succeeded, 1));
    let requested = EventType::MigrationRequested;
    let events = migration.events().await;
    assert_eq!(
        events.iter().filter(|event| **event == requested).count(),
        1
    );

    // The second event may start a second execution; it must end at the claim.
    let executions = workflow::executions_of(&migration.stack, &migration.key.migration_id).await;
    let mut owners = 0;
    for arn in &executions {
        if Some(arn) == record.execution_arn.as_ref() {
            owners += 1;
        } else {
            let states = workflow::states(&migration.stack, arn, "SUCCEEDED").await;
            assert_eq!(states, ["ClaimMigration", "Duplicate"]);
        }
    }
    assert_eq!(owners, 1, "{executions:?}");
    assert_eq!(migration.states("SUCCEEDED").await, ALL_STATES);
    // One callback, however many messages: `callback` fails on a second.
    migration.callback().await;
}
