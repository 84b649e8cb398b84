use super::*;
use crate::finding::Severity;
use serde_json::{Value, json};

fn request(changes: &Value) -> MigrationRequest {
    let mut request = serde_json::to_value(crate::record::tests::request()).unwrap();
    let changes = changes.as_object().unwrap().clone();
    request.as_object_mut().unwrap().extend(changes);
    serde_json::from_value(request).unwrap()
}

fn app(id: &str, name: &str, wave_id: Option<&str>) -> App {
    App {
        id: id.into(),
        name: name.into(),
        wave_id: wave_id.map(str::to_owned),
    }
}

fn server(id: &str, name: &str, app_id: Option<&str>) -> Server {
    Server {
        id: id.into(),
        name: name.into(),
        fqdn: format!("{name}.corp.example.com"),
        app_id: app_id.map(str::to_owned),
        status: String::new(),
    }
}

fn wave(id: &str, name: &str, status: &str) -> Wave {
    Wave {
        id: id.into(),
        name: name.into(),
        status: status.into(),
    }
}

/// The request's server as it is planned, and another application in another wave.
fn records(servers: Vec<Server>) -> Records {
    Records {
        waves: vec![wave("1", "Wave-1", "Not started"), wave("2", "wave-2", "")],
        apps: vec![
            app("10", "app", Some("1")),
            app("20", "crm", Some("2")),
            app("30", "stray", None),
        ],
        servers,
    }
}

fn codes(findings: &[Finding]) -> Vec<&str> {
    findings
        .iter()
        .map(|finding| finding.code.as_str())
        .collect()
}

#[test]
fn records_that_fit_say_nothing_and_are_those_to_change() {
    let records = records(vec![
        server("7", "VM-1", Some("10")),
        server("8", "vm-2", Some("10")),
    ]);
    let request = request(&json!({}));
    assert_eq!(records.findings(&request, Weight::Required), []);
    assert_eq!(records.server(&request).unwrap().id, "7");
    assert_eq!(records.wave_to_start(&request).unwrap().id, "1");
}

#[test]
fn each_difference_has_its_code_and_says_what_is_there() {
    let table = [
        (
            json!({"wave": "wave-9"}),
            vec![server("7", "vm-1", Some("10"))],
            vec!["CMF_WAVE_NOT_FOUND"],
            "wave-9",
        ),
        (
            json!({"appName": "billing"}),
            vec![server("7", "vm-1", Some("10"))],
            vec!["CMF_APP_NOT_FOUND", "CMF_SERVER_ELSEWHERE"],
            "vm-1 in the application app of the wave Wave-1",
        ),
        (
            json!({}),
            vec![],
            vec!["CMF_SERVER_NOT_FOUND"],
            "no server vm-1",
        ),
        (
            json!({"sourceControl": {"kind": "none", "vmName": "web-01"}}),
            vec![server("7", "vm-1", Some("10"))],
            vec!["CMF_SERVER_NOT_FOUND"],
            "no server web-01",
        ),
        (
            json!({}),
            vec![server("7", "vm-1", Some("20"))],
            vec!["CMF_SERVER_ELSEWHERE"],
            "the application crm of the wave wave-2",
        ),
        (
            json!({}),
            vec![server("7", "vm-1", Some("30"))],
            vec!["CMF_SERVER_ELSEWHERE"],
            "the application stray of no wave",
        ),
        (
            json!({}),
            vec![server("7", "vm-1", None)],
            vec!["CMF_SERVER_ELSEWHERE"],
            "in no application",
        ),
        (
            json!({"wave": "wave-2"}),
            vec![server("7", "vm-1", Some("10"))],
            vec!["CMF_SERVER_ELSEWHERE"],
            "the application app of the wave Wave-1",
        ),
        (
            json!({}),
            vec![
                server("7", "vm-1", Some("20")),
                server("8", "vm-1", Some("30")),
            ],
            vec!["CMF_SERVER_AMBIGUOUS"],
            "7, 8",
        ),
        (
            json!({"wave": "w", "appName": "a"}),
            vec![],
            vec![
                "CMF_WAVE_NOT_FOUND",
                "CMF_APP_NOT_FOUND",
                "CMF_SERVER_NOT_FOUND",
            ],
            "no application a",
        ),
    ];
    for (changes, servers, expected, told) in table {
        let records = records(servers);
        for (weight, severity) in [
            (Weight::Told, Severity::Warning),
            (Weight::Required, Severity::Blocking),
        ] {
            let findings = records.findings(&request(&changes), weight);
            assert_eq!(codes(&findings), expected, "{changes}");
            assert!(
                findings
                    .iter()
                    .any(|finding| finding.message.contains(told)),
                "{told}: {findings:?}"
            );
            for finding in findings {
                assert_eq!(finding.severity, severity);
                assert!(
                    !finding.remedy.is_empty() && is_about(&finding),
                    "{finding:?}"
                );
            }
        }
    }
}

