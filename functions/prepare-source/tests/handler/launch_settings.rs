//! The state `ConfigureLaunch` as a whole, against AWS in memory.

use crate::world::replicated;
use aws_sdk_ec2::types::LaunchTemplateHttpTokensState;
use landfall_domain::{ErrorName, Status};
use serde_json::json;

#[tokio::test]
async fn the_request_s_settings_become_the_default_version() {
    let stage = replicated(json!({}));
    let output = stage.configure().await.unwrap();
    let record = stage.record();
    let digest = record.request.launch_settings_digest().unwrap();
    assert_eq!(output, json!({ "settingsDigest": digest }));
    assert_eq!(record.status, Status::ReadyForTest);
    let change = record.done.launch_template.unwrap();
    assert_eq!((change.previous_version, change.version), (1, 2));
    assert_eq!(change.template_id, "lt-00000000000000001");
    let world = stage.world();
    assert_eq!(world.default_version(), 2);
    let data = &world.created[0];
    assert_eq!(data.instance_type().unwrap().as_str(), "t3.large");
    let interface = &data.network_interfaces()[0];
    assert_eq!(interface.subnet_id(), Some("subnet-0a1b2c3d"));
    assert_eq!(interface.groups(), ["sg-0a1b2c3d"]);
    let tokens = data.metadata_options().unwrap().http_tokens();
    assert_eq!(tokens, Some(&LaunchTemplateHttpTokensState::Required));
    assert_eq!(
        world.calls,
        [
            "GetItem",
            "GetLaunchConfiguration",
            "TransactWriteItems",
            "UpdateLaunchConfiguration",
            "DescribeLaunchTemplateVersions",
            "CreateLaunchTemplateVersion",
            "TransactWriteItems",
            "ModifyLaunchTemplate",
        ]
    );
}

#[tokio::test]
async fn a_second_run_finds_it_done() {
    let stage = replicated(json!({}));
    let first = stage.configure().await;
    assert_eq!(first, stage.configure().await);
    let world = stage.world();
    assert_eq!(world.created.len(), 1);
    assert_eq!(world.count("ModifyLaunchTemplate"), 1);
}

#[tokio::test]
async fn right_sizing_is_noted_before_it_is_switched_off_and_the_first_note_stays() {
    let stage = replicated(json!({}));
    // The note is written, and the change is refused.
    stage.world().failing = Some(("UpdateLaunchConfiguration", 1));
    stage.configure().await.unwrap_err();
    assert_eq!(stage.record().done.right_sizing.as_deref(), Some("BASIC"));
    assert_eq!(stage.world().right_sizing, "BASIC");
    stage.configure().await.unwrap();
    stage.configure().await.unwrap();
    assert_eq!(stage.record().done.right_sizing.as_deref(), Some("BASIC"));
    assert_eq!(stage.world().right_sizing, "NONE");
    assert_eq!(stage.world().count("UpdateLaunchConfiguration"), 2);
}

#[tokio::test]
async fn right_sizing_that_is_off_already_is_left_and_not_noted() {
    let stage = replicated(json!({}));
    stage.world().right_sizing = "NONE".into();
    stage.configure().await.unwrap();
    assert_eq!(stage.world().count("UpdateLaunchConfiguration"), 0);
    assert_eq!(stage.record().done.right_sizing, None);
}

#[tokio::test]
async fn without_an_instance_type_mgn_s_recommendation_stays() {
    let stage = replicated(json!({"instanceType": null}));
    stage.configure().await.unwrap();
    let world = stage.world();
    assert_eq!(world.count("UpdateLaunchConfiguration"), 0);
    assert_eq!(world.created[0].instance_type(), None);
}

#[tokio::test]
async fn each_call_may_fail_once() {
    let refused = ErrorName::SourcePreparationError;
    for (call, name) in [
        ("GetItem", ErrorName::InternalError),
        ("UpdateLaunchConfiguration", refused),
        ("GetLaunchConfiguration", refused),
        ("DescribeLaunchTemplateVersions", refused),
        ("CreateLaunchTemplateVersion", refused),
        ("TransactWriteItems", ErrorName::InternalError),
        ("ModifyLaunchTemplate", refused),
    ] {
        let stage = replicated(json!({}));
        stage.world().failing = Some((call, 1));
        let error = stage.configure().await.unwrap_err();
        assert_eq!(error.name, name, "{call}: {error}");
        stage.configure().await.unwrap();
        // Whatever was lost, one version is made, and the one to go back to is the first.
        assert_eq!(stage.world().created.len(), 1, "{call}");
        assert_eq!(stage.world().default_version(), 2, "{call}");
        let change = stage.record().done.launch_template.unwrap();
        assert_eq!((change.previous_version, change.version), (1, 2), "{call}");
    }
}

#[tokio::test]
async fn the_template_does_not_move_under_a_launch() {
    let stage = replicated(json!({}));
    stage.change_record(|record| record.status = Status::Testing);
    stage.configure().await.unwrap();
    assert_eq!(stage.world().calls, ["GetItem"]);
}

#[tokio::test]
async fn a_server_must_be_known() {
    let stage = replicated(json!({}));
    stage.change_record(|record| record.source_server_id = None);
    let error = stage.configure().await.unwrap_err();
    assert_eq!(error.name, ErrorName::InternalError);
}
