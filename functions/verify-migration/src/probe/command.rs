//! Scripts on the target, through Systems Manager: sent in one round, read in a later one.
//!
//! `SendCommand` has no client token. That a script is to be sent stands in the record before it is; a run that finds such
//! a note and no command ID looks for the command by its comment, and sends one only where there is none.

use aws_sdk_ssm::Client;
use aws_sdk_ssm::config::retry::RetryConfig;
use aws_sdk_ssm::types::{
    CommandFilter, CommandFilterKey, CommandInvocationStatus as Status,
    InstanceInformationStringFilter, PingStatus, PlatformType,
};
use jiff::{SignedDuration, Timestamp};
use landfall_common::AwsResultExt as _;
use landfall_common::aws_error::{code, stage_error};
use landfall_domain::health::{Command, DELIVERY_SECONDS, Seen};
use landfall_domain::request::SsmCheck;
use landfall_domain::{ErrorName, StageError, installer};

/// What a refusal is called; the check decides what becomes of it.
const FAULT: ErrorName = ErrorName::VerificationError;
/// So much earlier than it was noted a command is looked for: two clocks are never quite the same.
const CLOCKS: SignedDuration = SignedDuration::from_mins(5);

/// A script that is to be tried.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    /// The check.
    pub(crate) check: SsmCheck,
    /// Its lines, with everything filled in.
    pub(crate) lines: Vec<String>,
    /// The instance.
    pub(crate) instance_id: String,
    /// What it is found by.
    pub(crate) comment: String,
    /// What is noted of it.
    pub(crate) command: Command,
    /// Whether the note was made in this round, so that nobody can have sent it.
    pub(crate) fresh: bool,
}

/// What is known of a script now, and its SSM command where there is one.
pub(crate) async fn probe(ssm: &Client, script: &Script, now: Timestamp) -> (Seen, Option<String>) {
    let overdue = script.command.is_overdue(script.check.timeout_seconds, now);
    match look(ssm, script).await {
        Ok((Seen::Unknown(why), id)) if overdue => {
            (Seen::Nothing(format!("no result in time: {why}")), id)
        }
        Ok(known) => known,
        // Nothing is said of the target: the next round asks again. Nor is a script given up that may run.
        Err(error) if !overdue && (error.name.is_transient() || !script.fresh) => (
            Seen::Unknown(error.message),
            script.command.command_id.clone(),
        ),
        Err(error) => (Seen::Nothing(error.message), None),
    }
}

async fn look(ssm: &Client, script: &Script) -> Result<(Seen, Option<String>), StageError> {
    let known = match &script.command.command_id {
        Some(id) => Some(id.clone()),
        None if script.fresh => None,
        None => find(ssm, script).await?,
    };
    if let Some(id) = known {
        let seen = read(ssm, &id, &script.instance_id).await?;
        return Ok((seen, Some(id)));
    }
    let document = match document(ssm, &script.instance_id).await? {
        Ok(document) => document,
        Err(why) => return Ok((Seen::Nothing(why), None)),
    };
    send(ssm, script, document).await
}

/// The document for the target's system, or why none can run there.
async fn document(
    ssm: &Client,
    instance_id: &str,
) -> Result<Result<&'static str, String>, StageError> {
    let filter = InstanceInformationStringFilter::builder()
        .key("InstanceIds")
        .values(instance_id)
        .build()
        .map_err(|error| StageError::new(ErrorName::InternalError, error.to_string()))?;
    let answer = ssm
        .describe_instance_information()
        .filters(filter)
        .send()
        .await
        .or_stage(FAULT, "ssm:DescribeInstanceInformation")?;
    let Some(node) = answer.instance_information_list().first() else {
        return Ok(Err(
            "Systems Manager does not know the instance; it needs the SSM agent and an instance profile with AmazonSSMManagedInstanceCore"
                .to_owned(),
        ));
    };
    if node.ping_status() != Some(&PingStatus::Online) {
        let ping = node.ping_status().map_or("unknown", PingStatus::as_str);
        return Ok(Err(format!("its SSM agent is {ping} and not Online")));
    }
    Ok(match node.platform_type() {
        Some(PlatformType::Linux) => Ok("AWS-RunShellScript"),
        Some(PlatformType::Windows) => Ok("AWS-RunPowerShellScript"),
        other => {
            let system = other.map_or("an unknown system", PlatformType::as_str);
            Err(format!(
                "it runs {system}, for which there is no shell here"
            ))
        }
    })
}

