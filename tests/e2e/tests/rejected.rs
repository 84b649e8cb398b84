//! Messages that cannot be taken, in one batch with one that can.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

use landfall_common::correlation;
use landfall_domain::{Finding, Status};
use landfall_e2e::listener::Listener;
use landfall_e2e::source::{Source, seed};
use landfall_e2e::{Migration, Stack, queue, unique};
use serde_json::{Value, json};

#[tokio::test]
async fn each_bad_message_is_dead_lettered_once_and_the_good_one_goes_on() {
    let (stack, run) = (Stack::load().await, unique());
    let pattern = json!({"source": ["landfall"], "detail-type": ["MigrationRejected"]});
    let rejections = Listener::start(&stack, &format!("e2e-{run}-rejected"), &pattern).await;
    let source = |name: &str| Source::new(&stack, &run, name);
    // Reason, the pointer of the first finding, and the message; the first has no ID to be found by.
    let bad = [
        (
            "NOT_JSON",
            "",
            None,
            (
                format!("{{\"migrationId\": oops-{run}"),
                format!("c-{run}-notjson"),
            ),
        ),
        bad(
            &source("types").request("wave", 3),
            "SCHEMA_INVALID",
            "/wave",
        ),
        bad(
            &source("field").request("colour", "blue"),
            "SCHEMA_INVALID",
            "",
        ),
        bad(
            &source("version").request("schemaVersion", "2.0"),
            "SCHEMA_VERSION_UNSUPPORTED",
            "/schemaVersion",
        ),
        bad(&large(source("large")), "BODY_TOO_LARGE", ""),
    ];
    let good = source("good").request("steps", json!(["freeze"]));
    stack.seed(&seed([&good])).await;
    let mut messages: Vec<_> = bad.iter().map(|(.., message)| message.clone()).collect();
    messages.insert(2, good.message());
    stack.submit(&messages).await;

    let record = Migration::new(&stack, good.id()).ended().await;
    assert_eq!((record.status, record.failure), (Status::Succeeded, None));
    queue::all_taken(&stack).await;

    let wanted: Vec<_> = bad.iter().map(|(.., (_, id))| id.clone()).collect();
    let dead = queue::collect(&stack, &stack.info.request_dlq_url, &wanted, |message| {
        queue::attribute(message, correlation::NAME).map(str::to_owned)
    })
    .await;
    let events = rejections.collect(&stack, &wanted).await;

    for (reason, pointer, id, (body, correlation_id)) in &bad {
        let [letter] = dead[correlation_id].as_slice() else {
            panic!("{reason}: {} dead letters", dead[correlation_id].len());
        };
        assert_eq!(letter.body(), Some(body.as_str()), "{reason}");
        assert_eq!(queue::attribute(letter, "reason"), Some(*reason));
        let findings: Vec<Finding> =
            serde_json::from_str(queue::attribute(letter, "findings").expect("findings"))
                .expect("findings are JSON");
        assert_eq!(
            findings.first().map(|finding| finding.pointer.as_str()),
            Some(*pointer),
            "{findings:?}"
        );
        if pointer.is_empty() && *reason == "SCHEMA_INVALID" {
            assert!(
                findings
                    .iter()
                    .any(|finding| finding.message.contains("colour")),
                "{findings:?}"
            );
        }

        assert_eq!(
            events[correlation_id].len(),
            1,
            "{reason}: MigrationRejected"
        );
        let event: Value = serde_json::from_str(events[correlation_id][0].body().expect("a body"))
            .expect("an event");
        assert_eq!(event["detail"]["reasonCode"], *reason);
        assert_eq!(event["detail"]["evidence"]["findings"], json!(findings));

        if let Some(id) = id {
            let migration = Migration::new(&stack, id);
            assert_eq!(
                migration.record().await,
                None,
                "{reason}: a refused message makes no record"
            );
            let seen = stack
                .store
                .rejections(&migration.key)
                .await
                .expect("rejections");
            let reasons: Vec<_> = seen.iter().map(|seen| seen.reason.as_str()).collect();
            assert_eq!(reasons, [*reason]);
            assert_eq!(seen[0].correlation_id, *correlation_id);
            assert_eq!(seen[0].findings, findings);
        }
    }
    rejections.close(&stack).await;
}

/// A request over the limit of 128 KiB, and small enough that the batch stays within SQS's 256 KiB.
fn large(source: Source) -> Source {
    source.request("owner", "x".repeat(128 * 1024))
}

/// A row: a request that is at fault.
fn bad(
    source: &Source,
    reason: &'static str,
    pointer: &'static str,
) -> (&'static str, &'static str, Option<String>, (String, String)) {
    (
        reason,
        pointer,
        Some(source.id().to_owned()),
        source.message(),
    )
}
