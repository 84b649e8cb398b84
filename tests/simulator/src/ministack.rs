//! What the simulator does in `MiniStack`: launch templates, target instances, events, and the networks that the
//! seed's aliases stand for.

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_ec2::error::{DisplayErrorContext, ProvideErrorMetadata};
use aws_sdk_ec2::types::{
    Filter, IamInstanceProfileSpecification, InstanceType, LaunchTemplateBlockDeviceMappingRequest,
    LaunchTemplateEbsBlockDeviceRequest, RequestLaunchTemplateData, ResourceType,
    ResponseLaunchTemplateData, Tag, TagSpecification, VolumeType,
};
use aws_sdk_eventbridge::types::PutEventsRequestEntry;

use crate::ec2_proxy::Proxy;
use crate::template_address;
use crate::world::RECOMMENDED_TYPE;
use crate::world::effect::EventRecord;
use crate::world::place::Place;
use crate::world::server::Disk;

const ALIAS_TAG: &str = "landfall:alias";
/// `PutEvents` takes ten at once.
const EVENTS_AT_ONCE: usize = 10;

/// Clients of one `MiniStack`, in one account and Region.
#[derive(Debug, Clone)]
pub(crate) struct Ministack {
    home: Place,
    place: Place,
    raw: Proxy,
    ec2: aws_sdk_ec2::Client,
    events: aws_sdk_eventbridge::Client,
    /// For the policies of a role.
    pub(crate) iam: aws_sdk_iam::Client,
    sts: aws_sdk_sts::Client,
}

/// What a launch needs.
#[derive(Debug, Clone)]
pub(crate) struct Launch {
    /// The EC2 launch template, used in its default version.
    pub(crate) template_id: Option<String>,
    /// The instance type that right-sizing sets in place of the template's.
    pub(crate) instance_type: Option<String>,
    /// Tags of the instance.
    pub(crate) tags: Vec<(String, String)>,
    /// Whether to leave it stopped.
    pub(crate) stopped: bool,
}

impl Ministack {
    /// Clients for the endpoint, at home.
    pub(crate) fn new(endpoint: &str, home: &Place) -> Self {
        Self::of(endpoint, home, home)
    }

    /// The same for an account and a Region. One that is not at home is entered with the account's number as access
    /// key, which `MiniStack` takes for that account's root.
    pub(crate) fn at(&self, place: &Place) -> Self {
        if self.place == *place {
            return self.clone();
        }
        Self::of(self.raw.endpoint(), &self.home, place)
    }

