//! What waits for MGN: a task token, and what must become true.
//!
//! A wait is in the sparse index `waits` as long as it is open. Its partition there is [`Phase`]: `PENDING`
//! holds launches that nobody has started yet, in order of arrival; `WAITING` holds what the sweep looks at.

use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::AttributeValue;
use jiff::{SignedDuration, Timestamp};
use landfall_domain::gate::Gate;
use landfall_domain::record::{AgentCommand, LaunchAction};
use landfall_domain::request::{Account, Policy};
use landfall_domain::{ErrorName, MigrationRecord, StageError};
use serde::{Deserialize, Serialize};

use super::StateStore;
use super::item::{self, Key, internal, text};
use crate::aws_error::{AwsResultExt, stage_error};

/// How long a call without an answer may still take effect: far above the SDK's own time-outs, and enough for
/// DescribeJobs to show what has begun.
const UNCONFIRMED: SignedDuration = SignedDuration::from_secs(90);
/// Closes a launch: it leaves the index, and the table (with its task token) when its migration's record may.
const CLOSE: &str = "REMOVE waitKey SET closed = :yes, expiresAt = :expires";

/// What a wait is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum WaitKind {
    /// The agent's installation has finished and MGN knows the server.
    Agent,
    /// Replication passes its gate.
    Replication,
    /// The job of a test launch has ended.
    TestLaunch,
    /// The job of a cutover launch has ended.
    CutoverLaunch,
    /// The cutover may be launched.
    CutoverGate,
    /// The users may be moved.
    FinalizeGate,
    /// A risky rollback may begin.
    RollbackGate,
    /// The source may go.
    DecommissionGate,
    /// A round of the soak is over.
    Soak,
}

impl WaitKind {
    /// The wait for a launch.
    pub const fn launch(action: LaunchAction) -> Self {
        match action {
            LaunchAction::Test => Self::TestLaunch,
            LaunchAction::Cutover => Self::CutoverLaunch,
        }
    }

    /// The gate it waits at, if any.
    pub const fn gate(self) -> Option<Gate> {
        match self {
            Self::CutoverGate => Some(Gate::Cutover),
            Self::FinalizeGate => Some(Gate::Finalize),
            Self::RollbackGate => Some(Gate::Rollback),
            Self::DecommissionGate => Some(Gate::Decommission),
            _ => None,
        }
    }

    /// The wait at a gate.
    pub const fn at_gate(gate: Gate) -> Self {
        match gate {
            Gate::Cutover => Self::CutoverGate,
            Gate::Finalize => Self::FinalizeGate,
            Gate::Rollback => Self::RollbackGate,
            Gate::Decommission => Self::DecommissionGate,
        }
    }

    /// Whether MGN has anything to do with it: a gate and a soak wait for people and for time.
    pub const fn is_of_mgn(self) -> bool {
        self.gate().is_none() && !matches!(self, Self::Soak)
    }

    /// Which launch it waits for, if any.
    pub const fn action(self) -> Option<LaunchAction> {
        match self {
            Self::TestLaunch => Some(LaunchAction::Test),
            Self::CutoverLaunch => Some(LaunchAction::Cutover),
            _ => None,
        }
    }
}

/// Which partition of the index a wait is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Phase {
    /// A launch that has not been started.
    Pending,
    /// Looked at by every sweep.
    Waiting,
}

impl Phase {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Waiting => "WAITING",
        }
    }
}

/// An open wait.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Wait {
    /// Whose it is.
    #[serde(flatten)]
    pub key: Key,
    /// Which submission.
    pub attempt: u32,
    /// For logs and tags.
    pub correlation_id: String,
    /// What it is for.
    pub kind: WaitKind,
    /// Which partition of the index it is in.
    #[serde(rename = "waitKey", default = "waiting")]
    pub phase: Phase,
    /// The Step Functions task token. Whoever holds it can complete the state: it never reaches a log.
    pub task_token: String,
    /// Which try of its state the token is of: messages may come in any order, and the highest is the live one.
    #[serde(default)]
    pub retry_count: u32,
    /// RFC 3339; the index sorts by it. Past it the wait fails; a gate is looked at again, and a round of the soak is over.
    #[serde(rename = "dueAt")]
    pub due_at: String,
    /// When it began.
    pub created_at: String,
    /// The source's ID of the server.
    pub source_vm_id: String,
    /// The MGN source server, once known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_server_id: Option<String>,
    /// The account that the migration goes to, where the request names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<Account>,
    /// The agent's installation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<AgentCommand>,
    /// The limits of the replication gate.
    #[serde(default)]
    pub policy: Policy,
    /// The batch a launch was put in; the tag `landfall:intent` of its job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intent_id: Option<String>,
    /// Every batch it was ever put in: a job of an earlier one may show late.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub intents: Vec<String>,
    /// When it was put into the batch of `intent_id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claimed_at: Option<String>,
    /// The MGN job of a launch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_id: Option<String>,
    /// Why a launch has not been started yet, as a code; the record has the numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<String>,
    /// Since when an operator has its migration paused: nothing that it leads to is begun, and its time stands still.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused_at: Option<String>,
    /// Whether its token was used; only launches are kept after that.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub closed: bool,
    /// Whether it was closed for good, by a rollback: no later try of its state opens it again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub barred: bool,
}

