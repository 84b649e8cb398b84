//! EC2, in another Region or another account than the deployment's own: stop, start, and snapshots of all volumes.
//!
//! Source: Amazon EC2 API reference, StopInstances, StartInstances, TerminateInstances, CreateSnapshots (all volumes at
//! one moment).

mod session;

use aws_config::{Region, SdkConfig};
use aws_sdk_ec2::Client;
use aws_sdk_ec2::config::retry::RetryConfig;
use aws_sdk_ec2::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_ec2::operation::describe_instances::DescribeInstancesError;
use aws_sdk_ec2::types::{
    Filter, InstanceSpecification, InstanceStateName, ResourceType, SnapshotState, Tag,
    TagSpecification,
};
use landfall_common::aws_error::{code, stage_error};
use landfall_domain::request::SourceControl;
use landfall_domain::{ErrorName, MigrationRequest, StageError};

use super::{Power, Removal, SourceMachine, Trouble, needed, snapshot_name};
use session::Session;

/// The tag that holds a snapshot's name: `CreateSnapshots` has no client token, so it is looked for first.
const NAME_TAG: &str = "landfall:snapshot";
/// The tag that tells the instance, for two tenants may give one ID to two migrations.
const INSTANCE_TAG: &str = "landfall:sourceInstanceId";

const DESCRIBE: &str = "ec2:DescribeInstances";

/// The way to sources that run on EC2, from the deployment's own account.
#[derive(Clone)]
pub struct Ec2Sources(Way);

#[derive(Clone)]
enum Way {
    Own(Box<SdkConfig>),
    Client(Client),
}

impl std::fmt::Debug for Ec2Sources {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The configuration may hold credentials.
        f.debug_struct("Ec2Sources").finish_non_exhaustive()
    }
}

impl Ec2Sources {
    /// With the deployment's own credentials; `AWS_ENDPOINT_URL_EC2` is honoured by the SDK.
    pub fn new(aws: &SdkConfig) -> Self {
        Self(Way::Own(Box::new(aws.clone())))
    }

    /// On a client that exists, whatever Region and role a request names; for tests.
    pub fn with_client(client: Client) -> Self {
        Self(Way::Client(client))
    }

    /// The instance of a request, in its Region and under its role; whether the operator lets it be terminated.
    ///
    /// # Errors
    /// A field that is missing, a role that may not be assumed, or a transient failure.
    pub(super) async fn connect(
        &self,
        request: &MigrationRequest,
        control: &SourceControl,
        removable: bool,
        refusal: ErrorName,
    ) -> Result<Ec2, StageError> {
        let needed = |value, field| needed(control.kind, value, field, refusal);
        let instance = needed(control.instance_id.as_ref(), "instanceId")?;
        let region = needed(control.region.as_ref(), "region")?;
        let client = match &self.0 {
            Way::Client(client) => client.clone(),
            Way::Own(aws) => {
                let mut config = aws_sdk_ec2::config::Builder::from(aws.as_ref())
                    .region(Region::new(region.clone()));
                if let Some(role) = &control.role_arn {
                    let session = Session {
                        role,
                        external_id: control.external_id.as_deref(),
                        name: format!("landfall-{}", request.migration_id),
                        region: &region,
                        instance: &instance,
                        removable,
                    };
                    config = config.credentials_provider(session.begin(aws, refusal).await?);
                }
                Client::from_conf(config.build())
            }
        };
        Ok(Ec2 {
            client,
            instance,
            region,
            removable,
            refusal,
        })
    }
}

/// One instance.
#[derive(Clone, Debug)]
pub(super) struct Ec2 {
    client: Client,
    instance: String,
    region: String,
    removable: bool,
    refusal: ErrorName,
}

/// A snapshot of one volume.
struct Taken {
    id: String,
    state: SnapshotState,
}

impl Ec2 {
    fn missing(&self) -> StageError {
        let Self {
            instance, region, ..
        } = self;
        StageError::new(
            self.refusal,
            format!(
                "EC2 knows no instance {instance} in {region} of this account; correct instanceId, region or roleArn of \
                 /sourceControl"
            ),
        )
    }

