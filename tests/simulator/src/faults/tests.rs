use super::*;
use crate::world::place::Place;
use std::collections::BTreeSet;

fn rule(json: Value) -> Rule {
    let rule: Rule = serde_json::from_value(json).unwrap();
    assert_eq!(rule.problems(), Vec::<String>::new());
    rule
}

fn faults(rules: &[Value]) -> Faults {
    let mut faults = Faults::default();
    for json in rules {
        faults.add(rule(json.clone()));
    }
    faults
}

fn home() -> Place {
    Place::new("000000000000", "us-east-1")
}

fn meet(faults: &mut Faults, service: &str, operation: &str) -> Option<Rule> {
    meet_about(faults, (service, operation), &home(), &Value::Null)
}

fn meet_about(
    faults: &mut Faults,
    (service, operation): (&str, &str),
    place: &Place,
    input: &Value,
) -> Option<Rule> {
    let known = ["vm-1", "vm-2"].map(|vm| {
        let server = vm.replace("vm", "s");
        BTreeSet::from([vm.to_owned(), server, vm.replace("vm", "i")])
    });
    faults.meet(&Call {
        service,
        operation,
        place,
        input,
        known: &known,
    })
}

#[test]
fn a_rule_meets_as_many_calls_as_it_says() {
    let mut faults = faults(&[
        json!({"service": "mgn", "operation": "StartTest", "kind": "throttle", "count": 2}),
    ]);
    assert!(meet(&mut faults, "mgn", "StartCutover").is_none());
    assert!(meet(&mut faults, "ssm", "StartTest").is_none());
    let refusal = meet(&mut faults, "mgn", "StartTest").unwrap().refusal();
    assert_eq!(refusal.unwrap().status, 429);
    assert!(meet(&mut faults, "mgn", "StartTest").is_some());
    assert!(meet(&mut faults, "mgn", "StartTest").is_none());
}

#[test]
fn the_rules_of_one_server_are_forgotten_and_no_others() {
    let throttle = |server: Value| json!({"service": "mgn", "kind": "throttle", "server": server});
    let mut faults = faults(&[
        throttle(json!("vm-1")),
        throttle(json!(["vm-2", "vm-1"])),
        throttle(json!("vm-2")),
        json!({"service": "ssm", "kind": "throttle"}),
    ]);
    faults.clear_of("vm-1");
    let left: Vec<_> = faults
        .rules()
        .iter()
        .map(|rule| json!(rule.server))
        .collect();
    assert_eq!(left, [json!("vm-2"), Value::Null]);
}

#[test]
fn a_rule_for_any_call_leaves_events_alone() {
    let mut faults = faults(&[json!({"kind": "error", "error": "ConflictException"})]);
    assert!(meet(&mut faults, "events", "MGN Source Server Launch Result").is_none());
    let refusal = meet(&mut faults, "mgn", "StartTest").unwrap().refusal();
    assert_eq!(refusal.unwrap().status, 409);
}

#[test]
fn the_first_matching_calls_may_pass() {
    let mut faults = faults(&[
        json!({"service": "mgn", "kind": "throttle", "after": 2}),
        json!({"service": "mgn", "kind": "drop-response"}),
    ]);
    let kinds: Vec<_> = (0..4)
        .map(|_| meet(&mut faults, "mgn", "StartTest").map(|rule| rule.kind))
        .collect();
    let wanted = [Some(Kind::DropResponse), None, Some(Kind::Throttle), None];
    assert_eq!(kinds, wanted);
}

#[test]
fn a_rule_keeps_to_its_account_and_region() {
    let other = home().with(Some("222222222222"), None);
    let call = ("mgn", "StartTest");
    for (limit, here, there) in [
        (json!({"account": "222222222222"}), false, true),
        (json!({"region": "us-east-1"}), true, true),
        (json!({"region": "eu-west-1"}), false, false),
    ] {
        let mut one = json!({"kind": "throttle"});
        one.as_object_mut()
            .unwrap()
            .extend(limit.as_object().unwrap().clone());
        for (place, met) in [(home(), here), (other.clone(), there)] {
            let mut faults = faults(std::slice::from_ref(&one));
            let rule = meet_about(&mut faults, call, &place, &Value::Null);
            assert_eq!(rule.is_some(), met, "{limit} in {place:?}");
        }
    }
}

