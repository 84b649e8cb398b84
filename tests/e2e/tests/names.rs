//! One name everywhere: errors, states and functions, across the workflow, Terraform and the crates. No stack needed.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

use std::collections::{BTreeMap, BTreeSet};

use landfall_domain::control::PAUSE_DAYS;
use landfall_domain::request::MAX_SOAK_SECONDS;
use landfall_domain::{ErrorName, soak, webhook};
use landfall_e2e::{root, text, workflow};
use serde_json::Value;

/// Errors that Step Functions and its integrations raise by themselves.
const AWS_ERRORS: &[&str] = &[
    "DynamoDB.ConditionalCheckFailedException",
    "DynamoDB.InternalServerError",
    "DynamoDB.ProvisionedThroughputExceededException",
    "DynamoDB.RequestLimitExceeded",
    "DynamoDB.SdkClientException",
    "DynamoDB.ThrottlingException",
    "DynamoDB.TransactionConflictException",
    "Lambda.AWSLambdaException",
    "Lambda.ClientExecutionTimeoutException",
    "Lambda.SdkClientException",
    "Lambda.ServiceException",
    "Lambda.TooManyRequestsException",
    "Lambda.Unknown",
    "Runtime.ExitError",
    "Runtime.Unknown",
    "SQS.SdkClientException",
    "SQS.SqsException",
    "Sandbox.Timedout",
    "States.ALL",
    "States.Timeout",
];

/// Tokens of the workflow that are no function.
const OTHER_TOKENS: &[&str] = &["launch-queue-url", "table", "wait-queue-url"];

fn states() -> Vec<(String, Value)> {
    let definition = workflow::definition();
    let states = definition["States"].as_object().expect("states");
    let pairs = states
        .iter()
        .map(|(name, state)| (name.clone(), state.clone()));
    pairs.collect()
}

/// Every name in every `ErrorEquals` of a kind of rule.
fn errors(rules: &[&str]) -> BTreeSet<String> {
    states()
        .iter()
        .flat_map(|(_, state)| {
            rules
                .iter()
                .map(|rule| state[rule].clone())
                .collect::<Vec<_>>()
        })
        .flat_map(|rules| rules.as_array().cloned().unwrap_or_default())
        .flat_map(|rule| {
            rule["ErrorEquals"]
                .as_array()
                .cloned()
                .expect("ErrorEquals")
        })
        .map(|name| name.as_str().expect("a name").to_owned())
        .collect()
}

/// The folders in a folder.
fn folders(path: &str) -> BTreeSet<String> {
    std::fs::read_dir(root().join(path))
        .expect("a folder")
        .map(|entry| entry.expect("an entry"))
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().into_string().expect("a readable name"))
        .collect()
}

#[test]
fn the_workflow_and_the_code_agree_on_every_error() {
    let ours: BTreeSet<_> = ErrorName::ALL
        .iter()
        .map(|name| name.as_str().to_owned())
        .collect();
    let aws: BTreeSet<_> = AWS_ERRORS.iter().map(|&name| name.to_owned()).collect();
    let used = errors(&["Retry", "Catch"]);
    let unknown: Vec<_> = used
        .iter()
        .filter(|name| !ours.contains(*name) && !aws.contains(*name))
        .collect();
    assert!(unknown.is_empty(), "nobody raises {unknown:?}");
    let ignored: Vec<_> = ours.difference(&used).collect();
    assert!(
        ignored.is_empty(),
        "the workflow knows nothing of {ignored:?}"
    );
    let gone: Vec<_> = aws.difference(&used).collect();
    assert!(gone.is_empty(), "the list above names {gone:?} in vain");
}

#[test]
fn what_may_pass_is_retried_and_what_may_not_is_caught() {
    let (retried, caught) = (errors(&["Retry"]), errors(&["Catch"]));
    for name in ErrorName::ALL {
        let (wanted, other) = if name.is_transient() {
            (&retried, &caught)
        } else {
            (&caught, &retried)
        };
        assert!(
            wanted.contains(name.as_str()),
            "{name} is not where it belongs"
        );
        assert!(
            !other.contains(name.as_str()),
            "{name} is where it does not belong"
        );
    }
}

#[test]
fn every_state_says_what_it_is_for_and_no_task_waits_for_ever() {
    for (name, state) in states() {
        assert!(
            state["Comment"]
                .as_str()
                .is_some_and(|text| !text.is_empty()),
            "{name} has no Comment"
        );
        if state["Type"] == "Task" {
            assert!(
                state["TimeoutSeconds"].as_u64().is_some(),
                "{name} has no TimeoutSeconds"
            );
        }
    }
}

#[test]
fn a_catch_of_everything_is_the_last_of_every_task() {
    for (name, state) in states() {
        if state["Type"] == "Task" {
            let last = state["Catch"].as_array().and_then(|all| all.last());
            let last = last.unwrap_or_else(|| panic!("{name} catches nothing"));
            assert_eq!(
                last["ErrorEquals"],
                serde_json::json!(["States.ALL"]),
                "{name}"
            );
        }
    }
}

