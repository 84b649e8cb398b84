//! A pause: what is waited for may come meanwhile, and no time runs out.

use landfall_domain::Status;

use crate::failed;
use crate::stage::Stage;
use crate::support::{key, now, record};
use crate::tasks::Ended;

/// A soak of a minute, waited for.
async fn soaking() -> Stage {
    let stage = Stage::default();
    let mut soaking = record("mig-1", Status::Soaking);
    soaking.request.policy.soak_seconds = Some(60);
    stage.aws.put(soaking).await;
    let again = stage.open(&[Stage::message("SOAK", "token-1")]).await;
    assert!(again.is_empty());
    stage
}

#[tokio::test]
async fn what_is_paused_neither_comes_nor_ends_and_has_its_time_afterwards() {
    // An hour after each of them is due; the tests' time is noon.
    for (kind, late) in [
        ("agent", "2026-11-21T15:00:00Z"),
        ("replication", "2026-11-21T15:00:00Z"),
        ("soak", "2026-11-21T13:01:00Z"),
    ] {
        let make = async || match kind {
            "agent" => Stage::agent().await,
            "replication" => Stage::replication_waits().await,
            _ => soaking().await,
        };
        let stage = make().await;
        stage.sweep_at(late).await.unwrap();
        assert!(stage.task().is_some(), "{kind}");

        let stage = make().await;
        let store = stage.aws.store();
        store.pause_waits(&key("mig-1"), now()).await.unwrap();
        stage.sweep_at(late).await.unwrap();
        assert_eq!(stage.task(), None, "{kind}");
        let due = stage.wait_of("mig-1").await.due_at;
        let resumed = late.parse().unwrap();
        for _ in 0..2 {
            store.resume_waits(&key("mig-1"), resumed).await.unwrap();
        }
        let (before, after): (jiff::Timestamp, jiff::Timestamp) = (
            due.parse().unwrap(),
            stage.wait_of("mig-1").await.due_at.parse().unwrap(),
        );
        assert_eq!(
            after.duration_since(before),
            resumed.duration_since(now()),
            "{kind}"
        );
        stage.sweep_at(late).await.unwrap();
        match kind {
            "soak" => assert_eq!(stage.task(), None, "a minute is left of it"),
            "replication" => assert!(matches!(stage.task(), Some(Ended::Succeeded(_)))),
            _ => assert!(matches!(stage.task(), None | Some(Ended::Succeeded(_)))),
        }
    }
}

#[tokio::test]
async fn an_agent_that_does_not_come_after_a_pause_fails_in_the_time_that_was_left() {
    let stage = Stage::agent().await;
    stage.account.lock().unwrap().servers.clear();
    let store = stage.aws.store();
    store.pause_waits(&key("mig-1"), now()).await.unwrap();
    let resumed = "2026-11-22T12:00:00Z";
    store
        .resume_waits(&key("mig-1"), resumed.parse().unwrap())
        .await
        .unwrap();
    stage.sweep_at("2026-11-22T13:59:00Z").await.unwrap();
    assert_eq!(stage.task(), None);
    stage.sweep_at("2026-11-22T14:01:00Z").await.unwrap();
    assert_eq!(failed(stage.task()).0, "SourcePreparationError");
}
