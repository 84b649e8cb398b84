use super::*;
use crate::status::Status;
use serde_json::json;

fn detail(evidence: Value) -> Detail {
    Detail {
        schema_version: crate::event::SCHEMA_VERSION.into(),
        tenant_id: DEFAULT_TENANT.into(),
        migration_id: "mig-12345".into(),
        correlation_id: "mig-c".into(),
        app_name: "billing-app".into(),
        wave: "wave-3".into(),
        from: Some(Status::Testing),
        to: Status::Failed,
        attempt: 1,
        source_server_id: Some("s-1".into()),
        job_id: None,
        reason_code: Some("SOME_CODE".into()),
        evidence: Some(evidence).filter(|it| !it.is_null()),
        occurred_at: "2026-11-21T12:00:00Z".into(),
    }
}

fn rule(changes: &Value) -> Value {
    let mut rule = json!({
        "gate": "cutover", "approvers": ["arn:aws:iam::1:role/lead", "arn:aws:iam::1:user/ann"], "count": 2,
        "deadlineSeconds": 3600, "escalateAfterSeconds": 600, "escalateTo": ["arn:aws:iam::1:role/head"],
    });
    for (name, value) in changes.as_object().unwrap() {
        rule[name] = value.clone();
    }
    rule
}

#[test]
fn every_event_has_words_of_its_own() {
    let mut titles = Vec::new();
    for event in EventType::ALL {
        let notice = notice(*event, &detail(Value::Null));
        assert!(
            notice.title.starts_with("mig-12345: "),
            "{event}: {}",
            notice.title
        );
        assert!(!notice.title.ends_with('.'), "{event}: {}", notice.title);
        assert!(
            notice.paragraphs.iter().all(|it| it.ends_with('.')),
            "{event}"
        );
        assert!(notice.facts.contains(&("Event", event.to_string())));
        titles.push(notice.title);
    }
    titles.sort();
    titles.dedup();
    assert_eq!(titles.len(), EventType::ALL.len());
}

#[test]
fn those_who_are_asked_learn_by_when_and_what_to_type() {
    let evidence = json!({ "gate": "cutover", "rules": [rule(&json!({}))] });
    let mut question = detail(evidence);
    question.reason_code = None;
    let asked = notice(EventType::ApprovalRequested, &question);
    assert_eq!(asked.level, Level::Wanted);
    assert_eq!(
        asked.paragraphs[0],
        "At the gate cutover this is wanted: 2 of arn:aws:iam::1:role/lead, arn:aws:iam::1:user/ann until 2026-11-21T13:00:00Z."
    );
    let lines: Vec<&str> = asked
        .commands
        .iter()
        .map(|(_, line)| line.as_str())
        .collect();
    assert_eq!(
        lines,
        [
            "landfall approve mig-12345 --gate cutover --reason WHY",
            "landfall deny mig-12345 --gate cutover --reason WHY",
            "landfall status mig-12345",
        ]
    );
    let evidence = json!({
        "gate": "finalize", "rules": [rule(&json!({ "gate": "finalize", "requireChangeReference": true }))],
    });
    let mut elsewhere = detail(evidence);
    elsewhere.tenant_id = "acme".into();
    elsewhere.reason_code = None;
    let asked = notice(EventType::ApprovalEscalated, &elsewhere);
    assert!(
        asked.paragraphs[0].contains("arn:aws:iam::1:role/head"),
        "{asked:?}"
    );
    assert_eq!(
        asked.commands[0].1,
        "landfall approve mig-12345 --gate finalize --reason WHY --change-reference CHANGE --tenant acme"
    );
}

#[test]
fn what_went_wrong_is_told_and_not_everything_that_is_known() {
    let findings: Vec<Value> = (0..7)
        .map(|n| json!({ "code": format!("CODE_{n}"), "message": "it is so.", "remedy": "Mend it." }))
        .collect();
    let evidence =
        json!({ "findings": findings, "rawError": "VcpuLimitExceeded", "other": "internal" });
    let failed = notice(EventType::MigrationFailed, &detail(evidence));
    assert_eq!(failed.level, Level::Bad);
    assert_eq!(failed.paragraphs[0], "VcpuLimitExceeded");
    assert_eq!(failed.paragraphs[1], "CODE_0: it is so. Mend it.");
    assert_eq!(failed.paragraphs[6], "And 2 more.");
    assert!(!format!("{failed:?}").contains("internal"));
    // Where the event says nothing else, its code.
    let held = notice(EventType::SwitchHeld, &detail(Value::Null));
    assert_eq!(held.paragraphs[0], "The reason is SOME_CODE.");
}

#[test]
fn whoever_ordered_or_answered_is_named_with_their_reason() {
    let order = json!({ "by": "arn:aws:iam::1:user/ann", "reason": "the link is down" });
    let answer = |approve| {
        json!({
            "by": "arn:aws:iam::1:user/bob", "approve": approve, "reason": "all good", "changeReference": "CHG1",
        })
    };
    for (event, evidence, told) in [
        (
            EventType::MigrationPaused,
            json!({ "order": order, "emergency": false }),
            "Ordered by arn:aws:iam::1:user/ann: the link is down",
        ),
        (
            EventType::RollbackStarted,
            json!({ "emergency": order }),
            "EMERGENCY: nobody is asked for approval, as ordered by arn:aws:iam::1:user/ann: the link is down",
        ),
        (
            EventType::ApprovalAnswered,
            json!({ "answer": answer(true) }),
            "arn:aws:iam::1:user/bob agreed (CHG1): all good",
        ),
        (
            EventType::ApprovalDenied,
            json!({ "answers": [answer(false)] }),
            "arn:aws:iam::1:user/bob refused (CHG1): all good",
        ),
        (
            EventType::SwitchHeld,
            json!({ "until": "2026-11-22T01:00:00Z" }),
            "As it looks now, until 2026-11-22T01:00:00Z.",
        ),
        (
            EventType::MigrationSucceeded,
            json!({ "outage": { "outageSeconds": 601 } }),
            "The outage took 11 minutes (601 seconds).",
        ),
    ] {
        assert_eq!(notice(event, &detail(evidence)).paragraphs[0], told);
    }
}

