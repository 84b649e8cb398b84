//! What the checks need to know of the world, read concurrently and without changing anything.

mod callback;
mod cmf;
mod encryption;
mod mgn;
mod network;
mod permission;
mod profile;
mod source;
mod unread;

use jiff::Timestamp;
use landfall_accounts::Home;
use landfall_common::state::Key as MigrationKey;
use landfall_common::state::claim::{Claim, Rival, Taking};
use landfall_domain::webhook::Forbidden;
use landfall_domain::{ErrorName, MigrationRequest, StageError, WorkflowPlan};
use landfall_external::source::Trouble;
use landfall_launch::{Key, Present};
use landfall_mgn::{Job, Server};

use crate::{Deps, Target, needs};

pub use cmf::CmfFacts;
pub use encryption::EbsDefault;
pub use landfall_quotas::Values as Quotas;
pub use permission::{Denied, Proof, Proofs};
pub use profile::Profile;
pub use unread::{Fact, Unread};

/// What was read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// What the state table tells.
    pub claims: Claims,
    /// What the account tells that the request goes to; `None` when it cannot be entered, or the request's steps never
    /// come there: one that only freezes its source.
    pub target: Option<TargetFacts>,
    /// What Cloud Migration Factory has planned, where there is one.
    pub cmf: Option<CmfFacts>,
    /// Whether the machine that moves is found on its platform; `None` where nothing is asked of that.
    pub source: Option<Result<(), Trouble>>,
    /// What speaks against the addresses that the callback's name has now; none where it has none.
    pub callback: Option<Forbidden>,
}

/// Who has what the migration needs for itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Claims {
    /// What it may take.
    pub free: Vec<Taking>,
    /// Who has its server.
    pub server: Option<Rival>,
    /// Who has its private address.
    pub address: Option<Rival>,
}

/// What the target account and Region tell.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TargetFacts {
    /// The subnet the request names; `None` when it names none, or there is no such subnet.
    pub subnet: Option<Subnet>,
    /// Those of the request's security groups that exist.
    pub groups: Vec<Group>,
    /// The Availability Zones that offer the request's instance type.
    pub zones: Vec<String>,
    /// Who has the request's private address in the subnet.
    pub address_holders: Vec<AddressHolder>,
    /// The instance profile the request names; `None` when it names none, or there is no such profile.
    pub profile: Option<Profile>,
    /// The key the request names.
    pub key: Option<Key>,
    /// What MGN and EC2 would launch the server with now; read where the request wants something of it that depends on
    /// that, and MGN has the server.
    pub launch: Option<Present>,
    /// What EBS encrypts with when the request names no key.
    pub ebs_default: EbsDefault,
    /// What the migration's roles may not do.
    pub proof: Proof,
    /// MGN's quotas.
    pub quotas: Quotas,
    /// What MGN says.
    pub mgn: MgnFacts,
    /// What AWS refused to tell; its members above are then as if there were nothing.
    pub unread: Unread,
}

/// What MGN says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MgnFacts {
    /// Whether it is initialized in the account and Region.
    pub initialized: bool,
    /// The servers that the request may mean.
    pub servers: Vec<Server>,
    /// Those it may mean that are archived; looked for only where there is no other and none will be made.
    pub archived: Vec<Server>,
    /// The unfinished jobs of the account and Region.
    pub jobs: Vec<Job>,
    /// How many servers replicate in the account and Region.
    pub replicating: usize,
}

/// A subnet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subnet {
    /// Its VPC.
    pub vpc_id: String,
    /// Its Availability Zone.
    pub zone: String,
    /// Its IPv4 block, for example `10.0.1.0/24`.
    pub cidr: String,
}

/// A security group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// `sg-…`.
    pub id: String,
    /// Its VPC.
    pub vpc_id: String,
}

/// A network interface that has an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressHolder {
    /// `eni-…`.
    pub interface_id: String,
    /// The instance it is attached to.
    pub instance_id: Option<String>,
}

/// What the facts are asked for.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The request.
    pub request: &'a MigrationRequest,
    /// Where it goes.
    pub place: &'a Home,
    /// The partition of ARNs there.
    pub partition: &'a str,
    /// The migration's own key, whose claims are no rival's.
    pub own: &'a MigrationKey,
    /// Whether somebody wants to see where the launch settings differ.
    pub diff: bool,
    /// When.
    pub now: Timestamp,
}

impl Facts {
    /// Reads everything at once; each read that the request gives no reason for is left out. Without a target nothing is
    /// asked there.
    ///
    /// # Errors
    /// Of the deployment's own state table, or transient. A read that AWS refuses is noted, see [`Unread`].
    pub async fn gather(
        deps: &Deps,
        target: Option<&Target>,
        question: Question<'_>,
    ) -> Result<Self, StageError> {
        let there = async {
            match target.filter(|_| WorkflowPlan::of(question.request).replicate) {
                None => Ok(None),
                // On the heap: the futures of so many calls are large.
                Some(target) => Box::pin(TargetFacts::gather(deps, target, question))
                    .await
                    .map(Some),
            }
        };
        let (claims, target, cmf, source, callback) = tokio::join!(
            claims(deps, question),
            there,
            cmf::read(deps.cmf.as_ref()),
            source::look(&deps.sources, question.request),
            callback::look(&deps.callbacks, question.request),
        );
        let (mut claims, target) = (claims?, target?);
        // By whatever name it is called, it is one server.
        if let Some(target) = &target
            && let [server] = target.mgn.servers.as_slice()
            && claims.server.is_none()
        {
            let Home { account, region } = question.place;
            let claim = Claim::server(account, region, &server.id);
            let store = &deps.journal.store;
            match store.look_at_claim(claim, question.own).await? {
                Ok(taking) => claims.free.push(taking),
                Err(rival) => claims.server = Some(rival),
            }
        }
        Ok(Self {
            claims,
            target,
            cmf,
            source,
            callback,
        })
    }
}

