//! Answers of AWS that are lost after the effect, and refusals that pass, over a whole migration.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

use std::time::Duration;

use landfall_domain::Status;
use landfall_e2e::source::{Source, seed};
use landfall_e2e::{Migration, Stack, unique};
use serde_json::json;

/// How long a migration may take that waits for its launch message several times.
const DEADLINE: Duration = Duration::from_mins(4);

/// Calls to MGN that must not be doubled, and how often each takes effect for a server that is cut over, and for one
/// that is rolled back after its test.
const EFFECTS: [(&str, usize, usize); 4] = [
    ("StartTest", 1, 1),
    ("StartCutover", 1, 0),
    ("FinalizeCutover", 1, 0),
    ("TerminateTargetInstances", 0, 1),
];

/// Other calls that change something: the installer is counted below, the rest may be repeated.
const OTHERS: [(&str, &str); 3] = [
    ("ssm", "SendCommand"),
    ("mgn", "ChangeServerLifeCycleState"),
    ("mgn", "UpdateLaunchConfiguration"),
];

/// The first call of each of these is throttled; the second one takes effect, and its answer is lost.
fn faults() -> Vec<serde_json::Value> {
    let effects = EFFECTS.iter().map(|(operation, ..)| ("mgn", *operation));
    let calls: Vec<_> = effects.chain(OTHERS).collect();
    ["throttle", "drop-response"]
        .into_iter()
        .flat_map(|kind| {
            calls.iter().map(move |(service, operation)| {
                json!({"service": service, "operation": operation, "kind": kind})
            })
        })
        .collect()
}

#[tokio::test]
async fn an_answer_that_is_lost_after_the_effect_doubles_nothing() {
    let (stack, run) = (Stack::load().await, unique());
    let good = Source::new(&stack, &run, "lost");
    let bad = Source::new(&stack, &run, "lostbad").machine("healthy", false);
    stack.seed(&seed([&good, &bad])).await;
    // A test that failed may have left some.
    stack.delete("faults").await;
    for fault in faults() {
        stack.post("faults", &fault).await;
    }
    stack.submit(&[good.message(), bad.message()]).await;

    for (source, end) in [(&good, Status::Succeeded), (&bad, Status::RolledBack)] {
        let migration = Migration::new(&stack, source.id());
        let record = migration.ended_within(DEADLINE).await;
        assert_eq!(record.status, end, "{}: {:?}", source.id(), record.failure);
        let server = record.source_server_id.clone().expect("a source server");
        for (operation, switched, rolled_back) in EFFECTS {
            let wanted = match end {
                Status::Succeeded => switched,
                _ => rolled_back,
            };
            let made = stack.calls(operation, &server).await;
            assert_eq!(made, wanted, "{operation} of {}", source.id());
        }
    }
    // The agent's installer was sent once to each.
    let commands = stack.simulator("state").await["commands"].clone();
    let name = format!("vm-e2e-{run}-");
    let all = commands["invocations"].as_array().expect("a list").iter();
    let sent = all.filter(|command| command["script"].to_string().contains(&name));
    assert_eq!(sent.count(), 2, "{commands}");
    let left = stack.simulator("faults").await;
    stack.delete("faults").await;
    assert_eq!(left, json!([]), "a fault was not met");
}
