//! `landfall validate` against the running stack: the real command line, the real function, and nothing left behind.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

use std::path::PathBuf;
use std::process::Command;

use landfall_domain::{Finding, Status};
use landfall_e2e::source::{Source, seed};
use landfall_e2e::{Migration, Stack, root, unique, workflow};
use serde_json::{Value, json};

/// A subnet that nobody has.
const NO_SUBNET: &str = "subnet-0fffffffffffffff0";
/// A security group that nobody has.
const NO_GROUP: &str = "sg-0fffffffffffffff0";

/// The binary that `make build` has built beside this test's.
fn landfall() -> PathBuf {
    let this = std::env::current_exe().expect("this test's own path");
    let path = this
        .ancestors()
        .nth(2)
        .expect("the folder of the build")
        .join("landfall");
    assert!(
        path.is_file(),
        "{} is not built yet: make build",
        path.display()
    );
    path
}

/// A run: the exit code, and what it printed.
async fn validate(arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(landfall());
    command
        .arg("validate")
        .arg("--root")
        .arg(root())
        .args(arguments);
    // It shall find the stack of the checkout, whatever else this shell is set up for.
    for name in [
        "AWS_ENDPOINT_URL",
        "LANDFALL_TABLE",
        "LANDFALL_REQUEST_QUEUE_URL",
        "LANDFALL_VALIDATE_FUNCTION",
    ] {
        command.env_remove(name);
    }
    let output = tokio::task::spawn_blocking(move || command.output())
        .await
        .expect("a thread")
        .expect("landfall");
    let error = String::from_utf8_lossy(&output.stderr);
    println!("landfall validate says: {error}");
    let text = String::from_utf8(output.stdout).expect("text");
    (output.status.code(), text)
}

/// A file with a request in it, for as long as the test runs.
struct File(PathBuf);

impl File {
    fn of(source: &Source) -> Self {
        let path = std::env::temp_dir().join(format!("{}.json", source.id()));
        std::fs::write(&path, source.request.to_string()).expect("a file");
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("a readable path")
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// The one report of a run with `--json`.
fn report(text: &str) -> Value {
    let reports: Vec<Value> =
        serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let [report] = <[Value; 1]>::try_from(reports).expect("one report");
    report
}

/// Nothing of a migration is in the table, refused messages included, and no execution was started for it.
async fn assert_nothing_began(stack: &Stack, id: &str) {
    let migration = Migration::new(stack, id);
    assert_eq!(migration.record().await, None, "{id} has a record");
    assert_eq!(migration.history().await.len(), 0, "{id} has a history");
    let refused = stack.store.rejections(&migration.key).await;
    assert_eq!(refused.expect("rejections").len(), 0, "{id} was refused");
    let executions = workflow::executions_of(stack, id).await;
    assert_eq!(executions, Vec::<String>::new(), "{id} was started");
}

#[tokio::test]
async fn a_good_request_is_ready_and_submits_nothing() {
    let (stack, run) = (Stack::load().await, unique());
    let source = Source::new(&stack, &run, "ready");
    stack.seed(&seed([&source])).await;
    let file = File::of(&source);

    let (code, text) = validate(&[file.path()]).await;
    assert_eq!(code, Some(0), "{text}");
    assert!(text.starts_with(source.id()), "{text}");
    assert!(text.contains("  ready"), "{text}");

    let (code, text) = validate(&["--json", "--diff", file.path()]).await;
    let report = report(&text);
    assert_eq!((code, &report["verdict"]), (Some(0), &json!("ready")));
    assert_eq!(report["migrationId"], source.id());
    assert_eq!(report["error"], Value::Null);
    assert_eq!(report["plan"]["switch"], true);
    // MGN hears of the server when its agent is installed.
    assert_eq!(report["sourceServerId"], Value::Null);
    assert_eq!(report.get("differences"), Some(&Value::Null));
    assert_nothing_began(&stack, source.id()).await;
}

#[tokio::test]
async fn a_faulty_request_is_told_what_its_migration_would_be_told() {
    let (stack, run) = (Stack::load().await, unique());
    let source = Source::new(&stack, &run, "faulty")
        .request("subnetId", NO_SUBNET)
        .request("securityGroupIds", json!([NO_GROUP]))
        .request("instanceType", "t3.gigantic");
    stack.seed(&seed([&source])).await;
    let file = File::of(&source);

    let (code, table) = validate(&[file.path()]).await;
    assert_eq!(code, Some(1), "{table}");
    let (code, text) = validate(&["--json", file.path()]).await;
    let report = report(&text);
    assert_eq!((code, &report["verdict"]), (Some(1), &json!("blocked")));
    let told: Vec<Finding> = serde_json::from_value(report["findings"].clone()).expect("findings");
    let codes: Vec<_> = told.iter().map(|finding| finding.code.as_str()).collect();
    for code in [
        "SUBNET_NOT_FOUND",
        "SECURITY_GROUP_NOT_FOUND",
        "INSTANCE_TYPE_UNKNOWN",
    ] {
        assert!(codes.contains(&code), "{code} is missing in {codes:?}");
    }
    for finding in &told {
        for part in [
            &finding.code,
            &finding.pointer,
            &finding.message,
            &finding.remedy,
        ] {
            assert!(
                table.contains(part.as_str()),
                "{part} is missing in {table}"
            );
        }
    }
    assert_nothing_began(&stack, source.id()).await;

    stack.submit(&[source.message()]).await;
    let record = Migration::new(&stack, source.id()).ended().await;
    assert_eq!(record.status, Status::Failed);
    assert_eq!(record.failure.expect("a failure").findings, told);
}

#[tokio::test]
async fn the_example_passes_the_schema_and_gets_a_verdict_of_the_deployment() {
    // Its server is in the stack's first seed; other runs may have moved it by now, so that any verdict is right.
    let example = root().join("examples/migration-request.json");
    let example = example.to_str().expect("a readable path");
    let (code, text) = validate(&["--json", example]).await;
    let report = report(&text);
    assert_eq!(report["error"], Value::Null);
    let verdict = match code {
        Some(0) => "ready",
        Some(1) => "blocked",
        other => panic!("exit code {other:?}: {text}"),
    };
    assert_eq!(report["verdict"], verdict);
    assert!(!text.contains("SCHEMA_INVALID"), "{text}");
}
