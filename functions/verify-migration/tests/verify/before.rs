//! What is looked at just before the cutover.

use std::sync::{Arc, Mutex};

use aws_sdk_ec2::operation::describe_launch_template_versions as versions;
use aws_sdk_ec2::types::{LaunchTemplateVersion, ResponseLaunchTemplateData};
use aws_sdk_mgn::operation::{
    get_launch_configuration as launch, get_replication_configuration as replication,
};
use aws_smithy_mocks::{RuleMode, mock_client};
use landfall_common::state::Change;
use landfall_domain::record::TestEvidence;
use landfall_domain::{ErrorName, EventType, MigrationRecord, StageError, Status};
use landfall_mgn::Mgn;
use serde_json::{Value, json};
use verify_migration::{Deps, handle};

use crate::receiver::Receiver;
use crate::stage::Stage;
use crate::support::{self, Fault, answer, invocation, stage_input};

/// A tested server that is about to be cut over, and its launch template.
struct Before {
    stage: Stage,
    instance_type: Arc<Mutex<&'static str>>,
}

impl Before {
    /// Tested yesterday with what the template has.
    async fn new(steps: Value, change: impl FnOnce(&mut MigrationRecord)) -> Self {
        let before = Self {
            stage: Stage::new(Status::ReadyForCutover, &[200]).await,
            instance_type: Arc::new(Mutex::new("t3.large")),
        };
        let deps = before.deps();
        let fault = ErrorName::CutoverError;
        let present = landfall_launch::present(&deps.ec2, &deps.mgn, "s-mig-1", fault).await;
        let digest = present.unwrap().settings.digest().unwrap();
        let aws = &before.stage.aws;
        aws.change("mig-1", |record| {
            record.done.cutover = None;
            record.request.steps = serde_json::from_value(steps).unwrap();
            record.request.health_checks.clear();
            record.test_evidence = Some(TestEvidence {
                settings_digest: record.request.launch_settings_digest().unwrap(),
                effective_digest: Some(digest),
                verified_at: "2026-11-20T12:00:00Z".into(),
                job_id: "mgnjob-1".into(),
            });
            change(record);
        })
        .await;
        before
    }

    fn deps(&self) -> Deps {
        let calls = &self.stage.aws.calls;
        let kind = &self.instance_type;
        let launch = answer!(
            calls,
            _kind = kind,
            aws_sdk_mgn::Client::get_launch_configuration,
            launch::GetLaunchConfigurationError,
            "GetLaunchConfiguration",
            |_input| Ok(launch::GetLaunchConfigurationOutput::builder()
                .ec2_launch_template_id("lt-1")
                .target_instance_type_right_sizing_method("NONE".into())
                .build())
        );
        let replication = answer!(
            calls,
            _kind = kind,
            aws_sdk_mgn::Client::get_replication_configuration,
            replication::GetReplicationConfigurationError,
            "GetReplicationConfiguration",
            |_input| Ok(replication::GetReplicationConfigurationOutput::builder().build())
        );
        let versions = answer!(
            calls,
            kind = kind,
            aws_sdk_ec2::Client::describe_launch_template_versions,
            versions::DescribeLaunchTemplateVersionsError,
            "DescribeLaunchTemplateVersions",
            |_input| {
                let data = ResponseLaunchTemplateData::builder()
                    .instance_type((*kind).into())
                    .build();
                let version = LaunchTemplateVersion::builder()
                    .version_number(2)
                    .default_version(true)
                    .launch_template_data(data)
                    .build();
                Ok(versions::DescribeLaunchTemplateVersionsOutput::builder()
                    .launch_template_versions(version)
                    .build())
            }
        );
        let mut deps = self.stage.deps();
        deps.mgn = Mgn::with_client(mock_client!(
            aws_sdk_mgn,
            RuleMode::MatchAny,
            [&launch, &replication]
        ));
        deps.ec2 = mock_client!(aws_sdk_ec2, RuleMode::MatchAny, [&versions]);
        deps
    }

    async fn look(&self) -> Result<Value, StageError> {
        let event = stage_input("mig-1", json!({ "phase": "baseline" }));
        handle(&self.deps(), event, invocation("request-1")).await
    }

    fn change_by_hand(&self) {
        *self.instance_type.lock().unwrap() = "m5.metal";
    }

    /// The evidence of the only event.
    async fn told(&self, event: &str) -> Value {
        assert_eq!(self.stage.aws.happened("mig-1").await, [event]);
        let (_, detail) = self.stage.aws.events.lock().unwrap()[0].clone();
        detail["evidence"].clone()
    }
}

fn all() -> Value {
    json!(["freeze", "replicate", "validate", "switch"])
}

