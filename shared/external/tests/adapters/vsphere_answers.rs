//! vSphere, against answers that the simulator's vCenter does not give.

use landfall_domain::ErrorName;
use landfall_external::source::{Machine, Power, SourceMachine as _};
use serde_json::{Value, json};

use crate::server::{REFUSAL, Server, connect, no_secrets, secrets};
use crate::vsphere::{GOOD, control};

#[tokio::test]
async fn every_power_state_has_its_meaning() {
    let on = || (200, json!({"state": "POWERED_ON"}));
    let guest = |state: &str| (200, json!({"state": state, "operations_ready": false}));
    let tools =
        |run: &str, version: &str| (200, json!({"run_state": run, "version_status": version}));
    for (answers, meaning) in [
        (vec![(200, json!({"state": "POWERED_OFF"}))], Power::Off),
        (vec![(200, json!({"state": "SUSPENDED"}))], Power::Off),
        (vec![(200, json!({"state": "?"}))], Power::Unknown),
        (vec![on(), guest("RUNNING")], Power::Running),
        (vec![on(), guest("SHUTTING_DOWN")], Power::Stopping),
        (vec![on(), guest("RESETTING")], Power::Starting),
        (
            vec![
                on(),
                guest("NOT_RUNNING"),
                tools("NOT_RUNNING", "NOT_INSTALLED"),
            ],
            Power::Running,
        ),
        // Booting, or in the last moments of a shutdown.
        (
            vec![on(), guest("NOT_RUNNING"), tools("NOT_RUNNING", "CURRENT")],
            Power::Unknown,
        ),
        (
            vec![on(), guest("STANDBY"), tools("RUNNING", "UNMANAGED")],
            Power::Running,
        ),
    ] {
        let (server, machine) = signed_in(answers.clone()).await;
        assert_eq!(machine.power().await.unwrap(), meaning, "{answers:?}");
        let seen = server.seen.lock().unwrap();
        assert!(seen[0].authorization.starts_with("Basic "));
        assert!(seen[1..].iter().all(|seen| seen.session == "session-1"));
    }
}

/// A machine whose next answers are these.
async fn signed_in(answers: Vec<(u16, Value)>) -> (Server, Machine) {
    let begin = [(201, json!("session-1")), (200, json!([{"vm": "vm-7"}]))];
    let server = Server::with(begin.into_iter().chain(answers)).await;
    let control = control(&server.url, &json!({}));
    let machine = connect(&control, &secrets(GOOD), &[&server.url]).await;
    (server, machine.unwrap())
}

#[tokio::test]
async fn a_guest_whose_tools_are_silent_is_not_cut_off() {
    let silent = (
        200,
        json!({"run_state": "NOT_RUNNING", "version_status": "CURRENT"}),
    );
    let (server, machine) = signed_in(vec![silent]).await;
    machine.power_off().await.unwrap();
    assert_eq!(server.lines().len(), 3, "nothing is asked for");
}

#[tokio::test]
async fn failures_are_classed_by_their_type() {
    let automation = |status, kind: &str| {
        (
            status,
            json!({"error_type": kind, "messages": [{"default_message": "text"}]}),
        )
    };
    for (answer, name) in [
        (automation(401, "UNAUTHENTICATED"), REFUSAL),
        (automation(403, "UNAUTHORIZED"), REFUSAL),
        (automation(404, "NOT_FOUND"), REFUSAL),
        (automation(400, "UNSUPPORTED"), REFUSAL),
        (
            automation(400, "RESOURCE_BUSY"),
            ErrorName::DependencyUnavailable,
        ),
        (
            automation(500, "RESOURCE_BUSY"),
            ErrorName::DependencyUnavailable,
        ),
        (
            automation(503, "SERVICE_UNAVAILABLE"),
            ErrorName::DependencyUnavailable,
        ),
        (automation(429, "TOO_MANY"), ErrorName::Throttled),
    ] {
        let (_server, machine) = signed_in(vec![answer.clone()]).await;
        let error = machine.start().await.unwrap_err();
        assert_eq!(error.name, name, "{answer:?}: {error}");
        let all = format!("{error:?} {machine:?}");
        assert!(
            !all.contains("session-1") && !all.contains("simulated-vcenter-password"),
            "{all}"
        );
    }
    for status in [400, 409, 500] {
        let (_server, machine) =
            signed_in(vec![automation(status, "ALREADY_IN_DESIRED_STATE")]).await;
        machine.start().await.unwrap();
    }
}

