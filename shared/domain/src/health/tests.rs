use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::*;
use crate::record::LaunchAction;

fn check(value: Value) -> HealthCheck {
    serde_json::from_value(value).unwrap()
}

fn target() -> Target {
    Target {
        instance_id: "i-1".into(),
        private_ip: "10.0.0.1".into(),
    }
}

fn answer(status: u16, body: &str, millis: u64) -> Seen {
    Seen::Http(Answer {
        status,
        headers: vec![
            (
                "content-type".into(),
                "application/json; charset=utf-8".into(),
            ),
            ("set-cookie".into(), "session=abc".into()),
            ("via".into(), "one".into()),
            ("via".into(), "two".into()),
        ],
        body: body.into(),
        took: Duration::from_millis(millis),
    })
}

fn ips(texts: &[&str]) -> Seen {
    Seen::Addresses(texts.iter().map(|text| text.parse().unwrap()).collect())
}

/// An HTTP check with these members.
fn http(members: Value) -> HealthCheck {
    let mut value = json!({"kind": "http", "url": "http://{privateIp}/{instanceId}"});
    let Value::Object(members) = members else {
        unreachable!()
    };
    value.as_object_mut().unwrap().extend(members);
    check(value)
}

#[allow(clippy::too_many_lines, reason = "a table")]
#[test]
fn what_was_seen_decides() {
    let script =
        |code: i32| check(json!({"kind": "ssm", "commands": ["x"], "expectedExitCode": code}));
    let ended = |code: i32, output: &str| Seen::Ended {
        code,
        output: output.into(),
    };
    let name = |expected: &[&str]| {
        let mut value = json!({"kind": "dns", "name": "a.example.com"});
        if !expected.is_empty() {
            value["expected"] = json!(expected);
        }
        check(value)
    };
    let tcp = check(json!({"kind": "tcp", "host": "{privateIp}", "port": 22}));
    let nothing = || Seen::Nothing("refused".into());
    let headers = |name: &str, text: &str| http(json!({"expectedHeaders": {name: text}}));
    // What is checked, what is seen, whether it passes, what is said.
    let table = [
        (
            http(json!({})),
            answer(200, "", 7),
            true,
            "answered 200 in 7 ms",
        ),
        (
            http(json!({})),
            answer(503, "", 7),
            false,
            "http://10.0.0.1/i-1 answered 503.",
        ),
        (
            http(json!({"expectedStatus": 204})),
            answer(200, "", 7),
            false,
            "http://10.0.0.1/i-1 answered 200.",
        ),
        (
            http(json!({"expectedStatus": [200, 503]})),
            answer(503, "", 7),
            true,
            "answered 503 in 7 ms",
        ),
        (
            http(json!({"expectedStatus": [200, 204]})),
            answer(201, "", 7),
            false,
            "http://10.0.0.1/i-1 answered 201.",
        ),
        (
            http(json!({"expectedBody": "ok"})),
            answer(200, "it is ok", 7),
            true,
            "answered 200 in 7 ms",
        ),
        (
            http(json!({"expectedBody": "ok"})),
            answer(200, "no", 7),
            false,
            "http://10.0.0.1/i-1 answered 200 without the expected text.",
        ),
        (
            http(json!({"bodyPattern": "build [0-9]+$"})),
            answer(200, "build 17", 7),
            true,
            "answered 200 in 7 ms",
        ),
        (
            http(json!({"bodyPattern": "build [0-9]+$"})),
            answer(200, "build x", 7),
            false,
            "http://10.0.0.1/i-1 answered 200 with a body that /build [0-9]+$/ does not match.",
        ),
        (
            http(json!({"bodyPattern": "("})),
            answer(200, "(", 7),
            false,
            "http://10.0.0.1/i-1 cannot be checked: /(/ is no pattern.",
        ),
        (
            headers("Content-Type", "application/json"),
            answer(200, "", 7),
            true,
            "answered 200 in 7 ms",
        ),
        (
            headers("Via", "two"),
            answer(200, "", 7),
            true,
            "answered 200 in 7 ms",
        ),
        (
            headers("Content-Type", "html"),
            answer(200, "", 7),
            false,
            "http://10.0.0.1/i-1 answered 200 with Content-Type: \"application/json; charset=utf-8\".",
        ),
        (
            headers("X-Version", "2"),
            answer(200, "", 7),
            false,
            "http://10.0.0.1/i-1 answered 200 without the header X-Version.",
        ),
        // A session is nobody's business.
        (
            headers("Set-Cookie", "secure"),
            answer(200, "", 7),
            false,
            "http://10.0.0.1/i-1 answered 200 with Set-Cookie: something else.",
        ),
        (
            http(json!({})),
            nothing(),
            false,
            "http://10.0.0.1/i-1 did not answer: refused.",
        ),
        (
            http(json!({})),
            Seen::Connected,
            false,
            "http://10.0.0.1/i-1 was checked in another way.",
        ),
        (
            tcp.clone(),
            Seen::Connected,
            true,
            "accepted the connection",
        ),
        (
            tcp,
            nothing(),
            false,
            "10.0.0.1:22 did not answer: refused.",
        ),
        (name(&[]), ips(&["10.0.0.1"]), true, "resolves to 10.0.0.1"),
        (
            name(&[]),
            ips(&["10.0.0.1", "fd00::1"]),
            true,
            "resolves to 10.0.0.1, fd00::1",
        ),
        (
            name(&[]),
            ips(&["10.0.0.2"]),
            false,
            "a.example.com resolves to 10.0.0.2.",
        ),
        // Half of the clients would still go to the source.
        (
            name(&[]),
            ips(&["10.0.0.1", "10.0.0.2"]),
            false,
            "a.example.com resolves to 10.0.0.1, 10.0.0.2.",
        ),
        (
            name(&["10.0.0.8", "{privateIp}"]),
            ips(&["10.0.0.1", "10.0.0.8"]),
            true,
            "resolves to 10.0.0.1, 10.0.0.8",
        ),
        (
            name(&["10.0.0.8", "{privateIp}"]),
            ips(&["10.0.0.8"]),
            false,
            "a.example.com resolves to 10.0.0.8.",
        ),
        (
            name(&["fd00::1"]),
            ips(&["10.0.0.9", "fd00::1"]),
            true,
            "resolves to 10.0.0.9, fd00::1",
        ),
        (
            name(&["unreadable"]),
            ips(&["10.0.0.9"]),
            false,
            "a.example.com resolves to 10.0.0.9.",
        ),
        (
            name(&[]),
            ips(&[]),
            false,
            "a.example.com resolves to no address.",
        ),
        (script(0), ended(0, ""), true, "ended with exit code 0"),
        (
            script(0),
            ended(3, "no space\n"),
            false,
            "the script on i-1 ended with exit code 3: no space.",
        ),
        (
            script(3),
            ended(3, "as wanted"),
            true,
            "ended with exit code 3: as wanted",
        ),
        (
            script(0),
            nothing(),
            false,
            "the script on i-1 did not answer: refused.",
        ),
    ];
    for (check, seen, passes, said) in table {
        let judged = judge(3, &check, &seen, &target(), None);
        let Some(finding) = judged.finding else {
            assert!(passes, "{check:?} {seen:?}");
            assert_eq!(judged.seen, said);
            continue;
        };
        assert!(!passes, "{check:?} {seen:?}: {}", finding.message);
        assert_eq!(finding.message, said);
        assert_eq!(finding.pointer, "/healthChecks/3");
        assert!(!finding.wanted.is_null() && !finding.remedy.is_empty());
    }
}

