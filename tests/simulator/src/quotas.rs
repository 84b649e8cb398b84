//! Service Quotas, for MGN's quotas and the EC2 one that launches depend on.

use serde_json::{Value, json};

use crate::error::{ApiError, ApiResult};
use crate::world::World;
use crate::world::place::Place;
use crate::world::quota::{QUOTAS, Quota};

const VCPUS: Quota = Quota {
    code: "L-1216C47A",
    name: "Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances",
    value: 640,
    adjustable: true,
};

/// Whether there is a quota of this code.
pub fn known(code: &str) -> bool {
    QUOTAS.iter().chain([&VCPUS]).any(|q| q.code == code)
}

/// Answers one operation.
pub fn answer(world: &World, operation: &str, input: &Value) -> ApiResult {
    let service = input["ServiceCode"].as_str().unwrap_or_default();
    let quotas: &[Quota] = match service {
        "mgn" => &QUOTAS,
        "ec2" => &[VCPUS],
        _ => {
            return Err(ApiError::new(
                "NoSuchResourceException",
                400,
                format!("The service `{service}` is not simulated: choose mgn or ec2."),
            ));
        }
    };
    // The defaults are AWS's; what an account has been given stands only in its own list.
    let defaults = operation.contains("AWSDefault");
    let Place { account, region } = &world.place;
    let shown = |quota: &Quota| {
        let quota = if defaults { *quota } else { world.quota(quota) };
        json!({
            "ServiceCode": service, "ServiceName": if service == "mgn" { "AWS Application Migration Service" } else { "Amazon EC2" },
            "QuotaArn": format!("arn:aws:servicequotas:{region}:{account}:{service}/{}", quota.code),
            "QuotaCode": quota.code, "QuotaName": quota.name, "Value": f64::from(quota.value), "Unit": "None",
            "Adjustable": quota.adjustable, "GlobalQuota": false,
        })
    };
    match operation {
        "GetServiceQuota" | "GetAWSDefaultServiceQuota" => {
            let code = input["QuotaCode"].as_str().unwrap_or_default();
            let found = quotas.iter().find(|quota| quota.code == code);
            let missing = || {
                ApiError::new(
                    "NoSuchResourceException",
                    400,
                    format!("The service {service} has no quota {code}."),
                )
            };
            Ok(json!({"Quota": shown(found.ok_or_else(missing)?)}))
        }
        "ListServiceQuotas" | "ListAWSDefaultServiceQuotas" => {
            Ok(json!({"Quotas": quotas.iter().map(shown).collect::<Vec<_>>()}))
        }
        other => Err(ApiError::new(
            "UnknownOperationException",
            400,
            format!("{other} is not simulated."),
        )),
    }
}
