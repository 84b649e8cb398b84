//! Azure Resource Manager: the power of a virtual machine, and snapshots of its disks.
//!
//! Source: Azure REST API reference, "Virtual Machines" (Deallocate, Start, Instance View) and "Snapshots" (Create
//! Or Update); OAuth 2.0 client credentials on the Microsoft identity platform.

use aws_sdk_secretsmanager::Client as Secrets;
use landfall_common::AwsResultExt as _;
use landfall_domain::request::{SourceControl, SourceControlKind};
use landfall_domain::{ErrorName, MigrationRequest, StageError, digest, webhook};
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::api::{Answer, Api, Body};

const MANAGEMENT: &str = "https://management.azure.com";
const LOGIN: &str = "https://login.microsoftonline.com";
const ENDPOINT_FIELD: &str = "/sourceControl/endpoint";
const VM_API: [(&str, &str); 1] = [("api-version", "2024-07-01")];
const SNAPSHOT_API: [(&str, &str); 1] = [("api-version", "2024-03-02")];
/// Azure allows 80 characters; the rest is for the suffix of a data disk.
const SNAPSHOT_NAME_MAX: usize = 72;

/// One virtual machine.
#[derive(Clone, Debug)]
pub struct Azure {
    api: Api,
    subscription: String,
    group: String,
    vm: String,
}

/// Whether a machine runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Power {
    /// It runs.
    Running,
    /// It is on its way up.
    Starting,
    /// It is on its way down.
    Stopping,
    /// It does not run.
    Off,
    /// Azure does not say.
    Unknown,
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
    /// Signs in for the machine of a request; `None` when nobody controls its source. Refusals get the error name
    /// given, the stage's own. `allowed` holds the origins (`scheme://host[:port]`) that an `endpoint` of the request
    /// may have; a request without one goes to public Azure.
    ///
    /// # Errors
    /// A field of `sourceControl` that is missing or of no use, an endpoint that is not listed, a secret that cannot
    /// be read, a sign-in refused.
    pub async fn connect(
        http: &reqwest::Client,
        secrets: &Secrets,
        request: &MigrationRequest,
        allowed: &[String],
        refusal: ErrorName,
    ) -> Result<Option<Self>, StageError> {
        let Some(control) = request
            .source_control
            .as_ref()
            .filter(|control| control.kind == SourceControlKind::Azure)
        else {
            return Ok(None);
        };
        let subscription = needed(control.subscription_id.as_ref(), "subscriptionId", refusal)?;
        let group = needed(control.resource_group.as_ref(), "resourceGroup", refusal)?;
        let endpoint = control.endpoint.as_deref();
        let api = |base: Option<&str>, public| {
            Api::new(
                http,
                base.unwrap_or(public),
                "Azure",
                ENDPOINT_FIELD,
                refusal,
            )
        };
        // Both URLs are checked before the secret is fetched.
        let (management, login) = (api(endpoint, MANAGEMENT)?, api(endpoint, LOGIN)?);
        if endpoint.is_some() {
            listed(&management, allowed)?;
        }
        let credentials = credentials(secrets, control, refusal).await?;
        let token = sign_in(&login, &credentials).await?;
        Ok(Some(Self {
            api: management.with_token(token),
            subscription,
            group,
            vm: control
                .vm_name
                .clone()
                .unwrap_or_else(|| request.source_vm_id.clone()),
        }))
    }

    /// How the machine stands.
    ///
    /// # Errors
    /// A refusal, also when there is no such machine; or a transient failure.
    pub async fn power(&self) -> Result<Power, StageError> {
        let call = "reading the power state";
        let answer = self
            .machine(call, Method::GET, Some("instanceView"))
            .await?;
        let state = answer.body["statuses"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|status| status["code"].as_str())
            .find_map(|code| code.strip_prefix("PowerState/"));
        Ok(match state {
            Some("running") => Power::Running,
            Some("starting") => Power::Starting,
            Some("stopping" | "deallocating") => Power::Stopping,
            Some("stopped" | "deallocated") => Power::Off,
            _ => Power::Unknown,
        })
    }

    /// Whether the machine runs, on its way neither up nor down.
    ///
    /// # Errors
    /// See [`Azure::power`].
    pub async fn is_running(&self) -> Result<bool, StageError> {
        Ok(self.power().await? == Power::Running)
    }

    /// Asks Azure to deallocate the machine, which also ends its compute charges. Azure answers at once and works
    /// on; [`Azure::power`] tells when it is done. Asking again does no harm.
    ///
    /// # Errors
    /// See [`Azure::power`].
    pub async fn power_off(&self) -> Result<(), StageError> {
        self.machine("deallocate", Method::POST, Some("deallocate"))
            .await
            .map(|_| ())
    }

    /// Asks Azure to start the machine; as [`Azure::power_off`].
    ///
    /// # Errors
    /// See [`Azure::power`].
    pub async fn start(&self) -> Result<(), StageError> {
        self.machine("start", Method::POST, Some("start"))
            .await
            .map(|_| ())
    }

    /// Takes a snapshot of every managed disk: the one of the operating system's disk under `name`, those of data
    /// disks with `-lun<n>` behind it. Returns the ID of the first. The same name again finds what is there. Azure
    /// knows the first one as [`snapshot_name`] of `name`.
    ///
    /// # Errors
    /// `DependencyUnavailable` while Azure still works on one: ask again. A refusal for a machine without managed
    /// disks.
    pub async fn snapshot(&self, name: &str) -> Result<String, StageError> {
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
            return Err(self.api.refused(format!(
                "there is no virtual machine {} in the resource group {}; correct /sourceControl in the request",
                self.vm, self.group
            )));
        }
        Ok(answer)
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

