//! Every road out of every state of the workflow, each taken once with Step Functions' `TestState`.
//!
//! The tables below are the workflow as its readers should understand it; that they leave out no `Catch` and no
//! `Choice` is a test of its own.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

use aws_sdk_sfn::types::{MockErrorOutput, MockInput, TestExecutionStatus, TestStateConfiguration};
use landfall_e2e::{Stack, workflow};
use serde_json::{Value, json};

/// State, the error it meets, where that leads.
const CATCHES: &[(&str, &str, &str)] = &[
    (
        "ClaimMigration",
        "DynamoDB.ConditionalCheckFailedException",
        "Duplicate",
    ),
    ("ClaimMigration", "States.Timeout", "Rollback"),
    ("LaunchTest", "Cancelled", "Rollback"),
    ("LaunchCutover", "Cancelled", "Rollback"),
    ("AwaitAgent", "Cancelled", "Rollback"),
    ("AwaitReplication", "Cancelled", "Rollback"),
    ("ValidateInput", "Cancelled", "Rollback"),
    ("PrepareSource", "Cancelled", "Rollback"),
    ("ConfigureReplication", "Cancelled", "Rollback"),
    ("ConfigureLaunch", "Cancelled", "Rollback"),
    ("VerifyTest", "Cancelled", "Rollback"),
    ("BeforeCutover", "Cancelled", "Rollback"),
    ("BeforeLaunch", "Cancelled", "Rollback"),
    ("VerifyCutover", "Cancelled", "Rollback"),
    ("VerifySoak", "Cancelled", "Rollback"),
    ("FinalizeCutover", "Cancelled", "Rollback"),
    ("CompleteWithoutSwitch", "Cancelled", "Rollback"),
    ("CutoverGate", "Cancelled", "Rollback"),
    ("Soak", "Cancelled", "Rollback"),
    ("FinalizeGate", "Cancelled", "Rollback"),
    ("ValidateInput", "ValidationError", "Rollback"),
    ("ValidateInput", "PrerequisiteError", "Rollback"),
    ("ValidateInput", "States.Timeout", "Rollback"),
    ("PrepareSource", "SourcePreparationError", "Rollback"),
    ("PrepareSource", "PrerequisiteError", "Rollback"),
    ("PrepareSource", "States.Timeout", "Rollback"),
    ("AwaitAgent", "SourcePreparationError", "Rollback"),
    ("AwaitAgent", "States.Timeout", "Rollback"),
    ("ConfigureReplication", "SourcePreparationError", "Rollback"),
    ("ConfigureReplication", "PrerequisiteError", "Rollback"),
    ("ConfigureReplication", "InternalError", "Rollback"),
    ("AwaitReplication", "MigrationExecutionError", "Rollback"),
    ("AwaitReplication", "States.Timeout", "Rollback"),
    ("ConfigureLaunch", "SourcePreparationError", "Rollback"),
    ("ConfigureLaunch", "PrerequisiteError", "Rollback"),
    ("ConfigureLaunch", "InternalError", "Rollback"),
    ("LaunchTest", "MigrationExecutionError", "Rollback"),
    ("LaunchTest", "States.Timeout", "Rollback"),
    ("VerifyTest", "VerificationError", "Rollback"),
    ("VerifyTest", "MigrationExecutionError", "Rollback"),
    ("VerifyTest", "PrerequisiteError", "Rollback"),
    ("VerifyTest", "InternalError", "Rollback"),
    ("BeforeCutover", "CutoverError", "Rollback"),
    ("BeforeCutover", "PrerequisiteError", "Rollback"),
    ("BeforeCutover", "InternalError", "Rollback"),
    ("BeforeLaunch", "CutoverError", "Rollback"),
    ("BeforeLaunch", "PrerequisiteError", "Rollback"),
    ("BeforeLaunch", "InternalError", "Rollback"),
    ("LaunchCutover", "CutoverError", "Rollback"),
    ("LaunchCutover", "MigrationExecutionError", "Rollback"),
    ("LaunchCutover", "States.Timeout", "Rollback"),
    ("VerifyCutover", "VerificationError", "Rollback"),
    ("VerifyCutover", "CutoverError", "Rollback"),
    ("VerifyCutover", "PrerequisiteError", "Rollback"),
    ("VerifyCutover", "InternalError", "Rollback"),
    ("FinalizeCutover", "CutoverError", "Rollback"),
    ("FinalizeCutover", "PrerequisiteError", "Rollback"),
    ("FinalizeCutover", "InternalError", "Rollback"),
    ("CompleteWithoutSwitch", "CutoverError", "Rollback"),
    ("CompleteWithoutSwitch", "PrerequisiteError", "Rollback"),
    ("CompleteWithoutSwitch", "InternalError", "Rollback"),
    ("Rollback", "PrerequisiteError", "Duplicate"),
    ("Rollback", "RollbackError", "Freeze"),
    ("Rollback", "InternalError", "Freeze"),
    ("Rollback", "States.Timeout", "Freeze"),
    ("Freeze", "PrerequisiteError", "Duplicate"),
    ("Freeze", "InternalError", "Callback"),
    ("Callback", "InternalError", "Outcome"),
    ("CutoverGate", "ApprovalError", "Rollback"),
    ("CutoverGate", "States.Timeout", "Rollback"),
    ("Soak", "States.Timeout", "Rollback"),
    ("VerifySoak", "VerificationError", "Rollback"),
    ("VerifySoak", "CutoverError", "Rollback"),
    ("VerifySoak", "PrerequisiteError", "Rollback"),
    ("VerifySoak", "InternalError", "Rollback"),
    ("FinalizeGate", "ApprovalError", "Rollback"),
    ("FinalizeGate", "CutoverError", "Rollback"),
    ("FinalizeGate", "States.Timeout", "Rollback"),
    ("RollbackGate", "ApprovalError", "Freeze"),
    ("RollbackGate", "States.Timeout", "Freeze"),
    ("DecommissionGate", "ApprovalError", "Succeeded"),
    ("DecommissionGate", "States.Timeout", "Succeeded"),
    ("Archive", "CutoverError", "Succeeded"),
    ("Archive", "PrerequisiteError", "Succeeded"),
    ("Archive", "InternalError", "Succeeded"),
];

