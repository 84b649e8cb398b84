//! What `landfall status` prints: the record, the failure, the timeline and refused messages.

use std::fmt::Write as _;

use jiff::Timestamp;
use landfall_common::state::{HistoryEntry, Rejection, verify_history};
use landfall_domain::control::Order;
use landfall_domain::gate::{Answer, ApprovalRule};
use landfall_domain::outage::Outage;
use landfall_domain::{EventType, MigrationRecord, finalize};

use super::summary::{failed, findings, heading, later};
use super::text::{Palette, between, clean, moment};

/// Everything known of a migration.
#[derive(Clone, Debug)]
pub struct Story {
    /// The record; absent when every message with the ID was refused.
    pub record: Option<MigrationRecord>,
    /// The history, oldest first.
    pub history: Vec<HistoryEntry>,
    /// Refused messages, oldest first.
    pub rejections: Vec<Rejection>,
}

impl Story {
    /// Whether there is anything to tell.
    pub const fn is_empty(&self) -> bool {
        self.record.is_none() && self.history.is_empty() && self.rejections.is_empty()
    }

    /// The entry at which the history was changed or cut; `None` when it is whole.
    pub fn broken_at(&self) -> Option<u32> {
        if let Err(seq) = verify_history(&self.history) {
            return Some(seq);
        }
        // A chain that lost its last entries is whole in itself; the record knows how it must go on. The history may
        // well be longer than the record says: it is read after it.
        let record = self.record.as_ref()?;
        let index = usize::try_from(record.event_seq).ok()?.checked_sub(1)?;
        match self.history.get(index) {
            Some(entry) if entry.hash == record.event_hash => None,
            _ => Some(record.event_seq),
        }
    }

    /// For scripts.
    pub fn json(&self) -> serde_json::Value {
        let broken = self.broken_at();
        serde_json::json!({
            "record": self.record,
            "outage": self.record.as_ref().and_then(Outage::of),
            "guard": self.record.as_ref().map(finalize::guard),
            "history": self.history,
            "historyIntact": broken.is_none(),
            "historyBrokenAt": broken,
            "rejections": self.rejections,
        })
    }

    /// For people.
    pub fn text(&self, now: Timestamp, palette: Palette) -> String {
        let mut out = String::new();
        if let Some(record) = &self.record {
            heading(&mut out, record, now, palette);
            if let Some(failure) = &record.failure {
                failed(&mut out, failure, palette);
            }
            if let Some(hand_over) = &record.hand_over {
                let _ = writeln!(out, "\n{}", palette.heading("Hand-over"));
                for line in hand_over.text().lines() {
                    let _ = writeln!(out, "  {}", clean(line));
                }
            }
            self.timeline(&mut out, palette);
        }
        if !self.rejections.is_empty() {
            let _ = writeln!(
                out,
                "\n{}",
                palette.heading("Refused messages with this ID")
            );
        }
        for rejection in &self.rejections {
            let _ = writeln!(
                out,
                "  {}  {}  correlation {}",
                moment(&rejection.rejected_at),
                palette.bad(&rejection.reason),
                rejection.correlation_id
            );
            findings(&mut out, &rejection.findings, "    ");
        }
        out
    }

    fn timeline(&self, out: &mut String, palette: Palette) {
        let verdict = match self.broken_at() {
            None => palette.good(&format!(
                "{} entries, hash chain intact",
                self.history.len()
            )),
            Some(seq) => palette.bad(&format!(
                "HISTORY WAS CHANGED: entry {seq} does not fit the chain"
            )),
        };
        let _ = writeln!(out, "\n{}  {verdict}", palette.heading("Timeline"));
        let mut began = "";
        let mut attempt = 0;
        for entry in &self.history {
            let detail = &entry.detail;
            if detail.attempt != attempt {
                attempt = detail.attempt;
                began = &detail.occurred_at;
                let _ = writeln!(out, "  attempt {attempt}, {}", moment(began));
            }
            let status = match detail.from {
                Some(from) if from != detail.to => format!("{from} → {}", detail.to),
                _ => detail.to.to_string(),
            };
            let mut line = format!(
                "  {:>8}  {:<20}  {status}",
                format!("+{}", between(began, &detail.occurred_at)),
                entry.event_type.as_str(),
            );
            if let Some(job) = &detail.job_id {
                let _ = write!(line, "  {job}");
            }
            if let Some(reason) = &detail.reason_code {
                let _ = write!(line, "  {reason}");
            }
            out.push_str(&clean(&line));
            out.push('\n');
            for asked in asked(entry).into_iter().chain(said(entry)) {
                let _ = writeln!(out, "            {}", clean(&asked));
            }
        }
    }
}

