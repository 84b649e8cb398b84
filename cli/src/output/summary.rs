//! A record in a few lines: where it stands, what was made for it, and why it failed.

use std::fmt::Write as _;

use jiff::{SignedDuration, Timestamp};
use landfall_domain::finalize::{self, State};
use landfall_domain::gate::{Gate, GateRecord};
use landfall_domain::outage::Outage;
use landfall_domain::record::{CallbackDelivery, Failure, Launch};
use landfall_domain::replication::stall::{Stall, advice};
use landfall_domain::{Finding, MigrationRecord, Status, WorkflowPlan};

use super::rows::Row;
use super::text::{Palette, clean, duration, moment, seconds_since};
use super::wave::outage;

pub(super) fn heading(
    out: &mut String,
    record: &MigrationRecord,
    now: Timestamp,
    palette: Palette,
) {
    let row = Row::of(record, now);
    let request = &record.request;
    let span = duration(row.seconds);
    let stands = if record.status.is_end() {
        format!("after {span}")
    } else {
        let whole = seconds_since(&record.created_at, now).unwrap_or_default();
        format!("for {span}, {} in all", duration(whole))
    };
    let _ = writeln!(
        out,
        "{}  {}  {stands}",
        palette.heading(&clean(&record.migration_id)),
        palette.status(record.status, record.status.as_str()),
    );
    let mut field = |name: &str, value: String| {
        let _ = writeln!(out, "  {name:<13} {}", clean(&value));
    };
    let source = serde_json::to_value(request.source).unwrap_or_default();
    let source = source.as_str().unwrap_or_default();
    field("server", format!("{} ({source})", request.source_vm_id));
    if let Some(name) = &request.target_vm_name {
        field("target", name.clone());
    }
    field(
        "application",
        format!(
            "{}, wave {}, attempt {}",
            request.app_name, request.wave, record.attempt
        ),
    );
    field("correlation", record.correlation_id.clone());
    if let Some(id) = &record.source_server_id {
        field("MGN server", id.clone());
    }
    if let Some(progress) = &record.progress {
        let mut text = progress.state.clone();
        if let Some(percent) = progress.percent {
            let _ = write!(text, ", {percent} %");
        }
        if let Some(lag) = progress.lag_seconds {
            let _ = write!(
                text,
                ", lag {}",
                duration(i64::try_from(lag).unwrap_or(i64::MAX))
            );
        }
        if let Some(eta) = &progress.eta {
            let _ = write!(text, ", done by {} as MGN reckons", moment(eta));
        }
        field("replication", text);
        if let Some(stall) = &progress.stall {
            field("stalled", stalled(stall));
        }
    }
    let open = |it: &GateRecord| it.granted_at.is_none() && it.refused_at.is_none();
    let asks = record.gate(Gate::Rollback).is_some_and(open) && !record.status.is_end();
    if asks && !record.is_being_undone() {
        let text = "people's agreement to the rollback, at the gate rollback";
        field("waits for", text.to_owned());
    } else if let Some(held) = &record.held {
        field("waits for", format!("{}: {}", held.code, held.message));
    }
    people(&mut field, record);
    for (name, launch) in [
        ("test", &record.done.test),
        ("cutover", &record.done.cutover),
    ] {
        if let Some(launch) = launch {
            field(name, launched(launch));
        }
    }
    night(&mut field, record);
    if let Some(callback) = &record.callback {
        field("callback", told(callback));
    }
    if let Some(arn) = &record.execution_arn {
        field("workflow", arn.clone());
    }
}

/// What operators have ordered, and how the gates stand.
fn people(field: &mut impl FnMut(&str, String), record: &MigrationRecord) {
    let control = &record.control;
    for (name, order) in [
        ("ordered", &control.ordered),
        ("paused", &control.paused),
        ("past window", &control.past_window),
        ("cancelled", &control.cancel),
        ("EMERGENCY", &control.emergency),
    ] {
        if let Some(order) = order {
            field(
                name,
                format!("by {} at {}: {}", order.by, moment(&order.at), order.reason),
            );
        }
    }
    for gate in &record.gates {
        let stands = match (&gate.granted_at, &gate.refused_at) {
            (Some(at), _) if gate.answers.is_empty() => {
                format!("passed {}, nobody was to be asked", moment(at))
            }
            (Some(at), _) => format!("granted {}", moment(at)),
            (None, Some(at)) => format!("refused {}", moment(at)),
            (None, None) if record.status.is_end() && gate.gate != Gate::Decommission => {
                "not decided".to_owned()
            }
            (None, None) => format!(
                "asks since {}; answer with landfall approve or deny {} --gate {}",
                moment(&gate.opened_at),
                record.migration_id,
                gate.gate.as_str()
            ),
        };
        field("gate", format!("{}: {stands}", gate.gate.as_str()));
        for answer in &gate.answers {
            let word = if answer.approve { "agreed" } else { "refused" };
            let change = answer
                .change_reference
                .as_deref()
                .map_or_else(String::new, |it| format!(" ({it})"));
            field(
                "",
                format!(
                    "{} {word} {}: {}{change}",
                    answer.by,
                    moment(&answer.at),
                    answer.reason
                ),
            );
        }
    }
}

