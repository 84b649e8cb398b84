use super::*;
use crate::record::tests::{record, request};
use crate::record::{MigrationRecord, TestEvidence};
use crate::replication::Replication;
use crate::request::Step;
use serde_json::json;

/// What MGN makes of a server with a disk to boot from and one for data.
fn present() -> EffectiveSettings {
    let gp3 = Disk {
        volume_type: Some("gp3".into()),
        iops: Some(3_000),
        throughput: Some(125),
        kms_key_id: None,
    };
    EffectiveSettings {
        right_sizing: "BASIC".into(),
        subnet_id: Some("subnet-old".into()),
        security_group_ids: ["sg-b".to_owned(), "sg-a".to_owned()].into(),
        private_ip: Some("10.0.0.9".into()),
        disks: [
            ("/dev/sda".to_owned(), gp3.clone()),
            ("/dev/sdb".to_owned(), gp3),
        ]
        .into(),
        instance_tags: [("mgn".to_owned(), "1".to_owned())].into(),
        ..EffectiveSettings::default()
    }
}

pub(super) fn devices() -> BTreeMap<String, Device> {
    let device = |size_gib, boot| Device { size_gib, boot };
    [
        ("/dev/sda".to_owned(), device(Some(8), true)),
        ("/dev/sdb".to_owned(), device(Some(200), false)),
        ("/dev/sdc".to_owned(), device(None, false)),
    ]
    .into()
}

fn with(changes: Value) -> MigrationRequest {
    let mut all = serde_json::to_value(request()).unwrap();
    let (Value::Object(all), Value::Object(changes)) = (&mut all, changes) else {
        panic!("members are an object")
    };
    all.extend(changes);
    serde_json::from_value(Value::Object(all.clone())).unwrap()
}

fn wanted(changes: Value) -> EffectiveSettings {
    let wanted = present().wanted(&devices(), &with(changes), None);
    wanted.unwrap()
}

fn fields(differences: &[Difference]) -> Vec<&str> {
    differences.iter().map(|d| d.field.as_str()).collect()
}

/// What every request changes: its own tags, and the metadata service.
const ALWAYS: [&str; 7] = [
    "httpEndpoint",
    "httpHopLimit",
    "httpTokens",
    "instanceTags.landfall:migrationId",
    "instanceTags.landfall:sourceVmId",
    "volumeTags.landfall:migrationId",
    "volumeTags.landfall:sourceVmId",
];

#[test]
fn each_member_of_the_request_changes_what_it_names_and_nothing_else() {
    let check = |changes: Value, expected: &[&str]| {
        let differences = differences(&present(), &wanted(changes.clone()));
        let mut seen = fields(&differences);
        seen.retain(|field| !ALWAYS.contains(field));
        assert_eq!(seen, expected, "{changes}");
        assert!(differences.iter().all(|d| !d.forces_resync));
    };
    check(json!({}), &[]);
    check(
        json!({"instanceType": "t3.large"}),
        &["instanceType", "rightSizing"],
    );
    check(
        json!({"subnetId": "subnet-new"}),
        &["privateIp", "securityGroupIds", "subnetId"],
    );
    check(json!({"subnetId": "subnet-old"}), &[]);
    check(
        json!({"subnetId": "subnet-new", "securityGroupIds": ["sg-a", "sg-b"], "privateIp": "10.0.0.9"}),
        &["subnetId"],
    );
    check(json!({"securityGroupIds": ["sg-c"]}), &["securityGroupIds"]);
    check(json!({"privateIp": "10.0.0.8"}), &["privateIp"]);
    check(json!({"instanceProfile": "web"}), &["instanceProfile"]);
    let mut reserved = present();
    reserved.network_interface_id = Some("eni-1".into());
    let named = |changes| reserved.wanted(&devices(), &with(changes), None).unwrap();
    assert!(named(json!({})).network_interface_id.is_some());
    assert_eq!(
        named(json!({"securityGroupIds": ["sg-c"]})).network_interface_id,
        None
    );
    check(
        json!({"targetVmName": "web", "tags": {"mgn": "1"}}),
        &["instanceTags.Name", "volumeTags.Name", "volumeTags.mgn"],
    );
    check(
        json!({"disks": [{"deviceName": "/dev/sdb", "volumeType": "gp2"}]}),
        &[
            "disks./dev/sdb.iops",
            "disks./dev/sdb.throughput",
            "disks./dev/sdb.volumeType",
        ],
    );
    // A disk of which the template says nothing.
    check(
        json!({"disks": [{"deviceName": "/dev/sdc", "volumeType": "io1", "iops": 100}]}),
        &["disks./dev/sdc.iops", "disks./dev/sdc.volumeType"],
    );
}

