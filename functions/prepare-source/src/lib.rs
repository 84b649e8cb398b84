//! Work on the source, and the settings its target will launch with.
//!
//! Two workflow states call it. `PrepareSource` (with a task token): snapshot, Cloud Migration Factory, agent;
//! then it leaves a wait that `watch-migrations` ends. `ConfigureLaunch` (`"phase": "launch-settings"`): the EC2
//! launch template of the server. Each is safe to run twice at any point: what is done is noted in the
//! record, and looked at first.
#![warn(missing_docs)]

mod agent;
mod launch_settings;
mod source;
mod template;

use aws_config::SdkConfig;
use jiff::{Timestamp, ToSpan as _};
use landfall_common::aws_error::{code, stage_error};
use landfall_common::state::Change;
use landfall_common::state::wait::{Phase as WaitPhase, Wait, WaitKind};
use landfall_common::{Env, Invocation, Journal, Key, StageInput, stage, telemetry};
use landfall_domain::{ErrorName, EventType, MigrationRecord, StageError, Status, WorkflowPlan};
use landfall_external::LazyHttp;
use landfall_mgn::Mgn;
use serde::Deserialize;
use serde_json::{Value, json};

/// How long the agent may take to be installed and known to MGN.
const AGENT_DEADLINE_HOURS: i64 = 2;

/// What the function works with.
#[derive(Clone, Debug)]
pub struct Deps {
    /// State and events.
    pub journal: Journal,
    /// Source servers.
    pub mgn: Mgn,
    /// Launch templates.
    pub ec2: aws_sdk_ec2::Client,
    /// Run Command on the source.
    pub ssm: aws_sdk_ssm::Client,
    /// Task tokens.
    pub sfn: aws_sdk_sfn::Client,
    /// Credentials of the source's platform.
    pub secrets: aws_sdk_secretsmanager::Client,
    /// For the source's platform and Cloud Migration Factory.
    pub http: LazyHttp,
    /// The Region the agent replicates to.
    pub region: String,
    /// Cloud Migration Factory, where there is one.
    pub cmf_url: Option<String>,
    /// The role that the source assumes to install the agent, where it does not use its own.
    pub agent_role_arn: Option<String>,
}

impl Deps {
    /// From the environment.
    pub fn load(aws: &SdkConfig, env: &mut Env<'_>) -> Self {
        Self {
            journal: Journal::load(aws, env),
            mgn: Mgn::new(aws),
            ec2: aws_sdk_ec2::Client::new(aws),
            ssm: aws_sdk_ssm::Client::new(aws),
            sfn: aws_sdk_sfn::Client::new(aws),
            secrets: aws_sdk_secretsmanager::Client::new(aws),
            http: LazyHttp::default(),
            region: aws
                .region()
                .map_or_else(|| env.required("AWS_REGION"), ToString::to_string),
            cmf_url: env.optional("LANDFALL_CMF_URL"),
            agent_role_arn: env.optional("LANDFALL_AGENT_ROLE_ARN"),
        }
    }
}

/// The event. No `Debug`: whoever holds the task token can complete the state.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Input {
    #[serde(flatten)]
    stage: StageInput,
    #[serde(default)]
    task_token: Option<String>,
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
        task_token,
        phase,
    } = stage::read(event)?;
    let record = deps.journal.store.require(&input.key()).await?;
    telemetry::identify(&record);
    input.check(&record)?;
    // Futures of SDK calls are large: on the heap they do not swell the ones around them.
    match (phase, task_token) {
        (Some(Phase::LaunchSettings), _) => {
            Box::pin(launch_settings::apply(deps, record, invocation.now)).await
        }
        (None, Some(token)) => Box::pin(prepare(deps, record, token, invocation.now)).await,
        (None, None) => Err(StageError::new(
            ErrorName::InternalError,
            "the event is not what this function takes: taskToken is missing",
        )),
    }
}

async fn prepare(
    deps: &Deps,
    mut record: MigrationRecord,
    token: String,
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
        // An earlier run was done, and the sweep too; the state came again with a token nobody knows.
        _ => return complete(deps, &record, &token).await,
    };
    record = source::snapshot(deps, record, now).await?;
    record = source::register(deps, record, now).await?;
    if !WorkflowPlan::of(&record.request).replicate {
        return complete(deps, &record, &token).await;
    }
    let source_server_id = agent::connected_server(deps, &record).await?;
    if source_server_id.is_none() {
        record = agent::install(deps, record, again, now).await?;
    }
    let wait = wait_for_agent(&record, source_server_id, token, now)?;
    deps.journal.store.open_wait(&wait).await?;
    Ok(status_of(&record))
}

fn wait_for_agent(
    record: &MigrationRecord,
    source_server_id: Option<String>,
    task_token: String,
    now: Timestamp,
) -> Result<Wait, StageError> {
    let due = now
        .checked_add(AGENT_DEADLINE_HOURS.hours())
        .map_err(|error| StageError::new(ErrorName::InternalError, error.to_string()))?;
    Ok(Wait {
        key: Key::of(record),
        attempt: record.attempt,
        correlation_id: record.correlation_id.clone(),
        kind: WaitKind::Agent,
        phase: WaitPhase::Waiting,
        task_token,
        due_at: due.to_string(),
        created_at: now.to_string(),
        source_vm_id: record.request.source_vm_id.clone(),
        source_server_id,
        command: record.done.agent_command.clone(),
        policy: record.request.policy.clone(),
        intent_id: None,
        job_id: None,
        closed: false,
    })
}

/// Completes the workflow's state without a wait.
async fn complete(deps: &Deps, record: &MigrationRecord, token: &str) -> Result<Value, StageError> {
    let output = status_of(record);
    let sent = deps
        .sfn
        .send_task_success()
        .task_token(token)
        .output(output.to_string())
        .send()
        .await;
    match sent {
        Ok(_) => Ok(output),
        // The token was used by an earlier run, or its state has timed out: nobody is left to tell.
        Err(error)
            if matches!(
                code(&error),
                Some("TaskDoesNotExist" | "TaskTimedOut" | "InvalidToken")
            ) =>
        {
            tracing::info!("the task token is used already");
            Ok(output)
        }
        Err(error) => Err(stage_error(
            &error,
            ErrorName::InternalError,
            "states:SendTaskSuccess",
        )),
    }
}

fn status_of(record: &MigrationRecord) -> Value {
    let mut output = json!({ "status": record.status });
    if let Some(id) = &record.source_server_id {
        output["sourceServerId"] = id.as_str().into();
    }
    output
}
