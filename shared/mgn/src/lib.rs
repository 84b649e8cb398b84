//! The typed gateway to AWS Application Migration Service: the only place that calls it.
//!
//! It pages, translates MGN's shapes into small ones of ours, and classifies errors. It takes no decision and
//! keeps no state. StartTest and StartCutover have no client token: callers tag the job with
//! [`INTENT_TAG`] and look for the tag before they call again.
#![warn(missing_docs)]

mod configuration;
mod convert;
pub mod identity;
mod types;

use std::collections::HashMap;

use aws_config::SdkConfig;
use aws_sdk_mgn::Client;
use aws_sdk_mgn::config::retry::RetryConfig;
use aws_sdk_mgn::types::{
    ChangeServerLifeCycleStateSourceServerLifecycle,
    ChangeServerLifeCycleStateSourceServerLifecycleState, DescribeJobsRequestFilters,
    DescribeSourceServersRequestFilters,
};
use jiff::Timestamp;
use landfall_common::AwsResultExt;
use landfall_common::aws_error::{code, stage_error};
use landfall_domain::record::LaunchAction;
use landfall_domain::{ErrorName, StageError};

pub use types::{
    Job, JobLogLine, LaunchConfiguration, LaunchStatus, LaunchedInstance, Participant,
    PostLaunchAction, ReplicatedDisk, ReplicationConfiguration, Server,
};

/// The tag of a job that tells which of our intents started it.
pub const INTENT_TAG: &str = "landfall:intent";

/// The most IDs a `DescribeSourceServers` filter takes (API model).
const MAX_SERVER_IDS: usize = 200;
/// The most IDs a `DescribeJobs` filter takes (API model).
const MAX_JOB_IDS: usize = 1_000;
/// The largest page.
const PAGE: i32 = 1_000;

/// The gateway.
#[derive(Clone, Debug)]
pub struct Mgn {
    client: Client,
}

/// Why a start was not accepted.
#[derive(Clone, Debug, PartialEq)]
pub enum StartError {
    /// MGN refused because of some servers: each with MGN's own text. Nothing was started.
    Servers(Vec<(String, String)>),
    /// Any other failure. A transient one may hide that the job was started: look for the tag first.
    Other(StageError),
}

impl Mgn {
    /// On the given configuration; `AWS_ENDPOINT_URL_MGN` is honoured by the SDK.
    pub fn new(aws: &SdkConfig) -> Self {
        Self {
            client: Client::new(aws),
        }
    }

    /// On a client that exists; for tests.
    pub fn with_client(client: Client) -> Self {
        Self { client }
    }

    /// Whether the account and Region are initialized.
    pub async fn is_initialized(&self) -> Result<bool, StageError> {
        match self
            .client
            .describe_replication_configuration_templates()
            .max_results(1)
            .send()
            .await
        {
            Ok(answer) => Ok(!answer.items().is_empty()),
            Err(error) if code(&error) == Some("UninitializedAccountException") => Ok(false),
            Err(error) => Err(stage_error(
                &error,
                ErrorName::PrerequisiteError,
                "mgn:DescribeReplicationConfigurationTemplates",
            )),
        }
    }

    /// The servers with these IDs that are not archived, in pages of 200. Unknown IDs are absent.
    pub async fn servers(&self, ids: &[String]) -> Result<Vec<Server>, StageError> {
        let mut servers = Vec::with_capacity(ids.len());
        for ids in ids.chunks(MAX_SERVER_IDS) {
            let filters = DescribeSourceServersRequestFilters::builder()
                .set_source_server_ids(Some(ids.to_vec()))
                .is_archived(false)
                .build();
            servers.extend(self.describe_servers(filters).await?);
        }
        Ok(servers)
    }

    /// The server with this ID, if it is there and not archived.
    pub async fn server(&self, id: &str) -> Result<Option<Server>, StageError> {
        Ok(self.servers(&[id.to_owned()]).await?.into_iter().next())
    }

    /// Every server that is not archived.
    pub async fn all_servers(&self) -> Result<Vec<Server>, StageError> {
        self.describe_servers(
            DescribeSourceServersRequestFilters::builder()
                .is_archived(false)
                .build(),
        )
        .await
    }

