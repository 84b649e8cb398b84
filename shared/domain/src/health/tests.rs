use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::*;
use crate::record::LaunchAction;

mod baseline;
mod rounds;

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
