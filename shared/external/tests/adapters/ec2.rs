//! EC2, where sources run: stopped, started and snapshotted, in their own Region and under their own role.

use std::sync::{Arc, Mutex};

use aws_config::{BehaviorVersion, Region};
use aws_sdk_ec2::Client;
use aws_sdk_ec2::config::Credentials;
use aws_sdk_ec2::operation::{
    create_snapshots, describe_instances, describe_snapshots, start_instances, stop_instances,
    terminate_instances,
};
use aws_sdk_ec2::types::{
    Filter, Instance, InstanceState, Reservation, Snapshot, SnapshotInfo, SnapshotState,
};
use aws_smithy_mocks::{MockResponse, RuleMode, mock, mock_client};
use aws_smithy_types::error::ErrorMetadata;
use landfall_domain::{ErrorName, StageError};
use landfall_external::LazyHttp;
use landfall_external::source::{
    self, Access, Ec2Sources, Machine, Power, Removal, SourceMachine as _,
};
use serde_json::{Value, json};

use crate::server::{REFUSAL, Server, no_secrets, request};

const INSTANCE: &str = "i-0123456789abcdef0";

/// EC2 as far as a source needs it.
#[derive(Default)]
struct World {
    state: String,
    /// Snapshots with their tags' values.
    snapshots: Vec<(Snapshot, Vec<String>)>,
    calls: Vec<String>,
    /// The next call of this is refused with that.
    refuses: Option<(&'static str, &'static str)>,
    /// The answer of the next call of this is lost.
    loses: Option<&'static str>,
}

type Shared = Arc<Mutex<World>>;

/// Answers an operation from the world, or fails as the world says.
macro_rules! rule {
    ($world:expr, $operation:path, $error:ty, $name:literal, |$state:ident, $input:ident| $output:expr) => {{
        let world = Arc::clone($world);
        mock!($operation).then_compute_response(move |$input| {
            let failed = |code: &str| {
                let error = ErrorMetadata::builder().code(code).message("text").build();
                MockResponse::Error(<$error>::generic(error))
            };
            let mut guard = world.lock().unwrap();
            let $state = &mut *guard;
            $state.calls.push($name.to_owned());
            if let Some((_, code)) = $state.refuses.take_if(|(call, _)| *call == $name) {
                return failed(code);
            }
            let output = $output;
            if $state.loses.take_if(|call| *call == $name).is_some() {
                return failed("ServiceUnavailable");
            }
            MockResponse::Output(output)
        })
    }};
}

fn ec2(world: &Shared) -> Client {
    mock_client!(
        aws_sdk_ec2,
        RuleMode::MatchAny,
        [
            &rule!(
                world,
                Client::describe_instances,
                describe_instances::DescribeInstancesError,
                "DescribeInstances",
                |w, input| {
                    assert_eq!(input.instance_ids(), [INSTANCE]);
                    let state = InstanceState::builder().name(w.state.as_str().into());
                    let instance = Instance::builder()
                        .instance_id(INSTANCE)
                        .state(state.build());
                    let reservation = Reservation::builder().instances(instance.build());
                    describe_instances::DescribeInstancesOutput::builder()
                        .reservations(reservation.build())
                        .build()
                }
            ),
            &rule!(
                world,
                Client::stop_instances,
                stop_instances::StopInstancesError,
                "StopInstances",
                |w, input| {
                    assert_eq!(input.instance_ids(), [INSTANCE]);
                    let forced = input.force() == Some(true);
                    w.state = if forced { "stopped" } else { "stopping" }.into();
                    stop_instances::StopInstancesOutput::builder().build()
                }
            ),
            &rule!(
                world,
                Client::start_instances,
                start_instances::StartInstancesError,
                "StartInstances",
                |w, _i| {
                    w.state = "pending".into();
                    start_instances::StartInstancesOutput::builder().build()
                }
            ),
            &rule!(
                world,
                Client::terminate_instances,
                terminate_instances::TerminateInstancesError,
                "TerminateInstances",
                |w, input| {
                    assert_eq!(input.instance_ids(), [INSTANCE]);
                    w.state = "shutting-down".into();
                    terminate_instances::TerminateInstancesOutput::builder().build()
                }
            ),
            &rule!(
                world,
                Client::describe_snapshots,
                describe_snapshots::DescribeSnapshotsError,
                "DescribeSnapshots",
                |w, input| {
                    assert_eq!(input.owner_ids(), ["self"]);
                    let wanted: Vec<&String> =
                        input.filters().iter().flat_map(Filter::values).collect();
                    assert_eq!(wanted.len(), 2);
                    let fits = |tags: &[String]| wanted.iter().all(|value| tags.contains(value));
                    let found = w.snapshots.iter().filter(|(_, tags)| fits(tags));
                    describe_snapshots::DescribeSnapshotsOutput::builder()
                        .set_snapshots(Some(found.map(|(snapshot, _)| snapshot.clone()).collect()))
                        .build()
                }
            ),
            &rule!(
                world,
                Client::create_snapshots,
                create_snapshots::CreateSnapshotsError,
                "CreateSnapshots",
                |w, input| {
                    let tags = input.tag_specifications()[0].tags();
                    let tags: Vec<String> =
                        tags.iter().map(|t| t.value().unwrap().to_owned()).collect();
                    let pending = SnapshotState::Pending;
                    let mut infos = vec![];
                    for id in ["snap-2", "snap-1"] {
                        let taken = Snapshot::builder().snapshot_id(id).state(pending.clone());
                        w.snapshots.push((taken.build(), tags.clone()));
                        let info = SnapshotInfo::builder()
                            .snapshot_id(id)
                            .state(pending.clone());
                        infos.push(info.build());
                    }
                    create_snapshots::CreateSnapshotsOutput::builder()
                        .set_snapshots(Some(infos))
                        .build()
                }
            ),
        ]
    )
}