#[test]
fn what_is_told_is_short_and_without_keys() {
    let output = format!("AWS_SECRET_ACCESS_KEY=hush\n{}", "x y ".repeat(1_000));
    let seen = Seen::Ended { code: 1, output };
    let script = check(json!({"kind": "ssm", "commands": ["x"]}));
    let judged = judge(0, &script, &seen, &target(), None);
    let text = format!("{judged:?}");
    assert!(!text.contains("hush"), "{text}");
    assert!(judged.seen.chars().count() <= 601, "{}", judged.seen.len());
}

#[test]
fn the_target_is_compared_with_the_source() {
    let source = |status, millis| SourceAnswer { status, millis };
    let ratio = |ratio: f64| http(json!({"expectedStatus": [200, 204], "maxLatencyRatio": ratio}));
    let plain = http(json!({"expectedStatus": [200, 204]}));
    // Check, source, target, what is wrong.
    let table = [
        (&plain, source(200, 10), (200, 5_000), None),
        (
            &plain,
            source(204, 10),
            (200, 10),
            Some("the source answered 204"),
        ),
        // Noise is no failure.
        (&ratio(2.0), source(200, 1), (200, 4), None),
        (&ratio(2.0), source(200, 1), (200, 100), None),
        (
            &ratio(2.0),
            source(200, 1),
            (200, 101),
            Some("100 ms are allowed"),
        ),
        (&ratio(2.0), source(200, 400), (200, 800), None),
        (
            &ratio(2.0),
            source(200, 400),
            (200, 801),
            Some("in 801 ms, and the source in 400 ms before the cutover; 800 ms are allowed"),
        ),
        (
            &ratio(1.5),
            source(200, 201),
            (200, 303),
            Some("302 ms are allowed"),
        ),
    ];
    for (check, source, (status, millis), expected) in table {
        let seen = answer(status, "", millis);
        let judged = judge(0, check, &seen, &target(), Some(&source));
        let message = judged.finding.map(|it| it.message);
        match expected {
            None => assert_eq!(message, None),
            Some(part) => assert!(message.clone().unwrap().contains(part), "{message:?}"),
        }
    }
}

