//! One migration as the stack shows it.

use std::time::Duration;

use landfall_common::Key;
use landfall_common::state::{HistoryEntry, verify_history};
use landfall_domain::request::DEFAULT_TENANT;
use landfall_domain::{EventType, MigrationRecord, Status};
use serde_json::Value;

use crate::poll::{DEADLINE, poll, poll_for};
use crate::{Stack, workflow};

/// A migration that was submitted.
#[derive(Debug)]
pub struct Migration {
    /// Where it runs.
    pub stack: Stack,
    /// Which it is.
    pub key: Key,
}

impl Migration {
    /// The migration with an ID, in the default tenant.
    pub fn new(stack: &Stack, id: &str) -> Self {
        Self {
            stack: stack.clone(),
            key: Key::new(DEFAULT_TENANT, id),
        }
    }

    /// Its record, if it is there.
    pub async fn record(&self) -> Option<MigrationRecord> {
        self.stack.store.get(&self.key).await.expect("the table")
    }

    /// Waits until it has ended.
    pub async fn ended(&self) -> MigrationRecord {
        self.ended_within(DEADLINE).await
    }

    /// Waits longer, or shorter, until it has ended.
    pub async fn ended_within(&self, deadline: Duration) -> MigrationRecord {
        poll_for(
            deadline,
            &format!("the end of {}", self.key),
            async || match self.record().await {
                Some(record) if record.status.is_end() => Ok(record),
                Some(record) => Err(format!("{} since {}", record.status, record.status_since)),
                None => Err("no record".to_owned()),
            },
        )
        .await
    }

    /// Waits until nothing of it waits: a wait is closed after its workflow was told.
    pub async fn waits_for_nothing(&self) {
        let what = format!("{} without a wait", self.key);
        poll(&what, async || {
            let waits = self.stack.store.waits_of(&self.key).await;
            let waits = waits.expect("waits");
            waits.is_empty().then_some(()).ok_or(format!("{waits:?}"))
        })
        .await;
    }

    /// Waits until its record is as it is wanted.
    pub async fn until(
        &self,
        deadline: Duration,
        what: &str,
        there: impl Fn(&MigrationRecord) -> bool,
    ) -> MigrationRecord {
        let what = format!("{} {what}", self.key);
        poll_for(deadline, &what, async || match self.record().await {
            Some(record) if there(&record) => Ok(record),
            Some(record) => Err(format!("{} {:?}", record.status, record.failure)),
            None => Err("no record".to_owned()),
        })
        .await
    }

    /// Its history, whose chain of hashes holds.
    pub async fn history(&self) -> Vec<HistoryEntry> {
        let history = self.stack.store.history(&self.key).await.expect("history");
        assert_eq!(
            verify_history(&history),
            Ok(()),
            "the chain of {}",
            self.key
        );
        history
    }

    /// Every status it went through, in order, each once.
    pub async fn statuses(&self) -> Vec<Status> {
        let mut statuses: Vec<_> = self.history().await.iter().map(|e| e.detail.to).collect();
        statuses.dedup();
        statuses
    }

    /// Every event it had, in order.
    pub async fn events(&self) -> Vec<EventType> {
        self.history().await.iter().map(|e| e.event_type).collect()
    }

    /// The states that its execution entered, after the execution has ended with the given status.
    pub async fn states(&self, status: &str) -> Vec<String> {
        let record = self.record().await.expect("a record");
        let arn = record.execution_arn.expect("an execution claimed it");
        workflow::states(&self.stack, &arn, status).await
    }

    /// What MGN knows of its server.
    pub async fn server(&self) -> Value {
        let record = self.record().await.expect("a record");
        let id = record.source_server_id.expect("MGN knows the server");
        let state = self.stack.simulator("state").await;
        let server = state["servers"].get(&id).cloned();
        server.unwrap_or_else(|| panic!("the simulator has no server {id}"))
    }

    /// Waits for the callback to arrive.
    pub async fn callback(&self) -> Value {
        let name = self.key.migration_id.as_str();
        poll(&format!("the callback of {name}"), async || {
            let received = self.stack.simulator("callbacks").await;
            let all = received.as_array().expect("a list of callbacks");
            let ours: Vec<_> = all.iter().filter(|it| it["name"] == name).collect();
            match ours.as_slice() {
                [] => Err(format!("{} callbacks of others", all.len())),
                [one] => Ok((*one).clone()),
                several => panic!("{name} called back {} times", several.len()),
            }
        })
        .await
    }
}
