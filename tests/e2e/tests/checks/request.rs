//! What the request names, compared with the account it goes to.

use landfall_e2e::{Stack, account, raw, unique};
use serde_json::{Value, json};

use crate::{NOWHERE, REGION, STACK, assert_told, codes, here, installed, made, source};

#[tokio::test]
async fn what_the_request_says_is_compared_with_the_account() {
    let (stack, run, _shared) = (Stack::load().await, unique(), STACK.read().await);
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
        (
            "policy",
            json!({"window": {"start": "2020-01-01T22:00", "end": "2020-01-02T04:00", "timeZone": "UTC"}}),
            &["WINDOW_NEVER_OPENS"],
        ),
        (
            "policy",
            json!({"window": {
                "start": "2026-01-01T22:00", "end": "2026-01-01T22:30", "timeZone": "UTC", "recurrence": "FREQ=DAILY",
            }}),
            &["WINDOW_SHORT"],
        ),
        (
            "policy",
            json!({"approvals": [{
                "gate": "cutover", "count": 3, "approvers": ["arn:aws:iam::123456789012:user/ann"], "deadlineSeconds": 600,
                "escalateAfterSeconds": 600, "escalateTo": ["arn:aws:iam::123456789012:user/bob"],
            }]}),
            &["APPROVERS_TOO_FEW", "ESCALATION_TOO_LATE"],
        ),
        (
            "policy",
            json!({"retention": {"archiveAfterDays": 30, "decommissionSource": true}}),
            &["DECOMMISSION_UNAPPROVED", "DECOMMISSION_NOT_POSSIBLE"],
        ),
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
    let rehearsal = good
        .clone()
        .request("steps", json!(["replicate", "validate"]))
        .request("policy", json!({"retention": {"archiveAfterDays": 30}}));
    assert_told(&stack, &rehearsal.request, &["RETENTION_WITHOUT_SWITCH"]).await;
    let nowhere = json!({"id": stack.info.account_id, "region": NOWHERE});
    let mut request = good.request("account", nowhere).request;
    request["steps"] = json!(["replicate"]);
    for field in ["subnetId", "securityGroupIds", "instanceType"] {
        request.as_object_mut().expect("an object").remove(field);
    }
    assert_told(&stack, &request, &["MGN_NOT_INITIALIZED"]).await;
}

/// An empty network in [`REGION`]: its VPC.
async fn network(stack: &Stack) -> String {
    let order = [("Action", "CreateVpc"), ("CidrBlock", "10.0.0.0/16")];
    made(stack, "vpcId", &order).await
}

/// A subnet that is all of it, in one Availability Zone.
async fn subnet(stack: &Stack, vpc: &str, zone: &str) -> String {
    let order = [
        ("Action", "CreateSubnet"),
        ("VpcId", vpc),
        ("CidrBlock", "10.0.0.0/16"),
        ("AvailabilityZone", zone),
    ];
    made(stack, "subnetId", &order).await
}

#[tokio::test]
async fn the_network_is_compared_with_itself() {
    let (stack, run, _shared) = (Stack::load().await, unique(), STACK.read().await);
    let known = source(&stack, &run, "network");
    installed(&stack, &[&known]).await;
    let vpc = network(&stack).await;
    let group = [
        ("Action", "CreateSecurityGroup"),
        ("GroupName", run.as_str()),
        ("GroupDescription", "e2e"),
        ("VpcId", vpc.as_str()),
    ];
    let group = made(&stack, "groupId", &group).await;
    let elsewhere = known.clone().request("securityGroupIds", json!([group]));
    assert_told(&stack, &elsewhere.request, &["SECURITY_GROUP_WRONG_VPC"]).await;

    let inside = subnet(&stack, &vpc, &format!("{REGION}a")).await;
    let moved = elsewhere.request("subnetId", inside.as_str());
    assert_told(&stack, &moved.request, &[]).await;
    // The emulator gives an interface any address of its own choice that begins so.
    let interface = [("Action", "CreateNetworkInterface"), ("SubnetId", &inside)];
    let address = made(&stack, "privateIpAddress", &interface).await;
    let taken = moved.clone().request("privateIp", address.as_str());
    assert_told(&stack, &taken.request, &["IP_IN_USE"]).await;

    // Types are offered in the zones a to c.
    let far = subnet(&stack, &vpc, &format!("{REGION}d")).await;
    let far = moved.request("subnetId", far.as_str());
    assert_told(&stack, &far.request, &["INSTANCE_TYPE_NOT_IN_AZ"]).await;
}

/// A new key in [`REGION`]: its ID.
async fn new_key(stack: &Stack) -> String {
    let answer = raw::json_in(
        stack,
        here(stack),
        "kms",
        "TrentService.CreateKey",
        &json!({}),
    )
    .await;
    let id = answer["KeyMetadata"]["KeyId"].as_str();
    id.unwrap_or_else(|| panic!("{answer}")).to_owned()
}

#[tokio::test]
async fn a_key_must_be_good_for_volumes_and_for_the_roles() {
    let (stack, run, _shared) = (Stack::load().await, unique(), STACK.read().await);
    let known = source(&stack, &run, "key");
    installed(&stack, &[&known]).await;
    let key = new_key(&stack).await;
    let replicate = known
        .request("kmsKeyId", key.as_str())
        .request("steps", json!(["replicate"]));
    let expected = ["KMS_CHANGE_FORCES_RESYNC"];
    assert_told(&stack, &replicate.request, &expected).await;
    let allowed = replicate.request("policy", json!({"allowResync": true}));
    assert_told(&stack, &allowed.request, &[]).await;
    // The deployment lists no key that launches may use.
    let launch = allowed.clone().request("steps", json!(["validate"]));
    let mut denied = codes(&stack, &launch.request, false).await;
    denied.dedup();
    assert_eq!(denied, ["PERMISSION_MISSING"]);

    let disable = json!({"KeyId": key});
    raw::json_in(
        &stack,
        here(&stack),
        "kms",
        "TrentService.DisableKey",
        &disable,
    )
    .await;
    assert_told(&stack, &allowed.request, &["KMS_KEY_NOT_USABLE"]).await;
}

#[tokio::test]
async fn an_instance_profile_may_have_no_role() {
    let (stack, run, _shared) = (Stack::load().await, unique(), STACK.read().await);
    let name = format!("e2e-{run}");
    let iam = aws_sdk_iam::Client::new(&stack.sdk(here(&stack)));
    let create = iam.create_instance_profile().instance_profile_name(&name);
    create.send().await.expect("CreateInstanceProfile");
    let known = source(&stack, &run, "profile").request("instanceProfile", name.as_str());
    installed(&stack, &[&known]).await;
    assert_told(&stack, &known.request, &["IAM_PROFILE_WITHOUT_ROLE"]).await;
    let delete = iam.delete_instance_profile().instance_profile_name(&name);
    delete.send().await.expect("DeleteInstanceProfile");
}
