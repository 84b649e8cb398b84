//! A cutover launch that waits for its turn when something begins to hold it: it goes back to its gate, and is launched once.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

use std::time::Duration;

use landfall_domain::{EventType, Status};
use landfall_e2e::people::Person;
use landfall_e2e::source::{Source, seed};
use landfall_e2e::{Migration, Stack, poll, unique};
use serde_json::json;

/// A launch message that was refused comes again after seconds; a gate is looked at once a minute.
const LONG: Duration = Duration::from_mins(4);

#[tokio::test]
async fn a_cutover_that_is_paused_in_its_queue_waits_at_its_gate_and_is_launched_once() {
    let (stack, run) = (Stack::load().await, unique());
    let op = Person::new(&stack, &run, "op").await;
    let source = Source::new(&stack, &run, "queued");
    let migration = Migration::new(&stack, source.id());
    stack.seed(&seed([&source])).await;
    stack.submit(&[source.message()]).await;
    let known = migration
        .until(LONG, "is known to MGN", |it| it.source_server_id.is_some())
        .await;
    let server = known.source_server_id.expect("a server");
    let refused = json!({
        "service": "mgn", "operation": "StartCutover", "kind": "throttle", "server": server, "count": 1_000,
    });
    stack.post("faults", &refused).await;
    poll::poll_for(LONG, "a launch that waits for its turn", async || {
        let calls = stack.simulator("calls?operation=StartCutover").await;
        if calls.to_string().contains(&server) {
            Ok(())
        } else {
            Err(format!(
                "{:?}",
                migration.record().await.map(|it| it.status)
            ))
        }
    })
    .await;
    let (status, said) = op.order(&stack, source.id(), "pause").await;
    assert_eq!(status, 200, "{said}");
    let held = migration
        .until(LONG, "is held at the gate", |it| {
            it.status == Status::AwaitingWindow
        })
        .await;
    assert_eq!(held.held.as_ref().expect("why").code, "PAUSED");
    assert_eq!(held.stage(), Status::ReadyForCutover);
    assert!(held.done.cutover.is_none());
    // MGN would take it now.
    stack.delete(&format!("faults?server={server}")).await;
    let (status, said) = op.order(&stack, source.id(), "resume").await;
    assert_eq!(status, 200, "{said}");
    let record = migration.ended_within(LONG).await;
    assert_eq!((record.status, record.failure), (Status::Succeeded, None));
    let states = migration.states("SUCCEEDED").await;
    for state in ["CutoverGate", "LaunchCutover", "CutoverLaunched"] {
        let visits = states.iter().filter(|it| *it == state).count();
        assert_eq!(visits, 2, "{state} in {states:?}");
    }
    let events = migration.events().await;
    for event in [
        EventType::SwitchHeld,
        EventType::SwitchContinued,
        EventType::CutoverLaunchStarted,
    ] {
        let told = events.iter().filter(|it| **it == event).count();
        assert_eq!(told, 1, "{event} in {events:?}");
    }
}
