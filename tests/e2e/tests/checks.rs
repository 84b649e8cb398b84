//! Each check of the pre-flight against the local stack: a request that it refuses, asked for in a dry run.
//!
//! What needs a migration that is under way, or Cloud Migration Factory to be away, is shown by the function's own tests.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

use landfall_e2e::source::{Source, seed};
use landfall_e2e::{Place, Stack, account, raw, unique};
use serde_json::{Value, json};

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
    let answer = stack.seed(&all).await;
    let id = |source: &&Source| {
        let vm = source.machine["sourceVmId"].as_str().expect("a name");
        answer["servers"][vm].as_str().expect("its ID").to_owned()
    };
    sources.iter().map(id).collect()
}

/// The codes that a dry run of the request answers with, but those of Cloud Migration Factory, which has no plan of it.
async fn codes(stack: &Stack, request: &Value) -> Vec<String> {
    let answer = raw::validate(stack, request).await;
    let findings = answer["findings"].as_array();
    let findings = findings.unwrap_or_else(|| panic!("{answer}"));
    let codes = findings
        .iter()
        .map(|it| it["code"].as_str().expect("a code"));
    codes
        .filter(|code| !code.starts_with("CMF_"))
        .map(str::to_owned)
        .collect()
}

async fn assert_told(stack: &Stack, request: &Value, expected: &[&str]) {
    assert_eq!(codes(stack, request).await, expected, "{request}");
}

#[tokio::test]
async fn what_the_request_says_is_compared_with_the_account() {
    let (stack, run) = (Stack::load().await, unique());
    let good = source(&stack, &run, "good");
    installed(&stack, &[&good]).await;
    assert_told(&stack, &good.request, &[]).await;
    let disk = |name: &str| json!({"deviceName": name, "volumeType": "gp3"});
    let third = json!({
        "id": "333333333333", "region": REGION, "roleArn": account::role_arn(), "externalId": "x1",
    });
    let table: &[(&str, Value, &[&str])] = &[
        (
            "subnetId",
            json!("subnet-0ffffffffffffffff"),
            &["SUBNET_NOT_FOUND"],
        ),
        (
            "securityGroupIds",
            json!(["sg-0ffffffffffffffff"]),
            &["SECURITY_GROUP_NOT_FOUND"],
        ),
        ("privateIp", json!("10.250.0.9"), &["IP_OUT_OF_RANGE"]),
        ("privateIp", json!("172.31.230.2"), &["IP_RESERVED"]),
        ("instanceType", json!("t9.mega"), &["INSTANCE_TYPE_UNKNOWN"]),
        (
            "instanceProfile",
            json!("nobody-has-this"),
            &["IAM_PROFILE_NOT_FOUND"],
        ),
        (
            "kmsKeyId",
            json!("alias/nobody-has-this"),
            &["KMS_KEY_NOT_FOUND"],
        ),
        ("disks", json!([disk("/dev/xvdz")]), &["DISK_NOT_FOUND"]),
        ("steps", json!(["switch"]), &["TEST_MISSING"]),
        (
            "callbackUrl",
            json!("https://169.254.169.254/"),
            &["CALLBACK_URL_FORBIDDEN"],
        ),
        ("policy", json!({"window": {}}), &["FEATURE_NOT_AVAILABLE"]),
        (
            "sourceControl",
            json!({
                "kind": "azure", "endpoint": "https://azure.example.com", "subscriptionId": "s", "resourceGroup": "g",
                "credentialsSecretId": "landfall/source/none",
            }),
            &["SOURCE_ENDPOINT_FORBIDDEN"],
        ),
        (
            "account",
            json!({"id": "333333333333", "region": REGION}),
            &["TARGET_ROLE_MISSING"],
        ),
        ("account", third, &["TARGET_ROLE_WRONG_ACCOUNT"]),
        (
            "account",
            account::block("of-nobody"),
            &["TARGET_ROLE_NOT_ASSUMABLE"],
        ),
    ];
    for (field, value, expected) in table {
        let request = good.clone().request(field, value.clone()).request;
        assert_told(&stack, &request, expected).await;
    }
    let nowhere = json!({"id": stack.info.account_id, "region": NOWHERE});
    let mut request = good.request("account", nowhere).request;
    request["steps"] = json!(["replicate"]);
    for field in ["subnetId", "securityGroupIds", "instanceType"] {
        request.as_object_mut().expect("an object").remove(field);
    }
    assert_told(&stack, &request, &["MGN_NOT_INITIALIZED"]).await;
}

