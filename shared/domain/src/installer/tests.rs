use super::*;

const ROLE: &str = "arn:aws-us-gov:iam::123456789012:role/landfall-agent";

fn installation<'a>(id: &'a str, network: &'a Network, devices: &'a [String]) -> Installation<'a> {
    Installation {
        region: "eu-central-1",
        source_vm_id: id,
        role_arn: Some(ROLE),
        network,
        devices,
    }
}

fn plain(platform: Platform, id: &str) -> String {
    commands(platform, &installation(id, &Network::default(), &[])).join("\n")
}

fn private() -> Network {
    Network {
        proxy_url: Some("https://10.0.0.1:8088".into()),
        no_proxy: Some("169.254.169.254,.corp".into()),
        mgn_endpoint: Some("vpce-1-a.mgn.eu-central-1.vpce.amazonaws.com".into()),
        s3_endpoint: Some("bucket.vpce-2-b.s3.eu-central-1.vpce.amazonaws.com".into()),
    }
}

#[test]
fn the_id_is_quoted_for_its_shell() {
    let linux = plain(Platform::Linux, "vm'; rm -rf /");
    assert!(
        linux.contains(r"--user-provided-id 'vm'\''; rm -rf /'"),
        "{linux}"
    );
    let windows = plain(Platform::Windows, "vm'\u{2019}; x");
    assert!(
        windows.contains("'--user-provided-id', 'vm''\u{2019}\u{2019}; x'"),
        "{windows}"
    );
}

#[test]
fn no_command_holds_a_credential_and_each_assumes_the_role_itself() {
    for platform in [Platform::Linux, Platform::Windows] {
        let text = plain(platform, "vm-1");
        assert!(text.contains(ROLE));
        assert!(text.contains("sts assume-role --role-arn"));
        assert!(text.contains(
            "'arn:aws-us-gov:iam::aws:policy/AWSApplicationMigrationAgentInstallationPolicy'"
        ));
        assert!(!text.contains("ASIA") && !text.contains("AKIA"));
        // SSM would put a parameter of its own in the place of these.
        assert!(!text.contains("{{"), "{text}");
    }
}

#[test]
fn without_a_role_nothing_is_assumed() {
    let network = Network::default();
    for (platform, line) in [
        (Platform::Linux, "role_arn=''"),
        (Platform::Windows, "$roleArn = ''"),
    ] {
        let without = Installation {
            role_arn: None,
            ..installation("vm-1", &network, &[])
        };
        assert!(commands(platform, &without).contains(&line.to_owned()));
    }
}

#[test]
fn the_network_s_options_reach_the_installer_and_the_downloads() {
    let network = private();
    let devices = ["/dev/sda".to_owned(), "/dev/sdb".to_owned()];
    let linux = commands(Platform::Linux, &installation("vm-1", &network, &devices)).join("\n");
    for text in [
        "set -- --region 'eu-central-1' --no-prompt --user-provided-id 'vm-1' \
         --endpoint 'vpce-1-a.mgn.eu-central-1.vpce.amazonaws.com' \
         --s3-endpoint 'bucket.vpce-2-b.s3.eu-central-1.vpce.amazonaws.com' --devices '/dev/sda,/dev/sdb'\n",
        "mgn_host='vpce-1-a.mgn.eu-central-1.vpce.amazonaws.com'",
        "proxy_url='https://10.0.0.1:8088/'",
        "no_proxy_hosts='169.254.169.254,.corp'",
        "installer_url='https://aws-application-migration-service-eu-central-1.bucket.vpce-2-b.s3.eu-central-1.vpce.amazonaws.com/latest/linux/aws-replication-installer-init'",
        "checksum_url='https://aws-application-migration-service-hashes-eu-central-1.bucket.vpce-2-b.s3.eu-central-1.vpce.amazonaws.com/latest/linux/aws-replication-installer-init.sha512'",
    ] {
        assert!(linux.contains(text), "{text} is not in {linux}");
    }
    let devices = ["c:".to_owned(), "d:".to_owned()];
    let windows = commands(Platform::Windows, &installation("vm-1", &network, &devices)).join("\n");
    for text in [
        "$installerArguments = @('--region', 'eu-central-1', '--no-prompt', '--user-provided-id', 'vm-1', \
         '--endpoint', 'vpce-1-a.mgn.eu-central-1.vpce.amazonaws.com', \
         '--s3-endpoint', 'bucket.vpce-2-b.s3.eu-central-1.vpce.amazonaws.com', '--devices', 'c:,d:')\n",
        "$mgnHost = 'vpce-1-a.mgn",
        "$proxyUrl = 'https://10.0.0.1:8088/'",
        "$noProxyHosts = '169.254.169.254,.corp'",
        "/latest/windows/AwsReplicationWindowsInstaller.exe.sha512'",
    ] {
        assert!(windows.contains(text), "{text} is not in {windows}");
    }
}

