//! Windows and pauses: what holds a launch that MGN would take.

use std::sync::{Arc, Mutex};

use jiff::{Timestamp, ToSpan as _};
use landfall_common::state::wave::WaveWindow;
use landfall_domain::control::Order;
use landfall_domain::request::Window;
use landfall_domain::{MigrationRecord, Status};
use serde_json::json;

use crate::mgn::Server;
use crate::stage::{Stage, calendar, running, tests};
use crate::support::{Fault, batch, key, now, record, stage_input};
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

/// The message of the workflow's first visit to the launch, or of one after the gate.
fn visit(number: u32) -> String {
    let input = json!({
        "action": "CUTOVER", "retryCount": number * 100, "taskToken": format!("token-{number}"),
    });
    stage_input("mig-0", input).to_string()
}

async fn run(stage: &Stage, request_id: &str, number: u32, at: Timestamp) -> usize {
    stage.run_at(request_id, &[visit(number)], at).await.len()
}

/// Whether the launch of a visit was given back to the gate.
fn given_back(stage: &Stage, number: u32) -> bool {
    match stage.task(&format!("token-{number}")) {
        None => false,
        Some(Ended::Succeeded(output)) => output["held"] == true,
        Some(Ended::Failed(error, cause)) => panic!("{error}: {cause}"),
    }
}

#[tokio::test]
async fn a_cutover_outside_its_window_goes_back_to_its_gate_and_comes_again() {
    let stage = cutover(|record| record.request.policy.window = Some(evenings())).await;
    for request in ["request-1", "request-2"] {
        assert_eq!(run(&stage, request, 0, now()).await, 0);
        assert!(given_back(&stage, 0));
    }
    let record = stage.aws.record("mig-0").await;
    assert_eq!(record.status, Status::ReadyForCutover);
    assert!(stage.aws.happened("mig-0").await.is_empty());
    assert_eq!(stage.aws.calls.count("StartCutover"), 0);

    // A day later, for the time in which a launch gets its turn begins anew.
    let evening = now() + 32.hours();
    assert_eq!(run(&stage, "request-3", 1, evening).await, 0);
    let started = stage.aws.record("mig-0").await;
    assert_eq!((started.status, started.held), (Status::CuttingOver, None));
    assert_eq!(stage.aws.happened("mig-0").await, ["CutoverLaunchStarted"]);
    // The first visit's message once more, and the second's.
    for number in [0, 1] {
        assert_eq!(run(&stage, "request-4", number, evening).await, 0);
    }
    assert_eq!(stage.aws.calls.count("StartCutover"), 1);
}

#[tokio::test]
async fn a_launch_that_missed_its_turn_while_nothing_was_open_goes_back_too() {
    let stage = cutover(|record| record.request.policy.window = Some(evenings())).await;
    let busy = running("mgnjob-other", 200);
    stage.account.lock().unwrap().jobs.push(busy);
    // In its window it waits for MGN's quota.
    assert_eq!(run(&stage, "request-1", 0, now() + 10.hours()).await, 1);
    assert!(!given_back(&stage, 0));
    assert_eq!(run(&stage, "request-2", 0, now() + 23.hours()).await, 0);
    assert!(given_back(&stage, 0));
}

#[tokio::test]
async fn a_paused_cutover_goes_back_to_its_gate_and_a_paused_test_stays_in_the_queue() {
    let stage = cutover(|record| record.control.paused = Some(order())).await;
    assert_eq!(run(&stage, "request-1", 0, now()).await, 0);
    assert!(given_back(&stage, 0));

    let stage = Stage::ready(1).await;
    stage
        .aws
        .change("mig-0", |record| record.control.paused = Some(order()))
        .await;
    assert_eq!(stage.run("request-1", &tests(1)).await.len(), 1);
    assert_eq!(stage.task("token-mig-0"), None);
    stage
        .aws
        .change("mig-0", |record| record.control.paused = None)
        .await;
    // Past the time for its turn, which stood still.
    let resumed = now() + 48.hours();
    let store = stage.aws.store();
    store.resume_waits(&key("mig-0"), resumed).await.unwrap();
    assert!(
        stage
            .run_at("request-2", &tests(1), resumed)
            .await
            .is_empty()
    );
    assert_eq!(stage.aws.happened("mig-0").await, ["TestLaunchStarted"]);
}

/// A test launch that was paused and cancelled while its message was in the queue.
async fn cancelled_before_it_was_open() -> Stage {
    let stage = Stage::ready(1).await;
    let ordered = |record: &mut MigrationRecord| {
        record.control.paused = Some(order());
        record.control.cancel = Some(order());
    };
    stage.aws.change("mig-0", ordered).await;
    stage
}

async fn assert_cancelled(stage: &Stage, case: &str) {
    let Some(Ended::Failed(error, cause)) = stage.task("token-mig-0") else {
        panic!("{case}: it waits for nothing")
    };
    assert_eq!(error, "Cancelled", "{case}");
    assert!(cause.contains("an incident"), "{case}: {cause}");
    let open = stage.aws.store().waits_of(&key("mig-0")).await.unwrap();
    assert!(open.is_empty(), "{case}: {open:?}");
    assert_eq!(stage.aws.calls.count("StartTest"), 0, "{case}");
}

