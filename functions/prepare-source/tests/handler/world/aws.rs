//! The AWS clients of the world.

use std::sync::{Arc, Mutex};

use aws_sdk_dynamodb::operation::{get_item, transact_write_items as transact};
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_ec2::operation::{
    create_launch_template_version as create, create_snapshots,
    describe_launch_template_versions as versions, describe_snapshots,
    modify_launch_template as modify,
};
use aws_sdk_ec2::types::{LaunchTemplate, Snapshot, SnapshotInfo, SnapshotState};
use aws_sdk_eventbridge::operation::put_events;
use aws_sdk_kms::operation::describe_key;
use aws_sdk_mgn::operation::{
    describe_source_servers as servers, get_launch_configuration as get_configuration,
    get_replication_configuration as get_replication,
    update_launch_configuration as update_configuration,
    update_replication_configuration as update_replication,
};
use aws_sdk_mgn::types::{
    ReplicationConfigurationEbsEncryption as EbsEncryption, ReplicationConfigurationReplicatedDisk,
};
use aws_sdk_secretsmanager::operation::get_secret_value;
use aws_sdk_ssm::operation::{
    describe_instance_information as nodes, list_command_invocations as invocations, send_command,
};
use aws_sdk_ssm::types::{Command, CommandInvocation};
use aws_smithy_mocks::{MockResponse, RuleMode, mock, mock_client};
use landfall_common::Journal;
use landfall_common::events::EventPublisher;
use landfall_common::state::StateStore;
use landfall_domain::installer::Network;
use landfall_external::LazyHttp;
use landfall_external::source::{Access, Ec2Sources};
use landfall_mgn::Mgn;
use landfall_simulator::source_apis::vsphere::{PASSWORD, USERNAME};
use prepare_source::Deps;

use super::{Fault, Sent, World, template};

thread_local! {
    /// One client for all worlds of a test: each loads the trust store.
    static HTTP: LazyHttp = LazyHttp::default();
}

type Shared = Arc<Mutex<World>>;

/// Answers an operation from the world, or as its fault says.
macro_rules! rule {
    ($world:expr, $operation:path, $error:ty, $name:literal, |$state:ident, $input:ident| $output:expr) => {{
        let world = Arc::clone($world);
        mock!($operation).then_compute_response(move |$input| {
            let mut guard = world.lock().unwrap();
            let $state = &mut *guard;
            let failed = |code: &str| {
                let metadata = aws_smithy_types::error::ErrorMetadata::builder()
                    .code(code)
                    .message("as the test says")
                    .build();
                MockResponse::Error(<$error>::generic(metadata))
            };
            match $state.called($name) {
                None => {
                    let output = $output;
                    if $state.loses($name) {
                        return failed("ServiceUnavailable");
                    }
                    MockResponse::Output(output)
                }
                Some(Fault::Refused) => failed("AccessDeniedException"),
                Some(Fault::Unavailable) => failed("ServiceUnavailable"),
                Some(Fault::Lost) => {
                    let _ = $output;
                    failed("ServiceUnavailable")
                }
            }
        })
    }};
}

pub(crate) fn deps(world: &Shared) -> Deps {
    Deps {
        accounts: landfall_accounts::Accounts::home_only(),
        journal: Journal {
            store: StateStore::new(dynamodb(world), "landfall-migrations"),
            events: EventPublisher::new(eventbridge(world), "landfall"),
        },
        mgn: Mgn::with_client(mgn(world)),
        ec2: ec2(world),
        kms: kms(world),
        ssm: ssm(world),
        sources: Access {
            http: HTTP.with(Clone::clone),
            secrets: secrets(world),
            ec2: Ec2Sources::with_client(source_ec2(world)),
            allowed: vec![],
            removable: vec![],
        },
        region: "eu-central-1".into(),
        cmf: None,
        agent_role_arn: None,
        agent_network: Network::default(),
    }
}