/// A minute in which Lambda throttles, or a process dies, is no reason to leave a rollback half-way or a message unsent.
#[test]
fn what_must_not_be_given_up_outlasts_an_hour_of_trouble_with_lambda() {
    let states: BTreeMap<_, _> = states().into_iter().collect();
    for name in ["Rollback", "Freeze", "Callback"] {
        let rules = states[name]["Retry"].as_array().expect("rules");
        for error in [
            "Lambda.TooManyRequestsException",
            "Sandbox.Timedout",
            "States.Timeout",
            "Throttled",
        ] {
            let mut rules = rules.iter();
            let rule = rules.find(|it| it["ErrorEquals"].to_string().contains(error));
            let rule = rule.unwrap_or_else(|| panic!("{name} does not retry {error}"));
            let number = |member: &str| rule[member].as_f64().expect("a number");
            let (mut pause, mut all) = (number("IntervalSeconds"), 0.0);
            for _ in 0..rule["MaxAttempts"].as_u64().expect("a number") {
                // The jitter takes half of a pause away on average.
                all += pause.min(number("MaxDelaySeconds")) / 2.0;
                pause *= number("BackoffRate");
            }
            assert!(
                all >= 3_600.0,
                "{name} is given up after {all} s of {error}"
            );
        }
    }
}

/// Every state that may follow a state.
fn followers(state: &Value) -> Vec<String> {
    let rules = ["Choices", "Catch"].map(|kind| state[kind].as_array().cloned());
    let ways = rules.into_iter().flatten().flatten();
    ways.map(|rule| rule["Next"].clone())
        .chain([state["Next"].clone(), state["Default"].clone()])
        .filter_map(|next| next.as_str().map(str::to_owned))
        .collect()
}

/// The longest time that a state may take by itself, in seconds: every try up to its time-out, every pause at its
/// longest.
fn longest_stay(name: &str, state: &Value) -> u64 {
    let number = |value: &Value| {
        let number = value.as_u64();
        number.unwrap_or_else(|| panic!("{name} sets no limit where it must"))
    };
    match state["Type"].as_str() {
        Some("Task") => {
            let timeout = number(&state["TimeoutSeconds"]);
            let retries = state["Retry"].as_array().into_iter().flatten();
            // A message that could not be sent is known at once: nobody has waited for its token.
            let token = state["Resource"]
                .as_str()
                .is_some_and(|it| it.ends_with(".waitForTaskToken"));
            let try_takes = if token { 60 } else { timeout };
            let again = |rule: &Value| {
                number(&rule["MaxAttempts"]) * (try_takes + number(&rule["MaxDelaySeconds"]))
            };
            timeout + retries.map(again).sum::<u64>()
        }
        Some("Wait") => {
            let row = WAITS.iter().find(|(of, ..)| *of == name);
            let (_, seconds, longest) = row.unwrap_or_else(|| panic!("no row for {name}"));
            assert_eq!(state["Seconds"], *seconds, "{name}");
            *longest
        }
        _ => 0,
    }
}

/// A state that waits for time, for how long, and how long that is at most in seconds.
const WAITS: &[(&str, &str, u64)] = &[
    (
        "CallbackPause",
        "{% $retryAfterSeconds %}",
        webhook::LONGEST_PAUSE as u64,
    ),
    ("Retention", "{% $plan.archiveAfterSeconds %}", 90 * 86_400),
];

/// How often a state on a road that leads back to itself is come to at most. A gate is held for its time in all.
const VISITS: &[(&str, u64)] = &[
    ("BeforeLaunch", 16),
    ("Callback", webhook::LAST_TRY as u64 + 1),
    ("CallbackPause", webhook::LAST_TRY as u64),
    ("FinalizeCutover", 16),
    ("LaunchCutover", 16),
    ("Rollback", 2),
    ("Soak", soak::MAX_ROUNDS as u64),
    ("VerifySoak", soak::MAX_ROUNDS as u64),
];

/// The longest time from entering a state to the end of the execution, in seconds.
fn longest_road(
    from: &str,
    states: &BTreeMap<String, Value>,
    known: &mut BTreeMap<String, u64>,
) -> u64 {
    if let Some(seconds) = known.get(from) {
        return *seconds;
    }
    // Whoever comes back here while it is worked out goes round: VISITS counts that.
    known.insert(from.to_owned(), 0);
    let state = &states[from];
    let onward = followers(state);
    let rest = onward.iter().map(|next| longest_road(next, states, known));
    let rest = rest.max().unwrap_or(0);
    let visits = VISITS.iter().find(|(of, _)| *of == from);
    let seconds = longest_stay(from, state) * visits.map_or(1, |(_, visits)| *visits) + rest;
    known.insert(from.to_owned(), seconds);
    seconds
}

