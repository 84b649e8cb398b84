//! Step Functions' task tokens.
#![allow(dead_code, reason = "each test takes the part it needs")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use aws_sdk_sfn::operation::{
    describe_execution as execution, send_task_failure as failure, send_task_heartbeat as beat,
    send_task_success as success,
};
use aws_smithy_mocks::{RuleMode, mock_client};
use serde_json::Value;

use crate::support::{Calls, answer, refusal};

/// How a task ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// With its output.
    Succeeded(Value),
    /// With its error and cause.
    Failed(String, String),
}

/// Ended tasks by token: a token works once. An execution that has ended stands here by its ARN, its status as the
/// error.
pub(crate) type Tasks = BTreeMap<String, Ended>;

fn used<E>(tasks: &Tasks, token: &str, error: E) -> Result<(), E> {
    if tasks.contains_key(token) {
        Err(error)
    } else {
        Ok(())
    }
}

pub(crate) fn sfn(tasks: &Arc<Mutex<Tasks>>, calls: &Calls) -> aws_sdk_sfn::Client {
    use aws_sdk_sfn::Client;
    let succeed = answer!(
        calls,
        tasks = tasks,
        Client::send_task_success,
        success::SendTaskSuccessError,
        "SendTaskSuccess",
        |input| {
            let token = input.task_token().unwrap();
            used(
                tasks,
                token,
                refusal!(success::SendTaskSuccessError, "TaskTimedOut"),
            )?;
            let output = serde_json::from_str(input.output().unwrap()).unwrap();
            tasks.insert(token.to_owned(), Ended::Succeeded(output));
            Ok(success::SendTaskSuccessOutput::builder().build())
        }
    );
    let fail = answer!(
        calls,
        tasks = tasks,
        Client::send_task_failure,
        failure::SendTaskFailureError,
        "SendTaskFailure",
        |input| {
            let token = input.task_token().unwrap();
            used(
                tasks,
                token,
                refusal!(failure::SendTaskFailureError, "TaskTimedOut"),
            )?;
            let text = |value: Option<&str>| value.unwrap().to_owned();
            let ended = Ended::Failed(text(input.error()), text(input.cause()));
            tasks.insert(token.to_owned(), ended);
            Ok(failure::SendTaskFailureOutput::builder().build())
        }
    );
    let beat = answer!(
        calls,
        tasks = tasks,
        Client::send_task_heartbeat,
        beat::SendTaskHeartbeatError,
        "SendTaskHeartbeat",
        |input| {
            used(
                tasks,
                input.task_token().unwrap(),
                refusal!(beat::SendTaskHeartbeatError, "TaskTimedOut"),
            )?;
            Ok(beat::SendTaskHeartbeatOutput::builder().build())
        }
    );
    let execution = answer!(
        calls,
        tasks = tasks,
        Client::describe_execution,
        execution::DescribeExecutionError,
        "DescribeExecution",
        |input| {
            let arn = input.execution_arn().unwrap();
            let status = match tasks.get(arn) {
                Some(Ended::Failed(status, _)) => status,
                _ => "RUNNING",
            };
            Ok(execution::DescribeExecutionOutput::builder()
                .execution_arn(arn)
                .state_machine_arn("arn:aws:states:eu-central-1:111111111111:stateMachine:m")
                .status(status.into())
                .start_date(aws_sdk_sfn::primitives::DateTime::from_secs(0))
                .build()
                .unwrap())
        }
    );
    mock_client!(
        aws_sdk_sfn,
        RuleMode::MatchAny,
        [&succeed, &fail, &beat, &execution]
    )
}
