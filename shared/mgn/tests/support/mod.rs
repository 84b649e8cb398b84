//! MGN in memory, for the tests of the functions that share it by `#[path]`.
#![allow(dead_code, reason = "each test takes the part it needs")]

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use aws_sdk_mgn::operation::{
    change_server_life_cycle_state as change, describe_job_log_items as log, describe_jobs as jobs,
    describe_source_servers as servers, retry_data_replication as retry, start_cutover, start_test,
};
use aws_sdk_mgn::types as sdk;
use aws_sdk_mgn::types::error::ConflictException;
use aws_smithy_mocks::{RuleMode, mock_client};

use crate::support::{Calls, answer};

/// A source server.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) id: String,
    pub(crate) vm: String,
    pub(crate) lifecycle: String,
    pub(crate) state: String,
    pub(crate) lag: Option<String>,
    pub(crate) replicated: i64,
    pub(crate) snapshot: Option<String>,
    pub(crate) error: Option<String>,
    /// The instance that runs for it, and the job that launched it.
    pub(crate) launched: Option<(String, String)>,
}

impl Server {
    /// The server of a migration, replicating without lag.
    pub(crate) fn of(migration_id: &str, lifecycle: &str) -> Self {
        Self {
            id: format!("s-{migration_id}"),
            vm: format!("vm-{migration_id}"),
            lifecycle: lifecycle.into(),
            state: "CONTINUOUS".into(),
            lag: Some("PT0S".into()),
            replicated: 100,
            snapshot: None,
            error: None,
            launched: None,
        }
    }

    fn sdk(&self) -> sdk::SourceServer {
        let disk = sdk::DataReplicationInfoReplicatedDisk::builder()
            .total_storage_bytes(100)
            .replicated_storage_bytes(self.replicated)
            .build();
        let error = self.error.as_deref().map(|error| {
            sdk::DataReplicationError::builder()
                .error(error.into())
                .build()
        });
        let replication = sdk::DataReplicationInfo::builder()
            .data_replication_state(self.state.as_str().into())
            .set_lag_duration(self.lag.clone())
            .set_last_snapshot_date_time(self.snapshot.clone())
            .replicated_disks(disk)
            .set_data_replication_error(error)
            .build();
        sdk::SourceServer::builder()
            .source_server_id(&self.id)
            .user_provided_id(&self.vm)
            .life_cycle(
                sdk::LifeCycle::builder()
                    .state(self.lifecycle.as_str().into())
                    .build(),
            )
            .data_replication_info(replication)
            .set_launched_instance(self.launched.as_ref().map(|(instance, job)| {
                sdk::LaunchedInstance::builder()
                    .ec2_instance_id(instance)
                    .job_id(job)
                    .build()
            }))
            .build()
    }
}

/// A job: its servers with launch status and instance.
#[derive(Clone)]
pub(crate) struct Job {
    pub(crate) id: String,
    pub(crate) completed: bool,
    pub(crate) servers: Vec<(String, String, Option<String>)>,
    pub(crate) tags: HashMap<String, String>,
}

impl Job {
    fn sdk(&self) -> sdk::Job {
        let participants = self.servers.iter().map(|(id, status, instance)| {
            sdk::ParticipatingServer::builder()
                .source_server_id(id)
                .launch_status(status.as_str().into())
                .set_launched_ec2_instance_id(instance.clone())
                .build()
                .unwrap()
        });
        let status = if self.completed {
            "COMPLETED"
        } else {
            "STARTED"
        };
        sdk::Job::builder()
            .job_id(&self.id)
            .status(status.into())
            .set_tags(Some(self.tags.clone()))
            .set_participating_servers(Some(participants.collect()))
            .build()
            .unwrap()
    }
}

/// The account's MGN.
#[derive(Default)]
pub(crate) struct Account {
    pub(crate) servers: Vec<Server>,
    pub(crate) jobs: Vec<Job>,
    /// Servers that a start is refused for, each with MGN's text.
    pub(crate) refuses: BTreeMap<String, String>,
    /// Jobs of others that begin just before our next start.
    pub(crate) begins_with_start: Vec<Job>,
    /// Servers whose replication MGN was asked to begin again.
    pub(crate) retried: Vec<String>,
    /// How often a start was refused because of the account's quotas.
    pub(crate) over_quota: usize,
    /// What the job logs say: event, server, raw error.
    pub(crate) log: Vec<(String, String, String)>,
}