    fn failed<E>(&self, error: &SdkError<E>, call: &str) -> StageError
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let instance = &self.instance;
        match code(error) {
            // A start or stop is under way: it is taken from rest only.
            Some("IncorrectInstanceState") => StageError::new(
                ErrorName::DependencyUnavailable,
                format!("{call}: the instance {instance} is between two states"),
            ),
            code if is_unknown(code) => self.missing(),
            _ => stage_error(error, self.refusal, call),
        }
    }

    /// As EC2 tells it; `None` where it tells of no such instance.
    async fn state(&self) -> Result<Option<InstanceStateName>, SdkError<DescribeInstancesError>> {
        let answer = self
            .client
            .describe_instances()
            .instance_ids(&self.instance)
            .send()
            .await?;
        Ok(answer
            .reservations()
            .iter()
            .flat_map(aws_sdk_ec2::types::Reservation::instances)
            .find(|instance| instance.instance_id() == Some(self.instance.as_str()))
            .and_then(|instance| instance.state()?.name().cloned()))
    }

    async fn stop(&self, force: bool) -> Result<(), StageError> {
        self.client
            .stop_instances()
            .instance_ids(&self.instance)
            .set_force(force.then_some(true))
            .send()
            .await
            .map_err(|error| self.failed(&error, "ec2:StopInstances"))?;
        Ok(())
    }

    async fn snapshots(&self, name: &str) -> Result<Vec<Taken>, StageError> {
        let by = |tag: &str, value: &str| {
            Filter::builder()
                .name(format!("tag:{tag}"))
                .values(value)
                .build()
        };
        let mut items = self
            .client
            .describe_snapshots()
            .owner_ids("self")
            .filters(by(NAME_TAG, name))
            .filters(by(INSTANCE_TAG, &self.instance))
            .into_paginator()
            .items()
            .send();
        let mut found = Vec::new();
        while let Some(item) = items.next().await {
            let item = item.map_err(|error| self.failed(&error, "ec2:DescribeSnapshots"))?;
            found.push(taken(item.snapshot_id, item.state));
        }
        Ok(found)
    }

    async fn create(&self, name: &str) -> Result<Vec<Taken>, StageError> {
        let tag = |key: &str, value: &str| Tag::builder().key(key).value(value).build();
        let tags = TagSpecification::builder()
            .resource_type(ResourceType::Snapshot)
            .tags(tag("Name", name))
            .tags(tag(NAME_TAG, name))
            .tags(tag(INSTANCE_TAG, &self.instance))
            .build();
        let volumes = InstanceSpecification::builder()
            .instance_id(&self.instance)
            .build();
        // Tried once: the SDK would not look for what a lost answer left, and take a second set.
        let once = aws_sdk_ec2::config::Builder::new().retry_config(RetryConfig::disabled());
        let answer = self
            .client
            .create_snapshots()
            .instance_specification(volumes)
            .description(format!("Before the migration by Landfall: {name}"))
            .tag_specifications(tags)
            .customize()
            .config_override(once)
            .send()
            .await
            .map_err(|error| self.failed(&error, "ec2:CreateSnapshots"))?;
        let snapshots = answer.snapshots.unwrap_or_default().into_iter();
        Ok(snapshots
            .map(|snapshot| taken(snapshot.snapshot_id, snapshot.state))
            .collect())
    }
}

/// Whether an error's code says that there is no such instance.
fn is_unknown(code: Option<&str>) -> bool {
    matches!(
        code,
        Some("InvalidInstanceID.NotFound" | "InvalidInstanceID.Malformed")
    )
}

fn taken(id: Option<String>, state: Option<SnapshotState>) -> Taken {
    Taken {
        id: id.unwrap_or_default(),
        state: state.unwrap_or(SnapshotState::Pending),
    }
}

