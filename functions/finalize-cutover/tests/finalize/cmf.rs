//! Word to Cloud Migration Factory at the end, and what becomes of it where it cannot be given.

use landfall_domain::cmf::Weight;
use landfall_domain::{ErrorName, Finding, Status};
use serde_json::json;

use crate::Stage;
use crate::world::Fault;

#[tokio::test]
async fn what_cloud_migration_factory_does_not_take_stops_only_who_requires_it() {
    for (weight, status) in [(Weight::Told, "SUCCEEDED"), (Weight::Required, "")] {
        let mut stage = Stage::new().await;
        stage.deps.cmf.as_mut().unwrap().weight = weight;
        let index = {
            let probe = Stage::new().await;
            probe.finish().await.unwrap();
            let world = probe.parts.world();
            world.calls.iter().position(|it| it == "cmf:PUT:7").unwrap()
        };
        stage.parts.world().fault = Some((index, Fault::Refused));
        let result = stage.finish().await;
        let world = stage.parts.world();
        if status.is_empty() {
            assert_eq!(result.unwrap_err().name, ErrorName::CutoverError);
            assert_eq!(world.finalized, 0);
            continue;
        }
        assert_eq!(result.unwrap()["status"], status);
        let evidence = &world.events.last().unwrap().1["evidence"];
        assert_eq!(evidence["findings"][0]["code"], "CMF_NOT_UPDATED");
        let steps = evidence["steps"].as_array().unwrap();
        let step = steps.iter().find(|step| step["step"] == "CMF").unwrap();
        assert!(
            step["evidence"]
                .as_str()
                .unwrap()
                .starts_with("left to a person"),
            "{step}"
        );
        assert_eq!(world.record().done.warnings.len(), 1);
    }
}

#[tokio::test]
async fn what_was_to_be_said_before_is_said_at_the_end() {
    for phase in ["finalize", "complete"] {
        let stage = Stage::new().await;
        stage.parts.change_record(|record| {
            let finding = Finding::warning("CMF_SERVER_NOT_FOUND", "/sourceVmId", "no server vm-1");
            record.done.warn(finding);
            record.done.cmf = None;
            if phase == "complete" {
                record.status = Status::ReadyForCutover;
            }
        });
        if phase == "complete" {
            stage.run(json!({ "phase": phase })).await.unwrap();
        } else {
            stage.finish().await.unwrap();
        }
        let world = stage.parts.world();
        let evidence = &world.events.last().unwrap().1["evidence"];
        assert_eq!(
            evidence["findings"][0]["code"], "CMF_SERVER_NOT_FOUND",
            "{phase}"
        );
    }
}
