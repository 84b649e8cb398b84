//! What a running stack tells those who use it.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::layout::{Layout, replace};
use super::services::Service;
use super::terraform::Outputs;
use super::{ACCOUNT, REGION, StackError};

/// The contents of `.landfall/stack.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StackInfo {
    /// Where MiniStack listens: the endpoint of every AWS service but those of the simulator.
    pub ministack_url: String,
    /// Where the simulator listens: the endpoint of MGN, SSM, EC2 and Service Quotas.
    pub simulator_url: String,
    /// Region that the stack plays.
    pub region: String,
    /// Account that the stack plays.
    pub account_id: String,
    /// Table of migration records.
    pub table_name: String,
    /// Where migration requests go.
    pub request_queue_url: String,
    /// Where rejected requests end.
    pub request_dlq_url: String,
    /// Where the workflow leaves launch intents.
    pub launch_queue_url: String,
    /// Callbacks that were not accepted.
    pub callback_failed_queue_url: String,
    /// Bus on which Landfall reports.
    pub event_bus_name: String,
    /// The migration workflow.
    pub state_machine_arn: String,
    /// Lambda name of every function, by its folder's name. None in a file of an earlier version.
    #[serde(default)]
    pub function_names: BTreeMap<String, String>,
    /// Where operators order and approvers answer. None in a file of an earlier version.
    #[serde(default)]
    pub operator_api_url: String,
    /// Topic on which stakeholders hear of migrations. Empty in a file of an earlier version.
    #[serde(default)]
    pub notice_topic_arn: String,
    /// Secret that names the webhooks of chats.
    #[serde(default)]
    pub notice_secret_arn: String,
    /// Secret that signs callbacks (`whsec_…`).
    pub callback_secret: String,
    /// The stack's processes.
    pub pids: Pids,
}

/// The stack's processes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pids {
    /// MiniStack; its Lambda workers are of its process group.
    pub ministack: u32,
    /// The simulator.
    pub simulator: u32,
}

impl StackInfo {
    /// Reads what the last `landfall up` in a checkout wrote.
    pub fn load(root: &Path) -> Result<Self, StackError> {
        let layout = Layout::new(root)?;
        let path = layout.stack_file();
        match fs::read(&path) {
            Ok(content) => serde_json::from_slice(&content)
                .map_err(|source| StackError::Format { path, source }),
            Err(error) if error.kind() == ErrorKind::NotFound => Err(StackError::NotUp {
                root: layout.root().to_owned(),
            }),
            Err(source) => Err(StackError::File {
                action: "read",
                path,
                source,
            }),
        }
    }

    pub(super) fn new(
        ministack: &Service,
        simulator: &Service,
        outputs: &Outputs,
        callback_secret: String,
    ) -> Result<Self, StackError> {
        let missing = |name: &str| StackError::Command {
            what: "terraform apply".to_owned(),
            status: "incomplete".to_owned(),
            detail: format!(
                "it has no output named {name}; terraform/outputs.tf and the CLI disagree"
            ),
        };
        let output = |name: &str| match outputs.get(name) {
            Some(Value::String(value)) => Ok(value.clone()),
            _ => Err(missing(name)),
        };
        let function_names = outputs
            .get("function_names")
            .and_then(|value| serde_json::from_value(value.clone()).ok())
            .ok_or_else(|| missing("function_names"))?;
        Ok(Self {
            ministack_url: ministack.url.clone(),
            simulator_url: simulator.url.clone(),
            region: REGION.to_owned(),
            account_id: ACCOUNT.to_owned(),
            table_name: output("table_name")?,
            request_queue_url: output("request_queue_url")?,
            request_dlq_url: output("request_dlq_url")?,
            launch_queue_url: output("launch_queue_url")?,
            callback_failed_queue_url: output("callback_failed_queue_url")?,
            event_bus_name: output("event_bus_name")?,
            state_machine_arn: output("state_machine_arn")?,
            function_names,
            operator_api_url: operator_api(&ministack.url, &output("operator_api_url")?),
            notice_topic_arn: output("notice_topic_arn")?,
            notice_secret_arn: output("notice_secret_arn")?,
            callback_secret,
            pids: Pids {
                ministack: ministack.pid,
                simulator: simulator.pid,
            },
        })
    }

    pub(super) fn store(&self, layout: &Layout) -> Result<(), StackError> {
        let path = layout.stack_file();
        let content = serde_json::to_vec_pretty(self).map_err(|source| StackError::Format {
            path: path.clone(),
            source,
        })?;
        replace(&path, &content)
    }
}

/// The address of an HTTP API of MiniStack. The host name that it gives out, as AWS does, resolves nowhere here.
fn operator_api(ministack: &str, endpoint: &str) -> String {
    let host = endpoint
        .split_once("://")
        .map_or(endpoint, |(_, host)| host);
    let id = host.split('.').next().unwrap_or_default();
    format!("{ministack}/_aws/execute-api/{id}/$default")
}

/// The endpoints, for the person who brought the stack up.
impl fmt::Display for StackInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "AWS endpoint    {}", self.ministack_url)?;
        writeln!(f, "MGN endpoint    {}", self.simulator_url)?;
        writeln!(f, "request queue   {}", self.request_queue_url)?;
        writeln!(f, "table           {}", self.table_name)?;
        writeln!(f, "operators' API  {}", self.operator_api_url)?;
        write!(f, "state machine   {}", self.state_machine_arn)
    }
}