#[test]
fn a_rule_for_a_server_meets_the_calls_that_name_it_by_any_of_its_names() {
    let inputs = [
        (json!({"sourceServerIDs": ["s-9", "s-1"]}), true),
        (json!({"filters": {"sourceServerIDs": ["s-1"]}}), true),
        (json!({"InstanceId.1": "i-1"}), true),
        (
            json!({"resourceArn": "arn:aws:mgn:x:y:source-server/s-1"}),
            true,
        ),
        (json!({"sourceServerIDs": ["s-2"]}), false),
        (json!({"text": "vm-10"}), false),
    ];
    for server in [json!("vm-1"), json!("s-1"), json!(["vm-7", "s-1"])] {
        for (input, met) in &inputs {
            let mut faults = faults(&[json!({"kind": "throttle", "server": server})]);
            let rule = meet_about(&mut faults, ("mgn", "X"), &home(), input);
            assert_eq!(rule.is_some(), *met, "{server} {input}");
        }
    }
}

#[test]
fn a_conflict_names_the_servers_of_the_call_that_it_is_for() {
    let call = ("mgn", "StartTest");
    let input = json!({"sourceServerIDs": ["s-1", "s-2", "s-3"]});
    for (server, named) in [
        (json!(null), vec!["s-1", "s-2", "s-3"]),
        (json!("vm-2"), vec!["s-2"]),
        (json!(["vm-1", "s-3"]), vec!["s-1", "s-3"]),
    ] {
        let mut faults = faults(&[json!({"kind": "conflict", "server": server, "code": "X"})]);
        assert!(meet(&mut faults, "mgn", "DescribeJobs").is_none());
        let rule = meet_about(&mut faults, call, &home(), &input).unwrap();
        let error = rule.refusal().unwrap();
        assert_eq!(
            (error.name.as_str(), error.status),
            ("ConflictException", 409)
        );
        let errors = error.extra["errors"].as_array().unwrap();
        let ids: Vec<_> = errors
            .iter()
            .map(|e| e["resourceId"].as_str().unwrap())
            .collect();
        assert_eq!(ids, named);
        assert!(errors.iter().all(|e| e["code"] == "X"), "{errors:?}");
    }
}

#[test]
fn the_dice_fall_as_the_seed_says_whatever_is_called_beside() {
    let met = |seed: u64, others: usize| {
        let mut faults = Faults::default();
        faults.throw_by(seed);
        faults.add(rule(
            json!({"service": "ec2", "kind": "throttle", "count": 1000, "probability": 0.5}),
        ));
        faults.add(rule(
            json!({"service": "mgn", "kind": "throttle", "count": 1000, "probability": 0.2}),
        ));
        let calls = (0..1000).map(|_| {
            for _ in 0..others {
                meet(&mut faults, "ec2", "X");
            }
            meet(&mut faults, "mgn", "X").is_some()
        });
        calls.collect::<Vec<bool>>()
    };
    let first = met(7, 0);
    assert_eq!(first, met(7, 3));
    assert_ne!(first, met(8, 0));
    let hits = first.iter().filter(|met| **met).count();
    assert!((150..250).contains(&hits), "{hits}");
}

#[test]
fn what_is_wrong_with_a_rule_is_told_at_once() {
    let wrong: Rule = serde_json::from_value(json!({
        "service": "mng", "kind": "late-event", "count": 0, "probability": 1.5, "delayMs": 5,
    }))
    .unwrap();
    let problems = wrong.problems();
    for word in [
        "`mng`",
        "late-event",
        "count 0",
        "probability 1.5",
        "delayMs",
    ] {
        let told = problems.iter().any(|problem| problem.contains(word));
        assert!(told, "{word}: {problems:?}");
    }
    assert_eq!(problems.len(), 5);
}