#[test]
fn the_order_of_groups_is_no_difference() {
    let present = present();
    let groups = &present.fields()["securityGroupIds"];
    assert_eq!(groups, &json!(["sg-a", "sg-b"]));
}

#[test]
fn an_address_of_the_request_ends_the_copying_of_the_source_s() {
    let mut present = present();
    present.copy_private_ip = true;
    let check = |changes: Value, expected| {
        let wanted = present.wanted(&devices(), &with(changes), None);
        assert_eq!(wanted.unwrap().copy_private_ip, expected);
    };
    check(json!({}), true);
    check(json!({"subnetId": "subnet-new"}), true);
    check(json!({"privateIp": "10.0.0.8"}), false);
}

#[test]
fn imdsv2_is_required_and_a_stricter_template_stays_so() {
    for (before, after) in [(None, 2), (Some(64), 2), (Some(2), 2), (Some(1), 1)] {
        let present = EffectiveSettings {
            http_hop_limit: before,
            http_tokens: Some("optional".into()),
            ..present()
        };
        let wanted = present.wanted(&devices(), &request(), None).unwrap();
        assert_eq!(wanted.http_hop_limit, Some(after), "{before:?}");
        assert_eq!(wanted.http_tokens.as_deref(), Some("required"));
        assert_eq!(wanted.http_endpoint.as_deref(), Some("enabled"));
    }
}

#[test]
fn the_request_s_key_is_that_of_every_volume() {
    let mut present = present();
    present.encryption_key = Some("arn:old".into());
    let disk = present.disks.get_mut("/dev/sdb").unwrap();
    disk.kms_key_id = Some("arn:own".into());
    let silent = present.wanted(&devices(), &request(), None).unwrap();
    assert_eq!(silent.encryption_key.as_deref(), Some("arn:old"));
    assert_eq!(
        silent.disks["/dev/sdb"].kms_key_id.as_deref(),
        Some("arn:own")
    );
    let named = present.wanted(&devices(), &request(), Some("arn:new"));
    let differences = differences(&silent, &named.unwrap());
    assert_eq!(
        fields(&differences),
        ["disks./dev/sdb.kmsKeyId", "encryptionKey"]
    );
    let of = |field: &str| differences.iter().find(|d| d.field == field).unwrap();
    let key = of("encryptionKey");
    assert!(key.forces_resync && !key.in_template());
    assert_eq!(
        (&key.present, &key.wanted),
        (&json!("arn:old"), &json!("arn:new"))
    );
    let own = of("disks./dev/sdb.kmsKeyId");
    assert!(!own.forces_resync && own.in_template());
    assert_eq!(
        own.to_string(),
        r#"disks./dev/sdb.kmsKeyId is "arn:own" and should be null"#
    );
}

#[test]
fn the_template_and_mgn_s_own_settings_are_told_apart() {
    let mut before = present();
    before.copy_private_ip = true;
    let after = before.wanted(
        &devices(),
        &with(json!({"instanceType": "t3.large", "privateIp": "10.0.0.8"})),
        Some("arn:new"),
    );
    let differences = differences(&before, &after.unwrap());
    let mgn: Vec<&str> = differences
        .iter()
        .filter(|d| !d.in_template())
        .map(|d| d.field.as_str())
        .collect();
    assert_eq!(mgn, ["copyPrivateIp", "encryptionKey", "rightSizing"]);
}

