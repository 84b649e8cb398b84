//! Whether the cutover window leaves room for the switch.

use jiff::{SignedDuration, Timestamp};
use landfall_domain::calendar::window::Opening;
use landfall_domain::request::MigrationRequest;
use landfall_domain::{Finding, WorkflowPlan};

/// How long a switch takes beside its soak: the launch, its verification and the finalize, with room for a slow one.
const SWITCH_MINUTES: i64 = 60;

/// Checks the request's own window; a wave's can be set at any time, and freezes change.
pub(super) fn check(request: &MigrationRequest, now: Timestamp) -> Option<Finding> {
    let plan = WorkflowPlan::of(request);
    let window = request.policy.window.as_ref().filter(|_| plan.switch)?;
    // One that cannot be read was refused with the message.
    let opening = Opening::of(window).ok()?;
    let found = serde_json::to_value(window).unwrap_or_default();
    if !opening.opens(now) {
        let message = "the cutover window does not open any more within a year.";
        return Some(
            Finding::blocking("WINDOW_NEVER_OPENS", "/policy/window", message)
                .evidence(found, "a window that opens within a year")
                .remedy("Give a window that is to come, or a recurrence that has not ended."),
        );
    }
    let soak = i64::from(plan.soak_seconds);
    let wanted = SignedDuration::from_mins(SWITCH_MINUTES) + SignedDuration::from_secs(soak);
    let open = opening.length();
    (open < wanted).then(|| {
        // Rounded so that the one stays below the other.
        let (open, wanted) = (open.as_mins(), (wanted.as_secs() + 59) / 60);
        let message = format!(
            "the cutover window is open for {open} minutes, and the switch with its soak takes about {wanted}: it may be \
             held between two steps until the window opens again."
        );
        Finding::warning("WINDOW_SHORT", "/policy/window", message)
            .evidence(open, wanted)
            .remedy("Make the window longer, or the soak shorter.")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::tests::{assert_helpful, request};
    use serde_json::{Value, json};

    #[test]
    fn a_window_must_be_to_come_and_should_leave_room() {
        let now: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        let window = |start: &str, end: &str, rule: Option<&str>| {
            let mut window = json!({"start": start, "end": end, "timeZone": "UTC"});
            if let Some(rule) = rule {
                window["recurrence"] = rule.into();
            }
            window
        };
        let policy = |window: Value| json!({"policy": {"window": window}});
        let long = |day: &str, rule| window(&format!("{day}T10:00"), &format!("{day}T14:00"), rule);
        let short = window("2026-11-28T22:00", "2026-11-28T22:59", Some("FREQ=DAILY"));
        let table = [
            (json!({}), None),
            (policy(long("2026-11-28", None)), None),
            // Open now, and once yet.
            (policy(long("2026-11-21", None)), None),
            (policy(long("2026-11-20", None)), Some("WINDOW_NEVER_OPENS")),
            (policy(long("2026-11-20", Some("FREQ=WEEKLY"))), None),
            (
                policy(long("2026-11-06", Some("FREQ=WEEKLY;COUNT=2"))),
                Some("WINDOW_NEVER_OPENS"),
            ),
            (policy(long("2028-11-20", None)), Some("WINDOW_NEVER_OPENS")),
            (policy(short.clone()), Some("warning: WINDOW_SHORT")),
            (
                json!({"policy": {"window": long("2026-11-28", None), "soakSeconds": 10_801}}),
                Some("warning: WINDOW_SHORT"),
            ),
            (
                json!({"policy": {"window": long("2026-11-28", None), "soakSeconds": 10_800}}),
                None,
            ),
            // Nothing is switched.
            (
                json!({"steps": ["replicate"], "policy": {"window": short}}),
                None,
            ),
        ];
        for (changes, expected) in table {
            let finding = check(&request(changes.clone()), now);
            assert_helpful(finding.as_slice());
            let told = finding.map(|it| {
                if it.is_blocking() {
                    it.code
                } else {
                    format!("warning: {}", it.code)
                }
            });
            assert_eq!(told.as_deref(), expected, "{changes}");
        }
    }
}