#[tokio::test]
async fn a_test_that_covers_the_cutover_clears_the_way_once() {
    for steps in [all(), json!(["switch"])] {
        let before = Before::new(steps, |_| {}).await;
        for _ in 0..2 {
            let output = before.look().await.unwrap();
            assert_eq!(output, json!({ "status": "READY_FOR_CUTOVER" }));
        }
        let evidence = before.told("CutoverCleared").await;
        assert_eq!(evidence["test"]["jobId"], "mgnjob-1", "{evidence}");
        assert!(evidence.get("override").is_none() && evidence.get("findings").is_none());
        // Once it is launched, nothing is asked for any more.
        let aws = &before.stage.aws;
        let change = Change::to(Status::CuttingOver, EventType::CutoverLaunchStarted);
        let record = aws.record("mig-1").await;
        let store = aws.store();
        let moved = store.transition(record, &change, support::now()).await;
        moved.unwrap();
        before.change_by_hand();
        before.look().await.unwrap();
    }
}

#[tokio::test]
async fn a_template_that_was_changed_by_hand_since_the_test_refuses_the_cutover() {
    for steps in [all(), json!(["switch"])] {
        let before = Before::new(steps, |_| {}).await;
        before.change_by_hand();
        for _ in 0..2 {
            let error = before.look().await.unwrap_err();
            assert_eq!(error.name, ErrorName::CutoverError);
            assert_eq!(error.findings[0].code, "LAUNCH_SETTINGS_CHANGED_SINCE_TEST");
            // The request says what it was: t3.large.
            let said = "instanceType is \"m5.metal\" and should be \"t3.large\"";
            assert!(error.findings[0].message.contains(said), "{error:?}");
        }
        let evidence = before.told("CutoverRefused").await;
        assert_eq!(evidence["findings"][0]["severity"], "blocking");
        let record = before.stage.aws.record("mig-1").await;
        assert_eq!(record.failure.unwrap().error, "CutoverError");
        assert_eq!(record.done.baseline, None);
    }
}

#[tokio::test]
async fn a_test_that_is_missing_or_too_old_by_now_refuses_the_cutover() {
    let missing = |record: &mut MigrationRecord| record.test_evidence = None;
    let old = |record: &mut MigrationRecord| {
        let evidence = record.test_evidence.as_mut().unwrap();
        evidence.verified_at = "2026-10-01T12:00:00Z".into();
    };
    let changes: [(fn(&mut MigrationRecord), &str); 2] =
        [(missing, "TEST_MISSING"), (old, "TEST_TOO_OLD")];
    for (change, code) in changes {
        let before = Before::new(all(), change).await;
        let error = before.look().await.unwrap_err();
        assert_eq!(error.name, ErrorName::CutoverError);
        let codes: Vec<_> = error.findings.iter().map(|it| it.code.as_str()).collect();
        assert_eq!(codes, [code]);
    }
}

#[tokio::test]
async fn what_is_overridden_after_the_gate_is_in_the_history_too() {
    let before = Before::new(json!(["switch"]), |record| {
        record.request.policy.allow_untested_cutover = true;
        record.request.policy.untested_cutover_reason = Some("the site closes tonight".into());
    })
    .await;
    before.look().await.unwrap();
    let first = before.told("CutoverCleared").await;
    assert!(first.get("override").is_none(), "{first}");
    // Weeks later.
    before.change_by_hand();
    before.look().await.unwrap();
    before.look().await.unwrap();
    let happened = before.stage.aws.happened("mig-1").await;
    assert_eq!(happened, ["CutoverCleared", "CutoverCleared"]);
    let record = before.stage.aws.record("mig-1").await;
    let codes: Vec<_> = record
        .done
        .warnings
        .iter()
        .map(|it| it.code.as_str())
        .collect();
    assert_eq!(codes, ["LAUNCH_SETTINGS_CHANGED_SINCE_TEST"]);
}

#[tokio::test]
async fn what_the_request_overrides_is_in_the_history_with_its_reason() {
    let before = Before::new(json!(["switch"]), |record| {
        record.request.policy.allow_untested_cutover = true;
        record.request.policy.untested_cutover_reason = Some("the site closes tonight".into());
        let evidence = record.test_evidence.as_mut().unwrap();
        evidence.verified_at = "2026-10-01T12:00:00Z".into();
    })
    .await;
    before.change_by_hand();
    before.look().await.unwrap();
    before.look().await.unwrap();
    let evidence = before.told("CutoverCleared").await;
    let gates = json!(["LAUNCH_SETTINGS_CHANGED_SINCE_TEST", "TEST_TOO_OLD"]);
    assert_eq!(evidence["override"]["gates"], gates);
    assert_eq!(evidence["override"]["reason"], "the site closes tonight");
    assert_eq!(evidence["findings"][0]["severity"], "warning");
    assert_eq!(evidence["findings"][1]["found"], "2026-10-01T12:00:00Z");
    assert_eq!(evidence["test"]["verifiedAt"], "2026-10-01T12:00:00Z");
    // And in the record, for whatever is told later.
    let record = before.stage.aws.record("mig-1").await;
    assert_eq!(record.done.warnings.len(), 2);
}

