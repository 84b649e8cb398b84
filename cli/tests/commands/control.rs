//! Orders and answers against a server that plays the operators' API.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::response::Response;
use serde_json::{Value, json};

use crate::support::{self, Aws, Ended, Folder, Seen};

const KEY: &str = "AKIAIOSFODNN7EXAMPLE";

async fn landfall(aws: &Aws, arguments: &[&str]) -> Ended {
    let api = format!("{}/api", aws.url);
    let mut all = arguments.to_vec();
    all.extend(["--operator-api", api.as_str(), "--region", "eu-central-1"]);
    Folder::new()
        .landfall(
            &all,
            &[
                ("LANDFALL_LOCAL_ACCESS_KEY_ID", KEY),
                ("LANDFALL_LOCAL_SECRET_ACCESS_KEY", "secret"),
            ],
        )
        .await
}

async fn api(answer: fn(&Value) -> Response) -> Aws {
    Aws::new(move |seen: Seen| {
        let answer = answer(&seen.body);
        async { answer }
    })
    .await
}

fn takes(_order: &Value) -> Response {
    support::json(200, &[], &json!({ "status": "REPLICATING", "attempt": 1 }))
}

fn refuses_two(order: &Value) -> Response {
    if order["migrationId"] == "mig-2" {
        let finding = json!({
            "code": "STATUS_FORBIDS", "severity": "blocking", "message": "mig-2 is SUCCEEDED",
            "remedy": "There is nothing left to pause.",
        });
        return support::json(409, &[], &json!({ "finding": finding }));
    }
    takes(order)
}

#[tokio::test]
async fn an_order_is_signed_by_whoever_gives_it_and_says_why() {
    let aws = api(takes).await;
    let ended = landfall(
        &aws,
        &[
            "pause",
            "mig-1",
            "mig-2",
            "mig-1",
            "--reason",
            "the link is down",
        ],
    )
    .await;
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    assert_eq!(
        ended.stdout,
        "mig-1  REPLICATING  paused\nmig-2  REPLICATING  paused\n"
    );
    let mut seen = aws.seen();
    seen.sort_by_key(|it| it.body["migrationId"].to_string());
    assert_eq!(seen.len(), 2, "each once");
    assert_eq!(seen[0].path, "/api/orders");
    let order = json!({
        "tenantId": "default", "migrationId": "mig-1", "order": "pause", "reason": "the link is down",
    });
    assert_eq!(seen[0].body, order);
    let signed = &seen[0].authorization;
    assert!(
        signed.starts_with(&format!("AWS4-HMAC-SHA256 Credential={KEY}/")),
        "{signed}"
    );
    assert!(
        signed.contains("/eu-central-1/execute-api/aws4_request"),
        "{signed}"
    );
    assert!(!ended.stdout.contains("secret"));
}

#[tokio::test]
async fn an_answer_names_its_gate_and_tells_whose_word_is_missing() {
    let aws = api(|_| {
        let missing = json!([{ "count": 1, "of": ["arn:aws:iam::123456789012:user/bob"] }]);
        let body = json!({ "status": "AWAITING_APPROVAL", "granted": false, "missing": missing });
        support::json(200, &[], &body)
    })
    .await;
    let ended = landfall(
        &aws,
        &[
            "approve",
            "mig-1",
            "--gate",
            "cutover",
            "--reason",
            "all is well",
            "--change-reference",
            "CHG1",
        ],
    )
    .await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(
        ended
            .stdout
            .contains("1 more of arn:aws:iam::123456789012:user/bob"),
        "{}",
        ended.stdout
    );
    let seen = aws.seen();
    assert_eq!(seen[0].path, "/api/approvals");
    assert_eq!(
        (&seen[0].body["gate"], &seen[0].body["decision"]),
        (&json!("cutover"), &json!("approve"))
    );
    assert_eq!(seen[0].body["changeReference"], "CHG1");
}

#[tokio::test]
async fn a_refusal_says_why_and_what_to_do_and_the_others_are_told() {
    let aws = api(refuses_two).await;
    let ended = landfall(&aws, &["pause", "mig-1", "mig-2", "--reason", "why not"]).await;
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.stdout.contains("mig-1  REPLICATING  paused"),
        "{}",
        ended.stdout
    );
    for part in [
        "mig-2 is SUCCEEDED",
        "STATUS_FORBIDS",
        "help: There is nothing left",
    ] {
        assert!(ended.stdout.contains(part), "{part}: {}", ended.stdout);
    }
    let ended = landfall(&aws, &["pause", "mig-2", "--reason", "why not", "--json"]).await;
    let said: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(
        (&said[0]["taken"], &said[0]["httpStatus"]),
        (&json!(false), &json!(409))
    );
    assert_eq!(said[0]["finding"]["code"], "STATUS_FORBIDS");
}