impl TargetFacts {
    async fn gather(
        deps: &Deps,
        target: &Target,
        question: Question<'_>,
    ) -> Result<Self, StageError> {
        let request = question.request;
        let subnet_id = request.subnet_id.as_deref();
        let (ec2, kms) = (&target.ec2, &target.kms);
        let (subnet, groups, zones, address_holders, mgn, quotas, ebs_default, access) = tokio::join!(
            network::subnet(ec2, subnet_id),
            network::groups(ec2, &request.security_group_ids),
            network::zones(ec2, request.instance_type.as_deref()),
            network::address_holders(ec2, subnet_id, request.private_ip.as_deref()),
            mgn::mgn(&target.mgn, request, question.now),
            landfall_quotas::read(&target.quotas),
            encryption::ebs_default(ec2, kms),
            access(deps, target, question),
        );
        let (mgn, mut unread) = mgn?;
        let Access {
            profile,
            key,
            proof,
        } = access;
        let launch = launch(target, question, &mgn).await;
        Ok(Self {
            subnet: unread.or_note(Fact::Subnet, subnet)?,
            groups: unread.or_note(Fact::Groups, groups)?,
            zones: unread.or_note(Fact::Zones, zones)?,
            address_holders: unread.or_note(Fact::AddressHolders, address_holders)?,
            profile: unread.or_note(Fact::Profile, profile)?,
            key: unread.or_note(Fact::Key, key)?,
            launch: unread.or_note(Fact::Launch, launch)?,
            ebs_default: unread.or_note(Fact::EbsDefault, ebs_default)?,
            proof: proof?,
            quotas: quotas.unwrap_or_default(),
            mgn,
            unread,
        })
    }
}

/// See [`access`].
struct Access {
    profile: Result<Option<Profile>, StageError>,
    key: Result<Option<Key>, StageError>,
    proof: Result<Proof, StageError>,
}

/// The profile, the key, and with what is known of both, what the roles may do with them.
async fn access(deps: &Deps, target: &Target, question: Question<'_>) -> Access {
    let request = question.request;
    let (profile, key) = tokio::join!(
        profile::profile(&target.iam, request.instance_profile.as_deref()),
        async {
            match &request.kms_key_id {
                Some(id) => landfall_launch::key(&target.kms, id, ErrorName::PrerequisiteError)
                    .await
                    .map(Some),
                None => Ok(None),
            }
        },
    );
    let roles = match &profile {
        Ok(Some(profile)) => &profile.roles[..],
        _ => &[],
    };
    let arn = match &key {
        Ok(Some(Key::Usable(arn))) => Some(arn.as_str()),
        _ => None,
    };
    let role = request
        .account
        .as_ref()
        .and_then(|it| it.role_arn.as_deref());
    let needs = needs::of(request, question.place, question.partition, roles, arn)
        .into_iter()
        .map(|need| {
            let own = || format!("{}{}", deps.role_arn_prefix, need.function);
            (role.map_or_else(own, str::to_owned), need)
        })
        .collect();
    let proof = permission::prove(&target.iam, &deps.proofs, needs, question.now).await;
    Access {
        profile,
        key,
        proof,
    }
}

/// The launch settings of the server, where they matter to the request or to whoever asks.
async fn launch(
    target: &Target,
    question: Question<'_>,
    mgn: &MgnFacts,
) -> Result<Option<Present>, StageError> {
    let request = question.request;
    let matter = question.diff || !request.disks.is_empty() || request.kms_key_id.is_some();
    // A server that is not connected has no launch template.
    let [server] = mgn.servers.as_slice() else {
        return Ok(None);
    };
    if !matter || !server.standing().is_connected() {
        return Ok(None);
    }
    let name = ErrorName::PrerequisiteError;
    landfall_launch::present(&target.ec2, &target.mgn, &server.id, name)
        .await
        .map(Some)
}

/// Who has the server and the address.
async fn claims(deps: &Deps, question: Question<'_>) -> Result<Claims, StageError> {
    let Question {
        request,
        place,
        own,
        ..
    } = question;
    let store = &deps.journal.store;
    let server = Claim::server(&place.account, &place.region, &request.source_vm_id);
    let address = request
        .subnet_id
        .as_deref()
        .zip(request.private_ip.as_deref())
        // Nothing takes an address where nothing is launched.
        .filter(|_| WorkflowPlan::of(request).replicate)
        .map(|(subnet, address)| Claim::address(subnet, address));
    let address = async {
        match address {
            None => Ok(None),
            Some(claim) => store.look_at_claim(claim, own).await.map(Some),
        }
    };
    let (server, address) = tokio::try_join!(store.look_at_claim(server, own), address)?;
    let mut claims = Claims::default();
    match server {
        Ok(taking) => claims.free.push(taking),
        Err(rival) => claims.server = Some(rival),
    }
    match address {
        None => {}
        Some(Ok(taking)) => claims.free.push(taking),
        Some(Err(rival)) => claims.address = Some(rival),
    }
    Ok(claims)
}
