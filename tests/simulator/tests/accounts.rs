//! Several accounts and Regions: who is told by the signature, sees and touches only what is there.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests; clippy exempts only the tests themselves"
)]

mod support;

use std::time::{Duration, Instant};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_iam::error::ProvideErrorMetadata;
use aws_sdk_iam::types::{ContextEntry, ContextKeyTypeEnum, PolicyEvaluationDecisionType};
use landfall_simulator::{Config, Simulator};
use serde_json::{Value, json};
use support::{Ministack, OTHER, ROLE, SESSION};

const HOME: &str = "000000000000";
const THERE: &str = "eu-west-1";

/// Clients of whoever has a key, in a Region.
fn sdk(simulator: &Simulator, key: &str, region: &str) -> SdkConfig {
    let credentials = Credentials::new(key, "secret", None, None, "test");
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(region.to_owned()))
        .endpoint_url(simulator.url())
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .build()
}

/// A simulator with a server at home and one in the other account.
async fn start(documents: [Value; 2]) -> (Ministack, Simulator) {
    let ministack = Ministack::start(documents).await;
    let seed = json!({"initializeMgn": true, "servers": [
        {"sourceVmId": "vm-home", "hostname": "home", "replicated": true, "ssmInstanceId": "mi-00000000000000001"},
        {"sourceVmId": "vm-there", "hostname": "there", "replicated": true, "ssmInstanceId": "mi-00000000000000002",
         "account": OTHER, "region": THERE},
    ]});
    let simulator = Simulator::start(Config {
        ministack_url: Some(ministack.url.clone()),
        scale: 6_000.0,
        seed: Some(seed),
        ..Config::default()
    });
    let simulator = simulator.await.unwrap();
    (ministack, simulator)
}

async fn sim(simulator: &Simulator, path: &str) -> Value {
    let url = format!("{}/_sim/{path}", simulator.url());
    reqwest::get(url).await.unwrap().json().await.unwrap()
}

async fn order(simulator: &Simulator, path: &str, body: Value) {
    let url = format!("{}/_sim/{path}", simulator.url());
    let answer = reqwest::Client::new().post(url).json(&body).send().await;
    let answer = answer.unwrap();
    assert!(answer.status().is_success(), "{:?}", answer.text().await);
}

/// The source machines behind the servers that a caller sees, and its only server's ID.
async fn seen(client: &aws_sdk_mgn::Client) -> Vec<(String, String)> {
    let answer = client.describe_source_servers().send().await.unwrap();
    let servers = answer.items().iter().map(|server| {
        let vm = server.user_provided_id().unwrap_or_default().to_owned();
        (vm, server.source_server_id().unwrap_or_default().to_owned())
    });
    servers.collect()
}

async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < end, "{what} did not happen");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_caller_sees_and_touches_only_its_own() {
    let (_ministack, simulator) = start(Default::default()).await;
    let home = aws_sdk_mgn::Client::new(&sdk(&simulator, "test", "us-east-1"));
    let there = aws_sdk_mgn::Client::new(&sdk(&simulator, SESSION, THERE));
    let elsewhere = aws_sdk_mgn::Client::new(&sdk(&simulator, SESSION, "us-east-1"));
    let (at_home, away) = (seen(&home).await, seen(&there).await);
    assert_eq!(at_home.len(), 1);
    assert_eq!(at_home[0].0, "vm-home");
    assert_eq!(away.len(), 1);
    assert_eq!(away[0].0, "vm-there");
    // A 12-digit key is that account.
    let root = aws_sdk_mgn::Client::new(&sdk(&simulator, OTHER, THERE));
    assert_eq!(seen(&root).await, away);

    // Initialising and templates are regional, too.
    let refused = elsewhere.describe_source_servers().send().await;
    let refused = refused.unwrap_err().into_service_error();
    assert!(refused.is_uninitialized_account_exception(), "{refused:?}");

    for (client, foreign) in [(&home, &away[0].1), (&there, &at_home[0].1)] {
        let start = client.start_test().source_server_ids(foreign).send().await;
        let refused = start.unwrap_err().into_service_error();
        assert!(refused.is_conflict_exception(), "{refused:?}");
        let archive = client.mark_as_archived().source_server_id(foreign);
        let refused = archive.send().await.unwrap_err().into_service_error();
        assert!(
            refused.is_resource_not_found_exception(),
            "{refused:?} is not as for one that does not exist"
        );
        let arn = format!("arn:aws:mgn:us-east-1:{HOME}:source-server/{foreign}");
        let tags = client.list_tags_for_resource().resource_arn(arn);
        assert!(tags.send().await.is_err());
    }

    let calls = sim(&simulator, &format!("calls?account={OTHER}&region={THERE}")).await;
    let calls = calls.as_array().unwrap();
    assert!(!calls.is_empty());
    assert!(
        calls
            .iter()
            .all(|call| call["account"] == OTHER && call["region"] == THERE)
    );
    let named = |call: &&Value| call["operation"] == "StartTest";
    let call = calls.iter().find(named).unwrap();
    assert_eq!(call["resources"], json!([at_home[0].1]));
    let state = sim(&simulator, "state").await;
    let elsewhere = state["elsewhere"].as_array().unwrap();
    let other = elsewhere
        .iter()
        .find(|it| it["account"] == OTHER && it["region"] == THERE)
        .unwrap();
    assert!(other["servers"][&away[0].1].is_object());
    assert!(state["servers"][&away[0].1].is_null());
}

