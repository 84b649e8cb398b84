//! The function in a world where one migration, `mig-1`, waits with `token-1`.

use std::sync::{Arc, Mutex};

use aws_sdk_ssm::operation::get_command_invocation as invocation;
use aws_smithy_mocks::{RuleMode, mock_client};
use landfall_common::Invocation;
use landfall_common::state::wait::{Phase, Wait, WaitKind};
use landfall_domain::record::{AgentCommand, Launch, LaunchAction};
use landfall_domain::{MigrationRecord, StageError, Status};
use landfall_mgn::Mgn;
use serde_json::{Value, json};
use watch_migrations::{Deps, handle};

use crate::mgn::{self, Account, Job, Server};
use crate::support::{Aws, Calls, answer, batch, key, now, record, sent_back, stage_input};
use crate::tasks::{self, Ended, Tasks};

/// What SSM says of the agent's installation.
#[derive(Clone, Default)]
pub(crate) struct Command {
    status: String,
    output: String,
}

impl Command {
    pub(crate) fn ended(status: &str, output: &str) -> Self {
        Self {
            status: status.into(),
            output: output.into(),
        }
    }
}

fn ssm(command: &Arc<Mutex<Command>>, calls: &Calls) -> aws_sdk_ssm::Client {
    use aws_sdk_ssm::Client;
    let get = answer!(
        calls,
        command = command,
        Client::get_command_invocation,
        invocation::GetCommandInvocationError,
        "GetCommandInvocation",
        |_input| {
            Ok(invocation::GetCommandInvocationOutput::builder()
                .status(command.status.as_str().into())
                .standard_output_content(&command.output)
                .build())
        }
    );
    mock_client!(aws_sdk_ssm, RuleMode::MatchAny, [&get])
}

#[derive(Default)]
pub(crate) struct Stage {
    pub(crate) aws: Aws,
    pub(crate) account: Arc<Mutex<Account>>,
    pub(crate) tasks: Arc<Mutex<Tasks>>,
    pub(crate) command: Arc<Mutex<Command>>,
}

impl Stage {
    /// The agent of `mig-1` was sent, and MGN knows its server.
    pub(crate) async fn agent() -> Self {
        let stage = Self::default();
        stage.also_agent("mig-1").await;
        stage
    }

    /// The source of `mig-1` is brought to MGN as its request says; no agent was sent.
    pub(crate) async fn brought_by(kind: &str) -> Self {
        let stage = Self::default();
        stage.preparing("mig-1").await;
        let mut preparing = stage.aws.record("mig-1").await;
        preparing.done.agent_command = None;
        let agent = serde_json::from_value(json!({ "kind": kind })).unwrap();
        preparing.request.agent = Some(agent);
        stage.aws.store().save(preparing, now()).await.unwrap();
        let mut wait = wait("mig-1", WaitKind::Agent);
        wait.source_server_id = None;
        stage.aws.store().open_wait(&wait).await.unwrap();
        stage
    }

    /// Another migration whose agent was sent.
    pub(crate) async fn also_agent(&self, id: &str) {
        let preparing = self.preparing(id).await;
        let mut wait = wait(id, WaitKind::Agent);
        wait.source_server_id = None;
        wait.command = preparing.done.agent_command;
        self.aws.store().open_wait(&wait).await.unwrap();
    }

    /// A migration whose agent was sent; no wait is open.
    pub(crate) async fn preparing(&self, id: &str) -> MigrationRecord {
        let mut preparing = record(id, Status::Preparing);
        preparing.source_server_id = None;
        preparing.done.agent_command = Some(AgentCommand {
            command_id: "command-1".into(),
            instance_id: "mi-1".into(),
        });
        self.aws.put(preparing.clone()).await;
        let server = Server::of(id, "NOT_READY");
        self.account.lock().unwrap().servers.push(server);
        preparing
    }

    /// `mig-1` replicates without lag; no wait is open.
    pub(crate) async fn replicating() -> Self {
        let stage = Self::default();
        stage.aws.put(record("mig-1", Status::Replicating)).await;
        let server = Server::of("mig-1", "READY_FOR_TEST");
        stage.account.lock().unwrap().servers.push(server);
        stage
    }

    /// `mig-1` replicates without lag, and waits for that.
    pub(crate) async fn replication_waits() -> Self {
        let stage = Self::replicating().await;
        let wait = wait("mig-1", WaitKind::Replication);
        stage.aws.store().open_wait(&wait).await.unwrap();
        stage
    }

    /// The test job of `mig-1` is completed; its launch ended as told.
    pub(crate) async fn launching(status: &str, instance: Option<&str>) -> Self {
        Self::launched_by(LaunchAction::Test, status, instance).await
    }

    /// The same of a cutover whose instance is there.
    pub(crate) async fn cutting_over(instance: &str) -> Self {
        Self::launched_by(LaunchAction::Cutover, "LAUNCHED", Some(instance)).await
    }

