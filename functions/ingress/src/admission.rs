//! Whether a valid request starts something: new, the same again, changed while active, or a new attempt.

use jiff::Timestamp;
use landfall_common::Key;
use landfall_common::state::Change;
use landfall_common::telemetry::{self, Unit};
use landfall_domain::control::Purpose;
use landfall_domain::schema::Rejection;
use landfall_domain::{
    ErrorName, EventType, Finding, MigrationRecord, MigrationRequest, StageError, Status,
};

use crate::Deps;

/// What became of a valid request.
pub(crate) enum Admission {
    /// It is recorded, or was already.
    Done,
    /// It cannot be taken.
    Refused {
        /// Why.
        rejection: Rejection,
        /// Whose.
        tenant_id: String,
        /// Which.
        migration_id: String,
        /// The application named.
        app_name: String,
        /// The wave named.
        wave: String,
    },
}

/// What to do with a valid request, given what the table says of its ID.
#[derive(Debug, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "one lives at a time, for a moment"
)]
enum Decision {
    /// Nobody knows the ID.
    Create,
    /// The same request is there and nothing claimed it yet: its event may have been lost, so it is sent again.
    Announce,
    /// The same request is there and under way, or already ended well.
    Ignore,
    /// The earlier attempt ended.
    NextAttempt,
    /// Another request with the ID is active, or must not be touched.
    Refuse(Finding),
}

fn decide(
    existing: Option<&MigrationRecord>,
    request: &MigrationRequest,
    digest: &str,
) -> Decision {
    let Some(record) = existing else {
        return Decision::Create;
    };
    let same = record.request_digest == digest;
    match record.status {
        // An order to undo an attempt is announced by whoever repeats the order: this event would migrate.
        Status::Requested
            if same && record.execution_arn.is_none() && record.purpose != Purpose::Rollback =>
        {
            Decision::Announce
        }
        // A queue may deliver a message again long after its migration succeeded: that is no wish for another.
        Status::Succeeded if same => Decision::Ignore,
        Status::Frozen => Decision::Refuse(
            Finding::blocking(
                "MIGRATION_FROZEN",
                "/migrationId",
                format!("{} is FROZEN: a person must look at it first.", request.migration_id),
            )
            .remedy("See `landfall status` for what was done and what was not, and `landfall rollback` for what can be undone; once it is put right, `landfall release` lets it be submitted again."),
        ),
        status if status.allows_new_attempt() => Decision::NextAttempt,
        _ if same => Decision::Ignore,
        status => Decision::Refuse(
            Finding::blocking(
                "MIGRATION_ACTIVE",
                "/migrationId",
                format!("{} is {status} with another content.", request.migration_id),
            )
            .evidence(digest, record.request_digest.as_str())
            .remedy("Wait until it has ended, or submit under another ID."),
        ),
    }
}