#[tokio::test]
async fn faults_of_a_snapshot_are_classed_by_their_type() {
    let fault = |kind: &str| {
        (
            500,
            json!({"_typeName": kind, "faultMessage": [{"message": "text"}]}),
        )
    };
    let login = || (200, json!({"_typeName": "UserSession"}));
    let logout = || (204, Value::Null);
    let quiet = || vec![login(), (200, json!([])), (200, Value::Null)];
    for (kind, name) in [
        ("NoPermission", REFUSAL),
        ("NotSupported", REFUSAL),
        ("SnapshotFault", REFUSAL),
        ("TaskInProgress", ErrorName::DependencyUnavailable),
        ("HostCommunication", ErrorName::DependencyUnavailable),
    ] {
        let answers = [quiet(), vec![fault(kind), logout()]].concat();
        let (server, machine) = signed_in(answers).await;
        let error = machine.snapshot("x").await.unwrap_err();
        assert_eq!(error.name, name, "{kind}: {error}");
        assert!(error.message.contains(kind), "{error}");
        // The session ends however the snapshot did.
        assert!(server.lines().last().unwrap().ends_with("/Logout"));
        assert_eq!(
            server.seen.lock().unwrap().last().unwrap().session,
            "vim-session"
        );
    }
    let (_server, machine) = signed_in(vec![fault("InvalidLogin")]).await;
    assert_eq!(machine.snapshot("x").await.unwrap_err().name, REFUSAL);
}

#[tokio::test]
async fn an_old_vcenter_says_what_to_do_instead() {
    let (_server, machine) = signed_in(vec![(404, Value::Null)]).await;
    let error = machine.snapshot("x").await.unwrap_err();
    assert_eq!(error.name, REFUSAL);
    assert!(error.message.contains("8.0 Update 1"), "{error}");
    assert!(error.message.contains("`freeze`"), "{error}");
    // One older still has no sign-in.
    let server = Server::with([(404, Value::Null)]).await;
    let control = control(&server.url, &json!({}));
    let error = connect(&control, &secrets(GOOD), &[&server.url]).await;
    let error = error.unwrap_err();
    assert!(error.message.contains("7.0 Update 2"), "{error}");
}

#[tokio::test]
async fn a_task_that_fails_is_told_with_its_reason() {
    let reference = |kind: &str, id: &str| json!({"_typeName": "ManagedObjectReference", "type": kind, "value": id});
    let info = |state: &str| {
        (
            200,
            json!({
                "descriptionId": "VirtualMachine.createSnapshotEx", "state": state,
                "error": {"_typeName": "ApplicationQuiesceFault", "faultMessage": [{"message": "no"}]},
            }),
        )
    };
    let login = || (200, json!({"_typeName": "UserSession"}));
    let task = || (200, reference("Task", "task-1"));
    let (list, none, end) = (
        (200, json!([reference("Task", "task-1")])),
        (200, json!([])),
        (204, Value::Null),
    );
    // At once: that is the answer.
    let answers = vec![
        login(),
        none,
        (200, Value::Null),
        task(),
        info("error"),
        end.clone(),
    ];
    let (_server, machine) = signed_in(answers).await;
    let error = machine.snapshot("x").await.unwrap_err();
    assert_eq!(error.name, REFUSAL);
    assert!(
        error.message.contains("ApplicationQuiesceFault: no"),
        "{error}"
    );
    // Later, when nobody looked: it is tried again, and the reason is not lost.
    let answers = vec![
        login(),
        list,
        info("error"),
        (200, Value::Null),
        task(),
        info("running"),
        end,
    ];
    let (_server, machine) = signed_in(answers).await;
    let error = machine.snapshot("x").await.unwrap_err();
    assert_eq!(error.name, ErrorName::DependencyUnavailable);
    assert!(
        error.message.contains("an earlier try failed: Appl"),
        "{error}"
    );
}

#[tokio::test]
async fn credentials_go_to_no_plain_http_address() {
    let control = control("http://vcenter.corp", &json!({}));
    let error = connect(&control, &no_secrets(), &["http://vcenter.corp"])
        .await
        .unwrap_err();
    assert_eq!(error.name, REFUSAL);
    assert!(error.message.contains("is not https"), "{error}");
}
