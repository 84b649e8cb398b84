//! Each check of the pre-flight against the local stack: a request that it refuses, asked for in a dry run.
//!
//! A test of `validate-input` holds every code of docs/PREFLIGHT.md to a place here.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

#[path = "checks/earlier.rs"]
mod earlier;
#[path = "checks/factory.rs"]
mod factory;
#[path = "checks/place.rs"]
mod place;
#[path = "checks/platform.rs"]
mod platform;
#[path = "checks/request.rs"]
mod request;
#[path = "checks/server.rs"]
mod server;
#[path = "checks/unasked.rs"]
mod unasked;

use landfall_e2e::source::{Source, seed};
use landfall_e2e::{Place, Stack, raw};
use serde_json::{Value, json};
use tokio::sync::RwLock;

/// The simulator's faults meet whoever comes first: a test that sets one has the stack for itself, by writing.
static STACK: RwLock<()> = RwLock::const_new(());

/// A Region of the deployment's own account that no other test uses.
const REGION: &str = "ap-south-1";
/// One that nobody initialized.
const NOWHERE: &str = "ap-east-1";
/// The alias of a subnet in [`REGION`].
const SUBNET: &str = "subnet-0c3d4e5f";
/// Its block.
const BLOCK: &str = "172.31.230.0/24";

fn here(stack: &Stack) -> Place<'_> {
    Place {
        region: REGION,
        ..stack.home()
    }
}

/// A server that replicates in [`REGION`], and a request for it that passes.
fn source(stack: &Stack, run: &str, name: &str) -> Source {
    Source::new(stack, run, name)
        .machine("region", REGION)
        .machine("replicated", true)
        .request(
            "account",
            json!({"id": stack.info.account_id, "region": REGION}),
        )
        .request("subnetId", SUBNET)
        // The default security group, which every account has.
        .request("securityGroupIds", json!(["sg-00000001"]))
}

/// Puts the servers into MGN; the ID of each.
async fn installed(stack: &Stack, sources: &[&Source]) -> Vec<String> {
    let mut all = seed(sources.iter().copied());
    all["ec2Aliases"] = json!({});
    all["ec2Aliases"][SUBNET] = json!({"cidrBlock": BLOCK, "region": REGION});
    // Each run on a stack leaves its servers behind: they shall not use the quota up.
    let quota = json!({"quotaCode": "L-9A599620", "value": 100_000, "region": REGION});
    stack.post("quotas", &quota).await;
    let answer = stack.seed(&all).await;
    let id = |source: &&Source| {
        let vm = source.machine["sourceVmId"].as_str().expect("a name");
        answer["servers"][vm].as_str().expect("its ID").to_owned()
    };
    sources.iter().map(id).collect()
}

/// The codes that a dry run of the request answers with.
async fn told(stack: &Stack, request: &Value) -> Vec<String> {
    let answer = raw::validate(stack, request).await;
    let findings = answer["findings"].as_array();
    let findings = findings.unwrap_or_else(|| panic!("{answer}"));
    let codes = findings
        .iter()
        .map(|it| it["code"].as_str().expect("a code"));
    codes.map(str::to_owned).collect()
}

/// Those of Cloud Migration Factory, which has no plan of most requests here, or the others.
async fn codes(stack: &Stack, request: &Value, of_factory: bool) -> Vec<String> {
    let mut codes = told(stack, request).await;
    codes.retain(|code| code.starts_with("CMF_") == of_factory);
    codes
}

async fn assert_told(stack: &Stack, request: &Value, expected: &[&str]) {
    assert_eq!(codes(stack, request, false).await, expected, "{request}");
}

/// The first text between two others.
fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    let (_, rest) = text.split_once(start).unwrap_or_else(|| panic!("{text}"));
    rest.split_once(end).expect("its end").0
}

/// Makes something in EC2 of [`REGION`]; its ID, which is the first text of the element.
async fn made(stack: &Stack, element: &str, order: &[(&str, &str)]) -> String {
    let text = raw::ec2(stack, here(stack), order).await;
    between(&text, &format!("<{element}>"), "</").to_owned()
}
