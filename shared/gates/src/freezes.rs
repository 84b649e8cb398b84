//! The freeze calendar, as Parameter Store has it.

use std::sync::{Arc, Mutex};

use aws_sdk_ssm::Client;
use aws_sdk_ssm::types::ParameterType;
use jiff::{SignedDuration, Timestamp};
use landfall_common::aws_error::{code, stage_error};
use landfall_domain::calendar::Freezes;
use landfall_domain::{ErrorName, Finding, MigrationRecord, Status};

use crate::Hold;

/// How long a calendar that was read counts.
const FRESH: SignedDuration = SignedDuration::from_secs(60);
/// How long one that could not be read is not asked for again: a sweep looks at many migrations.
const AGAIN: SignedDuration = SignedDuration::from_secs(10);

/// Until when others may remember another calendar than this process, where a freeze holds a migration: each reads for itself,
/// and whoever noted the hold would note it again at once, were the migration let go on.
pub(crate) fn others_differ_until(record: &MigrationRecord) -> Option<Timestamp> {
    let why = record.held.as_ref()?;
    if record.status != Status::AwaitingWindow || !why.code.starts_with("FREEZE_") {
        return None;
    }
    let since: Timestamp = record.status_since.parse().ok()?;
    since.checked_add(FRESH).ok()
}

/// The parameter that holds the deployment's freeze calendar, and what was last read of it.
#[derive(Clone, Debug)]
pub(crate) struct Parameter {
    client: Client,
    name: String,
    seen: Arc<Mutex<Option<Seen>>>,
}

/// What was read, or why it could not be.
#[derive(Clone, Debug)]
struct Seen {
    at: Timestamp,
    calendar: Result<Arc<Freezes>, String>,
}

impl Seen {
    fn is_good_at(&self, now: Timestamp) -> bool {
        let limit = if self.calendar.is_ok() { FRESH } else { AGAIN };
        self.at <= now && now.duration_since(self.at) < limit
    }
}

impl Parameter {
    pub(crate) fn new(client: Client, name: String) -> Self {
        Self {
            client,
            name,
            seen: Arc::default(),
        }
    }

    /// The freezes; a hold when they are not known: a calendar that cannot be read is never taken for an empty one.
    pub(crate) async fn freezes(&self, now: Timestamp) -> Result<Arc<Freezes>, Hold> {
        let known = self.seen.lock().ok().and_then(|seen| seen.clone());
        let seen = if let Some(seen) = known.filter(|seen| seen.is_good_at(now)) {
            seen
        } else {
            let calendar = self.read().await.map(Arc::new);
            if let Err(problem) = &calendar {
                tracing::warn!(
                    parameter = self.name,
                    "the freeze calendar cannot be read: {problem}"
                );
            }
            let seen = Seen { at: now, calendar };
            if let Ok(mut kept) = self.seen.lock() {
                *kept = Some(seen.clone());
            }
            seen
        };
        seen.calendar
            .map_err(|problem| self.unreadable(&problem, now))
    }

    async fn read(&self) -> Result<Freezes, String> {
        let answer = self.client.get_parameter().name(&self.name).send().await;
        let answer = answer.map_err(|error| match code(&error) {
            Some("ParameterNotFound") => "there is no such parameter".to_owned(),
            _ => stage_error(&error, ErrorName::PrerequisiteError, "GetParameter").cause(),
        })?;
        let parameter = answer
            .parameter
            .unwrap_or_else(|| aws_sdk_ssm::types::Parameter::builder().build());
        if parameter.r#type == Some(ParameterType::SecureString) {
            return Err(
                "it is a SecureString, which is not decrypted for a calendar; make it a String"
                    .to_owned(),
            );
        }
        let text = parameter.value.unwrap_or_default();
        Freezes::parse(&text).map_err(|faults| faults.join("; "))
    }

    fn unreadable(&self, problem: &str, now: Timestamp) -> Hold {
        let name = &self.name;
        let text = format!(
            "the freeze calendar (parameter {name}) cannot be read, and nothing is switched without it: {problem}."
        );
        Hold {
            finding: Finding::blocking("FREEZE_UNREADABLE", "", text).remedy(format!(
                "Put an iCalendar file into the SSM parameter {name} as a String; docs/WINDOWS.md says what it may hold."
            )),
            until: now.checked_add(FRESH).ok(),
        }
    }
}
