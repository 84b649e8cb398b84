//! Snapshots of a virtual machine, through the Virtual Infrastructure JSON API.
//!
//! A snapshot is a task that vCenter works on after its answer. The name of a snapshot need not be unique, so what is
//! there is looked for before one is asked for.
//!
//! Source: Virtual Infrastructure JSON API reference, "SessionManager Login", "VirtualMachine CreateSnapshotEx_Task",
//! "VirtualMachineSnapshotTree", "TaskInfo"; vSphere Web Services API reference, `ManagedEntity.recentTask`. A property
//! that is not set is answered with an empty body.

use landfall_domain::StageError;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{Credentials, SESSION_HEADER};
use crate::api::{Answer, Api, Body, said};

/// The first release that has this API; later ones serve it too.
const RELEASE: &str = "8.0.1.0";

/// Faults, by their type, that come again however often the call is made. The API answers nearly all with status 500.
const PERMANENT: [&str; 9] = [
    "InvalidArgument",
    "InvalidLogin",
    "InvalidName",
    "ManagedObjectNotFound",
    "NoPermission",
    "NotAuthenticated",
    "NotEnoughLicenses",
    "NotSupported",
    "RestrictedVersion",
];

/// A session.
pub(super) struct Vim {
    api: Api,
}

/// A snapshot task of the machine, as far as it matters.
enum Task {
    UnderWay,
    Done(Option<String>),
    Failed(String),
}