async fn send(
    ssm: &Client,
    script: &Script,
    document: &str,
) -> Result<(Seen, Option<String>), StageError> {
    let sent = ssm
        .send_command()
        .document_name(document)
        .instance_ids(&script.instance_id)
        .comment(&script.comment)
        .timeout_seconds(DELIVERY_SECONDS.cast_signed())
        .parameters("commands", script.lines.clone())
        .parameters(
            "executionTimeout",
            vec![script.check.timeout_seconds.to_string()],
        )
        .customize()
        // After a lost answer the next round looks for the command first; the SDK would just send another.
        .config_override(aws_sdk_ssm::config::Builder::new().retry_config(RetryConfig::disabled()))
        .send()
        .await;
    let sent = match sent {
        Ok(sent) => sent,
        Err(error) if code(&error) == Some("InvalidInstanceId") => {
            let why = "Systems Manager cannot reach the instance's SSM agent".to_owned();
            return Ok((Seen::Nothing(why), None));
        }
        Err(error) => return Err(stage_error(&error, FAULT, "ssm:SendCommand")),
    };
    let id = sent.command.and_then(|command| command.command_id);
    let Some(id) = id else {
        // It may have been sent: the next round looks for it.
        return Ok((Seen::Unknown("it was sent".to_owned()), None));
    };
    Ok((
        Seen::Unknown(format!("SSM command {id} was sent")),
        Some(id),
    ))
}

/// The command that an earlier run sent without living to note it.
async fn find(ssm: &Client, script: &Script) -> Result<Option<String>, StageError> {
    let since: Option<Timestamp> = script.command.asked_at.parse().ok();
    let filter = since
        .and_then(|at| at.checked_sub(CLOCKS).ok())
        .map(|at| {
            CommandFilter::builder()
                .key(CommandFilterKey::InvokedAfter)
                .value(at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
                .build()
        })
        .transpose()
        .map_err(|error| StageError::new(ErrorName::InternalError, error.to_string()))?;
    let mut items = ssm
        .list_command_invocations()
        .instance_id(&script.instance_id)
        .set_filters(filter.map(|filter| vec![filter]))
        .into_paginator()
        .items()
        .send();
    while let Some(item) = items.next().await {
        let item = item.or_stage(FAULT, "ssm:ListCommandInvocations")?;
        let is_ours = item.comment() == Some(script.comment.as_str())
            && item.instance_id() == Some(script.instance_id.as_str());
        if is_ours {
            return Ok(item.command_id().map(str::to_owned));
        }
    }
    Ok(None)
}

async fn read(ssm: &Client, id: &str, instance_id: &str) -> Result<Seen, StageError> {
    let answer = ssm
        .get_command_invocation()
        .command_id(id)
        .instance_id(instance_id)
        .send()
        .await;
    let answer = match answer {
        Ok(answer) => answer,
        // Shown some moments after it was sent.
        Err(error) if code(&error) == Some("InvocationDoesNotExist") => {
            return Ok(Seen::Unknown(format!("SSM does not show command {id} yet")));
        }
        Err(error) => return Err(stage_error(&error, FAULT, "ssm:GetCommandInvocation")),
    };
    let output = format!(
        "{}\n{}",
        answer.standard_output_content().unwrap_or_default(),
        answer.standard_error_content().unwrap_or_default()
    );
    let output = installer::last_lines(&output);
    let details = answer.status_details().unwrap_or("unknown");
    Ok(match answer.status() {
        Some(Status::Success | Status::Failed) if answer.response_code() >= 0 => Seen::Ended {
            code: answer.response_code(),
            output,
        },
        Some(Status::Success | Status::Failed | Status::TimedOut | Status::Cancelled) => {
            let text = format!("SSM command {id} ended as {details} {output}");
            Seen::Nothing(text.trim_end().to_owned())
        }
        _ => Seen::Unknown(format!("SSM command {id} is {details}")),
    })
}
