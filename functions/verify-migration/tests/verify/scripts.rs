//! Scripts on the target: sent once, read later.

use landfall_domain::{ErrorName, Status};
use serde_json::{Value, json};

use crate::stage::Stage;
use crate::support::Fault;

async fn stage(members: Value) -> Stage {
    let mut check =
        json!({"kind": "ssm", "commands": ["check {instanceId}", "exit $?"], "attempts": 2});
    for (name, value) in members.as_object().unwrap() {
        check[name] = value.clone();
    }
    let stage = Stage::new(Status::Testing, &[200]).await;
    stage.checked_by(json!([check])).await
}

fn end(stage: &Stage, status: &'static str, code: i32, output: &str) {
    let mut node = stage.node.lock().unwrap();
    let last = node.sent.last_mut().unwrap();
    last.ended = Some((status, code, output.to_owned()));
}

#[tokio::test]
async fn a_script_is_sent_in_one_round_and_read_in_the_next() {
    let stage = stage(json!({})).await;
    for _ in 0..3 {
        let error = stage.verify("test", 0).await.unwrap_err();
        assert_eq!(error.name, ErrorName::DependencyUnavailable, "{error}");
        let health = stage.aws.record("mig-1").await.done.health.unwrap();
        let command = health.checks[0].command.clone().unwrap();
        assert_eq!(command.command_id.as_deref(), Some("command-1"));
        assert_eq!(health.checks[0].failed, 0, "to wait is no failure");
    }
    assert_eq!(stage.aws.calls.count("SendCommand"), 1);
    // Nothing was looked for: the round that noted it sent it.
    assert_eq!(stage.aws.calls.count("ListCommandInvocations"), 0);
    end(&stage, "Success", 0, "fine");
    stage.verify("test", 0).await.unwrap();
    {
        let node = stage.node.lock().unwrap();
        assert_eq!(node.sent.len(), 1);
        assert_eq!(node.sent[0].document, "AWS-RunShellScript");
        assert_eq!(node.sent[0].script, "check i-1\nexit $?");
        assert!(node.sent[0].comment.len() <= 100);
    }
    let record = stage.aws.record("mig-1").await;
    let check = &record.done.health.unwrap().checks[0];
    assert_eq!(check.tries[0].seen, "ended with exit code 0: fine");
    assert_eq!(check.command, None);
}

#[tokio::test]
async fn a_script_that_fails_is_sent_again_until_it_had_its_tries() {
    let stage = stage(json!({})).await;
    for output in ["first", "AWS_SECRET_ACCESS_KEY=hush"] {
        stage.verify("test", 0).await.unwrap_err();
        end(&stage, "Failed", 3, output);
        stage.verify("test", 0).await.unwrap_err();
    }
    let (_, detail) = stage.aws.events.lock().unwrap()[0].clone();
    let finding = &detail["evidence"]["findings"][0];
    assert_eq!(finding["wanted"], "exit code 0");
    assert_eq!(
        finding["message"],
        "the script on i-1 ended with exit code 3: AWS_SECRET_ACCESS_KEY=****."
    );
    assert!(!detail.to_string().contains("hush"), "{detail}");
    assert_eq!(stage.aws.happened("mig-1").await, ["HealthCheckFailed"]);
    let node = stage.node.lock().unwrap();
    assert_eq!(node.sent.len(), 2);
    assert_ne!(node.sent[0].comment, node.sent[1].comment);
}

#[tokio::test]
async fn the_expected_code_passes_and_an_end_without_one_does_not() {
    for (members, status, code, problem) in [
        (json!({"expectedExitCode": 3}), "Failed", 3, None),
        (
            json!({"expectedExitCode": 3}),
            "Success",
            0,
            Some("exit code 0"),
        ),
        (json!({}), "TimedOut", -1, Some("ended as TimedOut")),
        (json!({}), "Cancelled", -1, Some("ended as Cancelled")),
    ] {
        let stage = stage(members).await;
        stage.verify("test", 0).await.unwrap_err();
        end(&stage, status, code, "");
        let said = stage.verify("test", 0).await;
        match problem {
            None => assert!(said.is_ok(), "{said:?}"),
            Some(problem) => {
                let error = said.unwrap_err();
                assert!(error.findings[0].message.contains(problem), "{error:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_node_that_cannot_be_asked_is_a_failed_try() {
    for (ping, platform, problem) in [
        (None, "Linux", "does not know the instance"),
        (
            Some("ConnectionLost"),
            "Linux",
            "is ConnectionLost and not Online",
        ),
        (Some("Online"), "MacOS", "it runs MacOS"),
    ] {
        let stage = stage(json!({})).await;
        {
            let mut node = stage.node.lock().unwrap();
            (node.ping, node.platform) = (ping, platform);
        }
        let error = stage.verify("test", 0).await.unwrap_err();
        assert!(error.findings[0].message.contains(problem), "{error:?}");
        assert_eq!(stage.aws.calls.count("SendCommand"), 0);
        // Its agent comes up.
        {
            let mut node = stage.node.lock().unwrap();
            (node.ping, node.platform) = (Some("Online"), "Windows");
        }
        stage.verify("test", 0).await.unwrap_err();
        end(&stage, "Success", 0, "");
        stage.verify("test", 0).await.unwrap();
        let node = stage.node.lock().unwrap();
        assert_eq!(node.sent[0].document, "AWS-RunPowerShellScript");
    }
}

#[tokio::test]
async fn a_script_whose_end_never_comes_fails_in_the_end() {
    let stage = stage(json!({"attempts": 1})).await;
    stage.verify_after("test", 0).await.unwrap_err();
    let error = stage.verify_after("test", 240).await.unwrap_err();
    assert_eq!(error.name, ErrorName::DependencyUnavailable);
    let error = stage.verify_after("test", 241).await.unwrap_err();
    assert_eq!(error.name, ErrorName::VerificationError);
    assert!(
        error.findings[0].message.contains("no result in time"),
        "{error:?}"
    );
}

#[tokio::test]
async fn every_call_may_fail_and_no_script_is_sent_twice() {
    let calls = {
        let stage = stage(json!({})).await;
        stage.verify("test", 0).await.unwrap_err();
        end(&stage, "Success", 0, "");
        stage.verify("test", 0).await.unwrap();
        stage.aws.calls.made()
    };
    assert!(calls.contains(&"SendCommand"), "{calls:?}");
    for (nth, call) in calls.iter().enumerate() {
        for fault in Fault::ALL {
            let case = format!("call {nth} {call} {fault:?}");
            let stage = stage(json!({"attempts": 3})).await;
            stage.aws.calls.fail_nth(nth, fault);
            for _ in 0..6 {
                let _ = stage.verify("test", 0).await;
                if !stage.node.lock().unwrap().sent.is_empty() {
                    end(&stage, "Success", 0, "");
                }
            }
            let output = stage.verify("test", 0).await.unwrap();
            assert_eq!(output, json!({ "status": "READY_FOR_CUTOVER" }), "{case}");
            assert_eq!(stage.node.lock().unwrap().sent.len(), 1, "{case}");
            let happened = stage.aws.happened("mig-1").await;
            assert_eq!(happened, ["TestVerified", "CutoverReady"], "{case}");
        }
    }
}
