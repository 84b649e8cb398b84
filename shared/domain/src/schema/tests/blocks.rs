//! The optional blocks of a request.

use super::*;
use crate::request::AgentKind;

#[test]
fn an_agent_block_says_who_brings_the_source_to_mgn() {
    let all = json!({
        "kind": "install", "proxyUrl": "https://10.0.0.1:8088/", "noProxy": "169.254.169.254,.corp",
        "mgnEndpoint": "vpce-1.mgn.eu-central-1.vpce.amazonaws.com",
        "s3Endpoint": "bucket.vpce-2.s3.eu-central-1.vpce.amazonaws.com", "devices": ["/dev/sda", "/dev/nvme0n1"],
    });
    let agent = parse(&with(&[("agent", all)])).unwrap().agent.unwrap();
    assert_eq!(agent.kind, AgentKind::Install);
    assert_eq!(agent.devices.len(), 2);
    for (block, kind) in [
        (json!({}), AgentKind::Install),
        (json!({"devices": ["c:", "D:"]}), AgentKind::Install),
        (json!({"kind": "preinstalled"}), AgentKind::Preinstalled),
        (json!({"kind": "agentless"}), AgentKind::Agentless),
    ] {
        let request = parse(&with(&[("agent", block)])).unwrap();
        assert_eq!(request.agent_kind(), kind);
    }
    assert_eq!(parse(CANONICAL).unwrap().agent_kind(), AgentKind::Install);
    for (block, pointer) in [
        (json!({"kind": "later"}), "/agent/kind"),
        (json!({"proxyUrl": "10.0.0.1:8088"}), "/agent/proxyUrl"),
        (json!({"proxyUrl": "https://p:1/x'y/"}), "/agent/proxyUrl"),
        (json!({"noProxy": "a b"}), "/agent/noProxy"),
        (
            json!({"mgnEndpoint": "https://vpce-1.mgn"}),
            "/agent/mgnEndpoint",
        ),
        (json!({"s3Endpoint": "-x"}), "/agent/s3Endpoint"),
        (json!({"devices": []}), "/agent/devices"),
        (json!({"devices": ["/dev/sda", "c:"]}), "/agent/devices"),
        (json!({"devices": ["/dev/sd a"]}), "/agent/devices"),
        (json!({"proxy": "x"}), "/agent"),
        // Nothing is installed there, so nothing about it may be asked for.
        (
            json!({"kind": "agentless", "devices": ["c:"]}),
            "/agent/devices",
        ),
        (
            json!({"kind": "preinstalled", "s3Endpoint": "x"}),
            "/agent/s3Endpoint",
        ),
    ] {
        assert_eq!(
            pointers(&with(&[("agent", block.clone())])),
            [pointer],
            "{block}"
        );
    }
}

#[test]
fn no_finding_repeats_a_proxy_s_credentials() {
    for block in [
        json!({"proxyUrl": "https://user:secret@proxy:3128/"}),
        json!({"kind": "agentless", "proxyUrl": "https://user:secret@proxy:3128/"}),
        json!({"proxyUrl": "https://user:secret@proxy:3128/", "zeal": 1}),
    ] {
        let findings = parse(&with(&[("agent", block)])).unwrap_err().findings;
        assert!(!format!("{findings:?}").contains("secret"), "{findings:?}");
    }
}

#[test]
fn each_kind_of_source_control_names_what_it_needs() {
    for (control, missing) in [
        (
            json!({"kind": "azure"}),
            &["credentialsSecretId", "subscriptionId", "resourceGroup"][..],
        ),
        (
            json!({"kind": "vsphere"}),
            &["endpoint", "credentialsSecretId"],
        ),
        (json!({"kind": "ec2"}), &["instanceId", "region"]),
        (json!({"kind": "none"}), &[]),
    ] {
        let kind = control["kind"].clone();
        let result = parse(&with(&[("sourceControl", control)]));
        let findings = result
            .err()
            .map_or_else(Vec::new, |refused| refused.findings);
        let mut said: Vec<_> = findings.iter().map(|f| f.message.clone()).collect();
        let mut wanted: Vec<_> = missing
            .iter()
            .map(|field| format!("\"{field}\" is missing; \"kind\": {kind} needs it."))
            .collect();
        said.sort();
        wanted.sort();
        assert_eq!(said, wanted);
        assert!(findings.iter().all(|f| f.pointer == "/sourceControl"));
    }
    // Without a kind, none of them is guessed at.
    let found = parse(&with(&[("sourceControl", json!({}))])).unwrap_err();
    assert_eq!(found.findings.len(), 1, "{:?}", found.findings);
    assert_eq!(found.findings[0].message, "\"kind\" is missing.");
}