fn dynamodb(world: &Shared) -> aws_sdk_dynamodb::Client {
    use aws_sdk_dynamodb::Client;
    mock_client!(
        aws_sdk_dynamodb,
        RuleMode::MatchAny,
        [
            &rule!(
                world,
                Client::get_item,
                get_item::GetItemError,
                "GetItem",
                |w, input| {
                    let key = &input.key().unwrap()["pk"];
                    let key = key.as_s().unwrap();
                    let item = if key.starts_with("CLAIM#") {
                        w.claims.get(key).cloned()
                    } else {
                        Some(w.record.clone())
                    };
                    get_item::GetItemOutput::builder().set_item(item).build()
                }
            ),
            &rule!(
                world,
                Client::transact_write_items,
                transact::TransactWriteItemsError,
                "TransactWriteItems",
                |w, input| {
                    for put in input.transact_items().iter().filter_map(|i| i.put()) {
                        if put.item()["sk"] == AttributeValue::S("STATE".into()) {
                            w.record.clone_from(put.item());
                        } else if let Ok(key) = put.item()["pk"].as_s() {
                            w.claims.insert(key.clone(), put.item().clone());
                        }
                    }
                    transact::TransactWriteItemsOutput::builder().build()
                }
            ),
        ]
    )
}

fn eventbridge(world: &Shared) -> aws_sdk_eventbridge::Client {
    use aws_sdk_eventbridge::Client;
    mock_client!(
        aws_sdk_eventbridge,
        RuleMode::MatchAny,
        [&rule!(
            world,
            Client::put_events,
            put_events::PutEventsError,
            "PutEvents",
            |w, input| {
                for entry in input.entries() {
                    let detail = serde_json::from_str(entry.detail().unwrap()).unwrap();
                    w.events
                        .push((entry.detail_type().unwrap().to_owned(), detail));
                }
                put_events::PutEventsOutput::builder().build()
            }
        )]
    )
}

fn mgn(world: &Shared) -> aws_sdk_mgn::Client {
    use aws_sdk_mgn::Client;
    mock_client!(
        aws_sdk_mgn,
        RuleMode::MatchAny,
        [
            &rule!(
                world,
                Client::describe_source_servers,
                servers::DescribeSourceServersError,
                "DescribeSourceServers",
                |w, _i| {
                    servers::DescribeSourceServersOutput::builder()
                        .set_items(Some(w.servers.clone()))
                        .build()
                }
            ),
            &rule!(
                world,
                Client::get_launch_configuration,
                get_configuration::GetLaunchConfigurationError,
                "GetLaunchConfiguration",
                |w, _i| {
                    get_configuration::GetLaunchConfigurationOutput::builder()
                        .target_instance_type_right_sizing_method(w.right_sizing.as_str().into())
                        .copy_private_ip(w.copy_private_ip)
                        .ec2_launch_template_id("lt-00000000000000001")
                        .build()
                }
            ),
            &rule!(
                world,
                Client::update_launch_configuration,
                update_configuration::UpdateLaunchConfigurationError,
                "UpdateLaunchConfiguration",
                |w, input| {
                    if let Some(method) = input.target_instance_type_right_sizing_method() {
                        method.as_str().clone_into(&mut w.right_sizing);
                    }
                    w.copy_private_ip = input.copy_private_ip().unwrap_or(w.copy_private_ip);
                    update_configuration::UpdateLaunchConfigurationOutput::builder().build()
                }
            ),
            &rule!(
                world,
                Client::get_replication_configuration,
                get_replication::GetReplicationConfigurationError,
                "GetReplicationConfiguration",
                |w, _i| {
                    let disk = |name: &str| {
                        ReplicationConfigurationReplicatedDisk::builder()
                            .device_name(name)
                            .is_boot_disk(name == "/dev/sda")
                            .build()
                    };
                    get_replication::GetReplicationConfigurationOutput::builder()
                        .ebs_encryption(encryption(w.encryption_key.as_deref()))
                        .set_ebs_encryption_key_arn(w.encryption_key.clone())
                        .replicated_disks(disk("/dev/sda"))
                        .replicated_disks(disk("/dev/sdb"))
                        .build()
                }
            ),
            &rule!(
                world,
                Client::update_replication_configuration,
                update_replication::UpdateReplicationConfigurationError,
                "UpdateReplicationConfiguration",
                |w, input| {
                    assert_eq!(input.ebs_encryption(), Some(&EbsEncryption::Custom));
                    let noted = w.record().done.encryption_key.map(|change| change.key);
                    w.noted_before_key.push(noted);
                    w.encryption_key = input.ebs_encryption_key_arn().map(str::to_owned);
                    update_replication::UpdateReplicationConfigurationOutput::builder()
                        .ebs_encryption(encryption(w.encryption_key.as_deref()))
                        .set_ebs_encryption_key_arn(w.encryption_key.clone())
                        .build()
                }
            ),
        ]
    )
}

