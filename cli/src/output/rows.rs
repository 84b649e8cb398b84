//! One migration as one line of `landfall watch`.

use std::fmt::Write as _;

use jiff::Timestamp;
use landfall_domain::{MigrationRecord, Status};

use super::table::Cell;
use super::text::{Palette, clean, duration, seconds_since};

/// The columns of the live table.
pub const HEADER: [&str; 7] = [
    "MIGRATION",
    "SERVER",
    "STAGE",
    "FOR",
    "REPLICATION",
    "LAG",
    "INSTANCE",
];

/// How much of a reason fits a line; `landfall status` has all of it.
const REASON_CHARS: usize = 120;

/// What `watch` shows of a migration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The caller's ID.
    pub migration_id: String,
    /// Which submission of it.
    pub attempt: u32,
    /// The source's ID of the server.
    pub server: String,
    /// Where it stands.
    pub status: Status,
    /// How long it has stood there; of an ended migration, how long all of it took.
    pub seconds: i64,
    /// Replication, 0 to 100.
    pub percent: Option<u8>,
    /// Replication lag in seconds.
    pub lag: Option<u64>,
    /// The newest instance: the cutover's, else the test's.
    pub instance: Option<String>,
    /// Why it failed, has stalled or waits for its launch, in one line.
    pub reason: Option<String>,
}

/// Why a migration has failed, or what it waits for that a person may want to look at.
fn why(record: &MigrationRecord) -> Option<String> {
    if let Some(failure) = &record.failure {
        return Some(format!("{}: {}", failure.error, failure.message));
    }
    if record.status.is_end() {
        return None;
    }
    let stall = record.progress.as_ref().and_then(|it| it.stall.as_ref());
    if let Some(stall) = stall {
        return Some(format!("stalled: {}", super::summary::stalled(stall)));
    }
    let held = record.held.as_ref()?;
    Some(format!("waits: {}: {}", held.code, held.message))
}

impl Row {
    /// The line of a record at a moment.
    pub fn of(record: &MigrationRecord, now: Timestamp) -> Self {
        let span = match &record.ended_at {
            Some(ended) => ended
                .parse()
                .ok()
                .and_then(|ended| seconds_since(&record.created_at, ended)),
            None => seconds_since(&record.status_since, now),
        };
        let launches = [&record.done.cutover, &record.done.test];
        let progress = record.progress.as_ref();
        Self {
            migration_id: record.migration_id.clone(),
            attempt: record.attempt,
            server: record.request.source_vm_id.clone(),
            status: record.status,
            seconds: span.unwrap_or_default(),
            percent: progress.and_then(|progress| progress.percent),
            lag: progress.and_then(|progress| progress.lag_seconds),
            instance: launches
                .into_iter()
                .flatten()
                .find_map(|launch| launch.instance_id.clone()),
            reason: why(record).map(|why| shortened(&clean(&why))),
        }
    }

    /// The cells under [`HEADER`].
    pub fn cells(&self, palette: Palette) -> [Cell; 7] {
        let status = self.status.as_str();
        [
            clean(&self.migration_id).into(),
            clean(&self.server).into(),
            Cell::painted(status, palette.status(self.status, status)),
            duration(self.seconds).into(),
            self.percent.map_or_else(|| "-".to_owned(), bar).into(),
            self.lag().into(),
            self.instance
                .clone()
                .unwrap_or_else(|| "-".to_owned())
                .into(),
        ]
    }

    /// The line for a log: what changed, and when a reader may stop reading.
    pub fn log_line(&self) -> String {
        let mut line = format!("{}  {}  {}", self.migration_id, self.server, self.status);
        if self.attempt > 1 {
            let _ = write!(line, "  attempt {}", self.attempt);
        }
        if self.status.is_end() {
            let _ = write!(line, "  after {}", duration(self.seconds));
        } else if let Some(percent) = self.percent {
            let _ = write!(line, "  replication {percent} %  lag {}", self.lag());
        }
        if let Some(instance) = &self.instance {
            let _ = write!(line, "  {instance}");
        }
        if let Some(reason) = &self.reason {
            let _ = write!(line, "  {reason}");
        }
        clean(&line)
    }

    /// What must change for a new line in a log. Replication counts in steps of a quarter and lag not at all: both
    /// move all the time.
    pub fn landmark(&self) -> (u32, Status, Option<u8>, Option<&str>, Option<&str>) {
        let quarter = self.percent.map(|percent| percent / 25);
        let quarter = quarter.filter(|_| !self.status.is_end());
        let reason = self.reason.as_deref();
        (
            self.attempt,
            self.status,
            quarter,
            self.instance.as_deref(),
            reason,
        )
    }