/// Task, and where its success leads.
const SUCCESSES: &[(&str, &str)] = &[
    ("ClaimMigration", "Purpose"),
    ("ValidateInput", "PrepareSource"),
    ("PrepareSource", "ReplicationWanted"),
    ("AwaitAgent", "ConfigureReplication"),
    ("ConfigureReplication", "AwaitReplication"),
    ("AwaitReplication", "LaunchWanted"),
    ("ConfigureLaunch", "TestWanted"),
    ("LaunchTest", "VerifyTest"),
    ("VerifyTest", "SwitchWanted"),
    ("BeforeCutover", "CutoverGate"),
    ("CutoverGate", "BeforeLaunch"),
    ("BeforeLaunch", "LaunchCutover"),
    ("LaunchCutover", "CutoverLaunched"),
    ("VerifyCutover", "SoakWanted"),
    ("Soak", "VerifySoak"),
    ("VerifySoak", "SoakOver"),
    ("FinalizeGate", "FinalizeCutover"),
    ("FinalizeCutover", "Finalized"),
    ("CompleteWithoutSwitch", "Callback"),
    ("Rollback", "RolledBack"),
    ("RollbackGate", "Rollback"),
    ("Freeze", "Callback"),
    ("Callback", "CallbackOver"),
    ("DecommissionGate", "Archive"),
    ("Archive", "Succeeded"),
];

/// Choice, whether replication, a test and a cutover are wanted, how long to soak, where that leads.
const CHOICES: &[(&str, [bool; 3], u32, &str)] = &[
    ("ReplicationWanted", [true, true, true], 0, "AwaitAgent"),
    (
        "ReplicationWanted",
        [false, false, false],
        0,
        "CompleteWithoutSwitch",
    ),
    ("LaunchWanted", [true, true, false], 0, "ConfigureLaunch"),
    ("LaunchWanted", [true, false, true], 0, "ConfigureLaunch"),
    (
        "LaunchWanted",
        [true, false, false],
        0,
        "CompleteWithoutSwitch",
    ),
    ("TestWanted", [true, true, true], 0, "LaunchTest"),
    ("TestWanted", [true, false, true], 0, "BeforeCutover"),
    ("SwitchWanted", [true, true, true], 0, "BeforeCutover"),
    (
        "SwitchWanted",
        [true, true, false],
        0,
        "CompleteWithoutSwitch",
    ),
    ("SoakWanted", [true, true, true], 600, "Soak"),
    ("SoakWanted", [true, true, true], 0, "FinalizeGate"),
];

