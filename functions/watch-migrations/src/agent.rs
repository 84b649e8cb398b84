//! The wait for an agent: its installation ended well, and MGN knows the server.

use aws_sdk_ssm::types::CommandInvocationStatus;
use jiff::Timestamp;
use landfall_common::aws_error::{code, stage_error};
use landfall_common::state::Change;
use landfall_common::state::wait::Wait;
use landfall_domain::record::AgentCommand;
use landfall_domain::{ErrorName, EventType, StageError, Status, installer};
use landfall_mgn::Server;
use serde_json::json;

use crate::{Deps, settle};

/// How much of an installer's output is worth telling.
const OUTPUT_LINES: usize = 5;

pub(crate) async fn check(
    deps: &Deps,
    wait: &Wait,
    servers: &[Server],
    now: Timestamp,
) -> Result<(), StageError> {
    let matching: Vec<&Server> = servers
        .iter()
        .filter(|s| s.user_provided_id.as_deref() == Some(wait.source_vm_id.as_str()))
        .collect();
    match matching.as_slice() {
        [] => {}
        // An imported server has no agent yet, a disconnected one none any more.
        [server]
            if server.lifecycle == "PENDING_INSTALLATION"
                || server.replication.state == "DISCONNECTED" => {}
        [server] => return found(deps, wait, server, now).await,
        several => {
            let ids: Vec<&str> = several.iter().map(|s| s.id.as_str()).collect();
            let text = format!(
                "MGN has {} source servers with the ID {}: {}; archive the ones that are not it",
                ids.len(),
                wait.source_vm_id,
                ids.join(", ")
            );
            return settle::fail(
                deps,
                wait,
                &StageError::new(ErrorName::SourcePreparationError, text),
                now,
            )
            .await;
        }
    }
    if let Some(error) = installation_error(deps, wait.command.as_ref()).await? {
        return settle::fail(deps, wait, &error, now).await;
    }
    if settle::overdue(wait, now) {
        let text = format!(
            "the agent of {} did not register with MGN by {}; check its log and TCP 443 to MGN",
            wait.source_vm_id, wait.due_at
        );
        return settle::fail(
            deps,
            wait,
            &StageError::new(ErrorName::SourcePreparationError, text),
            now,
        )
        .await;
    }
    Ok(())
}

async fn found(
    deps: &Deps,
    wait: &Wait,
    server: &Server,
    now: Timestamp,
) -> Result<(), StageError> {
    let Some(mut record) = settle::live_record(deps, wait).await? else {
        return Ok(());
    };
    // Read before the record's own status: a sweep that died after the transition only has the token left to do.
    if record.status == Status::Preparing {
        record.source_server_id = Some(server.id.clone());
        let change = Change::to(Status::Replicating, EventType::SourcePrepared);
        deps.journal.advance(record, change, now).await?;
    }
    settle::succeed(deps, wait, &json!({ "sourceServerId": server.id })).await
}

/// Why the installation failed, when it did. A command that is still under way, or that SSM does not show yet,
/// is no failure.
async fn installation_error(
    deps: &Deps,
    command: Option<&AgentCommand>,
) -> Result<Option<StageError>, StageError> {
    let Some(command) = command else {
        return Ok(None);
    };
    let answer = deps
        .ssm
        .get_command_invocation()
        .command_id(&command.command_id)
        .instance_id(&command.instance_id)
        .send()
        .await;
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) if code(&error) == Some("InvocationDoesNotExist") => return Ok(None),
        Err(error) => {
            return Err(stage_error(
                &error,
                ErrorName::DependencyUnavailable,
                "ssm:GetCommandInvocation",
            ));
        }
    };
    let output = format!(
        "{}\n{}",
        answer.standard_output_content().unwrap_or_default(),
        answer.standard_error_content().unwrap_or_default()
    );
    let failure = match answer.status() {
        Some(CommandInvocationStatus::Success) => installer::silent_failure(&output),
        Some(
            status @ (CommandInvocationStatus::Failed
            | CommandInvocationStatus::TimedOut
            | CommandInvocationStatus::Cancelled),
        ) => Some(format!(
            "{} ({})",
            installer::last_lines(&output, OUTPUT_LINES),
            status.as_str()
        )),
        _ => None,
    };
    Ok(failure.map(|text| {
        StageError::new(
            ErrorName::SourcePreparationError,
            format!(
                "the replication agent could not be installed on {} (SSM command {}): {text}",
                command.instance_id, command.command_id
            ),
        )
    }))
}
