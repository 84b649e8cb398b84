//! A request with many faults is told all of them at once, before anything is touched.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

use std::collections::BTreeSet;

use landfall_domain::{Finding, Status};
use landfall_e2e::listener::Listener;
use landfall_e2e::source::{Source, seed};
use landfall_e2e::{Migration, Place, Stack, raw, unique, workflow};
use serde_json::{Value, json};

/// A Region of the deployment's own account that no other test uses: whatever is called there is called for this one.
const REGION: &str = "eu-north-1";

/// Faults that have nothing to do with each other, and the fields that they stand in.
const FAULTS: [(&str, &str); 8] = [
    ("IAM_PROFILE_NOT_FOUND", "/instanceProfile"),
    ("INSTANCE_TYPE_UNKNOWN", "/instanceType"),
    ("KMS_KEY_NOT_FOUND", "/kmsKeyId"),
    ("SECURITY_GROUP_NOT_FOUND", "/securityGroupIds/0"),
    ("SERVER_AMBIGUOUS", "/sourceVmId"),
    ("SOURCE_ENDPOINT_FORBIDDEN", "/sourceControl/endpoint"),
    ("SUBNET_NOT_FOUND", "/subnetId"),
    ("TEST_MISSING", "/steps"),
];

/// What EC2 may be asked to see whether anything has changed.
const LISTS: [&str; 7] = [
    "DescribeInstances",
    "DescribeLaunchTemplates",
    "DescribeNetworkInterfaces",
    "DescribeSecurityGroups",
    "DescribeSnapshots",
    "DescribeSubnets",
    "DescribeVolumes",
];

fn place(stack: &Stack) -> Place<'_> {
    Place {
        region: REGION,
        ..stack.home()
    }
}

/// The request with every fault, after the world has been made so that it has them.
async fn faulty(stack: &Stack, run: &str) -> Source {
    let installed = |name: &str| {
        Source::new(stack, run, name)
            .machine("region", REGION)
            .machine("replicated", true)
    };
    let (one, two) = (installed("faulty"), installed("twin"));
    let answer = stack.seed(&seed([&one, &two])).await;
    // Somebody has given the twin the first one's ID.
    let name = &one.machine["sourceVmId"];
    let twin = &answer["servers"][two.machine["sourceVmId"].as_str().expect("a name")];
    let rename = json!({"sourceServerID": twin, "userProvidedID": name});
    raw::mgn(stack, place(stack), "UpdateSourceServer", &rename).await;
    // Their launch templates are made by and by; whoever asks for one waits for that.
    for source in [&one, &two] {
        let server = &answer["servers"][source.machine["sourceVmId"].as_str().expect("a name")];
        let body = json!({"sourceServerID": server});
        raw::mgn(stack, place(stack), "GetLaunchConfiguration", &body).await;
    }

    one.request("account", json!({"id": stack.info.account_id, "region": REGION}))
        // No test of these settings has been made, and none is asked for.
        .request("steps", json!(["freeze", "replicate", "switch"]))
        .request("subnetId", "subnet-0fffffffffffffff0")
        .request("securityGroupIds", json!(["sg-0fffffffffffffff0"]))
        .request("instanceType", "t9.mega")
        .request("instanceProfile", "nobody-has-this-profile")
        .request("kmsKeyId", "alias/nobody-has-this-key")
        .request(
            "sourceControl",
            json!({
                "kind": "azure", "endpoint": "https://azure.example.com", "subscriptionId": "s", "resourceGroup": "g",
                "credentialsSecretId": "landfall/source/none",
            }),
        )
}

/// What EC2 holds in the Region, without the requests' own IDs.
async fn ec2(stack: &Stack) -> Vec<String> {
    let mut all = Vec::new();
    for action in LISTS {
        let text = raw::ec2(stack, place(stack), &[("Action", action)]).await;
        assert!(text.contains(&format!("<{action}Response")), "{text}");
        let (before, rest) = text.split_once("<requestId>").unwrap_or((&text, ""));
        let (_, after) = rest.split_once("</requestId>").unwrap_or(("", rest));
        all.push(format!("{before}{after}"));
    }
    all
}

