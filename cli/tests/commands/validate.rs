//! `landfall validate` against a server that plays Lambda's Invoke.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::response::Response;
use serde_json::{Value, json};
use tokio::sync::Barrier;

use crate::support::{self, Aws, Ended, Folder, Seen};

const EXAMPLE: &str = include_str!("../../../examples/migration-request.json");

/// The canonical request with another ID and server, and members of its own.
fn request(number: usize, changes: &Value) -> Value {
    let mut request: Value = serde_json::from_str(EXAMPLE).unwrap();
    request["migrationId"] = json!(format!("mig-{number}"));
    request["sourceVmId"] = json!(format!("vm-{number}"));
    for (name, value) in changes.as_object().unwrap() {
        request[name] = value.clone();
    }
    request
}

/// What the function answers to a request that it finds nothing wrong with.
fn nothing_wrong(seen: &Seen) -> Value {
    json!({
        "migrationId": seen.body["request"]["migrationId"], "tenantId": "default", "findings": [],
        "plan": {"replicate": true, "validate": true, "switch": true, "soakSeconds": 0},
        "sourceServerId": "s-0123456789abcdef0", "settingsDigest": "d",
    })
}

fn answer(body: &Value) -> Response {
    support::json(200, &[], body)
}

/// A failure of the function itself.
fn function_error(kind: &str, message: &str) -> Response {
    let body = json!({"errorType": kind, "errorMessage": message});
    support::json(200, &[("x-amz-function-error", "Unhandled")], &body)
}

/// A refusal by Lambda.
fn refusal(status: u16, kind: &'static str, message: &str) -> Response {
    let body = json!({"Type": "User", "message": message});
    support::json(status, &[("x-amzn-errortype", kind)], &body)
}

async fn validate(folder: &Folder, aws: &Aws, arguments: &[&str]) -> Ended {
    let mut all = vec!["validate", "--table", "acme-migrations"];
    all.extend(arguments);
    folder
        .landfall(&all, &[("AWS_ENDPOINT_URL", &aws.url)])
        .await
}

fn reports(ended: &Ended) -> Vec<Value> {
    serde_json::from_str(&ended.stdout).unwrap()
}

#[tokio::test]
async fn a_good_request_is_asked_about_and_nothing_else_is_done() {
    let aws = Aws::new(async |seen| answer(&nothing_wrong(&seen))).await;
    let folder = Folder::new().with("server.json", EXAMPLE);
    let ended = validate(&folder, &aws, &["server.json"]).await;
    assert_eq!(
        (ended.code, ended.stdout.as_str(), ended.stderr.as_str()),
        (
            Some(0),
            "mig-12345  vm-123456, s-0123456789abcdef0  ready  (server.json, line 1, request 1)\n",
            ""
        )
    );
    let seen = aws.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(
        seen[0].path,
        "/2015-03-31/functions/acme-validate-input/invocations?Qualifier=live"
    );
    let request: Value = serde_json::from_str(EXAMPLE).unwrap();
    let question = json!({"dryRun": true, "diff": false, "request": request});
    assert_eq!(seen[0].body, question);
}

#[tokio::test]
async fn a_function_that_is_named_whole_is_asked_as_it_is_named() {
    let aws = Aws::new(async |seen| answer(&nothing_wrong(&seen))).await;
    let folder = Folder::new().with("server.json", EXAMPLE);
    let arn = "arn:aws:lambda:us-east-1:123456789012:function:mine:7";
    let arguments = ["--validate-function", arn, "server.json"];
    let ended = validate(&folder, &aws, &arguments).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let path = aws.seen()[0].path.replace("%3A", ":");
    assert_eq!(path, format!("/2015-03-31/functions/{arn}/invocations"));
}

