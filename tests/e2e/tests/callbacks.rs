//! Callbacks that do not go through at once, on the running stack.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use landfall_domain::Status;
use landfall_domain::record::CallbackDelivery;
use landfall_e2e::poll::poll_for;
use landfall_e2e::source::Source;
use landfall_e2e::{Migration, Stack, root, unique};
use serde_json::{Value, json};

/// How long a migration that the pre-flight refuses may take with a few tries of its callback.
const DEADLINE: Duration = Duration::from_mins(3);

/// A migration that ends at once, whose receiver answers with these statuses first.
async fn refused(stack: &Stack, name: &str, statuses: &[u16]) -> Migration {
    let source = Source::new(stack, &unique(), name).request("subnetId", "subnet-00000000");
    let order = json!({ "name": source.id(), "status": statuses });
    stack.post("sink", &order).await;
    stack.submit(&[source.message()]).await;
    Migration::new(stack, source.id())
}

/// What arrived, in order.
async fn received(migration: &Migration) -> Vec<Value> {
    let all = migration.stack.simulator("callbacks").await;
    let all = all.as_array().expect("a list of callbacks").iter();
    let name = migration.key.migration_id.as_str();
    all.filter(|it| it["name"] == name).cloned().collect()
}

/// What became of the callback, once that is settled.
async fn settled(migration: &Migration) -> CallbackDelivery {
    let what = format!("the end of the callback of {}", migration.key);
    poll_for(DEADLINE, &what, async || {
        let record = migration.record().await.ok_or("no record")?;
        match record.callback {
            Some(callback) if callback.next_try_at.is_none() => Ok(callback),
            other => Err(format!("{other:?}")),
        }
    })
    .await
}

/// What the command line says, and its exit code.
async fn landfall(arguments: &[&str]) -> (Option<i32>, String, String) {
    // This test is <target>/<profile>/deps/callbacks-<hash>.
    let mut program: PathBuf = std::env::current_exe().expect("this program");
    program.pop();
    program.pop();
    let mut command = Command::new(program.join("landfall"));
    command
        .args(arguments)
        .current_dir(root())
        .stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || command.output());
    let output = output.await.expect("a thread").expect("make build");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

/// What lies in the failed-delivery queue of a migration, as a script reads it.
async fn waiting(migration: &Migration) -> Vec<Value> {
    let (code, stdout, stderr) = landfall(&["callbacks", "list", "--json"]).await;
    assert_eq!(code, Some(0), "{stderr}");
    let all: Vec<Value> = serde_json::from_str(&stdout).expect("a list");
    let id = migration.key.migration_id.as_str();
    all.into_iter()
        .filter(|it| it["migrationId"] == id)
        .collect()
}

#[tokio::test]
async fn a_receiver_that_recovers_hears_by_the_workflow() {
    let stack = Stack::load().await;
    let migration = refused(&stack, "recovers", &[503, 429, 500]).await;
    let callback = settled(&migration).await;
    assert!(callback.delivered, "{callback:?}");
    assert_eq!((callback.tries, callback.outcome.as_str()), (4, "204"));
    let received = received(&migration).await;
    assert_eq!(received.len(), 4);
    for one in &received {
        assert_eq!(one["verified"], true, "{one}");
        assert_eq!(one["headers"]["webhook-id"], callback.id.as_str());
        assert_eq!(one["text"], received[0]["text"]);
    }
    // The function never waited; the workflow did, once after each of the three.
    let states = migration.states("FAILED").await;
    let count = |name: &str| states.iter().filter(|it| *it == name).count();
    assert_eq!(
        (count("Callback"), count("CallbackPause")),
        (4, 3),
        "{states:?}"
    );
}

#[tokio::test]
async fn what_a_receiver_refused_is_delivered_on_order_and_leaves_the_queue() {
    let stack = Stack::load().await;
    let migration = refused(&stack, "refuses", &[410, 410]).await;
    let callback = settled(&migration).await;
    assert!(
        !callback.delivered && callback.outcome.contains("410"),
        "{callback:?}"
    );
    assert_eq!(
        migration.record().await.map(|it| it.status),
        Some(Status::Failed)
    );
    assert_eq!(received(&migration).await.len(), 1);
    let id = migration.key.migration_id.as_str();
    let lying = waiting(&migration).await;
    assert_eq!(lying.len(), 1, "{lying:?}");
    assert_eq!(lying[0]["type"], "migration.failed");
    assert_eq!(lying[0]["to"], stack.info.simulator_url.as_str());

    // It refuses once more: the message stays, and is there for the next order.
    let (code, stdout, stderr) = landfall(&["callbacks", "redeliver", id]).await;
    assert_eq!(code, Some(1), "{stdout}{stderr}");
    assert!(
        stdout.contains("NOT delivered: the receiver answered 410"),
        "{stdout}"
    );
    let (code, stdout, stderr) = landfall(&["callbacks", "redeliver", id]).await;
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    let all = received(&migration).await;
    assert_eq!(all.len(), 3);
    assert!(
        all.iter()
            .all(|one| one["headers"]["webhook-id"] == all[0]["headers"]["webhook-id"])
    );
    assert!(
        all.iter()
            .all(|one| one["text"] == all[0]["text"] && one["verified"] == true)
    );
    assert!(settled(&migration).await.delivered);
    assert!(waiting(&migration).await.is_empty());
    let (code, _, stderr) = landfall(&["callbacks", "redeliver", id]).await;
    assert_eq!(code, Some(3), "{stderr}");
}
