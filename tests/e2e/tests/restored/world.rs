//! What there is of a migration outside Landfall, to compare before and after.

use aws_sdk_route53::types::{
    Change, ChangeAction, ChangeBatch, ResourceRecord, ResourceRecordSet, RrType,
};
use landfall_e2e::source::Source;
use landfall_e2e::{Stack, raw};
use serde_json::{Value, json};

/// How long resolvers keep the record of before, in seconds: so long the source stays on after the change.
const TTL: i64 = 1;

/// The hosted zone of a run.
#[derive(Clone, Debug)]
pub(crate) struct Zone {
    dns: aws_sdk_route53::Client,
    pub(crate) id: String,
    pub(crate) name: String,
}

impl Zone {
    pub(crate) async fn new(stack: &Stack, run: &str) -> Self {
        let dns = aws_sdk_route53::Client::new(&stack.sdk(stack.home()));
        let name = format!("e2e-{run}.example.com");
        let create = dns.create_hosted_zone().name(&name).caller_reference(run);
        let zone = create.send().await.expect("CreateHostedZone");
        let id = zone.hosted_zone.expect("a zone").id;
        let id = id.trim_start_matches("/hostedzone/").to_owned();
        Self { dns, id, name }
    }

    /// A name that the request has changed, and one that it has made.
    pub(crate) fn names(&self, case: &str) -> [String; 2] {
        let case = case.to_lowercase();
        ["www", "app"].map(|it| format!("{it}-{case}.{}", self.name))
    }

    /// Where the changed name leads before.
    pub(crate) fn before(&self, case: &str) -> String {
        format!("old-{}.{}", case.to_lowercase(), self.name)
    }

    /// Where it leads after the switch.
    pub(crate) fn after(&self) -> String {
        format!("new.{}", self.name)
    }

    async fn change(&self, action: ChangeAction, set: ResourceRecordSet) {
        let change = Change::builder().action(action).resource_record_set(set);
        let batch = ChangeBatch::builder().changes(change.build().expect("a change"));
        let change = self
            .dns
            .change_resource_record_sets()
            .hosted_zone_id(&self.id)
            .change_batch(batch.build().expect("a batch"));
        change.send().await.expect("ChangeResourceRecordSets");
    }

    /// Every record set of a case.
    async fn sets(&self, case: &str) -> Vec<ResourceRecordSet> {
        let mut sets = Vec::new();
        for name in self.names(case) {
            // A page is as long as it is, and may end before the name.
            let list = self
                .dns
                .list_resource_record_sets()
                .hosted_zone_id(&self.id)
                .start_record_name(&name)
                .max_items(3);
            let answer = list.send().await.expect("ListResourceRecordSets");
            let all = answer.resource_record_sets.into_iter();
            sets.extend(all.filter(|set| set.name().trim_end_matches('.') == name));
        }
        sets
    }

    /// What the names of a case hold, as text.
    async fn records(&self, case: &str) -> Vec<String> {
        let sets = self.sets(case).await;
        let texts = sets.iter().map(|set| {
            let values: Vec<_> = set.resource_records().iter().map(|it| &*it.value).collect();
            let (name, kind) = (set.name().trim_end_matches('.'), set.r#type());
            format!("{name} {kind} {:?} {}", set.ttl(), values.join(" "))
        });
        texts.collect()
    }

    /// Removes the zone with the records of these cases.
    pub(crate) async fn drop<'a>(self, cases: impl IntoIterator<Item = &'a String>) {
        for case in cases {
            for set in self.sets(case).await {
                self.change(ChangeAction::Delete, set).await;
            }
        }
        let delete = self.dns.delete_hosted_zone().id(&self.id);
        delete.send().await.expect("DeleteHostedZone");
    }
}

/// The record set of a name that leads to another one.
fn alias(name: &str, value: &str) -> ResourceRecordSet {
    let record = ResourceRecord::builder().value(value).build();
    let set = ResourceRecordSet::builder()
        .name(name)
        .r#type(RrType::Cname)
        .ttl(TTL)
        .resource_records(record.expect("a record"));
    set.build().expect("a record set")
}

/// A source that its platform controls, that MGN replicates already, and that the CMDB, Cloud Migration Factory and DNS know.
pub(crate) async fn source(
    stack: &Stack,
    run: &str,
    case: &str,
    secret: &str,
    zone: &Zone,
) -> Source {
    let simulator = &stack.info.simulator_url;
    let [www, app] = zone.names(case);
    let before = alias(&www, &zone.before(case));
    zone.change(ChangeAction::Upsert, before).await;
    let source = Source::new(stack, run, case)
        .machine("agentInstalled", true)
        .machine("replicated", true)
        .machine("power", "azure");
    let vm = source.machine["sourceVmId"]
        .as_str()
        .expect("its ID")
        .to_owned();
    let host = source.machine["hostname"].clone();
    let mut checks = source.request["healthChecks"].clone();
    checks[0]["source"] = json!({ "url": format!("{simulator}/sources/{vm}/health") });
    source
        .request("source", "azure")
        .request("healthChecks", checks)
        .request(
            "sourceControl",
            json!({
                "kind": "azure", "endpoint": format!("{simulator}/azure"), "subscriptionId": "s",
                "resourceGroup": "g", "credentialsSecretId": secret, "vmName": host,
            }),
        )
        .request(
            "dns",
            json!([
                {"hostedZoneId": zone.id, "name": www, "type": "CNAME", "value": zone.after()},
                {"hostedZoneId": zone.id, "name": app, "type": "A"},
            ]),
        )
        .request(
            "cmdb",
            json!({"table": "cmdb_ci_server", "sysId": item(&vm)}),
        )
}