/// Who is asked by an entry that asks people, a line for each rule.
fn asked(entry: &HistoryEntry) -> Vec<String> {
    let (asks, escalates) = (EventType::ApprovalRequested, EventType::ApprovalEscalated);
    let evidence = entry.detail.evidence.as_ref();
    let rules = evidence.filter(|_| [asks, escalates].contains(&entry.event_type));
    let rules = rules.and_then(|it| serde_json::from_value(it["rules"].clone()).ok());
    let rules: Vec<ApprovalRule> = rules.unwrap_or_default();
    let line = |rule: &ApprovalRule| {
        let mut names = rule.approvers.clone();
        let mut until = String::new();
        if entry.event_type == escalates {
            names.extend(rule.escalate_to.iter().cloned());
        } else if let Some(end) = later(&entry.detail.occurred_at, rule.deadline_seconds) {
            until = format!(", until {end}");
        }
        format!("wanted: {} of {}{until}", rule.count, names.join(", "))
    };
    rules.iter().map(line).collect()
}

/// Who ordered or answered what an entry tells, and why.
fn said(entry: &HistoryEntry) -> Option<String> {
    let evidence = entry.detail.evidence.as_ref()?;
    if let Ok(answer) = serde_json::from_value::<Answer>(evidence["answer"].clone()) {
        let word = if answer.approve { "agreed" } else { "refused" };
        let change = answer
            .change_reference
            .map_or_else(String::new, |it| format!(" ({it})"));
        return Some(format!("{} {word}{change}: {}", answer.by, answer.reason));
    }
    let order = serde_json::from_value::<Order>(evidence["order"].clone()).ok()?;
    Some(format!("by {}: {}", order.by, order.reason))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::rows::tests::record;
    use landfall_domain::digest;
    use serde_json::json;

    fn history() -> Vec<HistoryEntry> {
        let mut previous = String::new();
        [
            ("MigrationRequested", json!(null), "REQUESTED", "00:00"),
            ("ValidationPassed", json!("REQUESTED"), "VALIDATING", "00:02"),
            ("HealthCheckFailed", json!("VALIDATING"), "VALIDATING", "01:10"),
        ]
        .into_iter()
        .enumerate()
        .map(|(index, (event, from, to, at))| {
            let mut detail = json!({
                "schemaVersion": "1.0", "tenantId": "default", "migrationId": "mig-1", "correlationId": "mig-c",
                "appName": "shop", "wave": "wave-1", "from": from, "to": to, "attempt": 1,
                "occurredAt": format!("2026-01-01T00:{at}Z")
            });
            if event == "HealthCheckFailed" {
                detail["reasonCode"] = json!("HTTP_STATUS");
            }
            let detail: landfall_domain::event::Detail = serde_json::from_value(detail).unwrap();
            let hash = digest::chain(&previous, &detail).unwrap();
            let entry = json!({
                "seq": index + 1, "eventType": event, "detail": detail, "previousHash": previous, "hash": hash
            });
            previous = hash;
            serde_json::from_value(entry).unwrap()
        })
        .collect()
    }

    fn story() -> Story {
        let history = history();
        let failure = json!({
            "error": "VerificationError", "message": "the test instance is not healthy", "state": "VerifyTest",
            "findings": [{"code": "HTTP_STATUS", "severity": "blocking", "pointer": "/healthChecks/0",
                          "message": "503 instead of 200.", "remedy": "Look at the application."}]
        });
        let changes = json!({
            "status": "ROLLED_BACK", "endedAt": "2026-01-01T00:01:12Z", "failure": failure,
            "sourceServerId": "s-1", "eventSeq": 3, "eventHash": history[2].hash,
            "callback": {"id": "msg_1", "delivered": true, "outcome": "204", "at": "2026-01-01T00:01:13Z"}
        });
        Story {
            record: Some(record(&changes)),
            history,
            rejections: Vec::new(),
        }
    }

    #[test]
    fn the_story_reads_as_printed_here() {
        let now = "2026-01-01T01:00:00Z".parse().unwrap();
        assert_eq!(
            story().text(now, Palette::OFF),
            "mig-1  ROLLED_BACK  after 1m 12s\n  \
               server        vm-1 (azure)\n  \
               application   shop, wave wave-1, attempt 1\n  \
               correlation   mig-c\n  \
               MGN server    s-1\n  \
               callback      delivered: 204\n\
             \nVerificationError in VerifyTest: the test instance is not healthy\n  \
               - HTTP_STATUS at /healthChecks/0: 503 instead of 200. Look at the application.\n\
             \nTimeline  3 entries, hash chain intact\n  \
               attempt 1, 2026-01-01T00:00:00Z\n       \
                    +0s  MigrationRequested    REQUESTED\n       \
                    +2s  ValidationPassed      REQUESTED → VALIDATING\n   \
                +1m 10s  HealthCheckFailed     VALIDATING  HTTP_STATUS\n"
        );
    }

    #[test]
    fn what_is_left_to_a_person_stands_before_the_timeline() {
        let hand_over = json!({
            "because": "REVERT_LIFECYCLE: refused", "done": [{"compensation": "POWER_ON_SOURCE", "said": "vm-1 runs"}],
            "byHand": ["In MGN, revert the lifecycle."],
        });
        let mut story = story();
        story.record = Some(record(&json!({"status": "FROZEN", "handOver": hand_over})));
        let text = story.text(Timestamp::UNIX_EPOCH, Palette::OFF);
        let wanted = "\nHand-over\n  \
            The rollback was not completed: REVERT_LIFECYCLE: refused.\n  \
            Done:\n    - POWER_ON_SOURCE: vm-1 runs\n  \
            By hand, in this order:\n    1. In MGN, revert the lifecycle.\n\
            \nTimeline";
        assert!(text.contains(wanted), "{text}");
    }

    #[test]
    fn whether_mgn_was_asked_to_archive_it_or_has_done_so_is_told() {
        let asked = json!({"archivingAt": "2026-01-01T00:00:00Z"});
        let mut done = asked.clone();
        done["archivedAt"] = "2026-01-01T00:01:00Z".into();
        for (done, wanted, other) in [
            (asked, "MGN is asked since 2026", "in MGN since"),
            (done, "in MGN since 2026", "is asked since"),
        ] {
            let mut story = story();
            story.record = Some(record(&json!({"status": "SUCCEEDED", "done": done})));
            let text = story.text(Timestamp::UNIX_EPOCH, Palette::OFF);
            assert!(text.contains(wanted) && !text.contains(other), "{text}");
        }
    }

    #[test]
    fn an_entry_that_a_person_made_says_who_and_why() {
        let by = "arn:aws:iam::123456789012:user/ann";
        let order = json!({"order": {"by": by, "reason": "the link is down", "at": "2026-01-01T00:00:00Z"}});
        let answer = |approve: bool, change: serde_json::Value| {
            json!({"gate": "cutover", "answer": {
                "by": by, "approve": approve, "reason": "all is well", "changeReference": change, "at": "2026-01-01T00:00:00Z",
            }})
        };
        for (evidence, wanted) in [
            (order, format!("by {by}: the link is down")),
            (
                answer(true, json!("CHG1")),
                format!("{by} agreed (CHG1): all is well"),
            ),
            (
                answer(false, json!(null)),
                format!("{by} refused: all is well"),
            ),
        ] {
            let mut story = story();
            story.history[2].detail.evidence = Some(evidence);
            let text = story.text(Timestamp::UNIX_EPOCH, Palette::OFF);
            let line = format!("HTTP_STATUS\n            {wanted}\n");
            assert!(text.contains(&line), "{text}");
        }
    }

    #[test]
    fn a_changed_or_cut_history_is_told() {
        let mut changed = story();
        changed.history[1].detail.wave = "another".to_owned();
        assert_eq!(changed.broken_at(), Some(2));
        let text = changed.text(Timestamp::UNIX_EPOCH, Palette::OFF);
        assert!(text.contains("HISTORY WAS CHANGED: entry 2"), "{text}");

        let mut cut = story();
        cut.history.pop();
        assert_eq!(cut.broken_at(), Some(3));
        assert_eq!(cut.json()["historyIntact"], false);
        assert_eq!(story().json()["historyIntact"], true);
    }

    #[test]
    fn refused_messages_are_told_even_without_a_record() {
        let rejection = json!({
            "reason": "SCHEMA_INVALID", "correlationId": "mig-c", "rejectedAt": "2026-01-01T00:00:00Z",
            "findings": [{"code": "SCHEMA_INVALID", "severity": "blocking", "pointer": "/source", "message": "no."}]
        });
        let story = Story {
            record: None,
            history: Vec::new(),
            rejections: vec![serde_json::from_value(rejection).unwrap()],
        };
        assert_eq!(
            story.text(Timestamp::UNIX_EPOCH, Palette::OFF),
            "\nRefused messages with this ID\n  \
               2026-01-01T00:00:00Z  SCHEMA_INVALID  correlation mig-c\n    \
                 - SCHEMA_INVALID at /source: no.\n"
        );
    }
}
