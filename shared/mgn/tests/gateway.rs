//! The gateway's own rules: paging, what counts, and how refusals are told apart.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_sdk_mgn::Client;
use aws_sdk_mgn::config::retry::RetryConfig;
use aws_sdk_mgn::error::ErrorMetadata;
use aws_sdk_mgn::operation::{
    describe_jobs as jobs, describe_replication_configuration_templates as templates,
    describe_source_servers as servers, get_replication_configuration as replication,
    start_test as start, update_launch_configuration as update,
    update_replication_configuration as change,
};
use aws_sdk_mgn::types as sdk;
use aws_sdk_mgn::types::error::ConflictException;
use aws_smithy_mocks::{RuleMode, mock, mock_client};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_types::body::SdkBody;
use landfall_domain::ErrorName;
use landfall_domain::record::LaunchAction;
use landfall_mgn::{LaunchStatus, Mgn, StartError};

fn server(id: &str) -> sdk::SourceServer {
    sdk::SourceServer::builder().source_server_id(id).build()
}

#[tokio::test]
async fn three_hundred_ids_are_asked_in_two_filters_and_every_page_is_read() {
    let seen: Arc<Mutex<Vec<(usize, bool)>>> = Arc::default();
    let asked = Arc::clone(&seen);
    let rule = mock!(Client::describe_source_servers).then_compute_response(move |input| {
        let ids = input.filters().unwrap().source_server_ids();
        let first_page = input.next_token().is_none();
        asked.lock().unwrap().push((ids.len(), first_page));
        let half = ids.len() / 2;
        let page = if first_page {
            &ids[..half]
        } else {
            &ids[half..]
        };
        let output = servers::DescribeSourceServersOutput::builder()
            .set_items(Some(page.iter().map(|id| server(id)).collect()))
            .set_next_token(first_page.then(|| "more".to_owned()))
            .build();
        aws_smithy_mocks::MockResponse::Output(output)
    });
    let mgn = Mgn::with_client(mock_client!(aws_sdk_mgn, RuleMode::MatchAny, [&rule]));
    let ids: Vec<String> = (0..300).map(|n| format!("s-{n}")).collect();
    let found = mgn.servers(&ids).await.unwrap();
    let found: Vec<String> = found.into_iter().map(|server| server.id).collect();
    assert_eq!(found, ids);
    let seen = seen.lock().unwrap().clone();
    assert_eq!(seen, [(200, true), (200, false), (100, true), (100, false)]);
}

#[tokio::test]
async fn an_archived_twin_never_counts_and_an_empty_launched_instance_is_none() {
    let rule = mock!(Client::describe_source_servers).then_output(|| {
        let empty = sdk::LaunchedInstance::builder().build();
        let archived = sdk::SourceServer::builder()
            .source_server_id("s-old")
            .is_archived(true)
            .build();
        let live = sdk::SourceServer::builder()
            .source_server_id("s-new")
            .launched_instance(empty)
            .build();
        servers::DescribeSourceServersOutput::builder()
            .items(archived)
            .items(live)
            .build()
    });
    let mgn = Mgn::with_client(mock_client!(aws_sdk_mgn, [&rule]));
    let found = mgn.all_servers().await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].id.as_str(), &found[0].launched), ("s-new", &None));
}

#[tokio::test]
async fn a_launch_status_of_tomorrow_is_never_taken_for_success() {
    let rule = mock!(Client::describe_jobs).then_output(|| {
        let participant = |status: &str| {
            sdk::ParticipatingServer::builder()
                .source_server_id(status)
                .launch_status(status.into())
                .build()
                .unwrap()
        };
        let job = sdk::Job::builder()
            .job_id("mgnjob-1")
            .status(sdk::JobStatus::Completed)
            .tags("landfall:intent", "int-1")
            .participating_servers(participant("LAUNCHED"))
            .participating_servers(participant("WARMING"))
            .build()
            .unwrap();
        jobs::DescribeJobsOutput::builder().items(job).build()
    });
    let mgn = Mgn::with_client(mock_client!(aws_sdk_mgn, [&rule]));
    let found = mgn.jobs(&["mgnjob-1".to_owned()]).await.unwrap();
    assert!(found[0].completed);
    assert_eq!(found[0].intent_id.as_deref(), Some("int-1"));
    let statuses: Vec<_> = found[0].participants.iter().map(|p| &p.status).collect();
    let unknown = LaunchStatus::Unknown("WARMING".into());
    assert_eq!(statuses, [&LaunchStatus::Launched, &unknown]);
}