impl SourceMachine for Ec2 {
    async fn look(&self) -> Result<(), Trouble> {
        match self.state().await {
            Ok(None | Some(InstanceStateName::ShuttingDown | InstanceStateName::Terminated)) => {
                Err(Trouble::Machine(self.missing()))
            }
            Ok(Some(_)) => Ok(()),
            Err(error) if is_unknown(code(&error)) => Err(Trouble::Machine(self.missing())),
            Err(error) => Err(self.failed(&error, DESCRIBE).into()),
        }
    }

    async fn power(&self) -> Result<Power, StageError> {
        let state = self.state().await;
        let state = state.map_err(|error| self.failed(&error, DESCRIBE))?;
        Ok(match state {
            Some(InstanceStateName::Running) => Power::Running,
            Some(InstanceStateName::Pending) => Power::Starting,
            Some(InstanceStateName::Stopping | InstanceStateName::ShuttingDown) => Power::Stopping,
            Some(InstanceStateName::Stopped | InstanceStateName::Terminated) => Power::Off,
            _ => Power::Unknown,
        })
    }

    async fn power_off(&self) -> Result<(), StageError> {
        self.stop(false).await
    }

    async fn force_off(&self) -> Result<(), StageError> {
        self.stop(true).await
    }

    async fn start(&self) -> Result<(), StageError> {
        self.client
            .start_instances()
            .instance_ids(&self.instance)
            .send()
            .await
            .map_err(|error| self.failed(&error, "ec2:StartInstances"))?;
        Ok(())
    }

    /// A snapshot of every volume, all of the same moment. The ID is a list of all IDs.
    async fn snapshot(&self, name: &str) -> Result<String, StageError> {
        let name = snapshot_name(name);
        let mut taken = self.snapshots(&name).await?;
        if taken.is_empty() {
            taken = self.create(&name).await?;
        }
        let all = taken.len();
        let with = |state| taken.iter().filter(move |taken| taken.state == state);
        if all == 0 {
            return Err(StageError::new(
                self.refusal,
                format!(
                    "the instance {} has no volume that can be snapshotted; leave `freeze` out of /steps",
                    self.instance
                ),
            ));
        }
        if let Some(failed) = with(SnapshotState::Error).next() {
            return Err(StageError::new(
                self.refusal,
                format!(
                    "the snapshot {} ({name}) of the instance {} failed; look at it in EC2, then resubmit",
                    failed.id, self.instance
                ),
            ));
        }
        let done = with(SnapshotState::Completed).count();
        if done < all {
            return Err(StageError::new(
                ErrorName::DependencyUnavailable,
                format!("EC2 still takes the snapshots {name}: {done} of {all} are done"),
            ));
        }
        let mut ids: Vec<String> = taken.into_iter().map(|taken| taken.id).collect();
        ids.sort();
        Ok(ids.join(","))
    }

    /// Terminates the instance. One that its owner protects against that stays: EC2 refuses, and says so.
    async fn remove(&self) -> Result<Removal, StageError> {
        if !self.removable {
            return Err(StageError::new(
                self.refusal,
                format!(
                    "the operator's decommission_instance_arns does not list the instance {}; it is not terminated",
                    self.instance
                ),
            ));
        }
        match self.state().await {
            Ok(None | Some(InstanceStateName::Terminated)) => return Ok(Removal::Gone),
            Ok(Some(InstanceStateName::ShuttingDown)) => return Ok(Removal::UnderWay),
            Ok(Some(InstanceStateName::Stopped)) => {}
            Ok(Some(_)) => return Ok(Removal::NotOff),
            // A terminated instance is forgotten after about an hour.
            Err(error) if code(&error) == Some("InvalidInstanceID.NotFound") => {
                return Ok(Removal::Gone);
            }
            Err(error) => return Err(self.failed(&error, DESCRIBE)),
        }
        self.client
            .terminate_instances()
            .instance_ids(&self.instance)
            .send()
            .await
            .map_err(|error| self.failed(&error, "ec2:TerminateInstances"))?;
        Ok(Removal::UnderWay)
    }

    /// There is nothing to give back: a session ends by itself.
    async fn close(self) {}
}