/// The CMDB's ID of a machine: letters and digits only.
pub(crate) fn item(vm: &str) -> String {
    vm.replace('-', "")
}

/// What the other systems know of a source.
pub(crate) fn known(source: &Source) -> (Value, Value) {
    let (vm, host) = (&source.machine["sourceVmId"], &source.machine["hostname"]);
    let cmf = json!({
        "server_id": source.id(), "server_name": host, "migration_status": "Not started",
    });
    let cmdb = json!({
        "table": "cmdb_ci_server", "sys_id": item(vm.as_str().unwrap_or_default()), "ip_address": "10.9.0.10", "object_id": "",
    });
    (cmf, cmdb)
}

/// Where a source is known by which ID.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) source: Source,
    pub(crate) server: String,
    pub(crate) template: String,
}

/// What a person could see of a source and what belongs to it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct World {
    pub(crate) running: bool,
    pub(crate) answers: u16,
    pub(crate) launched: Value,
    pub(crate) names: Vec<String>,
    pub(crate) cmdb: Value,
    pub(crate) cmf: Value,
}

/// The same, and what its next launch would be made with.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Whole {
    pub(crate) world: World,
    pub(crate) launch: Value,
    pub(crate) default_version: String,
}

impl Known {
    pub(crate) async fn of(stack: &Stack, source: &Source, servers: &Value) -> Self {
        let vm = source.machine["sourceVmId"].as_str().expect("its ID");
        let server = servers[vm].as_str().expect("MGN's ID").to_owned();
        let launch = configuration(stack, &server).await;
        let template = launch["ec2LaunchTemplateID"].as_str().expect("a template");
        Self {
            source: source.clone(),
            server,
            template: template.to_owned(),
        }
    }

    pub(crate) fn case<'a>(&'a self, run: &str) -> &'a str {
        let id = self.source.id();
        id.strip_prefix(&format!("e2e-{run}-"))
            .expect("the run's own")
    }

    /// The call that changes its configuration item.
    pub(crate) fn item_change(&self) -> String {
        format!(
            "PATCH /api/now/table/cmdb_ci_server/{}",
            item(self.text("sourceVmId"))
        )
    }

    /// The call that changes its record in Cloud Migration Factory.
    pub(crate) fn factory_change(&self) -> String {
        format!("PUT /user/server/{}", self.source.id())
    }

    /// The call of Azure that asks something of its machine.
    pub(crate) fn machine(&self, method: &str, action: &str) -> String {
        let group = "subscriptions/s/resourceGroups/g/providers/Microsoft.Compute";
        let host = self.text("hostname");
        format!("{method} /{group}/virtualMachines/{host}/{action}")
    }

    fn text(&self, member: &str) -> &str {
        self.source.machine[member].as_str().unwrap_or_default()
    }

    /// The server as MGN has it.
    pub(crate) async fn in_mgn(&self, stack: &Stack) -> Value {
        stack.simulator("state").await["servers"][&self.server].clone()
    }

    /// What there is of it.
    pub(crate) async fn look(&self, stack: &Stack, run: &str, zone: &Zone) -> World {
        let state = stack.simulator("state").await;
        let vm = self.text("sourceVmId");
        let url = format!("{}/sources/{vm}/health", stack.info.simulator_url);
        let answer = reqwest::get(url).await.expect("the simulator");
        let cmf = state["cmf"].as_array().expect("CMF's records").iter();
        let mut cmf = cmf.filter(|record| record["server_id"] == self.source.id());
        World {
            running: state["machines"][vm]["running"] == true,
            answers: answer.status().as_u16(),
            launched: state["servers"][&self.server]["launched"].clone(),
            names: zone.records(self.case(run)).await,
            cmdb: state["cmdb"]["cmdb_ci_server"][item(vm)].clone(),
            cmf: cmf.next().expect("its record").clone(),
        }
    }

    /// The same, with its launch settings.
    pub(crate) async fn look_at_all(&self, stack: &Stack, run: &str, zone: &Zone) -> Whole {
        let text = raw::ec2(
            stack,
            stack.home(),
            &[
                ("Action", "DescribeLaunchTemplates"),
                ("LaunchTemplateId.1", &self.template),
            ],
        )
        .await;
        let (_, version) = text
            .split_once("<defaultVersionNumber>")
            .expect("a template");
        let (version, _) = version.split_once('<').expect("its default version");
        Whole {
            world: self.look(stack, run, zone).await,
            launch: configuration(stack, &self.server).await,
            default_version: version.to_owned(),
        }
    }
}

async fn configuration(stack: &Stack, server: &str) -> Value {
    let ask = json!({ "sourceServerID": server });
    raw::mgn(stack, stack.home(), "GetLaunchConfiguration", &ask).await
}