fn encryption(key: Option<&str>) -> EbsEncryption {
    if key.is_some() {
        EbsEncryption::Custom
    } else {
        EbsEncryption::Default
    }
}

/// Every alias names the key of the same name.
fn kms(world: &Shared) -> aws_sdk_kms::Client {
    use aws_sdk_kms::Client;
    mock_client!(
        aws_sdk_kms,
        RuleMode::MatchAny,
        [&rule!(
            world,
            Client::describe_key,
            describe_key::DescribeKeyError,
            "DescribeKey",
            |_w, input| {
                let name = input.key_id().unwrap().trim_start_matches("alias/");
                let metadata = aws_sdk_kms::types::KeyMetadata::builder()
                    .key_id(name)
                    .arn(super::key_arn(name))
                    .build()
                    .unwrap();
                describe_key::DescribeKeyOutput::builder()
                    .key_metadata(metadata)
                    .build()
            }
        )]
    )
}

fn ec2(world: &Shared) -> aws_sdk_ec2::Client {
    use aws_sdk_ec2::Client;
    mock_client!(
        aws_sdk_ec2,
        RuleMode::MatchAny,
        [
            &rule!(
                world,
                Client::describe_launch_template_versions,
                versions::DescribeLaunchTemplateVersionsError,
                "DescribeLaunchTemplateVersions",
                |w, _i| {
                    let default = w
                        .versions
                        .iter()
                        .find(|v| v.default_version() == Some(true));
                    let both = default.into_iter().chain(w.versions.last()).cloned();
                    versions::DescribeLaunchTemplateVersionsOutput::builder()
                        .set_launch_template_versions(Some(both.collect()))
                        .build()
                }
            ),
            &rule!(
                world,
                Client::create_launch_template_version,
                create::CreateLaunchTemplateVersionError,
                "CreateLaunchTemplateVersion",
                |w, input| {
                    let number = i64::try_from(w.versions.len()).unwrap() + 1;
                    let source: i64 = input.source_version().unwrap().parse().unwrap();
                    let base = w
                        .versions
                        .iter()
                        .find(|v| v.version_number() == Some(source))
                        .and_then(|v| v.launch_template_data());
                    let data = template::stored(base, input.launch_template_data().unwrap());
                    let description = input.version_description().unwrap();
                    let made = super::version(number, false, description, data);
                    w.versions.push(made.clone());
                    w.created
                        .push(input.launch_template_data().unwrap().clone());
                    create::CreateLaunchTemplateVersionOutput::builder()
                        .launch_template_version(made)
                        .build()
                }
            ),
            &rule!(
                world,
                Client::modify_launch_template,
                modify::ModifyLaunchTemplateError,
                "ModifyLaunchTemplate",
                |w, input| {
                    let wanted: i64 = input.default_version().unwrap().parse().unwrap();
                    w.make_default(wanted);
                    if let Some(meddler) = w.meddler.take() {
                        meddler(w);
                    }
                    modify::ModifyLaunchTemplateOutput::builder()
                        .launch_template(
                            LaunchTemplate::builder()
                                .default_version_number(wanted)
                                .build(),
                        )
                        .build()
                }
            ),
        ]
    )
}

