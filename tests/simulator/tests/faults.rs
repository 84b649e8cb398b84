//! Faults and scenarios as a client meets them, over HTTP and in a simulator whose clock a test moves.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests; clippy exempts only the tests themselves"
)]

use std::path::Path;
use std::time::{Duration, Instant};

use aws_sdk_mgn::config::retry::RetryConfig;
use aws_sdk_mgn::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_mgn::operation::start_test::StartTestError;
use aws_sdk_mgn::types::DataReplicationState;
use jiff::{SignedDuration, Timestamp};
use landfall_simulator::{Config, Simulator, StartError};
use serde_json::{Value, json};

fn machines(count: usize) -> Value {
    let servers: Vec<Value> = (0..count)
        .map(|i| json!({"sourceVmId": format!("vm-{i}"), "hostname": format!("host-{i}"), "replicated": true}))
        .collect();
    json!({"initializeMgn": true, "servers": servers})
}

fn begin() -> Timestamp {
    "2026-11-21T12:00:00Z".parse().unwrap()
}

async fn still(seed: Value) -> Simulator {
    let config = Config {
        seed: Some(seed),
        ..Config::default()
    };
    Simulator::manual(config, begin()).await.unwrap()
}

fn mgn(simulator: &Simulator) -> aws_sdk_mgn::Client {
    let config = aws_sdk_mgn::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .endpoint_url(simulator.url())
        .retry_config(RetryConfig::disabled())
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .build();
    aws_sdk_mgn::Client::from_conf(config)
}

fn ec2(simulator: &Simulator) -> aws_sdk_ec2::Client {
    let config = aws_sdk_ec2::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .endpoint_url(simulator.url())
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .build();
    aws_sdk_ec2::Client::from_conf(config)
}

/// The IDs of the servers, in the order of their machines.
async fn ids(simulator: &Simulator) -> Vec<String> {
    let servers = get(simulator, "state").await["servers"].clone();
    let mut named: Vec<(String, String)> = servers
        .as_object()
        .unwrap()
        .iter()
        .map(|(id, server)| (server["user_provided_id"].to_string(), id.clone()))
        .collect();
    named.sort();
    named.into_iter().map(|(_, id)| id).collect()
}

async fn get(simulator: &Simulator, what: &str) -> Value {
    let url = format!("{}/_sim/{what}", simulator.url());
    reqwest::get(url).await.unwrap().json().await.unwrap()
}