#[test]
fn an_endpoint_that_is_no_interface_endpoint_serves_the_public_names() {
    for endpoint in [None, Some("s3.corp.example.com".to_owned())] {
        let network = Network {
            s3_endpoint: endpoint,
            ..Network::default()
        };
        let text = commands(Platform::Linux, &installation("vm-1", &network, &[])).join("\n");
        let url = "installer_url='https://aws-application-migration-service-eu-central-1.s3.eu-central-1.amazonaws.com/latest/linux/";
        assert!(text.contains(url), "{text}");
        assert!(text.contains("mgn_host='mgn.eu-central-1.amazonaws.com'"));
    }
}

/// No PowerShell runs here: that the script does what it must is told from its text.
#[test]
fn the_windows_script_looks_first_and_tells_no_key() {
    let text = plain(Platform::Windows, "vm-1");
    let at = |part: &str| {
        text.find(part)
            .unwrap_or_else(|| panic!("{part} is missing"))
    };
    let order = [
        at("$ErrorActionPreference = 'Stop'"),
        at(r"AWS Replication Agent\dist\windows_service_wrapper.exe"),
        at("Get-Service -Name 'AwsReplicationService'"),
        at("already installed and running"),
        at("SecurityProtocolType]::Tls12"),
        at("$env:HTTPS_PROXY = $proxyUrl"),
        at("$disk.FreeSpace -lt 2GB"),
        at("$system.FreePhysicalMemory -lt 300 * 1024"),
        at("https://$mgnHost/"),
        at("Get-Command aws"),
        at("mend this first"),
        at("SHA512]::Create()"),
        at("aws sts assume-role"),
        at("& $installer @installerArguments"),
        at(".Replace($key, '****')"),
        at("exit $code"),
    ];
    assert!(order.is_sorted(), "{order:?}");
    let script: String = include_str!("windows.ps1")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .collect();
    for name in [
        "region",
        "mgnHost",
        "installerUrl",
        "checksumUrl",
        "proxyUrl",
        "noProxyHosts",
        "roleArn",
        "policyArn",
        "installerArguments",
    ] {
        assert!(text.contains(&format!("\n${name} = ")), "{name} is not set");
        assert!(script.contains(&format!("${name}")), "{name} is not used");
    }
}

#[test]
fn a_request_s_network_wins_member_by_member() {
    let own = Network {
        proxy_url: Some("https://own/".into()),
        ..Network::default()
    };
    let merged = own.or(&private());
    assert_eq!(merged.proxy_url.as_deref(), Some("https://own/"));
    assert_eq!(merged.mgn_endpoint, private().mgn_endpoint);
    assert_eq!(
        Network::default().or(&Network::default()),
        Network::default()
    );
}

#[test]
fn a_proxy_with_credentials_is_known() {
    for (url, tells) in [
        ("https://proxy:3128/", false),
        ("https://user:secret@proxy:3128/", true),
    ] {
        let network = Network {
            proxy_url: Some(url.into()),
            ..Network::default()
        };
        assert_eq!(network.tells_a_secret(), tells);
    }
    assert!(!Network::default().tells_a_secret());
}

#[test]
fn a_disk_belongs_to_one_platform() {
    for (device, linux) in [("/dev/sda", true), ("/dev/nvme0n1", true), ("c:", false)] {
        assert_eq!(Platform::Linux.has(device), linux);
        assert_eq!(Platform::Windows.has(device), !linux);
    }
}

#[test]
fn an_exit_code_of_0_is_not_believed() {
    assert_eq!(
        silent_failure("Agent installed.\nsource server ID: s-1"),
        None
    );
    assert_eq!(
        silent_failure("a\nb\n\nInstallation failed.\nError details: no kernel headers\n")
            .as_deref(),
        Some("a\nb\nInstallation failed.\nError details: no kernel headers")
    );
}

#[test]
fn the_last_lines_are_told_without_keys() {
    let many: Vec<String> = (0..40).map(|n| format!("line {n}\n\n")).collect();
    let many = many.concat();
    let output = format!("{many}bad token --aws-secret-access-key abc and ASIAIOSFODNN7EXAMPLE");
    let told = last_lines(&output);
    assert_eq!(told.lines().count(), OUTPUT_LINES);
    assert!(told.starts_with("line 29\n"), "{told}");
    assert!(
        told.ends_with("bad token --aws-secret-access-key **** and ASIA****"),
        "{told}"
    );
    assert_eq!(last_lines(""), "");
}