/// The soak, the outage, the steps of finalize with what they have seen, and what became of the source.
fn night(field: &mut impl FnMut(&str, String), record: &MigrationRecord) {
    if let Some(soak) = &record.done.soak {
        let mut text = format!(
            "round {} of {}, since {}",
            soak.round,
            soak.rounds,
            moment(&soak.started_at)
        );
        let whole = record.request.policy.soak_seconds.unwrap_or(0);
        if let (false, Some(end)) = (soak.is_over(), later(&soak.started_at, whole)) {
            let _ = write!(text, ", until about {end}");
        }
        field("soak", text);
    }
    if Outage::of(record).is_some() {
        field("outage", outage(record));
    }
    for note in &record.done.finalize {
        let state = match note.state {
            State::Begun => "begun",
            State::Done => "done",
            State::Left => "left",
        };
        let text = format!("{} {state} {}", note.step.as_str(), moment(&note.at));
        field("finalize", text);
    }
    if !record.done.finalize.is_empty() && record.done.finalized_at.is_none() {
        let proof = finalize::guard(record);
        let open = finalize::missing(&proof);
        if !open.is_empty() {
            field("not proved", open.join(", "));
        }
    }
    if let Some(gone) = &record.done.decommission {
        let text = match gone.state {
            State::Done => format!("deleted {}", moment(&gone.at)),
            _ => format!("being deleted since {}", moment(&gone.at)),
        };
        field("source", text);
    }
    let refused = record.done.warnings.iter();
    for finding in refused.filter(|finding| finding.code == "NOT_ARCHIVED") {
        field(
            "not archived",
            format!("{} {}", finding.message, finding.remedy),
        );
    }
    let done = &record.done;
    match (&done.archived_at, &done.archiving_at) {
        (Some(at), _) => field("archived", format!("in MGN since {}", moment(at))),
        (None, Some(at)) => field("archived", format!("MGN is asked since {}", moment(at))),
        (None, None) => {}
    }
    retention(field, record);
}

/// What is still to come after a success.
fn retention(field: &mut impl FnMut(&str, String), record: &MigrationRecord) {
    let left = WorkflowPlan::after_success(record);
    let over = record
        .ended_at
        .as_deref()
        .filter(|_| record.status == Status::Succeeded);
    let end = over.and_then(|ended| later(ended, left.archive_after_seconds));
    if let (Some(end), 1..) = (end, left.archive_after_seconds) {
        let then = if left.decommission {
            "then people are asked whether the source goes, and MGN archives its server"
        } else {
            "then MGN archives the source server"
        };
        field("retention", format!("until {end}, {then}"));
    }
}

/// So many seconds after an RFC 3339 time.
pub(super) fn later(at: &str, seconds: u32) -> Option<String> {
    let at: Timestamp = at.parse().ok()?;
    let later = at.checked_add(SignedDuration::from_secs(i64::from(seconds)));
    Some(moment(&later.ok()?.to_string()))
}

/// A stall, with what a person should look at.
pub(super) fn stalled(stall: &Stall) -> String {
    let asked = match stall.retries {
        0 => String::new(),
        1 => ", asked once to begin again".to_owned(),
        times => format!(", asked {times} times to begin again"),
    };
    let remedy = advice(&stall.error).remedy;
    format!(
        "{} since {}{asked}. {remedy}",
        stall.error,
        moment(&stall.since)
    )
}

fn told(callback: &CallbackDelivery) -> String {
    let outcome = &callback.outcome;
    match (&callback.next_try_at, callback.delivered) {
        (_, true) => format!("delivered: {outcome}"),
        (Some(at), false) => {
            let tries = match callback.tries {
                1 => "1 try".to_owned(),
                tries => format!("{tries} tries"),
            };
            format!(
                "not delivered yet, after {tries}: {outcome}; the next one at {}",
                moment(at)
            )
        }
        (None, false) => format!(
            "NOT delivered: {outcome}. `landfall callbacks redeliver {}` sends it again.",
            callback.id
        ),
    }
}

fn launched(launch: &Launch) -> String {
    let instance = launch.instance_id.as_deref().unwrap_or("no instance yet");
    let verified = match &launch.verified_at {
        Some(at) => format!("verified {}", moment(at)),
        None => "not verified".to_owned(),
    };
    format!("{}, {instance}, {verified}", launch.job_id)
}

pub(super) fn failed(out: &mut String, failure: &Failure, palette: Palette) {
    let place = if failure.state.is_empty() {
        String::new()
    } else {
        format!(" in {}", failure.state)
    };
    let _ = writeln!(
        out,
        "\n{}{place}: {}",
        palette.bad(&failure.error),
        clean(&failure.message)
    );
    findings(out, &failure.findings, "  ");
}

/// One line a finding: its code, where, what is wrong and what to do.
pub fn findings(out: &mut String, findings: &[Finding], indent: &str) {
    for (index, finding) in findings.iter().enumerate() {
        let mut line = finding.code.clone();
        if !finding.pointer.is_empty() {
            let _ = write!(line, " at {}", finding.pointer);
        }
        let _ = write!(line, ": {}", finding.message);
        // What helps against several in a row is said once.
        let next = findings.get(index + 1).map(|next| &next.remedy);
        if !finding.remedy.is_empty() && next != Some(&finding.remedy) {
            let _ = write!(line, " {}", finding.remedy);
        }
        let _ = writeln!(out, "{indent}- {}", clean(&line));
    }
}
