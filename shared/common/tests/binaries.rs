//! The binary of each function, run on its sample event in `tests/events/` by a Lambda runtime API of our own.
//! AWS is a closed port here: what counts is that the event is understood and the answer is one of ours.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests"
)]

#[path = "support/receiver.rs"]
mod receiver;
#[path = "support/runtime_api.rs"]
mod runtime_api;

use std::path::PathBuf;
use std::process::{Command, Output};

use landfall_domain::ErrorName;
use runtime_api::{Answer, RuntimeApi};
use serde_json::{Value, json};

/// Each function, and what it needs beside the table and the bus.
const FUNCTIONS: [(&str, &[&str]); 12] = [
    ("ingress", &["LANDFALL_REQUEST_DLQ_URL"]),
    ("validate-input", &["LANDFALL_ROLE_ARN_PREFIX"]),
    ("prepare-source", &[]),
    ("trigger-migration", &["LANDFALL_LAUNCH_QUEUE_URL"]),
    ("watch-migrations", &[]),
    ("verify-migration", &[]),
    ("finalize-cutover", &[]),
    (
        "callback",
        &[
            "LANDFALL_CALLBACK_SECRET_ARN",
            "LANDFALL_CALLBACK_FAILED_QUEUE_URL",
        ],
    ),
    ("rollback", &[]),
    ("approvals", &[]),
    ("control", &[]),
    (
        "notify",
        &["LANDFALL_NOTICE_TOPIC_ARN", "LANDFALL_NOTICE_SECRET_ARN"],
    ),
];

/// Those behind the operators' API: what is wrong is an HTTP answer.
const DOORS: [&str; 2] = ["approvals", "control"];

/// Those that have nothing to do with records.
const WITHOUT_STATE: [&str; 1] = ["notify"];

/// Those whose failed messages go back to their queue one by one.
const BATCHES: [&str; 4] = ["ingress", "trigger-migration", "watch-migrations", "notify"];

fn binary(name: &str) -> PathBuf {
    // This test is <target>/<profile>/deps/binaries-<hash>.
    let mut path = std::env::current_exe().unwrap();
    path.pop();
    path.pop();
    let path = path.join(name);
    assert!(
        path.is_file(),
        "{} is not there; run cargo build --workspace --bins first",
        path.display()
    );
    path
}

/// Where nobody listens: a port that nobody is given who asks for a free one.
const CLOSED: &str = "http://127.0.0.1:9";

/// The function in an environment of its own, with credentials of nobody and no AWS to reach.
fn command(name: &str, api: &str) -> Command {
    let mut command = Command::new(binary(name));
    command.env_clear().envs([
        ("AWS_LAMBDA_RUNTIME_API", api),
        ("AWS_LAMBDA_FUNCTION_NAME", name),
        ("AWS_LAMBDA_FUNCTION_VERSION", "1"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
        ("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/test"),
        ("AWS_LAMBDA_LOG_STREAM_NAME", "test"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("AWS_ENDPOINT_URL", CLOSED),
    ]);
    command
}

fn configured(name: &str, more: &[&str], api: &str) -> Command {
    let mut command = command(name, api);
    command.env("LANDFALL_TABLE", "landfall-migrations");
    command.env("LANDFALL_BUS", "landfall");
    for variable in more {
        command.env(variable, format!("{CLOSED}/{variable}"));
    }
    command
}

fn invoke(name: &str, more: &[&str], event: &Value) -> Answer {
    let api = RuntimeApi::start(event);
    api.run(configured(name, more, &api.address))
}

fn sample(name: &str) -> Value {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/events");
    let text = std::fs::read_to_string(folder.join(format!("{name}.json"))).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// Runs a check for every function at once: each waits for AWS's retries.
fn each(check: impl Fn(&'static str, &'static [&'static str]) + Sync) {
    let check = &check;
    std::thread::scope(|scope| {
        for (name, more) in FUNCTIONS {
            std::thread::Builder::new()
                .name(name.to_owned())
                .spawn_scoped(scope, move || check(name, more))
                .unwrap();
        }
    });
}

#[test]
fn each_function_understands_its_sample_event() {
    each(|name, more| {
        let event = sample(name);
        match invoke(name, more, &event) {
            Answer::Response(answer) if DOORS.contains(&name) => {
                assert_eq!(answer["statusCode"], 503, "{name}: {answer}");
                let body = answer["body"].as_str().unwrap();
                assert!(body.contains("could not be reached"), "{name}: {body}");
            }
            Answer::Response(answer) => {
                assert!(BATCHES.contains(&name), "{name} answered {answer}");
                let back = &answer["batchItemFailures"][0]["itemIdentifier"];
                assert_eq!(*back, event["Records"][0]["messageId"], "{name}");
            }
            Answer::Error(error) => {
                assert_eq!(
                    error["errorType"], "DependencyUnavailable",
                    "{name}: {error}"
                );
                let message = error["errorMessage"].as_str().unwrap();
                assert!(message.contains("could not be reached"), "{name}: {error}");
            }
        }
    });
}

#[test]
fn an_event_that_is_wrong_is_answered_with_the_member_at_fault() {
    each(|name, more| {
        // Any event without records wakes the sweep of watch-migrations.
        let event = match name {
            "watch-migrations" => json!({ "Records": {} }),
            _ => json!({}),
        };
        let error = match invoke(name, more, &event) {
            Answer::Response(answer) if DOORS.contains(&name) => {
                assert_eq!(answer["statusCode"], 403, "{name}: {answer}");
                return;
            }
            Answer::Error(error) => error,
            Answer::Response(_) => panic!("{name} took {event}"),
        };
        let internal = ErrorName::InternalError.as_str();
        assert_eq!(error["errorType"], internal, "{name}: {error}");
        let message = error["errorMessage"].as_str().unwrap();
        let member = match name {
            "ingress" | "trigger-migration" | "notify" => "Records",
            "verify-migration" => "phase",
            "callback" => "outcome",
            _ => "tenantId",
        };
        let said = match name {
            "watch-migrations" => "expected a sequence".to_owned(),
            _ => format!("missing field `{member}`"),
        };
        assert!(message.contains(&said), "{name}: {error}");
        assert!(!message.contains("::"), "no Rust path: {error}");
    });
}

#[test]
fn a_function_that_lacks_its_configuration_names_all_of_it_and_ends() {
    each(|name, more| {
        let api = RuntimeApi::start(&json!({}));
        let Output {
            status,
            stdout,
            stderr,
        } = command(name, &api.address).output().unwrap();
        assert!(!status.success(), "{name} went on");
        let said = String::from_utf8([stdout, stderr].concat()).unwrap();
        let state: &[&str] = if WITHOUT_STATE.contains(&name) {
            &[]
        } else {
            &["LANDFALL_TABLE", "LANDFALL_BUS"]
        };
        for variable in state.iter().chain(more) {
            let told = format!("{variable} is not set");
            assert!(said.contains(&told), "{name}: {variable} is not in {said}");
        }
    });
}

#[test]
fn every_sample_belongs_to_a_function() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/events");
    let mut there: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    there.sort();
    let mut expected: Vec<String> = FUNCTIONS
        .iter()
        .map(|(name, _)| format!("{name}.json"))
        .collect();
    expected.sort();
    assert_eq!(there, expected);
}
