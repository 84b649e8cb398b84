//! Where the queue or the table of a deployment is found.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use reqwest::Url;
use serde_json::Value;

use super::TargetArgs;
use crate::error::CliError;
use crate::stack::{REGION, StackInfo};

/// What a command needs of a deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Resource {
    RequestQueue,
    Table,
}

impl Resource {
    const fn name(self) -> &'static str {
        match self {
            Self::RequestQueue => "the URL of the request queue",
            Self::Table => "the table of migration records",
        }
    }

    const fn flag(self) -> &'static str {
        match self {
            Self::RequestQueue => "--queue-url",
            Self::Table => "--table",
        }
    }

    const fn variable(self) -> &'static str {
        match self {
            Self::RequestQueue => "LANDFALL_REQUEST_QUEUE_URL",
            Self::Table => "LANDFALL_TABLE",
        }
    }

    const fn output(self) -> &'static str {
        match self {
            Self::RequestQueue => "request_queue_url",
            Self::Table => "table_name",
        }
    }

    fn given(self, args: &TargetArgs) -> Option<&str> {
        let value = match self {
            Self::RequestQueue => &args.queue_url,
            Self::Table => &args.table,
        };
        value.as_deref().filter(|value| !value.trim().is_empty())
    }

    fn named_by(self, stack: &StackInfo) -> &str {
        match self {
            Self::RequestQueue => &stack.request_queue_url,
            Self::Table => &stack.table_name,
        }
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

/// Looks in the flags and the environment (which clap has merged), the local stack, and Terraform's outputs.
/// `endpoint` is what `AWS_ENDPOINT_URL` says.
pub(super) fn find(
    resource: Resource,
    args: &TargetArgs,
    root: &Path,
    endpoint: Option<&str>,
) -> Result<Place, CliError> {
    let region = args.region.as_deref();
    let stack_root = stack_root(root);
    if let Some(value) = resource.given(args) {
        // A stack file that cannot be read says nothing against what was named.
        let stack = stack_root.and_then(|root| StackInfo::load(&root).ok());
        return Ok(given(resource, value, region, endpoint, stack.as_ref()));
    }
    if let Some(stack_root) = stack_root {
        let stack = StackInfo::load(&stack_root)?;
        return Ok(of_stack(resource, &stack, region));
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

/// A resource that was named. A queue's URL tells by itself whether it is of a local stack; of anything else
/// `AWS_ENDPOINT_URL` tells.
fn given(
    resource: Resource,
    value: &str,
    region: Option<&str>,
    endpoint: Option<&str>,
    stack: Option<&StackInfo>,
) -> Place {
    let url = match resource {
        Resource::RequestQueue => Some(value),
        Resource::Table => endpoint,
    };
    let local = url.and_then(origin_here);
    let own = stack.filter(|stack| local.is_none() && resource.named_by(stack) == value);
    Place {
        value: value.to_owned(),
        region: region
            .or(local.is_some().then_some(REGION))
            .map(str::to_owned),
        endpoint: local,
        otherwise: own.map(|stack| Box::new(of_stack(resource, stack, region))),
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

pub(super) fn of_stack(resource: Resource, stack: &StackInfo, region: Option<&str>) -> Place {
    Place {
        value: resource.named_by(stack).to_owned(),
        region: Some(region.unwrap_or(&stack.region).to_owned()),
        endpoint: Some(stack.ministack_url.clone()),
        otherwise: None,
    }
}

fn of_terraform(resource: Resource, outputs: &Value, region: Option<&str>) -> Option<Place> {
    let output = |name: &str| outputs.get(name)?.get("value")?.as_str().map(str::to_owned);
    Some(Place {
        value: output(resource.output())?,
        region: region.map(str::to_owned).or_else(|| output("region")),
        endpoint: None,
        otherwise: None,
    })
}

/// The nearest folder, from a start upwards, in which a local stack stands.
fn stack_root(start: &Path) -> Option<PathBuf> {
    let start = start.canonicalize().ok()?;
    start
        .ancestors()
        .find(|folder| folder.join(".landfall/stack.json").is_file())
        .map(Path::to_owned)
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
mod tests {
    use super::*;
    use crate::stack::Pids;

    fn stack() -> StackInfo {
        StackInfo {
            ministack_url: "http://127.0.0.1:4566".to_owned(),
            simulator_url: "http://127.0.0.1:4570".to_owned(),
            region: "us-east-1".to_owned(),
            account_id: "000000000000".to_owned(),
            table_name: "local-table".to_owned(),
            request_queue_url: "http://127.0.0.1:4566/000000000000/requests".to_owned(),
            request_dlq_url: String::new(),
            launch_queue_url: String::new(),
            callback_failed_queue_url: String::new(),
            event_bus_name: String::new(),
            state_machine_arn: String::new(),
            callback_secret: String::new(),
            pids: Pids {
                ministack: 1,
                simulator: 2,
            },
        }
    }

    #[test]
    fn a_flag_wins_and_means_aws() {
        let args = TargetArgs {
            table: Some("mine".to_owned()),
            ..TargetArgs::default()
        };
        let place = find(Resource::Table, &args, Path::new("/"), None).unwrap();
        assert_eq!((place.value.as_str(), place.endpoint), ("mine", None));
        let aws = "https://sqs.eu-central-1.amazonaws.com/123456789012/requests";
        let place = given(Resource::RequestQueue, aws, None, None, Some(&stack()));
        assert_eq!(
            (place.region, place.endpoint, place.otherwise),
            (None, None, None)
        );
    }

    #[test]
    fn a_named_resource_of_a_local_stack_needs_neither_endpoint_nor_region() {
        let here = "http://127.0.0.1:4566";
        let queue = format!("{here}/000000000000/requests");
        let found = [
            given(Resource::RequestQueue, &queue, None, None, None),
            given(
                Resource::RequestQueue,
                "http://[::1]:1/q",
                None,
                Some(here),
                None,
            ),
            given(
                Resource::Table,
                "any",
                None,
                Some("http://localhost:4566/"),
                None,
            ),
            given(
                Resource::Table,
                "any",
                Some("eu-west-1"),
                Some(here),
                Some(&stack()),
            ),
            given(
                Resource::Table,
                "any",
                None,
                Some("https://vpce.example.com"),
                None,
            ),
        ];
        let found = found.map(|place| (place.endpoint, place.region));
        let local =
            |endpoint: &str, region: &str| (Some(endpoint.to_owned()), Some(region.to_owned()));
        assert_eq!(
            found,
            [
                local(here, "us-east-1"),
                local("http://[::1]:1", "us-east-1"),
                local("http://localhost:4566", "us-east-1"),
                local(here, "eu-west-1"),
                (None, None),
            ]
        );
    }

    #[test]
    fn a_name_that_the_local_stack_has_too_is_its_own_where_no_region_is_known() {
        let place = given(Resource::Table, "local-table", None, None, Some(&stack()));
        assert_eq!((place.region, place.endpoint), (None, None));
        let local = of_stack(Resource::Table, &stack(), None);
        assert_eq!(place.otherwise.as_deref(), Some(&local));
        let place = given(Resource::Table, "another", None, None, Some(&stack()));
        assert_eq!(place.otherwise, None);
    }

    #[test]
    fn a_local_stack_brings_its_endpoint_and_region() {
        let place = of_stack(Resource::Table, &stack(), None);
        assert_eq!(place.value, "local-table");
        assert_eq!(place.region.as_deref(), Some("us-east-1"));
        assert_eq!(place.endpoint.as_deref(), Some("http://127.0.0.1:4566"));
    }

    #[test]
    fn terraform_s_outputs_bring_their_region() {
        let outputs =
            serde_json::json!({"table_name": {"value": "t"}, "region": {"value": "eu-central-1"}});
        let place = of_terraform(Resource::Table, &outputs, None).unwrap();
        assert_eq!(
            (place.value.as_str(), place.region.as_deref()),
            ("t", Some("eu-central-1"))
        );
        assert_eq!(of_terraform(Resource::RequestQueue, &outputs, None), None);
    }

    #[test]
    fn nothing_known_names_every_way_to_make_it_known() {
        let folder = std::env::temp_dir();
        let error = find(
            Resource::RequestQueue,
            &TargetArgs::default(),
            &folder,
            None,
        )
        .unwrap_err();
        for way in [
            "--queue-url",
            "LANDFALL_REQUEST_QUEUE_URL",
            "landfall up",
            "./terraform",
        ] {
            assert!(error.remedy.contains(way), "{way} is missing in: {error}");
        }
    }

    #[test]
    fn the_stack_is_found_upwards() {
        let base = std::env::temp_dir().join(format!("landfall-target-{}", uuid::Uuid::new_v4()));
        let below = base.join("a/b");
        std::fs::create_dir_all(&below).unwrap();
        std::fs::create_dir_all(base.join(".landfall")).unwrap();
        assert_eq!(stack_root(&below), None);
        std::fs::write(base.join(".landfall/stack.json"), "{}").unwrap();
        assert_eq!(stack_root(&below), Some(base.canonicalize().unwrap()));
        std::fs::remove_dir_all(&base).unwrap();
    }
}
