//! Windows: what holds a cutover launch that MGN would take.

use jiff::{Timestamp, ToSpan as _};
use landfall_common::state::wave::WaveWindow;
use landfall_domain::control::Order;
use landfall_domain::request::Window;
use landfall_domain::{MigrationRecord, Status};

use crate::mgn::Server;
use crate::stage::{Stage, message};
use crate::support::{Fault, now, record};
use crate::tasks::Ended;

/// From 20:00 to 23:00 every day; the tests' time is noon.
fn evenings() -> Window {
    Window {
        start: "2026-11-01T20:00".into(),
        end: "2026-11-01T23:00".into(),
        time_zone: "UTC".into(),
        recurrence: Some("FREQ=DAILY".into()),
    }
}

fn order() -> Order {
    Order {
        by: "arn:aws:iam::123456789012:user/ops".into(),
        reason: "an incident".into(),
        at: now().to_string(),
    }
}

/// A migration that is ready for its cutover, changed.
async fn cutover(change: impl FnOnce(&mut MigrationRecord)) -> Stage {
    let stage = Stage::default();
    let mut ready = record("mig-0", Status::ReadyForCutover);
    change(&mut ready);
    stage.aws.put(ready).await;
    let server = Server::of("mig-0", "READY_FOR_CUTOVER");
    stage.account.lock().unwrap().servers.push(server);
    stage
}

async fn run(stage: &Stage, request_id: &str, at: Timestamp) -> usize {
    let bodies = [message("mig-0", "CUTOVER")];
    stage.run_at(request_id, &bodies, at).await.len()
}

#[tokio::test]
async fn a_cutover_waits_for_its_window_and_says_so_once() {
    let stage = cutover(|record| record.request.policy.window = Some(evenings())).await;
    assert_eq!(run(&stage, "request-1", now()).await, 1);
    assert_eq!(run(&stage, "request-2", now() + 1.hours()).await, 1);
    let held = stage.aws.record("mig-0").await;
    assert_eq!(held.status, Status::AwaitingWindow);
    assert_eq!(held.held_from, Some(Status::ReadyForCutover));
    let why = held.held.unwrap();
    assert_eq!(why.code, "OUTSIDE_WINDOW");
    assert!(
        why.message.contains("opens at 2026-11-21 20:00 UTC"),
        "{why:?}"
    );
    assert_eq!(stage.aws.happened("mig-0").await, ["SwitchHeld"]);
    assert_eq!(stage.aws.calls.count("StartCutover"), 0);

    assert_eq!(run(&stage, "request-3", now() + 8.hours()).await, 0);
    let started = stage.aws.record("mig-0").await;
    assert_eq!((started.status, started.held), (Status::CuttingOver, None));
    let happened = ["SwitchHeld", "SwitchContinued", "CutoverLaunchStarted"];
    assert_eq!(stage.aws.happened("mig-0").await, happened);
    assert_eq!(stage.aws.calls.count("StartCutover"), 1);
}

#[tokio::test]
async fn a_wave_s_window_counts_beside_the_request_s() {
    let stage = cutover(|record| record.request.policy.window = Some(evenings())).await;
    let late = Window {
        start: "2026-11-01T22:00".into(),
        ..evenings()
    };
    let mut wave = WaveWindow {
        tenant_id: "default".into(),
        wave: "wave-3".into(),
        window: Some(late),
        order: order(),
        version: 1,
    };
    let store = stage.aws.store();
    assert!(store.set_wave_window(&wave).await.unwrap());
    assert_eq!(run(&stage, "request-1", now() + 8.hours()).await, 1);
    let why = stage.aws.record("mig-0").await.held.unwrap();
    assert!(
        why.message.contains("the window of wave wave-3 is shut"),
        "{why:?}"
    );

    // Somebody who has not seen that one does not replace it.
    assert!(!store.set_wave_window(&wave).await.unwrap());
    wave.version = 2;
    wave.window = None;
    assert!(store.set_wave_window(&wave).await.unwrap());
    assert!(!store.set_wave_window(&wave).await.unwrap());
    assert_eq!(
        store.wave_window("default", "wave-3").await.unwrap(),
        Some(wave)
    );
    assert_eq!(run(&stage, "request-2", now() + 8.hours()).await, 0);
    assert_eq!(stage.aws.calls.count("StartCutover"), 1);
}

#[tokio::test]
async fn a_window_that_is_over_for_good_fails_the_launch() {
    let once = Window {
        recurrence: None,
        ..evenings()
    };
    let stage = cutover(|record| record.request.policy.window = Some(once)).await;
    assert_eq!(run(&stage, "request-1", now()).await, 0);
    let Some(Ended::Failed(error, cause)) = stage.task("token-mig-0") else {
        panic!("the task goes on")
    };
    assert_eq!(error, "CutoverError");
    assert!(cause.contains("WINDOW_NEVER_OPENS"), "{cause}");
    assert_eq!(stage.aws.calls.count("StartCutover"), 0);
}

#[tokio::test]
async fn every_call_of_a_launch_that_is_held_may_fail_and_it_is_started_once_in_its_window() {
    let windowed = |record: &mut MigrationRecord| record.request.policy.window = Some(evenings());
    let calls = {
        let stage = cutover(windowed).await;
        run(&stage, "request-1", now()).await;
        run(&stage, "request-2", now() + 8.hours()).await;
        stage.aws.calls.made()
    };
    for (nth, call) in calls.iter().enumerate() {
        for fault in Fault::ALL {
            if *call == "StartCutover" && fault == Fault::Refused {
                continue; // Refused for good.
            }
            let stage = cutover(windowed).await;
            stage.aws.calls.fail_nth(nth, fault);
            let case = format!("call {nth} {call} {fault:?}");
            for (turn, minutes) in [0, 1, 480, 482, 484].into_iter().enumerate() {
                // The same invocation ID: its own lease is no obstacle.
                let at = now() + i64::from(minutes).minutes();
                let again = run(&stage, "request-1", at).await;
                assert!(turn > 1 || again == 1, "{case}: started outside its window");
            }
            let record = stage.aws.record("mig-0").await;
            assert_eq!(record.status, Status::CuttingOver, "{case}");
            assert_eq!(stage.jobs().len(), 1, "{case}");
            let happened = ["SwitchHeld", "SwitchContinued", "CutoverLaunchStarted"];
            assert_eq!(stage.aws.happened("mig-0").await, happened, "{case}");
        }
    }
}
