//! The target account cannot be entered any more: its role is gone, or its trust was changed.

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_ec2::config::retry::RetryConfig;
use aws_sdk_ec2::config::{Credentials, SharedCredentialsProvider};
use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;
use landfall_accounts::{Accounts, actions};
use landfall_common::state::wait::{Wait, WaitKind};
use landfall_domain::record::LaunchAction;
use landfall_domain::request::Account;
use landfall_domain::{ErrorName, StageError, Status};
use landfall_mgn::Mgn;
use rollback::handle;
use serde_json::{Value, json};

use crate::stage::{Stage, wait};
use crate::world;

const ROLE: &str = "arn:aws:iam::222222222222:role/landfall-target";
/// Longer after [`world::NOW`] than a rollback waits.
const TOO_LATE: &str = "2026-11-21T13:31:00Z";
/// What belongs to the table and the bus, which are not in that account.
const OWN: [&str; 7] = [
    "DeleteItem",
    "GetItem",
    "PutEvents",
    "PutItem",
    "Query",
    "TransactWriteItems",
    "UpdateItem",
];

/// The way to other accounts, at an STS that lets nobody in.
async fn locked() -> Accounts<(Mgn, aws_sdk_ec2::Client)> {
    let refusal = "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>not authorized to \
                   perform: sts:AssumeRole</Message></Error></ErrorResponse>";
    let router = Router::new().route(
        "/",
        post(move || async move { (StatusCode::FORBIDDEN, refusal) }),
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let keys = Credentials::new("AKIAHOME", "home", None, None, "test");
    let aws = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-central-1"))
        .endpoint_url(url)
        .retry_config(RetryConfig::disabled())
        .credentials_provider(SharedCredentialsProvider::new(keys))
        .build();
    Accounts::new(&aws, actions::ROLLBACK, |aws| {
        (Mgn::new(aws), aws_sdk_ec2::Client::new(aws))
    })
}

/// The stage, with its migration in that account, under the role or none.
async fn elsewhere(mut stage: Stage, role: Option<&str>) -> Stage {
    stage.deps.accounts = locked().await;
    stage.parts.change_record(|record| {
        record.request.account = Some(Account {
            id: "222222222222".into(),
            region: "eu-west-1".into(),
            role_arn: role.map(str::to_owned),
            external_id: None,
        });
    });
    stage
}

/// A run of a state that the workflow entered at [`world::NOW`].
async fn run(stage: &Stage, now: &str) -> Result<Value, StageError> {
    let failure =
        json!({"error": "CutoverError", "cause": "no such zone", "state": "FinalizeCutover"});
    let event = world::event(json!({"failure": failure, "since": world::NOW}));
    handle(&stage.deps, event, world::at(now)).await
}

fn assert_only_own_calls(stage: &Stage) {
    let world = stage.parts.world();
    let others: Vec<_> = world
        .calls
        .iter()
        .filter(|call| !OWN.contains(&call.as_str()))
        .collect();
    assert!(others.is_empty(), "{others:?}");
}

async fn assert_shut(stage: &Stage, pending: &Wait) {
    assert!(stage.stored(pending).await.unwrap().closed);
    assert_eq!(stage.stored(&wait(WaitKind::Replication)).await, None);
    // Its message, where it is still in the queue, finds the launch closed.
    let late = stage.deps.journal.store.open_launch(pending).await;
    assert!(late.unwrap().closed);
}

#[tokio::test]
async fn it_is_waited_for_and_then_a_person_must_look() {
    let stage = elsewhere(
        Stage::before_launch(LaunchAction::Cutover).await,
        Some(ROLE),
    )
    .await;
    let pending = wait(WaitKind::CutoverLaunch);
    stage.open(&wait(WaitKind::Replication)).await;
    stage.open(&pending).await;
    let before = stage.parts.world().outside();
    for now in [world::NOW, "2026-11-21T13:29:00Z"] {
        let error = run(&stage, now).await.unwrap_err();
        assert_eq!(error.name, ErrorName::DependencyUnavailable, "{error}");
        for part in [ROLE, "AssumeRole", "trust policy"] {
            assert!(error.message.contains(part), "{error}");
        }
    }
    assert!(!stage.stored(&pending).await.unwrap().closed);
    assert_eq!(stage.parts.world().record().status, Status::ReadyForCutover);

    let answer = run(&stage, TOO_LATE).await.unwrap();
    assert_eq!(answer["status"], "FROZEN");
    stage.assert_frozen("ENTER_ACCOUNT");
    stage.assert_frozen(ROLE);
    assert_shut(&stage, &pending).await;
    assert_eq!(stage.parts.world().outside(), before);
    assert_only_own_calls(&stage);
    // Once more changes nothing.
    assert_eq!(run(&stage, TOO_LATE).await.unwrap()["status"], "FROZEN");
    assert_eq!(stage.parts.world().event_types().len(), 2);
}

#[tokio::test]
async fn a_role_that_is_not_even_named_is_not_waited_for() {
    let stage = elsewhere(Stage::moved().await, None).await;
    let before = stage.parts.world().outside();
    let answer = run(&stage, world::NOW).await.unwrap();
    assert_eq!(answer["status"], "FROZEN");
    stage.assert_frozen("ENTER_ACCOUNT");
    let world = stage.parts.world();
    assert_eq!(world.outside(), before);
    // The person who looks is told what is left to undo.
    let evidence = &world.events.last().unwrap().1["evidence"];
    assert_eq!(evidence["done"], json!([]));
    assert_eq!(evidence["notDone"].as_array().unwrap().len(), 11);
    assert_eq!(world.record().failure.unwrap().message, "no such zone");
}

#[tokio::test]
async fn a_migration_that_was_refused_for_it_just_ends() {
    let stage = elsewhere(Stage::before_launch(LaunchAction::Test).await, Some(ROLE)).await;
    stage
        .parts
        .change_record(|record| record.status = Status::Validating);
    assert_eq!(run(&stage, world::NOW).await.unwrap()["status"], "FAILED");
}
