//! From the SDK's shapes to ours.

use aws_sdk_mgn::error::SdkError;
use aws_sdk_mgn::operation::start_cutover::StartCutoverError;
use aws_sdk_mgn::operation::start_test::StartTestError;
use aws_sdk_mgn::operation::terminate_target_instances::TerminateTargetInstancesError;
use aws_sdk_mgn::types as sdk;
use aws_sdk_mgn::types::error::ConflictException;
use landfall_common::aws_error::{code, stage_error};
use landfall_domain::replication::{Replication, ReplicationError};
use landfall_domain::{ErrorName, StageError};

use crate::types::{
    Job, JobLogLine, LaunchStatus, LaunchedInstance, Participant, PostLaunchAction, Server,
};
use crate::{INTENT_TAG, StartError};

/// A server; one without an ID is no server.
pub(crate) fn server(from: &sdk::SourceServer) -> Option<Server> {
    let properties = from.source_properties();
    let hints = properties.and_then(|p| p.identification_hints());
    Some(Server {
        id: from.source_server_id()?.to_owned(),
        user_provided_id: from.user_provided_id().map(str::to_owned),
        // An agent's server has this hint too, where the machine is one of vSphere's: there the agent's ID counts.
        vmware_uuid: hints
            .filter(|_| from.replication_type() == Some(&sdk::ReplicationType::SnapshotShipping))
            .and_then(|h| h.vm_ware_uuid())
            .map(str::to_owned),
        hostname: hints.and_then(|h| h.hostname()).map(str::to_owned),
        fqdn: hints.and_then(|h| h.fqdn()).map(str::to_owned),
        ips: properties
            .map(|p| {
                p.network_interfaces()
                    .iter()
                    .flat_map(aws_sdk_mgn::types::NetworkInterface::ips)
                    .cloned()
                    .collect()
            })
            .unwrap_or_default(),
        archived: from.is_archived().unwrap_or(false),
        lifecycle: from
            .life_cycle()
            .and_then(|l| l.state())
            .map_or("", sdk::LifeCycleState::as_str)
            .to_owned(),
        replication: from
            .data_replication_info()
            .map(replication)
            .unwrap_or_default(),
        launched: from.launched_instance().and_then(|l| {
            // An empty object is sent for "nothing": both members must be there.
            Some(LaunchedInstance {
                instance_id: l.ec2_instance_id()?.to_owned(),
                job_id: l.job_id()?.to_owned(),
                first_boot: l.first_boot().map(|state| state.as_str().to_owned()),
            })
        }),
    })
}

fn replication(from: &sdk::DataReplicationInfo) -> Replication {
    let sum = |bytes: fn(&sdk::DataReplicationInfoReplicatedDisk) -> i64| {
        from.replicated_disks()
            .iter()
            .map(bytes)
            .fold(0_i64, i64::saturating_add)
    };
    let error = from.data_replication_error().and_then(|e| {
        Some(ReplicationError {
            name: e.error()?.as_str().to_owned(),
            raw: e
                .raw_error()
                .filter(|raw| !raw.is_empty())
                .map(str::to_owned),
        })
    });
    let initiation = from.data_replication_initiation();
    let failed_step = initiation.and_then(|initiation| {
        let failed = Some(&sdk::DataReplicationInitiationStepStatus::Failed);
        let mut steps = initiation.steps().iter();
        let step = steps.find(|step| step.status() == failed)?;
        Some(step.name()?.as_str().to_owned())
    });
    Replication {
        state: from
            .data_replication_state()
            .map_or("", sdk::DataReplicationState::as_str)
            .to_owned(),
        lag_duration: from.lag_duration().map(str::to_owned),
        last_snapshot: from.last_snapshot_date_time().map(str::to_owned),
        eta: from.eta_date_time().map(str::to_owned),
        total_bytes: sum(sdk::DataReplicationInfoReplicatedDisk::total_storage_bytes),
        replicated_bytes: sum(sdk::DataReplicationInfoReplicatedDisk::replicated_storage_bytes),
        backlog_bytes: sum(sdk::DataReplicationInfoReplicatedDisk::backlogged_storage_bytes),
        error,
        failed_step,
        next_attempt: initiation
            .and_then(sdk::DataReplicationInitiation::next_attempt_date_time)
            .map(str::to_owned),
    }
}

pub(crate) fn job(from: &sdk::Job) -> Job {
    Job {
        id: from.job_id().to_owned(),
        completed: from.status() == Some(&sdk::JobStatus::Completed),
        ended_at: from.end_date_time().map(str::to_owned),
        participants: from
            .participating_servers()
            .iter()
            .map(|server| Participant {
                server_id: server.source_server_id().to_owned(),
                status: launch_status(server.launch_status()),
                instance_id: server.launched_ec2_instance_id().map(str::to_owned),
                actions: server
                    .post_launch_actions_status()
                    .map(sdk::PostLaunchActionsStatus::post_launch_actions_launch_status_list)
                    .unwrap_or_default()
                    .iter()
                    .map(action)
                    .collect(),
            })
            .collect(),
        intent_id: from.tags().and_then(|tags| tags.get(INTENT_TAG)).cloned(),
    }
}