#[test]
fn no_valid_migration_outlives_its_execution() {
    // An execution that meets its own limit ends without rollback and callback.
    let limit = workflow::definition()["TimeoutSeconds"]
        .as_u64()
        .expect("TimeoutSeconds");
    let states: BTreeMap<_, _> = states().into_iter().collect();
    let round = u64::from(soak::round_seconds(MAX_SOAK_SECONDS));
    // What waits itself ends in its own time, with an hour or more to spare, and a pause on top.
    let (hour, pause) = (3_600, PAUSE_DAYS * 24 * 3_600);
    for (state, own) in [
        ("AwaitAgent", 2 * hour),
        ("AwaitReplication", (14 * 24 - 1) * hour),
        ("LaunchTest", (12 + 3) * hour),
        ("Soak", round),
    ] {
        let patience = states[state]["TimeoutSeconds"].as_u64();
        assert!(
            patience.is_some_and(|seconds| seconds >= own + hour + pause),
            "{state} gives {patience:?} s"
        );
    }
    let longest = longest_road("ClaimMigration", &states, &mut BTreeMap::new());
    assert!(longest <= limit, "{longest} s of road, {limit} s of time");
    let year = 365 * 24 * 3_600;
    assert!(limit <= year, "Step Functions ends executions after a year");
}

#[test]
fn the_rollback_is_told_what_it_asks_for() {
    let definition = workflow::definition();
    let payload = |state: &str| definition["States"][state]["Arguments"]["Payload"].to_string();
    // Since when launches have been in its way, which nothing has written yet.
    assert!(payload("Rollback").contains("'since': $states.context.State.EnteredTime"));
    assert!(!payload("Rollback").contains("'action'"));
    let freeze = payload("Freeze");
    for member in [
        "'action': 'freeze'",
        "'failure': $failure",
        "'caught': $rollbackFailure",
    ] {
        assert!(freeze.contains(member), "{freeze}");
    }
}

#[test]
fn the_alarm_for_frozen_migrations_watches_what_the_rollback_emits() {
    let alarms = text("terraform/alarms.tf");
    let (_, alarm) = alarms
        .split_once("resource \"aws_cloudwatch_metric_alarm\" \"frozen\"")
        .expect("the alarm");
    let setting = |name: &str| {
        let line = alarm.lines().find(|line| line.trim().starts_with(name));
        let line = line.unwrap_or_else(|| panic!("the alarm has no {name}"));
        line.split_once('=').expect("a setting").1.trim().to_owned()
    };
    assert_eq!(setting("namespace"), "\"Landfall\"");
    assert_eq!(setting("metric_name"), "\"FrozenMigrations\"");
    assert_eq!(setting("dimensions"), "{ Function = \"rollback\" }");
    let code = text("functions/rollback/src/freeze.rs");
    assert!(code.contains("\"FrozenMigrations\"") && code.contains("metric(\"rollback\""));
}

#[test]
fn every_token_of_the_workflow_is_known() {
    let functions = folders("functions");
    for token in workflow::tokens(&text(workflow::DEFINITION)) {
        assert!(
            functions.contains(&token) || OTHER_TOKENS.contains(&token.as_str()),
            "${{{token}}} is no folder of functions/ and none of {OTHER_TOKENS:?}"
        );
    }
}

#[test]
fn a_function_has_one_name_everywhere() {
    let functions = folders("functions");
    assert!(!functions.is_empty());

    // The keys of `functions = {…}` in locals.tf are the lines indented by four blanks that open a block.
    let locals = text("terraform/locals.tf");
    let (_, map) = locals
        .split_once("\n  functions = {\n")
        .expect("the map of functions");
    let (map, _) = map
        .split_once("\n  }\n")
        .expect("the end of the map of functions");
    let keys: BTreeSet<_> = map
        .lines()
        .filter_map(|line| line.strip_prefix("    "))
        .filter(|line| !line.starts_with([' ', '#', '}']))
        .filter_map(|line| line.strip_suffix(" = {"))
        .map(str::to_owned)
        .collect();
    assert_eq!(keys, functions, "terraform/locals.tf and functions/");

    for function in &functions {
        let manifest = text(&format!("functions/{function}/Cargo.toml"));
        assert!(
            manifest
                .lines()
                .any(|line| line == format!("name = \"{function}\"")),
            "the crate in functions/{function} has another name"
        );
        assert!(
            root()
                .join(format!("functions/{function}/src/main.rs"))
                .is_file(),
            "{function}"
        );
    }

    let events: BTreeSet<_> = std::fs::read_dir(root().join("tests/events"))
        .expect("tests/events")
        .filter_map(|entry| entry.expect("an entry").file_name().into_string().ok())
        .filter_map(|name| name.strip_suffix(".json").map(str::to_owned))
        .collect();
    assert_eq!(events, functions, "tests/events and functions/");
}