fn control(members: &Value) -> Value {
    let mut control = json!({"kind": "ec2", "instanceId": INSTANCE, "region": "eu-west-1"});
    let members = members.as_object().unwrap().clone();
    control.as_object_mut().unwrap().extend(members);
    control
}

async fn connect(ec2: &Ec2Sources, members: Value) -> Result<Machine, StageError> {
    let access = Access {
        http: LazyHttp::default(),
        secrets: no_secrets(),
        ec2: ec2.clone(),
        allowed: vec![],
        removable: vec![format!(
            "arn:aws:ec2:eu-west-1:123456789012:instance/{INSTANCE}"
        )],
    };
    let machine = source::connect(&access, &request(&control(&members)), REFUSAL).await?;
    Ok(machine.unwrap())
}

async fn machine(state: &str) -> (Shared, Machine) {
    let world = Shared::default();
    state.clone_into(&mut world.lock().unwrap().state);
    let machine = connect(&Ec2Sources::with_client(ec2(&world)), json!({})).await;
    (world, machine.unwrap())
}

fn settle(world: &Shared, state: &SnapshotState) {
    for (snapshot, _) in &mut world.lock().unwrap().snapshots {
        snapshot.state = Some(state.clone());
    }
}

#[tokio::test]
async fn every_power_state_has_its_meaning() {
    for (state, meaning) in [
        ("running", Power::Running),
        ("pending", Power::Starting),
        ("stopping", Power::Stopping),
        ("shutting-down", Power::Stopping),
        ("stopped", Power::Off),
        ("terminated", Power::Off),
        ("surprising", Power::Unknown),
    ] {
        let (_world, machine) = machine(state).await;
        assert_eq!(machine.power().await.unwrap(), meaning, "{state}");
    }
}

#[tokio::test]
async fn an_instance_is_stopped_and_started() {
    let (world, machine) = machine("running").await;
    machine.power_off().await.unwrap();
    assert_eq!(machine.power().await.unwrap(), Power::Stopping);
    machine.force_off().await.unwrap();
    assert_eq!(machine.power().await.unwrap(), Power::Off);
    machine.start().await.unwrap();
    assert_eq!(machine.power().await.unwrap(), Power::Starting);
    machine.close().await;
    let calls = world.lock().unwrap().calls.clone();
    assert_eq!(
        calls.iter().filter(|call| *call == "StopInstances").count(),
        2
    );
}