/// Every request's part that the documentation shows.
fn documented() -> Vec<Value> {
    blocks_of(include_str!("../../../../../docs/SOURCES.md"))
}

fn blocks_of(text: &str) -> Vec<Value> {
    let blocks = text.split("```json\n").skip(1);
    blocks
        .map(|block| serde_json::from_str(block.split("```").next().unwrap()).unwrap())
        .collect()
}

#[test]
fn the_documented_source_controls_are_accepted() {
    let mut kinds = Vec::new();
    for members in documented() {
        let control = members["sourceControl"].clone();
        let request = parse(&with(&[("sourceControl", control.clone())])).unwrap();
        let control: Option<crate::request::SourceControl> =
            serde_json::from_value(control).unwrap();
        assert_eq!(request.source_control, control);
        kinds.extend(control.map(|control| control.kind.as_str()));
    }
    assert_eq!(kinds, ["azure", "vsphere", "ec2", "ec2", "none"]);
}

#[test]
fn a_cname_needs_a_value_and_a_health_check_its_url() {
    assert_eq!(
        pointers(&with(&[(
            "dns",
            json!([{"hostedZoneId": "Z1", "name": "a", "type": "CNAME"}])
        )])),
        ["/dns/0"]
    );
    assert_eq!(
        pointers(&with(&[("healthChecks", json!([{"kind": "http"}]))])),
        ["/healthChecks/0"]
    );
}