#[test]
fn what_a_disk_cannot_become_is_told_all_at_once() {
    let check = |disks: Value, expected: &[(&str, &str)]| {
        let request = with(json!({ "disks": disks }));
        let findings = present()
            .wanted(&devices(), &request, None)
            .err()
            .unwrap_or_default();
        for finding in &findings {
            assert!(!finding.remedy.is_empty(), "{finding:?}");
            assert!(!finding.found.is_null() && !finding.wanted.is_null());
        }
        let seen: Vec<_> = findings
            .iter()
            .map(|f| (f.code.as_str(), f.pointer.as_str()))
            .collect();
        assert_eq!(seen, expected, "{disks}");
    };
    let disk = |device: &str, kind: &str| json!({"deviceName": device, "volumeType": kind});
    check(json!([disk("/dev/sdb", "sc1")]), &[]);
    check(json!([disk("/dev/sda", "standard")]), &[]);
    check(
        json!([disk("/dev/sdz", "gp3"), disk("/dev/sda", "st1")]),
        &[
            ("DISK_NOT_FOUND", "/disks/0/deviceName"),
            ("DISK_NOT_BOOTABLE", "/disks/1/volumeType"),
            ("DISK_SIZE_NOT_ALLOWED", "/disks/1/volumeType"),
        ],
    );
    check(
        json!([disk("/dev/sdb", "gp2"), disk("/dev/sdb", "gp3")]),
        &[("DISK_NAMED_TWICE", "/disks/1/deviceName")],
    );
    let fast = |device: &str, kind: &str, iops: u32| json!({"deviceName": device, "volumeType": kind, "iops": iops});
    check(json!([fast("/dev/sda", "io1", 400)]), &[]);
    check(
        json!([fast("/dev/sda", "io1", 401)]),
        &[("DISK_IOPS_TOO_HIGH", "/disks/0/iops")],
    );
    check(json!([fast("/dev/sda", "io2", 8_000)]), &[]);
    check(
        json!([fast("/dev/sda", "io2", 8_001)]),
        &[("DISK_IOPS_TOO_HIGH", "/disks/0/iops")],
    );
    check(json!([fast("/dev/sda", "gp3", 4_000)]), &[]);
    check(
        json!([fast("/dev/sda", "gp3", 4_001)]),
        &[("DISK_IOPS_TOO_HIGH", "/disks/0/iops")],
    );
    // Its size is not known: EC2 decides.
    check(json!([fast("/dev/sdc", "io1", 64_000)]), &[]);
    let broad = |iops: Option<u32>, throughput: u32| json!([{"deviceName": "/dev/sdb", "volumeType": "gp3", "iops": iops, "throughput": throughput}]);
    check(broad(None, 750), &[]);
    check(
        broad(None, 751),
        &[("DISK_THROUGHPUT_TOO_HIGH", "/disks/0/throughput")],
    );
    check(broad(Some(8_000), 2_000), &[]);
    check(
        broad(Some(7_999), 2_000),
        &[("DISK_THROUGHPUT_TOO_HIGH", "/disks/0/throughput")],
    );
}

#[test]
fn a_volume_of_the_least_size_has_what_gp3_always_has() {
    let mut devices = devices();
    devices.get_mut("/dev/sda").unwrap().size_gib = Some(1);
    let disk = json!({"deviceName": "/dev/sda", "volumeType": "gp3", "iops": 3_000});
    let request = with(json!({ "disks": [disk] }));
    assert!(present().wanted(&devices, &request, None).is_ok());
}

#[test]
fn a_source_without_disks_has_none_to_change() {
    let disk = json!({"deviceName": "/dev/sda", "volumeType": "gp3"});
    let request = with(json!({ "disks": [disk] }));
    let findings = present()
        .wanted(&BTreeMap::new(), &request, None)
        .unwrap_err();
    assert!(findings[0].message.contains("it has none"), "{findings:?}");
}

#[test]
fn another_key_needs_consent_where_data_is_replicated() {
    let replicated = Replication {
        replicated_bytes: 1,
        ..Replication::default()
    };
    let empty = Replication::default();
    let may = json!({"policy": {"allowResync": true}});
    let code = Some("KMS_CHANGE_FORCES_RESYNC");
    for (changes, before, replication, expected) in [
        (json!({}), Some("arn:old"), &replicated, code),
        (json!({}), None, &replicated, code),
        (json!({}), Some("arn:new"), &replicated, None),
        (json!({}), Some("arn:old"), &empty, None),
        (may, Some("arn:old"), &replicated, None),
    ] {
        let finding = resync(&with(changes), before, "arn:new", replication);
        if let Some(finding) = &finding {
            assert!(finding.message.contains(before.unwrap_or("default key")));
            assert!(finding.message.contains("arn:new"));
            assert!(finding.remedy.contains("allowResync"));
        }
        assert_eq!(finding.map(|f| f.code).as_deref(), expected, "{before:?}");
    }
}

