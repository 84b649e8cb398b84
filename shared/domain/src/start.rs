//! Whether a pending launch starts now: what MGN shows of the server and its jobs, against what the launch wants.
//!
//! StartTest and StartCutover have no client token, so a launch that was carried out already must be recognized before
//! anything is called: [`Decision::AlreadyApplied`] is an answer like the others.
//! Sources: MGN API `LifeCycleState`; one job at a time per source server (quota L-615F978B).

use jiff::Timestamp;

use crate::finding::{Finding, Severity};
use crate::record::LaunchAction;
use crate::replication::{self, Replication};
use crate::request::Policy;

/// A server that a launch is pending for, as MGN shows it.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// Its ID.
    pub server_id: &'a str,
    /// `lifeCycle.state`.
    pub lifecycle: &'a str,
    /// How its replication stands.
    pub replication: &'a Replication,
    /// An unfinished job that has it.
    pub busy_with: Option<&'a str>,
}

/// A launch that waits for its turn.
#[derive(Clone, Copy, Debug)]
pub struct Pending<'a> {
    /// Test or cutover.
    pub action: LaunchAction,
    /// The source's ID of the server.
    pub source_vm_id: &'a str,
    /// The limits of the replication gate.
    pub policy: &'a Policy,
    /// When it counts as failed. An unreadable time never comes.
    pub due_at: &'a str,
    /// The job that carries the intent of this launch, where there is one.
    pub applied: Option<&'a str>,
    /// Whether MGN may yet carry out what it was last asked: no answer came.
    pub unconfirmed: bool,
}

/// What becomes of a pending launch.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// MGN has carried it out: this job is its.
    AlreadyApplied(String),
    /// MGN may be called.
    Start,
    /// Not yet; the finding says what is in the way, with the numbers.
    Wait(Finding),
    /// Never.
    Refuse {
        /// What a person should read.
        text: String,
        /// The numbers that did not pass.
        findings: Vec<Finding>,
    },
}

impl Decision {
    fn refuse(text: String) -> Self {
        Self::Refuse {
            text,
            findings: Vec::new(),
        }
    }
}

/// The lifecycle states that MGN launches from. It leaves a server in TESTING after a test, and a new test from there is
/// allowed; a cutover straight from READY_FOR_TEST is for requests whose pre-flight allowed it.
pub const fn allowed(action: LaunchAction) -> &'static [&'static str] {
    match action {
        LaunchAction::Test => &["READY_FOR_TEST", "TESTING", "READY_FOR_CUTOVER"],
        LaunchAction::Cutover => &["READY_FOR_CUTOVER", "READY_FOR_TEST"],
    }
}

/// Decides about one pending launch. `None` is a server that MGN does not know.
pub fn decide(
    pending: &Pending<'_>,
    candidate: Option<&Candidate<'_>>,
    now: Timestamp,
) -> Decision {
    if let Some(job_id) = pending.applied {
        return Decision::AlreadyApplied(job_id.to_owned());
    }
    if pending.unconfirmed {
        let text =
            "MGN gave no answer to its last call; whether it was carried out shows within 90 s.";
        return Decision::Wait(held("LAUNCH_UNCONFIRMED", text.to_owned()));
    }
    let action = pending.action.as_str();
    let Some(server) = candidate else {
        return Decision::refuse(format!(
            "MGN knows no source server for {}; reinstall the replication agent, then resubmit",
            pending.source_vm_id
        ));
    };
    let id = server.server_id;
    let blockers = replication::blockers(server.replication, pending.policy, now);
    let overdue = pending
        .due_at
        .parse::<Timestamp>()
        .is_ok_and(|due| due < now);
    if overdue {
        let why = match (server.busy_with, blockers.as_slice()) {
            (Some(job), _) => format!("job {job} of somebody else is still in progress for it"),
            (None, [first, ..]) => {
                format!("it does not pass the replication gate: {}", first.message)
            }
            (None, []) => "MGN's quotas left no room for it".to_owned(),
        };
        let due = pending.due_at;
        return Decision::Refuse {
            text: format!("the {action} launch of {id} did not get its turn by {due}: {why}"),
            findings: blockers,
        };
    }
    if let Some(job) = server.busy_with {
        let text = format!("job {job} is in progress for it.");
        return Decision::Wait(held("ACTIVE_JOB_EXISTS", text));
    }
    let allowed = allowed(pending.action);
    if !allowed.contains(&server.lifecycle) && replication::hopeless(server.replication).is_none() {
        return Decision::refuse(format!(
            "source server {id} is {} in MGN; a {action} launch needs {}",
            server.lifecycle,
            allowed.join(" or ")
        ));
    }
    if let Some(why) = replication::hopeless(server.replication) {
        return Decision::Refuse {
            text: format!("source server {id} is not ready for a {action} launch: {why}"),
            findings: blockers,
        };
    }
    blockers
        .into_iter()
        .next()
        .map_or(Decision::Start, |mut first| {
            first.severity = Severity::Warning;
            Decision::Wait(first)
        })
}