#[test]
fn a_disk_takes_what_its_type_has_within_ec2_s_limits() {
    let disk = |members: Value| {
        let mut disk = json!({"deviceName": "/dev/xvda"});
        disk.as_object_mut()
            .unwrap()
            .extend(members.as_object().unwrap().clone());
        with(&[("disks", json!([disk]))])
    };
    for good in [
        json!({"volumeType": "gp2"}),
        json!({"volumeType": "gp3"}),
        json!({"volumeType": "gp3", "iops": 3_000, "throughput": 125}),
        json!({"volumeType": "gp3", "iops": 80_000, "throughput": 2_000}),
        json!({"volumeType": "io1", "iops": 64_000}),
        json!({"volumeType": "io2", "iops": 256_000}),
        json!({"volumeType": "st1"}),
        json!({"volumeType": "sc1"}),
        json!({"volumeType": "standard"}),
    ] {
        let request =
            parse(&disk(good.clone())).unwrap_or_else(|error| panic!("{good}: {error:?}"));
        let again = parse(&serde_json::to_string(&request).unwrap()).unwrap();
        assert_eq!(request, again);
        assert_eq!(request.disks[0].volume_type.as_str(), good["volumeType"]);
    }
    for (bad, pointer) in [
        (json!({"iops": 3_000}), "/disks/0"),
        (json!({"volumeType": "gp4"}), "/disks/0/volumeType"),
        (json!({"volumeType": "io1"}), "/disks/0"),
        (json!({"volumeType": "io2"}), "/disks/0"),
        (json!({"volumeType": "gp3", "iops": 2_999}), "/disks/0/iops"),
        (
            json!({"volumeType": "gp3", "iops": 80_001}),
            "/disks/0/iops",
        ),
        (
            json!({"volumeType": "gp3", "throughput": 124}),
            "/disks/0/throughput",
        ),
        (
            json!({"volumeType": "gp3", "throughput": 2_001}),
            "/disks/0/throughput",
        ),
        (
            json!({"volumeType": "io1", "iops": 64_001}),
            "/disks/0/iops",
        ),
        (json!({"volumeType": "io2", "iops": 99}), "/disks/0/iops"),
        (
            json!({"volumeType": "io2", "iops": 100, "throughput": 125}),
            "/disks/0/throughput",
        ),
        (json!({"volumeType": "gp2", "iops": 3_000}), "/disks/0/iops"),
        (
            json!({"volumeType": "st1", "throughput": 125}),
            "/disks/0/throughput",
        ),
        (json!({"volumeType": "gp3", "sizeGiB": 100}), "/disks/0"),
        (
            json!({"volumeType": "gp3", "deviceName": "a disk"}),
            "/disks/0/deviceName",
        ),
    ] {
        let found = pointers(&disk(bad.clone()));
        assert!(
            found.iter().all(|found| found == pointer),
            "{bad}: {found:?}"
        );
        assert!(!found.is_empty(), "{bad}");
    }
    let rejection = parse(&disk(json!({"volumeType": "gp2", "iops": 3_000}))).unwrap_err();
    let message = &rejection.findings[0].message;
    assert_eq!(message, r#""iops" does not go with "volumeType": "gp2"."#);
}

#[test]
fn a_key_is_an_arn_an_id_or_an_alias() {
    let id = "1234abcd-12ab-34cd-56ef-1234567890ab";
    let arn = "arn:aws:kms:eu-central-1:123456789012";
    for good in [
        id.to_owned(),
        "mrk-1234abcd12ab34cd56ef1234567890ab".to_owned(),
        "alias/volumes".to_owned(),
        format!("{arn}:key/{id}"),
        format!("{arn}:alias/aws/ebs"),
        format!("arn:aws-us-gov:kms:us-gov-west-1:123456789012:key/{id}"),
    ] {
        let request = parse(&with(&[("kmsKeyId", json!(good))])).unwrap();
        assert_eq!(request.kms_key_id, Some(good));
    }
    for bad in ["", "volumes", "arn:aws:iam::123456789012:role/x", "alias/"] {
        assert_eq!(
            pointers(&with(&[("kmsKeyId", json!(bad))])),
            ["/kmsKeyId"],
            "{bad}"
        );
    }
}

#[test]
fn new_settings_count_for_the_digest_and_old_requests_keep_theirs() {
    let digest = |changes: &[(&str, Value)]| {
        let request = parse(&with(changes)).unwrap();
        request.launch_settings_digest().unwrap()
    };
    // As it was before disks and keys could be named: evidence of tests is compared with it.
    let before = "b62e4f0540a2de73fad8e82e3d1243f85dae5851b7c90996bc97f375fa91607e";
    assert_eq!(digest(&[]), before);
    assert_eq!(digest(&[("policy", json!({"allowResync": true}))]), before);
    let disk = json!([{"deviceName": "/dev/xvda", "volumeType": "gp2"}]);
    assert_ne!(digest(&[("disks", disk)]), before);
    assert_ne!(digest(&[("kmsKeyId", json!("alias/volumes"))]), before);
}

#[test]
fn each_kind_of_health_check_takes_its_own_members() {
    let http = |members: Value| {
        let mut check = json!({"kind": "http", "url": "https://{privateIp}/"});
        let Value::Object(members) = members else {
            unreachable!()
        };
        check.as_object_mut().unwrap().extend(members);
        check
    };
    let accepted = json!([
        http(json!({})),
        http(json!({
            "expectedStatus": [200, 204], "expectedHeaders": {"X-Version": "2"}, "expectedBody": "ok",
            "bodyPattern": "build [0-9]+", "hostHeader": "shop.example.com", "tlsVerify": false,
            "source": {"url": "http://10.9.0.10/"}, "maxLatencyRatio": 2.5, "phases": ["cutover"],
            "attempts": 3, "intervalSeconds": 30, "timeoutSeconds": 9,
        })),
        {"kind": "tcp", "host": "{privateIp}", "port": 22, "intervalSeconds": 1},
        {"kind": "dns", "name": "shop.example.com", "expected": ["{privateIp}", "10.0.0.1", "fd00::1"]},
        {"kind": "dns", "name": "{instanceId}.corp"},
        {"kind": "ssm", "commands": ["systemctl is-active shop"], "expectedExitCode": 3, "timeoutSeconds": 300},
    ]);
    let body = with(&[("healthChecks", accepted)]);
    let request = parse(&body).unwrap();
    let again = parse(&serde_json::to_string(&request).unwrap()).unwrap();
    assert_eq!(request, again);
    assert_eq!(request.digest().unwrap(), again.digest().unwrap());

    for (check, pointer) in [
        (http(json!({"expectedStatus": 99})), "expectedStatus"),
        (http(json!({"expectedStatus": []})), "expectedStatus"),
        (
            http(json!({"expectedStatus": [200, 600]})),
            "expectedStatus/1",
        ),
        (http(json!({"expectedStatus": "2xx"})), "expectedStatus"),
        (
            http(json!({"expectedHeaders": {"a b": "x"}})),
            "expectedHeaders",
        ),
        (http(json!({"expectedHeaders": {}})), "expectedHeaders"),
        (http(json!({"bodyPattern": "("})), "bodyPattern"),
        (
            http(json!({"bodyPattern": "(a{1000}){1000}"})),
            "bodyPattern",
        ),
        (http(json!({"hostHeader": "https://a"})), "hostHeader"),
        (http(json!({"hostHeader": "10.0.0.1"})), "hostHeader"),
        (http(json!({"source": {}})), "source"),
        (http(json!({"source": {"url": "ftp://a"}})), "source/url"),
        (http(json!({"maxLatencyRatio": 2})), ""),
        (
            http(json!({"maxLatencyRatio": 0.5, "source": {"url": "http://a/"}})),
            "maxLatencyRatio",
        ),
        (http(json!({"phases": ["finalize"]})), "phases/0"),
        (http(json!({"intervalSeconds": 301})), "intervalSeconds"),
        (http(json!({"port": 1})), ""),
        (json!({"kind": "dns"}), ""),
        (json!({"kind": "dns", "name": "-a"}), "name"),
        (
            json!({"kind": "dns", "name": "a", "expected": ["b.example.com"]}),
            "expected/0",
        ),
        (
            json!({"kind": "dns", "name": "a", "expected": ["10.0.0.1", "10.0.0.999"]}),
            "expected/1",
        ),
        (json!({"kind": "ssm"}), ""),
        (json!({"kind": "ssm", "commands": []}), "commands"),
        (
            json!({"kind": "ssm", "commands": ["x"], "timeoutSeconds": 301}),
            "timeoutSeconds",
        ),
        (json!({"kind": "icmp"}), "kind"),
    ] {
        let body = with(&[("healthChecks", json!([check.clone()]))]);
        let pointer = match pointer {
            "" => "/healthChecks/0".to_owned(),
            member => format!("/healthChecks/0/{member}"),
        };
        assert_eq!(pointers(&body), [pointer], "{check}");
    }
}

#[test]
fn an_untested_cutover_is_allowed_for_a_reason() {
    let policy = |policy: Value| with(&[("policy", policy)]);
    let reason = "the site closes tonight";
    let accepted = policy(json!({"allowUntestedCutover": true, "untestedCutoverReason": reason}));
    let request = parse(&accepted).unwrap();
    assert_eq!(request.policy.untested_cutover_reason(), reason);
    for accepted in [json!({"allowUntestedCutover": false}), json!({})] {
        assert!(parse(&policy(accepted.clone())).is_ok(), "{accepted}");
    }
    let refused = parse(&policy(json!({"allowUntestedCutover": true}))).unwrap_err();
    assert_eq!(refused.findings.len(), 1);
    assert_eq!(refused.findings[0].pointer, "/policy");
    let said = &refused.findings[0].message;
    assert!(said.contains("untestedCutoverReason"), "{said}");
    let empty = json!({"allowUntestedCutover": true, "untestedCutoverReason": ""});
    assert_eq!(pointers(&policy(empty)), ["/policy/untestedCutoverReason"]);
}

#[test]
fn the_documented_health_checks_are_accepted() {
    let text = include_str!("../../../../../docs/VERIFICATION.md");
    let mut kinds = Vec::new();
    for members in blocks_of(text) {
        let checks = members["healthChecks"].clone();
        parse(&with(&[("healthChecks", checks.clone())])).unwrap();
        let checks = checks.as_array().unwrap().clone();
        kinds.extend(
            checks
                .iter()
                .map(|it| it["kind"].as_str().unwrap().to_owned()),
        );
    }
    kinds.sort();
    assert_eq!(kinds, ["dns", "http", "ssm", "tcp"]);
}

#[test]
fn a_window_is_a_local_time_in_a_zone_and_may_recur() {
    let window = |changes: Value| {
        let mut window = json!({
            "start": "2026-11-28T22:00", "end": "2026-11-29T04:00", "timeZone": "Europe/Berlin",
            "recurrence": "FREQ=WEEKLY;BYDAY=SA",
        });
        for (name, value) in changes.as_object().unwrap() {
            window[name] = value.clone();
        }
        with(&[("policy", json!({ "window": window }))])
    };
    let read = parse(&window(json!({}))).unwrap().policy.window.unwrap();
    assert_eq!(read.time_zone, "Europe/Berlin");
    for (changes, pointer) in [
        (
            json!({"start": "2026-11-28T22:00+01:00"}),
            "/policy/window/start",
        ),
        (json!({"start": "tonight"}), "/policy/window/start"),
        (json!({"end": "2026-11-31T04:00"}), "/policy/window/end"),
        (json!({"end": "2026-11-28T22:00"}), "/policy/window/end"),
        (
            json!({"timeZone": "Middle Earth"}),
            "/policy/window/timeZone",
        ),
        (
            json!({"recurrence": "every Saturday"}),
            "/policy/window/recurrence",
        ),
        (
            json!({"recurrence": "FREQ=WEEKLY;BYDAY=SU"}),
            "/policy/window/recurrence",
        ),
        (json!({"zone": "UTC"}), "/policy/window"),
    ] {
        assert_eq!(pointers(&window(changes.clone())), [pointer], "{changes}");
    }
    let missing = with(&[("policy", json!({ "window": {} }))]);
    assert!(!pointers(&missing).is_empty());
}