impl Vim {
    /// Begins a session of this API's own: only from 8.0 Update 3 on does it take those of the Automation API.
    pub(super) async fn sign_in(root: &Api, credentials: &Credentials) -> Result<Self, StageError> {
        let body = json!({"userName": credentials.username, "password": credentials.password});
        let call = "signing in for a snapshot";
        let path = path("SessionManager", "SessionManager", "Login");
        let answer = root
            .ask(call, Method::POST, &path, &[], Body::Json(&body))
            .await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Err(root.refused(
                "this vCenter Server takes no snapshots over its JSON API, which needs 8.0 Update 1; take the snapshot \
                 yourself and leave `freeze` out of /steps",
            ));
        }
        let answer = judge(root, call, answer)?;
        let session = answer
            .header(SESSION_HEADER)
            .map(str::to_owned)
            .ok_or_else(|| root.refused(format!("{call} gave no session")))?;
        Ok(Self {
            api: root.clone().with_session(SESSION_HEADER, session),
        })
    }

    /// Ends the session, as far as that works.
    pub(super) async fn sign_out(self) {
        let path = path("SessionManager", "SessionManager", "Logout");
        if let Err(error) = self.call("signing out", Method::POST, &path, None).await {
            tracing::debug!("the vSphere session was left to expire: {error}");
        }
    }

    /// Takes the snapshot of this name, unless it is there or on its way.
    ///
    /// # Errors
    /// `DependencyUnavailable` while vCenter works on it.
    pub(super) async fn snapshot(&self, vm: &str, name: &str) -> Result<String, StageError> {
        // The tasks first: one that ends between the two looks has left its snapshot by the second.
        let mut failed = None;
        for task in self.recent_tasks(vm).await? {
            match self.task(&task).await? {
                Some(Task::UnderWay) => return Err(self.under_way(name, None)),
                Some(Task::Failed(why)) => failed = Some(why),
                Some(Task::Done(_)) | None => {}
            }
        }
        if let Some(id) = self.find(vm, name).await? {
            return Ok(id);
        }
        let body = json!({
            "name": name, "description": "Before the migration by Landfall", "memory": false,
        });
        let call = "taking a snapshot";
        let path = path("VirtualMachine", vm, "CreateSnapshotEx_Task");
        let answer = self.call(call, Method::POST, &path, Some(&body)).await?;
        let task = answer.body["value"]
            .as_str()
            .ok_or_else(|| self.api.refused(format!("{call} gave no task")))?;
        match self.task(task).await? {
            Some(Task::Done(Some(id))) => Ok(id),
            Some(Task::Failed(why)) => Err(self.api.refused(format!(
                "the snapshot {name} failed: {why}; mend that in vCenter, then resubmit"
            ))),
            Some(Task::UnderWay | Task::Done(None)) | None => Err(self.under_way(name, failed)),
        }
    }

    fn under_way(&self, name: &str, failed: Option<String>) -> StageError {
        // One that fails late is tried again, and its reason must not be lost when patience ends.
        let before =
            failed.map_or_else(String::new, |why| format!("; an earlier try failed: {why}"));
        self.api
            .not_ready(format!("the snapshot {name} is still being taken{before}"))
    }

    async fn recent_tasks(&self, vm: &str) -> Result<Vec<String>, StageError> {
        let path = path("VirtualMachine", vm, "recentTask");
        let answer = self
            .call("reading the machine's tasks", Method::GET, &path, None)
            .await?;
        let tasks = answer.body.as_array().into_iter().flatten();
        Ok(tasks
            .filter_map(|task| task["value"].as_str().map(str::to_owned))
            .collect())
    }

    /// A task of the machine that takes a snapshot; `None` for any other, and for one that is forgotten by now.
    async fn task(&self, id: &str) -> Result<Option<Task>, StageError> {
        let path = path("Task", id, "info");
        let call = "reading a task";
        let answer = self
            .api
            .ask(call, Method::GET, &path, &[], Body::Nothing)
            .await?;
        if answer.body["_typeName"] == "ManagedObjectNotFound" {
            return Ok(None);
        }
        let info = judge(&self.api, call, answer)?.body;
        let takes_snapshot = ["descriptionId", "name"].iter().any(|member| {
            let operation = info[*member].as_str().unwrap_or_default();
            operation.to_ascii_lowercase().contains("createsnapshot")
        });
        if !takes_snapshot {
            return Ok(None);
        }
        Ok(Some(match info["state"].as_str() {
            Some("success") => Task::Done(info["result"]["value"].as_str().map(str::to_owned)),
            Some("error") => {
                Task::Failed(said(&info["error"]).unwrap_or_else(|| "without a reason".to_owned()))
            }
            _ => Task::UnderWay,
        }))
    }

    /// The ID of the machine's snapshot with this name.
    async fn find(&self, vm: &str, name: &str) -> Result<Option<String>, StageError> {
        let path = path("VirtualMachine", vm, "snapshot");
        let answer = self
            .call("reading the machine's snapshots", Method::GET, &path, None)
            .await?;
        let mut left: Vec<&Value> = list(&answer.body["rootSnapshotList"]).collect();
        while let Some(snapshot) = left.pop() {
            if snapshot["name"] == name {
                return Ok(snapshot["snapshot"]["value"].as_str().map(str::to_owned));
            }
            left.extend(list(&snapshot["childSnapshotList"]));
        }
        Ok(None)
    }

    async fn call(
        &self,
        call: &str,
        method: Method,
        path: &[&str],
        body: Option<&Value>,
    ) -> Result<Answer, StageError> {
        let body = body.map_or(Body::Nothing, Body::Json);
        let answer = self.api.ask(call, method, path, &[], body).await?;
        judge(&self.api, call, answer)
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn path<'a>(kind: &'a str, id: &'a str, member: &'a str) -> [&'a str; 6] {
    ["sdk", "vim25", RELEASE, kind, id, member]
}

/// What an answer means where a fault's type says more than its status.
fn judge(api: &Api, call: &str, answer: Answer) -> Result<Answer, StageError> {
    let fault = answer.body["_typeName"].as_str().unwrap_or_default();
    let permanent = PERMANENT.contains(&fault) || fault.starts_with("Snapshot");
    if permanent && !answer.status.is_success() || answer.status == StatusCode::NOT_FOUND {
        let why = said(&answer.body).unwrap_or_else(|| answer.status.to_string());
        return Err(api.refused(format!("{call}: {why}")));
    }
    api.judge(call, answer)
}
