//! Word to Cloud Migration Factory, and what becomes of it where it cannot be given.

use landfall_domain::ErrorName;
use serde_json::json;

use crate::world::{Fault, Stage};

#[tokio::test]
async fn a_wave_that_is_further_is_left_and_a_server_that_is_planned_elsewhere_is_told() {
    let stage = Stage::with_outside(json!({})).await;
    stage.world().cmf["wave"][0]["wave_status"] = "Blocked".into();
    stage.prepare().await.unwrap();
    assert_eq!(stage.record().done.cmf_wave, None);
    let statuses = ("Landfall: preparing", "Blocked");
    assert_eq!(stage.world().cmf_statuses(), statuses);

    let stage = Stage::with_outside(json!({})).await.not_requiring_cmf();
    stage.world().cmf["app"][0]["app_name"] = "crm".into();
    stage.prepare().await.unwrap();
    let done = stage.record().done;
    let codes: Vec<&str> = done.warnings.iter().map(|it| it.code.as_str()).collect();
    assert_eq!(codes, ["CMF_APP_NOT_FOUND", "CMF_SERVER_ELSEWHERE"]);
    // It is the same machine all the same.
    let statuses = ("Landfall: preparing", "Planning");
    assert_eq!(stage.world().cmf_statuses(), statuses);
}

#[tokio::test]
async fn a_deployment_that_requires_cloud_migration_factory_stops_without_its_records() {
    let stage = Stage::with_outside(json!({"wave": "wave-9"})).await;
    let error = stage.prepare().await.unwrap_err();
    assert_eq!(error.name, ErrorName::SourcePreparationError);
    assert_eq!(error.findings[0].code, "CMF_WAVE_NOT_FOUND");
    let world = stage.world();
    assert_eq!(world.cmf_statuses(), ("Not started", "Planning"));
    assert!(world.sent.is_empty());
}

#[tokio::test]
async fn one_that_does_not_goes_on_and_keeps_what_is_to_be_said() {
    for (call, code, told) in [
        ("cmf:login", "CMF_UNREACHABLE", "signing in"),
        ("cmf:list", "CMF_UNREACHABLE", "listing every"),
        ("cmf:server", "CMF_NOT_UPDATED", "the server web-01"),
        ("cmf:wave", "CMF_NOT_UPDATED", "the wave wave-3"),
    ] {
        for fault in Fault::ALL {
            let stage = Stage::with_outside(json!({})).await.not_requiring_cmf();
            let index = {
                let probe = Stage::with_outside(json!({})).await;
                probe.prepare().await.unwrap();
                let world = probe.world();
                world.calls.iter().position(|it| *it == call).unwrap()
            };
            stage.world().fault = Some((index, fault));
            stage.prepare().await.unwrap();
            let done = stage.record().done;
            let what = format!("{call} {fault:?}: {:?}", done.warnings);
            assert_eq!(done.warnings.len(), 1, "{what}");
            assert_eq!(done.warnings[0].code, code, "{what}");
            assert!(done.warnings[0].message.contains(told), "{what}");
            assert!(!done.warnings[0].is_blocking(), "{what}");
            assert_eq!(stage.world().sent.len(), 1, "{what}");
            // The next run gets through, and there is nothing to be said any more.
            stage.prepare().await.unwrap();
            assert_eq!(stage.record().done.warnings, [], "{what}");
            let statuses = ("Landfall: preparing", "In progress");
            assert_eq!(stage.world().cmf_statuses(), statuses, "{what}");
        }
    }
}
