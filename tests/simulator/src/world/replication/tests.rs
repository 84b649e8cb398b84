use super::*;

fn start() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

fn after(secs: i64) -> Timestamp {
    start() + SignedDuration::from_secs(secs)
}

fn fault() -> Fault {
    Fault {
        error: "FAILED_TO_ATTACH_STAGING_DISKS".into(),
        raw_error: "no slot".into(),
    }
}

#[test]
fn an_initial_sync_passes_its_states_in_order() {
    // (seconds after the start, state, replicated in millionths, launchable)
    let table = [
        (0, State::Initiating, 0, false),
        (119, State::Initiating, 0, false),
        (120, State::InitialSync, 0, false),
        (120 + 405, State::InitialSync, 500_000, false),
        (120 + 810, State::Backlog, 1_000_000, false),
        (120 + 855, State::CreatingSnapshot, 1_000_000, false),
        (120 + 900, State::Continuous, 1_000_000, true),
        (90_000, State::Continuous, 1_000_000, true),
    ];
    for (secs, state, ppm, launchable) in table {
        let mut replication = Replication::begin(start(), 900);
        replication.advance(after(secs));
        let seen = replication.counters(after(secs), 8 << 30);
        assert_eq!(
            (
                replication.state,
                seen.replicated_ppm,
                replication.launchable()
            ),
            (state, ppm, launchable),
            "at {secs}"
        );
        assert_eq!(
            replication.lag(after(secs)).is_some(),
            launchable,
            "lag at {secs}"
        );
    }
}

#[test]
fn one_great_leap_ends_where_many_small_ones_do() {
    let mut leap = Replication::begin(start(), 900);
    let happened = leap.advance(after(5_000));
    let mut walk = Replication::begin(start(), 900);
    let mut seen = Vec::new();
    for secs in 0..=5_000 {
        seen.extend(walk.advance(after(secs)));
    }
    assert_eq!(happened, seen);
    assert_eq!(happened, vec![(after(1_020), Happened::Launchable)]);
    assert_eq!((leap.state, leap.since), (walk.state, walk.since));
}

#[test]
fn the_steps_follow_one_another() {
    let replication = Replication::begin(start(), 900);
    let steps = replication.steps(after(60));
    assert_eq!(steps[4], "SUCCEEDED");
    assert_eq!(steps[5], "IN_PROGRESS");
    assert_eq!(steps[6], "NOT_STARTED");
}

#[test]
fn a_failing_step_stalls_retries_and_recovers() {
    let mut replication = Replication::begin(start(), 900);
    replication.fault = Some(fault());
    replication.failing_step = Some(7);
    let happened = replication.advance(after(100));
    assert_eq!(happened.len(), 1);
    assert_eq!(replication.state, State::Stalled);
    assert_eq!(replication.steps(after(100))[7], "FAILED");
    assert!(replication.next_attempt().is_some());

    replication.recover(after(100));
    replication.advance(after(5_000));
    assert_eq!(replication.state, State::Continuous);
}

#[test]
fn a_stall_keeps_what_was_copied() {
    let mut replication = Replication::begin(start(), 900);
    replication.advance(after(120 + 405));
    replication.stall(after(120 + 405), fault(), None);
    replication.advance(after(4_000));
    assert_eq!(replication.state, State::Stalled);
    assert_eq!(
        replication.counters(after(4_000), 1).replicated_ppm,
        500_000
    );
    replication.recover(after(4_000));
    replication.advance(after(4_404));
    assert_eq!(replication.state, State::InitialSync);
    replication.advance(after(4_405));
    assert_eq!(replication.state, State::Backlog);
}

#[test]
fn a_pause_grows_the_lag_and_a_resume_ends_it() {
    let mut replication = Replication::settled(start(), 900);
    assert_eq!(replication.lag(after(50)), Some(SignedDuration::ZERO));
    replication.pause(after(100));
    assert_eq!(
        replication.lag(after(400)),
        Some(SignedDuration::from_secs(300))
    );
    replication.resume(after(500));
    assert_eq!(replication.lag(after(600)), Some(SignedDuration::ZERO));
}

#[test]
fn disconnecting_takes_lag_and_steps_away() {
    let mut replication = Replication::settled(start(), 900);
    replication.disconnect(after(10));
    assert_eq!(replication.lag(after(10)), None);
    assert_eq!(replication.last_snapshot(after(10)), None);
    assert_eq!(replication.steps(after(10)), ["NOT_STARTED"; 11]);
}
