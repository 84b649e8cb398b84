//! What decides before and after a launch, on the running stack: each kind of health check, the comparison with the
//! source, and whether the test still covers the cutover.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test stops at the first surprise"
)]

#[path = "../../../shared/common/tests/support/receiver.rs"]
mod receiver;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use landfall_domain::{EventType, MigrationRecord, Status};
use landfall_e2e::people::Person;
use landfall_e2e::poll::DEADLINE;
use landfall_e2e::source::{Source, seed};
use landfall_e2e::{Migration, Stack, poll, raw, unique};
use receiver::Receiver;
use serde_json::{Value, json};

/// A server that replicates already, and its request with these checks.
fn source(stack: &Stack, run: &str, name: &str, checks: Value) -> Source {
    Source::new(stack, run, name)
        .machine("agentInstalled", true)
        .machine("replicated", true)
        .request("healthChecks", checks)
}

/// The address of the application on the target.
fn target(stack: &Stack) -> String {
    format!("{}/targets/{{instanceId}}/health", stack.info.simulator_url)
}

async fn submitted(stack: &Stack, source: &Source) -> Migration {
    stack.seed(&seed([source])).await;
    stack.submit(&[source.message()]).await;
    Migration::new(stack, source.id())
}

/// The evidence of the only such event.
async fn evidence(migration: &Migration, event: EventType) -> Value {
    let history = migration.history().await;
    let mut of = history.iter().filter(|entry| entry.event_type == event);
    let entry = of.next().unwrap_or_else(|| panic!("no {event}"));
    assert!(of.next().is_none(), "{event} more than once");
    entry.detail.evidence.clone().unwrap_or_default()
}

fn assert_failed(record: &MigrationRecord, error: &str, state: &str) {
    assert_eq!(record.status, Status::RolledBack, "{:?}", record.failure);
    let failure = record.failure.as_ref().expect("a failure");
    let named = (failure.error.as_str(), failure.state.as_str());
    assert_eq!(named, (error, state), "{failure:?}");
}

#[tokio::test]
async fn every_kind_of_check_passes_and_the_target_answers_as_the_source_did() {
    let (stack, run) = (Stack::load().await, unique());
    let host = format!("healthy-{run}");
    let vm = format!("vm-e2e-{run}-healthy");
    let on_source = format!("{}/sources/{vm}/health", stack.info.simulator_url);
    let checks = json!([
        {
            "kind": "http", "url": target(&stack), "expectedStatus": [200, 204], "bodyPattern": "\"status\":\\s*\"ok\"",
            "expectedHeaders": {"X-Application": host}, "source": {"url": on_source}, "maxLatencyRatio": 500,
            "attempts": 20,
        },
        {"kind": "dns", "name": "localhost", "expected": ["127.0.0.1"]},
        {"kind": "ssm", "commands": ["echo on {instanceId}", "exit 3"], "expectedExitCode": 3, "attempts": 20},
        {"kind": "tcp", "host": "localhost", "port": 1, "phases": ["cutover"], "attempts": 20},
    ]);
    let port = stack.info.simulator_url.rsplit(':').next().unwrap();
    let mut source = source(&stack, &run, "healthy", checks);
    source.request["healthChecks"][3]["port"] = port.parse::<u16>().unwrap().into();
    let migration = submitted(&stack, &source).await;
    let record = migration.ended().await;
    assert_eq!((record.status, &record.failure), (Status::Succeeded, &None));

    let tested = evidence(&migration, EventType::TestVerified).await;
    let seen = |told: &Value, check: usize| {
        let tries = told["checks"][check]["tries"].as_array().cloned();
        let last = tries.unwrap_or_default().pop().unwrap_or_default();
        last["seen"].as_str().unwrap_or_default().to_owned()
    };
    assert!(seen(&tested, 0).starts_with("answered 200 in "), "{tested}");
    assert!(seen(&tested, 1).contains("127.0.0.1"), "{tested}");
    let test = record
        .done
        .test
        .and_then(|it| it.instance_id)
        .expect("a test instance");
    let printed = format!("ended with exit code 3: on {test}");
    assert_eq!(seen(&tested, 2), printed, "{tested}");
    assert_eq!(seen(&tested, 3), "", "it is for the cutover: {tested}");
    let passed = evidence(&migration, EventType::HealthCheckPassed).await;
    assert_eq!(seen(&passed, 3), "accepted the connection", "{passed}");

    let cleared = evidence(&migration, EventType::CutoverCleared).await;
    assert_eq!(cleared["source"][0]["answer"]["status"], 200, "{cleared}");
    assert!(cleared.get("findings").is_none(), "{cleared}");
    assert!(cleared.get("override").is_none(), "{cleared}");
}

