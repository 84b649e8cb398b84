//! `landfall watch`: follows migrations until they have ended.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use clap::Args;
use jiff::Timestamp;
use landfall_common::{Key, StateStore};
use landfall_domain::{ErrorName, MigrationRecord, StageError, Status};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::error::{CliError, Exit};
use crate::output::rows::Row;
use crate::output::screen::Screen;
use crate::output::text::duration;
use crate::target::{Records, TargetArgs};

/// How often the table is looked at.
const PERIOD: Duration = Duration::from_secs(1);
/// How many looks in a row may fail before the watch gives up. The SDK has tried each of them three times.
const PATIENCE: u32 = 10;

/// `landfall watch`.
#[derive(Args, Debug)]
pub struct WatchArgs {
    /// The migrations of this wave; with neither --wave nor --app, all that have not ended.
    #[arg(long, value_name = "WAVE")]
    wave: Option<String>,
    /// The migrations of this application.
    #[arg(long, value_name = "APP")]
    app: Option<String>,
    /// The tenant.
    #[arg(long, default_value = landfall_domain::request::DEFAULT_TENANT)]
    tenant: String,
    /// End when each of them has ended; without it, watch until interrupted.
    #[arg(long)]
    until_done: bool,
    /// Give up after this many seconds; with --until-done.
    #[arg(long, value_name = "SECONDS", requires = "until_done")]
    timeout: Option<u64>,
    #[command(flatten)]
    target: TargetArgs,
}

/// Whose migrations are watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// The tenant.
    pub tenant: String,
    /// Of this wave.
    pub wave: Option<String>,
    /// Of this application.
    pub app: Option<String>,
}

/// When a watch ends.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ending {
    /// It ends when at least this many are there and all have ended; `None` goes on for ever.
    pub at_least: Option<usize>,
    /// It fails after this long.
    pub timeout: Option<Duration>,
}

/// Runs the command.
pub async fn run(args: &WatchArgs, root: &Path) -> Result<Exit, CliError> {
    let records = Records::find(&args.target, root).await?;
    let selection = Selection {
        tenant: args.tenant.clone(),
        wave: args.wave.clone(),
        app: args.app.clone(),
    };
    let ending = Ending {
        at_least: args.until_done.then_some(1),
        timeout: args.timeout.map(Duration::from_secs),
    };
    let ended = follow(&records, selection, ending, &mut Screen::stdout()).await?;
    let bad: Vec<&MigrationRecord> = ended
        .iter()
        .filter(|record| record.status != Status::Succeeded)
        .collect();
    match bad.first() {
        None => Ok(Exit::Ok),
        Some(first) => Err(CliError::new(
            format!(
                "{} of {} migrations did not succeed",
                bad.len(),
                ended.len()
            ),
            format!("`landfall status {}` says why.", first.migration_id),
        )),
    }
}

/// Shows the selected migrations until the ending, and returns how they ended.
pub async fn follow<W: Write>(
    records: &Records,
    selection: Selection,
    ending: Ending,
    screen: &mut Screen<W>,
) -> Result<Vec<MigrationRecord>, CliError> {
    let began = Instant::now();
    let title = selection.title();
    let mut look = Look::new(selection);
    // A table that has never answered is more likely misnamed than busy.
    let mut failures = PATIENCE;
    let mut seen = 0;
    let mut ticks = tokio::time::interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        let clock = duration(i64::try_from(began.elapsed().as_secs()).unwrap_or(i64::MAX));
        match look.at(&records.store).await {
            Ok(found) => {
                (failures, seen) = (0, found.len());
                let now = Timestamp::now();
                let rows: Vec<Row> = found.iter().map(|record| Row::of(record, now)).collect();
                screen.show(&title, &clock, &rows)?;
                screen.notice(if rows.is_empty() {
                    "nothing to see yet; waiting"
                } else {
                    ""
                })?;
                if ending.at_least.is_some_and(|count| is_over(&found, count)) {
                    return Ok(found);
                }
            }
            Err(error) if error.name.is_transient() && failures < PATIENCE => {
                failures += 1;
                screen.notice(&format!("{}; trying again", error.message))?;
            }
            Err(error) => return Err(CliError::of_call(&error, records.advice)),
        }
        if ending.timeout.is_some_and(|limit| began.elapsed() >= limit) {
            return Err(overdue(&title, &clock, seen));
        }
    }
}