/// The client secret is posted to the endpoint, and who puts a message on the queue need not be who may read that
/// secret: only the deployment says which hosts get it. What is judged is the URL that is called, as parsed for it.
fn listed(api: &Api, allowed: &[String]) -> Result<(), StageError> {
    let origin = api.origin();
    if webhook::is_listed(&origin, allowed.iter().map(String::as_str)) {
        return Ok(());
    }
    Err(api.refused(format!(
        "{ENDPOINT_FIELD} has the origin {origin}, which the deployment's source_api_allow does not list; leave the \
         field out for public Azure, or have the operator list the origin"
    )))
}

fn needed(value: Option<&String>, field: &str, refusal: ErrorName) -> Result<String, StageError> {
    value.cloned().ok_or_else(|| {
        StageError::new(
            refusal,
            format!("/sourceControl/{field} is missing; kind \"azure\" needs it"),
        )
    })
}

async fn credentials(
    secrets: &Secrets,
    control: &SourceControl,
    refusal: ErrorName,
) -> Result<Credentials, StageError> {
    let id = needed(
        control.credentials_secret_id.as_ref(),
        "credentialsSecretId",
        refusal,
    )?;
    let answer = secrets
        .get_secret_value()
        .secret_id(&id)
        .send()
        .await
        .or_stage(refusal, "secretsmanager:GetSecretValue")?;
    answer
        .secret_string()
        .and_then(|text| serde_json::from_str(text).ok())
        // The parser's own message may quote the secret, so it is left out.
        .ok_or_else(|| {
            StageError::new(
                refusal,
                format!(
                    "the secret {id:?} in /sourceControl/credentialsSecretId is not a JSON object with the texts \
                     tenantId, clientId and clientSecret; store it so"
                ),
            )
        })
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

/// The name of a snapshot as Azure takes it: cut to length where needed, with a digest so that two long names stay
/// two. A name made so stays as it is.
pub fn snapshot_name(name: &str) -> String {
    let name: String = name
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || "._-".contains(c) {
                c
            } else {
                '-'
            }
        })
        .collect();
    if name.len() <= SNAPSHOT_NAME_MAX {
        return name;
    }
    let hash = digest::of_bytes(name.as_bytes());
    format!("{}-{}", &name[..SNAPSHOT_NAME_MAX - 17], &hash[..16])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_snapshot_names_are_cut_and_stay_apart() {
        assert_eq!(snapshot_name("landfall-mig-1-1"), "landfall-mig-1-1");
        let long = format!("landfall-{}", "x".repeat(128));
        let (one, two) = (
            snapshot_name(&format!("{long}-1")),
            snapshot_name(&format!("{long}-2")),
        );
        assert_eq!(snapshot_name(&one), one);
        assert_eq!(one.len(), SNAPSHOT_NAME_MAX);
        assert_ne!(one, two);
    }
}