impl Account {
    fn start(
        &mut self,
        ids: &[String],
        tags: Option<&HashMap<String, String>>,
    ) -> Result<sdk::Job, ConflictException> {
        self.jobs.append(&mut self.begins_with_start);
        let refused = ids
            .iter()
            .filter_map(|id| Some((id, self.refuses.get(id)?)));
        let errors: Vec<_> = refused
            .map(|(id, text)| {
                sdk::ErrorDetails::builder()
                    .resource_id(id)
                    .message(text)
                    .build()
            })
            .collect();
        if !errors.is_empty() {
            return Err(ConflictException::builder()
                .message("some servers cannot be launched")
                .set_errors(Some(errors))
                .build());
        }
        let unfinished = self.jobs.iter().filter(|job| !job.completed);
        let in_flight: usize = unfinished.clone().map(|job| job.servers.len()).sum();
        if unfinished.count() >= 20 || in_flight + ids.len() > 200 {
            self.over_quota += 1;
            return Err(ConflictException::builder()
                .message("too many jobs or servers in progress")
                .build());
        }
        let job = Job {
            id: format!("mgnjob-{}", self.jobs.len() + 1),
            completed: false,
            servers: ids
                .iter()
                .map(|id| (id.clone(), "PENDING".into(), None))
                .collect(),
            tags: tags.cloned().unwrap_or_default(),
        };
        self.jobs.push(job.clone());
        Ok(job.sdk())
    }
}

#[allow(clippy::too_many_lines, reason = "one rule per operation")]
pub(crate) fn client(account: &Arc<Mutex<Account>>, calls: &Calls) -> aws_sdk_mgn::Client {
    use aws_sdk_mgn::Client;
    let describe = answer!(
        calls,
        account = account,
        Client::describe_source_servers,
        servers::DescribeSourceServersError,
        "DescribeSourceServers",
        |input| {
            let ids = input.filters().unwrap().source_server_ids();
            let found = account.servers.iter();
            let found = found.filter(|s| ids.is_empty() || ids.contains(&s.id));
            Ok(servers::DescribeSourceServersOutput::builder()
                .set_items(Some(found.map(Server::sdk).collect()))
                .build())
        }
    );
    let jobs = answer!(
        calls,
        account = account,
        Client::describe_jobs,
        jobs::DescribeJobsError,
        "DescribeJobs",
        |input| {
            let ids = input.filters().unwrap().job_ids();
            let found = account.jobs.iter();
            let found = found.filter(|job| ids.is_empty() || ids.contains(&job.id));
            Ok(jobs::DescribeJobsOutput::builder()
                .set_items(Some(found.map(Job::sdk).collect()))
                .build())
        }
    );
    let log = answer!(
        calls,
        account = account,
        Client::describe_job_log_items,
        log::DescribeJobLogItemsError,
        "DescribeJobLogItems",
        |_input| {
            let lines = account.log.iter().map(|(event, server, raw)| {
                let data = sdk::JobLogEventData::builder()
                    .source_server_id(server)
                    .raw_error(raw)
                    .build();
                sdk::JobLog::builder()
                    .event(event.as_str().into())
                    .event_data(data)
                    .build()
            });
            Ok(log::DescribeJobLogItemsOutput::builder()
                .set_items(Some(lines.collect()))
                .build())
        }
    );
    let test = answer!(
        calls,
        account = account,
        Client::start_test,
        start_test::StartTestError,
        "StartTest",
        |input| {
            let job = account.start(input.source_server_ids(), input.tags());
            let job = job.map_err(start_test::StartTestError::ConflictException)?;
            Ok(start_test::StartTestOutput::builder().job(job).build())
        }
    );
    let cutover = answer!(
        calls,
        account = account,
        Client::start_cutover,
        start_cutover::StartCutoverError,
        "StartCutover",
        |input| {
            let job = account.start(input.source_server_ids(), input.tags());
            let job = job.map_err(start_cutover::StartCutoverError::ConflictException)?;
            Ok(start_cutover::StartCutoverOutput::builder()
                .job(job)
                .build())
        }
    );
    let change = answer!(
        calls,
        account = account,
        Client::change_server_life_cycle_state,
        change::ChangeServerLifeCycleStateError,
        "ChangeServerLifeCycleState",
        |input| {
            let wanted = input.life_cycle().unwrap().state().to_string();
            let id = input.source_server_id();
            let server = account
                .servers
                .iter_mut()
                .find(|s| Some(s.id.as_str()) == id);
            server.unwrap().lifecycle = wanted;
            Ok(change::ChangeServerLifeCycleStateOutput::builder().build())
        }
    );
    let retry = answer!(
        calls,
        account = account,
        Client::retry_data_replication,
        retry::RetryDataReplicationError,
        "RetryDataReplication",
        |input| {
            let id = input.source_server_id().unwrap().to_owned();
            account.retried.push(id);
            Ok(retry::RetryDataReplicationOutput::builder().build())
        }
    );
    mock_client!(
        aws_sdk_mgn,
        RuleMode::MatchAny,
        [&describe, &jobs, &log, &test, &cutover, &change, &retry]
    )
}
