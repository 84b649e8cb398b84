//! The source's power, on each of its platforms.

use finalize_cutover::handle;
use landfall_domain::ErrorName;
use serde_json::json;

use crate::Stage;
use crate::world::{self, Fault};

#[tokio::test]
async fn a_source_is_powered_off_wherever_it_runs() {
    for (kind, order) in [
        ("vsphere", "vsphere:POST:power"),
        ("ec2", "source:StopInstances"),
    ] {
        let stage = Stage::on(kind).await;
        stage.finish().await.unwrap();
        stage.assert_moved(kind);
        let calls = stage.parts.world().calls.clone();
        let at = |call: &str| calls.iter().position(|c| c == call).unwrap();
        assert!(at(order) < at("FinalizeCutover"), "{calls:?}");
        for (index, call) in calls.iter().enumerate() {
            // What comes before and after is no other than with Azure.
            if !call.starts_with("vsphere:") && !call.starts_with("source:") {
                continue;
            }
            for fault in [Fault::Unavailable, Fault::Lost] {
                let stage = Stage::on(kind).await;
                stage.parts.world().fault = Some((index, fault));
                let what = format!("{call} ({index}) {fault:?}");
                stage
                    .finish()
                    .await
                    .unwrap_or_else(|error| panic!("{what}: {error}"));
                stage.assert_moved(&what);
            }
        }
    }
}

#[tokio::test]
async fn a_source_that_does_not_shut_down_is_cut_off_in_the_end_and_not_before() {
    let stage = Stage::on("vsphere").await;
    stage.parts.world().hangs = true;
    let late = |minutes: i64| {
        let now = world::invocation().now + jiff::SignedDuration::from_mins(minutes);
        world::at(&now.to_string())
    };
    for minutes in [0, 1, 4] {
        let error = handle(&stage.deps, world::event(json!({})), late(minutes))
            .await
            .unwrap_err();
        assert_eq!(error.name, ErrorName::DependencyUnavailable, "{error}");
        assert_ne!(stage.parts.world().power, "deallocated", "{minutes}");
    }
    handle(&stage.deps, world::event(json!({})), late(6))
        .await
        .unwrap();
    stage.assert_moved("cut off");
}

#[tokio::test]
async fn a_person_is_told_of_the_power_off_before_the_users_move() {
    for (kind, told) in [
        ("ec2", "to be done"),
        (
            "none",
            "left to a person: the request names no sourceControl that could power the source off",
        ),
    ] {
        let stage = Stage::on(kind).await;
        stage.finish().await.unwrap();
        let world = stage.parts.world();
        let (name, begin) = &world.events[0];
        assert_eq!(name, "FinalizeStarted");
        assert_eq!(begin["evidence"]["sourcePowerOff"], told);
        let steps = world.events[1].1["evidence"]["steps"].to_string();
        assert_eq!(steps.contains(told), kind == "none", "{steps}");
    }
}

#[tokio::test]
async fn a_source_that_somebody_else_switched_off_is_not_ours_to_start_again() {
    let stage = Stage::new().await;
    stage.parts.world().power = "deallocated".into();
    stage.finish().await.unwrap();
    let world = stage.parts.world();
    assert_eq!(world.count("azure:POST:deallocate"), 0);
    assert_eq!(world.record().done.source_powered_off_at, None);
}