/// A closed launch has left the index, and with it the attribute.
const fn waiting() -> Phase {
    Phase::Waiting
}

impl std::fmt::Debug for Wait {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // By hand, so that the task token cannot leak through a debug print.
        f.debug_struct("Wait")
            .field("key", &self.key)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

impl Wait {
    /// A wait of a migration that nothing has begun for: a launch is pending, the others are looked at from now on.
    /// `token` is the task token and the try of its state.
    pub fn of(
        record: &MigrationRecord,
        kind: WaitKind,
        token: (String, u32),
        now: Timestamp,
        due: Timestamp,
    ) -> Self {
        let (task_token, retry_count) = token;
        let agent = kind == WaitKind::Agent;
        Self {
            key: Key::of(record),
            attempt: record.attempt,
            correlation_id: record.correlation_id.clone(),
            kind,
            phase: match kind.action() {
                Some(_) => Phase::Pending,
                None => Phase::Waiting,
            },
            task_token,
            retry_count,
            due_at: due.to_string(),
            created_at: now.to_string(),
            source_vm_id: record.request.source_vm_id.clone(),
            source_server_id: record.source_server_id.clone(),
            account: record.request.account.clone(),
            command: record.done.agent_command.clone().filter(|_| agent),
            policy: record.request.policy.clone(),
            intent_id: None,
            intents: Vec::new(),
            claimed_at: None,
            job_id: None,
            held: None,
            paused_at: record.control.paused.as_ref().map(|_| now.to_string()),
            closed: false,
            barred: false,
        }
    }

    /// Whether a job carries an intent of this launch.
    pub fn is_of(&self, intent: Option<&str>) -> bool {
        intent.is_some_and(|intent| {
            self.intent_id.as_deref() == Some(intent) || self.intents.iter().any(|it| it == intent)
        })
    }

    /// Whether MGN may yet carry out, or show, what it was last asked for this launch: an answer was lost, or whoever
    /// asked died.
    pub fn is_unconfirmed(&self, now: Timestamp) -> bool {
        let claimed = self
            .claimed_at
            .as_ref()
            .filter(|_| self.intent_id.is_some());
        claimed
            .and_then(|at| at.parse::<Timestamp>().ok())
            .is_some_and(|at| self.job_id.is_none() && now.duration_since(at) < UNCONFIRMED)
    }

    /// Whether its deadline has passed. An unreadable one never comes.
    pub fn is_overdue(&self, now: Timestamp) -> bool {
        self.due_at.parse::<Timestamp>().is_ok_and(|due| due < now)
    }

    pub(super) fn sk(&self) -> String {
        match self.kind {
            WaitKind::Agent => "WAIT#AGENT".to_owned(),
            WaitKind::Replication => "WAIT#REPLICATION".to_owned(),
            WaitKind::TestLaunch => format!("INTENT#TEST#{}", self.attempt),
            WaitKind::CutoverLaunch => format!("INTENT#CUTOVER#{}", self.attempt),
            WaitKind::CutoverGate => "WAIT#CUTOVER_GATE".to_owned(),
            WaitKind::FinalizeGate => "WAIT#FINALIZE_GATE".to_owned(),
            WaitKind::RollbackGate => "WAIT#ROLLBACK_GATE".to_owned(),
            WaitKind::DecommissionGate => "WAIT#DECOMMISSION_GATE".to_owned(),
            WaitKind::Soak => "WAIT#SOAK".to_owned(),
        }
    }
}

impl StateStore {
    /// Opens a wait, or replaces the one of the same kind: a retried state comes with a new token. `false` when the
    /// wait that is there is of a later try, or attempt, of the state.
    pub async fn open_wait(&self, wait: &Wait) -> Result<bool, StageError> {
        let put = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(item::sub_item(&wait.key, &wait.sk(), wait, None)?))
            .condition_expression(
                "attribute_not_exists(pk) OR attempt < :attempt OR attempt = :attempt AND retryCount <= :retry",
            )
            .expression_attribute_values(":attempt", number(wait.attempt))
            .expression_attribute_values(":retry", number(wait.retry_count))
            .send()
            .await;
        applied(put.err(), "PutItem")
    }

    /// An update of a wait's item.
    pub(super) fn update_wait(&self, wait: &Wait) -> UpdateItemFluentBuilder {
        self.client
            .update_item()
            .table_name(&self.table)
            .key("pk", text(&wait.key.pk()))
            .key("sk", text(&wait.sk()))
    }

