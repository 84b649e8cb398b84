use super::*;
use crate::control::Order;
use crate::record::tests::record;
use proptest::prelude::*;
use serde_json::json;

fn user(name: &str) -> String {
    format!("arn:aws:iam::123456789012:user/{name}")
}

fn caller(arn: &str) -> Caller {
    Caller {
        arn: arn.to_owned(),
        id: String::new(),
    }
}

fn rule(approvers: &[&str], count: u32) -> ApprovalRule {
    let names: Vec<String> = approvers.iter().map(|name| user(name)).collect();
    serde_json::from_value(json!({"gate": "cutover", "approvers": names, "count": count})).unwrap()
}

fn gate(answers: &[(&str, bool)]) -> GateRecord {
    let answers = answers.iter().map(|(name, approve)| Answer {
        by: user(name),
        approve: *approve,
        reason: "because".into(),
        change_reference: None,
        at: "2026-11-21T12:00:00Z".into(),
    });
    GateRecord {
        gate: Gate::Cutover,
        opened_at: "2026-11-21T12:00:00Z".into(),
        answers: answers.collect(),
        escalated_at: None,
        refused_at: None,
        granted_at: None,
    }
}

fn at(seconds: i64) -> Timestamp {
    let noon: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
    noon.checked_add(SignedDuration::from_secs(seconds))
        .unwrap()
}

#[test]
fn a_rule_means_a_user_a_session_or_every_session_of_a_role() {
    let session = "arn:aws:sts::123456789012:assumed-role/Managers/ann@example.com";
    let role = "arn:aws:iam::123456789012:role/Managers";
    let table = [
        (user("ann"), user("ann"), true),
        (user("ann"), user("annie"), false),
        (session.to_owned(), session.to_owned(), true),
        (session.to_owned(), role.to_owned(), true),
        // The session's ARN leaves the path out.
        (
            session.to_owned(),
            "arn:aws:iam::123456789012:role/org/unit/Managers".to_owned(),
            true,
        ),
        (
            session.to_owned(),
            "arn:aws:iam::123456789012:role/Managers2".to_owned(),
            false,
        ),
        (
            session.to_owned(),
            "arn:aws:iam::210987654321:role/Managers".to_owned(),
            false,
        ),
        (
            session.to_owned(),
            "arn:aws-cn:iam::123456789012:role/Managers".to_owned(),
            false,
        ),
        // One session is not another of the same role, and a user is no role.
        (
            session.to_owned(),
            "arn:aws:sts::123456789012:assumed-role/Managers/bob".to_owned(),
            false,
        ),
        (user("Managers"), role.to_owned(), false),
        (session.to_owned(), user("Managers"), false),
        (session.to_owned(), String::new(), false),
        (String::new(), role.to_owned(), false),
        (
            "arn:aws:iam::123456789012:root".to_owned(),
            "arn:aws:iam::123456789012:root".to_owned(),
            true,
        ),
    ];
    for (arn, principal, expected) in table {
        assert_eq!(
            caller(&arn).is(&principal),
            expected,
            "{arn} as {principal}"
        );
    }
}

#[test]
fn whoever_sent_the_message_or_is_named_asked_for_it() {
    let mut record = record();
    let ann = Caller {
        arn: user("ann"),
        id: "AIDA1".into(),
    };
    assert!(!ann.asked_for(&record));
    record.sender_id = Some("AIDA1".into());
    assert!(ann.asked_for(&record));
    record.sender_id = Some("AIDA2".into());
    record.request.requested_by = Some(user("ann"));
    assert!(ann.asked_for(&record));
    record.sender_id = None;
    record.request.requested_by = None;
    assert!(!ann.asked_for(&record));
    record.control.cancel = Some(Order {
        by: user("ann"),
        reason: "why".into(),
        at: String::new(),
    });
    assert!(ann.asked_for(&record), "nobody approves what they ordered");
}

#[test]
fn everybody_whose_word_is_wanted_counts_once() {
    let waiting = |until| Verdict::Waiting { until: at(until) };
    let day = i64::from(DEFAULT_DEADLINE_SECONDS);
    let table: Vec<(Vec<ApprovalRule>, GateRecord, i64, Verdict)> = vec![
        (vec![], gate(&[]), 0, Verdict::Granted),
        (vec![rule(&["ann"], 1)], gate(&[]), 0, waiting(day)),
        (
            vec![rule(&["ann"], 1)],
            gate(&[("ann", true)]),
            0,
            Verdict::Granted,
        ),
        (
            vec![rule(&["ann"], 1)],
            gate(&[("eve", true)]),
            0,
            waiting(day),
        ),
        (
            vec![rule(&["ann", "bob"], 2)],
            gate(&[("ann", true), ("ann", true)]),
            0,
            waiting(day),
        ),
        (
            vec![rule(&["ann", "bob"], 2)],
            gate(&[("ann", true), ("bob", true)]),
            0,
            Verdict::Granted,
        ),
        // Both rules want theirs; one person may be in both.
        (
            vec![rule(&["ann"], 1), rule(&["bob"], 1)],
            gate(&[("ann", true)]),
            0,
            waiting(day),
        ),
        (
            vec![rule(&["ann"], 1), rule(&["ann"], 1)],
            gate(&[("ann", true)]),
            0,
            Verdict::Granted,
        ),
        (vec![rule(&["ann"], 1)], gate(&[]), day, Verdict::Expired),
        (
            vec![rule(&["ann"], 1)],
            gate(&[("ann", true)]),
            day,
            Verdict::Granted,
        ),
    ];
    for (number, (rules, gate, seconds, expected)) in table.into_iter().enumerate() {
        assert_eq!(judge(&rules, &gate, at(seconds)), expected, "row {number}");
    }
    let refused = gate(&[("ann", true), ("bob", false)]);
    let verdict = judge(&[rule(&["ann"], 1)], &refused, at(0));
    assert_eq!(verdict, Verdict::Denied(refused.answers[1].clone()));
}