fn overdue(title: &str, clock: &str, seen: usize) -> CliError {
    if seen == 0 {
        return CliError::new(
            format!("{title}: no migration was seen in {clock}"),
            "Check --wave, --app and --tenant; refused requests end in the dead-letter queue.",
        );
    }
    CliError::new(
        format!("{title}: not every migration had ended after {clock}"),
        "They go on by themselves; watch again, or ask `landfall status ID` where one stands.",
    )
}

fn is_over(found: &[MigrationRecord], at_least: usize) -> bool {
    found.len() >= at_least && found.iter().all(|record| record.status.is_end())
}

impl Selection {
    fn title(&self) -> String {
        match (&self.wave, &self.app) {
            (Some(wave), Some(app)) => format!("wave {wave}, application {app}"),
            (Some(wave), None) => format!("wave {wave}"),
            (None, Some(app)) => format!("application {app}"),
            (None, None) => "all migrations on their way".to_owned(),
        }
    }
}

/// Looks at the table again and again.
struct Look {
    selection: Selection,
    /// What was on its way at an earlier look, so that its end is seen, too.
    seen: BTreeMap<Key, MigrationRecord>,
}

impl Look {
    const fn new(selection: Selection) -> Self {
        Self {
            selection,
            seen: BTreeMap::new(),
        }
    }

    /// The selected migrations as they stand now, by ID.
    async fn at(&mut self, store: &StateStore) -> Result<Vec<MigrationRecord>, StageError> {
        let Selection { tenant, wave, app } = &self.selection;
        let mut found = match (wave, app) {
            (Some(wave), _) => store.by_wave(tenant, wave, None).await?,
            (None, Some(app)) => store.by_app(tenant, app, None).await?,
            (None, None) => return self.on_their_way(store).await,
        };
        if let Some(app) = app {
            found.retain(|record| record.request.app_name == *app);
        }
        found.sort_by(|a, b| a.migration_id.cmp(&b.migration_id));
        Ok(found)
    }

    async fn on_their_way(
        &mut self,
        store: &StateStore,
    ) -> Result<Vec<MigrationRecord>, StageError> {
        let mut queries = JoinSet::new();
        for status in Status::ALL.into_iter().filter(|status| !status.is_end()) {
            let (store, tenant) = (store.clone(), self.selection.tenant.clone());
            queries.spawn(async move { store.by_status(&tenant, status).await });
        }
        let mut missing: BTreeMap<Key, MigrationRecord> = self.seen.clone();
        missing.retain(|_, record| !record.status.is_end());
        while let Some(answer) = queries.join_next().await {
            for record in answer.map_err(|error| interrupted(&error))?? {
                let key = Key::of(&record);
                missing.remove(&key);
                self.keep(key, record);
            }
        }
        for key in missing.into_keys() {
            if let Some(record) = store.get(&key).await? {
                self.keep(key, record);
            }
        }
        Ok(self.seen.values().cloned().collect())
    }

    /// Keeps the newest: a migration that changes its status meanwhile is found under both, or under none.
    fn keep(&mut self, key: Key, record: MigrationRecord) {
        let newer = self
            .seen
            .get(&key)
            .is_none_or(|old| old.version <= record.version);
        if newer {
            self.seen.insert(key, record);
        }
    }
}

fn interrupted(error: &tokio::task::JoinError) -> StageError {
    StageError::new(
        ErrorName::InternalError,
        format!("a query was interrupted: {error}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::rows::tests::record;
    use serde_json::json;

    #[test]
    fn it_is_over_when_enough_are_there_and_all_have_ended() {
        let ended = record(&json!({"status": "FAILED"}));
        let running = record(&json!({"status": "TESTING"}));
        assert!(!is_over(&[], 1));
        assert!(is_over(std::slice::from_ref(&ended), 1));
        assert!(!is_over(std::slice::from_ref(&ended), 2));
        assert!(!is_over(&[ended, running], 1));
    }

    #[test]
    fn an_older_view_of_a_record_does_not_replace_a_newer_one() {
        let mut look = Look::new(Selection {
            tenant: "default".to_owned(),
            wave: None,
            app: None,
        });
        let newer = record(&json!({"version": 5, "status": "TESTING"}));
        let key = Key::of(&newer);
        look.keep(key.clone(), newer);
        look.keep(key.clone(), record(&json!({"version": 4})));
        assert_eq!(look.seen[&key].status, Status::Testing);
        look.keep(
            key.clone(),
            record(&json!({"version": 6, "status": "FAILED"})),
        );
        assert_eq!(look.seen[&key].status, Status::Failed);
    }
}
