//! Which deployment a command speaks to.
//!
//! The queue, the table or the validating function is looked for in the flags, the environment, the local stack and Terraform's outputs, in this
//! order. Where it is found decides the rest: a local stack's is reached at its own endpoint with its test
//! credentials, everything else through the AWS SDK's usual chain. What a flag names is a local stack's if its address
//! (the queue's own, else `AWS_ENDPOINT_URL`) is on this machine.

mod failed;
mod operators;
mod place;

pub use self::operators::{Operators, Reply};

use std::path::Path;
use std::time::Duration;

use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::ProfileFileRegionProvider;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_sqs::config::Credentials;
use clap::Args;
use landfall_common::StateStore;
use landfall_domain::request::is_id;

use self::place::{Place, Resource, Surroundings, find, of_stack};
use crate::error::CliError;
use crate::stack::{self, StackInfo};

pub use failed::FailedCallbacks;

/// How long one invocation may take: longer than the function itself, which has a minute.
const ANSWER: Duration = Duration::from_secs(90);

/// The flags that name a deployment.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Deployment")]
pub struct TargetArgs {
    /// The request queue; only `submit` needs it.
    #[arg(long, value_name = "URL", env = "LANDFALL_REQUEST_QUEUE_URL")]
    pub queue_url: Option<String>,
    /// The table of migration records; only `watch` and `status` need it.
    #[arg(long, value_name = "NAME", env = "LANDFALL_TABLE")]
    pub table: Option<String>,
    /// The function that checks requests; only `validate` needs it, and its name follows from the table's or the queue's.
    #[arg(long, value_name = "NAME", env = "LANDFALL_VALIDATE_FUNCTION")]
    pub validate_function: Option<String>,
    /// Where operators order and approvers answer; only their commands need it.
    #[arg(long, value_name = "URL", env = "LANDFALL_OPERATOR_API")]
    pub operator_api: Option<String>,
    /// The AWS Region; `AWS_REGION` and the AWS profile count where neither this nor the deployment names one.
    #[arg(long, value_name = "REGION")]
    pub region: Option<String>,
}

/// A deployment's request queue.
#[derive(Clone, Debug)]
pub struct Queue {
    /// The client that reaches it.
    pub client: aws_sdk_sqs::Client,
    /// Its URL.
    pub url: String,
    /// What to look at when a call fails.
    pub advice: &'static str,
}

/// A deployment's records.
#[derive(Clone, Debug)]
pub struct Records {
    /// The state manager on its table.
    pub store: StateStore,
    /// What to look at when a call fails.
    pub advice: &'static str,
}

/// A deployment's function that checks requests.
#[derive(Clone, Debug)]
pub struct Validator {
    /// The client that reaches it.
    pub client: aws_sdk_lambda::Client,
    /// Its name or ARN.
    pub function: String,
    /// What to look at when a call fails.
    pub advice: &'static str,
}

impl Queue {
    /// Finds the request queue.
    pub async fn find(args: &TargetArgs, root: &Path) -> Result<Self, CliError> {
        Self::at(look(Resource::RequestQueue, args, root)?).await
    }

    /// The request queue of a running local stack.
    pub async fn of_stack(stack: &StackInfo) -> Result<Self, CliError> {
        Self::at(of_stack(Resource::RequestQueue, stack, None)?).await
    }

    async fn at(place: Place) -> Result<Self, CliError> {
        let (place, config) = reach(place).await?;
        Ok(Self {
            client: aws_sdk_sqs::Client::new(&config),
            advice: advice(&place),
            url: place.value,
        })
    }
}

impl Records {
    /// Finds the table.
    pub async fn find(args: &TargetArgs, root: &Path) -> Result<Self, CliError> {
        Self::at(look(Resource::Table, args, root)?).await
    }

    /// The table of a running local stack.
    pub async fn of_stack(stack: &StackInfo) -> Result<Self, CliError> {
        Self::at(of_stack(Resource::Table, stack, None)?).await
    }

