//! Rounds of checks: tries, intervals, scripts.

use super::*;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

/// Notes a result of a check.
fn note(health: &mut Health, checks: &[HealthCheck], index: usize, seen: &Seen, now: Timestamp) {
    let judged = judge(index, &checks[index], seen, &target(), None);
    health.checks[index].note(seen, judged, now);
}

#[test]
fn each_check_has_its_own_tries_and_intervals() {
    let checks = [
        http(json!({"attempts": 2})),
        check(json!({"kind": "tcp", "host": "a", "port": 1, "attempts": 3, "intervalSeconds": 60})),
        check(json!({"kind": "tcp", "host": "a", "port": 1, "phases": ["cutover"]})),
    ];
    let (test, refused) = (LaunchAction::Test, Seen::Nothing("refused".into()));
    let mut health = Health::of(None, "i-1", &checks);
    assert_eq!(health.due(&checks, test, at(0)), [0, 1]);
    assert_eq!(health.due(&checks, LaunchAction::Cutover, at(0)), [0, 1, 2]);
    assert_eq!(health.open(&checks, test), 2);

    note(&mut health, &checks, 0, &answer(200, "", 1), at(0));
    note(&mut health, &checks, 1, &refused, at(0));
    let Verdict::TryAgain(findings) = health.verdict(&checks, test) else {
        panic!("one has tries left")
    };
    assert_eq!(findings.len(), 1);
    assert_eq!(findings[0].pointer, "/healthChecks/1");
    // The one without an interval is tried in every round: it could fail meanwhile.
    assert_eq!(health.due(&checks, test, at(59)), [0]);
    assert_eq!(health.due(&checks, test, at(60)), [0, 1]);

    note(&mut health, &checks, 0, &answer(503, "", 1), at(60));
    note(&mut health, &checks, 1, &Seen::Connected, at(60));
    assert!(matches!(
        health.verdict(&checks, test),
        Verdict::TryAgain(_)
    ));
    note(&mut health, &checks, 0, &answer(200, "", 1), at(61));
    assert_eq!(health.verdict(&checks, test), Verdict::Healthy);
    // After the cutover the third counts, too.
    let cutover = LaunchAction::Cutover;
    assert_eq!(health.verdict(&checks, cutover), Verdict::TryAgain(vec![]));

    note(&mut health, &checks, 0, &answer(503, "", 1), at(62));
    let Verdict::Unhealthy(findings) = health.verdict(&checks, test) else {
        panic!("it has had its tries")
    };
    assert_eq!(findings.len(), 1);

    // Another instance begins anew, and so does another number of checks.
    let kept = Health::of(Some(&health), "i-1", &checks);
    assert_eq!(kept, health);
    for (instance, checks) in [("i-2", &checks[..]), ("i-1", &checks[..2])] {
        let fresh = Health::of(Some(&health), instance, checks);
        assert_eq!(fresh, Health::new(instance, checks));
    }
}

#[test]
fn the_last_tries_are_kept() {
    let checks = [http(json!({}))];
    let mut health = Health::new("i-1", &checks);
    for round in 0..7 {
        let status = if round == 6 { 200 } else { 503 };
        note(&mut health, &checks, 0, &answer(status, "", 1), at(round));
    }
    let state = &health.checks[0];
    assert_eq!((state.failed, state.passed), (6, true));
    let seen: Vec<_> = state.tries.iter().map(|it| it.seen.as_str()).collect();
    let wrong = "answered 503";
    assert_eq!(seen, [wrong, wrong, wrong, wrong, "answered 200 in 1 ms"]);
    assert_eq!(state.tries[0].at, at(2).to_string());
    let stored = serde_json::to_value(&health).unwrap();
    let read: Health = serde_json::from_value(stored).unwrap();
    assert_eq!(read, health);
}

#[test]
fn a_script_is_looked_at_until_it_has_ended_and_is_not_sent_again_when_it_passed() {
    let script = json!({"kind": "ssm", "commands": ["x"], "intervalSeconds": 300});
    let checks = [check(script)];
    let test = LaunchAction::Test;
    let mut health = Health::new("i-1", &checks);
    health.checks[0].command = Some(Command::new(at(0)));
    note(
        &mut health,
        &checks,
        0,
        &Seen::Unknown("it runs".into()),
        at(1),
    );
    assert!(health.checks[0].tries.is_empty());
    assert!(health.checks[0].command.is_some());
    assert_eq!(health.verdict(&checks, test), Verdict::TryAgain(vec![]));
    assert_eq!(health.due(&checks, test, at(2)), [0]);

    let failed = Seen::Ended {
        code: 1,
        output: String::new(),
    };
    note(&mut health, &checks, 0, &failed, at(3));
    assert_eq!(health.checks[0].command, None);
    assert!(health.due(&checks, test, at(4)).is_empty());
    assert_eq!(health.due(&checks, test, at(303)), [0]);
    let passed = Seen::Ended {
        code: 0,
        output: String::new(),
    };
    note(&mut health, &checks, 0, &passed, at(304));
    assert!(health.due(&checks, test, at(9_999)).is_empty());

    let command = Command::new(at(0));
    assert!(!command.is_overdue(60, at(240)));
    assert!(command.is_overdue(60, at(241)));
}