#[tokio::test]
async fn snapshots_of_all_volumes_are_taken_once_whoever_asks_again() {
    let (world, machine) = machine("running").await;
    // The first answer is lost: nobody knows of the snapshots but EC2.
    world.lock().unwrap().loses = Some("CreateSnapshots");
    for _ in 0..3 {
        let error = machine.snapshot("landfall-mig-1-1").await.unwrap_err();
        assert_eq!(error.name, ErrorName::DependencyUnavailable, "{error}");
    }
    settle(&world, &SnapshotState::Completed);
    for _ in 0..2 {
        let ids = machine.snapshot("landfall-mig-1-1").await.unwrap();
        assert_eq!(ids, "snap-1,snap-2");
    }
    let created = |world: &Shared| {
        let world = world.lock().unwrap();
        let calls = world.calls.iter();
        calls.filter(|call| *call == "CreateSnapshots").count()
    };
    assert_eq!(created(&world), 1);
    // Another name is another snapshot, and so is another instance of the same migration's name.
    machine.snapshot("landfall-mig-1-2").await.unwrap_err();
    assert_eq!(created(&world), 2);
    let tags = world.lock().unwrap().snapshots[0].1.clone();
    assert_eq!(tags, ["landfall-mig-1-1", "landfall-mig-1-1", INSTANCE]);
}

#[tokio::test]
async fn a_snapshot_that_fails_or_is_half_done_is_none() {
    let (world, machine) = machine("running").await;
    machine.snapshot("x").await.unwrap_err();
    world.lock().unwrap().snapshots[0].0.state = Some(SnapshotState::Completed);
    let error = machine.snapshot("x").await.unwrap_err();
    assert_eq!(error.name, ErrorName::DependencyUnavailable);
    assert!(error.message.contains("1 of 2 are done"), "{error}");
    world.lock().unwrap().snapshots[1].0.state = Some(SnapshotState::Error);
    let error = machine.snapshot("x").await.unwrap_err();
    assert_eq!(error.name, REFUSAL);
    assert!(error.message.contains("snap-1"), "{error}");
}

#[tokio::test]
async fn refusals_are_classed() {
    for (call, code, name) in [
        ("StopInstances", "OperationNotPermitted", REFUSAL),
        ("StopInstances", "UnauthorizedOperation", REFUSAL),
        (
            "StopInstances",
            "IncorrectInstanceState",
            ErrorName::DependencyUnavailable,
        ),
        ("StopInstances", "InvalidInstanceID.NotFound", REFUSAL),
    ] {
        let (world, machine) = machine("running").await;
        world.lock().unwrap().refuses = Some((call, code));
        let error = machine.power_off().await.unwrap_err();
        assert_eq!(error.name, name, "{code}: {error}");
        if code.starts_with("InvalidInstanceID") {
            assert!(error.message.contains("eu-west-1"), "{error}");
            assert!(error.message.contains("/sourceControl"), "{error}");
        }
    }
}

/// EC2 and STS at a local server, reached as in a deployment.
async fn deployment(server: &Server) -> Ec2Sources {
    let aws = aws_config::defaults(BehaviorVersion::latest())
        .region(Region::new("eu-central-1"))
        .endpoint_url(&server.url)
        .credentials_provider(Credentials::new("OWN", "own", None, None, "test"))
        .load()
        .await;
    Ec2Sources::new(&aws)
}

fn running() -> (u16, Value) {
    let text = format!(
        "<DescribeInstancesResponse><reservationSet><item><instancesSet><item><instanceId>{INSTANCE}</instanceId>\
         <instanceState><code>16</code><name>running</name></instanceState></item></instancesSet></item>\
         </reservationSet></DescribeInstancesResponse>"
    );
    (200, text.into())
}

#[tokio::test]
async fn a_source_of_the_own_account_is_asked_for_in_its_region() {
    let server = Server::with([running()]).await;
    let machine = connect(&deployment(&server).await, json!({}))
        .await
        .unwrap();
    assert_eq!(machine.power().await.unwrap(), Power::Running);
    let seen = server.seen.lock().unwrap();
    assert_eq!(seen.len(), 1, "no role is assumed");
    assert!(seen[0].authorization.contains("Credential=OWN/"));
    assert!(seen[0].authorization.contains("/eu-west-1/ec2/"));
}