    /// Every server that is archived.
    pub async fn archived_servers(&self) -> Result<Vec<Server>, StageError> {
        self.describe(
            DescribeSourceServersRequestFilters::builder()
                .is_archived(true)
                .build(),
            true,
        )
        .await
    }

    async fn describe_servers(
        &self,
        filters: DescribeSourceServersRequestFilters,
    ) -> Result<Vec<Server>, StageError> {
        self.describe(filters, false).await
    }

    async fn describe(
        &self,
        filters: DescribeSourceServersRequestFilters,
        archived: bool,
    ) -> Result<Vec<Server>, StageError> {
        let mut items = self
            .client
            .describe_source_servers()
            .filters(filters)
            .max_results(PAGE)
            .into_paginator()
            .items()
            .send();
        let mut servers = Vec::new();
        while let Some(item) = items.next().await {
            let item = item.or_stage(ErrorName::PrerequisiteError, "mgn:DescribeSourceServers")?;
            // Archived twins stay in answers whatever the filter promises.
            servers.extend(convert::server(&item).filter(|server| server.archived == archived));
        }
        Ok(servers)
    }

    /// The jobs with these IDs.
    pub async fn jobs(&self, ids: &[String]) -> Result<Vec<Job>, StageError> {
        let mut jobs = Vec::new();
        for ids in ids.chunks(MAX_JOB_IDS) {
            let filters = DescribeJobsRequestFilters::builder()
                .set_job_ids(Some(ids.to_vec()))
                .build();
            jobs.extend(self.describe_jobs(filters).await?);
        }
        Ok(jobs)
    }

    /// The jobs created since a time, the newest first.
    pub async fn jobs_since(&self, from: Timestamp) -> Result<Vec<Job>, StageError> {
        // MGN wants seconds and `Z` in filters.
        let from = from.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        self.describe_jobs(
            DescribeJobsRequestFilters::builder()
                .from_date(from)
                .build(),
        )
        .await
    }

    async fn describe_jobs(
        &self,
        filters: DescribeJobsRequestFilters,
    ) -> Result<Vec<Job>, StageError> {
        let mut items = self
            .client
            .describe_jobs()
            .filters(filters)
            .max_results(PAGE)
            .into_paginator()
            .items()
            .send();
        let mut jobs = Vec::new();
        while let Some(item) = items.next().await {
            let item = item.or_stage(ErrorName::MigrationExecutionError, "mgn:DescribeJobs")?;
            jobs.push(convert::job(&item));
        }
        Ok(jobs)
    }

    /// What the log of a job says, oldest first.
    pub async fn job_log(&self, job_id: &str) -> Result<Vec<JobLogLine>, StageError> {
        let mut items = self
            .client
            .describe_job_log_items()
            .job_id(job_id)
            .max_results(PAGE)
            .into_paginator()
            .items()
            .send();
        let mut lines = Vec::new();
        while let Some(item) = items.next().await {
            let item = item.or_stage(
                ErrorName::MigrationExecutionError,
                "mgn:DescribeJobLogItems",
            )?;
            lines.push(convert::log_line(&item));
        }
        Ok(lines)
    }

    /// Starts a test or a cutover of up to 200 servers, tagged with the intent. Never tried again by the SDK: the call
    /// has no client token, so whoever lost its answer must look for the tag first.
    ///
    /// # Errors
    /// [`StartError::Servers`] when MGN names the servers at fault; the others may be started without them.
    /// [`StartError::Other`] is transient where the call may have been carried out or MGN has no room now.
    pub async fn start(
        &self,
        action: LaunchAction,
        server_ids: &[String],
        tags: HashMap<String, String>,
    ) -> Result<Job, StartError> {
        let ids = Some(server_ids.to_vec());
        let answer = match action {
            LaunchAction::Test => self
                .client
                .start_test()
                .set_source_server_ids(ids)
                .set_tags(Some(tags))
                .customize()
                .config_override(once())
                .send()
                .await
                .map(|answer| answer.job)
                .map_err(|error| convert::test_refusal(&error)),
            LaunchAction::Cutover => self
                .client
                .start_cutover()
                .set_source_server_ids(ids)
                .set_tags(Some(tags))
                .customize()
                .config_override(once())
                .send()
                .await
                .map(|answer| answer.job)
                .map_err(|error| convert::cutover_refusal(&error)),
        };
        answer?.as_ref().map(convert::job).ok_or_else(|| {
            StartError::Other(StageError::new(
                ErrorName::DependencyUnavailable,
                "MGN answered a launch without a job",
            ))
        })
    }

