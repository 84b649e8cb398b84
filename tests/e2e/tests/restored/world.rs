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

    async fn put(&self, name: &str, value: &str) {
        let record = ResourceRecord::builder().value(value).build();
        let set = ResourceRecordSet::builder()
            .name(name)
            .r#type(RrType::Cname)
            .ttl(TTL)
            .resource_records(record.expect("a record"))
            .build();
        let change = Change::builder()
            .action(ChangeAction::Upsert)
            .resource_record_set(set.expect("a record set"))
            .build();
        let batch = ChangeBatch::builder().changes(change.expect("a change"));
        let change = self
            .dns
            .change_resource_record_sets()
            .hosted_zone_id(&self.id)
            .change_batch(batch.build().expect("a batch"));
        change.send().await.expect("ChangeResourceRecordSets");
    }

    /// Every record of a case, as text.
    async fn records(&self, case: &str) -> Vec<String> {
        let answer = self
            .dns
            .list_resource_record_sets()
            .hosted_zone_id(&self.id)
            .send()
            .await;
        let mut records: Vec<String> = Vec::new();
        let names = self.names(case);
        for set in answer
            .expect("ListResourceRecordSets")
            .resource_record_sets()
        {
            if names
                .iter()
                .any(|name| set.name().trim_end_matches('.') == name)
            {
                records.push(format!("{set:?}"));
            }
        }
        records.sort();
        records
    }

    pub(crate) async fn drop(self, cases: &[String]) {
        for case in cases {
            let [www, _] = self.names(case);
            let record = ResourceRecord::builder().value(self.before(case)).build();
            let set = ResourceRecordSet::builder()
                .name(www)
                .r#type(RrType::Cname)
                .ttl(TTL)
                .resource_records(record.expect("a record"))
                .build();
            let change = Change::builder()
                .action(ChangeAction::Delete)
                .resource_record_set(set.expect("a record set"))
                .build();
            let batch = ChangeBatch::builder().changes(change.expect("a change"));
            let change = self
                .dns
                .change_resource_record_sets()
                .hosted_zone_id(&self.id)
                .change_batch(batch.build().expect("a batch"));
            change.send().await.expect("the record of before");
        }
        let delete = self.dns.delete_hosted_zone().id(&self.id);
        delete.send().await.expect("DeleteHostedZone");
    }
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
    zone.put(&www, &zone.before(case)).await;
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
                {"hostedZoneId": zone.id, "name": www, "type": "CNAME", "value": format!("new.{}", zone.name)},
                {"hostedZoneId": zone.id, "name": app, "type": "A"},
            ]),
        )
        .request("cmdb", json!({"table": "cmdb_ci_server", "sysId": item(&vm)}))
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

    /// The lifecycle of the server in MGN.
    pub(crate) async fn lifecycle(&self, stack: &Stack) -> String {
        let state = stack.simulator("state").await;
        let lifecycle = state["servers"][&self.server]["life_cycle"].as_str();
        lifecycle.expect("a lifecycle").to_owned()
    }

    pub(crate) async fn look(&self, stack: &Stack, run: &str, zone: &Zone) -> World {
        let state = stack.simulator("state").await;
        let vm = self.source.machine["sourceVmId"].as_str().expect("its ID");
        let url = format!("{}/sources/{vm}/health", stack.info.simulator_url);
        let answer = reqwest::get(url).await.expect("the simulator");
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
        let cmf = state["cmf"].as_array().expect("CMF's records").iter();
        let mut cmf = cmf.filter(|record| record["server_id"] == self.source.id());
        World {
            running: state["machines"][vm]["running"] == true,
            answers: answer.status().as_u16(),
            launched: state["servers"][&self.server]["launched"].clone(),
            names: zone.records(self.case(run)).await,
            cmdb: state["cmdb"]["cmdb_ci_server"][item(vm)].clone(),
            cmf: cmf.next().expect("its record").clone(),
            launch: configuration(stack, &self.server).await,
            default_version: version.to_owned(),
        }
    }
}

async fn configuration(stack: &Stack, server: &str) -> Value {
    let ask = json!({ "sourceServerID": server });
    raw::mgn(stack, stack.home(), "GetLaunchConfiguration", &ask).await
}
