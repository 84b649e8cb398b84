use super::*;
use serde_json::json;

mod blocks;

/// The canonical message, exactly as the design prints it.
const CANONICAL: &str = r#"{ "migrationId": "mig-12345", "appName": "billing-app", "source": "azure", "target": "aws", "environment": "prod", "wave": "wave-3",
  "steps": ["freeze", "replicate", "validate", "switch"], "callbackUrl": "https://runbook.example.com/status",
  "sourceVmId": "vm-123456", "targetVmName": "billing-app-prod-01", "instanceType": "t3.large",
  "subnetId": "subnet-0a1b2c3d", "securityGroupIds": ["sg-0a1b2c3d"], "tags": { "Environment": "prod", "Application": "billing" } }"#;

fn with(changes: &[(&str, Value)]) -> String {
    let mut value: Value = serde_json::from_str(CANONICAL).unwrap();
    for (name, change) in changes {
        value[*name] = change.clone();
    }
    value.to_string()
}

fn pointers(body: &str) -> Vec<String> {
    parse(body)
        .unwrap_err()
        .findings
        .into_iter()
        .map(|f| f.pointer)
        .collect()
}

#[test]
fn the_canonical_message_is_accepted_as_printed() {
    let request = parse(CANONICAL).unwrap();
    assert_eq!(request.migration_id, "mig-12345");
    assert_eq!(request.tenant_id, "default");
    assert_eq!(request.security_group_ids, ["sg-0a1b2c3d"]);
}

#[test]
fn what_was_parsed_serializes_to_something_that_parses_again() {
    let body = with(&[
        (
            "healthChecks",
            json!([{"kind": "http", "url": "http://{privateIp}/"}, {"kind": "tcp", "host": "{privateIp}", "port": 22}]),
        ),
        ("policy", json!({"soakSeconds": 60})),
        (
            "dns",
            json!([{"hostedZoneId": "Z1", "name": "a.example.com", "type": "A"}]),
        ),
        (
            "sourceControl",
            json!({"kind": "none", "ssmInstanceId": "mi-0123456789abcdef0"}),
        ),
    ]);
    let request = parse(&body).unwrap();
    let again = parse(&serde_json::to_string(&request).unwrap()).unwrap();
    assert_eq!(request, again);
    assert_eq!(request.digest().unwrap(), again.digest().unwrap());
}

