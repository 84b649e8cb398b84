//! Work on the source, and the settings its target will launch with.
//!
//! Two workflow states call it. `PrepareSource`: snapshot, Cloud Migration Factory, and the start of the agent's
//! installation, whose end the workflow then awaits. `ConfigureLaunch` (`"phase": "launch-settings"`): the EC2
//! launch template of the server. Each is safe to run twice at any point: what is done is noted in the
//! record, and looked at first.
//!
//! Environment: `LANDFALL_TABLE`, `LANDFALL_BUS`, `AWS_REGION`; optional `LANDFALL_SOURCE_API_ALLOW` (list of origins),
//! `LANDFALL_CMF_URL` with `LANDFALL_CMF_LOGIN_URL`, `LANDFALL_CMF_SECRET_ID` and `LANDFALL_CMF_REQUIRED`,
//! `LANDFALL_AGENT_ROLE_ARN`, and how the source reaches AWS: `LANDFALL_AGENT_PROXY_URL`,
//! `LANDFALL_AGENT_NO_PROXY`, `LANDFALL_AGENT_MGN_ENDPOINT`, `LANDFALL_AGENT_S3_ENDPOINT`.
#![warn(missing_docs)]

mod agent;
mod cmf;
mod launch_settings;
mod source;
mod template;

use std::borrow::Cow;

use aws_config::SdkConfig;
use jiff::Timestamp;
use landfall_accounts::{Accounts, actions};
use landfall_common::state::Change;
use landfall_common::{Env, Invocation, Journal, StageInput, stage, telemetry};
use landfall_domain::installer::Network;
use landfall_domain::{
    EventType, MigrationRecord, MigrationRequest, StageError, Status, WorkflowPlan,
};
use landfall_external::LazyHttp;

use landfall_external::source::{Access, Ec2Sources};
use landfall_mgn::Mgn;
use serde::Deserialize;
use serde_json::{Value, json};

/// What it works with in the account that a request goes to.
type Target = (Mgn, aws_sdk_ec2::Client, aws_sdk_ssm::Client);

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
    /// Run Command on the source.
    pub ssm: aws_sdk_ssm::Client,
    /// Credentials of the source's platform.
    pub secrets: aws_sdk_secretsmanager::Client,
    /// For the source's platform and Cloud Migration Factory.
    pub http: LazyHttp,
    /// The way to sources that run on EC2.
    pub ec2_sources: Ec2Sources,
    /// The Region the agent replicates to.
    pub region: String,
    /// Origins that a request's `sourceControl.endpoint` may have.
    pub source_api_allow: Vec<String>,
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
                let (ec2, ssm) = (aws_sdk_ec2::Client::new(aws), aws_sdk_ssm::Client::new(aws));
                (Mgn::new(aws), ec2, ssm)
            }),
            mgn: Mgn::new(aws),
            ec2: aws_sdk_ec2::Client::new(aws),
            ssm: aws_sdk_ssm::Client::new(aws),
            secrets: aws_sdk_secretsmanager::Client::new(aws),
            ec2_sources: Ec2Sources::new(aws),
            cmf: landfall_external::cmf::Access::load(aws, env, &http),
            http,
            region: aws
                .region()
                .map_or_else(|| env.required("AWS_REGION"), ToString::to_string),
            source_api_allow: env.list("LANDFALL_SOURCE_API_ALLOW"),
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
        let there = self
            .accounts
            .enter(account, &invocation.function_arn)
            .await?;
        let region = account
            .map_or(&self.region, |account| &account.region)
            .clone();
        Ok(match there {
            None => Cow::Borrowed(self),
            Some((mgn, ec2, ssm)) => Cow::Owned(Self {
                mgn,
                ec2,
                ssm,
                region,
                ..self.clone()
            }),
        })
    }

    /// What the source's machine is reached with, in the deployment's own account.
    fn sources(&self) -> Access<'_> {
        Access {
            http: &self.http,
            secrets: &self.secrets,
            ec2: &self.ec2_sources,
            allowed: &self.source_api_allow,
        }
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
    LaunchSettings,
}

/// Prepares a source, or with `"phase": "launch-settings"` its launch template.
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
    let outcome = match phase {
        Some(Phase::LaunchSettings) => {
            Box::pin(launch_settings::apply(deps, record, invocation.now)).await
        }
        None => Box::pin(prepare(deps, record, invocation.now)).await,
    };
    match outcome {
        Ok(output) => Ok(output),
        Err(error) => Err(deps.accounts.explain_error(account.as_ref(), error).await),
    }
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

fn status_of(record: &MigrationRecord) -> Value {
    let mut output = json!({ "status": record.status });
    if let Some(id) = &record.source_server_id {
        output["sourceServerId"] = id.as_str().into();
    }
    output
}
