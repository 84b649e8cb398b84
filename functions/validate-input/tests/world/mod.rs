//! AWS as far as `validate-input` sees it, in memory, with one call that can be made to fail.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use aws_sdk_dynamodb::operation::get_item::{GetItemError, GetItemOutput};
use aws_sdk_dynamodb::operation::transact_write_items::{
    TransactWriteItemsError, TransactWriteItemsOutput,
};
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_ec2::operation::describe_instance_type_offerings as offerings;
use aws_sdk_ec2::operation::describe_launch_template_versions as versions;
use aws_sdk_ec2::operation::describe_network_interfaces as interfaces;
use aws_sdk_ec2::operation::describe_security_groups as groups;
use aws_sdk_ec2::operation::describe_subnets as subnets;
use aws_sdk_ec2::operation::get_ebs_default_kms_key_id as ebs_key;
use aws_sdk_ec2::operation::get_ebs_encryption_by_default as ebs;
use aws_sdk_ec2::types::{
    InstanceTypeOffering, LaunchTemplateVersion, NetworkInterface, SecurityGroup, Subnet,
};
use aws_sdk_eventbridge::operation::put_events::{PutEventsError, PutEventsOutput};
use aws_sdk_mgn::types::{Job, SourceServer};
use aws_smithy_mocks::{MockResponse, RuleMode, mock, mock_client};
use aws_smithy_types::error::ErrorMetadata;
use landfall_accounts::Home;
use landfall_common::events::EventPublisher;
use landfall_common::state::{Key, StateStore};
use landfall_common::{Invocation, Journal};
use landfall_domain::{MigrationRecord, StageError, Status};
use landfall_external::outbound::Guard;
use landfall_mgn::Mgn;
use serde_json::{Value, json};
use validate_input::checks::Allow;
use validate_input::facts::Proofs;
use validate_input::{Deps, Target};

pub(crate) type Item = HashMap<String, AttributeValue>;

pub(crate) const EXECUTION: &str =
    "arn:aws:states:eu-central-1:123456789012:execution:landfall-migration:mig-12345-1";

/// What there is, and what was done.
pub(crate) struct World {
    pub(crate) record: Item,
    /// Other migrations, and claims: by `pk`.
    pub(crate) items: HashMap<String, Item>,
    pub(crate) subnets: Vec<Subnet>,
    pub(crate) groups: Vec<SecurityGroup>,
    pub(crate) offerings: Vec<InstanceTypeOffering>,
    pub(crate) interfaces: Vec<NetworkInterface>,
    pub(crate) initialized: bool,
    pub(crate) servers: Vec<SourceServer>,
    pub(crate) jobs: Vec<Job>,
    /// Instance profiles, and whether each has a role.
    pub(crate) profiles: HashMap<String, bool>,
    /// Actions that no role may do.
    pub(crate) denied: Vec<&'static str>,
    /// Keys and their states.
    pub(crate) keys: HashMap<String, &'static str>,
    /// The key EBS encrypts with by default.
    pub(crate) ebs_key: Option<String>,
    /// The quota of replicating servers, where Service Quotas knows one.
    pub(crate) replicating_quota: Option<f64>,
    /// What every secret holds; there is none where this is absent.
    pub(crate) secret: Option<&'static str>,
    /// The state of the one EC2 instance that is a source.
    pub(crate) source_state: Option<&'static str>,
    /// Detail-types and details, in order.
    pub(crate) events: Vec<(String, Value)>,
    /// Every call, in order.
    pub(crate) calls: Vec<&'static str>,
    /// The call that fails.
    pub(crate) failing: Option<&'static str>,
    /// With which code.
    pub(crate) failing_code: &'static str,
}

impl World {
    /// What a call fails with, if it is the one.
    fn refusal(&self, call: &str) -> Option<ErrorMetadata> {
        (self.failing == Some(call)).then(|| {
            let refusal = ErrorMetadata::builder().code(self.failing_code);
            refusal.message("not allowed").build()
        })
    }
}

/// A world and a function in it.
pub(crate) struct Stage {
    world: Arc<Mutex<World>>,
    pub(crate) deps: Deps,
}