#[tokio::test]
async fn snapshots_whose_answer_is_lost_are_not_taken_again_by_the_sdk() {
    let none = "<DescribeSnapshotsResponse><snapshotSet/></DescribeSnapshotsResponse>";
    let lost = "<Response><Errors><Error><Code>InternalError</Code></Error></Errors></Response>";
    let server = Server::with([(200, none.into()), (500, lost.into())]).await;
    let machine = connect(&deployment(&server).await, json!({}))
        .await
        .unwrap();
    let error = machine.snapshot("x").await.unwrap_err();
    assert_eq!(error.name, ErrorName::DependencyUnavailable, "{error}");
    let seen = server.seen.lock().unwrap();
    let asked: Vec<_> = seen.iter().map(|seen| &seen.body[..30]).collect();
    assert_eq!(seen.len(), 2, "{asked:?}");
    assert!(seen[1].body.contains("Action=CreateSnapshots"));
}

const ROLE: &str = "arn:aws:iam::210987654321:role/landfall-source";

#[tokio::test]
async fn a_source_of_another_account_is_reached_under_its_role() {
    let session = "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>THERE</AccessKeyId>\
                   <SecretAccessKey>s3cr3t</SecretAccessKey><SessionToken>t0ken</SessionToken>\
                   <Expiration>2126-11-21T12:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>";
    let server = Server::with([(200, session.into()), running()]).await;
    let members = json!({"roleArn": ROLE, "externalId": "landfall-billing"});
    let machine = connect(&deployment(&server).await, members).await.unwrap();
    assert_eq!(machine.power().await.unwrap(), Power::Running);
    let seen = server.seen.lock().unwrap();
    let asked = &seen[0].body;
    for text in [
        "Action=AssumeRole",
        "role%2Flandfall-source",
        "ExternalId=landfall-billing",
        "RoleSessionName=landfall-mig-1",
        "Policy=",
        INSTANCE,
    ] {
        assert!(asked.contains(text), "{text} is not in {asked}");
    }
    assert!(seen[1].authorization.contains("Credential=THERE/"));
    assert!(seen[1].authorization.contains("/eu-west-1/ec2/"));
    assert!(!format!("{machine:?}").contains("s3cr3t"), "{machine:?}");
}

#[tokio::test]
async fn a_role_that_may_not_be_assumed_is_a_refusal_that_helps() {
    let denied = "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>not authorized</Message>\
                  </Error></ErrorResponse>";
    let server = Server::with([(403, denied.into())]).await;
    let error = connect(&deployment(&server).await, json!({"roleArn": ROLE}))
        .await
        .unwrap_err();
    assert_eq!(error.name, REFUSAL);
    for text in ["sts:AssumeRole", "source_role_arns", "external ID"] {
        assert!(error.message.contains(text), "{error}");
    }
}

#[tokio::test]
async fn only_an_instance_that_is_off_and_listed_is_terminated() {
    for (state, removal) in [
        ("running", Removal::NotOff),
        ("pending", Removal::NotOff),
        ("stopping", Removal::NotOff),
        ("stopped", Removal::UnderWay),
        ("shutting-down", Removal::UnderWay),
        ("terminated", Removal::Gone),
    ] {
        let (world, machine) = machine(state).await;
        assert_eq!(machine.remove().await.unwrap(), removal, "{state}");
        let calls = world.lock().unwrap().calls.clone();
        let terminated = calls.contains(&"TerminateInstances".to_owned());
        assert_eq!(terminated, state == "stopped", "{calls:?}");
    }
    // EC2 forgets a terminated instance after about an hour.
    let (world, forgotten) = machine("terminated").await;
    world.lock().unwrap().refuses = Some(("DescribeInstances", "InvalidInstanceID.NotFound"));
    assert_eq!(forgotten.remove().await.unwrap(), Removal::Gone);
    // Protected by its owner.
    let (world, protected) = machine("stopped").await;
    world.lock().unwrap().refuses = Some(("TerminateInstances", "OperationNotPermitted"));
    let error = protected.remove().await.unwrap_err();
    assert_eq!(error.name, REFUSAL, "{error}");
    // In a Region that the operator's list does not name.
    let world = Shared::default();
    world.lock().unwrap().state = "stopped".into();
    let sources = Ec2Sources::with_client(ec2(&world));
    let elsewhere = connect(&sources, json!({"region": "eu-west-2"})).await;
    let error = elsewhere.unwrap().remove().await.unwrap_err();
    assert!(
        error.message.contains("decommission_instance_arns"),
        "{error}"
    );
    assert!(world.lock().unwrap().calls.is_empty());
}
