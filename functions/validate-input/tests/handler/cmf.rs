//! The plan in Cloud Migration Factory, as the whole function sees it.

use landfall_domain::cmf::Weight;
use serde_json::json;

use crate::factory;
use crate::world::Stage;

/// What Cloud Migration Factory has of the canonical request, the wave's name given.
fn plan(wave: &str) -> serde_json::Value {
    json!({
        "wave": [{"wave_id": "3", "wave_name": wave}],
        "app": [{"app_id": "5", "app_name": "billing-app", "wave_id": "3"}],
        "server": [{"server_id": "7", "server_name": "vm-123456", "app_id": "5"}],
    })
}

#[tokio::test]
async fn what_cloud_migration_factory_lacks_is_told_or_stops_the_migration_as_the_deployment_says()
{
    for (weight, stops) in [(Weight::Told, false), (Weight::Required, true)] {
        let factory = factory::Cmf::serve(plan("wave-2")).await;
        let mut stage = Stage::new(json!({}));
        stage.deps.cmf = Some(factory.access(weight));
        let result = stage.run().await;
        assert_eq!(result.is_err(), stops, "{result:?}");
        let world = stage.world();
        let (event, detail) = &world.events[0];
        let name = if stops {
            "ValidationFailed"
        } else {
            "ValidationPassed"
        };
        assert_eq!(event, name);
        let finding = &detail["evidence"]["findings"][0];
        assert_eq!(finding["code"], "CMF_WAVE_NOT_FOUND");
        assert_eq!(finding["pointer"], "/wave");
        // It only looks.
        let calls = factory.factory().calls.clone();
        assert!(
            calls.iter().all(|call| call.starts_with("GET ")),
            "{calls:?}"
        );
    }
}

#[tokio::test]
async fn a_plan_that_fits_says_nothing_and_one_that_cannot_be_read_says_so() {
    let factory = factory::Cmf::serve(plan("wave-3")).await;
    let mut stage = Stage::new(json!({}));
    stage.deps.cmf = Some(factory.access(Weight::Required));
    stage.run().await.unwrap();
    assert!(stage.world().events[0].1.get("evidence").is_none());

    factory.factory().faults = vec![("GET /user/app", 503)];
    for (weight, stops) in [(Weight::Told, false), (Weight::Required, true)] {
        let mut stage = Stage::new(json!({}));
        stage.deps.cmf = Some(factory.access(weight));
        let result = stage.run().await;
        assert_eq!(result.is_err(), stops, "{result:?}");
        let told = stage.world().events[0].1["evidence"]["findings"][0].clone();
        assert_eq!(told["code"], "CMF_UNREACHABLE");
        assert!(
            told["message"].as_str().unwrap().contains("answered 503"),
            "{told}"
        );
    }
}
