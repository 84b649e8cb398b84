//! The function in a world of migrations that are ready for a launch.

use std::sync::{Arc, Mutex};

use aws_sdk_servicequotas::operation::list_service_quotas as list;
use aws_sdk_servicequotas::types::ServiceQuota;
use aws_sdk_ssm::operation::get_parameter::{GetParameterError, GetParameterOutput};
use aws_sdk_ssm::types::{Parameter, ParameterType};
use aws_smithy_mocks::{RuleMode, mock_client};
use jiff::Timestamp;
use landfall_common::Invocation;
use landfall_common::state::wait::{Phase, Wait};
use landfall_domain::Status;
use landfall_gates::Holds;
use landfall_mgn::Mgn;
use landfall_quotas::Quotas;
use serde_json::{Value, json};
use trigger_migration::{Deps, handle};

use crate::mgn::{self, Account, Job, Server};
use crate::queue::{self, Queue};
use crate::support::{
    Aws, Calls, EXECUTION, answer, batch, invocation, key, now, record, sent_back, stage_input,
};
use crate::tasks::{self, Ended, Tasks};

#[derive(Default)]
pub(crate) struct Stage {
    pub(crate) aws: Aws,
    pub(crate) account: Arc<Mutex<Account>>,
    pub(crate) tasks: Arc<Mutex<Tasks>>,
    pub(crate) queue: Arc<Mutex<Queue>>,
    /// What Service Quotas says, by code; nothing leaves the documented values.
    pub(crate) quotas: Arc<Mutex<Vec<(&'static str, f64)>>>,
    /// The freeze calendar; nothing leaves the deployment without one.
    pub(crate) holds: Holds,
}

/// A freeze calendar in Parameter Store that is there or not.
pub(crate) fn calendar(text: &Arc<Mutex<Option<String>>>, calls: &Calls) -> Holds {
    use aws_sdk_ssm::Client;
    let get = answer!(
        calls,
        text = text,
        Client::get_parameter,
        GetParameterError,
        "GetParameter",
        |_input| {
            let Some(text) = text.clone() else {
                let missing = aws_sdk_ssm::types::error::ParameterNotFound::builder();
                return Err(GetParameterError::ParameterNotFound(missing.build()));
            };
            let parameter = Parameter::builder()
                .value(text)
                .r#type(ParameterType::String);
            Ok(GetParameterOutput::builder()
                .parameter(parameter.build())
                .build())
        }
    );
    let client = mock_client!(aws_sdk_ssm, RuleMode::MatchAny, [&get]);
    Holds::with_calendar(client, "/landfall/freeze-calendar")
}

fn servicequotas(
    values: &Arc<Mutex<Vec<(&'static str, f64)>>>,
    calls: &Calls,
) -> aws_sdk_servicequotas::Client {
    use aws_sdk_servicequotas::Client;
    let list = answer!(
        calls,
        values = values,
        Client::list_service_quotas,
        list::ListServiceQuotasError,
        "ListServiceQuotas",
        |_input| {
            let quotas = values.iter().map(|(code, value)| {
                ServiceQuota::builder()
                    .quota_code(*code)
                    .value(*value)
                    .build()
            });
            Ok(list::ListServiceQuotasOutput::builder()
                .set_quotas(Some(quotas.collect()))
                .build())
        }
    );
    mock_client!(aws_sdk_servicequotas, RuleMode::MatchAny, [&list])
}

impl Stage {
    /// Migrations `mig-0`… that are ready for a test.
    pub(crate) async fn ready(count: usize) -> Self {
        let stage = Self::default();
        for n in 0..count {
            let id = format!("mig-{n}");
            stage.aws.put(record(&id, Status::ReadyForTest)).await;
            let server = Server::of(&id, "READY_FOR_TEST");
            stage.account.lock().unwrap().servers.push(server);
        }
        stage
    }

    pub(crate) fn deps(&self) -> Deps {
        let calls = &self.aws.calls;
        Deps {
            accounts: landfall_accounts::Accounts::home_only(),
            journal: self.aws.journal(),
            mgn: Mgn::with_client(mgn::client(&self.account, calls)),
            quotas: Quotas::with_client(servicequotas(&self.quotas, calls)),
            holds: self.holds.clone(),
            sfn: tasks::sfn(&self.tasks, calls),
            sqs: queue::sqs(&self.queue, calls),
            queue_url: "https://sqs.example.com/landfall-launches".into(),
        }
    }

    /// Gives the messages to one invocation; tells which come again.
    pub(crate) async fn run(&self, request_id: &str, bodies: &[String]) -> Vec<String> {
        self.run_at(request_id, bodies, now()).await
    }

    pub(crate) async fn run_at(
        &self,
        request_id: &str,
        bodies: &[String],
        now: Timestamp,
    ) -> Vec<String> {
        self.received(request_id, batch(bodies), now).await
    }

    /// Gives an event of the queue to one invocation.
    pub(crate) async fn received(
        &self,
        request_id: &str,
        event: Value,
        now: Timestamp,
    ) -> Vec<String> {
        let invocation = Invocation {
            function_arn: "arn:aws:lambda:eu-central-1:123456789012:function:landfall".into(),
            now,
            ..invocation(request_id)
        };
        let answer = handle(&self.deps(), event, invocation).await;
        sent_back(&answer.unwrap())
    }

    /// Ends the execution of every migration, and with it their tokens.
    pub(crate) fn stop_executions(&self, tokens: &[&str]) {
        let ended = Ended::Failed("ABORTED".into(), String::new());
        let mut tasks = self.tasks.lock().unwrap();
        tasks.insert(EXECUTION.to_owned(), ended.clone());
        for token in tokens {
            tasks.insert((*token).to_owned(), ended.clone());
        }
    }

    pub(crate) fn task(&self, token: &str) -> Option<Ended> {
        self.tasks.lock().unwrap().get(token).cloned()
    }

    pub(crate) async fn wait(&self, migration_id: &str, phase: Phase) -> Option<Wait> {
        let waits = self.aws.store().waits(phase).await.unwrap();
        waits.into_iter().find(|w| w.key == key(migration_id))
    }

    pub(crate) fn jobs(&self) -> Vec<Job> {
        self.account.lock().unwrap().jobs.clone()
    }

    pub(crate) fn server(&self, at: usize, change: impl FnOnce(&mut Server)) {
        change(&mut self.account.lock().unwrap().servers[at]);
    }
}

pub(crate) fn message(migration_id: &str, action: &str) -> String {
    let token = format!("token-{migration_id}");
    stage_input(
        migration_id,
        json!({ "action": action, "retryCount": 0, "taskToken": token }),
    )
    .to_string()
}

pub(crate) fn tests(count: usize) -> Vec<String> {
    (0..count)
        .map(|n| message(&format!("mig-{n}"), "TEST"))
        .collect()
}

/// A job of others that goes on with so many servers.
pub(crate) fn running(id: &str, servers: usize) -> Job {
    Job {
        id: id.into(),
        completed: false,
        servers: (0..servers)
            .map(|n| (format!("s-other-{id}-{n}"), "PENDING".into(), None))
            .collect(),
        tags: [].into(),
    }
}