#[tokio::test]
async fn an_agent_brings_its_server_to_the_account_that_sent_the_command() {
    let (_ministack, simulator) = start(Default::default()).await;
    order(&simulator, "seed", json!({"servers": [
        {"sourceVmId": "vm-new", "hostname": "new", "ssmInstanceId": "mi-00000000000000003", "account": OTHER, "region": THERE},
    ]}))
    .await;
    let send = async |key: &str, region: &str| {
        let client = aws_sdk_ssm::Client::new(&sdk(&simulator, key, region));
        let call = client
            .send_command()
            .instance_ids("mi-00000000000000003")
            .document_name("AWS-RunShellScript")
            .parameters(
                "commands",
                vec![
                    "./aws-replication-installer-init --no-prompt --user-provided-id vm-new".into(),
                ],
            );
        call.send().await
    };
    let refused = send("test", "us-east-1")
        .await
        .unwrap_err()
        .into_service_error();
    assert!(
        refused.is_invalid_instance_id(),
        "the node is not known at home: {refused:?}"
    );
    send(SESSION, THERE).await.unwrap();
    let there = aws_sdk_mgn::Client::new(&sdk(&simulator, SESSION, THERE));
    eventually("the server's coming", async || {
        let servers = seen(&there).await;
        servers.into_iter().find(|(vm, _)| vm == "vm-new")
    })
    .await;
    let home = aws_sdk_mgn::Client::new(&sdk(&simulator, "test", "us-east-1"));
    assert_eq!(seen(&home).await.len(), 1);
}

#[tokio::test]
async fn instances_and_templates_are_made_where_the_server_is() {
    let (ministack, simulator) = start(Default::default()).await;
    for (key, region) in [("test", "us-east-1"), (SESSION, THERE)] {
        let client = aws_sdk_mgn::Client::new(&sdk(&simulator, key, region));
        let server = seen(&client).await.remove(0).1;
        let start = client.start_test().source_server_ids(&server);
        start.send().await.unwrap();
        eventually("the launch", async || {
            let answer = client.describe_source_servers().send().await.unwrap();
            answer.items()[0].launched_instance().cloned()
        })
        .await;
        let ec2 = aws_sdk_ec2::Client::new(&sdk(&simulator, key, region));
        ec2.describe_instances().send().await.unwrap();
    }
    let both = [("222222222222", THERE), ("test", "us-east-1")];
    let both = both.map(|(key, region)| (key.to_owned(), region.to_owned()));
    for operation in ["CreateLaunchTemplate", "RunInstances", "DescribeInstances"] {
        assert_eq!(ministack.callers(operation), both, "{operation}");
    }
    // An event follows a moment after the launch can be seen.
    eventually("the events", async || {
        (ministack.callers("AWSEvents.PutEvents") == both).then_some(())
    })
    .await;
    assert_eq!(ministack.count("GetAccessKeyInfo"), 1, "asked once a key");
}

#[tokio::test]
async fn quotas_and_encryption_can_differ_from_the_defaults_in_one_place() {
    let (_ministack, simulator) = start(Default::default()).await;
    let there = json!({"account": OTHER, "region": THERE});
    let mut quota = json!({"quotaCode": "L-FE2EBE17", "value": 0});
    let mut ebs =
        json!({"encryptedByDefault": true, "kmsKeyId": "arn:aws:kms:eu-west-1:222222222222:key/k"});
    for place in ["account", "region"] {
        quota[place] = there[place].clone();
        ebs[place] = there[place].clone();
    }
    order(&simulator, "quotas", quota).await;
    order(&simulator, "ebs", ebs).await;

    let value = async |config: &SdkConfig| {
        let client = aws_sdk_servicequotas::Client::new(config);
        let get = client
            .get_service_quota()
            .service_code("mgn")
            .quota_code("L-FE2EBE17");
        let quota = get.send().await.unwrap().quota.unwrap();
        let default = client
            .get_aws_default_service_quota()
            .service_code("mgn")
            .quota_code("L-FE2EBE17");
        let default = default.send().await.unwrap().quota.unwrap();
        (quota.value.unwrap(), default.value.unwrap())
    };
    let encryption = async |config: &SdkConfig| {
        let client = aws_sdk_ec2::Client::new(config);
        let on = client.get_ebs_encryption_by_default().send().await.unwrap();
        let key = client.get_ebs_default_kms_key_id().send().await.unwrap();
        (
            on.ebs_encryption_by_default.unwrap(),
            key.kms_key_id.unwrap(),
        )
    };
    let (home, other) = (
        sdk(&simulator, "test", "us-east-1"),
        sdk(&simulator, SESSION, THERE),
    );
    assert_eq!(value(&home).await, (20.0, 20.0));
    assert_eq!(value(&other).await, (0.0, 20.0));
    assert_eq!(encryption(&home).await, (false, "alias/aws/ebs".to_owned()));
    assert_eq!(
        encryption(&other).await,
        (true, "arn:aws:kms:eu-west-1:222222222222:key/k".to_owned())
    );
    // What is told is also what holds.
    let client = aws_sdk_mgn::Client::new(&other);
    let server = seen(&client).await.remove(0).1;
    let start = client.start_test().source_server_ids(server).send().await;
    assert!(
        start
            .unwrap_err()
            .into_service_error()
            .is_conflict_exception()
    );
}

