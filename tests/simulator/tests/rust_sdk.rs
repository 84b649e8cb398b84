//! The simulator as the Rust SDK sees it: typed errors, pages, and no update lost between concurrent callers.
#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests; clippy exempts only the tests themselves"
)]

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aws_sdk_mgn::Client;
use aws_sdk_mgn::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_mgn::error::ProvideErrorMetadata;
use aws_sdk_mgn::types::{
    ChangeServerLifeCycleStateSourceServerLifecycle,
    ChangeServerLifeCycleStateSourceServerLifecycleState, DescribeJobsRequestFilters, JobStatus,
    LaunchStatus,
};
use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use landfall_simulator::{Config, Simulator};
use serde_json::{Value, json};

async fn start(machines: usize, scale: f64) -> (Simulator, Client) {
    let servers: Vec<Value> = (0..machines)
        .map(|i| json!({"sourceVmId": format!("vm-{i}"), "hostname": format!("host-{i}"), "replicated": true}))
        .collect();
    let seed = json!({"initializeMgn": true, "servers": servers});
    let simulator = Simulator::start(Config {
        scale,
        seed: Some(seed),
        ..Config::default()
    })
    .await
    .unwrap();
    let config = aws_sdk_mgn::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .endpoint_url(simulator.url())
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .build();
    (simulator, Client::from_conf(config))
}

async fn ids(client: &Client) -> Vec<String> {
    let mut pages = client
        .describe_source_servers()
        .max_results(3)
        .into_paginator()
        .items()
        .send();
    let mut ids = Vec::new();
    while let Some(server) = pages.next().await {
        ids.push(server.unwrap().source_server_id.unwrap());
    }
    ids
}

#[tokio::test]
async fn pages_and_typed_errors() {
    let (_simulator, client) = start(7, 1.0).await;
    let ids = ids(&client).await;
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 7);

    client
        .start_test()
        .source_server_ids(&ids[0])
        .send()
        .await
        .unwrap();
    let busy = client
        .start_test()
        .source_server_ids(&ids[0])
        .send()
        .await
        .unwrap_err()
        .into_service_error();
    assert!(busy.is_conflict_exception(), "{busy:?}");
    let unknown = client
        .mark_as_archived()
        .source_server_id("s-00000000000000000")
        .send()
        .await;
    assert!(
        unknown
            .unwrap_err()
            .into_service_error()
            .is_resource_not_found_exception()
    );
    let wrong = client
        .start_test()
        .send()
        .await
        .unwrap_err()
        .into_service_error();
    assert_eq!(wrong.code(), Some("ValidationException"));
}

#[tokio::test]
async fn a_job_ends_launched() {
    let (_simulator, client) = start(1, 6_000.0).await;
    let id = ids(&client).await.remove(0);
    let job = client
        .start_test()
        .source_server_ids(&id)
        .tags("landfall:intent", "x")
        .send()
        .await
        .unwrap();
    let job_id = job.job.unwrap().job_id;
    let filters = DescribeJobsRequestFilters::builder()
        .job_ids(&job_id)
        .build();
    let end = Instant::now() + Duration::from_secs(20);
    let done = loop {
        let jobs = client
            .describe_jobs()
            .filters(filters.clone())
            .send()
            .await
            .unwrap();
        let job = jobs.items.unwrap().remove(0);
        if job.status == Some(JobStatus::Completed) {
            break job;
        }
        assert!(Instant::now() < end, "still {:?}", job.status);
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let participant = &done.participating_servers()[0];
    assert_eq!(participant.launch_status, Some(LaunchStatus::Launched));
    let state = ChangeServerLifeCycleStateSourceServerLifecycle::builder()
        .state(ChangeServerLifeCycleStateSourceServerLifecycleState::ReadyForCutover)
        .build()
        .unwrap();
    let server = client
        .change_server_life_cycle_state()
        .source_server_id(&id)
        .life_cycle(state)
        .send()
        .await
        .unwrap();
    assert_eq!(
        server.life_cycle.unwrap().state.unwrap().as_str(),
        "READY_FOR_CUTOVER"
    );
}

#[tokio::test]
async fn of_many_callers_one_starts_the_server() {
    let (_simulator, client) = start(1, 1.0).await;
    let id = ids(&client).await.remove(0);
    let calls = (0..20).map(|_| {
        let call = client.start_test().source_server_ids(&id);
        tokio::spawn(async move { call.send().await.is_ok() })
    });
    let mut started = 0;
    for call in calls.collect::<Vec<_>>() {
        started += usize::from(call.await.unwrap());
    }
    assert_eq!(started, 1);
    assert_eq!(
        client.describe_jobs().send().await.unwrap().items().len(),
        1
    );
}

/// What an emulator was asked: the Region that the request was signed for, and its form.
type Asked = Arc<Mutex<Vec<(String, String)>>>;

/// Stands for MiniStack, which has an instance with two volumes and no `CreateSnapshots`.
async fn emulator(State(asked): State<Asked>, headers: HeaderMap, form: String) -> String {
    let signed = headers["authorization"].to_str().unwrap();
    let region = signed.split('/').nth(2).unwrap().to_owned();
    let mut asked = asked.lock().unwrap();
    asked.push((region, form.clone()));
    if form.contains("Action=DescribeInstances") {
        let volume = |id: &str| format!("<item><ebs><volumeId>{id}</volumeId></ebs></item>");
        return format!(
            "<DescribeInstancesResponse>{}{}</DescribeInstancesResponse>",
            volume("vol-a"),
            volume("vol-b")
        );
    }
    format!(
        "<CreateSnapshotResponse><snapshotId>snap-{}</snapshotId></CreateSnapshotResponse>",
        asked.len()
    )
}

#[tokio::test]
async fn every_volume_gets_a_snapshot_in_the_region_that_was_asked() {
    let asked = Asked::default();
    let router = Router::new()
        .fallback(emulator)
        .with_state(Arc::clone(&asked));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let simulator = Simulator::start(Config {
        ministack_url: Some(url),
        ..Config::default()
    })
    .await
    .unwrap();
    let config = aws_sdk_ec2::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-west-1"))
        .endpoint_url(simulator.url())
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .build();
    let ec2 = aws_sdk_ec2::Client::from_conf(config);
    let tags = aws_sdk_ec2::types::TagSpecification::builder()
        .resource_type("snapshot".into())
        .tags(
            aws_sdk_ec2::types::Tag::builder()
                .key("landfall:snapshot")
                .value("x")
                .build(),
        )
        .build();
    let instance = aws_sdk_ec2::types::InstanceSpecification::builder()
        .instance_id("i-1")
        .build();
    let answer = ec2
        .create_snapshots()
        .instance_specification(instance)
        .description("a test")
        .tag_specifications(tags)
        .send()
        .await
        .unwrap();
    let taken: Vec<_> = answer
        .snapshots()
        .iter()
        .map(|snapshot| {
            (
                snapshot.snapshot_id().unwrap(),
                snapshot.volume_id().unwrap(),
                snapshot.state().unwrap().as_str(),
            )
        })
        .collect();
    assert_eq!(
        taken,
        [
            ("snap-2", "vol-a", "pending"),
            ("snap-3", "vol-b", "pending")
        ]
    );
    let asked = asked.lock().unwrap();
    assert!(asked.iter().all(|(region, _)| region == "eu-west-1"));
    assert!(asked[0].1.contains("InstanceId.1=i-1"));
    for (_, form) in &asked[1..] {
        assert!(
            form.contains("TagSpecification.1.Tag.1.Key=landfall%3Asnapshot"),
            "{form}"
        );
    }
}
