//! What holds a switch, with the table and Parameter Store in memory.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::result_large_err,
    clippy::large_futures,
    reason = "helpers of tests"
)]

#[path = "../../common/tests/support/mod.rs"]
mod support;
#[path = "../../common/tests/support/tasks.rs"]
mod tasks;

use std::sync::{Arc, Mutex};

use aws_sdk_ssm::operation::get_parameter::{GetParameterError, GetParameterOutput};
use aws_sdk_ssm::types::{Parameter, ParameterType};
use aws_smithy_mocks::{RuleMode, mock_client};
use jiff::{Timestamp, ToSpan as _};
use landfall_common::state::Change;
use landfall_common::state::wait::{Wait, WaitKind};
use landfall_domain::request::Window;
use landfall_domain::{EventType, Finding, MigrationRecord, Status};
use landfall_gates::{Gates, Hold, Holds};

use support::{Aws, Calls, Fault, answer, now, record};
use tasks::{Ended, Tasks};

const EMPTY: &str = "BEGIN:VCALENDAR\nEND:VCALENDAR";
/// The whole day of the tests.
const TODAY: &str =
    "BEGIN:VCALENDAR\nBEGIN:VEVENT\nSUMMARY:Audit\nDTSTART:20261121\nEND:VEVENT\nEND:VCALENDAR";

/// A parameter store with one parameter, as text or not there.
#[derive(Clone, Default)]
struct Store {
    text: Arc<Mutex<Option<(String, bool)>>>,
    calls: Calls,
}

impl Store {
    fn put(&self, text: &str) {
        *self.text.lock().unwrap() = Some((text.to_owned(), false));
    }

    fn holds(&self) -> Holds {
        use aws_sdk_ssm::Client;
        let get = answer!(
            &self.calls,
            text = &self.text,
            Client::get_parameter,
            GetParameterError,
            "GetParameter",
            |input| {
                assert_eq!(input.name(), Some("/landfall/freeze-calendar"));
                let Some((text, secure)) = text.clone() else {
                    let missing = aws_sdk_ssm::types::error::ParameterNotFound::builder();
                    let meta = aws_sdk_ssm::error::ErrorMetadata::builder()
                        .code("ParameterNotFound")
                        .build();
                    return Err(GetParameterError::ParameterNotFound(
                        missing.meta(meta).build(),
                    ));
                };
                let kind = if secure {
                    ParameterType::SecureString
                } else {
                    ParameterType::String
                };
                let parameter = Parameter::builder().value(text).r#type(kind).build();
                Ok(GetParameterOutput::builder().parameter(parameter).build())
            }
        );
        let client = mock_client!(aws_sdk_ssm, RuleMode::MatchAny, [&get]);
        Holds::with_calendar(client, "/landfall/freeze-calendar")
    }
}

async fn hold(holds: &Holds, record: &MigrationRecord, at: Timestamp) -> Option<Hold> {
    holds
        .hold(&Aws::default().store(), record, at)
        .await
        .unwrap()
}

fn code(hold: Option<Hold>) -> Option<String> {
    hold.map(|hold| hold.finding.code)
}

#[tokio::test]
async fn a_calendar_that_cannot_be_read_is_no_empty_one() {
    let ready = record("mig-1", Status::ReadyForCutover);
    let unreadable = |hold: Option<Hold>, part: &str| {
        let hold = hold.unwrap();
        assert_eq!(hold.finding.code, "FREEZE_UNREADABLE");
        assert!(
            hold.finding.message.contains(part),
            "{}",
            hold.finding.message
        );
        assert!(!hold.finding.remedy.is_empty() && hold.until.is_some_and(|at| at > now()));
    };
    let store = Store::default();
    unreadable(
        hold(&store.holds(), &ready, now()).await,
        "no such parameter",
    );
    store.put("nonsense");
    unreadable(
        hold(&store.holds(), &ready, now()).await,
        "no iCalendar file",
    );
    store.put(&TODAY.replace("20261121", "today"));
    unreadable(hold(&store.holds(), &ready, now()).await, "Audit");
    *store.text.lock().unwrap() = Some((EMPTY.into(), true));
    unreadable(hold(&store.holds(), &ready, now()).await, "SecureString");
    store.put(EMPTY);
    assert_eq!(hold(&store.holds(), &ready, now()).await, None);
    for fault in Fault::ALL {
        let store = Store::default();
        store.put(EMPTY);
        store.calls.fail_nth(0, fault);
        unreadable(hold(&store.holds(), &ready, now()).await, "GetParameter");
    }
}