/// An API whose gateway sends an order back with a status, for a pause of no length. What decides is given the migration and
/// how often an order for it has come.
async fn gateway(
    status: impl Fn(&str, usize) -> Option<u16> + Clone + Send + Sync + 'static,
) -> Aws {
    let counts = Arc::new(Mutex::new(BTreeMap::<String, usize>::new()));
    Aws::new(move |seen: Seen| {
        let id = seen.body["migrationId"].as_str().unwrap().to_owned();
        let count = {
            let mut counts = counts.lock().unwrap();
            let count = counts.entry(id.clone()).or_default();
            *count += 1;
            *count
        };
        let answer = match status(&id, count) {
            None => takes(&seen.body),
            Some(status) => {
                let said = json!({ "message": "not now" });
                support::json(status, &[("retry-after", "0")], &said)
            }
        };
        async { answer }
    })
    .await
}

async fn pause_wave(aws: &Aws, count: usize, more: &[&str]) -> (Vec<String>, Ended) {
    let ids: Vec<String> = (0..count).map(|n| format!("mig-{n:02}")).collect();
    let mut arguments = vec!["pause", "--reason", "why not"];
    arguments.extend(ids.iter().map(String::as_str));
    arguments.extend(more);
    let ended = landfall(aws, &arguments).await;
    (ids, ended)
}

#[tokio::test]
async fn orders_that_come_too_fast_are_all_taken() {
    for status in [429, 500, 502, 503, 504] {
        let aws = gateway(move |_, count| (count == 1).then_some(status)).await;
        let (ids, ended) = pause_wave(&aws, 20, &[]).await;
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
        let lines = ids.iter().map(|id| format!("{id}  REPLICATING  paused\n"));
        assert_eq!(ended.stdout, lines.collect::<String>(), "{status}");
        assert_eq!(aws.seen().len(), 40, "{status}");
    }
}

#[tokio::test]
async fn an_order_that_never_gets_through_is_told_and_the_others_are_taken() {
    let aws = gateway(|id, _| (id == "mig-03").then_some(503)).await;
    let (_, ended) = pause_wave(&aws, 20, &[]).await;
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(1), ""));
    let taken = ended.stdout.matches("  REPLICATING  paused\n").count();
    assert_eq!(taken, 19, "{}", ended.stdout);
    let failed = "mig-03  failed: the operators' API answered 503: not now (API_FAILED)\n  help: This may pass";
    assert!(ended.stdout.contains(failed), "{}", ended.stdout);

    let (_, ended) = pause_wave(&aws, 20, &["--json"]).await;
    assert_eq!(ended.code, Some(1));
    let said: Value = serde_json::from_str(&ended.stdout).unwrap();
    let said = said.as_array().unwrap();
    assert_eq!(said.iter().filter(|it| it["taken"] == true).count(), 19);
    let failed = &said[3];
    assert_eq!(failed["migrationId"], "mig-03");
    assert_eq!(
        (&failed["taken"], &failed["httpStatus"]),
        (&json!(false), &json!(503))
    );
    assert_eq!(failed["finding"]["code"], "API_FAILED");
}

#[tokio::test]
async fn an_api_that_takes_nothing_is_not_asked_for_each_of_a_wave() {
    let aws = gateway(|id, _| (id > "mig-03").then_some(503)).await;
    let (ids, ended) = pause_wave(&aws, 40, &[]).await;
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(1), ""));
    let told = |what: &str| ended.stdout.matches(what).count();
    assert_eq!(told("  REPLICATING  paused\n"), 4, "{}", ended.stdout);
    let (failed, not_sent) = (told("(API_FAILED)"), told("(NOT_SENT)"));
    assert_eq!(failed + not_sent, ids.len() - 4, "{}", ended.stdout);
    // Those that failed, and those that were under way meanwhile.
    assert!((8..16).contains(&failed), "{}", ended.stdout);
}

