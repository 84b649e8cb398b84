//! AWS as far as `validate-input` sees it, in memory, with one call that can be made to fail.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use aws_sdk_dynamodb::operation::get_item::{GetItemError, GetItemOutput};
use aws_sdk_dynamodb::operation::query::{QueryError, QueryOutput};
use aws_sdk_dynamodb::operation::transact_write_items::{
    TransactWriteItemsError, TransactWriteItemsOutput,
};
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_ec2::operation::describe_instance_type_offerings as offerings;
use aws_sdk_ec2::operation::describe_network_interfaces as interfaces;
use aws_sdk_ec2::operation::describe_security_groups as groups;
use aws_sdk_ec2::operation::describe_subnets as subnets;
use aws_sdk_ec2::types::{InstanceTypeOffering, NetworkInterface, SecurityGroup, Subnet};
use aws_sdk_eventbridge::operation::put_events::{PutEventsError, PutEventsOutput};
use aws_sdk_mgn::operation::describe_jobs as jobs;
use aws_sdk_mgn::operation::describe_replication_configuration_templates as templates;
use aws_sdk_mgn::operation::describe_source_servers as servers;
use aws_sdk_mgn::types::{Job, ReplicationConfigurationTemplate, SourceServer};
use aws_smithy_mocks::{MockResponse, RuleMode, mock, mock_client};
use landfall_common::events::EventPublisher;
use landfall_common::state::StateStore;
use landfall_common::{Invocation, Journal};
use landfall_domain::{MigrationRecord, StageError};
use landfall_mgn::Mgn;
use serde_json::{Value, json};
use validate_input::Deps;
use validate_input::checks::Allow;

pub(crate) type Item = HashMap<String, AttributeValue>;

pub(crate) const EXECUTION: &str =
    "arn:aws:states:eu-central-1:123456789012:execution:landfall-migration:mig-12345-1";

/// What there is, and what was done.
pub(crate) struct World {
    pub(crate) record: Item,
    pub(crate) others: Vec<Item>,
    pub(crate) subnets: Vec<Subnet>,
    pub(crate) groups: Vec<SecurityGroup>,
    pub(crate) offerings: Vec<InstanceTypeOffering>,
    pub(crate) interfaces: Vec<NetworkInterface>,
    pub(crate) initialized: bool,
    pub(crate) servers: Vec<SourceServer>,
    pub(crate) jobs: Vec<Job>,
    /// Detail-types and details, in order.
    pub(crate) events: Vec<(String, Value)>,
    /// Every call, in order.
    pub(crate) calls: Vec<&'static str>,
    /// The call that fails.
    pub(crate) failing: Option<&'static str>,
}

/// A world and a function in it.
pub(crate) struct Stage {
    world: Arc<Mutex<World>>,
    deps: Deps,
}

/// Answers an operation from the world, or with a refusal when it is the one that fails.
macro_rules! rule {
    ($world:expr, $operation:path, $error:ty, $name:literal, |$state:ident, $input:ident| $output:expr) => {{
        let world = Arc::clone(&$world);
        mock!($operation).then_compute_response(move |$input| {
            let mut guard = world.lock().unwrap();
            let $state = &mut *guard;
            $state.calls.push($name);
            if $state.failing == Some($name) {
                let denied = aws_smithy_types::error::ErrorMetadata::builder()
                    .code("AccessDeniedException")
                    .message("not allowed")
                    .build();
                return MockResponse::Error(<$error>::generic(denied));
            }
            MockResponse::Output($output)
        })
    }};
}

impl Stage {
    /// A world in which the request passes, unless `changes` to it say otherwise.
    pub(crate) fn new(changes: Value) -> Self {
        let world = Arc::new(Mutex::new(World {
            record: item(&record("mig-12345", changes)),
            others: vec![],
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
            events: vec![],
            calls: vec![],
            failing: None,
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
        let invocation = Invocation {
            request_id: "r-1".into(),
            now: "2026-11-21T12:00:00Z".parse().unwrap(),
        };
        Box::pin(validate_input::handle(&self.deps, event, invocation)).await
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
                |w, _i| {
                    GetItemOutput::builder()
                        .set_item(Some(w.record.clone()))
                        .build()
                }
            ),
            &rule!(
                world,
                aws_sdk_dynamodb::Client::query,
                QueryError,
                "Query",
                |w, _i| {
                    let mut items = w.others.clone();
                    items.push(w.record.clone());
                    QueryOutput::builder().set_items(Some(items)).build()
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
        ec2: ec2(world),
        mgn: Mgn::with_client(mgn(world)),
        allow: Allow {
            callbacks: vec!["http://127.0.0.1:4570".into()],
            sources: vec!["http://127.0.0.1:4570".into()],
        },
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

fn mgn(world: &Arc<Mutex<World>>) -> aws_sdk_mgn::Client {
    use aws_sdk_mgn::Client;
    mock_client!(
        aws_sdk_mgn,
        RuleMode::MatchAny,
        [
            &rule!(
                world,
                Client::describe_replication_configuration_templates,
                templates::DescribeReplicationConfigurationTemplatesError,
                "DescribeReplicationConfigurationTemplates",
                |w, _i| {
                    let there = w.initialized.then(|| {
                        ReplicationConfigurationTemplate::builder()
                            .replication_configuration_template_id("rct-1")
                            .build()
                            .unwrap()
                    });
                    templates::DescribeReplicationConfigurationTemplatesOutput::builder()
                        .set_items(Some(there.into_iter().collect()))
                        .build()
                }
            ),
            &rule!(
                world,
                Client::describe_source_servers,
                servers::DescribeSourceServersError,
                "DescribeSourceServers",
                |w, _i| {
                    servers::DescribeSourceServersOutput::builder()
                        .set_items(Some(w.servers.clone()))
                        .build()
                }
            ),
            &rule!(
                world,
                Client::describe_jobs,
                jobs::DescribeJobsError,
                "DescribeJobs",
                |w, _i| {
                    jobs::DescribeJobsOutput::builder()
                        .set_items(Some(w.jobs.clone()))
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
