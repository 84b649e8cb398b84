//! What checks of the network see, against real servers on this machine.

use std::net::TcpListener;

use landfall_domain::{ErrorName, Status};
use serde_json::{Value, json};

use crate::receiver::Receiver;
use crate::stage::Stage;

/// What the first try of one check gives: nothing where it passes, else its finding's message.
async fn tried(check: Value) -> Option<String> {
    let stage = Stage::new(Status::Testing, &[200]).await;
    let stage = stage.checked_by(json!([check])).await;
    match stage.verify("test", 0).await {
        Ok(_) => None,
        Err(error) => {
            assert_eq!(error.name, ErrorName::DependencyUnavailable, "{error}");
            Some(error.findings[0].message.clone())
        }
    }
}

#[tokio::test]
async fn status_headers_and_body_of_an_answer_count() {
    let server = Receiver::start(&[503]);
    let check = |members: Value| {
        let mut check = json!({"kind": "http", "url": format!("{}/", server.url), "expectedStatus": [200, 503]});
        for (name, value) in members.as_object().unwrap() {
            check[name] = value.clone();
        }
        check
    };
    for (members, problem) in [
        (json!({}), None),
        (json!({"expectedStatus": 503}), None),
        (json!({"expectedStatus": [200, 204]}), Some("answered 503.")),
        (
            json!({"expectedHeaders": {"Location": "/else", "content-length": "9"}}),
            None,
        ),
        (
            json!({"expectedHeaders": {"Location": "/here"}}),
            Some("with Location: \"/elsewhere\""),
        ),
        (
            json!({"expectedHeaders": {"X-Version": "1"}}),
            Some("without the header X-Version"),
        ),
        (json!({"expectedBody": "is ok"}), None),
        (
            json!({"expectedBody": "is fine"}),
            Some("without the expected text"),
        ),
        (json!({"bodyPattern": "^all .* ok$"}), None),
        (
            json!({"bodyPattern": "^ok"}),
            Some("a body that /^ok/ does not match"),
        ),
    ] {
        let said = tried(check(members.clone())).await;
        match problem {
            None => assert_eq!(said, None, "{members}"),
            Some(problem) => assert!(
                said.clone().unwrap().contains(problem),
                "{members}: {said:?}"
            ),
        }
    }
}

#[tokio::test]
async fn a_server_is_asked_for_another_host_where_it_is() {
    let server = Receiver::start(&[200]);
    let url = format!("http://localhost:{}/a?b=c", server.port);
    let check = json!({"kind": "http", "url": url, "hostHeader": "shop.example.com"});
    assert_eq!(tried(check).await, None);
    let request = &server.requests()[0];
    assert_eq!(request.line, "GET /a?b=c HTTP/1.1");
    assert_eq!(
        request.headers["host"],
        format!("shop.example.com:{}", server.port)
    );
    // What looks like a name and is an address would be connected to.
    let url = format!("{}/", server.url);
    let check = json!({"kind": "http", "url": url, "hostHeader": "127.1"});
    let said = tried(check).await.unwrap();
    assert!(said.contains("\"127.1\" is no name"), "{said}");
}

#[tokio::test]
async fn names_resolve_to_what_is_expected() {
    let dns =
        |name: &str, expected: Value| json!({"kind": "dns", "name": name, "expected": expected});
    // The instance's private address is 127.0.0.1 here.
    assert_eq!(
        tried(json!({"kind": "dns", "name": "localhost"})).await,
        None
    );
    assert_eq!(tried(dns("localhost", json!(["127.0.0.1"]))).await, None);
    let said = tried(dns("localhost", json!(["10.1.2.3"]))).await.unwrap();
    assert!(
        said.starts_with("localhost resolves to ") && said.contains("127.0.0.1"),
        "{said}"
    );
    let said = tried(dns("no-such-name.invalid", json!(["10.1.2.3"])))
        .await
        .unwrap();
    assert!(
        said.starts_with("no-such-name.invalid did not answer: "),
        "{said}"
    );
}

#[tokio::test]
async fn connections_are_tried() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let tcp = |port: u16| json!({"kind": "tcp", "host": "{privateIp}", "port": port});
    assert_eq!(tried(tcp(port)).await, None);
    // Nobody is given the discard port who asks for a free one, as the one above is.
    let said = tried(tcp(9)).await.unwrap();
    assert!(said.contains("refused"), "{said}");
}

#[tokio::test]
async fn a_check_waits_for_its_interval_and_one_for_another_phase_is_left_out() {
    let stage = Stage::new(Status::Testing, &[503, 200]).await;
    let url = format!("{}/", stage.target.url);
    let stage = stage
        .checked_by(json!([
            {"kind": "http", "url": url, "intervalSeconds": 60, "attempts": 2},
            {"kind": "tcp", "host": "{privateIp}", "port": 1, "phases": ["cutover"]},
        ]))
        .await;
    for seconds in [0, 30, 59] {
        let error = stage.verify_after("test", seconds).await.unwrap_err();
        assert_eq!(error.name, ErrorName::DependencyUnavailable);
        assert_eq!(error.findings.len(), 1);
        assert_eq!(stage.target.requests().len(), 1);
    }
    stage.verify_after("test", 60).await.unwrap();
    assert_eq!(stage.target.requests().len(), 2);
    let health = stage.aws.record("mig-1").await.done.health.unwrap();
    assert!(health.checks[1].tries.is_empty());
}

#[tokio::test]
async fn whoever_takes_any_certificate_is_told_so_when_it_passes() {
    let stage = Stage::new(Status::Testing, &[200]).await;
    // Answers in the clear: whatever the check takes, this is no TLS.
    let url = format!("https://127.0.0.1:{}/", stage.target.port);
    let stage = stage
        .checked_by(json!([
            {"kind": "http", "url": url, "tlsVerify": false, "attempts": 1},
        ]))
        .await;
    let error = stage.verify("test", 0).await.unwrap_err();
    assert_eq!(error.name, ErrorName::VerificationError);
    let (_, detail) = stage.aws.events.lock().unwrap()[0].clone();
    let findings = detail["evidence"]["findings"].as_array().unwrap();
    let codes: Vec<_> = findings
        .iter()
        .map(|it| it["code"].as_str().unwrap())
        .collect();
    assert_eq!(codes, ["HEALTH_CHECK_FAILED", "TLS_NOT_VERIFIED"]);
}
