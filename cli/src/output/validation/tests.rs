use super::*;
use crate::requests;

fn report(id: &str) -> Report {
    let text = format!(r#"{{"migrationId": "{id}", "sourceVmId": "vm-1"}}"#);
    Report::of(&requests::split("wave.json", &text)[0])
}

fn answered(report: &mut Report, value: Value) {
    report.take(Ok(serde_json::from_value(value).unwrap()));
}

fn failure(same_for_all: bool) -> Failure {
    Failure {
        error: CliError::new("it failed\nat once", "Try again."),
        same_for_all,
    }
}

/// A report with a fault and a warning.
fn faulty() -> Report {
    let mut report = report("mig-2");
    report
        .findings
        .push(Finding::warning("OLD", "", "it is old."));
    answered(
        &mut report,
        json!({
            "migrationId": "mig-2", "tenantId": "default", "sourceServerId": "s-1", "settingsDigest": "d",
            "plan": {"replicate": true},
            "findings": [{
                "code": "SUBNET_NOT_FOUND", "severity": "blocking", "pointer": "/subnetId",
                "message": "there is no subnet subnet-1 in us-east-1.", "found": "subnet-1", "wanted": ["subnet-2"],
                "remedy": "Create it, or name another.",
            }],
            "differences": [
                {"field": "instanceType", "present": "t3.small", "wanted": "t3.large"},
                {"field": "stagingDiskType", "present": null, "wanted": {"type": "GP3"}, "resync": true},
            ],
        }),
    );
    report
}

fn printed(reports: &[Report], diff: bool, width: Option<usize>) -> String {
    text(reports, diff, width, Palette::OFF)
}

#[test]
fn a_log_gets_a_line_for_each_finding() {
    assert_eq!(
        printed(&[faulty()], false, None),
        "mig-2  vm-1, s-1  1 fault, 1 warning  (wave.json, line 1, request 1)\n  \
           SEVERITY  CODE              FIELD      FINDING\n  \
           warning   OLD               -          it is old.\n  \
           blocking  SUBNET_NOT_FOUND  /subnetId  there is no subnet subnet-1 in us-east-1.  \
           found subnet-1 → wanted [\"subnet-2\"]  Create it, or name another.\n"
    );
}

#[test]
fn a_terminal_gets_a_table_that_fits_it() {
    let text = printed(&[faulty()], false, Some(70));
    assert_eq!(
        text,
        "mig-2  vm-1, s-1  1 fault, 1 warning  (wave.json, line 1, request 1)\n  \
           SEVERITY  CODE              FIELD      FINDING\n  \
           warning   OLD               -          it is old.\n  \
           blocking  SUBNET_NOT_FOUND  /subnetId  there is no subnet subnet-1\n                                         \
                                                  in us-east-1.\n                                         \
                                                  found subnet-1 → wanted\n                                         \
                                                  [\"subnet-2\"]\n                                         \
                                                  Create it, or name another.\n"
    );
    assert!(
        text.lines().all(|line| line.chars().count() <= 70),
        "{text}"
    );
}

#[test]
fn the_verdict_and_the_severity_have_their_colours() {
    let text = text(&[faulty(), report("mig-1")], false, Some(100), Palette::ON);
    for painted in [
        "\x1b[31m1 fault, 1 warning\x1b[0m",
        "\x1b[31mblocking\x1b[0m",
        "\x1b[33mwarning\x1b[0m ",
        "\x1b[32mready\x1b[0m",
    ] {
        assert!(text.contains(painted), "{painted:?} is missing in {text:?}");
    }
}

#[test]
fn what_differs_is_a_table_with_a_mark_for_a_resync() {
    let mut report = faulty();
    let both = printed(&[report.clone()], true, None);
    assert!(both.contains("another.\n\n  FIELD"), "{both}");
    report.findings.clear();
    assert_eq!(
        printed(&[report.clone()], true, None),
        "mig-2  vm-1, s-1  ready  (wave.json, line 1, request 1)\n  \
           FIELD            PRESENT   WANTED\n  \
           instanceType     t3.small  t3.large\n  \
           stagingDiskType  (none)    {\"type\":\"GP3\"}  forces a resync\n"
    );
    assert!(!printed(&[report.clone()], false, None).contains("FIELD"));
    answered(&mut report, json!({"findings": [], "differences": []}));
    assert!(printed(&[report.clone()], true, None).contains("\n  No difference: "));
    answered(&mut report, json!({"findings": []}));
    assert!(printed(&[report], true, None).contains("\n  MGN does not know the server yet"));
}

#[test]
fn several_requests_end_with_a_count() {
    let mut warned = report("mig-3");
    warned
        .findings
        .push(Finding::warning("OLD", "", "it is old."));
    let (mut lost, mut alone) = (report("mig-4"), report("mig-5"));
    lost.take(Err(failure(true)));
    alone.take(Err(failure(false)));
    alone
        .findings
        .push(Finding::blocking("TWICE", "", "it is there."));
    let reports = [report("mig-0"), report("mig-1"), warned, lost, alone];
    assert_eq!(
        printed(&reports, true, None),
        "mig-0  vm-1  ready  (wave.json, line 1, request 1)\n\
         mig-1  vm-1  ready  (wave.json, line 1, request 1)\n\
         \n\
         mig-3  vm-1  ready with 1 warning  (wave.json, line 1, request 1)\n  \
           SEVERITY  CODE  FIELD  FINDING\n  \
           warning   OLD   -      it is old.\n\
         \n\
         mig-4  vm-1  not checked  (wave.json, line 1, request 1)\n\
         \n\
         mig-5  vm-1  1 fault, and not checked further  (wave.json, line 1, request 1)\n  \
           it failed\n  \
           at once\n  \
           Try again.\n  \
           SEVERITY  CODE   FIELD  FINDING\n  \
           blocking  TWICE  -      it is there.\n\
         \n\
         5 requests: 2 ready, 1 ready with warnings, 2 not checked; nothing was submitted\n"
    );
}

#[test]
fn nothing_of_a_request_or_an_answer_steers_the_terminal() {
    let mut report = faulty();
    report.migration_id = Some("mig\x1b[2J".to_owned());
    report.findings[0].message = "\x1b]0;title\u{7}".to_owned();
    let text = printed(&[report], true, Some(80));
    assert!(!text.contains(['\x1b', '\u{7}']), "{text:?}");
}

#[test]
fn scripts_get_every_name_and_the_verdict() {
    assert_eq!(
        faulty().json(true),
        json!({
            "file": "wave.json", "index": 1, "line": 1, "migrationId": "mig-2", "verdict": "blocked",
            "findings": [
                {"code": "OLD", "severity": "warning", "message": "it is old."},
                {
                    "code": "SUBNET_NOT_FOUND", "severity": "blocking", "pointer": "/subnetId",
                    "message": "there is no subnet subnet-1 in us-east-1.", "found": "subnet-1",
                    "wanted": ["subnet-2"], "remedy": "Create it, or name another.",
                },
            ],
            "plan": {"replicate": true}, "sourceServerId": "s-1", "settingsDigest": "d", "error": null,
            "differences": [
                {"field": "instanceType", "present": "t3.small", "wanted": "t3.large"},
                {"field": "stagingDiskType", "present": null, "wanted": {"type": "GP3"}, "resync": true},
            ],
        })
    );
    let mut report = report("mig-1");
    assert_eq!(report.json(true)["differences"], Value::Null);
    assert_eq!(report.json(false).get("differences"), None);
    assert_eq!(report.json(false)["verdict"], "ready");
    report.take(Err(failure(true)));
    assert_eq!(report.json(false)["verdict"], "unknown");
    let error = json!({"message": "it failed\nat once", "remedy": "Try again."});
    assert_eq!(report.json(false)["error"], error);
}