#[test]
fn a_server_is_changed_where_it_is_known_and_a_wave_only_where_it_is_planned() {
    let check = |changes: Value, servers: Vec<Server>, server: Option<&str>, wave: Option<&str>| {
        let (records, request) = (records(servers), request(&changes));
        let found = records.server(&request).map(|server| server.id.as_str());
        assert_eq!(found, server);
        let found = records.wave_to_start(&request).map(|wave| wave.id.as_str());
        assert_eq!(found, wave);
    };
    // The one in the application wins over its namesake.
    let twins = || {
        vec![
            server("7", "vm-1", Some("20")),
            server("8", "vm-1", Some("10")),
        ]
    };
    check(json!({}), twins(), Some("8"), Some("1"));
    // It is the same machine, wherever it is planned; whose wave begins is not for us to say.
    check(
        json!({}),
        vec![server("7", "vm-1", Some("20"))],
        Some("7"),
        None,
    );
    check(
        json!({"wave": "wave-2"}),
        vec![server("7", "vm-1", Some("10"))],
        Some("7"),
        None,
    );
    check(
        json!({"wave": "wave-9"}),
        vec![server("7", "vm-1", Some("10"))],
        Some("7"),
        None,
    );
    check(json!({"appName": "nobody"}), twins(), None, None);
    check(json!({}), vec![], None, None);
}

#[test]
fn a_server_is_looked_for_by_its_host_its_machine_or_its_id() {
    let control = json!({"kind": "none", "vmName": "web-02"});
    for (changes, id, pointer) in [
        (json!({}), "1", "/sourceVmId"),
        (
            json!({ "sourceControl": control }),
            "2",
            "/sourceControl/vmName",
        ),
        (
            json!({"sourceControl": control, "sourceHost": "WEB-03"}),
            "3",
            "/sourceHost",
        ),
        (
            json!({"sourceHost": "web-03.corp.example.com"}),
            "3",
            "/sourceHost",
        ),
    ] {
        let servers = ["vm-1", "web-02", "web-03"].iter().zip(1..);
        let servers = servers.map(|(name, id)| server(&format!("{id}"), name, Some("10")));
        let (all, request) = (records(servers.collect()), request(&changes));
        assert_eq!(all.server(&request).unwrap().id, id);
        let told = records(vec![]).findings(&request, Weight::Told);
        assert_eq!(told[0].pointer, pointer);
    }
}

#[test]
fn a_wave_that_is_further_stays_so() {
    for (status, starts) in [
        ("", true),
        ("Not started", true),
        ("not started", true),
        ("Planning", true),
        ("In progress", false),
        ("Completed", false),
        ("Blocked", false),
        ("A status of their own", false),
    ] {
        let mut records = records(vec![server("7", "vm-1", Some("10"))]);
        records.waves[0].status = status.into();
        let wave = records.wave_to_start(&request(&json!({})));
        assert_eq!(wave.is_some(), starts, "{status}");
    }
}

#[test]
fn a_failure_is_told_by_the_same_rule() {
    let told = unreachable("CMF: signing in answered 503", Weight::Told);
    assert!(!told.is_blocking() && is_about(&told));
    assert!(told.message.contains("answered 503"));
    assert!(unreachable("x", Weight::Required).is_blocking());
    let told = not_updated("the wave wave-1", WAVE_STARTED, "CMF: answered 503");
    assert!(!told.is_blocking() && is_about(&told));
    assert!(told.message.contains("the wave wave-1") && told.wanted == WAVE_STARTED);
    assert!(!is_about(&Finding::warning("QUOTA_JOBS", "", "x")));
}
