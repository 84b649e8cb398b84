//! The same ID again: the same content is nothing new, other content waits for the end.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

use landfall_common::correlation;
use landfall_domain::Status;
use landfall_e2e::source::{Source, seed};
use landfall_e2e::{Migration, Stack, poll, queue, unique};
use serde_json::json;

/// Real seconds for which the replication of [`replicated`] lasts: time to meet it on its way.
const REPLICATION: f64 = 12.0;

/// A server that only has to replicate, for long enough at whatever scale the simulator's clock has.
async fn replicated(stack: &Stack, run: &str) -> Source {
    let clock = stack.simulator("clock").await;
    let scale = clock["scale"].as_f64().expect("the clock's scale");
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a scale is between 0 and a million"
    )]
    let seconds = (REPLICATION * scale) as u32;
    Source::new(stack, run, "again")
        .request("steps", json!(["replicate"]))
        .machine("replicationSeconds", seconds)
}

#[tokio::test]
async fn other_content_is_refused_while_the_migration_is_active() {
    let (stack, run) = (Stack::load().await, unique());
    let source = replicated(&stack, &run).await;
    let migration = Migration::new(&stack, source.id());
    stack.seed(&seed([&source])).await;
    stack.submit(&[source.message()]).await;
    poll("replication", async || match migration.record().await {
        Some(record) if record.status == Status::Replicating => Ok(()),
        other => Err(format!("{:?}", other.map(|record| record.status))),
    })
    .await;

    let other = source.clone().request("owner", "somebody@example.com");
    let (body, _) = other.message();
    let correlation_id = format!("c-{run}-other");
    // The same content once more beside it: that one is taken and forgotten.
    stack
        .submit(&[(body, correlation_id.clone()), source.message()])
        .await;
    let dlq = &stack.info.request_dlq_url;
    let wanted = std::slice::from_ref(&correlation_id);
    let dead = queue::collect(&stack, dlq, wanted, |message| {
        queue::attribute(message, correlation::NAME).map(str::to_owned)
    })
    .await;
    assert_eq!(dead[&correlation_id].len(), 1);
    let rejections = stack.store.rejections(&migration.key).await;
    let rejections = rejections.expect("rejections");
    assert_eq!(rejections.len(), 1, "{rejections:?}");
    assert_eq!(rejections[0].findings[0].code, "MIGRATION_ACTIVE");

    let record = migration.ended().await;
    assert_eq!((record.status, record.attempt), (Status::Succeeded, 1));
    assert_eq!(record.request.owner, None);
}

#[tokio::test]
async fn the_same_content_after_a_success_changes_nothing() {
    let (stack, run) = (Stack::load().await, unique());
    let source = Source::new(&stack, &run, "done").request("steps", json!(["freeze"]));
    let migration = Migration::new(&stack, source.id());
    stack.seed(&seed([&source])).await;
    stack.submit(&[source.message()]).await;
    assert_eq!(migration.ended().await.status, Status::Succeeded);
    migration.states("SUCCEEDED").await;
    let before = migration.record().await;

    stack.submit(&[source.message()]).await;
    queue::all_taken(&stack).await;
    assert_eq!(migration.record().await, before);
    let rejections = stack.store.rejections(&migration.key).await;
    assert_eq!(rejections.expect("rejections"), []);
}

#[tokio::test]
async fn a_failure_may_be_mended_and_tried_again() {
    let (stack, run) = (Stack::load().await, unique());
    let source = Source::new(&stack, &run, "mended").request("steps", json!(["replicate"]));
    let wrong = source
        .clone()
        .request("subnetId", "subnet-0fffffffffffffff0");
    let migration = Migration::new(&stack, source.id());
    stack.seed(&seed([&source])).await;
    stack.submit(&[wrong.message()]).await;
    let first = migration.ended().await;
    assert_eq!((first.status, first.attempt), (Status::Failed, 1));
    migration.states("FAILED").await;

    stack.submit(&[source.message()]).await;
    let second = poll("the end of the second attempt", async || {
        match migration.record().await {
            Some(record) if record.attempt == 2 && record.status.is_end() => Ok(record),
            other => Err(format!("{:?}", other.map(|it| (it.attempt, it.status)))),
        }
    })
    .await;
    assert_eq!((second.status, second.failure), (Status::Succeeded, None));
    assert_ne!(second.execution_arn, first.execution_arn);
    // One history over both attempts, whose chain holds.
    let history = migration.history().await;
    assert_eq!(history.first().map(|entry| entry.detail.attempt), Some(1));
    assert_eq!(history.last().map(|entry| entry.detail.attempt), Some(2));
}