#[test]
fn a_source_that_fails_its_own_check_is_told_and_not_compared_with() {
    let HealthCheck::Http(check) =
        http(json!({"expectedStatus": [200, 204], "expectedBody": "ok"}))
    else {
        unreachable!()
    };
    let ok = |millis| answer(200, "ok", millis);
    let table = [
        (
            vec![ok(9), ok(5), ok(70)],
            Some((200, 9)),
            "answered 200 in 9 ms",
        ),
        (vec![ok(9)], Some((200, 9)), "answered 200 in 9 ms"),
        (
            vec![ok(9), Seen::Nothing("refused".into())],
            None,
            "did not answer: refused",
        ),
        (vec![answer(503, "ok", 1)], None, "answered 503"),
        (
            vec![answer(200, "no", 1)],
            None,
            "answered 200 without the expected text",
        ),
        (
            vec![ok(9), answer(204, "ok", 9)],
            None,
            "answered with one status and then another",
        ),
        (vec![], None, "was not asked"),
    ];
    for (tries, answer, seen) in table {
        let (sample, finding) = Sample::of(2, &check, "http://src/", &tries);
        assert_eq!(
            sample.answer.map(|it| (it.status, it.millis)),
            answer,
            "{tries:?}"
        );
        assert_eq!(sample.seen, seen);
        assert_eq!(finding.is_none(), answer.is_some());
        if let Some(finding) = finding {
            assert!(!finding.is_blocking());
            assert_eq!(finding.code, "SOURCE_CHECK_FAILED");
            assert_eq!(finding.pointer, "/healthChecks/2/source");
            assert!(finding.message.contains(seen), "{}", finding.message);
        }
    }
}

#[test]
fn a_certificate_that_nobody_verifies_is_told() {
    let checks = [
        check(json!({"kind": "http", "url": "https://a/", "tlsVerify": false})),
        check(json!({"kind": "http", "url": "http://a/", "tlsVerify": false})),
        check(json!({"kind": "http", "url": "https://a/"})),
    ];
    let findings = unverified(&checks);
    assert_eq!(findings.len(), 1);
    assert_eq!(findings[0].pointer, "/healthChecks/0/tlsVerify");
    assert!(findings[0].message.contains("NOT verified"));
}

/// The time, so many seconds after the beginning.
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

#[test]
fn what_a_person_put_into_an_address_or_a_header_is_not_told() {
    for (url, shown) in [
        ("https://10.0.0.1/health", "https://10.0.0.1/health"),
        (
            "https://me:secret@10.0.0.1:8443/a",
            "https://10.0.0.1:8443/a",
        ),
        ("https://me:sec/ret@10.0.0.1/a", "https://10.0.0.1/a"),
        ("http://me:secret@[::zz]:99999/x", "http://[::zz]:99999/x"),
        ("http://host?token=secret", "http://host?…"),
        ("http://host/x#secret", "http://host/x?…"),
        ("host:80", "host:80"),
    ] {
        assert_eq!(http::shown(url), shown);
    }
    let check: HealthCheck = serde_json::from_value(json!({
        "kind": "http", "url": "http://me:secret@host/x?key=secret",
        "expectedHeaders": {"X-Api-Token": "secret", "X-Build": "17"},
    }))
    .unwrap();
    let told = format!(
        "{:?}",
        judge(0, &check, &Seen::Nothing("refused".into()), &target(), None)
    );
    assert!(!told.contains("secret"), "{told}");
    assert!(told.contains("X-Build: …17…"), "{told}");
}
