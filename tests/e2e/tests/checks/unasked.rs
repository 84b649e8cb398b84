//! What cannot be asked is told as such.

use landfall_e2e::{Stack, unique};
use serde_json::json;

use crate::{STACK, codes, installed, source};

#[tokio::test]
async fn permissions_that_cannot_be_simulated_are_not_taken_for_granted() {
    let (stack, run, _alone) = (Stack::load().await, unique(), STACK.write().await);
    let known = source(&stack, &run, "unproven")
        // What was allowed is remembered: nobody has asked about this one.
        .request("securityGroupIds", json!([format!("sg-0{run}")]));
    installed(&stack, &[&known]).await;
    let fault = json!({
        "service": "iam", "operation": "SimulatePrincipalPolicy", "kind": "error", "error": "AccessDenied", "status": 403,
        "count": 1_000,
    });
    stack.post("faults", &fault).await;
    let told = codes(&stack, &known.request, false).await;
    stack.delete("faults").await;
    assert_eq!(told, ["SECURITY_GROUP_NOT_FOUND", "PERMISSIONS_NOT_PROVEN"]);
}

#[tokio::test]
async fn a_refused_read_is_told_with_all_the_rest() {
    let (stack, run, _alone) = (Stack::load().await, unique(), STACK.write().await);
    let known = source(&stack, &run, "refused")
        .request("instanceType", "t9.mega")
        .request("steps", json!(["validate"]));
    installed(&stack, &[&known]).await;
    for (service, operation, error) in [
        ("ec2", "DescribeSubnets", "UnauthorizedOperation"),
        ("mgn", "DescribeSourceServers", "AccessDeniedException"),
    ] {
        let fault = json!({
            "service": service, "operation": operation, "kind": "error", "error": error, "status": 403, "count": 1_000,
        });
        stack.post("faults", &fault).await;
        let told = codes(&stack, &known.request, false).await;
        stack.delete("faults").await;
        assert_eq!(
            told,
            ["INSTANCE_TYPE_UNKNOWN", "READ_REFUSED"],
            "{operation}"
        );
    }
}