/// Records and announces a request.
///
/// # Errors
/// Transient ones; the message then comes again.
pub(crate) async fn admit(
    deps: &Deps,
    request: MigrationRequest,
    correlation_id: &str,
    sender: Option<&str>,
    now: Timestamp,
) -> Result<Admission, StageError> {
    let digest = request.digest().map_err(|error| {
        StageError::new(
            ErrorName::InternalError,
            format!("the request has no digest: {error}"),
        )
    })?;
    let key = Key::new(&request.tenant_id, &request.migration_id);
    let existing = deps.journal.store.get(&key).await?;
    let change = Change::to(Status::Requested, EventType::MigrationRequested);
    let (record, detail) = match (decide(existing.as_ref(), &request, &digest), existing) {
        (Decision::NextAttempt, Some(ended)) => {
            let mut next = first_record(request, digest, correlation_id, Some(&ended), now);
            next.sender_id = sender.map(str::to_owned);
            deps.journal
                .store
                .start_attempt(&ended, next, &change, now)
                .await?
        }
        (Decision::Create | Decision::NextAttempt, _) => {
            let mut record = first_record(request, digest, correlation_id, None, now);
            record.sender_id = sender.map(str::to_owned);
            deps.journal.store.create(record, &change, now).await?
        }
        (Decision::Announce, Some(record)) => {
            telemetry::identify(&record);
            let Some(last) = deps.journal.store.history(&key).await?.pop() else {
                return Ok(Admission::Done);
            };
            deps.journal
                .events
                .publish(EventType::MigrationRequested, &last.detail)
                .await?;
            return Ok(Admission::Done);
        }
        (Decision::Ignore | Decision::Announce, _) => {
            tracing::info!(
                migrationId = request.migration_id,
                "the same request again: nothing to do"
            );
            telemetry::metric("ingress", "DuplicateRequests", 1.0, Unit::Count);
            return Ok(Admission::Done);
        }
        (Decision::Refuse(finding), _) => {
            return Ok(Admission::Refused {
                rejection: Rejection {
                    reason: if finding.code == "MIGRATION_FROZEN" {
                        "MIGRATION_FROZEN"
                    } else {
                        "MIGRATION_ACTIVE"
                    },
                    findings: vec![finding],
                    migration_id: None,
                    tenant_id: None,
                },
                tenant_id: request.tenant_id,
                migration_id: request.migration_id,
                app_name: request.app_name,
                wave: request.wave,
            });
        }
    };
    telemetry::identify(&record);
    deps.journal
        .events
        .publish(EventType::MigrationRequested, &detail)
        .await?;
    telemetry::metric("ingress", "AcceptedRequests", 1.0, Unit::Count);
    tracing::info!(
        attempt = record.attempt,
        "{} is accepted",
        record.migration_id
    );
    Ok(Admission::Done)
}

fn first_record(
    request: MigrationRequest,
    request_digest: String,
    correlation_id: &str,
    ended: Option<&MigrationRecord>,
    now: Timestamp,
) -> MigrationRecord {
    let attempt = ended.map_or(1, |ended| ended.attempt + 1);
    MigrationRecord {
        // A test that passed counts for a later cutover of the same settings.
        test_evidence: ended.and_then(|ended| ended.test_evidence.clone()),
        ..MigrationRecord::new(
            request,
            request_digest,
            correlation_id,
            attempt,
            now.to_string(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> MigrationRequest {
        serde_json::from_value(serde_json::json!({
            "migrationId": "mig-1", "appName": "app", "source": "azure", "target": "aws",
            "environment": "prod", "wave": "wave-1", "sourceVmId": "vm-1", "steps": ["replicate"]
        }))
        .unwrap()
    }

    #[test]
    fn what_the_table_says_decides() {
        let now = "2026-11-21T12:00:00Z".parse().unwrap();
        let check = |status: Status, claimed: bool, digest: &str, expected: &str| {
            let mut record = first_record(request(), "same".into(), "c", None, now);
            record.status = status;
            record.execution_arn = claimed.then(|| "arn".into());
            let decision = match decide(Some(&record), &request(), digest) {
                Decision::Refuse(finding) => finding.code,
                other => format!("{other:?}"),
            };
            assert_eq!(decision, expected, "{status} claimed={claimed} {digest}");
        };
        assert_eq!(decide(None, &request(), "same"), Decision::Create);
        check(Status::Requested, false, "same", "Announce");
        check(Status::Requested, true, "same", "Ignore");
        check(Status::Requested, false, "other", "MIGRATION_ACTIVE");
        check(Status::Testing, true, "same", "Ignore");
        check(Status::Testing, true, "other", "MIGRATION_ACTIVE");
        check(Status::Succeeded, true, "same", "Ignore");
        check(Status::Succeeded, true, "other", "NextAttempt");
        for status in [
            Status::Failed,
            Status::RolledBack,
            Status::Cancelled,
            Status::Rejected,
        ] {
            check(status, true, "same", "NextAttempt");
            check(status, true, "other", "NextAttempt");
        }
        check(Status::Frozen, true, "same", "MIGRATION_FROZEN");
        let mut rollback = first_record(request(), "same".into(), "c", None, now);
        rollback.purpose = Purpose::Rollback;
        assert_eq!(
            decide(Some(&rollback), &request(), "same"),
            Decision::Ignore
        );
    }
}