async fn refused(error: impl Fn() -> start::StartTestError + Send + Sync + 'static) -> StartError {
    let rule = mock!(Client::start_test).then_error(error);
    let mgn = Mgn::with_client(mock_client!(aws_sdk_mgn, [&rule]));
    let ids = ["s-1".to_owned(), "s-2".to_owned()];
    let answer = mgn.start(LaunchAction::Test, &ids, HashMap::new()).await;
    answer.unwrap_err()
}

#[tokio::test]
async fn a_refusal_names_its_servers_where_mgn_does() {
    let by_details = refused(|| {
        let details = sdk::ErrorDetails::builder()
            .resource_id("s-2")
            .code("SERVER_NOT_READY")
            .message("no snapshot")
            .build();
        let conflict = ConflictException::builder().errors(details).build();
        start::StartTestError::ConflictException(conflict)
    });
    let told = ("s-2".to_owned(), "SERVER_NOT_READY: no snapshot".to_owned());
    assert_eq!(by_details.await, StartError::Servers(vec![told]));

    let by_resource = refused(|| {
        let conflict = ConflictException::builder()
            .resource_id("s-1")
            .message("already being launched")
            .build();
        start::StartTestError::ConflictException(conflict)
    });
    let told = ("s-1".to_owned(), "already being launched".to_owned());
    assert_eq!(by_resource.await, StartError::Servers(vec![told]));
}

#[tokio::test]
async fn no_room_for_a_job_is_nobody_s_fault_and_passes() {
    let conflict = refused(|| {
        let conflict = ConflictException::builder()
            .resource_id("L-FE2EBE17")
            .message("too many jobs")
            .build();
        start::StartTestError::ConflictException(conflict)
    });
    let quota = refused(|| {
        let code = "ServiceQuotaExceededException";
        let meta = ErrorMetadata::builder().code(code).message("200").build();
        start::StartTestError::generic(meta)
    });
    for refusal in [conflict.await, quota.await] {
        let StartError::Other(error) = refusal else {
            panic!("{refusal:?} names no servers")
        };
        assert_eq!(error.name, ErrorName::Throttled);
    }
}

#[tokio::test]
async fn a_launch_and_a_termination_are_never_tried_again_by_the_sdk() {
    let down = || HttpResponse::new(503.try_into().unwrap(), SdkBody::empty());
    let test = mock!(Client::start_test).then_http_response(down);
    let cutover = mock!(Client::start_cutover).then_http_response(down);
    let terminate = mock!(Client::terminate_target_instances).then_http_response(down);
    let describe = mock!(Client::describe_jobs).then_http_response(down);
    let rules = [&test, &cutover, &terminate, &describe];
    let client = mock_client!(aws_sdk_mgn, RuleMode::MatchAny, rules, |config| config
        .retry_config(
            RetryConfig::standard().with_initial_backoff(Duration::from_millis(1))
        ));
    let mgn = Mgn::with_client(client);
    let ids = ["s-1".to_owned()];
    for action in [LaunchAction::Test, LaunchAction::Cutover] {
        mgn.start(action, &ids, HashMap::new()).await.unwrap_err();
    }
    mgn.terminate("s-1", HashMap::new()).await.unwrap_err();
    assert_eq!((test.num_calls(), cutover.num_calls()), (1, 1));
    assert_eq!(terminate.num_calls(), 1);
    // The others are, else this test would show nothing.
    mgn.jobs(&["mgnjob-1".to_owned()]).await.unwrap_err();
    assert_eq!(describe.num_calls(), 3);
}

