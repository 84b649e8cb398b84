//! Where the queue, the table or the validating function of a deployment is found.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use reqwest::Url;
use serde_json::Value;

use super::TargetArgs;
use crate::error::CliError;
use crate::stack::{self, REGION, StackInfo};

/// The function that checks requests, by the name of its folder.
pub(super) const VALIDATOR: &str = "validate-input";

/// What a command needs of a deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Resource {
    RequestQueue,
    Table,
    Validator,
    OperatorApi,
}

impl Resource {
    const fn name(self) -> &'static str {
        match self {
            Self::RequestQueue => "the URL of the request queue",
            Self::Table => "the table of migration records",
            Self::Validator => "the function that checks requests",
            Self::OperatorApi => "the URL of the operators' API",
        }
    }

    const fn flag(self) -> &'static str {
        match self {
            Self::RequestQueue => "--queue-url",
            Self::Table => "--table",
            Self::Validator => "--validate-function",
            Self::OperatorApi => "--operator-api",
        }
    }

    const fn variable(self) -> &'static str {
        match self {
            Self::RequestQueue => "LANDFALL_REQUEST_QUEUE_URL",
            Self::Table => "LANDFALL_TABLE",
            Self::Validator => "LANDFALL_VALIDATE_FUNCTION",
            Self::OperatorApi => "LANDFALL_OPERATOR_API",
        }
    }

    /// What flags and environment name.
    fn given(self, args: &TargetArgs) -> Result<Option<String>, CliError> {
        let value = match self {
            Self::RequestQueue => args.queue_url.as_ref(),
            Self::Table => args.table.as_ref(),
            Self::Validator => args.validate_function.as_ref(),
            Self::OperatorApi => args.operator_api.as_ref(),
        };
        match (self, filled(value)) {
            (Self::Validator, None) => named_alike(args),
            (_, value) => Ok(value.map(str::to_owned)),
        }
    }

    fn named_by(self, stack: &StackInfo) -> Option<&str> {
        match self {
            Self::RequestQueue => Some(&stack.request_queue_url),
            Self::Table => Some(&stack.table_name),
            Self::Validator => stack.function_names.get(VALIDATOR).map(String::as_str),
            Self::OperatorApi => {
                Some(String::as_str(&stack.operator_api_url)).filter(|it| !it.is_empty())
            }
        }
    }

    fn put_out(self, outputs: &Value) -> Option<&str> {
        let value = |name: &str| outputs.get(name)?.get("value");
        match self {
            Self::RequestQueue => value("request_queue_url"),
            Self::Table => value("table_name"),
            Self::Validator => value("function_names")?.get(VALIDATOR),
            Self::OperatorApi => value("operator_api_url"),
        }?
        .as_str()
    }
}

fn filled(value: Option<&String>) -> Option<&str> {
    value
        .map(String::as_str)
        .filter(|value| !value.trim().is_empty())
}

/// The validating function of the deployment whose table or queue is named: Terraform gives all names one prefix.
fn named_alike(args: &TargetArgs) -> Result<Option<String>, CliError> {
    let (table, queue) = (filled(args.table.as_ref()), filled(args.queue_url.as_ref()));
    let prefix = match (table, queue) {
        (None, None) => return Ok(None),
        (Some(table), _) => table.strip_suffix("-migrations"),
        (None, Some(url)) => url
            .rsplit('/')
            .next()
            .and_then(|name| name.strip_suffix("-requests")),
    };
    match prefix {
        Some(prefix) => Ok(Some(format!("{prefix}-{VALIDATOR}"))),
        None => Err(CliError::new(
            "the name of the function that checks requests does not follow from --table or --queue-url",
            "Pass --validate-function, or set LANDFALL_VALIDATE_FUNCTION.",
        )),
    }
}

/// The queue's URL, where it is what the function is named after.
fn named_after_queue(args: &TargetArgs) -> Option<&str> {
    match (
        filled(args.validate_function.as_ref()),
        filled(args.table.as_ref()),
    ) {
        (None, None) => filled(args.queue_url.as_ref()),
        _ => None,
    }
}

/// A resource, and how to reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) value: String,
    pub(super) region: Option<String>,
    /// Only of a local stack.
    pub(super) endpoint: Option<String>,
    /// The local stack that has a resource of this name: it is meant where nothing names a Region of AWS.
    pub(super) otherwise: Option<Box<Place>>,
}

/// What the environment says beside the flags.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Surroundings<'a> {
    /// `AWS_ENDPOINT_URL`.
    pub(super) endpoint: Option<&'a str>,
    /// `LANDFALL_STACK`.
    pub(super) stack: Option<&'a str>,
}