/// How a migration ended, and how its execution then does.
const OUTCOMES: &[(&str, &str)] = &[
    ("SUCCEEDED", "Succeeded"),
    ("FAILED", "Failed"),
    ("ROLLED_BACK", "Failed"),
    ("CANCELLED", "Failed"),
    ("FROZEN", "Failed"),
];

/// Choice, the variable it looks at, its value, where that leads.
const VARIABLES: &[(&str, &str, &str, &str)] = &[
    ("Purpose", "rollbackOnly", "true", "Rollback"),
    ("Purpose", "rollbackOnly", "false", "ValidateInput"),
    ("CutoverLaunched", "held", "true", "CutoverGate"),
    ("CutoverLaunched", "held", "false", "VerifyCutover"),
    ("SoakOver", "soaked", "true", "FinalizeGate"),
    ("SoakOver", "soaked", "false", "Soak"),
    ("Finalized", "held", "true", "FinalizeGate"),
    ("Finalized", "held", "false", "Callback"),
    ("RolledBack", "approvalWanted", "true", "RollbackGate"),
    ("RolledBack", "approvalWanted", "false", "Callback"),
    ("CallbackOver", "retryAfterSeconds", "30", "CallbackPause"),
    ("CallbackOver", "retryAfterSeconds", "0", "Outcome"),
    (
        "Outcome",
        "plan",
        r#"{"archiveAfterSeconds": 1}"#,
        "Retention",
    ),
    (
        "DecommissionWanted",
        "plan",
        r#"{"decommission": true}"#,
        "DecommissionGate",
    ),
    (
        "DecommissionWanted",
        "plan",
        r#"{"decommission": false}"#,
        "Archive",
    ),
];

/// What a state is tested with.
struct Case<'a> {
    state: &'a str,
    variables: Value,
    mock: Option<MockInput>,
}