#[tokio::test]
async fn the_source_is_measured_and_one_that_fails_is_told() {
    let source = Receiver::start(&[204]);
    // Nobody is given the discard port who asks for a free one.
    let (url, gone) = (format!("{}/", source.url), "http://127.0.0.1:9/".to_owned());
    let check = |from: &str| {
        json!({
            "kind": "http", "url": "http://{privateIp}/", "expectedStatus": [200, 204], "source": {"url": from},
        })
    };
    let checks = json!([check(&url), {"kind": "tcp", "host": "a", "port": 1}, check(&gone)]);
    let before = Before::new(all(), |record| {
        record.request.health_checks = serde_json::from_value(checks).unwrap();
    })
    .await;
    before.look().await.unwrap();
    before.look().await.unwrap();
    assert_eq!(source.requests().len(), 3, "once, and three times then");
    let evidence = before.told("CutoverCleared").await;
    assert_eq!(evidence["source"][0]["answer"]["status"], 204, "{evidence}");
    assert!(evidence["source"][1].get("answer").is_none(), "{evidence}");
    assert_eq!(evidence["findings"][0]["code"], "SOURCE_CHECK_FAILED");
    let baseline = before
        .stage
        .aws
        .record("mig-1")
        .await
        .done
        .baseline
        .unwrap();
    assert_eq!(baseline.of(0).unwrap().status, 204);
    assert_eq!((baseline.of(1), baseline.of(2)), (None, None));
}

#[tokio::test]
async fn a_target_that_answers_otherwise_than_the_source_fails() {
    for (status, passes) in [(204, false), (200, true)] {
        let stage = Stage::new(Status::CuttingOver, &[200]).await;
        let url = format!("{}/", stage.target.url);
        let source = json!({"url": "http://10.9.0.10/"});
        let check = json!({"kind": "http", "url": url, "expectedStatus": [200, 204], "attempts": 1, "source": source});
        let stage = stage.checked_by(json!([check])).await;
        stage
            .aws
            .change("mig-1", |record| {
                let answer = json!({"status": status, "millis": 5});
                let sample =
                    json!({"check": 0, "url": "http://10.9.0.10/", "answer": answer, "seen": "x"});
                let baseline = json!({"at": support::now().to_string(), "samples": [sample]});
                record.done.baseline = serde_json::from_value(baseline).unwrap();
            })
            .await;
        let said = stage.verify("cutover", 0).await;
        assert_eq!(said.is_ok(), passes, "{said:?}");
        if let Err(error) = said {
            assert_eq!(error.name, ErrorName::VerificationError);
            let message = &error.findings[0].message;
            assert!(
                message.contains("the source answered 204 before"),
                "{message}"
            );
        }
    }
}

#[tokio::test]
async fn every_call_may_fail_once_and_the_way_is_cleared_once() {
    let calls = {
        let before = Before::new(all(), |_| {}).await;
        let earlier = before.stage.aws.calls.made().len();
        before.look().await.unwrap();
        before.stage.aws.calls.made().split_off(earlier)
    };
    assert!(calls.contains(&"GetReplicationConfiguration"), "{calls:?}");
    for (nth, call) in calls.iter().enumerate() {
        for fault in Fault::ALL {
            let case = format!("call {nth} {call} {fault:?}");
            let before = Before::new(all(), |_| {}).await;
            before.stage.aws.calls.fail_nth(nth, fault);
            let error = before.look().await.unwrap_err();
            let expected = match (*call, fault) {
                (_, Fault::Unavailable | Fault::AnswerLost) => ErrorName::DependencyUnavailable,
                ("GetLaunchConfiguration" | "GetReplicationConfiguration", _)
                | ("DescribeLaunchTemplateVersions", _) => ErrorName::CutoverError,
                _ => ErrorName::InternalError,
            };
            assert_eq!(error.name, expected, "{case}: {error}");
            before.look().await.unwrap();
            let happened = before.stage.aws.happened("mig-1").await;
            assert_eq!(happened, ["CutoverCleared"], "{case}");
        }
    }
}