    fn of(endpoint: &str, home: &Place, place: &Place) -> Self {
        let key = if place.account == home.account {
            "test"
        } else {
            &place.account
        };
        let credentials = Credentials::new(key, "test", None, None, "simulator");
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(place.region.clone()))
            .endpoint_url(endpoint)
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .build();
        Self {
            home: home.clone(),
            place: place.clone(),
            raw: Proxy::new(endpoint, home),
            ec2: aws_sdk_ec2::Client::new(&config),
            events: aws_sdk_eventbridge::Client::new(&config),
            iam: aws_sdk_iam::Client::new(&config),
            sts: aws_sdk_sts::Client::new(&config),
        }
    }

    /// The account that an access key belongs to, if `MiniStack` knows it.
    pub(crate) async fn account_of(&self, key: &str) -> Option<String> {
        match self
            .sts
            .get_access_key_info()
            .access_key_id(key)
            .send()
            .await
        {
            Ok(out) => out.account,
            Err(error) => {
                let error = DisplayErrorContext(&error).to_string();
                tracing::warn!(error, "an access key's account is not known");
                None
            }
        }
    }

    /// Makes the launch template of a new server: the recommended type, and a volume for each of its disks.
    pub(crate) async fn create_template(
        &self,
        server_id: &str,
        disks: &[Disk],
        stamp: i64,
    ) -> Result<String, String> {
        let data = RequestLaunchTemplateData::builder()
            .instance_type(InstanceType::from(RECOMMENDED_TYPE))
            .set_block_device_mappings(Some(disks.iter().map(volume).collect()))
            .build();
        let name = format!("created-and-used-by-application-migration-service-{server_id}-{stamp}");
        let call = self
            .ec2
            .create_launch_template()
            .launch_template_name(name)
            .launch_template_data(data);
        let out = call.send().await.map_err(|e| text(&e))?;
        out.launch_template
            .and_then(|t| t.launch_template_id)
            .ok_or_else(|| "CreateLaunchTemplate answered without an identifier".into())
    }

    /// Launches a target instance.
    pub(crate) async fn launch(&self, launch: &Launch) -> Result<String, String> {
        let data = match &launch.template_id {
            Some(id) => self.template_data(id).await?,
            None => ResponseLaunchTemplateData::builder().build(),
        };
        let interface = data.network_interfaces().first();
        let kind = launch
            .instance_type
            .clone()
            .or_else(|| data.instance_type().map(|t| t.as_str().to_owned()));
        let mut call = self
            .ec2
            .run_instances()
            .image_id(data.image_id().unwrap_or("ami-0c0ffee0c0ffee000"))
            .instance_type(InstanceType::from(
                kind.as_deref().unwrap_or(RECOMMENDED_TYPE),
            ))
            .min_count(1)
            .max_count(1)
            .tag_specifications(tags(ResourceType::Instance, &merged(&data, &launch.tags)));
        if let Some(subnet) = interface.and_then(|i| i.subnet_id()) {
            // MiniStack launches into subnets that do not exist; EC2 does not.
            self.ec2
                .describe_subnets()
                .subnet_ids(subnet)
                .send()
                .await
                .map_err(|e| text(&e))?;
            call = call.subnet_id(subnet);
        }
        let mut groups = match &launch.template_id {
            Some(id) => self.raw.template_groups(id, &self.place).await?,
            None => Vec::new(),
        };
        if groups.is_empty() {
            groups = data.security_group_ids().to_vec();
        }
        call = call.set_security_group_ids(Some(groups).filter(|g| !g.is_empty()));
        let address = interface
            .and_then(|i| i.description())
            .and_then(template_address::of);
        call = call.set_private_ip_address(address.map(str::to_owned));
        if let Some(profile) = data.iam_instance_profile() {
            let profile = IamInstanceProfileSpecification::builder()
                .set_arn(profile.arn().map(str::to_owned))
                .set_name(profile.name().map(str::to_owned))
                .build();
            call = call.iam_instance_profile(profile);
        }
        let out = call.send().await.map_err(|e| text(&e))?;
        let id = out
            .instances()
            .first()
            .and_then(|i| i.instance_id())
            .map(str::to_owned);
        let id = id.ok_or_else(|| "RunInstances answered without an instance".to_owned())?;
        if launch.stopped {
            self.ec2
                .stop_instances()
                .instance_ids(&id)
                .send()
                .await
                .map_err(|e| text(&e))?;
        }
        Ok(id)
    }

    async fn template_data(&self, id: &str) -> Result<ResponseLaunchTemplateData, String> {
        let call = self
            .ec2
            .describe_launch_template_versions()
            .launch_template_id(id)
            .versions("$Default");
        let out = call.send().await.map_err(|e| text(&e))?;
        let version = out
            .launch_template_versions
            .unwrap_or_default()
            .into_iter()
            .next();
        version
            .and_then(|v| v.launch_template_data)
            .ok_or_else(|| format!("launch template {id} has no default version"))
    }

    /// Terminates an instance; one that has gone already is no failure.
    pub(crate) async fn terminate(&self, instance_id: &str) -> Result<(), String> {
        match self
            .ec2
            .terminate_instances()
            .instance_ids(instance_id)
            .send()
            .await
        {
            Ok(_) => Ok(()),
            Err(e) if e.code() == Some("InvalidInstanceID.NotFound") => Ok(()),
            Err(e) => Err(text(&e)),
        }
    }

    /// Puts events on the default bus, in order.
    pub(crate) async fn put_events(&self, events: &[EventRecord]) -> Result<(), String> {
        for some in events.chunks(EVENTS_AT_ONCE) {
            let entries = some.iter().map(|event| {
                PutEventsRequestEntry::builder()
                    .source(event.source)
                    .detail_type(event.detail_type)
                    .detail(event.detail.to_string())
                    .resources(&event.resource)
                    .build()
            });
            let out = self
                .events
                .put_events()
                .set_entries(Some(entries.collect()))
                .send()
                .await;
            let out = out.map_err(|e| DisplayErrorContext(&e).to_string())?;
            if out.failed_entry_count > 0 {
                return Err(format!(
                    "{} of {} events were refused",
                    out.failed_entry_count,
                    some.len()
                ));
            }
        }
        Ok(())
    }

    /// The subnet that an alias stands for, made in the default VPC if it is not there.
    pub(crate) async fn subnet(&self, alias: &str, cidr: &str) -> Result<String, String> {
        let known = self
            .ec2
            .describe_subnets()
            .filters(by_alias(alias))
            .send()
            .await
            .map_err(|e| text(&e))?;
        if let Some(id) = known.subnets().first().and_then(|s| s.subnet_id()) {
            return Ok(id.to_owned());
        }
        let vpc = self.default_vpc().await?;
        let call = self
            .ec2
            .create_subnet()
            .vpc_id(vpc)
            .cidr_block(cidr)
            .tag_specifications(alias_tag(ResourceType::Subnet, alias));
        let out = call.send().await.map_err(|e| text(&e))?;
        out.subnet
            .and_then(|s| s.subnet_id)
            .ok_or_else(|| "CreateSubnet answered without an identifier".into())
    }

    /// The security group that an alias stands for, made in the default VPC if it is not there.
    pub(crate) async fn security_group(&self, alias: &str) -> Result<String, String> {
        let vpc = self.default_vpc().await?;
        let name = format!("landfall-alias-{alias}");
        let filter = |name: &str, value: &str| Filter::builder().name(name).values(value).build();
        let call = self
            .ec2
            .describe_security_groups()
            .filters(filter("group-name", &name))
            .filters(filter("vpc-id", &vpc));
        let known = call.send().await.map_err(|e| text(&e))?;
        if let Some(id) = known
            .security_groups()
            .iter()
            .find(|g| g.group_name() == Some(&name))
            .and_then(|g| g.group_id())
        {
            return Ok(id.to_owned());
        }
        let call = self
            .ec2
            .create_security_group()
            .group_name(name)
            .vpc_id(vpc)
            .description(format!("stands for {alias}"));
        let out = call.send().await.map_err(|e| text(&e))?;
        out.group_id
            .ok_or_else(|| "CreateSecurityGroup answered without an identifier".into())
    }

    async fn default_vpc(&self) -> Result<String, String> {
        let filter = Filter::builder().name("is-default").values("true").build();
        let out = self
            .ec2
            .describe_vpcs()
            .filters(filter)
            .send()
            .await
            .map_err(|e| text(&e))?;
        let found = out
            .vpcs()
            .iter()
            .find(|v| v.is_default() == Some(true))
            .and_then(|v| v.vpc_id());
        found
            .map(str::to_owned)
            .ok_or_else(|| "there is no default VPC: name a real identifier in ec2Aliases".into())
    }
}