    /// Terminates what was launched for a server. MGN refuses it in TESTING, CUTTING_OVER and CUTOVER. Never tried again
    /// by the SDK, as [`Mgn::start`] is not.
    pub async fn terminate(
        &self,
        server_id: &str,
        tags: HashMap<String, String>,
    ) -> Result<Job, StageError> {
        let answer = self
            .client
            .terminate_target_instances()
            .source_server_ids(server_id)
            .set_tags(Some(tags))
            .customize()
            .config_override(once())
            .send()
            .await
            .map_err(|error| convert::terminate_refusal(&error))?;
        answer.job.as_ref().map(convert::job).ok_or_else(|| {
            StageError::new(
                ErrorName::DependencyUnavailable,
                "mgn:TerminateTargetInstances answered without a job",
            )
        })
    }

    /// Sets the lifecycle to `READY_FOR_TEST`, `READY_FOR_CUTOVER` or `CUTOVER`.
    pub async fn change_lifecycle(
        &self,
        server_id: &str,
        state: &str,
        name: ErrorName,
    ) -> Result<(), StageError> {
        let life_cycle = ChangeServerLifeCycleStateSourceServerLifecycle::builder()
            .state(ChangeServerLifeCycleStateSourceServerLifecycleState::from(
                state,
            ))
            .build()
            .map_err(|error| StageError::new(ErrorName::InternalError, error.to_string()))?;
        self.client
            .change_server_life_cycle_state()
            .source_server_id(server_id)
            .life_cycle(life_cycle)
            .send()
            .await
            .or_stage(name, "mgn:ChangeServerLifeCycleState")?;
        Ok(())
    }

    /// Has a stalled replication begin again. MGN takes it from a server that is STALLED only.
    pub async fn retry_replication(&self, server_id: &str) -> Result<(), StageError> {
        self.client
            .retry_data_replication()
            .source_server_id(server_id)
            .send()
            .await
            .or_stage(
                ErrorName::MigrationExecutionError,
                "mgn:RetryDataReplication",
            )?;
        Ok(())
    }

    /// Ends the replication of a server and its connection with MGN. What was launched stays.
    ///
    /// # Errors
    /// A refusal with the name given, or a transient failure.
    pub async fn disconnect(&self, server_id: &str, name: ErrorName) -> Result<(), StageError> {
        self.client
            .disconnect_from_service()
            .source_server_id(server_id)
            .send()
            .await
            .or_stage(name, "mgn:DisconnectFromService")?;
        Ok(())
    }

    /// Ends replication for good: the point of no return. Never tried again by the SDK, for MGN may refuse a second one;
    /// whoever lost the answer looks for the lifecycle CUTOVER.
    pub async fn finalize_cutover(&self, server_id: &str) -> Result<(), StageError> {
        self.client
            .finalize_cutover()
            .source_server_id(server_id)
            .customize()
            .config_override(once())
            .send()
            .await
            .or_stage(ErrorName::CutoverError, "mgn:FinalizeCutover")?;
        Ok(())
    }

    /// Archives a server that is in CUTOVER or DISCONNECTED. There is no way back; a second call changes nothing.
    pub async fn archive(&self, server_id: &str) -> Result<(), StageError> {
        self.client
            .mark_as_archived()
            .source_server_id(server_id)
            .send()
            .await
            .or_stage(ErrorName::CutoverError, "mgn:MarkAsArchived")?;
        Ok(())
    }
}

/// For a call that must not be made twice.
fn once() -> aws_sdk_mgn::config::Builder {
    aws_sdk_mgn::config::Builder::new().retry_config(RetryConfig::disabled())
}
