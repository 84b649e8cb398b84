//! Quotas, encryption and MGN itself, as they are in the account and Region.

use landfall_e2e::source::seed;
use landfall_e2e::{Stack, unique};
use serde_json::{Value, json};

use crate::{STACK, assert_told, codes, source};

#[tokio::test]
async fn quotas_and_encryption_are_those_of_the_place() {
    let (stack, run, _shared) = (Stack::load().await, unique(), STACK.read().await);
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

    for (quota, value, code) in [
        ("L-9A599620", 1, "QUOTA_REPLICATING"),
        // Nothing is launched here: a quota of none is used up.
        ("L-FE2EBE17", 0, "QUOTA_JOBS"),
        ("L-4FF77426", 0, "QUOTA_IN_FLIGHT"),
    ] {
        let set = |value: Value| json!({"quotaCode": quota, "value": value, "region": region});
        stack.post("quotas", &set(json!(value))).await;
        let told = codes(&stack, &new, false).await;
        // Before anything is asserted: a run that fails leaves the place as it was.
        stack.post("quotas", &set(Value::Null)).await;
        assert_eq!(told, [code]);
    }

    let key = format!(
        "arn:aws:kms:{region}:{}:key/00000000-0000-4000-8000-000000000000",
        stack.info.account_id
    );
    let ebs = json!({"encryptedByDefault": true, "kmsKeyId": key, "region": region});
    stack.post("ebs", &ebs).await;
    let told = codes(&stack, &new, false).await;
    let ebs = json!({"encryptedByDefault": false, "region": region});
    stack.post("ebs", &ebs).await;
    assert_eq!(told, ["EBS_DEFAULT_KEY_UNUSABLE"]);
    assert_told(&stack, &new, &[]).await;
}