#[tokio::test]
async fn what_the_gateway_refuses_to_all_ends_the_order_and_what_was_taken_is_told() {
    for (json, taken) in [
        (false, "mig-00  REPLICATING  paused\n"),
        (true, "\"taken\": true"),
    ] {
        let aws = gateway(|id, _| (id >= "mig-10").then_some(403)).await;
        let more: &[&str] = if json { &["--json"] } else { &[] };
        let (_, ended) = pause_wave(&aws, 40, more).await;
        assert_eq!(ended.code, Some(1));
        assert!(ended.stdout.contains(taken), "{}", ended.stdout);
        let lines = ended.stdout.matches("REPLICATING").count();
        assert_eq!(lines, 10, "{}", ended.stdout);
        for part in [
            "30 of 40 orders were not given",
            "answered 403: not now",
            "execute-api:Invoke",
        ] {
            assert!(ended.stderr.contains(part), "{part}: {}", ended.stderr);
        }
        assert!(aws.seen().len() < 20, "nothing more is sent");
        if json {
            let said: Value = serde_json::from_str(&ended.stdout).unwrap();
            assert_eq!(said.as_array().unwrap().len(), 10);
        }
    }
}

#[tokio::test]
async fn what_the_gateway_refuses_says_which_permission_is_missing() {
    let aws = api(|_| support::json(403, &[], &json!({ "message": "Forbidden" }))).await;
    let ended = landfall(&aws, &["cancel", "mig-1", "--reason", "why not"]).await;
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.stderr.contains("execute-api:Invoke on POST /orders"),
        "{}",
        ended.stderr
    );
}

#[tokio::test]
async fn a_command_line_that_could_do_harm_is_refused_before_anything_is_sent() {
    let aws = api(takes).await;
    for (arguments, said) in [
        (&["pause", "mig-1"][..], "--reason"),
        (&["pause", "--reason", "why"], "--wave"),
        (&["cancel", "--wave", "w", "--reason", "why"], "--yes"),
        (
            &["approve", "mig-1", "--gate", "none", "--reason", "why"],
            "cutover",
        ),
        (&["rollback", "mig-1", "--plan", "--emergency"], "--plan"),
        (&["rollback", "mig-1"], "--reason"),
        (&["pause", "--wave", "wave 3", "--reason", "why"], "--wave"),
        (
            &[
                "window", "clear", "--wave", "w", "--tenant", "../x", "--reason", "why",
            ],
            "--tenant",
        ),
        (
            &[
                "window",
                "set",
                "--wave",
                "w",
                "--start",
                "tonight",
                "--end",
                "2026-11-28T22:00",
                "--time-zone",
                "Mars",
                "--reason",
                "why",
            ],
            "--start: \"tonight\"",
        ),
    ] {
        let ended = landfall(&aws, arguments).await;
        assert_eq!(ended.code, Some(2), "{arguments:?}");
        assert!(
            ended.stderr.contains(said),
            "{arguments:?}: {}",
            ended.stderr
        );
    }
    assert!(aws.seen().is_empty());
    let ended = landfall(
        &aws,
        &[
            "rollback",
            "mig-1",
            "--emergency",
            "--reason",
            "customers cannot pay",
        ],
    )
    .await;
    assert_eq!(ended.code, Some(0));
    assert!(ended.stderr.contains("EMERGENCY"), "{}", ended.stderr);
    assert_eq!(aws.seen()[0].body["emergency"], true);
}

#[tokio::test]
async fn a_wave_that_nobody_knows_is_no_quiet_one() {
    let nothing = json!({ "Items": [], "Count": 0, "ScannedCount": 0 });
    let aws = Aws::new(move |_: Seen| {
        let answer = support::json(200, &[], &nothing);
        async { answer }
    })
    .await;
    let order = ["pause", "--wave", "nowave", "--reason", "why not"];
    let api = format!("{}/api", aws.url);
    let target = [
        "--operator-api",
        &api,
        "--table",
        "t",
        "--region",
        "eu-central-1",
    ];
    let ended = Folder::new()
        .landfall(
            &[order.as_slice(), &target].concat(),
            &[("AWS_ENDPOINT_URL", &aws.url)],
        )
        .await;
    assert_eq!(ended.code, Some(3), "{}", ended.stderr);
    for part in ["no migration in the wave nowave", "help: Check the wave"] {
        assert!(ended.stderr.contains(part), "{part}: {}", ended.stderr);
    }
}