#[tokio::test]
async fn what_mgn_says_of_the_server_is_judged() {
    let (stack, run) = (Stack::load().await, unique());
    let names = ["twin-a", "twin-b", "gone", "archived", "over", "busy"];
    let sources: Vec<Source> = names
        .iter()
        .map(|name| source(&stack, &run, name))
        .collect();
    let ids = installed(&stack, &sources.iter().collect::<Vec<_>>()).await;
    let mgn = async |operation: &str, body: Value| {
        raw::mgn(&stack, here(&stack), operation, &body).await;
    };
    let launch = |at: usize| {
        let source = sources[at].clone();
        source.request("steps", json!(["validate"])).request
    };
    assert_told(&stack, &launch(5), &[]).await;
    let unknown = sources[0]
        .clone()
        .request("sourceVmId", "vm-nobody-has")
        .request("steps", json!(["validate"]));
    assert_told(&stack, &unknown.request, &["SERVER_NOT_FOUND"]).await;

    let name = &sources[0].machine["sourceVmId"];
    let rename = json!({"sourceServerID": ids[1], "userProvidedID": name});
    mgn("UpdateSourceServer", rename).await;
    assert_told(&stack, &launch(0), &["SERVER_AMBIGUOUS"]).await;
    mgn("DisconnectFromService", json!({"sourceServerID": ids[2]})).await;
    assert_told(&stack, &launch(2), &["SERVER_DISCONNECTED"]).await;
    mgn("DisconnectFromService", json!({"sourceServerID": ids[3]})).await;
    mgn("MarkAsArchived", json!({"sourceServerID": ids[3]})).await;
    assert_told(&stack, &launch(3), &["SERVER_ARCHIVED"]).await;
    let over = json!({"sourceServerID": ids[4], "lifeCycle": {"state": "CUTOVER"}});
    mgn("ChangeServerLifeCycleState", over).await;
    assert_told(&stack, &launch(4), &["LIFECYCLE_NOT_ALLOWED"]).await;
    mgn("StartTest", json!({"sourceServerIDs": [ids[5]]})).await;
    let busy = codes(&stack, &launch(5)).await;
    assert!(busy.contains(&"ACTIVE_JOB_EXISTS".to_owned()), "{busy:?}");
}

#[tokio::test]
async fn quotas_and_encryption_are_those_of_the_place() {
    let (stack, run) = (Stack::load().await, unique());
    // A Region of its own: what is set here is set for all of it.
    let region = "ca-central-1";
    let known = source(&stack, &run, "known").machine("region", region);
    let mut all = seed([&known]);
    all["ec2Aliases"] = json!({});
    stack.seed(&all).await;
    let place = json!({"id": stack.info.account_id, "region": region});
    let mut new = source(&stack, &run, "new")
        .request("account", place)
        .request;
    for field in ["subnetId", "securityGroupIds"] {
        new.as_object_mut().expect("an object").remove(field);
    }
    assert_told(&stack, &new, &[]).await;

    let quota = |value: Value| json!({"quotaCode": "L-9A599620", "value": value, "region": region});
    stack.post("quotas", &quota(json!(1))).await;
    assert_told(&stack, &new, &["QUOTA_REPLICATING"]).await;
    stack.post("quotas", &quota(Value::Null)).await;

    let key = format!(
        "arn:aws:kms:{region}:{}:key/00000000-0000-4000-8000-000000000000",
        stack.info.account_id
    );
    let ebs = json!({"encryptedByDefault": true, "kmsKeyId": key, "region": region});
    stack.post("ebs", &ebs).await;
    assert_told(&stack, &new, &["EBS_DEFAULT_KEY_UNUSABLE"]).await;
    let ebs = json!({"encryptedByDefault": false, "region": region});
    stack.post("ebs", &ebs).await;
    assert_told(&stack, &new, &[]).await;
}
