//! What speaks against the next step of a switch right now.

use aws_config::SdkConfig;
use jiff::Timestamp;
use landfall_common::Env;
use landfall_common::state::StateStore;
use landfall_domain::calendar::window::Opening;
use landfall_domain::calendar::{Freezes, Timetable, judge};
use landfall_domain::finalize::{self, Step};
use landfall_domain::{Finding, MigrationRecord, StageError};

use crate::freezes::Parameter;

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
pub struct Holds {
    freezes: Option<Parameter>,
}

impl Holds {
    /// From `LANDFALL_FREEZE_PARAMETER`, the SSM parameter that holds the freeze calendar; absent means that the deployment
    /// has none.
    pub fn load(aws: &SdkConfig, env: &mut Env<'_>) -> Self {
        env.optional("LANDFALL_FREEZE_PARAMETER")
            .map_or_else(Self::default, |name| {
                Self::with_calendar(aws_sdk_ssm::Client::new(aws), name)
            })
    }

    /// With the freeze calendar in a parameter.
    pub fn with_calendar(client: aws_sdk_ssm::Client, parameter: impl Into<String>) -> Self {
        Self {
            freezes: Some(Parameter::new(client, parameter.into())),
        }
    }

    /// What holds a migration now; `None` lets it go on.
    ///
    /// # Errors
    /// Transient ones of the table.
    pub async fn hold(
        &self,
        store: &StateStore,
        record: &MigrationRecord,
        now: Timestamp,
    ) -> Result<Option<Hold>, StageError> {
        if let Some(paused) = paused(record) {
            return Ok(Some(paused));
        }
        if let Some(answers) = old_answers(record, now) {
            return Ok(Some(answers));
        }
        let past = record.control.past_window.is_some();
        let request = record.request.policy.window.as_ref().filter(|_| !past);
        if let Some(over) = request.and_then(|window| over(window, now)) {
            return Ok(Some(over));
        }
        let wave = &record.request.wave;
        let set = if past {
            None
        } else {
            store.wave_window(&record.tenant_id, wave).await?
        };
        let set = set.and_then(|it| it.window);
        let freezes = match &self.freezes {
            None => None,
            Some(parameter) => match parameter.freezes(now).await {
                Ok(freezes) => Some(freezes),
                Err(unreadable) => return Ok(Some(unreadable)),
            },
        };
        let none = Freezes::default();
        let timetable = Timetable {
            request,
            wave: set.as_ref().map(|window| (wave.as_str(), window)),
            freezes: freezes.as_deref().unwrap_or(&none),
        };
        Ok(judge(&timetable, now).map(|closed| Hold {
            finding: closed.finding,
            until: closed.until,
        }))
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

/// The request's own window, once it will not open again: nobody can set another, as they can for a wave.
fn over(window: &landfall_domain::request::Window, now: Timestamp) -> Option<Hold> {
    if Opening::of(window).is_ok_and(|opening| opening.opens(now)) {
        return None;
    }
    let text = "the request's cutover window is over, and does not open again within a year.";
    Some(Hold {
        finding: Finding::blocking("WINDOW_NEVER_OPENS", "/policy/window", text)
            .evidence(
                serde_json::to_value(window).unwrap_or_default(),
                "a window that opens",
            )
            .remedy(
                "Let it go on outside its window with landfall resume ID --past-window, or cancel it and submit it again with \
                 a window that is to come.",
            ),
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
