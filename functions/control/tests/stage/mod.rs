//! A migration that is given orders, with AWS in memory.
#![allow(dead_code, reason = "each suite uses a part of it")]

use std::sync::{Arc, Mutex};

use control::{Deps, handle};
use landfall_common::state::wait::{Wait, WaitKind};
use landfall_domain::record::{LaunchTemplateChange, TestEvidence};
use landfall_domain::{MigrationRecord, Status};
use landfall_gates::Gates;
use serde_json::{Value, json};

use crate::support::{self, Aws, now, record};
use crate::tasks::{self, Ended, Tasks};

pub(crate) const OPERATOR: &str = "arn:aws:iam::123456789012:user/op";

#[derive(Default)]
pub(crate) struct Stage {
    pub(crate) aws: Aws,
    pub(crate) tasks: Arc<Mutex<Tasks>>,
}

impl Stage {
    /// A migration in a status, asleep in a wait where one is named.
    pub(crate) async fn new(status: Status, wait: Option<WaitKind>) -> Self {
        let stage = Self::default();
        let mut record = record("mig-1", status);
        record.test_evidence = Some(TestEvidence {
            settings_digest: "d".into(),
            effective_digest: None,
            verified_at: "2026-11-20T12:00:00Z".into(),
            job_id: "mgnjob-1".into(),
        });
        record.done.launch_template = Some(LaunchTemplateChange {
            template_id: "lt-1".into(),
            previous_version: 1,
            version: 2,
        });
        let record = stage.aws.put(record).await;
        if let Some(kind) = wait {
            let due = "2026-11-22T12:00:00Z".parse().unwrap();
            let wait = Wait::of(&record, kind, ("token-1".to_owned(), 0), now(), due);
            assert!(stage.aws.store().open_wait(&wait).await.unwrap());
        }
        stage
    }

    pub(crate) async fn order(&self, order: &str, emergency: bool) -> (u64, Value) {
        let body = json!({
            "migrationId": "mig-1", "order": order, "reason": "as the test says", "emergency": emergency,
        });
        self.send(&body).await
    }

    pub(crate) async fn send(&self, body: &Value) -> (u64, Value) {
        let event = json!({
            "body": body.to_string(),
            "requestContext": {"authorizer": {"iam": {"userArn": OPERATOR, "userId": "AIDA"}}},
        });
        let deps = Deps {
            journal: self.aws.journal(),
            sfn: tasks::sfn(&self.tasks, &self.aws.calls),
            gates: Gates::default(),
        };
        let answer = handle(&deps, event, support::invocation("request-1"))
            .await
            .unwrap();
        let said = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
        (answer["statusCode"].as_u64().unwrap(), said)
    }

    pub(crate) async fn record(&self) -> MigrationRecord {
        self.aws.record("mig-1").await
    }

    pub(crate) fn task(&self) -> Option<Ended> {
        self.tasks.lock().unwrap().get("token-1").cloned()
    }

    /// What of the world an order may change, without times and versions.
    pub(crate) async fn seen(&self) -> Value {
        let record = self.record().await;
        let waits = self
            .aws
            .store()
            .waits_of(&support::key("mig-1"))
            .await
            .unwrap();
        let task = self.task().map(|task| match task {
            Ended::Succeeded(_) => "succeeded".to_owned(),
            Ended::Failed(error, _) => error,
        });
        json!({
            "status": record.status, "attempt": record.attempt, "purpose": record.purpose,
            "paused": record.control.paused.is_some(), "cancelled": record.control.cancel.is_some(),
            "emergency": record.control.emergency.is_some(), "claims": record.claims,
            "template": record.done.launch_template.is_some(), "evidence": record.test_evidence.is_some(),
            "waits": waits.iter().map(|wait| wait.paused_at.is_some()).collect::<Vec<_>>(), "task": task,
            "history": self.aws.happened("mig-1").await,
        })
    }
}
