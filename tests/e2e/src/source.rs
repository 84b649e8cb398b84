//! Servers to migrate, and requests to migrate them.

use serde_json::{Value, json};

use crate::{Stack, raw};

/// The subnet of every request; the seed makes it an alias of one that is there.
pub const SUBNET: &str = "subnet-0a1b2c3d";

/// A server of its own, and the request that moves it; a test changes what it is about.
#[derive(Clone, Debug)]
pub struct Source {
    /// The machine, as the simulator's seed knows it.
    pub machine: Value,
    /// The request.
    pub request: Value,
}

impl Source {
    /// A small Linux server that goes all the way.
    pub fn new(stack: &Stack, run: &str, name: &str) -> Self {
        let (id, host) = (format!("e2e-{run}-{name}"), format!("{name}-{run}"));
        let simulator = &stack.info.simulator_url;
        let node = uuid::Uuid::new_v4().simple().to_string();
        Self {
            machine: json!({
                "sourceVmId": format!("vm-{id}"), "hostname": host, "ips": ["10.9.0.10"], "os": "linux",
                "disks": [{"deviceName": "/dev/xvda", "bytes": 8_589_934_592_u64}],
                "ssmInstanceId": format!("mi-{}", node.get(..17).unwrap_or(&node)),
                "replicationSeconds": 300,
            }),
            request: json!({
                "migrationId": id, "appName": format!("e2e-{run}"), "source": "vmware", "target": "aws",
                "environment": "test", "wave": format!("e2e-{run}"),
                "steps": ["freeze", "replicate", "validate", "switch"],
                "callbackUrl": format!("{simulator}/sink/{id}"),
                "sourceVmId": format!("vm-{id}"), "targetVmName": host, "instanceType": "t3.small",
                "subnetId": SUBNET, "securityGroupIds": ["sg-0a1b2c3d"],
                "tags": {"Application": "e2e"},
                "healthChecks": [{
                    "kind": "http", "url": format!("{simulator}/targets/{{instanceId}}/health"),
                    "expectedBody": "ok",
                }],
            }),
        }
    }

    /// With another member of the machine.
    #[must_use]
    pub fn machine(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.machine[name] = value.into();
        self
    }

    /// With another member of the request.
    #[must_use]
    pub fn request(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.request[name] = value.into();
        self
    }

    /// With a platform that switches its power: Azure, which is signed in to with a secret of its own.
    pub async fn in_azure(self, stack: &Stack) -> Self {
        let secret = format!("landfall/source/{}", self.id());
        let create = stack.secrets.create_secret().name(&secret);
        let create = create.secret_string(
            r#"{"tenantId": "t", "clientId": "c", "clientSecret": "simulated-azure"}"#,
        );
        create.send().await.expect("CreateSecret");
        let control = json!({
            "kind": "azure", "endpoint": format!("{}/azure", stack.info.simulator_url),
            "credentialsSecretId": secret, "subscriptionId": "sub-1", "resourceGroup": "rg-1",
            "vmName": self.machine["hostname"], "ssmInstanceId": self.machine["ssmInstanceId"],
        });
        self.machine("power", "azure")
            .request("source", "azure")
            .request("sourceControl", control)
    }

    /// By what its platform knows it.
    pub fn vm(&self) -> &str {
        self.machine["sourceVmId"].as_str().unwrap_or_default()
    }

    /// The request's migration ID.
    pub fn id(&self) -> &str {
        self.request["migrationId"].as_str().unwrap_or_default()
    }

    /// The message: its body, and the correlation ID made from the migration's.
    pub fn message(&self) -> (String, String) {
        (self.request.to_string(), format!("c-{}", self.id()))
    }
}

/// A seed of machines in the network that every request names.
pub fn seed<'a>(sources: impl IntoIterator<Item = &'a Source>) -> Value {
    let machines: Vec<_> = sources.into_iter().map(|source| &source.machine).collect();
    json!({
        "initializeMgn": true,
        "ec2Aliases": {SUBNET: null, "sg-0a1b2c3d": null},
        "servers": machines,
    })
}

/// A free address of [`SUBNET`].
pub async fn address(stack: &Stack, run: &str) -> String {
    let query = format!("Action=DescribeSubnets&Filter.1.Name=subnet-id&Filter.1.Value.1={SUBNET}");
    let text = raw::simulated_ec2(stack, &query).await;
    let block = raw::element(&text, "cidrBlock").expect("the subnet's block");
    let (network, _) = block.rsplit_once('.').expect("an IPv4 block");
    // One of the run's own, so that runs that share a stack do not meet.
    let host = run.bytes().fold(7_u8, u8::wrapping_add) % 200 + 20;
    format!("{network}.{host}")
}
