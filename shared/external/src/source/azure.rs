//! Azure Resource Manager: the power of a virtual machine, and snapshots of its disks.
//!
//! Source: Azure REST API reference, "Virtual Machines" (Deallocate, Start, Instance View, Delete) and "Snapshots" (Create
//! Or Update); OAuth 2.0 client credentials on the Microsoft identity platform.

use landfall_domain::request::SourceControl;
use landfall_domain::{ErrorName, MigrationRequest, StageError};
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Access, ENDPOINT_FIELD, Power, Removal, SourceMachine, Trouble, listed, needed, secret,
    snapshot_name,
};
use crate::api::{Answer, Api, Body};

const MANAGEMENT: &str = "https://management.azure.com";
const LOGIN: &str = "https://login.microsoftonline.com";
const VM_API: [(&str, &str); 1] = [("api-version", "2024-07-01")];
const SNAPSHOT_API: [(&str, &str); 1] = [("api-version", "2024-03-02")];

/// One virtual machine.
#[derive(Clone, Debug)]
pub(super) struct Azure {
    api: Api,
    subscription: String,
    group: String,
    vm: String,
}

/// What the secret holds. No `Debug`: it must never reach a log.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Credentials {
    tenant_id: String,
    client_id: String,
    client_secret: String,
}

impl Azure {
    /// Signs in. An `endpoint` of the request must be listed; a request without one goes to public Azure.
    ///
    /// # Errors
    /// A field of `sourceControl` that is missing or of no use, an endpoint that is not listed, a secret that cannot
    /// be read, a sign-in refused.
    pub(super) async fn connect(
        access: &Access,
        request: &MigrationRequest,
        control: &SourceControl,
        refusal: ErrorName,
    ) -> Result<Self, Trouble> {
        let kind = control.kind;
        let needed = |value, field| needed(kind, value, field, refusal);
        let subscription = needed(control.subscription_id.as_ref(), "subscriptionId")?;
        let group = needed(control.resource_group.as_ref(), "resourceGroup")?;
        let endpoint = control.endpoint.as_deref();
        let http = access.http.get()?;
        let api = |base: Option<&str>, public| {
            Api::new(
                &http,
                base.unwrap_or(public),
                "Azure",
                ENDPOINT_FIELD,
                refusal,
            )
        };
        // Both URLs are checked before the secret is fetched.
        let (management, login) = (api(endpoint, MANAGEMENT)?, api(endpoint, LOGIN)?);
        if endpoint.is_some() {
            listed(&management, &access.allowed)?;
        }
        let members = ["tenantId", "clientId", "clientSecret"];
        let credentials = secret(&access.secrets, control, &members, refusal).await?;
        let token = sign_in(&login, &credentials).await?;
        Ok(Self {
            api: management.with_token(token),
            subscription,
            group,
            vm: control
                .vm_name
                .clone()
                .unwrap_or_else(|| request.source_vm_id.clone()),
        })
    }

    async fn snapshot_disk(
        &self,
        name: &str,
        location: &Value,
        disk: &Value,
    ) -> Result<String, StageError> {
        let source = disk["managedDisk"]["id"].as_str().ok_or_else(|| {
            self.api.refused(format!(
                "a disk of {} is not a managed disk and has no snapshots; leave `freeze` out of /steps",
                self.vm
            ))
        })?;
        let body = json!({
            "location": location,
            "properties": {
                "creationData": {"createOption": "Copy", "sourceResourceId": source},
                "incremental": true,
            },
        });
        let path = self.path("snapshots", &[name]);
        let answer = self
            .api
            .call(
                "taking a snapshot",
                Method::PUT,
                &path,
                &SNAPSHOT_API,
                Body::Json(&body),
            )
            .await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Err(self
                .api
                .refused("the resource group or the disk of a snapshot was not found"));
        }
        match answer.body["properties"]["provisioningState"].as_str() {
            Some("Succeeded") => {}
            Some(state @ ("Failed" | "Canceled")) => {
                return Err(self.api.refused(format!(
                    "the snapshot {name} is {state}; delete it in Azure, then resubmit"
                )));
            }
            _ => {
                return Err(self
                    .api
                    .not_ready(format!("the snapshot {name} is still being taken")));
            }
        }
        answer.body["id"]
            .as_str()
            .map(str::to_owned)
            .ok_or_else(|| {
                self.api
                    .refused(format!("the snapshot {name} came without an ID"))
            })
    }

    async fn machine(
        &self,
        call: &str,
        method: Method,
        action: Option<&str>,
    ) -> Result<Answer, StageError> {
        let mut rest = vec![self.vm.as_str()];
        rest.extend(action);
        let path = self.path("virtualMachines", &rest);
        let answer = self
            .api
            .call(call, method, &path, &VM_API, Body::Nothing)
            .await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Err(self.missing());
        }
        Ok(answer)
    }

    fn missing(&self) -> StageError {
        self.api.refused(format!(
            "there is no virtual machine {} in the resource group {}; correct /sourceControl in the request",
            self.vm, self.group
        ))
    }

    fn path<'a>(&'a self, kind: &'a str, rest: &[&'a str]) -> Vec<&'a str> {
        let mut path = vec![
            "subscriptions",
            self.subscription.as_str(),
            "resourceGroups",
            self.group.as_str(),
            "providers",
            "Microsoft.Compute",
            kind,
        ];
        path.extend(rest);
        path
    }
}

