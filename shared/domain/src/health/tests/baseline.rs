//! The target against its source.

use super::*;
use crate::record::Done;

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
fn a_name_that_was_moved_says_nothing_of_the_source() {
    let asks = |url: &str| {
        check(json!({"kind": "http", "url": "http://{privateIp}/", "source": {"url": url}}))
    };
    let moved = json!({
        "hostedZoneId": "Z1", "name": "App.example.com.", "recordType": "A",
        "value": {"ttl": 60, "values": ["10.0.0.1"]},
    });
    let done = Done {
        dns: vec![serde_json::from_value(moved).unwrap()],
        ..Done::default()
    };
    for (url, asked) in [
        ("http://app.example.com", false),
        ("https://app.example.com.:8443/health?a=b", false),
        ("http://APP.example.com/", false),
        ("http://source.app.example.com/", true),
        ("http://10.9.0.5/app.example.com", true),
    ] {
        let checks = [asks(url)];
        assert_eq!(on_source_again(&checks, &done).count() == 1, asked, "{url}");
        assert_eq!(on_source_again(&checks, &Done::default()).count(), 1);
    }
}