#[test]
fn a_cutover_of_other_settings_than_were_tested_needs_a_new_test() {
    let tested = |steps: &[Step], digest: Option<&str>| -> MigrationRecord {
        let mut record = record();
        record.request.steps = steps.to_vec();
        record.test_evidence = Some(TestEvidence {
            settings_digest: "request".into(),
            effective_digest: digest.map(str::to_owned),
            verified_at: "2026-01-01T00:00:00Z".into(),
            job_id: "mgnjob-1".into(),
        });
        record
    };
    let code = |record: &MigrationRecord| changed_since_test(record, "now").map(|f| f.code);
    let changed = Some("LAUNCH_SETTINGS_CHANGED_SINCE_TEST".to_owned());
    let switch = [Step::Switch];
    assert_eq!(code(&tested(&switch, Some("then"))), changed);
    assert_eq!(code(&tested(&switch, Some("now"))), None);
    assert_eq!(code(&tested(&switch, None)), None);
    let both = [Step::Validate, Step::Switch];
    assert_eq!(code(&tested(&both, Some("then"))), None);
    assert_eq!(code(&tested(&[Step::Replicate], Some("then"))), None);
    let mut untested = tested(&switch, Some("then"));
    untested.request.policy.allow_untested_cutover = true;
    assert_eq!(code(&untested), None);
    untested.request.policy.allow_untested_cutover = false;
    untested.test_evidence = None;
    // The pre-flight has said so; here nothing was changed.
    assert_eq!(code(&untested), None);
}

#[test]
fn a_test_covers_a_cutover_of_the_same_settings_for_a_while() {
    let now: jiff::Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
    let tested = |requested: &str, effective: Option<&str>, at: &str| TestEvidence {
        settings_digest: requested.into(),
        effective_digest: effective.map(str::to_owned),
        verified_at: at.into(),
        job_id: "mgnjob-1".into(),
    };
    let (fresh, old) = ("2026-11-20T12:00:00Z", "2026-10-01T12:00:00Z");
    let changed = "LAUNCH_SETTINGS_CHANGED_SINCE_TEST";
    let table = [
        (None, Some("there"), &["TEST_MISSING"][..]),
        (
            Some(tested("said", Some("there"), fresh)),
            Some("there"),
            &[],
        ),
        (Some(tested("said", Some("there"), fresh)), None, &[]),
        (Some(tested("said", None, fresh)), Some("there"), &[]),
        (
            Some(tested("said", Some("then"), fresh)),
            Some("there"),
            &[changed],
        ),
        (
            Some(tested("other", Some("then"), fresh)),
            Some("there"),
            &[changed],
        ),
        (
            Some(tested("said", Some("there"), old)),
            Some("there"),
            &["TEST_TOO_OLD"],
        ),
        (
            Some(tested("said", Some("then"), old)),
            Some("there"),
            &[changed, "TEST_TOO_OLD"],
        ),
        (
            Some(tested("said", Some("there"), "unreadable")),
            None,
            &["TEST_TOO_OLD"],
        ),
    ];
    for (evidence, effective, expected) in table {
        let launching = Launching {
            requested: "said",
            effective,
        };
        let mut request = record().request;
        let found = untested(&request, evidence.as_ref(), launching, now);
        let codes: Vec<_> = found.iter().map(|it| it.code.as_str()).collect();
        assert_eq!(codes, expected, "{evidence:?}");
        assert!(
            found
                .iter()
                .all(|it| it.is_blocking() && !it.remedy.is_empty())
        );
        // Allowed all the same: the same findings, told with the reason.
        request.policy.allow_untested_cutover = true;
        request.policy.untested_cutover_reason = Some("no time".into());
        let told = untested(&request, evidence.as_ref(), launching, now);
        assert_eq!(told.len(), found.len());
        for (told, found) in told.iter().zip(&found) {
            assert_eq!((&told.code, &told.found), (&found.code, &found.found));
            assert!(
                !told.is_blocking() && told.message.ends_with("no time"),
                "{told:?}"
            );
        }
    }
}