#[tokio::test]
async fn a_paused_test_that_was_cancelled_before_it_was_open_is_ended_when_it_is() {
    let stage = cancelled_before_it_was_open().await;
    for request in ["request-1", "request-2"] {
        assert!(stage.run(request, &tests(1)).await.is_empty());
        assert_cancelled(&stage, request).await;
    }
    assert_eq!(stage.aws.calls.count("SendTaskFailure"), 1);
    // Its execution was stopped before.
    let stage = cancelled_before_it_was_open().await;
    stage.stop_executions(&["token-mig-0"]);
    assert!(stage.run("request-1", &tests(1)).await.is_empty());
    assert_eq!(stage.aws.record("mig-0").await.status, Status::Frozen);

    let calls = {
        let stage = cancelled_before_it_was_open().await;
        stage.run("request-1", &tests(1)).await;
        stage.aws.calls.made()
    };
    for (nth, call) in calls.iter().enumerate() {
        for fault in Fault::ALL {
            let case = format!("call {nth} {call} {fault:?}");
            let stage = cancelled_before_it_was_open().await;
            stage.aws.calls.fail_nth(nth, fault);
            while !stage.run("request-1", &tests(1)).await.is_empty() {}
            assert_cancelled(&stage, &case).await;
        }
    }
}

#[tokio::test]
async fn a_cutover_whose_freeze_calendar_cannot_be_read_stays_in_the_queue() {
    let mut stage = cutover(|_| ()).await;
    let text = Arc::new(Mutex::new(None));
    stage.holds = calendar(&text, &stage.aws.calls);
    // The gate may be able to read it, and would send it here again at once.
    for minutes in [0, 1] {
        let at = now() + i64::from(minutes).minutes();
        assert_eq!(run(&stage, "request-1", 0, at).await, 1);
        assert!(!given_back(&stage, 0));
        let held = stage.aws.record("mig-0").await.held;
        assert_eq!(held.map(|it| it.code).as_deref(), Some("FREEZE_UNREADABLE"));
    }
    assert_eq!(stage.aws.calls.count("StartCutover"), 0);
    let with = |event: &str| Some(format!("BEGIN:VCALENDAR\n{event}END:VCALENDAR"));
    *text.lock().unwrap() = with("");
    assert_eq!(run(&stage, "request-1", 0, now() + 2.minutes()).await, 0);
    let started = stage.aws.record("mig-0").await;
    assert_eq!((started.status, started.held), (Status::CuttingOver, None));

    // A freeze that can be read sends it back.
    let mut stage = cutover(|_| ()).await;
    *text.lock().unwrap() = with("BEGIN:VEVENT\nSUMMARY:Audit\nDTSTART:20261121\nEND:VEVENT\n");
    stage.holds = calendar(&text, &stage.aws.calls);
    assert_eq!(run(&stage, "request-1", 0, now()).await, 0);
    assert!(given_back(&stage, 0));
}

#[tokio::test]
async fn a_paused_test_launch_comes_again_seldom_after_an_hour() {
    let stage = Stage::ready(1).await;
    let received = async |request: &str, count: u32| {
        let mut event = batch(&tests(1));
        let record = &mut event["Records"][0];
        record["attributes"]["ApproximateReceiveCount"] = count.to_string().into();
        let back = stage.received(request, event, now()).await;
        assert_eq!(back, ["message-0"]);
        stage.queue.lock().unwrap().again.last().unwrap().1
    };
    // What MGN does not take yet is looked at each minute, however often it came.
    let busy = running("mgnjob-other", 200);
    stage.account.lock().unwrap().jobs.push(busy);
    assert_eq!(received("request-1", 1).await, 5);
    assert_eq!(received("request-2", 900).await, 60);
    stage
        .aws
        .change("mig-0", |record| record.control.paused = Some(order()))
        .await;
    assert_eq!(received("request-3", 60).await, 60);
    assert_eq!(received("request-4", 61).await, 2_700);
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
    run(&stage, "request-1", 0, now() + 8.hours()).await;
    assert!(given_back(&stage, 0));

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
    assert_eq!(run(&stage, "request-2", 1, now() + 8.hours()).await, 0);
    assert_eq!(stage.aws.calls.count("StartCutover"), 1);
}

#[tokio::test]
async fn every_call_of_a_launch_that_is_held_may_fail_and_it_is_started_once_in_its_window() {
    let windowed = |record: &mut MigrationRecord| record.request.policy.window = Some(evenings());
    let calls = {
        let stage = cutover(windowed).await;
        run(&stage, "request-1", 0, now()).await;
        run(&stage, "request-2", 1, now() + 8.hours()).await;
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
            // The same invocation ID: its own lease is no obstacle.
            for minutes in [0, 1, 2] {
                run(&stage, "request-1", 0, now() + i64::from(minutes).minutes()).await;
            }
            assert!(given_back(&stage, 0), "{case}");
            assert!(
                stage.jobs().is_empty(),
                "{case}: started outside its window"
            );
            for minutes in [480, 482, 484] {
                run(&stage, "request-1", 1, now() + i64::from(minutes).minutes()).await;
            }
            let record = stage.aws.record("mig-0").await;
            assert_eq!(record.status, Status::CuttingOver, "{case}");
            assert_eq!(stage.jobs().len(), 1, "{case}");
            let happened = stage.aws.happened("mig-0").await;
            assert_eq!(happened, ["CutoverLaunchStarted"], "{case}");
        }
    }
}