#[tokio::test]
async fn what_was_read_counts_for_a_minute_and_what_was_not_for_less() {
    let ready = record("mig-1", Status::ReadyForCutover);
    let store = Store::default();
    store.put(EMPTY);
    let holds = store.holds();
    assert_eq!(hold(&holds, &ready, now()).await, None);
    store.put(TODAY);
    assert_eq!(
        hold(&holds.clone(), &ready, now() + 59.seconds()).await,
        None
    );
    assert_eq!(store.calls.count("GetParameter"), 1);
    let frozen = hold(&holds, &ready, now() + 60.seconds()).await.unwrap();
    assert_eq!(frozen.finding.code, "FREEZE_ACTIVE");
    assert!(frozen.finding.message.contains("\"Audit\""), "{frozen:?}");
    assert_eq!(frozen.until, Some("2026-11-22T00:00:00Z".parse().unwrap()));

    store.text.lock().unwrap().take();
    assert_eq!(
        code(hold(&holds, &ready, now() + 120.seconds()).await).as_deref(),
        Some("FREEZE_UNREADABLE")
    );
    store.put(EMPTY);
    assert_eq!(
        code(hold(&holds, &ready, now() + 129.seconds()).await).as_deref(),
        Some("FREEZE_UNREADABLE")
    );
    assert_eq!(hold(&holds, &ready, now() + 130.seconds()).await, None);
}

#[tokio::test]
async fn the_request_s_own_window_may_be_over_for_good() {
    let holds = Holds::default();
    let mut ready = record("mig-1", Status::ReadyForCutover);
    let window = |day: &str| Window {
        start: format!("2026-11-{day}T20:00"),
        end: format!("2026-11-{day}T23:00"),
        time_zone: "UTC".into(),
        recurrence: None,
    };
    for (own, expected) in [
        (None, None),
        (Some(window("21")), Some("OUTSIDE_WINDOW")),
        (Some(window("20")), Some("WINDOW_NEVER_OPENS")),
        (Some(Window::default()), Some("WINDOW_NEVER_OPENS")),
    ] {
        ready.request.policy.window = own;
        let found = code(hold(&holds, &ready, now()).await);
        assert_eq!(found.as_deref(), expected);
    }
}

#[tokio::test]
async fn a_freeze_that_another_has_seen_holds_until_everybody_reads_the_same_calendar() {
    let held = |code, seconds: &[i64]| gate_of_a_held_finalize(code, seconds.to_vec());
    for code in ["FREEZE_ACTIVE", "FREEZE_UNREADABLE"] {
        let (task, due, happened) = held(code, &[5, 59]).await;
        assert_eq!(task, None, "{code}: the other would hold it again at once");
        assert_eq!(due.as_deref(), Some("2026-11-21T12:01:00Z"), "{code}");
        assert_eq!(happened, ["SwitchHeld"], "{code}");
        for seconds in [&[60][..], &[5, 61], &[61, 61]] {
            let (task, due, happened) = held(code, seconds).await;
            assert!(
                matches!(task, Some(Ended::Succeeded(_))),
                "{code}: {seconds:?}"
            );
            assert_eq!((due, happened.len()), (None, 2), "{code}: {seconds:?}");
            assert_eq!(happened[1], "SwitchContinued");
        }
    }
    // The window is read anew each time.
    let (task, _, happened) = held("OUTSIDE_WINDOW", &[5]).await;
    assert!(matches!(task, Some(Ended::Succeeded(_))));
    assert_eq!(happened, ["SwitchHeld", "SwitchContinued"]);
}

/// What the gate makes of a finalize that was held at noon, where it finds nothing in the way itself so many seconds later:
/// how the task ended, when the wait is due, and what happened.
async fn gate_of_a_held_finalize(
    code: &str,
    seconds: Vec<i64>,
) -> (Option<Ended>, Option<String>, Vec<String>) {
    let (aws, ended) = (Aws::default(), Arc::<Mutex<Tasks>>::default());
    let (journal, sfn) = (aws.journal(), tasks::sfn(&ended, &aws.calls));
    let mut moving = aws.put(record("mig-1", Status::Finalizing)).await;
    moving.held = Some(Finding::blocking(code, "", "not now"));
    let change = Change::to(Status::AwaitingWindow, EventType::SwitchHeld).reason(code);
    let moving = journal.advance(moving, change, now()).await.unwrap();
    let token = ("token-1".to_owned(), 0);
    let wait = Wait::of(&moving, WaitKind::FinalizeGate, token, now(), now());
    assert!(aws.store().open_wait(&wait).await.unwrap());
    let store = Store::default();
    store.put(EMPTY);
    let gates = Gates {
        holds: store.holds(),
        ..Gates::default()
    };
    for seconds in seconds {
        let Some(wait) = aws.store().get_wait(&wait).await.unwrap() else {
            continue;
        };
        let at = now() + seconds.seconds();
        gates.settle(&journal, &sfn, &wait, at).await.unwrap();
    }
    let wait = aws.store().get_wait(&wait).await.unwrap();
    let task = ended.lock().unwrap().get("token-1").cloned();
    let happened = aws.happened("mig-1").await;
    (task, wait.map(|wait| wait.due_at), happened)
}