    fn lag(&self) -> String {
        match self.lag {
            Some(seconds) => duration(i64::try_from(seconds).unwrap_or(i64::MAX)),
            None => "-".to_owned(),
        }
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(REASON_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// `█████░░░░░  52 %`
fn bar(percent: u8) -> String {
    let full = usize::from(percent.min(100)) / 10;
    format!(
        "{}{} {percent:>3} %",
        "█".repeat(full),
        "░".repeat(10 - full)
    )
}

/// How many of the migrations stand where, those on the way first: `2 REPLICATING, 1 SUCCEEDED`.
pub fn tally(rows: &[Row]) -> String {
    Status::ALL
        .iter()
        .filter_map(|status| {
            let count = rows.iter().filter(|row| row.status == *status).count();
            (count > 0).then(|| format!("{count} {status}"))
        })
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::output::table;

    /// A row on its way.
    pub(crate) fn row(id: &str, status: Status) -> Row {
        Row {
            migration_id: id.to_owned(),
            attempt: 1,
            server: "vm-1001".to_owned(),
            status,
            seconds: 65,
            percent: Some(52),
            lag: Some(12),
            instance: None,
            reason: None,
        }
    }

    /// A record as the table holds it.
    pub(crate) fn record(changes: &serde_json::Value) -> MigrationRecord {
        let mut record = serde_json::json!({
            "tenantId": "default", "migrationId": "mig-1", "attempt": 1, "version": 1, "status": "REPLICATING",
            "correlationId": "mig-c", "requestDigest": "d", "eventSeq": 1, "eventHash": "h",
            "createdAt": "2026-01-01T00:00:00Z", "updatedAt": "2026-01-01T00:01:00Z",
            "statusSince": "2026-01-01T00:01:00Z",
            "request": {
                "migrationId": "mig-1", "appName": "shop", "source": "azure", "target": "aws",
                "environment": "prod", "wave": "wave-1", "steps": ["replicate"], "sourceVmId": "vm-1"
            }
        });
        for (name, value) in changes.as_object().unwrap() {
            record[name] = value.clone();
        }
        serde_json::from_value(record).unwrap()
    }

    #[test]
    fn what_a_migration_waits_for_is_told() {
        let now = "2026-01-01T00:01:30Z".parse().unwrap();
        let row = |changes: serde_json::Value| Row::of(&record(&changes), now);
        let stall = serde_json::json!({"error": "AGENT_NOT_SEEN", "since": "2026-01-01T00:01:00Z", "retries": 2});
        let progress = serde_json::json!({"state": "STALLED", "observedAt": "", "stall": stall});
        let stalled = row(serde_json::json!({"progress": progress.clone()}));
        let line = stalled.log_line();
        assert!(
            line.contains("stalled: AGENT_NOT_SEEN since 2026-01-01T00:01:00Z, asked 2 times"),
            "{line}"
        );
        let held = serde_json::json!({"code": "LAG_TOO_HIGH", "severity": "warning", "message": "it lags."});
        let held = row(serde_json::json!({"status": "READY_FOR_TEST", "held": held}));
        assert!(
            held.log_line().ends_with("  waits: LAG_TOO_HIGH: it lags."),
            "{}",
            held.log_line()
        );
        assert_ne!(
            held.landmark(),
            row(serde_json::json!({"status": "READY_FOR_TEST"})).landmark()
        );
        let ended = row(serde_json::json!({"status": "SUCCEEDED", "progress": progress}));
        assert_eq!(ended.reason, None);
    }

    #[test]
    fn a_record_on_its_way_shows_its_time_in_the_stage_and_an_ended_one_all_its_time() {
        let now = "2026-01-01T00:01:30Z".parse().unwrap();
        let progress = serde_json::json!({"state": "INITIAL_SYNC", "percent": 40, "lagSeconds": 7, "observedAt": ""});
        let on_its_way = Row::of(&record(&serde_json::json!({"progress": progress})), now);
        assert_eq!(
            (on_its_way.seconds, on_its_way.percent, on_its_way.lag),
            (30, Some(40), Some(7))
        );
        let launch = |id: &str| serde_json::json!({"jobId": "j", "settingsDigest": "", "startedAt": "", "instanceId": id});
        let ended = Row::of(
            &record(&serde_json::json!({
                "status": "SUCCEEDED", "endedAt": "2026-01-01T00:05:00Z",
                "done": {"test": launch("i-test"), "cutover": launch("i-cutover")}
            })),
            now,
        );
        assert_eq!(
            (ended.seconds, ended.instance.as_deref()),
            (300, Some("i-cutover"))
        );
    }

    #[test]
    fn the_table_reads_as_printed_here() {
        let mut second = row("mig-22", Status::RolledBack);
        (second.percent, second.lag) = (None, None);
        second.instance = Some("i-0abc".to_owned());
        let rows = [row("mig-1", Status::Replicating), second];
        let cells = rows.iter().map(|row| row.cells(Palette::OFF)).collect();
        assert_eq!(
            table::text(HEADER, cells),
            "MIGRATION  SERVER   STAGE        FOR     REPLICATION       LAG  INSTANCE\n\
             mig-1      vm-1001  REPLICATING  1m 05s  █████░░░░░  52 %  12s  -\n\
             mig-22     vm-1001  ROLLED_BACK  1m 05s  -                 -    i-0abc\n"
        );
    }

    #[test]
    fn log_lines_say_why_it_ended() {
        let mut row = row("mig-1", Status::Replicating);
        assert_eq!(
            row.log_line(),
            "mig-1  vm-1001  REPLICATING  replication 52 %  lag 12s"
        );
        row.status = Status::RolledBack;
        row.attempt = 2;
        row.reason = Some("VerificationError: unhealthy".to_owned());
        assert_eq!(
            row.log_line(),
            "mig-1  vm-1001  ROLLED_BACK  attempt 2  after 1m 05s  VerificationError: unhealthy"
        );
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        assert_eq!(shortened("short"), "short");
        let cut = shortened(&"é".repeat(200));
        assert_eq!(cut.chars().count(), REASON_CHARS + 1);
        assert!(cut.ends_with('…'));
    }

    #[test]
    fn lag_and_small_steps_are_no_landmarks() {
        let before = row("mig-1", Status::Replicating);
        let mut after = before.clone();
        (after.lag, after.percent, after.seconds) = (Some(99), Some(60), 70);
        assert_eq!(before.landmark(), after.landmark());
        after.percent = Some(75);
        assert_ne!(before.landmark(), after.landmark());
    }

    #[test]
    fn the_tally_counts_in_the_order_of_the_flow() {
        let rows = [
            row("a", Status::Succeeded),
            row("b", Status::Replicating),
            row("c", Status::Replicating),
        ];
        assert_eq!(tally(&rows), "2 REPLICATING, 1 SUCCEEDED");
    }
}
