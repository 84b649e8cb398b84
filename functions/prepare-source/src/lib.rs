//! Work on the source, and the settings its target will launch with.
//!
//! Three workflow states call it. `PrepareSource`: snapshot, Cloud Migration Factory, and the start of the agent's
//! installation, whose end the workflow then awaits. `ConfigureReplication` (`"phase": "replication-settings"`): the
//! key that the staging disks are encrypted with. `ConfigureLaunch` (`"phase": "launch-settings"`): MGN's launch
//! configuration and the EC2 launch template of the server. Each is safe to run twice at any point: what is done is
//! noted in the record, and looked at first.
//!
//! Environment: `LANDFALL_TABLE`, `LANDFALL_BUS`, `AWS_REGION`; optional `LANDFALL_SOURCE_API_ALLOW` (list of origins),
//! `LANDFALL_CMF_URL` with `LANDFALL_CMF_LOGIN_URL`, `LANDFALL_CMF_SECRET_ID` and `LANDFALL_CMF_REQUIRED`,
//! `LANDFALL_AGENT_ROLE_ARN`, and how the source reaches AWS: `LANDFALL_AGENT_PROXY_URL`,
//! `LANDFALL_AGENT_NO_PROXY`, `LANDFALL_AGENT_MGN_ENDPOINT`, `LANDFALL_AGENT_S3_ENDPOINT`.
#![warn(missing_docs)]

mod agent;
mod cmf;
mod launch_settings;
mod replication;
mod source;

use std::borrow::Cow;

use aws_config::SdkConfig;
use jiff::Timestamp;
use landfall_accounts::{Accounts, actions};
use landfall_common::state::Change;
use landfall_common::{Env, Invocation, Journal, StageInput, stage, telemetry};
use landfall_domain::installer::Network;
use landfall_domain::record::Failure;
use landfall_domain::{
    ErrorName, EventType, MigrationRecord, MigrationRequest, StageError, Status, WorkflowPlan,
};
use landfall_external::LazyHttp;
use landfall_external::source as source_api;
use landfall_mgn::Mgn;
use serde::Deserialize;
use serde_json::{Value, json};

/// What it works with in the account that a request goes to.
type Target = (
    Mgn,
    aws_sdk_ec2::Client,
    aws_sdk_kms::Client,
    aws_sdk_ssm::Client,
);

/// The error name of settings that are refused.
const FAULT: ErrorName = ErrorName::SourcePreparationError;

/// What the function works with.
#[derive(Clone, Debug)]
pub struct Deps {
    /// State and events.
    pub journal: Journal,
    /// The clients of other accounts.
    pub accounts: Accounts<Target>,
    /// Source servers.
    pub mgn: Mgn,
    /// Launch templates.
    pub ec2: aws_sdk_ec2::Client,
    /// The key that a request names.
    pub kms: aws_sdk_kms::Client,
    /// Run Command on the source.
    pub ssm: aws_sdk_ssm::Client,
    /// The way to the machine that moves, in the deployment's own account.
    pub sources: source_api::Access,
    /// The Region the agent replicates to.
    pub region: String,
    /// Cloud Migration Factory, where there is one.
    pub cmf: Option<landfall_external::cmf::Access>,
    /// The role that the source assumes to install the agent, where it does not use its own.
    pub agent_role_arn: Option<String>,
    /// How sources reach AWS, where a request does not say.
    pub agent_network: Network,
}

impl Deps {
    /// From the environment.
    pub fn load(aws: &SdkConfig, env: &mut Env<'_>) -> Self {
        let http = LazyHttp::default();
        Self {
            journal: Journal::load(aws, env),
            accounts: Accounts::new(aws, actions::PREPARE_SOURCE, |aws| {
                (
                    Mgn::new(aws),
                    aws_sdk_ec2::Client::new(aws),
                    aws_sdk_kms::Client::new(aws),
                    aws_sdk_ssm::Client::new(aws),
                )
            }),
            mgn: Mgn::new(aws),
            ec2: aws_sdk_ec2::Client::new(aws),
            kms: aws_sdk_kms::Client::new(aws),
            ssm: aws_sdk_ssm::Client::new(aws),
            sources: source_api::Access::load(aws, env, &http),
            cmf: landfall_external::cmf::Access::load(aws, env, &http),
            region: aws
                .region()
                .map_or_else(|| env.required("AWS_REGION"), ToString::to_string),
            agent_role_arn: env.optional("LANDFALL_AGENT_ROLE_ARN"),
            agent_network: Network {
                proxy_url: env.optional("LANDFALL_AGENT_PROXY_URL"),
                no_proxy: env.optional("LANDFALL_AGENT_NO_PROXY"),
                mgn_endpoint: env.optional("LANDFALL_AGENT_MGN_ENDPOINT"),
                s3_endpoint: env.optional("LANDFALL_AGENT_S3_ENDPOINT"),
            },
        }
    }

