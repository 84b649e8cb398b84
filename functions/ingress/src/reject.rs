//! A message that cannot be taken: once to the dead-letter queue, once to the bus, once to the table.

use aws_sdk_sqs::types::MessageAttributeValue;
use jiff::Timestamp;
use landfall_common::telemetry::{self, Unit};
use landfall_common::{AwsResultExt as _, Key, correlation, state};
use landfall_domain::event::{Detail, SCHEMA_VERSION};
use landfall_domain::{ErrorName, EventType, Finding, StageError, Status, request, schema};

use crate::Deps;

/// The findings take no more than this of a dead letter: room for every finding of an honest list, and for as
/// many as fit of any other.
const MAX_FINDINGS_BYTES: usize = 32 * 1024;

/// A body longer than this is cut before it goes to the dead-letter queue, which has the same size limit as the
/// request queue: body and attributes together must fit 256 KiB.
const MAX_DLQ_BODY_BYTES: usize = 200 * 1024;

/// A refused message and what is known of it.
pub(crate) struct Refused {
    pub(crate) reason: &'static str,
    pub(crate) findings: Vec<Finding>,
    pub(crate) tenant_id: Option<String>,
    pub(crate) migration_id: Option<String>,
    pub(crate) app_name: String,
    pub(crate) wave: String,
    pub(crate) correlation_id: String,
}

impl Refused {
    pub(crate) fn of(rejection: schema::Rejection, correlation_id: &str) -> Self {
        Self {
            reason: rejection.reason,
            findings: rejection.findings,
            tenant_id: rejection.tenant_id,
            migration_id: rejection.migration_id,
            app_name: String::new(),
            wave: String::new(),
            correlation_id: correlation_id.to_owned(),
        }
    }
}

/// Dead-letters a message. The dead-letter queue comes last: when an earlier step fails the message comes again
/// and everything is done once more, which may repeat an event but never a dead letter.
pub(crate) async fn reject(
    deps: &Deps,
    body: &str,
    refused: Refused,
    now: Timestamp,
) -> Result<(), StageError> {
    let tenant_id = refused
        .tenant_id
        .unwrap_or_else(|| request::DEFAULT_TENANT.to_owned());
    if let Some(id) = &refused.migration_id {
        let rejection = state::Rejection {
            reason: refused.reason.to_owned(),
            findings: refused.findings.clone(),
            correlation_id: refused.correlation_id.clone(),
            rejected_at: now.to_string(),
        };
        deps.journal
            .store
            .put_rejection(&Key::new(&tenant_id, id), &rejection, now)
            .await?;
    }
    let findings = serde_json::to_value(&refused.findings)
        .map_err(|error| StageError::new(ErrorName::InternalError, error.to_string()))?;
    let detail = Detail {
        schema_version: SCHEMA_VERSION.to_owned(),
        tenant_id,
        migration_id: refused.migration_id.clone().unwrap_or_default(),
        correlation_id: refused.correlation_id.clone(),
        app_name: refused.app_name,
        wave: refused.wave,
        from: None,
        to: Status::Rejected,
        attempt: 0,
        source_server_id: None,
        job_id: None,
        reason_code: Some(refused.reason.to_owned()),
        evidence: Some(serde_json::json!({ "findings": findings })),
        occurred_at: now.to_string(),
    };
    deps.journal
        .events
        .publish(EventType::MigrationRejected, &detail)
        .await?;
    let text = |value: &str| {
        MessageAttributeValue::builder()
            .data_type("String")
            .string_value(value)
            .build()
            .map_err(|error| StageError::new(ErrorName::InternalError, error.to_string()))
    };
    deps.sqs
        .send_message()
        .queue_url(&deps.dlq_url)
        .message_body(dead_letter_body(body))
        .message_attributes("reason", text(refused.reason)?)
        .message_attributes("findings", text(&compact(&refused.findings))?)
        .message_attributes(correlation::NAME, text(&refused.correlation_id)?)
        .send()
        .await
        .or_stage(
            ErrorName::DependencyUnavailable,
            "sqs:SendMessage to the dead-letter queue",
        )?;
    telemetry::metric("ingress", "RejectedRequests", 1.0, Unit::Count);
    tracing::warn!(
        migrationId = refused.migration_id,
        reasonCode = refused.reason,
        findings = refused.findings.len(),
        "a request is rejected: {}",
        refused.reason
    );
    Ok(())
}

/// SQS takes no empty body.
fn dead_letter_body(body: &str) -> String {
    if body.is_empty() {
        return "(empty)".to_owned();
    }
    let mut end = body.len().min(MAX_DLQ_BODY_BYTES);
    while !body.is_char_boundary(end) {
        end -= 1;
    }
    body[..end].to_owned()
}

/// The findings as JSON that fits: as many as there is room for, and how many are left out.
fn compact(findings: &[Finding]) -> String {
    let mut limit = findings.len();
    loop {
        let kept = schema::first(findings.to_vec(), limit);
        let text = serde_json::to_string(&kept).unwrap_or_default();
        if text.len() <= MAX_FINDINGS_BYTES || limit == 0 {
            return text;
        }
        limit -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_cut_between_characters_and_never_empty() {
        assert_eq!(dead_letter_body(""), "(empty)");
        let long = "é".repeat(MAX_DLQ_BODY_BYTES);
        assert!(dead_letter_body(&long).len() <= MAX_DLQ_BODY_BYTES);
    }

    #[test]
    fn findings_fit_and_say_what_is_missing() {
        let many = |message: &str| -> Vec<Finding> {
            (0..100)
                .map(|_| Finding::blocking("X", "/a", message))
                .collect()
        };
        let compacted = |findings: &[Finding]| -> Vec<Finding> {
            let text = compact(findings);
            assert!(text.len() <= MAX_FINDINGS_BYTES, "{}", text.len());
            serde_json::from_str(&text).unwrap()
        };
        // A list as the schema cuts it goes whole; one of four bytes a character does not.
        let honest = schema::first(many(&"x".repeat(300)), schema::MAX_FINDINGS);
        assert_eq!(compacted(&honest), honest);
        let wide = schema::first(many(&"🚚".repeat(300)), schema::MAX_FINDINGS);
        let kept = compacted(&wide);
        let (more, listed) = kept.split_last().unwrap();
        assert_eq!(more.code, schema::MORE);
        assert_eq!(more.found, 100 - listed.len());
        assert!(!listed.is_empty());
    }
}