/// The status and body of an order.
async fn post(simulator: &Simulator, what: &str, body: Value) -> (u16, Value) {
    let url = format!("{}/_sim/{what}", simulator.url());
    let request = reqwest::Client::new().post(url).json(&body);
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

async fn fault(simulator: &Simulator, rule: Value) {
    let (status, answer) = post(simulator, "faults", rule).await;
    assert_eq!(status, 200, "{answer}");
}

async fn until(what: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !what().await {
        assert!(Instant::now() < deadline, "it does not come");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_conflict_names_its_servers_to_the_sdk_and_starts_nothing() {
    let simulator = still(machines(3)).await;
    let ids = ids(&simulator).await;
    let rule =
        json!({"operation": "StartTest", "kind": "conflict", "server": "vm-1", "code": "BUSY"});
    fault(&simulator, rule).await;
    let start = || {
        mgn(&simulator)
            .start_test()
            .set_source_server_ids(Some(ids.clone()))
    };
    let error = start().send().await.unwrap_err().into_service_error();
    let StartTestError::ConflictException(conflict) = error else {
        panic!("{error:?}")
    };
    let [about] = conflict.errors() else {
        panic!("{conflict:?}")
    };
    assert_eq!(
        (about.code(), about.resource_id()),
        (Some("BUSY"), Some(ids[1].as_str()))
    );
    assert_eq!(get(&simulator, "state").await["jobs"], json!([]));
    start().send().await.unwrap();
}

#[tokio::test]
async fn a_held_answer_shows_that_its_call_took_effect_and_goes_with_its_caller() {
    let simulator = still(machines(1)).await;
    let ids = ids(&simulator).await;
    let held = async || get(&simulator, "held").await;
    for dies in [true, false] {
        fault(
            &simulator,
            json!({"operation": "StartTest", "kind": "hold"}),
        )
        .await;
        let call = mgn(&simulator)
            .start_test()
            .source_server_ids(&ids[0])
            .send();
        let caller = tokio::spawn(call);
        until(async || held().await != json!([])).await;
        let calls = held().await;
        assert_eq!(
            (&calls[0]["operation"], &calls[0]["sourceServerIDs"]),
            (&json!("StartTest"), &json!(ids))
        );
        assert_eq!(
            get(&simulator, "state").await["jobs"]
                .as_array()
                .unwrap()
                .len(),
            1
        );
        assert!(!caller.is_finished());
        if dies {
            caller.abort();
            until(async || held().await == json!([])).await;
            simulator.advance(SignedDuration::from_hours(1)).await;
            let url = format!("{}/_sim/faults", simulator.url());
            reqwest::Client::new().delete(url).send().await.unwrap();
            // The next round begins anew.
            let job = get(&simulator, "state").await["jobs"][0]["id"].clone();
            mgn(&simulator)
                .delete_job()
                .job_id(job.as_str().unwrap())
                .send()
                .await
                .unwrap();
        } else {
            let (_, answer) = post(&simulator, "release", json!({})).await;
            assert_eq!(answer, json!({"released": 1}));
            caller.await.unwrap().unwrap();
        }
    }
}

#[tokio::test]
async fn events_are_lost_doubled_and_late_by_the_server_they_are_about() {
    let simulator = still(machines(4)).await;
    let ids = ids(&simulator).await;
    let name = "MGN Source Server Launch Result";
    for (server, kind, delay) in [
        ("vm-0", "lose-event", None),
        ("vm-1", "double-event", None),
        ("vm-2", "late-event", Some(1_800)),
    ] {
        let rule = json!({"service": "events", "operation": name, "kind": kind, "server": server, "delaySeconds": delay});
        fault(&simulator, rule).await;
    }
    let start = mgn(&simulator).start_test();
    start
        .set_source_server_ids(Some(ids.clone()))
        .send()
        .await
        .unwrap();
    let counts = async || {
        let events = get(&simulator, "events").await;
        let events = events.as_array().unwrap().clone();
        let about = |id: &String| {
            let told = events.iter().filter(|event| event["detailType"] == name);
            told.filter(|event| event["resource"].as_str().unwrap().ends_with(id.as_str()))
                .count()
        };
        ids.iter().map(about).collect::<Vec<_>>()
    };
    simulator.advance(SignedDuration::from_mins(15)).await;
    assert_eq!(counts().await, [0, 2, 0, 1]);
    simulator.advance(SignedDuration::from_mins(24)).await;
    assert_eq!(counts().await, [0, 2, 0, 1]);
    simulator.advance(SignedDuration::from_mins(1)).await;
    assert_eq!(counts().await, [0, 2, 1, 1]);
}

#[tokio::test]
async fn a_manual_clock_stands_and_what_is_due_happens_at_its_own_time() {
    let simulator = still(machines(1)).await;
    let ids = ids(&simulator).await;
    let client = mgn(&simulator);
    let started = client
        .start_test()
        .source_server_ids(&ids[0])
        .send()
        .await
        .unwrap();
    let job_id = started.job.unwrap().job_id;
    assert_eq!(simulator.now(), begin());
    assert_eq!(
        simulator.next_change(),
        Some(begin() + SignedDuration::from_secs(10))
    );
    simulator.advance(SignedDuration::from_hours(5)).await;
    let jobs = client.describe_jobs().send().await.unwrap();
    let [job] = jobs.items() else {
        panic!("{jobs:?}")
    };
    assert_eq!(job.job_id(), job_id);
    // As long as it takes, however far the clock was moved.
    assert_eq!(job.end_date_time(), Some("2026-11-21T12:09:10+00:00"));
    assert_eq!(simulator.next_change(), None);
}

#[tokio::test]
async fn without_ministack_ec2_knows_the_instances_of_launches() {
    let mut seed = machines(2);
    seed["servers"][1]["neverPassesStatus"] = json!(true);
    let simulator = still(seed).await;
    let ids = ids(&simulator).await;
    let client = ec2(&simulator);
    let unknown = client
        .describe_instances()
        .instance_ids("i-00000000000000000")
        .send()
        .await;
    let error = unknown.unwrap_err().into_service_error();
    assert_eq!(error.meta().code(), Some("InvalidInstanceID.NotFound"));
    for (id, end) in ids.iter().zip(["ok", "initializing"]) {
        mgn(&simulator)
            .start_test()
            .source_server_ids(id)
            .send()
            .await
            .unwrap();
        simulator.advance(SignedDuration::from_secs(460)).await;
        let jobs = mgn(&simulator).describe_jobs().send().await.unwrap();
        let instance = jobs.items()[0].participating_servers()[0].launched_ec2_instance_id();
        let instance = instance.unwrap().to_owned();
        let look = async || {
            let told = client
                .describe_instances()
                .instance_ids(&instance)
                .send()
                .await
                .unwrap();
            let there = told.reservations()[0].instances()[0].clone();
            assert!(there.private_ip_address().is_some());
            let told = client
                .describe_instance_status()
                .instance_ids(&instance)
                .send()
                .await
                .unwrap();
            let checks = &told.instance_statuses()[0];
            let of = |summary: Option<&aws_sdk_ec2::types::InstanceStatusSummary>| {
                summary.unwrap().status().unwrap().clone()
            };
            assert_eq!(of(checks.instance_status()), of(checks.system_status()));
            (
                there.state().unwrap().name().unwrap().to_string(),
                of(checks.instance_status()).to_string(),
            )
        };
        let shown = |state: &str, checks: &str| (state.to_owned(), checks.to_owned());
        assert_eq!(look().await, shown("pending", "initializing"));
        simulator.advance(SignedDuration::from_secs(90)).await;
        assert_eq!(look().await, shown("running", "initializing"));
        simulator.advance(SignedDuration::from_hours(2)).await;
        assert_eq!(look().await, shown("running", end));
    }
}

#[tokio::test]
async fn a_seeded_stall_begins_and_ends_by_itself_and_a_launch_may_hang() {
    let seed = json!({"initializeMgn": true, "servers": [
        {"sourceVmId": "vm-0", "hostname": "a", "agentInstalled": true,
         "stall": {"error": "UNSTABLE_NETWORK", "rawError": "loss", "afterSeconds": 300, "forSeconds": 600}},
        {"sourceVmId": "vm-1", "hostname": "b", "replicated": true, "launchHangs": true},
    ]});
    let simulator = still(seed).await;
    let ids = ids(&simulator).await;
    let client = mgn(&simulator);
    client
        .start_test()
        .source_server_ids(&ids[1])
        .send()
        .await
        .unwrap();
    let look = async || {
        let told = client.describe_source_servers().send().await.unwrap();
        let found = told
            .items()
            .iter()
            .find(|server| server.source_server_id() == Some(&ids[0]));
        let info = found.unwrap().data_replication_info().unwrap();
        let error = info
            .data_replication_error()
            .and_then(|error| error.raw_error());
        (
            info.data_replication_state().unwrap().clone(),
            error.map(str::to_owned),
        )
    };
    for (seconds, state, error) in [
        (299, DataReplicationState::InitialSync, None),
        (301, DataReplicationState::Stalled, Some("loss")),
        (899, DataReplicationState::Stalled, Some("loss")),
        (901, DataReplicationState::InitialSync, None),
        (100_000, DataReplicationState::Continuous, None),
    ] {
        let passed = simulator.now().duration_since(begin());
        simulator
            .advance(SignedDuration::from_secs(seconds) - passed)
            .await;
        assert_eq!(
            look().await,
            (state, error.map(str::to_owned)),
            "at {seconds}"
        );
    }
    assert_eq!(
        get(&simulator, "state").await["jobs"][0]["status"],
        "STARTED"
    );
}

fn document(path: &str) -> Value {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join(path)).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[tokio::test]
async fn the_scenarios_that_come_with_it_are_taken() {
    let simulator = Simulator::manual(Config::default(), begin()).await.unwrap();
    let (status, answer) = post(&simulator, "scenario", document("scenario.example.json")).await;
    assert_eq!(status, 200, "{answer}");
    assert!(answer["servers"]["vm-2002"].is_string(), "{answer}");
    assert_eq!(get(&simulator, "faults").await.as_array().unwrap().len(), 4);
    assert_eq!(
        get(&simulator, "state").await["machines"]["vm-2002"]["healthy"],
        false
    );
    simulator.advance(SignedDuration::from_mins(30)).await;
    assert_eq!(
        get(&simulator, "faults").await.as_array().unwrap().len(),
        5,
        "one came later"
    );
    let servers = get(&simulator, "state").await["servers"].clone();
    let lagging = servers
        .as_object()
        .unwrap()
        .values()
        .filter(|it| !it["replication"]["held_lag"].is_null());
    assert_eq!(lagging.count(), 1);

    let mixed = document("../e2e/scenarios/mixed-60.json");
    assert_eq!(mixed["seed"]["servers"].as_array().unwrap().len(), 60);
    assert_eq!(mixed["expect"].as_object().unwrap().len(), 60);
    let config = Config {
        scenario: Some(mixed),
        ..Config::default()
    };
    Simulator::manual(config, begin()).await.unwrap();
}

#[tokio::test]
async fn a_scenario_that_is_wrong_is_refused_whole_with_every_problem() {
    let mut wrong = document("scenario.example.json");
    wrong["fault"] = json!([]);
    wrong["quotas"][0]["quotaCode"] = json!("L-0");
    wrong["switches"]["jobQuota"] = json!("off");
    wrong["faults"][0]["kind"] = json!("explode");
    wrong["faults"][1]["probability"] = json!(2);
    wrong["faults"][2]["server"] = json!("vm-9");
    wrong["faults"][4]["atSeconds"] = json!(-1);
    wrong["servers"][0]["colour"] = json!("red");
    wrong["servers"][1] =
        json!({"server": "vm-2001", "replication": {"stall": {"error": "X", "step": "DANCE"}}});
    wrong["expect"]["vm-8"] = json!("SUCCEEDED");
    wrong["seed"]["servers"][0]["stall"]["step"] = json!("JUMP");
    let simulator = Simulator::manual(Config::default(), begin()).await.unwrap();
    let before = get(&simulator, "state").await;
    let (status, answer) = post(&simulator, "scenario", wrong.clone()).await;
    assert_eq!(status, 400);
    let told = answer["error"].as_str().unwrap();
    let words = [
        "fault: ",
        "L-0",
        "jobQuota",
        "explode",
        "probability 2",
        "vm-9",
        "faults[4]: atSeconds",
        "colour",
        "DANCE",
        "vm-8",
        "JUMP",
    ];
    for word in words {
        assert!(told.contains(word), "{word}: {told}");
    }
    assert_eq!(told.lines().count(), words.len(), "{told}");
    assert_eq!(get(&simulator, "state").await, before);
    let config = Config {
        scenario: Some(wrong),
        ..Config::default()
    };
    let refused = Simulator::start(config).await.unwrap_err();
    assert!(matches!(refused, StartError::Scenario(_)), "{refused}");
    let (status, answer) = post(&simulator, "faults", json!({"kind": "late-event"})).await;
    assert_eq!(status, 400, "{answer}");
}
