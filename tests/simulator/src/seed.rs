//! The seed file: what the world holds from the start. Additive, and idempotent by `sourceVmId`.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::sim::Sim;
use crate::sink::Answers;
use crate::source_apis::cmf;
use crate::world::machine::Machine;
use crate::world::{World, ids};

/// A seed.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Seed {
    /// Whether MGN is ready, at home and wherever a server of this seed is registered.
    #[serde(default)]
    pub initialize_mgn: bool,
    /// EC2 identifiers that stand for others: a real identifier, or null or an object for one that is made.
    #[serde(default)]
    pub ec2_aliases: BTreeMap<String, Alias>,
    /// Source machines.
    #[serde(default)]
    pub servers: Vec<Machine>,
    /// Cloud Migration Factory records: `server_id`, else `app_id`, else `wave_id` tells of what schema, and which.
    #[serde(default)]
    pub cmf: Vec<Value>,
    /// CMDB records; `table` and `sys_id` identify them.
    #[serde(default)]
    pub cmdb: Vec<Value>,
    /// What named sinks answer.
    #[serde(default)]
    pub sink_status: BTreeMap<String, Answers>,
}

/// What an alias stands for.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Alias {
    /// This resource.
    Real(String),
    /// A resource that is made.
    Made(Option<Made>),
}

/// How a resource is made.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Made {
    /// The addresses of a subnet.
    #[serde(default)]
    pub cidr_block: Option<String>,
    /// The account that it is made in; home when absent.
    #[serde(default)]
    pub account: Option<String>,
    /// The Region of the same.
    #[serde(default)]
    pub region: Option<String>,
}

/// Applies a seed. The answer says what there is now.
pub(crate) async fn apply(sim: &Sim, seed: Seed) -> Result<Value, String> {
    for (alias, target) in seed.ec2_aliases.clone() {
        let known = sim.world().aliases.get(&alias).cloned();
        let real = match (target, known) {
            (Alias::Real(id), _) | (Alias::Made(_), Some(id)) => id,
            (Alias::Made(made), None) => make(sim, &alias, &made.unwrap_or_default()).await?,
        };
        sim.world().aliases.insert(alias, real);
    }
    let answer = {
        let mut world = sim.world();
        let servers = fill(&mut world, seed)?;
        json!({"servers": servers, "ec2Aliases": world.aliases})
    };
    // Launch templates exist when the answer is given.
    sim.settle().await;
    Ok(answer)
}

async fn make(sim: &Sim, alias: &str, made: &Made) -> Result<String, String> {
    let Some((prefix, _)) = alias
        .split_once('-')
        .filter(|(p, _)| matches!(*p, "subnet" | "sg"))
    else {
        return Err(format!(
            "ec2Aliases.{alias}: only subnet-… and sg-… can be made; name a real identifier"
        ));
    };
    let Some(ministack) = &sim.ministack else {
        return Ok(ids::mint(prefix));
    };
    let place = {
        let home = &sim.world().home;
        home.with(made.account.as_deref(), made.region.as_deref())
    };
    let ministack = ministack.at(&place);
    let made = match prefix {
        "subnet" => {
            // Aside of MiniStack's own default subnets, and one for each alias.
            let number = 100 + sim.world().aliases.len() % 100;
            let cidr = made
                .cidr_block
                .clone()
                .unwrap_or_else(|| format!("172.31.{number}.0/24"));
            ministack.subnet(alias, &cidr).await
        }
        _ => ministack.security_group(alias).await,
    };
    made.map_err(|e| format!("ec2Aliases.{alias}: {e}"))
}

fn fill(world: &mut World, seed: Seed) -> Result<Value, String> {
    let home = world.home.clone();
    if seed.initialize_mgn {
        let machines = seed.servers.iter().map(|machine| machine.place(&home));
        for place in machines.chain([home.clone()]) {
            world.enter(&place);
            initialize(world);
        }
    }
    let mut servers = serde_json::Map::new();
    for machine in seed.servers {
        let id = machine.source_vm_id.clone();
        // What a run has changed of a machine stays.
        let known = world.machines.contains_key(&id);
        let machine = world.machines.entry(id.clone()).or_insert(machine).clone();
        world.enter(&machine.place(&home));
        if !known && (machine.agent_installed || machine.replicated) {
            world.register(&id, true);
        }
        let mut here = world.here.servers.values();
        let server = here.find(|s| s.user_provided_id.as_deref() == Some(&id));
        servers.insert(id, server.map(|s| s.id.clone()).into());
    }
    world.enter(&home);
    for record in seed.cmf {
        if cmf::schema(&record).is_none() {
            return Err("cmf: a record has neither server_id nor app_id nor wave_id".into());
        }
        if !world.sources.cmf.iter().any(|own| cmf::same(own, &record)) {
            world.sources.cmf.push(record);
        }
    }
    for record in seed.cmdb {
        let (Some(table), Some(id)) = (record["table"].as_str(), record["sys_id"].as_str()) else {
            return Err("cmdb: a record has no table or no sys_id".into());
        };
        let table = world.sources.cmdb.entry(table.to_owned()).or_default();
        table.entry(id.to_owned()).or_insert(record.clone());
    }
    for (name, answers) in seed.sink_status {
        world.sink.answer_with(&name, answers);
    }
    Ok(servers.into())
}

/// Makes MGN usable in the present place.
fn initialize(world: &mut World) {
    if world.usable() {
        return;
    }
    world.here.initialized = true;
    let id = ids::mint("rct");
    let template = json!({
        "replicationConfigurationTemplateID": id, "arn": world.arn("replication-configuration-template", &id),
        "stagingAreaSubnetId": ids::mint("subnet"), "associateDefaultSecurityGroup": true,
        "replicationServersSecurityGroupsIDs": [], "replicationServerInstanceType": "t3.small",
        "useDedicatedReplicationServer": false, "defaultLargeStagingDiskType": "GP3", "ebsEncryption": "DEFAULT",
        "bandwidthThrottling": 0, "dataPlaneRouting": "PRIVATE_IP", "createPublicIP": false,
        "stagingAreaTags": {}, "useFipsEndpoint": false, "tags": {},
    });
    world.here.replication_templates.insert(id, template);
}
