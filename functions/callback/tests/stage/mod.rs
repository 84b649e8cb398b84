//! A migration that was rolled back, AWS in memory, and a receiver on this machine.
#![allow(dead_code, reason = "each test takes the part it needs")]

use std::sync::{Arc, Mutex};

use aws_sdk_secretsmanager::operation::get_secret_value as secret;
use aws_smithy_mocks::{RuleMode, mock_client};
use callback::{Deps, handle};
use landfall_domain::record::Failure;
use landfall_domain::webhook::Parked;
use landfall_domain::{MigrationRecord, StageError, Status};
use landfall_external::outbound::Guard;
use serde_json::{Value, json};

use crate::queue::{self, Queue};
use crate::receiver::Receiver;
use crate::support::{Aws, Calls, answer, invocation, record, refusal, stage_input};

pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
pub(crate) const FAILED: &str = "https://sqs.example.com/landfall-callbacks-failed";
pub(crate) const ID: &str = "msg_default_mig-1_1";

fn secrets(value: &Arc<Mutex<String>>, calls: &Calls) -> aws_sdk_secretsmanager::Client {
    use aws_sdk_secretsmanager::Client;
    let get = answer!(
        calls,
        value = value,
        Client::get_secret_value,
        secret::GetSecretValueError,
        "GetSecretValue",
        |_input| {
            if value.is_empty() {
                // What Secrets Manager says of a secret without a version.
                return Err(refusal!(
                    secret::GetSecretValueError,
                    "ResourceNotFoundException"
                ));
            }
            Ok(secret::GetSecretValueOutput::builder()
                .secret_string(value.as_str())
                .build())
        }
    );
    mock_client!(aws_sdk_secretsmanager, RuleMode::MatchAny, [&get])
}

pub(crate) struct Stage {
    pub(crate) aws: Aws,
    pub(crate) queue: Arc<Mutex<Queue>>,
    pub(crate) secret: Arc<Mutex<String>>,
    pub(crate) receiver: Receiver,
    pub(crate) allowed: bool,
}

impl Stage {
    /// With a receiver that answers in turn with these statuses.
    pub(crate) async fn new(statuses: &[u16]) -> Self {
        Self::with(Receiver::start(statuses), |_| ()).await
    }

    pub(crate) async fn with(
        receiver: Receiver,
        change: impl FnOnce(&mut MigrationRecord),
    ) -> Self {
        let stage = Self {
            aws: Aws::default(),
            queue: Arc::default(),
            secret: Arc::new(Mutex::new(SECRET.into())),
            receiver,
            allowed: true,
        };
        let mut ended = record("mig-1", Status::RolledBack);
        ended.ended_at = Some("2026-11-21T11:59:00Z".into());
        ended.request.callback_url = Some(format!("{}/status?a=b", stage.receiver.url));
        ended.failure = Some(failure());
        change(&mut ended);
        stage.aws.put(ended).await;
        stage
    }

    pub(crate) fn deps(&self) -> Deps {
        let allowed = self.allowed.then(|| self.receiver.url.clone());
        Deps {
            journal: self.aws.journal(),
            secrets: secrets(&self.secret, &self.aws.calls),
            sqs: queue::sqs(&self.queue, &self.aws.calls),
            secret_id: "callback-signing".into(),
            failed_queue_url: FAILED.into(),
            guard: Guard::new(allowed.into_iter().collect()),
        }
    }

    /// A try of the workflow, after so many others.
    pub(crate) async fn call(&self, tries: u32) -> Result<Value, StageError> {
        self.say(json!({ "outcome": "ROLLED_BACK", "tries": tries }))
            .await
    }

    pub(crate) async fn say(&self, more: Value) -> Result<Value, StageError> {
        let event = stage_input("mig-1", more);
        handle(&self.deps(), event, invocation("request-1")).await
    }

    /// An order of an operator.
    pub(crate) async fn redeliver(&self, parked: &Parked) -> Result<Value, StageError> {
        let order = json!({ "action": "redeliver", "message": parked });
        handle(&self.deps(), order, invocation("request-2")).await
    }

    pub(crate) fn parked(&self) -> Vec<Parked> {
        let queue = self.queue.lock().unwrap();
        assert!(queue.sent.iter().all(|sent| sent.queue_url == FAILED));
        let bodies = queue.sent.iter();
        bodies
            .map(|sent| serde_json::from_str(&sent.body).unwrap())
            .collect()
    }
}

pub(crate) fn failure() -> Failure {
    Failure {
        error: "VerificationError".into(),
        message: "the launched instance did not pass 1 of its checks".into(),
        state: "VerifyTest".into(),
        findings: vec![],
    }
}
