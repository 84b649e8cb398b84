//! The machine that moves, on the platform that runs it: its power, and a snapshot of it.
//!
//! Stages know [`SourceMachine`] and what [`connect`] gives them, and nothing of the platforms. docs/SOURCES.md tells
//! what each of them needs.

mod azure;
mod ec2;
mod machine;
mod trouble;
mod vsphere;

use aws_config::SdkConfig;
use aws_sdk_secretsmanager::Client as Secrets;
use landfall_common::Env;
use landfall_domain::decommission::obstacle;
use landfall_domain::request::{SourceControl, SourceControlKind};
use landfall_domain::{ErrorName, MigrationRequest, StageError, digest, webhook};
use serde::de::DeserializeOwned;
use serde_json::Value;

pub use ec2::Ec2Sources;
pub use machine::{Machine, Power, Removal, SourceMachine};
pub use trouble::Trouble;

use crate::LazyHttp;
use crate::api::Api;

const ENDPOINT_FIELD: &str = "/sourceControl/endpoint";
/// Azure and vCenter allow 80 characters; the rest is for the suffix of one of several disks.
const SNAPSHOT_NAME_MAX: usize = 72;

/// What a stage reaches sources with, always from the deployment's own account.
#[derive(Clone, Debug)]
pub struct Access {
    /// For the platforms outside AWS.
    pub http: LazyHttp,
    /// Where the platforms' credentials are.
    pub secrets: Secrets,
    /// For sources that run on EC2.
    pub ec2: Ec2Sources,
    /// The origins (`scheme://host[:port]`) that an `endpoint` of a request may have.
    pub allowed: Vec<String>,
    /// The ARNs of the EC2 instances that may be terminated once they have moved.
    pub removable: Vec<String>,
}

impl Access {
    /// From the environment: `LANDFALL_SOURCE_API_ALLOW`, and `LANDFALL_DECOMMISSION_INSTANCES` (list of ARNs).
    pub fn load(aws: &SdkConfig, env: &Env<'_>, http: &LazyHttp) -> Self {
        Self {
            http: http.clone(),
            secrets: Secrets::new(aws),
            ec2: Ec2Sources::new(aws),
            allowed: env.list("LANDFALL_SOURCE_API_ALLOW"),
            removable: env.list("LANDFALL_DECOMMISSION_INSTANCES"),
        }
    }
}

/// Signs in for the machine of a request; `None` when its source is left to a person. Refusals, here and of the
/// machine, get the error name given, the stage's own. Whoever gets a machine closes it.
///
/// # Errors
/// A field of `sourceControl` that is missing or of no use, an endpoint that is not listed, a secret that cannot be
/// read, a sign-in refused, a machine that is not there or not the only one of its name; or a transient failure.
pub async fn connect(
    access: &Access,
    request: &MigrationRequest,
    refusal: ErrorName,
) -> Result<Option<Machine>, StageError> {
    let signed_in = sign_in(access, request, refusal).await;
    signed_in.map_err(Trouble::into_error)
}

/// Signs in as [`connect`] does and finds the machine, without changing anything, in the source's platform or elsewhere.
/// Nothing is done for a source that is left to a person.
///
/// # Errors
/// What a stage that works on the machine would fail with, by what it is about.
pub async fn look(
    access: &Access,
    request: &MigrationRequest,
    refusal: ErrorName,
) -> Result<(), Trouble> {
    let Some(machine) = sign_in(access, request, refusal).await? else {
        return Ok(());
    };
    let found = machine.look().await;
    machine.close().await;
    found
}

async fn sign_in(
    access: &Access,
    request: &MigrationRequest,
    refusal: ErrorName,
) -> Result<Option<Machine>, Trouble> {
    let Some(control) = request.controlled_source() else {
        return Ok(None);
    };
    // Futures of SDK calls are large: on the heap they do not swell the ones around them.
    match control.kind {
        SourceControlKind::Azure => {
            let machine = azure::Azure::connect(access, request, control, refusal);
            Box::pin(machine).await.map(Machine::azure)
        }
        SourceControlKind::Vsphere => {
            let machine = vsphere::Vsphere::connect(access, request, control, refusal);
            Box::pin(machine).await.map(Machine::vsphere)
        }
        SourceControlKind::Ec2 => {
            let removable = obstacle(request, &access.removable).is_none();
            let machine = access.ec2.connect(request, control, removable, refusal);
            let machine = Box::pin(machine).await.map(Machine::ec2);
            machine.map_err(Trouble::from)
        }
        SourceControlKind::None => return Ok(None),
    }
    .map(Some)
}

/// Credentials are sent to the endpoint, and who puts a message on the queue need not be who may read their secret:
/// only the deployment says which hosts get them. What is judged is the URL that is called, as parsed for it.
fn listed(api: &Api, allowed: &[String]) -> Result<(), StageError> {
    let origin = api.origin();
    if webhook::is_listed(&origin, allowed.iter().map(String::as_str)) {
        return Ok(());
    }
    Err(api.refused(format!(
        "{ENDPOINT_FIELD} has the origin {origin}, which the deployment's source_api_allow does not list; have the \
         operator list it, or name a listed one (for public Azure leave the field out)"
    )))
}

/// A field that the schema asks for with this kind; a record of an earlier schema may lack it.
fn needed(
    kind: SourceControlKind,
    value: Option<&String>,
    field: &str,
    refusal: ErrorName,
) -> Result<String, StageError> {
    value.cloned().ok_or_else(|| {
        StageError::new(
            refusal,
            format!(
                "/sourceControl/{field} is missing; kind {:?} needs it",
                kind.as_str()
            ),
        )
    })
}

/// Reads the secret that a request names: a JSON object with these members, each a text that is not empty.
async fn secret<T: DeserializeOwned>(
    secrets: &Secrets,
    control: &SourceControl,
    members: &[&str],
    refusal: ErrorName,
) -> Result<T, Trouble> {
    const FIELD: &str = "/sourceControl/credentialsSecretId";
    let id = needed(
        control.kind,
        control.credentials_secret_id.as_ref(),
        "credentialsSecretId",
        refusal,
    )?;
    let text = crate::secret::text(secrets, &id, FIELD, refusal).await;
    let text = text.map_err(Trouble::Secret)?;
    let unfit = |problem: String| {
        let (kind, members) = (control.kind.as_str(), members.join(", "));
        Trouble::Secret(StageError::new(
            refusal,
            format!(
                "the secret {id:?} in {FIELD} {problem}; kind {kind:?} needs a JSON object with the texts {members}"
            ),
        ))
    };
    // The parser's own messages may quote the secret: they are left out.
    let Ok(Value::Object(content)) = serde_json::from_str(&text) else {
        return Err(unfit("is no JSON object".to_owned()));
    };
    let is_given = |member: &&&str| {
        let text = content.get(**member).and_then(Value::as_str);
        text.is_some_and(|text| !text.is_empty())
    };
    let lacks: Vec<&str> = members
        .iter()
        .filter(|member| !is_given(member))
        .copied()
        .collect();
    if !lacks.is_empty() {
        return Err(unfit(format!("lacks {}", lacks.join(" and "))));
    }
    serde_json::from_value(Value::Object(content))
        .map_err(|_| unfit("has a member that is no text".to_owned()))
}

/// The name of a snapshot as every platform takes it: cut to length where needed, with a digest so that two long names
/// stay two. A name made so stays as it is.
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
