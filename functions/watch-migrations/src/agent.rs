//! The wait for an agent, or for whatever else brings a source to MGN: its installation ended well where there is one, and
//! MGN replicates the server.

use aws_sdk_ssm::types::CommandInvocationStatus;
use jiff::Timestamp;
use landfall_common::aws_error::{code, stage_error};
use landfall_common::state::Change;
use landfall_common::state::wait::Wait;
use landfall_domain::agent::Standing;
use landfall_domain::record::AgentCommand;
use landfall_domain::{ErrorName, EventType, StageError, Status, installer};
use landfall_mgn::{Server, identity};
use serde_json::json;

use crate::{Deps, settle};

pub(crate) async fn check(
    deps: &Deps,
    wait: &Wait,
    servers: &[Server],
    now: Timestamp,
) -> Result<(), StageError> {
    let mut matching: Vec<&Server> = servers
        .iter()
        .filter(|server| server.is_known_by(&wait.source_vm_id))
        .collect();
    if matching.is_empty() {
        // Perhaps by a name, which only the request tells.
        let Some(record) = settle::live_record(deps, wait).await? else {
            return Ok(());
        };
        let host = record.request.source_host.as_deref();
        matching = identity::matching(servers, &wait.source_vm_id, host);
    }
    let standing = match matching.as_slice() {
        [] => Standing::Unknown,
        [server] => server.standing(),
        several => {
            let ids: Vec<&str> = several.iter().map(|s| s.id.as_str()).collect();
            let text = format!(
                "MGN has {} source servers with the ID {}: {}; archive the ones that are not it",
                ids.len(),
                wait.source_vm_id,
                ids.join(", ")
            );
            return settle::fail(deps, wait, &fault(text), now).await;
        }
    };
    if let ([server], Standing::Replicating) = (matching.as_slice(), standing) {
        return found(deps, wait, server, now).await;
    }
    if let Some(error) = installation_error(deps, wait.command.as_ref()).await? {
        return settle::fail(deps, wait, &error, now).await;
    }
    if wait.is_overdue(now) {
        // Read here alone: what is to be done depends on who was to bring the source to MGN.
        let Some(record) = settle::live_record(deps, wait).await? else {
            return Ok(());
        };
        let why = standing.overdue(record.request.agent_kind(), &wait.source_vm_id);
        let error = fault(format!("{why} (waited for until {})", wait.due_at));
        return settle::fail(deps, wait, &error, now).await;
    }
    Ok(())
}

fn fault(text: String) -> StageError {
    StageError::new(ErrorName::SourcePreparationError, text)
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
        let mut change = Change::to(Status::Replicating, EventType::SourcePrepared);
        if !record.done.warnings.is_empty() {
            change = change.evidence(record.done.with_warnings(json!({})));
        }
        deps.journal.advance(record, change, now).await?;
    }
    let found = json!({ "sourceServerId": server.id });
    settle::succeed(deps, wait, &found, now).await
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
            installer::last_lines(&output),
            status.as_str()
        )),
        _ => None,
    };
    Ok(failure.map(|text| {
        fault(format!(
            "the replication agent could not be installed on {} (SSM command {}): {text}",
            command.instance_id, command.command_id
        ))
    }))
}