/// The partition key of the migration that is checked.
fn own_pk() -> String {
    Key::new("default", "mig-12345").pk()
}

/// Answers an operation from the world, or with a refusal when it is the one that fails.
macro_rules! rule {
    ($world:expr, $operation:path, $error:ty, $name:literal, |$state:ident, $input:ident| $output:expr) => {{
        let world = Arc::clone(&$world);
        mock!($operation).then_compute_response(move |$input| {
            let mut guard = world.lock().unwrap();
            let $state = &mut *guard;
            $state.calls.push($name);
            if let Some(refusal) = $state.refusal($name) {
                return MockResponse::Error(<$error>::generic(refusal));
            }
            MockResponse::Output($output)
        })
    }};
}

// After the macro, which they use.
mod access;
mod mgn;
mod outside;

impl Stage {
    /// A world in which the request passes, unless `changes` to it say otherwise.
    pub(crate) fn new(changes: Value) -> Self {
        let world = Arc::new(Mutex::new(World {
            record: item(&record("mig-12345", changes)),
            items: HashMap::new(),
            subnets: vec![
                Subnet::builder()
                    .subnet_id("subnet-0a1b2c3d")
                    .vpc_id("vpc-1")
                    .availability_zone("eu-central-1a")
                    .cidr_block("10.0.1.0/24")
                    .build(),
            ],
            groups: vec![group("sg-0a1b2c3d", "vpc-1")],
            offerings: vec![
                InstanceTypeOffering::builder()
                    .instance_type("t3.large".into())
                    .location("eu-central-1a")
                    .build(),
            ],
            interfaces: vec![],
            initialized: true,
            servers: vec![],
            jobs: vec![],
            profiles: HashMap::new(),
            denied: vec![],
            keys: HashMap::new(),
            ebs_key: None,
            replicating_quota: None,
            secret: None,
            source_state: None,
            events: vec![],
            calls: vec![],
            failing: None,
            failing_code: "AccessDeniedException",
        }));
        let deps = deps(&world);
        Self { world, deps }
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    pub(crate) async fn run(&self) -> Result<Value, StageError> {
        self.run_with(json!({})).await
    }

    /// Runs with members of the event replaced.
    pub(crate) async fn run_with(&self, changes: Value) -> Result<Value, StageError> {
        let mut event = json!({
            "tenantId": "default", "migrationId": "mig-12345", "attempt": 1,
            "correlationId": "c-1", "executionArn": EXECUTION,
        });
        extend(&mut event, changes);
        Box::pin(validate_input::handle(&self.deps, event, invocation())).await
    }

    /// Asks for a dry run of the request with members replaced.
    pub(crate) async fn dry_run(&self, changes: Value) -> Result<Value, StageError> {
        let mut request = serde_json::to_value(self.record().request).unwrap();
        // An ID that nobody has submitted.
        request["migrationId"] = "mig-dry".into();
        extend(&mut request, changes);
        let event = json!({"dryRun": true, "request": request});
        Box::pin(validate_input::handle(&self.deps, event, invocation())).await
    }

    /// Lets another migration, in this status, have the server.
    pub(crate) fn claim_server(&self, migration_id: &str, status: Status) {
        let mut other = record(migration_id, json!({"appName": "another"}));
        other.status = status;
        let key = Key::of(&other);
        let claim = json!({"tenantId": "default", "migrationId": migration_id, "attempt": 1});
        let mut world = self.world();
        world.items.insert(key.pk(), item(&other));
        world.items.insert(
            "CLAIM#123456789012#eu-central-1#SERVER#vm-123456".into(),
            serde_dynamo::to_item(claim).unwrap(),
        );
    }

    pub(crate) fn record(&self) -> MigrationRecord {
        serde_dynamo::from_item(self.world().record.clone()).unwrap()
    }

    pub(crate) fn change_record(&self, change: impl FnOnce(&mut MigrationRecord)) {
        let mut record = self.record();
        change(&mut record);
        self.world().record = item(&record);
    }

    pub(crate) fn event_types(&self) -> Vec<String> {
        let world = self.world();
        world.events.iter().map(|(name, _)| name.clone()).collect()
    }
}

fn invocation() -> Invocation {
    Invocation {
        function_arn: "arn:aws:lambda:eu-central-1:123456789012:function:landfall".into(),
        request_id: "r-1".into(),
        now: "2026-11-21T12:00:00Z".parse().unwrap(),
    }
}

fn deps(world: &Arc<Mutex<World>>) -> Deps {
    let dynamodb = mock_client!(
        aws_sdk_dynamodb,
        RuleMode::MatchAny,
        [
            &rule!(
                world,
                aws_sdk_dynamodb::Client::get_item,
                GetItemError,
                "GetItem",
                |w, input| {
                    let pk = input.key().unwrap()["pk"].as_s().unwrap();
                    let item = if *pk == own_pk() {
                        Some(w.record.clone())
                    } else {
                        w.items.get(pk).cloned()
                    };
                    GetItemOutput::builder().set_item(item).build()
                }
            ),
            &rule!(
                world,
                aws_sdk_dynamodb::Client::transact_write_items,
                TransactWriteItemsError,
                "TransactWriteItems",
                |w, input| {
                    for put in input.transact_items().iter().filter_map(|i| i.put()) {
                        if put.item()["sk"] == AttributeValue::S("STATE".into()) {
                            w.record.clone_from(put.item());
                        } else if put.item()["sk"] == AttributeValue::S("CLAIM".into()) {
                            let pk = put.item()["pk"].as_s().unwrap().clone();
                            w.items.insert(pk, put.item().clone());
                        }
                    }
                    TransactWriteItemsOutput::builder().build()
                }
            ),
        ]
    );
    let eventbridge = mock_client!(
        aws_sdk_eventbridge,
        RuleMode::MatchAny,
        [&rule!(
            world,
            aws_sdk_eventbridge::Client::put_events,
            PutEventsError,
            "PutEvents",
            |w, input| {
                for entry in input.entries() {
                    let detail = serde_json::from_str(entry.detail().unwrap()).unwrap();
                    w.events
                        .push((entry.detail_type().unwrap().to_owned(), detail));
                }
                PutEventsOutput::builder().build()
            }
        )]
    );
    Deps {
        journal: Journal {
            store: StateStore::new(dynamodb, "landfall-migrations"),
            events: EventPublisher::new(eventbridge, "landfall"),
        },
        accounts: landfall_accounts::Accounts::home_only(),
        target: Target {
            ec2: ec2(world),
            mgn: Mgn::with_client(mgn::mgn(world)),
            iam: access::iam(world),
            kms: access::kms(world),
            quotas: access::quotas(world),
        },
        home: Home {
            account: "123456789012".into(),
            region: "eu-central-1".into(),
        },
        role_arn_prefix: "arn:aws:iam::123456789012:role/landfall-".into(),
        proofs: Proofs::default(),
        allow: Allow {
            callbacks: vec!["http://127.0.0.1:4570".into()],
            sources: vec!["http://127.0.0.1:4570".into()],
            ..Allow::default()
        },
        callbacks: Guard::new(vec!["http://127.0.0.1:4570".into()]).resolving_by(Arc::new(
            |host, port| {
                let inside = host.starts_with("intern.");
                let ip = if inside {
                    [10, 0, 0, 1]
                } else {
                    [93, 184, 216, 34]
                };
                Box::pin(async move { Ok(vec![(ip, port).into()]) })
            },
        )),
        cmf: None,
        sources: outside::sources(world),
    }
}

fn ec2(world: &Arc<Mutex<World>>) -> aws_sdk_ec2::Client {
    use aws_sdk_ec2::Client;
    mock_client!(
        aws_sdk_ec2,
        RuleMode::MatchAny,
        [
            &rule!(
                world,
                Client::describe_subnets,
                subnets::DescribeSubnetsError,
                "DescribeSubnets",
                |w, _i| {
                    subnets::DescribeSubnetsOutput::builder()
                        .set_subnets(Some(w.subnets.clone()))
                        .build()
                }
            ),
            &rule!(
                world,
                Client::describe_security_groups,
                groups::DescribeSecurityGroupsError,
                "DescribeSecurityGroups",
                |w, _i| {
                    groups::DescribeSecurityGroupsOutput::builder()
                        .set_security_groups(Some(w.groups.clone()))
                        .build()
                }
            ),
            &rule!(
                world,
                Client::describe_instance_type_offerings,
                offerings::DescribeInstanceTypeOfferingsError,
                "DescribeInstanceTypeOfferings",
                |w, _i| {
                    offerings::DescribeInstanceTypeOfferingsOutput::builder()
                        .set_instance_type_offerings(Some(w.offerings.clone()))
                        .build()
                }
            ),
            &rule!(
                world,
                Client::describe_launch_template_versions,
                versions::DescribeLaunchTemplateVersionsError,
                "DescribeLaunchTemplateVersions",
                |_w, _i| {
                    let version = LaunchTemplateVersion::builder()
                        .version_number(1)
                        .default_version(true);
                    versions::DescribeLaunchTemplateVersionsOutput::builder()
                        .launch_template_versions(version.build())
                        .build()
                }
            ),
            &rule!(
                world,
                Client::get_ebs_encryption_by_default,
                ebs::GetEbsEncryptionByDefaultError,
                "GetEbsEncryptionByDefault",
                |w, _i| {
                    ebs::GetEbsEncryptionByDefaultOutput::builder()
                        .ebs_encryption_by_default(w.ebs_key.is_some())
                        .build()
                }
            ),
            &rule!(
                world,
                Client::get_ebs_default_kms_key_id,
                ebs_key::GetEbsDefaultKmsKeyIdError,
                "GetEbsDefaultKmsKeyId",
                |w, _i| {
                    ebs_key::GetEbsDefaultKmsKeyIdOutput::builder()
                        .set_kms_key_id(w.ebs_key.clone())
                        .build()
                }
            ),
            &rule!(
                world,
                Client::describe_network_interfaces,
                interfaces::DescribeNetworkInterfacesError,
                "DescribeNetworkInterfaces",
                |w, _i| {
                    interfaces::DescribeNetworkInterfacesOutput::builder()
                        .set_network_interfaces(Some(w.interfaces.clone()))
                        .build()
                }
            ),
        ]
    )
}

pub(crate) fn group(id: &str, vpc_id: &str) -> SecurityGroup {
    SecurityGroup::builder().group_id(id).vpc_id(vpc_id).build()
}

/// The item of a record, as the store writes it.
pub(crate) fn item(record: &MigrationRecord) -> Item {
    serde_dynamo::to_item(record).unwrap()
}

/// A record just accepted, of the canonical request with members replaced.
pub(crate) fn record(migration_id: &str, changes: Value) -> MigrationRecord {
    let mut request = json!({
        "migrationId": migration_id, "appName": "billing-app", "source": "azure", "target": "aws",
        "environment": "prod", "wave": "wave-3", "steps": ["freeze", "replicate", "validate", "switch"],
        "callbackUrl": "https://runbook.example.com/status", "sourceVmId": "vm-123456",
        "targetVmName": "billing-app-prod-01", "instanceType": "t3.large", "subnetId": "subnet-0a1b2c3d",
        "securityGroupIds": ["sg-0a1b2c3d"], "tags": {"Environment": "prod", "Application": "billing"},
    });
    extend(&mut request, changes);
    let at = "2026-11-21T11:59:00Z";
    serde_json::from_value(json!({
        "tenantId": "default", "migrationId": migration_id, "attempt": 1, "version": 2,
        "status": "REQUESTED", "correlationId": "c-1", "request": request, "requestDigest": "d",
        "executionArn": EXECUTION, "eventSeq": 1, "eventHash": "h", "createdAt": at, "updatedAt": at,
        "statusSince": at,
    }))
    .unwrap()
}

fn extend(value: &mut Value, changes: Value) {
    if let (Value::Object(value), Value::Object(changes)) = (value, changes) {
        value.extend(changes);
    }
}