/// What stops the migration; Cloud Migration Factory, which has no plan of it, only warns.
fn faults(findings: &[Finding]) -> Vec<(&str, &str)> {
    let each: BTreeSet<_> = findings.iter().map(|it| (&it.code, &it.pointer)).collect();
    assert_eq!(
        each.len(),
        findings.len(),
        "one is told twice: {findings:?}"
    );
    let mut faults: Vec<_> = findings
        .iter()
        .filter(|finding| finding.is_blocking())
        .map(|finding| (finding.code.as_str(), finding.pointer.as_str()))
        .collect();
    faults.sort_unstable();
    faults
}

fn parsed(findings: &Value) -> Vec<Finding> {
    serde_json::from_value(findings.clone()).expect("findings")
}

#[tokio::test]
async fn eight_faults_are_told_at_once_and_nothing_is_touched() {
    let (stack, run) = (Stack::load().await, unique());
    let pattern = json!({"source": ["landfall"], "detail-type": ["ValidationFailed"]});
    let events = Listener::start(&stack, &format!("e2e-{run}-faulty"), &pattern).await;
    let source = faulty(&stack, &run).await;
    let (ec2_before, calls_before) = (ec2(&stack).await, stack.calls_in(place(&stack)).await.len());

    stack.submit(&[source.message()]).await;
    let migration = Migration::new(&stack, source.id());
    let record = migration.ended().await;

    // In the record …
    assert_eq!(record.status, Status::Failed);
    let failure = record.failure.clone().expect("a failure");
    assert_eq!(failure.error, "ValidationError");
    assert_eq!(faults(&failure.findings), FAULTS, "{:?}", failure.findings);
    for finding in &failure.findings {
        assert!(!finding.remedy.is_empty(), "{finding:?}");
    }
    // … in one answer of one invocation …
    let arn = record.execution_arn.clone().expect("an execution");
    let states = migration.states("FAILED").await;
    assert!(states.contains(&"ValidateInput".to_owned()), "{states:?}");
    let tasks = workflow::tasks(&stack, &arn, "ValidateInput").await;
    assert_eq!((tasks.scheduled, tasks.failures.len()), (1, 1), "{tasks:?}");
    for (code, _) in FAULTS {
        assert!(tasks.failures[0].contains(code), "{code}");
    }
    // … in the event …
    let correlation_id = record.correlation_id.clone();
    let said = events
        .collect(&stack, std::slice::from_ref(&correlation_id))
        .await;
    let [event] = said[&correlation_id].as_slice() else {
        panic!("{} events", said[&correlation_id].len());
    };
    let event: Value = serde_json::from_str(event.body().expect("a body")).expect("an event");
    let findings = parsed(&event["detail"]["evidence"]["findings"]);
    assert_eq!(faults(&findings), FAULTS);
    events.close(&stack).await;
    // … and in the callback.
    let callback = migration.callback().await;
    let findings = parsed(&callback["body"]["data"]["failure"]["findings"]);
    assert_eq!(faults(&findings), FAULTS);

    // Nothing was changed: what was called only reads, and EC2 is as it was.
    let calls = stack.calls_in(place(&stack)).await.split_off(calls_before);
    let made: BTreeSet<_> = calls
        .iter()
        .map(|call| call["operation"].as_str().expect("an operation"))
        .collect();
    assert!(made.contains("DescribeSubnets") && made.contains("DescribeSourceServers"));
    let changing: Vec<_> = made
        .iter()
        .filter(|operation| {
            let reads = ["Describe", "Get", "List", "Simulate"];
            !reads.iter().any(|verb| operation.starts_with(verb))
        })
        .collect();
    assert!(changing.is_empty(), "{changing:?} of {made:?}");
    assert_eq!(ec2(&stack).await, ec2_before);
    assert_eq!(record.done, landfall_domain::record::Done::default());
}