fn action(from: &sdk::JobPostLaunchActionsLaunchStatus) -> PostLaunchAction {
    let document = from.ssm_document();
    PostLaunchAction {
        name: document
            .map_or("unnamed action", sdk::SsmDocument::action_name)
            .to_owned(),
        status: from
            .execution_status()
            .map_or("", sdk::PostLaunchActionExecutionStatus::as_str)
            .to_owned(),
        failure: from
            .failure_reason()
            .filter(|reason| !reason.is_empty())
            .map(str::to_owned),
        must_succeed: document
            .and_then(sdk::SsmDocument::must_succeed_for_cutover)
            .unwrap_or(false),
    }
}

fn launch_status(from: Option<&sdk::LaunchStatus>) -> LaunchStatus {
    match from {
        None | Some(sdk::LaunchStatus::Pending | sdk::LaunchStatus::InProgress) => {
            LaunchStatus::Running
        }
        Some(sdk::LaunchStatus::Launched) => LaunchStatus::Launched,
        Some(sdk::LaunchStatus::Failed) => LaunchStatus::Failed,
        Some(sdk::LaunchStatus::Terminated) => LaunchStatus::Terminated,
        Some(other) => LaunchStatus::Unknown(other.as_str().to_owned()),
    }
}

pub(crate) fn log_line(from: &sdk::JobLog) -> JobLogLine {
    let data = from.event_data();
    JobLogLine {
        event: from.event().map_or("", sdk::JobLogEvent::as_str).to_owned(),
        server_id: data.and_then(|d| d.source_server_id()).map(str::to_owned),
        raw_error: data
            .and_then(|d| d.raw_error())
            .filter(|raw| !raw.is_empty())
            .map(str::to_owned),
    }
}

/// Why MGN did not start a test.
pub(crate) fn test_refusal(error: &SdkError<StartTestError>) -> StartError {
    let conflict = error.as_service_error().and_then(|refusal| match refusal {
        StartTestError::ConflictException(conflict) => Some(conflict),
        _ => None,
    });
    refusal(
        conflict,
        code(error),
        stage_error(error, ErrorName::MigrationExecutionError, "mgn:StartTest"),
    )
}

/// Why MGN did not start a cutover.
pub(crate) fn cutover_refusal(error: &SdkError<StartCutoverError>) -> StartError {
    let conflict = error.as_service_error().and_then(|refusal| match refusal {
        StartCutoverError::ConflictException(conflict) => Some(conflict),
        _ => None,
    });
    refusal(
        conflict,
        code(error),
        stage_error(error, ErrorName::CutoverError, "mgn:StartCutover"),
    )
}

/// Why MGN did not terminate: no room for another job passes, as for a start.
pub(crate) fn terminate_refusal(error: &SdkError<TerminateTargetInstancesError>) -> StageError {
    let conflict = error.as_service_error().and_then(|refusal| match refusal {
        TerminateTargetInstancesError::ConflictException(conflict) => Some(conflict),
        _ => None,
    });
    let told = stage_error(
        error,
        ErrorName::RollbackError,
        "mgn:TerminateTargetInstances",
    );
    match refusal(conflict, code(error), told.clone()) {
        StartError::Servers(_) => told,
        StartError::Other(error) => error,
    }
}

/// A conflict that names servers is theirs. One that names none is about the account's room for jobs, which others may
/// have taken since we looked: it passes, as does a quota's own exception (which of the two MGN sends is not
/// documented).
fn refusal(
    conflict: Option<&ConflictException>,
    code: Option<&str>,
    error: StageError,
) -> StartError {
    let servers = conflict.map(refused_servers).unwrap_or_default();
    if !servers.is_empty() {
        return StartError::Servers(servers);
    }
    let no_room = conflict.is_some() || code == Some("ServiceQuotaExceededException");
    StartError::Other(if no_room {
        StageError::new(ErrorName::Throttled, error.message)
    } else {
        error
    })
}

/// The servers a conflict is about, each with MGN's text; from `errors[]`, else from the conflict itself.
fn refused_servers(from: &ConflictException) -> Vec<(String, String)> {
    let mut servers: Vec<(String, String)> = from
        .errors()
        .iter()
        .filter_map(|error| {
            let id = error.resource_id()?;
            let text = match (error.code(), error.message()) {
                (Some(code), Some(message)) => format!("{code}: {message}"),
                (Some(text), None) | (None, Some(text)) => text.to_owned(),
                (None, None) => from.message().unwrap_or("refused by MGN").to_owned(),
            };
            Some((id.to_owned(), text))
        })
        .collect();
    if servers.is_empty()
        && let Some(id) = from.resource_id().filter(|id| id.starts_with("s-"))
    {
        servers.push((
            id.to_owned(),
            from.message().unwrap_or("refused by MGN").to_owned(),
        ));
    }
    servers
}