    async fn launched_by(action: LaunchAction, status: &str, instance: Option<&str>) -> Self {
        let stage = Self::default();
        let mut launching = record(
            "mig-1",
            match action {
                LaunchAction::Test => Status::Testing,
                LaunchAction::Cutover => Status::CuttingOver,
            },
        );
        *launching.done.launch_mut(action) = Some(Launch {
            job_id: "mgnjob-1".into(),
            settings_digest: "settings".into(),
            started_at: now().to_string(),
            instance_id: None,
            verified_at: None,
        });
        stage.aws.put(launching).await;
        let mut wait = wait("mig-1", WaitKind::launch(action));
        wait.job_id = Some("mgnjob-1".into());
        stage.aws.store().open_wait(&wait).await.unwrap();
        stage.account.lock().unwrap().jobs.push(Job {
            id: "mgnjob-1".into(),
            completed: true,
            servers: vec![("s-mig-1".into(), status.into(), instance.map(str::to_owned))],
            tags: [].into(),
        });
        stage
    }

    /// Another server of the same job, whose launch failed.
    pub(crate) async fn also_launching(&self, id: &str) {
        self.aws.put(record(id, Status::Testing)).await;
        let mut wait = wait(id, WaitKind::TestLaunch);
        wait.job_id = Some("mgnjob-1".into());
        wait.source_server_id = Some(format!("s-{id}"));
        self.aws.store().open_wait(&wait).await.unwrap();
        self.job(|job| {
            let part = (format!("s-{id}"), "FAILED".into(), None);
            job.servers.push(part);
        });
    }

    pub(crate) async fn handle(&self, event: Value) -> Result<Value, StageError> {
        self.handle_at(event, &now().to_string()).await
    }

    async fn handle_at(&self, event: Value, at: &str) -> Result<Value, StageError> {
        let calls = &self.aws.calls;
        let deps = Deps {
            accounts: landfall_accounts::Accounts::home_only(),
            journal: self.aws.journal(),
            mgn: Mgn::with_client(mgn::client(&self.account, calls)),
            sfn: tasks::sfn(&self.tasks, calls),
            ssm: ssm(&self.command, calls),
            gates: landfall_gates::Gates::default(),
        };
        let invocation = Invocation {
            function_arn: "arn:aws:lambda:eu-central-1:123456789012:function:landfall".into(),
            request_id: "request-1".into(),
            now: at.parse().unwrap(),
        };
        handle(&deps, event, invocation).await
    }

    pub(crate) async fn sweep(&self) -> Result<Value, StageError> {
        self.handle(json!({ "action": "sweep" })).await
    }

    pub(crate) async fn sweep_at(&self, at: &str) -> Result<Value, StageError> {
        self.handle_at(json!({ "action": "sweep" }), at).await
    }

    pub(crate) fn message(kind: &str, token: &str) -> Value {
        stage_input(
            "mig-1",
            json!({ "kind": kind, "retryCount": 0, "taskToken": token }),
        )
    }

    /// The IDs of the messages that come again.
    pub(crate) async fn open(&self, messages: &[Value]) -> Vec<String> {
        let bodies: Vec<String> = messages.iter().map(Value::to_string).collect();
        sent_back(&self.handle(batch(&bodies)).await.unwrap())
    }

    /// Opens the wait for replication.
    pub(crate) async fn await_replication(&self, token: &str) {
        let again = self.open(&[Self::message("REPLICATION", token)]).await;
        assert!(again.is_empty());
    }

    /// How the task of `token-1` ended.
    pub(crate) fn task(&self) -> Option<Ended> {
        self.tasks.lock().unwrap().get("token-1").cloned()
    }

    pub(crate) async fn waits(&self) -> Vec<Wait> {
        self.aws.store().waits(Phase::Waiting).await.unwrap()
    }

    pub(crate) async fn wait_of(&self, migration_id: &str) -> Wait {
        let waits = self.waits().await;
        let mut found = waits.into_iter().filter(|w| w.key == key(migration_id));
        found.next().unwrap()
    }

    pub(crate) fn server(&self, change: impl FnOnce(&mut Server)) {
        change(&mut self.account.lock().unwrap().servers[0]);
    }

    pub(crate) fn job(&self, change: impl FnOnce(&mut Job)) {
        change(&mut self.account.lock().unwrap().jobs[0]);
    }
}

fn wait(id: &str, kind: WaitKind) -> Wait {
    let token = id.replace("mig", "token");
    Wait {
        key: key(id),
        attempt: 1,
        correlation_id: format!("mig-c-{id}"),
        kind,
        phase: Phase::Waiting,
        task_token: token,
        retry_count: 0,
        due_at: "2026-11-21T14:00:00Z".into(),
        created_at: now().to_string(),
        source_vm_id: format!("vm-{id}"),
        source_server_id: Some(format!("s-{id}")),
        account: None,
        command: None,
        policy: record(id, Status::Requested).request.policy,
        intent_id: None,
        job_id: None,
        held: None,
        intents: Vec::new(),
        claimed_at: None,
        paused_at: None,
        closed: false,
        barred: false,
    }
}
