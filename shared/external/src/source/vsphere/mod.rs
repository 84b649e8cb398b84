//! vCenter Server: the power of a virtual machine, and snapshots of it.
//!
//! Power goes through the vSphere Automation API (`/api`, since vCenter 7.0 Update 2). That one has no snapshots of
//! virtual machines; they go through the Virtual Infrastructure JSON API (`/sdk/vim25`, since 8.0 Update 1), see [`vim`].
//!
//! Source: vSphere Automation API reference, "session", "vcenter/vm", "vm/power", "vm/guest/power", "vm/tools".

mod vim;

use landfall_domain::request::SourceControl;
use landfall_domain::{ErrorName, MigrationRequest, StageError};
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde_json::Value;

use super::{
    Access, ENDPOINT_FIELD, Power, Removal, SourceMachine, Trouble, listed, needed, secret,
    snapshot_name,
};
use crate::api::{Answer, Api, Body};
use crate::http_client_trusting;
use vim::Vim;

/// The header that carries a session, in both APIs.
const SESSION_HEADER: &str = "vmware-api-session-id";

/// One virtual machine, and a session to reach it.
#[derive(Clone)]
pub(super) struct Vsphere {
    /// Without a session, for the other API's own.
    root: Api,
    api: Api,
    credentials: Credentials,
    /// Its managed object ID.
    vm: String,
}

/// What the secret holds. No `Debug`: it must never reach a log.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Credentials {
    username: String,
    password: String,
    /// The authority that signed vCenter's certificate, in PEM; absent means a public one.
    ca_certificate: Option<String>,
}

impl std::fmt::Debug for Vsphere {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vsphere")
            .field("api", &self.api)
            .field("vm", &self.vm)
            .finish_non_exhaustive()
    }
}

impl Vsphere {
    /// Begins a session and finds the machine.
    ///
    /// # Errors
    /// A field of `sourceControl` that is missing or of no use, an endpoint that is not listed, a secret that cannot
    /// be read, a sign-in refused, a machine that is not there, or not the only one of its name.
    pub(super) async fn connect(
        access: &Access,
        request: &MigrationRequest,
        control: &SourceControl,
        refusal: ErrorName,
    ) -> Result<Self, Trouble> {
        let endpoint = needed(control.kind, control.endpoint.as_ref(), "endpoint", refusal)?;
        let api =
            |http: &reqwest::Client| Api::new(http, &endpoint, "vSphere", ENDPOINT_FIELD, refusal);
        // The URL is checked before the secret is fetched.
        let http = access.http.get()?;
        let public = api(&http)?;
        listed(&public, &access.allowed)?;
        let members = ["username", "password"];
        let credentials: Credentials = secret(&access.secrets, control, &members, refusal).await?;
        let root = match &credentials.ca_certificate {
            None => public,
            Some(pem) => {
                let trusting = http_client_trusting(pem).map_err(|error| {
                    let text = "caCertificate of the secret in /sourceControl/credentialsSecretId is no certificate in PEM; \
                                store the authority that signed vCenter's";
                    Trouble::Secret(StageError::new(refusal, text).context(error.context))
                })?;
                api(&trusting)?
            }
        };
        let session = sign_in(&root, &credentials).await?;
        let mut machine = Self {
            api: root.clone().with_session(SESSION_HEADER, session),
            root,
            credentials,
            vm: String::new(),
        };
        match machine.find(request, control).await {
            Ok(vm) => {
                machine.vm = vm;
                Ok(machine)
            }
            Err(error) => {
                machine.close().await;
                Err(error)
            }
        }
    }

    /// The managed object ID of the machine that a request means. Names are unique in a folder, not in a vCenter.
    async fn find(
        &self,
        request: &MigrationRequest,
        control: &SourceControl,
    ) -> Result<String, Trouble> {
        let mut query = Vec::new();
        if let Some(id) = control.vm_id.as_deref() {
            query.push(("vms", id));
        }
        match (&control.vm_name, &control.vm_id) {
            (Some(name), _) => query.push(("names", name)),
            (None, None) => query.push(("names", &request.source_vm_id)),
            (None, Some(_)) => {}
        }
        let answer = self
            .ask(
                "finding the machine",
                Method::GET,
                &["vcenter", "vm"],
                &query,
            )
            .await?;
        let found: Vec<&str> = answer
            .body
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|machine| machine["vm"].as_str())
            .collect();
        let asked = query
            .iter()
            .map(|(filter, value)| match *filter {
                "vms" => format!("with the ID {value:?}"),
                _ => format!("named {value:?}"),
            })
            .collect::<Vec<_>>()
            .join(" and ");
        match found.as_slice() {
            [one] => Ok((*one).to_owned()),
            [] => Err(Trouble::Machine(self.api.refused(format!(
                "there is no virtual machine {asked} that this account may see; correct vmName or vmId of /sourceControl"
            )))),
            several => Err(Trouble::Machine(self.api.refused(format!(
                "several virtual machines are {asked}: {}; say which with /sourceControl/vmId",
                several.join(", ")
            )))),
        }
    }

    /// Asks something of the machine.
    async fn machine(
        &self,
        call: &str,
        method: Method,
        rest: &[&str],
        query: &[(&str, &str)],
    ) -> Result<Answer, StageError> {
        let path = [&["vcenter", "vm", self.vm.as_str()], rest].concat();
        let answer = self.ask(call, method, &path, query).await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Err(self.api.refused(format!(
                "the virtual machine {} is gone; correct vmName or vmId of /sourceControl",
                self.vm
            )));
        }
        Ok(answer)
    }

    async fn ask(
        &self,
        call: &str,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<Answer, StageError> {
        let path = [&["api"], path].concat();
        let answer = self
            .api
            .ask(call, method, &path, query, Body::Nothing)
            .await?;
        // Their status differs between operations and releases; the type does not.
        match answer.body["error_type"].as_str() {
            Some("ALREADY_IN_DESIRED_STATE") => Ok(answer),
            Some("RESOURCE_BUSY") => Err(self.api.not_ready(format!(
                "{call}: the virtual machine is busy with another operation"
            ))),
            _ => self.api.judge(call, answer),
        }
    }

    /// What is known of VMware Tools in the guest: whether they run, and whether they are there at all.
    async fn tools(&self) -> Result<Tools, StageError> {
        let answer = self
            .machine("reading VMware Tools", Method::GET, &["tools"], &[])
            .await?;
        let text = |member: &str| answer.body[member].as_str().unwrap_or_default();
        Ok(match (text("run_state"), text("version_status")) {
            ("RUNNING" | "EXECUTING_SCRIPTS", _) => Tools::Running,
            (_, "NOT_INSTALLED") => Tools::Absent,
            _ => Tools::Silent,
        })
    }

    async fn switch(&self, action: &str) -> Result<(), StageError> {
        let call = format!("power {action}");
        self.machine(&call, Method::POST, &["power"], &[("action", action)])
            .await
            .map(|_| ())
    }
}

