//! The role in a target account, as Terraform makes it, lets the stages do what they call there and nothing else.
#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests; clippy exempts only the tests themselves"
)]

use std::collections::BTreeSet;

use landfall_accounts::actions;
use serde_json::{Value, json};

fn file(name: &str) -> String {
    let folder = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../terraform/target-account"
    );
    std::fs::read_to_string(format!("{folder}/{name}")).unwrap()
}

/// The statements of the role's policy in account 222222222222.
fn statements() -> Vec<Value> {
    let rendered = file("permissions.json.tftpl")
        .replace("${partition}", "aws")
        .replace("${account}", "222222222222")
        .replace("${role}", "landfall-target");
    assert!(!rendered.contains("${"), "a token that is not known here");
    let policy: Value = serde_json::from_str(&rendered).unwrap();
    policy["Statement"].as_array().unwrap().clone()
}

fn texts(value: &Value) -> impl Iterator<Item = String> {
    let texts = value.as_array().unwrap().iter();
    texts.map(|text| text.as_str().unwrap().to_owned())
}

#[test]
fn the_role_may_do_what_the_stages_call() {
    let mut allowed: [BTreeSet<String>; 2] = Default::default();
    for statement in statements() {
        assert_eq!(statement["Effect"], "Allow");
        let condition = &statement["Condition"];
        if !condition.is_null() {
            let through_mgn = json!({"Bool": {"aws:ViaAWSService": "true"}});
            assert_eq!(*condition, through_mgn, "{statement}");
        }
        allowed[usize::from(condition.is_object())].extend(texts(&statement["Action"]));
    }
    let [direct, via_service] = allowed;
    let wanted = |actions: fn(&actions::Actions) -> &'static [&'static str]| {
        let all = actions::ALL.iter().flat_map(actions);
        all.map(|action| (*action).to_owned())
            .collect::<BTreeSet<_>>()
    };
    assert_eq!(direct, wanted(|stage| stage.direct));
    assert_eq!(via_service, wanted(|stage| stage.via_service));
}

#[test]
fn the_role_trusts_the_stages_that_work_there() {
    let terraform = file("main.tf");
    let (_, list) = terraform.split_once("stages = [").unwrap();
    let (list, _) = list.split_once(']').unwrap();
    let trusted: BTreeSet<_> = list
        .split(',')
        .map(|name| name.trim().trim_matches('"'))
        .filter(|name| !name.is_empty())
        .collect();
    let stages: BTreeSet<_> = actions::ALL.iter().map(|stage| stage.function).collect();
    assert_eq!(trusted, stages);
}