/// EC2 in the source's Region.
fn source_ec2(world: &Shared) -> aws_sdk_ec2::Client {
    use aws_sdk_ec2::Client;
    mock_client!(
        aws_sdk_ec2,
        RuleMode::MatchAny,
        [
            &rule!(
                world,
                Client::describe_snapshots,
                describe_snapshots::DescribeSnapshotsError,
                "DescribeSnapshots",
                |w, _i| {
                    let state = w.next_snapshot_state();
                    let snapshot = |id: &String| {
                        Snapshot::builder()
                            .snapshot_id(id)
                            .state(state.clone())
                            .build()
                    };
                    describe_snapshots::DescribeSnapshotsOutput::builder()
                        .set_snapshots(Some(w.snapshots.iter().map(snapshot).collect()))
                        .build()
                }
            ),
            &rule!(
                world,
                Client::create_snapshots,
                create_snapshots::CreateSnapshotsError,
                "CreateSnapshots",
                |w, _i| {
                    let noted = w.record().done.snapshot;
                    w.noted_before_snapshot.push(noted);
                    w.snapshots.push("snap-1".into());
                    let info = SnapshotInfo::builder()
                        .snapshot_id("snap-1")
                        .state(SnapshotState::Pending);
                    create_snapshots::CreateSnapshotsOutput::builder()
                        .snapshots(info.build())
                        .build()
                }
            ),
        ]
    )
}

fn ssm(world: &Shared) -> aws_sdk_ssm::Client {
    use aws_sdk_ssm::Client;
    mock_client!(
        aws_sdk_ssm,
        RuleMode::MatchAny,
        [
            &rule!(
                world,
                Client::describe_instance_information,
                nodes::DescribeInstanceInformationError,
                "DescribeInstanceInformation",
                |w, _i| {
                    nodes::DescribeInstanceInformationOutput::builder()
                        .set_instance_information_list(Some(w.nodes.clone()))
                        .build()
                }
            ),
            &rule!(
                world,
                Client::list_command_invocations,
                invocations::ListCommandInvocationsError,
                "ListCommandInvocations",
                |w, _i| {
                    invocations::ListCommandInvocationsOutput::builder()
                        .set_command_invocations(Some(w.invocations.clone()))
                        .build()
                }
            ),
            &rule!(
                world,
                Client::send_command,
                send_command::SendCommandError,
                "SendCommand",
                |w, input| {
                    let id = format!("command-{}", w.sent.len() + 1);
                    w.invocations.push(
                        CommandInvocation::builder()
                            .command_id(&id)
                            .instance_id(&input.instance_ids()[0])
                            .comment(input.comment().unwrap())
                            .build(),
                    );
                    w.sent.push(Sent {
                        document: input.document_name().unwrap().to_owned(),
                        script: input.parameters().unwrap()["commands"].join("\n"),
                    });
                    send_command::SendCommandOutput::builder()
                        .command(Command::builder().command_id(id).build())
                        .build()
                }
            ),
        ]
    )
}

fn secrets(world: &Shared) -> aws_sdk_secretsmanager::Client {
    use aws_sdk_secretsmanager::Client;
    mock_client!(
        aws_sdk_secretsmanager,
        RuleMode::MatchAny,
        [&rule!(
            world,
            Client::get_secret_value,
            get_secret_value::GetSecretValueError,
            "GetSecretValue",
            |_w, input| {
                let text = match input.secret_id() {
                    Some("landfall/cmf") => r#"{"username": "u", "password": "p"}"#.to_owned(),
                    _ => format!(
                        r#"{{"tenantId": "t", "clientId": "c", "clientSecret": "s", "username": "{USERNAME}", "password": "{PASSWORD}"}}"#
                    ),
                };
                get_secret_value::GetSecretValueOutput::builder()
                    .secret_string(text)
                    .build()
            }
        )]
    )
}