/// The volume that MGN makes of a disk: as fast as its size allows.
fn volume(disk: &Disk) -> LaunchTemplateBlockDeviceMappingRequest {
    const GIB: i64 = 1 << 30;
    let gib = i32::try_from(disk.bytes.max(1).div_euclid(GIB)).unwrap_or(i32::MAX);
    let gib = if disk.bytes % GIB == 0 {
        gib
    } else {
        gib.saturating_add(1)
    };
    let volume = LaunchTemplateEbsBlockDeviceRequest::builder()
        .volume_type(VolumeType::Gp3)
        .volume_size(gib)
        .iops(gib.saturating_mul(500).clamp(3_000, 16_000))
        .throughput(125)
        .delete_on_termination(true)
        .build();
    LaunchTemplateBlockDeviceMappingRequest::builder()
        .device_name(&disk.device_name)
        .ebs(volume)
        .build()
}

fn by_alias(alias: &str) -> Filter {
    Filter::builder()
        .name(format!("tag:{ALIAS_TAG}"))
        .values(alias)
        .build()
}

fn alias_tag(kind: ResourceType, alias: &str) -> TagSpecification {
    tags(kind, &[(ALIAS_TAG.to_owned(), alias.to_owned())])
}

fn tags(kind: ResourceType, tags: &[(String, String)]) -> TagSpecification {
    let tags = tags
        .iter()
        .map(|(k, v)| Tag::builder().key(k).value(v).build())
        .collect();
    TagSpecification::builder()
        .resource_type(kind)
        .set_tags(Some(tags))
        .build()
}

/// The template's instance tags with MGN's own laid over them. Its `Name` wins over MGN's.
fn merged(data: &ResponseLaunchTemplateData, own: &[(String, String)]) -> Vec<(String, String)> {
    let specs = data
        .tag_specifications()
        .iter()
        .filter(|s| s.resource_type() == Some(&ResourceType::Instance));
    let theirs: Vec<(String, String)> = specs
        .flat_map(aws_sdk_ec2::types::LaunchTemplateTagSpecification::tags)
        .filter_map(|t| {
            Some((
                t.key()?.to_owned(),
                t.value().unwrap_or_default().to_owned(),
            ))
        })
        .collect();
    let mut all: Vec<_> = own
        .iter()
        .filter(|(k, _)| k != "Name" || !theirs.iter().any(|(t, _)| t == "Name"))
        .cloned()
        .collect();
    all.extend(
        theirs
            .into_iter()
            .filter(|(k, _)| k == "Name" || !own.iter().any(|(o, _)| o == k)),
    );
    all
}

/// EC2's own words, as MGN passes them on in `rawError`.
fn text<E>(error: &aws_sdk_ec2::error::SdkError<E>) -> String
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    match (error.code(), error.message()) {
        (Some(code), Some(message)) => format!("An error occurred ({code}): {message}"),
        (Some(code), None) => format!("An error occurred ({code})"),
        _ => DisplayErrorContext(error).to_string(),
    }
}
