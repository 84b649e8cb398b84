//! Executions of the workflow, and its definition.

use aws_sdk_sfn::types::HistoryEvent;
use serde_json::Value;

use crate::{Stack, poll, text};

/// Where the definition lies.
pub const DEFINITION: &str = "terraform/workflow/migration.asl.json";

/// The definition as Terraform would render it, with something in place of each token.
pub fn definition() -> Value {
    let mut rendered = text(DEFINITION);
    for token in tokens(&rendered) {
        let value = match token.as_str() {
            "table" => "a-table".to_owned(),
            "launch-queue-url" | "wait-queue-url" => {
                "http://127.0.0.1/000000000000/a-queue".to_owned()
            }
            function => format!("arn:aws:lambda:us-east-1:000000000000:function:{function}"),
        };
        rendered = rendered.replace(&format!("${{{token}}}"), &value);
    }
    serde_json::from_str(&rendered).expect("the workflow's definition is JSON")
}

/// The names of all `${token}`s of a template, each once.
pub fn tokens(template: &str) -> Vec<String> {
    let mut names: Vec<String> = template
        .split("${")
        .skip(1)
        .filter_map(|rest| rest.split_once('}'))
        .map(|(name, _)| name.to_owned())
        .collect();
    names.sort();
    names.dedup();
    names
}

/// The states that an execution entered, in order, once it has ended with the given status.
pub async fn states(stack: &Stack, arn: &str, status: &str) -> Vec<String> {
    poll(&format!("the end of {arn}"), async || {
        let answer = stack
            .sfn
            .describe_execution()
            .execution_arn(arn)
            .send()
            .await;
        let now = answer.expect("the execution").status().as_str().to_owned();
        match now.as_str() {
            "RUNNING" => Err(now),
            end => {
                assert_eq!(end, status, "{arn}");
                Ok(())
            }
        }
    })
    .await;
    entered(stack, arn).await
}

/// The states that an execution has entered so far, in order.
pub async fn entered(stack: &Stack, arn: &str) -> Vec<String> {
    let mut pages = stack
        .sfn
        .get_execution_history()
        .execution_arn(arn)
        .include_execution_data(false)
        .into_paginator()
        .send();
    let mut entered = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.expect("the execution's history");
        entered.extend(page.events().iter().filter_map(entered_state));
    }
    entered
}

/// What one state asked of the service behind it.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    /// How often it asked.
    pub scheduled: usize,
    /// The causes with which it failed.
    pub failures: Vec<String>,
}

/// The tasks of one state of an execution.
pub async fn tasks(stack: &Stack, arn: &str, state: &str) -> Tasks {
    let mut items = stack
        .sfn
        .get_execution_history()
        .execution_arn(arn)
        .into_paginator()
        .items()
        .send();
    let (mut tasks, mut inside) = (Tasks::default(), false);
    while let Some(event) = items.next().await {
        let event = event.expect("the execution's history");
        if let Some(entered) = entered_state(&event) {
            inside = entered == state;
        }
        if !inside {
            continue;
        }
        tasks.scheduled += usize::from(event.task_scheduled_event_details().is_some());
        let failure = event.task_failed_event_details();
        let cause = failure.and_then(|details| details.cause());
        tasks.failures.extend(cause.map(str::to_owned));
    }
    tasks
}

fn entered_state(event: &HistoryEvent) -> Option<String> {
    event
        .state_entered_event_details()
        .map(|details| details.name().to_owned())
}

/// The ARNs of all executions that were started for a migration.
pub async fn executions_of(stack: &Stack, migration_id: &str) -> Vec<String> {
    let mut pages = stack
        .sfn
        .list_executions()
        .state_machine_arn(&stack.info.state_machine_arn)
        .into_paginator()
        .send();
    let mut found = Vec::new();
    while let Some(page) = pages.next().await {
        for execution in page.expect("the list of executions").executions() {
            let arn = execution.execution_arn();
            let answer = stack
                .sfn
                .describe_execution()
                .execution_arn(arn)
                .send()
                .await;
            let answer = answer.expect("the execution");
            let input: Value = serde_json::from_str(answer.input().unwrap_or("null"))
                .expect("an execution's input is JSON");
            if input["detail"]["migrationId"] == migration_id {
                found.push(arn.to_owned());
            }
        }
    }
    found
}