#[tokio::test]
async fn every_kind_of_check_fails_and_says_what_it_saw() {
    let (stack, run) = (Stack::load().await, unique());
    let url = target(&stack);
    let checks = json!([
        {"kind": "http", "url": url, "expectedHeaders": {"X-Application": "another"}, "attempts": 20},
        {"kind": "http", "url": url, "expectedBody": "all is well", "attempts": 20},
        {"kind": "dns", "name": "localhost", "expected": ["10.1.2.3"], "attempts": 20},
        {"kind": "ssm", "commands": ["echo no space", "exit 3"], "attempts": 20},
        {"kind": "tcp", "host": "127.0.0.1", "port": 1, "attempts": 20},
    ]);
    let source =
        source(&stack, &run, "ill", checks).request("steps", json!(["replicate", "validate"]));
    let migration = submitted(&stack, &source).await;
    let record = migration.ended().await;
    assert_failed(&record, "VerificationError", "VerifyTest");
    let findings = record.failure.expect("a failure").findings;
    let said: Vec<_> = findings.iter().map(|it| it.message.as_str()).collect();
    for (check, part) in [
        (0, "answered 200 with X-Application: \"ill-"),
        (1, "answered 200 without the expected text"),
        (2, "localhost resolves to "),
        (3, "ended with exit code 3: no space"),
        (4, "refused"),
    ] {
        assert!(said[check].contains(part), "{part}: {said:?}");
        assert_eq!(findings[check].pointer, format!("/healthChecks/{check}"));
    }
    let failed = evidence(&migration, EventType::HealthCheckFailed).await;
    let tries = failed["checks"][0]["tries"].as_array().expect("tries");
    assert_eq!(tries.len(), 5, "the last ones: {failed}");
    assert_eq!(failed["checks"][0]["failed"], 20, "{failed}");
}

#[tokio::test]
async fn a_target_that_answers_otherwise_than_the_source_is_taken_back() {
    let (stack, run) = (Stack::load().await, unique());
    let vm = format!("vm-e2e-{run}-otherwise");
    let on_source =
        |vm: &str| json!({"url": format!("{}/sources/{vm}/health", stack.info.simulator_url)});
    // By itself the check takes either status; a source that is not there has nothing to compare with.
    let check = |source: Value| json!({"kind": "http", "url": target(&stack), "expectedStatus": [200, 503], "source": source, "attempts": 3});
    let checks = json!([check(on_source(&vm)), check(on_source("vm-nobody"))]);
    let source = source(&stack, &run, "otherwise", checks).machine("healthy", false);
    let migration = submitted(&stack, &source).await;
    let record = migration.ended().await;
    assert_failed(&record, "VerificationError", "VerifyCutover");
    let findings = record.failure.expect("a failure").findings;
    assert_eq!(findings.len(), 1, "{findings:?}");
    let said = "answered 503, and the source answered 200 before the cutover";
    assert!(findings[0].message.contains(said), "{findings:?}");
    let cleared = evidence(&migration, EventType::CutoverCleared).await;
    let warning = &cleared["findings"][0];
    assert_eq!(warning["code"], "SOURCE_CHECK_FAILED", "{cleared}");
    assert_eq!(warning["pointer"], "/healthChecks/1/source");
}

/// Changes the default version of a server's launch template, as somebody would in the console.
async fn change_by_hand(migration: &Migration) {
    let stack = &migration.stack;
    let template = migration.server().await["template_id"].clone();
    let template = template.as_str().expect("a launch template").to_owned();
    let ask = |action: &'static str, more: Vec<(&'static str, String)>| {
        let mut members = vec![
            ("Action", action.to_owned()),
            ("LaunchTemplateId", template.clone()),
        ];
        members.extend(more);
        async move {
            let members: Vec<_> = members
                .iter()
                .map(|(name, value)| (*name, value.as_str()))
                .collect();
            raw::ec2(stack, stack.home(), &members).await
        }
    };
    let number = |text: &str, name: &str| {
        let (_, rest) = text
            .split_once(&format!("<{name}>"))
            .unwrap_or_else(|| panic!("{text}"));
        rest.split_once('<').expect("an element").0.to_owned()
    };
    let present = ask("DescribeLaunchTemplates", Vec::new()).await;
    let (_, present) = present
        .split_once(&template)
        .unwrap_or_else(|| panic!("{present}"));
    let present = number(present, "defaultVersionNumber");
    let made = ask(
        "CreateLaunchTemplateVersion",
        vec![
            ("SourceVersion", present),
            ("LaunchTemplateData.InstanceType", "m5.large".to_owned()),
        ],
    )
    .await;
    let made = number(&made, "versionNumber");
    ask("ModifyLaunchTemplate", vec![("SetDefaultVersion", made)]).await;
}