#[test]
fn an_end_tells_its_failure_and_what_is_left_to_do() {
    let failure = json!({
        "error": "ValidationError", "message": "1 check failed", "state": "ValidateInput",
        "findings": [{ "code": "SUBNET_NOT_FOUND", "message": "there is none." }],
    });
    let done = json!([{ "compensation": "dns", "outcome": "set" }, { "compensation": "cmf", "outcome": "set" }]);
    let evidence = json!({ "failure": failure, "done": done, "kept": [], "irreversible": ["the source's agent"] });
    let told = notice(EventType::RollbackCompleted, &detail(evidence)).paragraphs;
    assert_eq!(
        told,
        [
            "Done: dns, cmf.",
            "Cannot be undone: the source's agent.",
            "ValidationError in ValidateInput: 1 check failed",
            "SUBNET_NOT_FOUND: there is none.",
        ]
    );
    let text =
        "The rollback was not completed: x.\nBy hand, in this order:\n  1. start the source\n";
    let evidence = json!({ "handOver": text, "because": "x", "done": done });
    let told = notice(EventType::MigrationFrozen, &detail(evidence)).paragraphs;
    assert_eq!(
        told[..3],
        [
            "The rollback was not completed: x.",
            "By hand, in this order:",
            "1. start the source",
        ]
    );
    assert!(told[3].contains("landfall release"), "{told:?}");
}

#[test]
fn foreign_text_steers_neither_a_screen_nor_a_shell_nor_a_chat() {
    let evil = "a\u{1b}[2J\r\nb\u{202e} <!channel> *bold* [link](https://evil) `c`";
    let evidence = json!({ "rawError": evil, "gate": "x; rm -rf /", "rules": [] });
    let mut detail = detail(evidence);
    detail.migration_id = "-x'; rm".into();
    let notice = notice(EventType::ApprovalRequested, &detail);
    let Mail { subject, body } = mail(&notice);
    for text in [
        &subject,
        &body,
        &slack(&notice).to_string(),
        &teams(&notice).to_string(),
    ] {
        assert!(
            !text.contains('\u{1b}') && !text.contains('\u{202e}') && !text.contains('\r'),
            "{text}"
        );
    }
    assert!(
        body.contains(r"landfall approve '-x'\''; rm' --gate 'x; rm -rf /' --reason WHY"),
        "{body}"
    );
    let text = slack(&notice)["text"].as_str().unwrap().to_owned();
    assert!(
        text.contains("&lt;!channel&gt; 'bold'") && !text.contains("<!channel>"),
        "{text}"
    );
    let card = teams(&notice).to_string();
    assert!(card.contains(r"\\[link\\]\\(https://evil\\)"), "{card}");
    let long = "x".repeat(2 * LONGEST);
    assert_eq!(clean(&long).chars().count(), LONGEST + 1);
}

#[test]
fn a_subject_is_what_sns_takes() {
    for (id, expected) in [
        (
            "mig-1",
            "Landfall: [action] mig-1: the migration is frozen: a person must look",
        ),
        (
            "größe",
            "Landfall: [action] gr??e: the migration is frozen: a person must look",
        ),
        (
            "",
            "Landfall: [action] a message: the migration is frozen: a person must look",
        ),
    ] {
        let mut detail = detail(Value::Null);
        detail.migration_id = id.into();
        let notice = notice(EventType::MigrationFrozen, &detail);
        assert_eq!(mail(&notice).subject, expected);
        assert_eq!(notice.commands.is_empty(), id.is_empty());
    }
    let mut detail = detail(Value::Null);
    detail.migration_id = "x".repeat(200);
    let subject = mail(&notice(EventType::MigrationFrozen, &detail)).subject;
    assert_eq!(subject.len(), 99);
}

#[test]
fn a_mail_has_everything_in_plain_lines() {
    let stalled = notice(
        EventType::ReplicationStalled,
        &detail(json!({ "remedy": "Open port 1500." })),
    );
    assert_eq!(
        mail(&stalled).body,
        "mig-12345: replication has stalled\n\nOpen port 1500.\n\n\
         Mend what is named; the migration goes on by itself once data flows.\n\n\
         What happened so far:\n  landfall status mig-12345\n\n\
         Event: ReplicationStalled\nApplication: billing-app\nWave: wave-3\nStatus: TESTING → FAILED\nSource server: s-1\n\
         At: 2026-11-21T12:00:00Z\nCorrelation ID: mig-c\n"
    );
}

#[test]
fn a_card_is_what_teams_takes() {
    let card = teams(&notice(EventType::MigrationSucceeded, &detail(Value::Null)));
    assert_eq!(card["type"], "message");
    let attachment = &card["attachments"][0];
    assert_eq!(
        attachment["contentType"],
        "application/vnd.microsoft.card.adaptive"
    );
    let body = attachment["content"]["body"].as_array().unwrap();
    assert_eq!(body[0]["color"], "Good");
    let kinds: Vec<&str> = body.iter().map(|it| it["type"].as_str().unwrap()).collect();
    assert_eq!(kinds.first(), Some(&"TextBlock"));
    assert_eq!(kinds.last(), Some(&"FactSet"));
}
