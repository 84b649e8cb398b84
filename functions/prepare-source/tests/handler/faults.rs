//! Every call of both states fails once, before its effect or after it, and the next run makes it good.

use landfall_domain::Status;
use serde_json::{Value, json};

use crate::world::{Fault, Stage, replicated};

/// What one of the states does, as often as the workflow runs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// `PrepareSource`, with a snapshot, Cloud Migration Factory and an agent.
    Prepare,
    /// The same, run again after the agent was sent and nobody noted it.
    PrepareAgain,
    /// `ConfigureLaunch`.
    Configure,
}

impl State {
    async fn stage(self) -> Stage {
        match self {
            Self::Prepare => Stage::with_outside(json!({})).await,
            Self::PrepareAgain => {
                let stage = Stage::with_outside(json!({})).await;
                stage.prepare().await.unwrap();
                stage.change_record(|record| record.done.agent_command = None);
                stage.world().calls.clear();
                stage
            }
            Self::Configure => replicated(json!({})),
        }
    }

    async fn run(self, stage: &Stage) -> bool {
        let result = match self {
            Self::Prepare | Self::PrepareAgain => stage.prepare().await,
            Self::Configure => stage.configure().await,
        };
        result.is_ok()
    }
}

/// What there is in the end: in the record, on the source, in AWS and in what others keep.
fn end(stage: &Stage) -> Value {
    let world = stage.world();
    let record = world.record();
    json!({
        "status": record.status, "done": record.done, "failure": record.failure,
        "commands": world.sent.len(), "snapshots": world.snapshots, "cmf": world.cmf,
        "versions": world.created.len(), "default": world.default_version(), "rightSizing": world.right_sizing,
    })
}

#[tokio::test]
async fn every_call_may_fail_once_and_the_next_run_makes_it_good() {
    for state in [State::Prepare, State::PrepareAgain, State::Configure] {
        let (calls, expected) = {
            let stage = state.stage().await;
            assert!(state.run(&stage).await, "{state:?}");
            let calls = stage.world().calls.clone();
            (calls, end(&stage))
        };
        if state == State::Configure {
            assert_eq!(
                (&expected["versions"], &expected["default"]),
                (&json!(1), &json!(2))
            );
        } else {
            assert_eq!(expected["status"], json!(Status::Preparing));
            assert_eq!(expected["commands"], 1);
            assert_eq!(expected["snapshots"].as_array().unwrap().len(), 1);
        }
        let needed: &[&str] = match state {
            State::Prepare => &[
                "GetItem",
                "TransactWriteItems",
                "PutEvents",
                "GetSecretValue",
                "azure:token",
                "azure:describe",
                "azure:snapshot",
                "cmf:login",
                "cmf:list",
                "cmf:server",
                "cmf:wave",
                "DescribeSourceServers",
                "DescribeInstanceInformation",
                "SendCommand",
            ],
            State::PrepareAgain => &["ListCommandInvocations"],
            State::Configure => &[
                "GetLaunchConfiguration",
                "UpdateLaunchConfiguration",
                "DescribeLaunchTemplateVersions",
                "CreateLaunchTemplateVersion",
                "ModifyLaunchTemplate",
            ],
        };
        for call in needed {
            assert!(
                calls.contains(call),
                "{state:?} does without {call}: {calls:?}"
            );
        }
        for (index, call) in calls.iter().enumerate() {
            for fault in Fault::ALL {
                let what = format!("{state:?}: {call} ({index}) {fault:?}");
                let stage = state.stage().await;
                stage.world().fault = Some((index, fault));
                assert!(!state.run(&stage).await, "{what}: the fault was not met");
                assert!(
                    state.run(&stage).await,
                    "{what}: the next run fails as well"
                );
                assert_eq!(end(&stage), expected, "{what}");
            }
        }
    }
}