#[test]
fn others_are_asked_once_and_count_from_then_on() {
    let mut rule = rule(&["ann"], 1);
    rule.escalate_after_seconds = Some(60);
    rule.escalate_to = vec![user("carol")];
    let rules = [rule];
    let mut gate = gate(&[("carol", true)]);
    assert_eq!(
        judge(&rules, &gate, at(0)),
        Verdict::Waiting { until: at(60) }
    );
    assert_eq!(judge(&rules, &gate, at(60)), Verdict::Escalate);
    gate.escalated_at = Some(at(60).to_string());
    assert_eq!(judge(&rules, &gate, at(60)), Verdict::Granted);
    gate.answers.clear();
    let end = at(i64::from(DEFAULT_DEADLINE_SECONDS));
    assert_eq!(
        judge(&rules, &gate, at(60)),
        Verdict::Waiting { until: end }
    );
}

#[test]
fn each_rule_asks_its_others_in_its_own_time() {
    let escalating = |name: &str, seconds: u32, other: &str| ApprovalRule {
        escalate_after_seconds: Some(seconds),
        escalate_to: vec![user(other)],
        ..rule(&[name], 1)
    };
    let rules = [
        escalating("ann", 60, "carol"),
        escalating("bob", 600, "dave"),
    ];
    let mut gate = gate(&[("carol", true), ("dave", true)]);
    assert_eq!(judge(&rules, &gate, at(60)), Verdict::Escalate);
    gate.escalated_at = Some(at(61).to_string());
    assert!(is_escalated(&rules[0], &gate) && !is_escalated(&rules[1], &gate));
    let until = at(600);
    assert_eq!(judge(&rules, &gate, at(61)), Verdict::Waiting { until });
    assert_eq!(judge(&rules, &gate, at(600)), Verdict::Escalate);
    gate.escalated_at = Some(at(600).to_string());
    assert_eq!(judge(&rules, &gate, at(600)), Verdict::Granted);
}

#[test]
fn a_request_adds_to_the_deployment_and_takes_nothing_away() {
    let deployment: DeploymentRules = serde_json::from_value(json!({
        "prod": [{"gate": "cutover", "approvers": [user("ann")]}, {"gate": "finalize", "approvers": [user("ann")]}],
        "dev": [{"gate": "cutover", "approvers": [user("dev")]}],
    }))
    .unwrap();
    let mut record = record();
    let names = |record: &MigrationRecord, gate| -> Vec<String> {
        let rules = deployment.of(&record.request, gate);
        rules.into_iter().flat_map(|rule| rule.approvers).collect()
    };
    assert_eq!(names(&record, Gate::Cutover), [user("ann")]);
    record.request.policy.approvals = vec![rule(&["bob"], 1)];
    assert_eq!(names(&record, Gate::Cutover), [user("ann"), user("bob")]);
    assert_eq!(names(&record, Gate::Finalize), [user("ann")]);
    assert!(names(&record, Gate::Rollback).is_empty());
    record.request.environment = Environment::Test;
    assert_eq!(names(&record, Gate::Cutover), [user("bob")]);
}

proptest! {
    /// However people answer and whenever it is looked at: who is not named never opens a gate, and a refusal always closes it.
    #[test]
    fn only_the_named_open_a_gate(
        answers in proptest::collection::vec((0_usize..4, any::<bool>()), 0..8),
        count in 1_u32..4,
        seconds in 0_i64..200_000,
    ) {
        let names = ["ann", "bob", "eve", "mallory"];
        let answers: Vec<(&str, bool)> = answers.iter().map(|(who, yes)| (names[*who], *yes)).collect();
        let gate = gate(&answers);
        let rules = [rule(&["ann", "bob"], count)];
        let verdict = judge(&rules, &gate, at(seconds));
        let agreed = ["ann", "bob"].iter().filter(|name| answers.contains(&(**name, true))).count();
        let refused = answers.iter().any(|(_, yes)| !yes);
        prop_assert_eq!(verdict == Verdict::Granted, !refused && agreed >= usize::try_from(count).unwrap());
        prop_assert_eq!(matches!(verdict, Verdict::Denied(_)), refused);
    }
}