#[tokio::test]
async fn a_template_that_somebody_changes_between_test_and_cutover_refuses_the_cutover() {
    let (stack, run) = (Stack::load().await, unique());
    // The test is not verified before the template is changed.
    let changed = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&changed);
    let application = Receiver::answering(move |_, _| {
        let status = if seen.load(Ordering::SeqCst) {
            200
        } else {
            503
        };
        (status, String::new())
    });
    let checks = json!([{"kind": "http", "url": application.url, "attempts": 20}]);
    let source = source(&stack, &run, "changed", checks);
    let migration = submitted(&stack, &source).await;
    poll(
        "the first check of the test instance",
        async || match application.requests().len() {
            0 => Err("not asked yet".to_owned()),
            _ => Ok(()),
        },
    )
    .await;
    change_by_hand(&migration).await;
    changed.store(true, Ordering::SeqCst);

    let record = migration.ended().await;
    assert_failed(&record, "CutoverError", "BeforeCutover");
    let failure = record.failure.expect("a failure");
    let finding = failure.findings.first().expect("a finding");
    assert_eq!(finding.code, "LAUNCH_SETTINGS_CHANGED_SINCE_TEST");
    let said = "instanceType is \"m5.large\" and should be \"t3.small\"";
    assert!(finding.message.contains(said), "{finding:?}");
    let refused = evidence(&migration, EventType::CutoverRefused).await;
    assert_eq!(refused["findings"][0]["code"], finding.code.as_str());
    let events = migration.events().await;
    assert!(
        !events.contains(&EventType::CutoverLaunchStarted),
        "{events:?}"
    );
    assert_eq!(record.done.cutover, None);
}

#[tokio::test]
async fn a_template_that_somebody_changes_while_people_are_asked_refuses_the_cutover() {
    let (stack, run) = (Stack::load().await, unique());
    let ann = Person::new(&stack, &run, "ann").await;
    let rules = json!([{"gate": "cutover", "approvers": [&ann.arn]}]);
    let source = Source::new(&stack, &run, "asked").request("policy", json!({"approvals": rules}));
    let migration = submitted(&stack, &source).await;
    let asked = |it: &MigrationRecord| it.status == Status::AwaitingApproval;
    migration.until(DEADLINE, "asks", asked).await;
    change_by_hand(&migration).await;
    let (status, said) = ann.answer(&stack, source.id(), "cutover", "approve").await;
    assert_eq!(status, 200, "{said}");
    let record = migration.ended().await;
    assert_failed(&record, "CutoverError", "BeforeLaunch");
    let failure = record.failure.as_ref().expect("a failure");
    let code = failure.findings.first().map(|it| it.code.as_str());
    assert_eq!(code, Some("LAUNCH_SETTINGS_CHANGED_SINCE_TEST"));
    let server = record.source_server_id.expect("a server");
    assert_eq!(stack.calls("StartCutover", &server).await, 0);
}

#[tokio::test]
async fn an_untested_cutover_that_is_allowed_is_in_the_history_with_its_reason() {
    let (stack, run) = (Stack::load().await, unique());
    let checks = json!([{"kind": "http", "url": target(&stack), "attempts": 20}]);
    let refused =
        source(&stack, &run, "untested", checks).request("steps", json!(["replicate", "switch"]));
    let migration = submitted(&stack, &refused).await;
    let record = migration.ended().await;
    let codes: Vec<_> = record
        .failure
        .iter()
        .flat_map(|it| &it.findings)
        .map(|it| it.code.as_str())
        .collect();
    assert!(codes.contains(&"TEST_MISSING"), "{codes:?}");
    migration.states("FAILED").await;

    let reason = "the site closes tonight";
    let allowed = refused.request(
        "policy",
        json!({"allowUntestedCutover": true, "untestedCutoverReason": reason}),
    );
    stack.submit(&[allowed.message()]).await;
    let record = poll(
        &format!("the end of attempt 2 of {}", migration.key),
        async || match migration.record().await {
            Some(record) if record.attempt == 2 && record.status.is_end() => Ok(record),
            other => Err(format!("{:?}", other.map(|it| (it.attempt, it.status)))),
        },
    )
    .await;
    assert_eq!((record.status, &record.failure), (Status::Succeeded, &None));
    let cleared = evidence(&migration, EventType::CutoverCleared).await;
    assert_eq!(
        cleared["override"]["gates"],
        json!(["TEST_MISSING"]),
        "{cleared}"
    );
    assert_eq!(cleared["override"]["reason"], reason);
    let warned = evidence(&migration, EventType::ValidationPassed).await;
    assert!(warned.to_string().contains(reason), "{warned}");
}