/// Looks in the flags and the environment (which clap has merged), the local stack, and Terraform's outputs. Where a local
/// stack is named nothing else is meant: what is known to Terraform may be a deployment to AWS.
pub(super) fn find(
    resource: Resource,
    args: &TargetArgs,
    root: &Path,
    Surroundings { endpoint, stack }: Surroundings<'_>,
) -> Result<Place, CliError> {
    let region = args.region.as_deref();
    let folder = stack::folder(stack);
    if let Some(value) = resource.given(args)? {
        // A stack whose name or file cannot be read says nothing against what was named.
        let stack_root = folder.ok().and_then(|folder| stack_root(&folder, root));
        let stack = stack_root.and_then(|root| StackInfo::load(&root).ok());
        // A queue's URL tells by itself whether it is of a local stack, and with it all that is named after it; of
        // anything else AWS_ENDPOINT_URL tells.
        let url = match resource {
            Resource::RequestQueue | Resource::OperatorApi => Some(value.as_str()),
            Resource::Validator => named_after_queue(args).or(endpoint),
            Resource::Table => endpoint,
        };
        return Ok(given(resource, &value, region, url, stack.as_ref()));
    }
    if let Some(stack_root) = stack_root(&folder?, root) {
        let stack = StackInfo::load(&stack_root)?;
        return of_stack(resource, &stack, region);
    }
    if let Some(name) = stack {
        return Err(CliError::new(
            format!("there is no local stack {name} here, which LANDFALL_STACK names"),
            format!("Start it with LANDFALL_STACK={name} landfall up, or unset LANDFALL_STACK."),
        ));
    }
    terraform_outputs(&root.join("terraform"))
        .and_then(|outputs| of_terraform(resource, &outputs, region))
        .ok_or_else(|| {
            CliError::new(
                format!("{} is not known", resource.name()),
                format!(
                    "Pass {}, or set {}, or run this in a checkout with a local stack (`landfall up`) or with an \
                     initialized ./terraform whose outputs name it.",
                    resource.flag(),
                    resource.variable()
                ),
            )
        })
}

/// A resource that was named; `url` is where it would be, if it were a local stack's.
fn given(
    resource: Resource,
    value: &str,
    region: Option<&str>,
    url: Option<&str>,
    stack: Option<&StackInfo>,
) -> Place {
    let local = url.and_then(origin_here);
    let own = stack
        .filter(|stack| local.is_none() && resource.named_by(stack) == Some(value))
        .and_then(|stack| of_stack(resource, stack, region).ok());
    Place {
        value: value.to_owned(),
        region: region
            .or(local.is_some().then_some(REGION))
            .map(str::to_owned),
        endpoint: local,
        otherwise: own.map(Box::new),
    }
}

/// The origin of a URL of this machine: no service of AWS is here, so it must be a local stack's.
fn origin_here(url: &str) -> Option<String> {
    let url = Url::parse(url).ok()?;
    let here = match url.host_str()? {
        "localhost" => true,
        host => host
            .trim_matches(['[', ']'])
            .parse()
            .is_ok_and(|address: IpAddr| address.is_loopback()),
    };
    here.then(|| url.origin().ascii_serialization())
}

pub(super) fn of_stack(
    resource: Resource,
    stack: &StackInfo,
    region: Option<&str>,
) -> Result<Place, CliError> {
    let value = resource.named_by(stack).ok_or_else(|| {
        CliError::new(
            format!(
                "the local stack is of an earlier landfall, which did not write down {}",
                resource.name()
            ),
            "`landfall up` brings it up to date.",
        )
    })?;
    Ok(Place {
        value: value.to_owned(),
        region: Some(region.unwrap_or(&stack.region).to_owned()),
        endpoint: Some(stack.ministack_url.clone()),
        otherwise: None,
    })
}

fn of_terraform(resource: Resource, outputs: &Value, region: Option<&str>) -> Option<Place> {
    let own = || outputs.get("region")?.get("value")?.as_str();
    Some(Place {
        value: resource.put_out(outputs)?.to_owned(),
        region: region.or_else(own).map(str::to_owned),
        endpoint: None,
        otherwise: None,
    })
}

/// The nearest folder, from a start upwards, in which the local stack of such a folder stands.
fn stack_root(stack: &str, start: &Path) -> Option<PathBuf> {
    let stack = Path::new(stack).join("stack.json");
    let start = start.canonicalize().ok()?;
    let mut folders = start.ancestors();
    let root = folders.find(|folder| folder.join(&stack).is_file());
    root.map(Path::to_owned)
}

/// The outputs of an initialized Terraform folder; `None` when there are none to be had.
fn terraform_outputs(folder: &Path) -> Option<Value> {
    // Terraform takes a while to find out that it was never initialized.
    if !folder.join(".terraform").is_dir() && std::env::var_os("TF_DATA_DIR").is_none() {
        return None;
    }
    let output = Command::new("terraform")
        .args(["output", "-json", "-no-color"])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    if !output.status.success() {
        return None;
    }
    serde_json::from_slice(&output.stdout).ok()
}

#[cfg(test)]
mod tests;