#[tokio::test]
async fn a_roles_policies_are_simulated() {
    let own = json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "mgn:StartTest", "Resource": "arn:aws:mgn:*:222222222222:source-server/*"},
        {"Effect": "Allow", "Action": "ec2:RunInstances", "Resource": "*", "Condition": {"Bool": {"aws:ViaAWSService": "true"}}},
    ]});
    let attached = json!({"Statement": {"Effect": "Deny", "Action": "mgn:*", "Resource": "arn:aws:mgn:*:*:source-server/s-2"}});
    let (_ministack, simulator) = start([own, attached]).await;
    let iam = aws_sdk_iam::Client::new(&sdk(&simulator, SESSION, "us-east-1"));
    let arn = |account: &str, name: &str| format!("arn:aws:iam::{account}:role/{name}");
    let server = |id: &str| format!("arn:aws:mgn:eu-west-1:{OTHER}:source-server/{id}");
    let ask = || {
        iam.simulate_principal_policy()
            .policy_source_arn(arn(OTHER, ROLE))
            .action_names("mgn:StartTest")
            .resource_arns(server("s-1"))
            .resource_arns(server("s-2"))
    };

    let answer = ask().send().await.unwrap();
    let [result] = answer.evaluation_results() else {
        panic!("{answer:?}")
    };
    assert_eq!(
        (result.eval_action_name(), result.eval_resource_name()),
        ("mgn:StartTest", Some("*"))
    );
    assert_eq!(
        result.eval_decision(),
        &PolicyEvaluationDecisionType::ExplicitDeny
    );
    let decisions: Vec<_> = result
        .resource_specific_results()
        .iter()
        .map(|it| {
            let policies = it.matched_statements().iter();
            let policies: Vec<_> = policies.filter_map(|s| s.source_policy_id()).collect();
            (
                it.eval_resource_name().to_owned(),
                it.eval_resource_decision().as_str(),
                policies.join(" "),
            )
        })
        .collect();
    let wanted = [
        (server("s-1"), "allowed", "own".to_owned()),
        (server("s-2"), "explicitDeny", "attached".to_owned()),
    ];
    assert_eq!(decisions, wanted);

    order(
        &simulator,
        "switches",
        json!({"simulationResults": "resource"}),
    )
    .await;
    let answer = ask().max_items(1).send().await.unwrap();
    assert_eq!(answer.evaluation_results().len(), 1);
    assert!(answer.is_truncated());
    let rest = ask().marker(answer.marker().unwrap()).send().await.unwrap();
    let [last] = rest.evaluation_results() else {
        panic!("{rest:?}")
    };
    assert_eq!(last.eval_resource_name(), Some(server("s-2").as_str()));

    let run = |entries: Option<ContextEntry>| {
        iam.simulate_principal_policy()
            .policy_source_arn(arn(OTHER, ROLE))
            .action_names("ec2:RunInstances")
            .set_context_entries(entries.map(|entry| vec![entry]))
            .send()
    };
    let missing = run(None).await.unwrap();
    let missing = &missing.evaluation_results()[0];
    assert_eq!(missing.eval_decision().as_str(), "implicitDeny");
    assert_eq!(missing.missing_context_values(), ["aws:ViaAWSService"]);
    let through = ContextEntry::builder()
        .context_key_name("aws:ViaAWSService")
        .context_key_type(ContextKeyTypeEnum::Boolean)
        .context_key_values("true")
        .build();
    let allowed = run(Some(through)).await.unwrap();
    let allowed = &allowed.evaluation_results()[0];
    assert_eq!(allowed.eval_decision().as_str(), "allowed");

    // A role that there is not, and one of another account.
    for principal in [arn(OTHER, "nobody"), arn(HOME, ROLE)] {
        let ask = ask().set_policy_source_arn(Some(principal));
        let refused = ask.send().await.unwrap_err().into_service_error();
        assert!(refused.is_no_such_entity_exception(), "{refused:?}");
    }
    let ask = ask().set_policy_source_arn(Some(format!("arn:aws:iam::{OTHER}:user/bob")));
    let refused = ask.send().await.unwrap_err().into_service_error();
    assert_eq!(refused.code(), Some("InvalidInput"));
}