/// Where a state leads, after `TestState` ended with the expected status.
async fn next(stack: &Stack, case: Case<'_>, status: TestExecutionStatus) -> String {
    let Case {
        state,
        variables,
        mock,
    } = case;
    let (arn, tenant) = (
        "arn:aws:states:us-east-1:000000000000:execution:m:e",
        "default",
    );
    let mut known = json!({
        "stage": {"tenantId": tenant, "migrationId": "mig-1", "attempt": 1, "correlationId": "c", "executionArn": arn},
        "plan": {
            "replicate": true, "validate": true, "switch": true, "soakSeconds": 0,
            "archiveAfterSeconds": 0, "decommission": false,
        },
        "visit": 0,
        "tries": 0,
        "outcome": "SUCCEEDED",
        "failure": {"error": "VerificationError", "cause": "why", "state": "VerifyTest"},
        "rollbackFailure": {"error": "States.Timeout", "cause": "", "state": "Rollback"},
    });
    for (name, value) in variables.as_object().into_iter().flatten() {
        known[name] = value.clone();
    }
    let input = json!({
        "detail": {"tenantId": tenant, "migrationId": "mig-1", "attempt": 1, "correlationId": "c"}
    });
    // AWS takes the variables by themselves; MiniStack reads them from the context.
    let context = json!({"Execution": {"Id": arn}, "Task": {"Token": "token"}, "variables": known});
    let uri = stack.info.ministack_url.clone();
    let answer = stack
        .sfn
        .test_state()
        .definition(workflow::definition().to_string())
        .state_name(state)
        .input(input.to_string())
        .variables(known.to_string())
        .context(context.to_string())
        .set_mock(mock)
        // Past every Retry, so that its error is caught.
        .state_configuration(
            TestStateConfiguration::builder()
                .retrier_retry_count(999)
                .build(),
        )
        .customize()
        // The operation's `sync-` host prefix names nothing in front of an address.
        .mutate_request(move |request| request.set_uri(uri.as_str()).expect("an address"))
        .send()
        .await
        .unwrap_or_else(|error| panic!("TestState of {state}: {error:?}"));
    assert_eq!(answer.status(), Some(&status), "{state}: {answer:?}");
    answer.next_state().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn every_catch_leads_where_it_should() {
    let stack = Stack::load().await;
    for (state, error, expected) in CATCHES {
        let error = MockErrorOutput::builder().error(*error).cause("{}").build();
        let case = Case {
            state,
            variables: json!({}),
            mock: Some(MockInput::builder().error_output(error.clone()).build()),
        };
        let found = next(&stack, case, TestExecutionStatus::CaughtError).await;
        assert_eq!(found, *expected, "{state} after {error:?}");
    }
}

#[tokio::test]
async fn every_task_leads_on() {
    let stack = Stack::load().await;
    for (state, expected) in SUCCESSES {
        let result = json!({"Payload": {"status": "SUCCEEDED"}}).to_string();
        let case = Case {
            state,
            variables: json!({}),
            mock: Some(MockInput::builder().result(result).build()),
        };
        let found = next(&stack, case, TestExecutionStatus::Succeeded).await;
        assert_eq!(found, *expected, "{state}");
    }
}

#[tokio::test]
async fn every_choice_goes_every_way() {
    let stack = Stack::load().await;
    let plans = CHOICES.iter().map(|(state, wanted, soak, expected)| {
        let [replicate, validate, switch] = wanted;
        let plan = json!({
            "replicate": replicate, "validate": validate, "switch": switch, "soakSeconds": soak,
            "archiveAfterSeconds": 0, "decommission": false,
        });
        (*state, json!({"plan": plan}), *expected)
    });
    let outcomes = OUTCOMES
        .iter()
        .map(|(outcome, expected)| ("Outcome", json!({"outcome": outcome}), *expected));
    let variables = VARIABLES.iter().map(|(state, name, value, expected)| {
        let value: Value = serde_json::from_str(value).expect("JSON");
        (*state, json!({ *name: value }), *expected)
    });
    for (state, variables, expected) in plans.chain(outcomes).chain(variables) {
        let case = Case {
            state,
            variables: variables.clone(),
            mock: None,
        };
        let found = next(&stack, case, TestExecutionStatus::Succeeded).await;
        assert_eq!(found, expected, "{state} with {variables}");
    }
}

#[test]
fn the_tables_leave_nothing_out() {
    let definition = workflow::definition();
    for (name, state) in definition["States"].as_object().expect("states") {
        for catcher in state["Catch"].as_array().into_iter().flatten() {
            let errors = catcher["ErrorEquals"].as_array().expect("ErrorEquals");
            for error in errors.iter().filter_map(Value::as_str) {
                // `States.ALL` is taken by an error that no other Catch of the state names.
                let named = |row: &str| state["Catch"].to_string().contains(&format!("\"{row}\""));
                let covered = CATCHES.iter().any(|(of, row, next)| {
                    of == name
                        && catcher["Next"] == *next
                        && (*row == error || error == "States.ALL" && !named(row))
                });
                assert!(covered, "no row takes the Catch of {error} in {name}");
            }
        }
        if state["Type"] == "Task" {
            assert!(
                SUCCESSES.iter().any(|(of, _)| of == name),
                "no row for {name}"
            );
        }
        let taken = |next: &Value| {
            CHOICES.iter().any(|(of, .., to)| of == name && next == to)
                || name == "Outcome" && OUTCOMES.iter().any(|(_, to)| next == to)
                || VARIABLES
                    .iter()
                    .any(|(of, .., to)| of == name && next == to)
        };
        let ways = state["Choices"].as_array().into_iter().flatten();
        for way in ways.map(|rule| &rule["Next"]).chain(state.get("Default")) {
            assert!(taken(way), "no row takes {name} to {way}");
        }
    }
}
