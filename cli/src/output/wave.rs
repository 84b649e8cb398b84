//! What `landfall status --wave` prints: where each migration of a wave stands, and how long users were without it.

use std::fmt::Write as _;

use jiff::Timestamp;
use landfall_domain::outage::{Outage, Spread, WaveTimes};
use landfall_domain::request::Window;
use landfall_domain::{MigrationRecord, Status};

use super::rows::Row;
use super::table::{self, Cell};
use super::text::{Palette, duration, moment};
use super::window::words;

/// The migrations of a wave, by ID.
#[derive(Clone, Debug)]
pub struct Wave<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its own window, if one is set.
    pub window: Option<&'a Window>,
    /// Its migrations.
    pub records: &'a [MigrationRecord],
}

impl Wave<'_> {
    /// For scripts.
    pub fn json(&self) -> serde_json::Value {
        let migrations = self.records.iter().map(|record| {
            serde_json::json!({
                "migrationId": record.migration_id, "attempt": record.attempt, "status": record.status,
                "outage": Outage::of(record), "phaseMillis": record.phase_millis,
            })
        });
        serde_json::json!({
            "wave": self.name,
            "window": self.window,
            "migrations": migrations.collect::<Vec<_>>(),
            "times": WaveTimes::of(self.records),
        })
    }

    /// For people.
    pub fn text(&self, now: Timestamp, palette: Palette) -> String {
        let mut out = String::new();
        if let Some(window) = self.window {
            let _ = writeln!(out, "{}\n", words(self.name, Some(window), now));
        }
        let rows = self.records.iter().map(|record| {
            let row = Row::of(record, now);
            let status = record.status.as_str();
            let cells: [Cell; 5] = [
                record.migration_id.clone().into(),
                record.request.source_vm_id.clone().into(),
                Cell::painted(status, palette.status(record.status, status)),
                duration(row.seconds).into(),
                outage(record).into(),
            ];
            cells
        });
        let header = ["MIGRATION", "SERVER", "STAGE", "FOR", "OUTAGE"];
        for line in table::lines(header, rows.collect()) {
            let _ = writeln!(out, "{line}");
        }
        let times = WaveTimes::of(self.records);
        let seconds = |spread: Spread| [spread.p50, spread.p90, spread.max].map(seconds);
        let millis = |spread: Spread| [spread.p50, spread.p90, spread.max].map(millis);
        let mut rows = Vec::new();
        if let Some(spread) = times.outage_seconds {
            rows.push(row("outage", spread.count, seconds(spread)));
        }
        for (status, spread) in in_order(&times) {
            rows.push(row(status.as_str(), spread.count, millis(spread)));
        }
        if !rows.is_empty() {
            let _ = writeln!(out, "\n{}", palette.heading("How long it took"));
            for line in table::lines(["", "SERVERS", "P50", "P90", "MAX"], rows) {
                let _ = writeln!(out, "  {line}");
            }
        }
        out
    }
}

fn row(name: &str, count: usize, [p50, p90, max]: [String; 3]) -> [Cell; 5] {
    [
        name.into(),
        count.to_string().into(),
        p50.into(),
        p90.into(),
        max.into(),
    ]
}

/// The phases in the order of the flow.
fn in_order(times: &WaveTimes) -> impl Iterator<Item = (Status, Spread)> {
    Status::ALL
        .into_iter()
        .filter_map(|status| Some((status, *times.phase_millis.get(&status)?)))
}

/// An outage as a person reads it: one that has not ended is still going on.
pub(super) fn outage(record: &MigrationRecord) -> String {
    match Outage::of(record) {
        None => "-".to_owned(),
        Some(outage) => match outage.outage_seconds {
            Some(spent) => seconds(spent),
            None => format!("since {}", moment(&outage.quiesced_at)),
        },
    }
}

fn seconds(seconds: u64) -> String {
    duration(i64::try_from(seconds).unwrap_or(i64::MAX))
}

/// Milliseconds as a duration; what took less than a second says so.
pub(super) fn millis(millis: u64) -> String {
    match millis {
        0..1_000 => format!("{millis}ms"),
        _ => seconds(millis / 1_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::rows::tests::record;
    use serde_json::json;

    fn records() -> Vec<MigrationRecord> {
        let cutover = |verified: &str| {
            json!({
                "jobId": "mgnjob-1", "settingsDigest": "d", "startedAt": "2026-01-01T00:10:00Z",
                "verifiedAt": verified
            })
        };
        let mut one = record(&json!({
            "status": "SUCCEEDED", "endedAt": "2026-01-01T01:00:00Z",
            "done": {"cutover": cutover("2026-01-01T00:14:00Z")},
            "phaseMillis": {"PREPARING": 900, "CUTTING_OVER": 240_000}
        }));
        let mut two = record(&json!({
            "status": "SOAKING", "statusSince": "2026-01-01T00:16:00Z",
            "done": {"cutover": cutover("2026-01-01T00:16:00Z")},
            "phaseMillis": {"PREPARING": 1_900, "CUTTING_OVER": 360_000}
        }));
        let mut three = record(&json!({"status": "PREPARING"}));
        one.migration_id = "mig-1".into();
        two.migration_id = "mig-2".into();
        three.migration_id = "mig-3".into();
        vec![one, two, three]
    }

    #[test]
    fn a_wave_reads_as_printed_here() {
        let records = records();
        let mut wave = Wave {
            name: "wave-1",
            window: None,
            records: &records,
        };
        let now = "2026-01-01T01:00:00Z".parse().unwrap();
        let text = wave.text(now, Palette::OFF);
        let lines: Vec<Vec<&str>> = text
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(lines[1][2..], ["SUCCEEDED", "1h", "00m", "4m", "00s"]);
        assert_eq!(lines[2][2..], ["SOAKING", "44m", "00s", "6m", "00s"]);
        assert_eq!(lines[3].last(), Some(&"-"));
        assert_eq!(
            lines[7],
            ["outage", "2", "4m", "00s", "6m", "00s", "6m", "00s"]
        );
        assert_eq!(lines[8], ["PREPARING", "2", "900ms", "1s", "1s"]);
        assert_eq!(lines[9][..2], ["CUTTING_OVER", "2"]);
        let window = Window {
            start: "2026-01-02T22:00".into(),
            end: "2026-01-03T04:00".into(),
            time_zone: "Europe/Berlin".into(),
            recurrence: None,
        };
        wave.window = Some(&window);
        let with = wave.text(now, Palette::OFF);
        let (window, rest) = with.split_once("\n\n").unwrap();
        assert!(
            window.contains("It opens at 2026-01-02 22:00 CET"),
            "{window}"
        );
        assert_eq!(rest, text);
    }

    #[test]
    fn a_script_gets_the_numbers() {
        let records = records();
        let json = Wave {
            name: "wave-1",
            window: None,
            records: &records,
        }
        .json();
        assert_eq!(json["window"], serde_json::Value::Null);
        assert_eq!(json["migrations"][0]["outage"]["outageSeconds"], 240);
        assert_eq!(json["migrations"][2]["outage"], serde_json::Value::Null);
        assert_eq!(
            json["times"]["outageSeconds"],
            json!({"count": 2, "p50": 240, "p90": 360, "max": 360})
        );
        assert_eq!(json["times"]["phaseMillis"]["CUTTING_OVER"]["max"], 360_000);
    }
}