    /// Reads the stored form of a wait.
    pub async fn get_wait(&self, wait: &Wait) -> Result<Option<Wait>, StageError> {
        let answer = self
            .client
            .get_item()
            .table_name(&self.table)
            .consistent_read(true)
            .key("pk", text(&wait.key.pk()))
            .key("sk", text(&wait.sk()))
            .send()
            .await
            .or_stage(ErrorName::InternalError, "GetItem")?;
        answer
            .item
            .map(serde_dynamo::from_item)
            .transpose()
            .map_err(internal)
    }

    /// Closes a wait whose token was used. A wait that a retried state opened meanwhile, with a newer token,
    /// stays. A launch leaves the index but is kept, so that a doubled message finds it.
    pub async fn close_wait(&self, wait: &Wait) -> Result<bool, StageError> {
        let token = text(&wait.task_token);
        if wait.kind.action().is_some() {
            let update = self
                .update_wait(wait)
                .update_expression(CLOSE)
                .condition_expression("taskToken = :token")
                .expression_attribute_values(":token", token)
                .expression_attribute_values(":yes", AttributeValue::Bool(true))
                .expression_attribute_values(":expires", expires(wait))
                .send()
                .await;
            return applied(update.err(), "UpdateItem");
        }
        let delete = self
            .client
            .delete_item()
            .table_name(&self.table)
            .key("pk", text(&wait.key.pk()))
            .key("sk", text(&wait.sk()))
            .condition_expression("taskToken = :token")
            .expression_attribute_values(":token", token)
            .send()
            .await;
        applied(delete.err(), "DeleteItem")
    }

    /// The open waits of a migration, launches among them.
    pub async fn waits_of(&self, key: &Key) -> Result<Vec<Wait>, StageError> {
        let mut waits: Vec<Wait> = self.under(key, "WAIT#").await?;
        waits.extend(self.under::<Wait>(key, "INTENT#").await?);
        waits.retain(|wait| !wait.closed);
        Ok(waits)
    }

    /// Sets when a wait is looked at next, as long as its token is the same. `false` when it is not, or the wait is closed.
    pub async fn postpone_wait(&self, wait: &Wait, due: Timestamp) -> Result<bool, StageError> {
        let update = self
            .update_wait(wait)
            .update_expression("SET dueAt = :due")
            .condition_expression("taskToken = :token AND attribute_exists(waitKey)")
            .expression_attribute_values(":token", text(&wait.task_token))
            .expression_attribute_values(":due", text(&due.to_string()))
            .send()
            .await;
        applied(update.err(), "UpdateItem")
    }

    /// Closes every wait of a migration, whatever its token, so that nothing starts or ends any more: for a
    /// rollback. Returns what there was, launches closed before included, as their jobs may be what must be undone.
    pub async fn close_all_waits(&self, key: &Key) -> Result<Vec<Wait>, StageError> {
        let mut waits: Vec<Wait> = self.under(key, "WAIT#").await?;
        waits.extend(self.under::<Wait>(key, "INTENT#").await?);
        for wait in &waits {
            if wait.kind.action().is_some() {
                // Kept, as `close_wait` keeps it: a doubled message must find it and start nothing.
                let update = self
                    .update_wait(wait)
                    .update_expression(format!("{CLOSE}, barred = :yes"))
                    .condition_expression("attribute_exists(pk)")
                    .expression_attribute_values(":yes", AttributeValue::Bool(true))
                    .expression_attribute_values(":expires", expires(wait))
                    .send()
                    .await;
                applied(update.err(), "UpdateItem")?;
            } else {
                self.client
                    .delete_item()
                    .table_name(&self.table)
                    .key("pk", text(&key.pk()))
                    .key("sk", text(&wait.sk()))
                    .send()
                    .await
                    .or_stage(ErrorName::InternalError, "DeleteItem")?;
            }
        }
        Ok(waits)
    }

    /// Every open wait of a phase, the one due first first. The index is eventually consistent.
    pub async fn waits(&self, phase: Phase) -> Result<Vec<Wait>, StageError> {
        let query = self
            .client
            .query()
            .table_name(&self.table)
            .index_name("waits")
            .key_condition_expression("waitKey = :key")
            .expression_attribute_values(":key", text(phase.as_str()));
        item::all(query).await
    }
}

pub(super) fn number(n: u32) -> AttributeValue {
    AttributeValue::N(n.to_string())
}

fn expires(wait: &Wait) -> AttributeValue {
    AttributeValue::N(item::expiry_of(&wait.created_at).to_string())
}

/// Whether a conditional write was applied; a failed condition is an answer, not an error.
pub(crate) fn applied<E>(
    error: Option<aws_sdk_dynamodb::error::SdkError<E>>,
    call: &str,
) -> Result<bool, StageError>
where
    E: aws_sdk_dynamodb::error::ProvideErrorMetadata + std::error::Error + 'static,
{
    match error {
        None => Ok(true),
        Some(error)
            if crate::aws_error::code(&error) == Some("ConditionalCheckFailedException") =>
        {
            Ok(false)
        }
        Some(error) => Err(stage_error(&error, ErrorName::InternalError, call)),
    }
}