#[test]
fn a_key_that_stands_twice_is_refused_by_name_beside_the_other_faults() {
    let body = CANONICAL
        .replacen(r#""Application""#, r#""Environment""#, 1)
        .replacen("azure", "mainframe", 1);
    let rejection = parse(&body).unwrap_err();
    assert_eq!(rejection.reason, "DUPLICATE_KEY");
    let found: Vec<_> = rejection
        .findings
        .iter()
        .map(|finding| (finding.code.as_str(), finding.pointer.as_str()))
        .collect();
    assert_eq!(
        found,
        [
            ("DUPLICATE_KEY", "/tags/Environment"),
            ("SCHEMA_INVALID", "/source")
        ]
    );
    assert!(rejection.findings[0].message.contains("\"Environment\""));
}

#[test]
fn every_fault_is_named_at_once_with_its_pointer_and_value() {
    let body = with(&[
        ("source", json!("mainframe")),
        ("subnetId", json!("subnet-XYZ")),
        ("steps", json!(["replicate", "replicate"])),
        ("surprise", json!(1)),
        ("policy", json!({"soakSeconds": "soon", "typo": 1})),
    ]);
    let rejection = parse(&body).unwrap_err();
    assert_eq!(rejection.reason, "SCHEMA_INVALID");
    assert_eq!(rejection.migration_id.as_deref(), Some("mig-12345"));
    let found = pointers(&body);
    for pointer in [
        "",
        "/policy",
        "/policy/soakSeconds",
        "/source",
        "/steps",
        "/subnetId",
    ] {
        assert!(
            found.contains(&pointer.to_owned()),
            "{pointer} is missing in {found:?}"
        );
    }
    let unknown = rejection
        .findings
        .iter()
        .find(|f| f.pointer.is_empty())
        .unwrap();
    assert!(unknown.message.contains("surprise"), "{}", unknown.message);
    let source = rejection
        .findings
        .iter()
        .find(|f| f.pointer == "/source")
        .unwrap();
    assert!(
        source.message.contains("mainframe") && source.message.contains("azure"),
        "{}",
        source.message
    );
}

#[test]
fn what_is_allowed_is_told_whole() {
    let body = with(&[("environment", json!("qa")), ("target", json!("gcp"))]);
    let findings = parse(&body).unwrap_err().findings;
    let messages: Vec<&str> = findings.iter().map(|f| f.message.as_str()).collect();
    assert_eq!(
        messages,
        [
            r#""qa" is not one of "dev", "test", "staging", "prod"."#,
            r#""gcp" is not "aws"."#
        ]
    );
}

#[test]
fn a_name_that_would_steer_a_terminal_or_break_a_template_is_refused() {
    for name in ["a\u{1b}[31mred", "two\nlines", "x\u{202e}y", "bell\u{7}"] {
        for field in ["targetVmName", "appName"] {
            let body = with(&[(field, json!(name))]);
            assert_eq!(pointers(&body), [format!("/{field}")], "{name:?}");
        }
    }
    parse(&with(&[("targetVmName", json!("Büro-Server 01 (東京)"))])).unwrap();
}

#[test]
fn reasons_are_told_apart() {
    for (body, reason) in [
        ("{".to_owned(), "NOT_JSON"),
        (String::new(), "NOT_JSON"),
        ("[]".to_owned(), "SCHEMA_INVALID"),
        ("null".to_owned(), "SCHEMA_INVALID"),
        (
            with(&[("schemaVersion", json!("2.0"))]),
            "SCHEMA_VERSION_UNSUPPORTED",
        ),
        (
            with(&[("schemaVersion", json!(1))]),
            "SCHEMA_VERSION_UNSUPPORTED",
        ),
        (
            with(&[("owner", json!("x".repeat(MAX_BODY_BYTES)))]),
            "BODY_TOO_LARGE",
        ),
        (with(&[("migrationId", json!("../etc"))]), "SCHEMA_INVALID"),
    ] {
        assert_eq!(parse(&body).unwrap_err().reason, reason);
    }
    assert_eq!(
        parse(&with(&[("migrationId", json!("../etc"))]))
            .unwrap_err()
            .migration_id,
        None
    );
}

#[test]
fn a_body_that_is_too_large_is_still_known_by_its_ids() {
    let large = json!("x".repeat(MAX_BODY_BYTES));
    let rejection = parse(&with(&[
        ("owner", large.clone()),
        ("tenantId", json!("acme")),
    ]))
    .unwrap_err();
    assert_eq!(rejection.reason, "BODY_TOO_LARGE");
    assert_eq!(rejection.migration_id.as_deref(), Some("mig-12345"));
    assert_eq!(rejection.tenant_id.as_deref(), Some("acme"));
    // An ID that is none, and a body that is no JSON, leave it too large without an ID.
    for body in [
        with(&[("owner", large), ("migrationId", json!("../etc"))]),
        "{".repeat(MAX_BODY_BYTES + 1),
    ] {
        let rejection = parse(&body).unwrap_err();
        assert_eq!(rejection.reason, "BODY_TOO_LARGE");
        assert_eq!(rejection.migration_id, None);
    }
}

#[test]
fn what_is_an_id_is_one_for_the_schema_too() {
    let (longest, longer) = ("x".repeat(128), "x".repeat(129));
    for (text, good) in [
        ("mig-12345", true),
        ("7", true),
        ("A.b_c-d", true),
        (&*longest, true),
        ("", false),
        ("-a", false),
        (".a", false),
        ("a b", false),
        ("a/b", false),
        ("ä", false),
        ("a\n", false),
        (&*longer, false),
    ] {
        assert_eq!(is_id(text), good, "{text:?}");
        let taken = parse(&with(&[("wave", json!(text))])).is_ok();
        assert_eq!(taken, good, "{text:?}");
    }
}

#[test]
fn of_thousands_of_faults_the_first_are_told_and_the_others_counted() {
    let body = with(&[("securityGroupIds", json!((0..2_000).collect::<Vec<_>>()))]);
    let findings = parse(&body).unwrap_err().findings;
    assert_eq!(findings.len(), MAX_FINDINGS + 1);
    let more = findings.last().unwrap();
    // Each number, and the list for its length.
    assert_eq!(
        (&*more.code, &more.found),
        (MORE, &json!(2_001 - MAX_FINDINGS))
    );
    assert!(more.message.contains("1951"), "{}", more.message);
    assert!(findings[..MAX_FINDINGS].iter().all(|f| f.code != MORE));
}

#[test]
fn a_list_that_is_cut_again_counts_on() {
    let all: Vec<_> = (0..9)
        .map(|n| Finding::blocking("X", "", format!("{n}")))
        .collect();
    assert_eq!(first(all.clone(), 9), all);
    let once = first(all.clone(), 6);
    assert_eq!(once.last().unwrap().found, 3);
    assert_eq!(first(once.clone(), 6), once);
    let twice = first(once, 2);
    assert_eq!((twice.len(), &twice.last().unwrap().found), (3, &json!(7)));
    assert_eq!(first(all, 0).last().unwrap().found, 9);
}

#[test]
fn what_the_sender_wrote_is_cut_between_characters() {
    // Four bytes a character, so that a cut at a byte would show.
    let long = "🚚".repeat(20_000);
    let tag = json!({ &long: 7 });
    for body in [
        with(&[("wave", json!(long))]),
        with(&[("schemaVersion", json!(long))]),
        with(&[("tags", tag)]),
        with(&[(&long, json!(1))]),
    ] {
        for finding in parse(&body).unwrap_err().findings {
            assert!(finding.message.chars().count() <= MAX_MESSAGE_CHARS + 1);
            assert!(finding.pointer.chars().count() <= MAX_EVIDENCE_CHARS + 1);
            let found = finding.found.as_str().unwrap_or_default();
            assert!(found.chars().count() <= MAX_EVIDENCE_CHARS + 1);
        }
    }
}

#[test]
fn the_worst_body_s_findings_fit_an_event() {
    // Names as long as they may be, of what takes six bytes in JSON; values of what takes most in UTF-8.
    let name = |n: usize| format!("{n:03}{}", "\u{1}".repeat(125));
    let tags: serde_json::Map<String, Value> = (0..60)
        .map(|n| (name(n), json!(["🚚".repeat(300)])))
        .collect();
    let findings = parse(&with(&[("tags", Value::Object(tags))]))
        .unwrap_err()
        .findings;
    assert_eq!(findings.len(), MAX_FINDINGS + 1);
    let bytes = serde_json::to_string(&findings).unwrap().len();
    assert!(bytes < 250_000, "{bytes}");
}

#[test]
fn no_finding_repeats_the_callback_s_url() {
    for body in [
        with(&[("callbackUrl", json!("ftp://a/?token=secret"))]),
        with(&[("callbackUrl", json!(["https://a/?token=secret"]))]),
        with(&[
            ("callbackUrl", json!("https://a/?token=secret")),
            ("zeal", json!(1)),
        ]),
        json!([{"callbackUrl": "https://a/?token=secret"}]).to_string(),
    ] {
        let findings = parse(&body).unwrap_err().findings;
        assert!(!format!("{findings:?}").contains("secret"), "{findings:?}");
    }
}