    async fn at(place: Place) -> Result<Self, CliError> {
        let (place, config) = reach(place).await?;
        Ok(Self {
            advice: advice(&place),
            store: StateStore::new(aws_sdk_dynamodb::Client::new(&config), place.value),
        })
    }
}

impl Validator {
    /// Finds the function.
    pub async fn find(args: &TargetArgs, root: &Path) -> Result<Self, CliError> {
        let (place, config) = reach(look(Resource::Validator, args, root)?).await?;
        Ok(Self {
            client: lambda(&config),
            advice: advice(&place),
            function: place.value,
        })
    }

    /// Another function of the same deployment, by the name of its folder: Terraform gives all names one prefix.
    ///
    /// # Errors
    /// The name of this one does not end as Terraform gives it.
    pub fn beside(mut self, folder: &str) -> Result<Self, CliError> {
        let Some(prefix) = self.function.strip_suffix(place::VALIDATOR) else {
            return Err(CliError::new(
                format!(
                    "the name of the function {folder} does not follow from {:?}",
                    self.function
                ),
                format!(
                    "Pass a --validate-function whose name ends in {}, or --table or --queue-url instead.",
                    place::VALIDATOR
                ),
            ));
        };
        self.function = format!("{prefix}{folder}");
        Ok(self)
    }
}

/// A client that waits for a function's answer.
fn lambda(config: &SdkConfig) -> aws_sdk_lambda::Client {
    let config = aws_sdk_lambda::config::Builder::from(config)
        .timeout_config(
            TimeoutConfig::builder()
                .operation_attempt_timeout(ANSWER)
                .build(),
        )
        // The function works before the first byte of its answer comes.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .build();
    aws_sdk_lambda::Client::from_conf(config)
}

/// Reads the name of a wave or a tenant from the command line.
///
/// # Errors
/// What it must be, where no migration can have it.
pub fn name(text: &str) -> Result<String, String> {
    if is_id(text) {
        Ok(text.to_owned())
    } else {
        let wanted = "letters, digits, dots, hyphens and underscores, 128 at most, the first a letter or a digit";
        Err(format!("no migration can have it: it must be {wanted}"))
    }
}

fn look(resource: Resource, args: &TargetArgs, root: &Path) -> Result<Place, CliError> {
    let endpoint = std::env::var("AWS_ENDPOINT_URL").ok();
    let stack = stack::name();
    let around = Surroundings {
        endpoint: endpoint.as_deref(),
        stack: stack.as_deref(),
    };
    find(resource, args, root, around)
}

/// Settles the Region, and with it whose resource it is.
async fn reach(mut place: Place) -> Result<(Place, SdkConfig), CliError> {
    if place.region.is_none() {
        place.region = region_of_environment().await;
    }
    if place.region.is_none()
        && let Some(local) = place.otherwise.take()
    {
        place = *local;
    }
    let region = place.region.clone().ok_or_else(|| {
        CliError::new(
            "the deployment's Region is not known",
            "Pass --region, or set AWS_REGION, or use an AWS profile or a ./terraform output that names it.",
        )
    })?;
    let loader = aws_config::defaults(BehaviorVersion::v2026_01_12()).region(Region::new(region));
    let loader = match &place.endpoint {
        None => loader,
        Some(endpoint) => loader
            .endpoint_url(endpoint)
            .credentials_provider(Credentials::new("test", "test", None, None, "local stack")),
    };
    let config = loader.load().await;
    Ok((place, config))
}

/// Not the SDK's whole chain: that ends in a search for the metadata service of EC2, which is seconds of silence.
async fn region_of_environment() -> Option<String> {
    RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new())
        .or_else(ProfileFileRegionProvider::default())
        .region()
        .await
        .map(|region| region.to_string())
}

const fn advice(place: &Place) -> &'static str {
    if place.endpoint.is_some() {
        "Is the local stack still up? `landfall up` starts it, or brings it up to date."
    } else {
        "Check the Region, the network and your credentials (`aws sts get-caller-identity`), and that the name is right."
    }
}