    /// The same, working in the account that a request goes to.
    ///
    /// # Errors
    /// `PrerequisiteError` when the account cannot be entered, or a transient error.
    async fn at(
        &self,
        request: &MigrationRequest,
        invocation: &Invocation,
    ) -> Result<Cow<'_, Self>, StageError> {
        let account = request.account.as_ref();
        let arn = &invocation.function_arn;
        let work_there = |deps: &mut Self, (mgn, ec2, kms, ssm): Target| {
            deps.mgn = mgn;
            deps.ec2 = ec2;
            deps.kms = kms;
            deps.ssm = ssm;
            if let Some(account) = account {
                deps.region.clone_from(&account.region);
            }
        };
        self.accounts.at(self, account, arn, work_there).await
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Input {
    #[serde(flatten)]
    stage: StageInput,
    #[serde(default)]
    phase: Option<Phase>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Phase {
    ReplicationSettings,
    LaunchSettings,
}

/// Prepares a source, or with a phase the settings that MGN replicates or launches it with.
///
/// # Errors
/// `SourcePreparationError` with what to mend, or a transient error.
pub async fn handle(
    deps: &Deps,
    event: Value,
    invocation: Invocation,
) -> Result<Value, StageError> {
    let Input {
        stage: input,
        phase,
    } = stage::read(event)?;
    let record = deps.journal.store.require(&input.key()).await?;
    telemetry::identify(&record);
    input.check(&record)?;
    let deps = &*deps.at(&record.request, &invocation).await?;
    let account = record.request.account.clone();
    // Futures of SDK calls are large: on the heap they do not swell the ones around them.
    let done = match phase {
        Some(Phase::ReplicationSettings) => {
            Box::pin(replication::apply(deps, record, invocation.now)).await
        }
        Some(Phase::LaunchSettings) => {
            Box::pin(launch_settings::apply(deps, record, invocation.now)).await
        }
        None => Box::pin(prepare(deps, record, invocation.now)).await,
    };
    let error = match done {
        Ok(output) => return Ok(output),
        Err(error) => deps.accounts.explain_error(account.as_ref(), error).await,
    };
    if error.findings.is_empty() {
        Err(error)
    } else {
        Err(Box::pin(noted(deps, &input, error, invocation.now)).await)
    }
}

/// Writes the findings of an error into the record: Step Functions hands only their text on.
async fn noted(deps: &Deps, input: &StageInput, error: StageError, now: Timestamp) -> StageError {
    let store = &deps.journal.store;
    let saved = async {
        let mut record = store.require(&input.key()).await?;
        if !record
            .failure
            .as_ref()
            .is_some_and(|noted| noted.is(&error))
        {
            record.failure = Some(Failure::of(&error));
            store.save(record, now).await?;
        }
        Ok::<_, StageError>(())
    };
    if let Err(lost) = saved.await {
        tracing::warn!(
            error = lost.name.as_str(),
            context = lost.context,
            "the findings are told as text only: {lost}"
        );
    }
    error
}

async fn prepare(
    deps: &Deps,
    mut record: MigrationRecord,
    now: Timestamp,
) -> Result<Value, StageError> {
    let again = match record.status {
        Status::Validating => {
            let change = Change::to(Status::Preparing, EventType::PreparationStarted)
                .evidence(source::intent(&record.request));
            record = Box::pin(deps.journal.advance(record, change, now)).await?;
            false
        }
        Status::Preparing => true,
        // An earlier run was done, and the sweep too.
        _ => return Ok(status_of(&record)),
    };
    record = source::snapshot(deps, record, now).await?;
    record = cmf::register(deps, record, now).await?;
    if WorkflowPlan::of(&record.request).replicate && agent::is_wanted(deps, &record).await? {
        record = agent::install(deps, record, again, now).await?;
    }
    Ok(status_of(&record))
}

/// The ARN of the key that the request names, if it names one.
async fn key_arn(deps: &Deps, request: &MigrationRequest) -> Result<Option<String>, StageError> {
    match &request.kms_key_id {
        Some(id) => {
            let key = landfall_launch::key(&deps.kms, id, FAULT).await?;
            Ok(Some(key.into_arn(FAULT)?))
        }
        None => Ok(None),
    }
}

fn status_of(record: &MigrationRecord) -> Value {
    let mut output = json!({ "status": record.status });
    if let Some(id) = &record.source_server_id {
        output["sourceServerId"] = id.as_str().into();
    }
    output
}