#[tokio::test]
async fn every_request_of_every_file_is_judged_in_order_and_only_sound_ones_are_sent() {
    let aws = Aws::new(async |seen| {
        let mut said = nothing_wrong(&seen);
        if seen.body["request"]["migrationId"] == "mig-2" {
            said["findings"] = json!([{
                "code": "IP_IN_USE", "severity": "blocking", "pointer": "/privateIp", "message": "10.0.0.5 is taken.",
                "remedy": "Choose another.",
            }]);
        }
        if seen.body["diff"] == true {
            said["differences"] = json!([{"field": "instanceType", "present": null, "wanted": "t3.large"}]);
        }
        answer(&said)
    })
    .await;
    let bad = request(3, &json!({"source": "mainframe", "surprise": 1}));
    let same_server = request(4, &json!({"sourceVmId": "vm-1"}));
    let wave = json!([request(1, &json!({})), request(2, &json!({})), bad]);
    let folder = Folder::new()
        .with("wave.json", &wave.to_string())
        .with("more.json", &same_server.to_string());
    let files = ["--json", "--diff", "wave.json", "more.json"];
    let ended = validate(&folder, &aws, &files).await;
    assert_eq!(
        (ended.code, ended.stderr.as_str()),
        (Some(1), ""),
        "{ended:?}"
    );

    let reports = reports(&ended);
    let verdicts: Vec<_> = reports
        .iter()
        .map(|it| {
            (
                it["file"].as_str().unwrap(),
                it["index"].as_u64().unwrap(),
                it["verdict"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        verdicts,
        [
            ("wave.json", 1, "ready"),
            ("wave.json", 2, "blocked"),
            ("wave.json", 3, "blocked"),
            ("more.json", 1, "blocked")
        ]
    );
    let codes: Vec<Vec<_>> = reports
        .iter()
        .map(|it| {
            it["findings"]
                .as_array()
                .unwrap()
                .iter()
                .map(|it| it["code"].as_str().unwrap())
                .collect()
        })
        .collect();
    assert_eq!(
        codes,
        [
            vec![],
            vec!["IP_IN_USE"],
            vec!["SCHEMA_INVALID"; 2],
            vec!["DUPLICATE_IN_FILES"]
        ]
    );
    assert_eq!(reports[0]["differences"][0]["wanted"], "t3.large");
    assert_eq!(reports[0]["plan"]["switch"], true);
    assert_eq!(
        (&reports[2]["differences"], &reports[2]["plan"]),
        (&Value::Null, &Value::Null)
    );

    let mut asked: Vec<_> = aws
        .seen()
        .iter()
        .map(|seen| {
            seen.body["request"]["migrationId"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    asked.sort();
    assert_eq!(asked, ["mig-1", "mig-2", "mig-4"]);
}

#[tokio::test]
async fn a_file_that_cannot_be_read_does_not_keep_the_others_from_being_checked() {
    let aws = Aws::new(async |seen| answer(&nothing_wrong(&seen))).await;
    let folder = Folder::new().with("b.json", EXAMPLE);
    let ended = validate(&folder, &aws, &["a.json", "b.json"]).await;
    assert_eq!(ended.code, Some(2), "{ended:?}");
    let (unread, ready) = ended.stdout.split_once("\n\n").unwrap();
    assert!(unread.starts_with("-  not checked  (a.json"), "{ended:?}");
    assert!(
        unread.contains("a.json cannot be read: No such file"),
        "{ended:?}"
    );
    assert!(
        ready.starts_with("mig-12345") && ready.contains("  ready  "),
        "{ended:?}"
    );
    assert!(
        ended
            .stderr
            .contains("1 of 2 requests could not be checked"),
        "{ended:?}"
    );
}

/// A run in which Lambda, or the function, answers always the same.
async fn met(response: impl Fn() -> Response + Clone + Send + Sync + 'static) -> Ended {
    let aws = Aws::new(move |_| std::future::ready(response())).await;
    let folder = Folder::new().with("server.json", EXAMPLE);
    let ended = validate(&folder, &aws, &["server.json"]).await;
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.stdout.contains("not checked"), "{ended:?}");
    ended
}

#[tokio::test]
async fn a_function_that_fails_says_why_and_whether_to_try_again() {
    let cause = "2 checks cannot run\n- MGN_DENIED at /account: no.\u{1b}[2J";
    let ended = met(move || function_error("PrerequisiteError", cause)).await;
    let lines: Vec<&str> = ended.stdout.lines().collect();
    assert_eq!(
        lines[1],
        "  acme-validate-input failed: PrerequisiteError: 2 checks cannot run"
    );
    assert_eq!(lines[2], "  - MGN_DENIED at /account: no. [2J");
    assert!(
        lines[3].contains("/aws/lambda/acme-validate-input"),
        "{ended:?}"
    );
    assert!(
        ended
            .stderr
            .contains("PrerequisiteError: 2 checks cannot run\n help: "),
        "{ended:?}"
    );

    for kind in ["Throttled", "DependencyUnavailable", "Sandbox.Timedout"] {
        let ended = met(move || function_error(kind, "MGN did not answer")).await;
        assert!(
            ended.stderr.contains("run the same command again"),
            "{ended:?}"
        );
    }
    // A runtime that died says nothing in our form.
    let ended =
        met(|| support::json(200, &[("x-amz-function-error", "Unhandled")], &json!(3))).await;
    assert!(ended.stderr.contains("it did not say why"), "{ended:?}");
}

#[tokio::test]
async fn a_refusal_says_what_to_do() {
    let ended = met(|| refusal(429, "TooManyRequestsException", "Rate Exceeded.")).await;
    assert!(ended.stderr.contains("throttled"), "{ended:?}");
    assert!(
        ended.stderr.contains("run the same command again"),
        "{ended:?}"
    );

    let denied = "User: arn:aws:iam::1:user/u is not authorized to perform: lambda:InvokeFunction";
    let ended = met(move || refusal(403, "AccessDeniedException", denied)).await;
    assert!(
        ended.stderr.contains("user/u is not authorized"),
        "{ended:?}"
    );
    let permission = "need the permission lambda:InvokeFunction on acme-validate-input:live";
    assert!(ended.stderr.contains(permission), "{ended:?}");

    let ended = met(|| refusal(404, "ResourceNotFoundException", "Function not found")).await;
    assert!(
        ended
            .stderr
            .contains("no function acme-validate-input there"),
        "{ended:?}"
    );
    assert!(ended.stderr.contains("landfall up"), "{ended:?}");

    let ended = met(|| refusal(500, "ServiceException", "oops")).await;
    assert!(
        ended.stderr.contains("run the same command again"),
        "{ended:?}"
    );
}

#[tokio::test]
async fn an_answer_without_findings_is_no_verdict() {
    // An emulator's mock, a function of another version.
    for said in [
        json!({"statusCode": 200}),
        json!(null),
        json!({"replicate": true}),
    ] {
        let ended = met(move || answer(&said)).await;
        assert!(ended.stderr.contains("cannot be read"), "{ended:?}");
        assert!(ended.stderr.contains("another version"), "{ended:?}");
    }
}

#[tokio::test]
async fn a_stack_that_is_not_up_is_told_with_what_could_be_checked_without_it() {
    let bad = request(2, &json!({"source": "mainframe"}));
    let folder = Folder::new().with(
        "wave.json",
        &json!([request(1, &json!({})), bad]).to_string(),
    );
    // Nobody listens there, and nobody is given that port who asks for a free one.
    let here = [("AWS_ENDPOINT_URL", "http://127.0.0.1:9")];
    let ended = folder
        .landfall(&["validate", "--table", "a-migrations", "wave.json"], &here)
        .await;
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(
        ended.stdout.starts_with("mig-1  vm-1  not checked"),
        "{ended:?}"
    );
    assert!(
        ended.stdout.contains("SCHEMA_INVALID  /source"),
        "{ended:?}"
    );
    assert!(ended.stderr.contains("could not be reached"), "{ended:?}");
    assert!(ended.stderr.contains("landfall up"), "{ended:?}");

    let ended = folder.landfall(&["validate", "wave.json"], &[]).await;
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(
        ended.stdout.contains("SCHEMA_INVALID  /source"),
        "{ended:?}"
    );
    for way in [
        "--validate-function",
        "LANDFALL_VALIDATE_FUNCTION",
        "landfall up",
    ] {
        assert!(ended.stderr.contains(way), "{ended:?}");
    }
}

#[tokio::test]
async fn a_wave_is_asked_about_eight_at_a_time_and_told_in_its_order() {
    let barrier = Arc::new(Barrier::new(8));
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let seen_most = Arc::clone(&most);
    let aws = Aws::new(move |seen| {
        let (barrier, running, most) = (barrier.clone(), running.clone(), most.clone());
        async move {
            most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            // Nobody gets an answer before eight have asked.
            barrier.wait().await;
            running.fetch_sub(1, Ordering::SeqCst);
            answer(&nothing_wrong(&seen))
        }
    })
    .await;
    let wave: Vec<_> = (1..=24).map(|number| request(number, &json!({}))).collect();
    let folder = Folder::new().with("wave.json", &json!(wave).to_string());
    let ended = validate(&folder, &aws, &["--json", "wave.json"]).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let told: Vec<_> = reports(&ended)
        .iter()
        .map(|it| it["migrationId"].clone())
        .collect();
    let wanted: Vec<_> = wave.iter().map(|it| it["migrationId"].clone()).collect();
    assert_eq!(told, wanted);
    assert_eq!(seen_most.load(Ordering::SeqCst), 8);
}

#[tokio::test]
async fn what_would_meet_every_request_alike_is_not_met_by_all_of_them() {
    let aws = Aws::new(async |_| refusal(403, "AccessDeniedException", "no")).await;
    let wave: Vec<_> = (1..=40).map(|number| request(number, &json!({}))).collect();
    let folder = Folder::new().with("wave.json", &json!(wave).to_string());
    let ended = validate(&folder, &aws, &["wave.json"]).await;
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert_eq!(
        ended.stdout.matches("  not checked  ").count(),
        40,
        "{ended:?}"
    );
    assert!(ended.stderr.contains("40 of 40 requests"), "{ended:?}");
    let asked = aws.seen().len();
    assert!(asked <= 8, "{asked} were asked about");
}
