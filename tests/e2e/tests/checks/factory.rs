//! The plan in Cloud Migration Factory.

use landfall_e2e::{Stack, unique};
use serde_json::{Value, json};

use crate::{STACK, codes, installed, source};

async fn assert_planned(stack: &Stack, request: &Value, expected: &[&str]) {
    assert_eq!(codes(stack, request, true).await, expected, "{request}");
}

#[tokio::test]
async fn a_request_is_compared_with_the_plan() {
    let (stack, run, _shared) = (Stack::load().await, unique(), STACK.read().await);
    let known = source(&stack, &run, "planned");
    installed(&stack, &[&known]).await;
    let all = [
        "CMF_WAVE_NOT_FOUND",
        "CMF_APP_NOT_FOUND",
        "CMF_SERVER_NOT_FOUND",
    ];
    assert_planned(&stack, &known.request, &all).await;

    let id = |kind: &str| format!("{kind}-{run}");
    let server = |number: &str, name: &str, app: &str| json!({"server_id": id(number), "server_name": format!("{name}-{run}"), "app_id": id(app)});
    let records = json!([
        {"wave_id": id("w"), "wave_name": format!("e2e-{run}")},
        {"app_id": id("a"), "app_name": format!("e2e-{run}"), "wave_id": id("w")},
        {"app_id": id("b"), "app_name": format!("other-{run}"), "wave_id": id("w")},
        server("1", "planned", "a"), server("2", "twin", "a"), server("3", "twin", "a"), server("4", "other", "b"),
    ]);
    stack.seed(&json!({ "cmf": records })).await;
    let named = |name: &str| known.clone().request("sourceHost", format!("{name}-{run}"));
    let planned = named("planned");
    let table: [(Value, &[&str]); 5] = [
        (planned.request.clone(), &[]),
        (named("twin").request, &["CMF_SERVER_AMBIGUOUS"]),
        (named("other").request, &["CMF_SERVER_ELSEWHERE"]),
        (
            planned.clone().request("wave", "nobody-has").request,
            &["CMF_WAVE_NOT_FOUND"],
        ),
        (
            planned.clone().request("appName", "nobody-has").request,
            &["CMF_APP_NOT_FOUND", "CMF_SERVER_ELSEWHERE"],
        ),
    ];
    for (request, expected) in table {
        assert_planned(&stack, &request, expected).await;
    }
}

#[tokio::test]
async fn one_that_is_away_is_told() {
    let (stack, run, _alone) = (Stack::load().await, unique(), STACK.write().await);
    let known = source(&stack, &run, "away");
    installed(&stack, &[&known]).await;
    let fault = json!({
        "service": "cmf", "operation": "GET /user/wave", "kind": "error", "error": "Unavailable", "status": 503,
        "count": 1_000,
    });
    stack.post("faults", &fault).await;
    let told = codes(&stack, &known.request, true).await;
    stack.delete("faults").await;
    assert_eq!(told, ["CMF_UNREACHABLE"]);
}
