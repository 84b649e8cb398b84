//! Orders and answers against a server that plays the operators' API.

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