/// What holds back a launch that MGN's quotas leave no room for.
pub fn no_room() -> Finding {
    held(
        "QUOTA_IN_FLIGHT",
        "MGN's quotas leave no room for it now; launches get their turn in the order they came."
            .to_owned(),
    )
}

fn held(code: &str, text: String) -> Finding {
    Finding::warning(code, "", text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-11-21T12:00:00Z";

    fn ready() -> Replication {
        Replication {
            state: "CONTINUOUS".into(),
            lag_duration: Some("P0D".into()),
            ..Replication::default()
        }
    }

    fn decided(
        action: LaunchAction,
        change: impl Fn(&mut Replication, &mut Candidate<'_>, &mut Pending<'_>),
    ) -> Decision {
        let mut replication = ready();
        let untouched = Replication::default();
        let mut candidate = Candidate {
            server_id: "s-1",
            lifecycle: "READY_FOR_CUTOVER",
            replication: &untouched,
            busy_with: None,
        };
        let policy = Policy::default();
        let mut pending = Pending {
            action,
            source_vm_id: "vm-1",
            policy: &policy,
            due_at: "2026-11-21T13:00:00Z",
            applied: None,
            unconfirmed: false,
        };
        change(&mut replication, &mut candidate, &mut pending);
        let candidate = Candidate {
            replication: &replication,
            ..candidate
        };
        decide(&pending, Some(&candidate), NOW.parse().unwrap())
    }

    fn refused(decision: Decision) -> (String, Vec<String>) {
        let Decision::Refuse { text, findings } = decision else {
            panic!("{decision:?} is no refusal");
        };
        (text, findings.into_iter().map(|f| f.code).collect())
    }

    #[test]
    fn what_is_there_already_comes_before_everything() {
        for action in [LaunchAction::Test, LaunchAction::Cutover] {
            let decision = decided(action, |replication, server, pending| {
                replication.state = "DISCONNECTED".into();
                server.busy_with = Some("mgnjob-1");
                pending.due_at = "2026-11-21T11:00:00Z";
                pending.applied = Some("mgnjob-1");
            });
            assert_eq!(decision, Decision::AlreadyApplied("mgnjob-1".into()));
            assert_eq!(decided(action, |_, _, _| {}), Decision::Start);
        }
    }

    #[test]
    fn nothing_is_decided_while_the_last_call_may_still_show() {
        let decision = decided(LaunchAction::Cutover, |_, server, pending| {
            server.lifecycle = "CUTTING_OVER";
            pending.unconfirmed = true;
        });
        assert!(matches!(decision, Decision::Wait(why) if why.code == "LAUNCH_UNCONFIRMED"));
    }

    #[test]
    fn a_busy_server_and_one_that_lags_wait_and_say_why() {
        let wait = |decision| match decision {
            Decision::Wait(finding) => (finding.code, finding.message),
            other => panic!("{other:?} is no wait"),
        };
        let busy = decided(LaunchAction::Test, |_, server, _| {
            server.busy_with = Some("mgnjob-9");
        });
        assert_eq!(
            wait(busy),
            (
                "ACTIVE_JOB_EXISTS".into(),
                "job mgnjob-9 is in progress for it.".into()
            )
        );
        let lags = decided(LaunchAction::Cutover, |replication, _, _| {
            replication.lag_duration = Some("PT16H20M38.697305S".into());
        });
        assert_eq!(
            wait(lags),
            (
                "LAG_TOO_HIGH".into(),
                "replication lags by 58839 s; at most 300 s are allowed.".into()
            )
        );
    }

    #[test]
    fn what_never_can_be_is_refused_with_its_reason() {
        let cases: [(&str, &str); 3] = [
            (
                "CUTTING_OVER",
                "source server s-1 is CUTTING_OVER in MGN; a TEST launch needs READY_FOR_TEST or TESTING or READY_FOR_CUTOVER",
            ),
            (
                "CUTOVER",
                "source server s-1 is CUTOVER in MGN; a TEST launch needs READY_FOR_TEST or TESTING or READY_FOR_CUTOVER",
            ),
            (
                "NOT_READY",
                "source server s-1 is NOT_READY in MGN; a TEST launch needs READY_FOR_TEST or TESTING or READY_FOR_CUTOVER",
            ),
        ];
        for (lifecycle, expected) in cases {
            let decision = decided(LaunchAction::Test, |_, server, _| {
                server.lifecycle = lifecycle;
            });
            assert_eq!(refused(decision), (expected.to_owned(), vec![]));
        }
        let testing = decided(LaunchAction::Cutover, |_, server, _| {
            server.lifecycle = "TESTING";
        });
        assert!(
            refused(testing)
                .0
                .contains("needs READY_FOR_CUTOVER or READY_FOR_TEST")
        );
        let gone = decided(LaunchAction::Test, |replication, server, _| {
            server.lifecycle = "DISCONNECTED";
            replication.state = "DISCONNECTED".into();
            replication.lag_duration = None;
        });
        let (text, codes) = refused(gone);
        assert!(text.contains("DISCONNECTED"), "{text}");
        assert_eq!(codes, ["SERVER_DISCONNECTED", "NOT_LAUNCHABLE"]);
        let policy = Policy::default();
        let unknown = Pending {
            action: LaunchAction::Test,
            source_vm_id: "vm-1",
            policy: &policy,
            due_at: NOW,
            applied: None,
            unconfirmed: false,
        };
        let (text, _) = refused(decide(&unknown, None, NOW.parse().unwrap()));
        assert!(text.contains("vm-1"), "{text}");
    }

    #[test]
    fn who_waited_too_long_is_told_what_was_in_the_way() {
        let late = |change: fn(&mut Replication, &mut Candidate<'_>)| {
            refused(decided(
                LaunchAction::Test,
                |replication, server, pending| {
                    pending.due_at = "2026-11-21T11:59:59Z";
                    change(replication, server);
                },
            ))
        };
        let (text, codes) = late(|_, _| {});
        assert!(
            text.ends_with("MGN's quotas left no room for it") && codes.is_empty(),
            "{text}"
        );
        let (text, _) = late(|_, server| server.busy_with = Some("mgnjob-9"));
        assert!(
            text.ends_with("job mgnjob-9 of somebody else is still in progress for it"),
            "{text}"
        );
        let (text, codes) = late(|replication, _| replication.state = "RESCAN".into());
        assert!(text.contains("replication is in state RESCAN"), "{text}");
        assert_eq!(codes, ["REPLICATION_NOT_CONTINUOUS"]);
    }
}