impl SourceMachine for Azure {
    async fn look(&self) -> Result<(), Trouble> {
        let (call, path) = (
            "finding the machine",
            self.path("virtualMachines", &[&self.vm]),
        );
        let answer = self
            .api
            .call(call, Method::GET, &path, &VM_API, Body::Nothing)
            .await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Err(Trouble::Machine(self.missing()));
        }
        Ok(())
    }

    async fn power(&self) -> Result<Power, StageError> {
        let call = "reading the power state";
        let answer = self
            .machine(call, Method::GET, Some("instanceView"))
            .await?;
        Ok(power_of(&answer.body))
    }

    /// Deallocates the machine, which also ends its compute charges. Azure asks the operating system first.
    async fn power_off(&self) -> Result<(), StageError> {
        self.machine("deallocate", Method::POST, Some("deallocate"))
            .await
            .map(|_| ())
    }

    /// As [`Azure::power_off`]: Azure never lets the operating system keep a machine that is to be deallocated.
    async fn force_off(&self) -> Result<(), StageError> {
        self.power_off().await
    }

    async fn start(&self) -> Result<(), StageError> {
        self.machine("start", Method::POST, Some("start"))
            .await
            .map(|_| ())
    }

    /// A snapshot of every managed disk: the one of the operating system's disk under the name, those of data disks
    /// with `-lun<n>` behind it. The ID is that of the first. A machine without managed disks is refused.
    async fn snapshot(&self, name: &str) -> Result<String, StageError> {
        let machine = self
            .machine("reading the machine", Method::GET, None)
            .await?
            .body;
        let name = snapshot_name(name);
        let storage = &machine["properties"]["storageProfile"];
        let mut disks = vec![(name.clone(), &storage["osDisk"])];
        for disk in storage["dataDisks"].as_array().into_iter().flatten() {
            disks.push((format!("{name}-lun{}", disk["lun"]), disk));
        }
        // All are begun before any is waited for: they shall show the same moment, and together they take no longer
        // than the slowest.
        let mut ids = Vec::with_capacity(disks.len());
        let mut still_taken = None;
        for (name, disk) in disks {
            match self.snapshot_disk(&name, &machine["location"], disk).await {
                Ok(id) => ids.push(id),
                Err(error) if error.name == ErrorName::DependencyUnavailable => {
                    still_taken.get_or_insert(error);
                }
                Err(error) => return Err(error),
            }
        }
        match (still_taken, ids.into_iter().next()) {
            (None, Some(id)) => Ok(id),
            (Some(error), _) => Err(error),
            (None, None) => Err(self.api.refused("the machine has no disk")),
        }
    }

    /// Deletes the machine. Its disks and interfaces go with it or stay as their own `deleteOption` says.
    async fn remove(&self) -> Result<Removal, StageError> {
        let path = self.path("virtualMachines", &[&self.vm, "instanceView"]);
        let call = "reading the power state";
        let answer = self
            .api
            .call(call, Method::GET, &path, &VM_API, Body::Nothing)
            .await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(Removal::Gone);
        }
        if is_being_deleted(&answer.body) {
            return Ok(Removal::UnderWay);
        }
        if power_of(&answer.body) != Power::Off {
            return Ok(Removal::NotOff);
        }
        let path = self.path("virtualMachines", &[&self.vm]);
        let answer = self
            .api
            .call("delete", Method::DELETE, &path, &VM_API, Body::Nothing)
            .await?;
        Ok(match answer.status {
            StatusCode::NO_CONTENT | StatusCode::NOT_FOUND => Removal::Gone,
            _ => Removal::UnderWay,
        })
    }

    /// A token cannot be given back; it expires.
    async fn close(self) {}
}

fn is_being_deleted(view: &Value) -> bool {
    let statuses = view["statuses"].as_array().into_iter().flatten();
    let mut codes = statuses.filter_map(|status| status["code"].as_str());
    codes.any(|code| code == "ProvisioningState/deleting")
}

/// What an instance view says of the power.
fn power_of(view: &Value) -> Power {
    let statuses = view["statuses"].as_array().into_iter().flatten();
    let state = statuses
        .filter_map(|status| status["code"].as_str())
        .find_map(|code| code.strip_prefix("PowerState/"));
    match state {
        Some("running") => Power::Running,
        Some("starting") => Power::Starting,
        Some("stopping" | "deallocating") => Power::Stopping,
        Some("stopped" | "deallocated") => Power::Off,
        _ => Power::Unknown,
    }
}

async fn sign_in(login: &Api, credentials: &Credentials) -> Result<String, StageError> {
    let scope = format!("{MANAGEMENT}/.default");
    let answer = login
        .call(
            "signing in",
            Method::POST,
            &[&credentials.tenant_id, "oauth2", "v2.0", "token"],
            &[],
            Body::Form(&[
                ("grant_type", "client_credentials"),
                ("client_id", &credentials.client_id),
                ("client_secret", &credentials.client_secret),
                ("scope", &scope),
            ]),
        )
        .await?;
    answer.body["access_token"]
        .as_str()
        .map(str::to_owned)
        .ok_or_else(|| login.refused("signing in gave no access token"))
}