enum Tools {
    Running,
    /// They are installed and say nothing: the guest is coming up, going down, or hangs.
    Silent,
    /// They were never installed, so the guest cannot be asked anything.
    Absent,
}

async fn sign_in(root: &Api, credentials: &Credentials) -> Result<String, StageError> {
    let call = "signing in";
    let answer = root
        .clone()
        .with_password(&credentials.username, &credentials.password)
        .call(call, Method::POST, &["api", "session"], &[], Body::Nothing)
        .await?;
    if answer.status == StatusCode::NOT_FOUND {
        return Err(root.refused(format!(
            "{ENDPOINT_FIELD} answers no sign-in; it must be a vCenter Server of 7.0 Update 2 or newer, without /api"
        )));
    }
    match answer.body {
        Value::String(session) if !session.is_empty() => Ok(session),
        _ => Err(root.refused("signing in gave no session")),
    }
}

impl SourceMachine for Vsphere {
    /// It was found when the session began.
    async fn look(&self) -> Result<(), Trouble> {
        Ok(())
    }

    async fn power(&self) -> Result<Power, StageError> {
        let answer = self
            .machine("reading the power state", Method::GET, &["power"], &[])
            .await?;
        match answer.body["state"].as_str() {
            Some("POWERED_ON") => {}
            // A suspended machine serves nobody either, and a start resumes it.
            Some("POWERED_OFF" | "SUSPENDED") => return Ok(Power::Off),
            _ => return Ok(Power::Unknown),
        }
        // The machine is powered on until the last moment of a shutdown: only its guest tells.
        let call = "reading the guest's power state";
        let guest = self
            .machine(call, Method::GET, &["guest", "power"], &[])
            .await?;
        Ok(match guest.body["state"].as_str() {
            Some("RUNNING") => Power::Running,
            Some("SHUTTING_DOWN") => Power::Stopping,
            Some("RESETTING") => Power::Starting,
            // Without Tools nobody can know more. With them, their silence can mean either way.
            _ => match self.tools().await? {
                Tools::Running | Tools::Absent => Power::Running,
                Tools::Silent => Power::Unknown,
            },
        })
    }

    /// Asks the guest, through VMware Tools. Where they are installed and silent, nothing is done: the guest may be in
    /// the middle of the shutdown that was asked for before, and must not be cut off.
    async fn power_off(&self) -> Result<(), StageError> {
        match self.tools().await? {
            Tools::Running => {
                let action = [("action", "shutdown")];
                self.machine("guest shutdown", Method::POST, &["guest", "power"], &action)
                    .await
                    .map(|_| ())
            }
            Tools::Absent => self.switch("stop").await,
            Tools::Silent => Ok(()),
        }
    }

    async fn force_off(&self) -> Result<(), StageError> {
        self.switch("stop").await
    }

    async fn start(&self) -> Result<(), StageError> {
        self.switch("start").await
    }

    /// A snapshot of the machine without its memory: it shows the disks as a power cut would leave them, as on the
    /// other platforms. The ID is its managed object ID.
    async fn snapshot(&self, name: &str) -> Result<String, StageError> {
        let vim = Vim::sign_in(&self.root, &self.credentials).await?;
        let taken = vim.snapshot(&self.vm, &snapshot_name(name)).await;
        vim.sign_out().await;
        taken
    }

    /// Not done here: the pre-flight says so too.
    async fn remove(&self) -> Result<Removal, StageError> {
        Err(self.api.refused(
            "Landfall deletes no machine in vSphere; delete it in vCenter once it is archived",
        ))
    }

    /// Ends the session: vCenter allows an account a limited number of them.
    async fn close(self) {
        let ended = self
            .ask("signing out", Method::DELETE, &["session"], &[])
            .await;
        if let Err(error) = ended {
            tracing::debug!("the vSphere session was left to expire: {error}");
        }
    }
}
