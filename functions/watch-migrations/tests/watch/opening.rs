//! Messages that open a wait.

use crate::stage::Stage;
use crate::support::Fault;
use crate::tasks::Ended;
use landfall_domain::Status;
use serde_json::json;

#[tokio::test]
async fn an_agent_that_is_connected_is_seen_when_the_wait_opens() {
    let stage = Stage::default();
    stage.preparing("mig-1").await;
    let again = stage.open(&[Stage::message("AGENT", "token-1")]).await;
    assert!(again.is_empty());
    let record = stage.aws.record("mig-1").await;
    assert_eq!(record.status, Status::Replicating);
    assert!(matches!(stage.task(), Some(Ended::Succeeded(_))));
    assert!(stage.waits().await.is_empty());
}

#[tokio::test]
async fn an_agent_s_wait_knows_its_command_and_its_deadline() {
    let stage = Stage::default();
    let preparing = stage.preparing("mig-1").await;
    stage.server(|server| server.lifecycle = "PENDING_INSTALLATION".into());
    stage.open(&[Stage::message("AGENT", "token-1")]).await;
    assert_eq!(stage.task(), None, "imported only");
    stage.server(|server| {
        server.lifecycle = "NOT_READY".into();
        server.state = "DISCONNECTED".into();
    });
    stage.sweep().await.unwrap();
    assert_eq!(stage.task(), None, "disconnected");
    let waits = stage.waits().await;
    assert_eq!(waits[0].command, preparing.done.agent_command);
    assert_eq!(waits[0].due_at, "2026-11-21T14:00:00Z");
}

#[tokio::test]
async fn the_token_of_a_later_try_wins_whatever_the_order_of_its_messages() {
    for order in [[0, 1], [1, 0]] {
        let stage = Stage::replicating().await;
        stage.server(|server| server.lag = None);
        for retry in order {
            let mut message = Stage::message("REPLICATION", &format!("token-{retry}"));
            message["retryCount"] = json!(retry);
            assert!(stage.open(&[message]).await.is_empty());
        }
        let waits = stage.waits().await;
        assert_eq!(waits.len(), 1);
        assert_eq!(waits[0].task_token, "token-1", "{order:?}");
        assert_eq!(waits[0].due_at, "2026-12-05T11:00:00Z");
    }
}

#[tokio::test]
async fn a_message_that_comes_after_its_token_was_used_changes_nothing() {
    let stage = Stage::replicating().await;
    stage.await_replication("token-1").await;
    let (ended, happened) = (stage.task(), stage.aws.happened("mig-1").await);
    stage.await_replication("token-1").await;
    assert_eq!(stage.task(), ended);
    assert_eq!(stage.aws.happened("mig-1").await, happened);
    assert!(stage.waits().await.is_empty());
}

#[tokio::test]
async fn a_bad_message_goes_back_alone_and_one_of_an_ended_attempt_is_dropped() {
    let stage = Stage::replicating().await;
    let mut ended = Stage::message("REPLICATION", "token-9");
    ended["attempt"] = json!(2);
    let messages = [
        json!("nonsense"),
        ended,
        Stage::message("TEST_LAUNCH", "token-8"),
        Stage::message("REPLICATION", "token-1"),
    ];
    assert_eq!(stage.open(&messages).await, ["message-0", "message-2"]);
    assert!(matches!(stage.task(), Some(Ended::Succeeded(_))));
    assert_eq!(stage.tasks.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn opening_converges_after_a_fault_of_any_call() {
    let calls = {
        let stage = Stage::replicating().await;
        stage.await_replication("token-1").await;
        stage.aws.calls.made()
    };
    assert!(calls.len() > 5, "{calls:?}");
    for (nth, call) in calls.iter().enumerate() {
        for fault in Fault::ALL {
            let case = format!("call {nth} {call} {fault:?}");
            let stage = Stage::replicating().await;
            stage.aws.calls.fail_nth(nth, fault);
            let message = [Stage::message("REPLICATION", "token-1")];
            // What could not be opened comes again; what was opened is the sweep's.
            if !stage.open(&message).await.is_empty() {
                assert!(matches!(*call, "GetItem" | "PutItem"), "{case}");
                assert!(stage.open(&message).await.is_empty(), "{case}");
            }
            stage.sweep().await.unwrap();
            assert!(matches!(stage.task(), Some(Ended::Succeeded(_))), "{case}");
            assert_eq!(
                stage.aws.happened("mig-1").await,
                ["ReplicationHealthy"],
                "{case}"
            );
            assert!(stage.waits().await.is_empty(), "{case}");
        }
    }
}
