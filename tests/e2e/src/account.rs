//! Another account of the emulator, into which servers move.

use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use crate::source::Source;
use crate::{Stack, text};

/// An account and a Region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// The 12-digit account.
    pub account: &'a str,
    /// The Region.
    pub region: &'a str,
}

/// The account and Region that is not home.
pub const OTHER: Place<'static> = Place {
    account: "222222222222",
    region: "eu-west-1",
};

/// The role there, which the local stack's `target_role_arns` lists.
pub const ROLE: &str = "landfall-target";

/// What its trust asks for.
pub const EXTERNAL_ID: &str = "e2e-external-id";

/// An alias of a subnet that only [`OTHER`] has.
pub const SUBNET: &str = "subnet-0b2c3d4e";

/// The role's ARN.
pub fn role_arn() -> String {
    format!("arn:aws:iam::{}:role/{ROLE}", OTHER.account)
}

/// Makes the role in [`OTHER`], with the permissions that `terraform/target-account` gives it.
///
/// Its trust names the account alone: the emulator takes a session's ARN for `aws:PrincipalArn`, and AWS the role's.
pub async fn let_in(stack: &Stack) {
    let trust = json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Action": "sts:AssumeRole",
        "Principal": {"AWS": format!("arn:aws:iam::{}:root", stack.info.account_id)},
        "Condition": {"StringEquals": {"sts:ExternalId": EXTERNAL_ID}},
    }]});
    let permissions = text("terraform/target-account/permissions.json.tftpl")
        .replace("${partition}", "aws")
        .replace("${account}", OTHER.account)
        .replace("${role}", ROLE);
    let iam = aws_sdk_iam::Client::new(&stack.sdk(OTHER));
    let create = iam
        .create_role()
        .role_name(ROLE)
        .assume_role_policy_document(trust.to_string());
    if let Err(error) = create.send().await {
        // Made by an earlier run.
        let error = error.into_service_error();
        assert!(error.is_entity_already_exists_exception(), "{error:?}");
    }
    let policy = iam
        .put_role_policy()
        .role_name(ROLE)
        .policy_name(ROLE)
        .policy_document(permissions);
    policy.send().await.expect("PutRolePolicy");
}

/// A request's `account`.
pub fn block(external_id: &str) -> Value {
    json!({
        "id": OTHER.account, "region": OTHER.region, "roleArn": role_arn(), "externalId": external_id,
    })
}

/// The server and the request, for [`OTHER`] instead of home.
#[must_use]
pub fn moved(source: Source, external_id: &str) -> Source {
    source
        .machine("account", OTHER.account)
        .machine("region", OTHER.region)
        .request("account", block(external_id))
        .request("subnetId", SUBNET)
        // The default security group, which every account has.
        .request("securityGroupIds", json!(["sg-00000001"]))
}

/// A seed of such servers, with the subnet that they name.
pub fn seed<'a>(sources: impl IntoIterator<Item = &'a Source>) -> Value {
    let mut seed = crate::source::seed(sources);
    seed["ec2Aliases"][SUBNET] = json!({
        "cidrBlock": "172.31.220.0/24", "account": OTHER.account, "region": OTHER.region,
    });
    seed
}

/// Wakes the sweep every second, until it is aborted. MGN's events of another account go to that account's bus; the
/// schedule would come round in a minute.
pub fn wake(stack: &Stack) -> JoinHandle<()> {
    let events = stack.events.clone();
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(std::time::Duration::from_secs(1));
        // Each tick is a sweep: what a stall has left out is not made up for at once.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let entry = PutEventsRequestEntry::builder()
                .source("simulator.mgn")
                .detail_type("MGN Source Server Launch Result")
                .detail("{}");
            // One that is lost is followed by another.
            let _ = events.put_events().entries(entry.build()).send().await;
        }
    })
}
