//! Migrations into another account and Region.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

use std::time::Duration;

use landfall_domain::{MigrationRecord, Status};
use landfall_e2e::account::{self, EXTERNAL_ID, OTHER};
use landfall_e2e::source::{Source, seed};
use landfall_e2e::{Migration, Stack, unique};
use serde_json::{Value, json};

/// How long a migration may take whose events come from nowhere but a test's clock.
const DEADLINE: Duration = Duration::from_mins(4);

/// The calls of a place that are about one of these things.
async fn about(stack: &Stack, place: landfall_e2e::Place<'_>, things: &[String]) -> Vec<Value> {
    let mut calls = stack.calls_in(place).await;
    calls.retain(|call| {
        let named = call["resources"].as_array().expect("a list of resources");
        named
            .iter()
            .any(|it| things.iter().any(|thing| it == thing))
    });
    calls
}

fn operations(calls: &[Value]) -> Vec<&str> {
    let names = calls.iter().filter_map(|call| call["operation"].as_str());
    names.collect()
}

#[tokio::test]
async fn a_server_moves_into_another_account_and_nothing_of_it_is_at_home() {
    let (stack, run) = (Stack::load().await, unique());
    account::let_in(&stack).await;
    let source = account::moved(Source::new(&stack, &run, "abroad"), EXTERNAL_ID);
    stack.seed(&account::seed([&source])).await;
    stack.submit(&[source.message()]).await;
    let sweeps = account::wake(&stack);
    let migration = Migration::new(&stack, source.id());
    let record = migration.ended_within(DEADLINE).await;
    sweeps.abort();
    assert_eq!(
        (record.status, record.failure.clone()),
        (Status::Succeeded, None)
    );

    // Its target runs there, and nobody has heard of it at home.
    let done = &record.done;
    let launches = [&done.test, &done.cutover].map(|launch| launch.clone().expect("a launch"));
    let instances = launches.map(|launch| launch.instance_id.expect("an instance"));
    let target = &instances[1];
    let state = stack.instance_state_at(OTHER, target).await;
    assert_eq!(state.as_deref(), Some("running"));
    assert_eq!(stack.instance_state(target).await, None);

    // Every call that names something of it was made there.
    let node = source.machine["ssmInstanceId"].as_str().expect("a node");
    let server = record.source_server_id.clone().expect("a source server");
    let mut things = vec![server, node.to_owned(), account::SUBNET.to_owned()];
    things.extend(instances);
    let there = about(&stack, OTHER, &things).await;
    for operation in [
        "SendCommand",
        "UpdateLaunchConfiguration",
        "CreateLaunchTemplateVersion",
        "StartTest",
        "StartCutover",
        "DescribeInstances",
        "FinalizeCutover",
    ] {
        let made = operations(&there);
        assert!(made.contains(&operation), "no {operation} in {made:?}");
    }
    let all = stack.simulator("calls").await;
    let elsewhere: Vec<_> = all
        .as_array()
        .expect("a list of calls")
        .iter()
        .filter(|call| call["account"] != OTHER.account || call["region"] != OTHER.region)
        .filter(|call| {
            let named = call["resources"].as_array().expect("a list of resources");
            named
                .iter()
                .any(|it| things.iter().any(|thing| it == thing))
        })
        .collect();
    assert!(elsewhere.is_empty(), "{elsewhere:?}");
    // Those that name nothing, too: every read of the pre-flight.
    for (service, operation) in [
        ("mgn", "DescribeReplicationConfigurationTemplates"),
        ("servicequotas", "ListServiceQuotas"),
        ("ec2", "GetEbsEncryptionByDefault"),
        ("iam", "SimulatePrincipalPolicy"),
    ] {
        let path = format!(
            "calls?service={service}&operation={operation}&account={}",
            OTHER.account
        );
        let made = stack.simulator(&path).await;
        assert_ne!(made, json!([]), "{service} {operation}");
    }
}

/// Runs a request to its end, which the pre-flight brings, and sees that MGN was not asked for anything of it.
async fn refused(stack: &Stack, source: &Source) -> MigrationRecord {
    stack.submit(&[source.message()]).await;
    let migration = Migration::new(stack, source.id());
    let record = migration.ended().await;
    assert_eq!(record.status, Status::Failed);
    assert_eq!(record.done, landfall_domain::record::Done::default());
    assert_eq!(record.source_server_id, None);
    let node = source.machine["ssmInstanceId"].as_str().expect("a node");
    let commands = stack.simulator("calls?operation=SendCommand").await;
    let to_it = commands.as_array().expect("a list of calls").iter();
    let to_it = to_it.filter(|call| call["resources"].to_string().contains(node));
    assert_eq!(to_it.count(), 0, "a command was sent");
    record
}

/// The one finding of a refusal; Cloud Migration Factory, which has no plan of it, only warns.
fn finding(record: &MigrationRecord) -> (&str, &str) {
    let failure = record.failure.as_ref().expect("a failure");
    let blocking: Vec<_> = failure
        .findings
        .iter()
        .filter(|f| f.is_blocking())
        .collect();
    let [finding] = blocking.as_slice() else {
        panic!("{:?}", failure.findings);
    };
    (finding.code.as_str(), finding.pointer.as_str())
}

#[tokio::test]
async fn another_external_id_opens_nothing() {
    let (stack, run) = (Stack::load().await, unique());
    account::let_in(&stack).await;
    let source = account::moved(Source::new(&stack, &run, "wrongid"), "another-external-id");
    stack.seed(&account::seed([&source])).await;
    let record = refused(&stack, &source).await;
    let expected = ("TARGET_ROLE_NOT_ASSUMABLE", "/account/roleArn");
    assert_eq!(finding(&record), expected);
}

#[tokio::test]
async fn a_role_of_a_third_account_is_not_taken() {
    let (stack, run) = (Stack::load().await, unique());
    account::let_in(&stack).await;
    let mut block = account::block(EXTERNAL_ID);
    block["id"] = "333333333333".into();
    let source = Source::new(&stack, &run, "wrongaccount").request("account", block);
    stack.seed(&seed([&source])).await;
    let record = refused(&stack, &source).await;
    let expected = ("TARGET_ROLE_WRONG_ACCOUNT", "/account/roleArn");
    assert_eq!(finding(&record), expected);
    let foreign = stack.simulator("calls?account=333333333333").await;
    assert_eq!(foreign, json!([]), "nothing is asked there");
}