#[tokio::test]
async fn other_refusals_are_told_by_their_class() {
    for (code, name) in [
        ("ThrottlingException", ErrorName::Throttled),
        ("InternalServerException", ErrorName::DependencyUnavailable),
        ("AccessDeniedException", ErrorName::MigrationExecutionError),
    ] {
        let error = refused(move || {
            let meta = ErrorMetadata::builder().code(code).message("why").build();
            start::StartTestError::generic(meta)
        });
        let StartError::Other(error) = error.await else {
            panic!("{code} names no servers")
        };
        assert_eq!(error.name, name, "{code}");
        assert!(
            error.message.starts_with("mgn:StartTest refused"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn an_account_that_was_never_initialized_is_an_answer() {
    let rule = mock!(Client::describe_replication_configuration_templates).then_error(|| {
        let code = "UninitializedAccountException";
        let meta = ErrorMetadata::builder().code(code).build();
        templates::DescribeReplicationConfigurationTemplatesError::generic(meta)
    });
    let mgn = Mgn::with_client(mock_client!(aws_sdk_mgn, [&rule]));
    assert!(!mgn.is_initialized().await.unwrap());
}

#[tokio::test]
async fn a_key_counts_only_while_it_is_in_use() {
    for (encryption, expected) in [
        (Some("CUSTOM"), Some("arn:key")),
        (Some("DEFAULT"), None),
        (None, None),
    ] {
        let rule = mock!(Client::get_replication_configuration).then_output(move || {
            let disk = |name: &str, boot| {
                sdk::ReplicationConfigurationReplicatedDisk::builder()
                    .device_name(name)
                    .is_boot_disk(boot)
                    .build()
            };
            replication::GetReplicationConfigurationOutput::builder()
                .set_ebs_encryption(encryption.map(Into::into))
                .ebs_encryption_key_arn("arn:key")
                .replicated_disks(disk("/dev/sda", true))
                .replicated_disks(disk("/dev/sdb", false))
                .build()
        });
        let mgn = Mgn::with_client(mock_client!(aws_sdk_mgn, [&rule]));
        let found = mgn.replication_configuration("s-1", ErrorName::PrerequisiteError);
        let found = found.await.unwrap();
        assert_eq!(found.encryption_key.as_deref(), expected, "{encryption:?}");
        let disks: Vec<_> = found
            .disks
            .iter()
            .map(|disk| (disk.device_name.as_str(), disk.boot))
            .collect();
        assert_eq!(disks, [("/dev/sda", true), ("/dev/sdb", false)]);
    }
}

#[tokio::test]
async fn a_key_is_set_when_mgn_has_it() {
    for (has, expected) in [
        ("arn:key", Ok(())),
        ("arn:old", Err(ErrorName::DependencyUnavailable)),
    ] {
        let rule = mock!(Client::update_replication_configuration)
            .match_requests(|input| {
                let custom = Some(&sdk::ReplicationConfigurationEbsEncryption::Custom);
                input.ebs_encryption() == custom
                    && input.ebs_encryption_key_arn() == Some("arn:key")
            })
            .then_output(move || {
                change::UpdateReplicationConfigurationOutput::builder()
                    .ebs_encryption("CUSTOM".into())
                    .ebs_encryption_key_arn(has)
                    .build()
            });
        let mgn = Mgn::with_client(mock_client!(aws_sdk_mgn, [&rule]));
        let set = mgn.set_encryption_key("s-1", "arn:key", ErrorName::SourcePreparationError);
        assert_eq!(set.await.map_err(|error| error.name), expected, "{has}");
    }
}

#[tokio::test]
async fn trap_launch_disposition_has_no_test_value() {
    // It says whether a target runs or is stopped, and nothing of tests: it is never sent, so MGN's own stays.
    let rule = mock!(Client::update_launch_configuration)
        .match_requests(|input| input.launch_disposition().is_none())
        .then_output(|| update::UpdateLaunchConfigurationOutput::builder().build());
    let mgn = Mgn::with_client(mock_client!(aws_sdk_mgn, RuleMode::MatchAny, [&rule]));
    let name = ErrorName::SourcePreparationError;
    mgn.set_right_sizing("s-1", "NONE", name).await.unwrap();
    mgn.set_copy_private_ip("s-1", false, name).await.unwrap();
    assert_eq!(rule.num_calls(), 2);
}
