//! The Linux commands as a shell runs them, with stub programs in the place of the system's.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use landfall_domain::installer::{Installation, Network, Platform, commands, silent_failure};

const ROLE: &str = "arn:aws:iam::123456789012:role/landfall-agent";
const KEY_ID: &str = "ASIAIOSFODNN7EXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const TOKEN: &str = "IQoJb3JpZ2luX2VjEMn//////////wEaCXVzLWVhc3QtMSJHMEUCIQDwell==";

/// What the script may use of the real system; nothing else is found.
const REAL: [&str; 11] = [
    "awk",
    "cat",
    "chmod",
    "cp",
    "cut",
    "env",
    "mktemp",
    "rm",
    "sh",
    "sha512sum",
    "tail",
];

/// A source server: a folder with its programs, and what they found and did.
struct Host {
    folder: PathBuf,
    network: Network,
    devices: Vec<String>,
    role: Option<&'static str>,
    id: &'static str,
}

impl Host {
    /// A host on which everything is as it should be and no agent runs.
    fn new(name: &str) -> Self {
        let folder = format!("host-{name}-{}", std::process::id());
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(folder);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(folder.join("bin")).unwrap();
        fs::create_dir_all(folder.join("home")).unwrap();
        for name in REAL {
            let path = std::env::split_paths(&std::env::var_os("PATH").unwrap())
                .map(|folder| folder.join(name))
                .find(|path| path.is_file())
                .unwrap();
            std::os::unix::fs::symlink(path, folder.join("bin").join(name)).unwrap();
        }
        let host = Self {
            folder,
            network: Network::default(),
            devices: vec![],
            role: Some(ROLE),
            id: "vm-1",
        };
        host.program("systemctl", "exit 3");
        host.program("id", "echo 0");
        host.df(9_000_000, 9_000_000);
        host.program(
            "free",
            "echo '              total        used        free      shared  buff/cache   available'
             echo 'Mem:        2000000     1500000       10000        1000      490000      400000'",
        );
        host.program(
            "curl",
            r#"echo "curl proxy=${https_proxy-} $*" >>"$HOST/calls"
               for last; do :; done
               while [ $# -gt 0 ]; do if [ "$1" = -o ]; then out=$2; fi; shift; done
               case $last in
                 *.sha512) sha512sum <"$HOST/installer" >"$out" ;;
                 *init) cp "$HOST/installer" "$out" ;;
               esac"#,
        );
        host.program(
            "aws",
            &format!(
                r#"echo "aws $*" >>"$HOST/calls"; printf '%s\t%s\t%s\n' '{KEY_ID}' '{SECRET}' '{TOKEN}'"#
            ),
        );
        host.installer("echo 'The following is the source server ID: s-0123456789abcdef0.'");
        host
    }

    /// A program of the host.
    fn program(&self, name: &str, text: &str) {
        self.write(&format!("bin/{name}"), &format!("#!/bin/sh\n{text}\n"));
    }

    fn without(&self, name: &str) {
        fs::remove_file(self.folder.join("bin").join(name)).unwrap();
    }

    /// What the installer does that is downloaded; it notes its arguments, a line each.
    fn installer(&self, text: &str) {
        self.write(
            "installer",
            &format!("#!/bin/sh\nprintf '%s\\n' \"$@\" >\"$HOST/arguments\"\n{text}\n"),
        );
    }

    /// KiB that are free on / and on /tmp.
    fn df(&self, root: u32, tmp: u32) {
        self.program(
            "df",
            &format!(
                "case $2 in /) free={root} ;; /tmp) free={tmp} ;; esac
                 echo 'Filesystem 1024-blocks Used Available Capacity Mounted on'
                 echo \"/dev/xvda1 99 1 $free 1% $2\""
            ),
        );
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.folder.join(path);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.folder.join(path)).unwrap_or_default()
    }

    /// Runs the commands as SSM does; answers whether they went well, and their output.
    fn run(&self) -> (bool, String) {
        let installation = Installation {
            region: "eu-central-1",
            source_vm_id: self.id,
            role_arn: self.role,
            network: &self.network,
            devices: &self.devices,
        };
        let script = commands(Platform::Linux, &installation).join("\n");
        let Output {
            status,
            stdout,
            stderr,
        } = Command::new("sh")
            .arg("-c")
            .arg(&script)
            .env_clear()
            .env("PATH", self.folder.join("bin"))
            .env("HOME", self.folder.join("home"))
            .env("HOST", &self.folder)
            .output()
            .unwrap();
        let output = String::from_utf8(stdout).unwrap() + &String::from_utf8(stderr).unwrap();
        for key in [KEY_ID, SECRET, TOKEN] {
            assert!(!output.contains(key), "{output}");
        }
        // Nothing stays behind, and the installer's output least of all.
        let left: Vec<_> = fs::read_dir(self.folder.join("home")).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
        (status.success(), output)
    }

    /// The installer's arguments; empty when it did not run.
    fn arguments(&self) -> Vec<String> {
        let text = self.read("arguments");
        text.lines().map(str::to_owned).collect()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

#[test]
fn the_agent_is_installed_with_a_session_of_the_role() {
    let host = Host::new("good");
    let (well, output) = host.run();
    assert!(well, "{output}");
    assert!(output.contains("s-0123456789abcdef0"), "{output}");
    assert_eq!(silent_failure(&output), None);
    assert_eq!(
        host.arguments().join(" "),
        format!(
            "--region eu-central-1 --no-prompt --user-provided-id vm-1 --aws-access-key-id {KEY_ID} \
             --aws-secret-access-key {SECRET} --aws-session-token {TOKEN}"
        )
    );
    let calls = host.read("calls");
    for call in [
        "aws sts assume-role --role-arn arn:aws:iam::123456789012:role/landfall-agent ",
        "--policy-arns arn=arn:aws:iam::aws:policy/AWSApplicationMigrationAgentInstallationPolicy ",
        "https://mgn.eu-central-1.amazonaws.com/",
    ] {
        assert!(calls.contains(call), "{call} is not in {calls}");
    }
}

#[test]
fn without_a_role_the_node_s_own_identity_serves() {
    let mut host = Host::new("own");
    host.role = None;
    host.without("aws");
    let (well, output) = host.run();
    assert!(well, "{output}");
    assert_eq!(
        host.arguments(),
        [
            "--region",
            "eu-central-1",
            "--no-prompt",
            "--user-provided-id",
            "vm-1"
        ]
    );
}

#[test]
fn an_agent_that_runs_under_either_name_is_left_alone() {
    for service in ["aws-replication", "aws-replication-agent"] {
        let host = Host::new(service);
        host.program("systemctl", &format!("[ \"$3\" = {service} ]"));
        // Nothing else matters then.
        host.df(0, 0);
        let (well, output) = host.run();
        assert!(well, "{output}");
        assert_eq!(
            output,
            "landfall: the replication agent is already installed and running\n"
        );
        assert!(host.arguments().is_empty());
    }
}

#[test]
fn a_system_without_systemd_is_asked_in_its_own_way() {
    let host = Host::new("sysv");
    host.without("systemctl");
    host.program("service", "[ \"$1 $2\" = 'aws-replication status' ]");
    let (well, output) = host.run();
    assert!(well && output.contains("already installed"), "{output}");
}

#[test]
fn everything_that_is_missing_is_told_at_once_and_the_installer_does_not_run() {
    let host = Host::new("bare");
    host.program("id", "echo 1000");
    host.df(1_048_576, 102_400);
    host.program(
        "free",
        "echo '  total used free shared buffers cached'; echo 'Mem: 999 9 1024 0 1024 1024'",
    );
    host.program("curl", "echo 'curl: (6) No such host' >&2; exit 6");
    host.without("aws");
    host.without("sha512sum");
    let (well, output) = host.run();
    assert!(!well);
    for told in [
        "the installer must run as root",
        "the disk of /: 1024 MiB are free, and 2048 MiB are needed",
        "the disk of /tmp: 100 MiB are free, and 500 MiB are needed",
        "memory: 3 MiB are free, and 300 MiB are needed",
        "mgn.eu-central-1.amazonaws.com does not answer on TCP 443: curl: (6) No such host",
        "sha512sum is not there",
        "the AWS CLI is missing, by which this source assumes the role arn:aws:iam::123456789012:role/landfall-agent",
    ] {
        assert!(
            output.contains(&format!("\n- {told}")),
            "{told} is not in {output}"
        );
    }
    assert!(host.arguments().is_empty());
}

#[test]
fn a_size_that_cannot_be_read_is_left_to_the_installer() {
    let host = Host::new("unread");
    host.without("free");
    host.program("df", "exit 1");
    let (well, output) = host.run();
    assert!(well, "{output}");
}

#[test]
fn wget_does_where_there_is_no_curl_and_neither_is_told() {
    let host = Host::new("wget");
    host.without("curl");
    let (well, output) = host.run();
    assert!(
        !well && output.contains("neither curl nor wget"),
        "{output}"
    );
    // A service that answers 403 answers.
    host.program(
        "wget",
        r#"for last; do :; done
           while [ $# -gt 0 ]; do if [ "$1" = -O ]; then out=$2; fi; shift; done
           case $last in
             *.sha512) sha512sum <"$HOST/installer" >"$out" ;;
             *init) cp "$HOST/installer" "$out" ;;
             *) exit 8 ;;
           esac"#,
    );
    let (well, output) = host.run();
    assert!(well, "{output}");
}

#[test]
fn a_download_that_fails_or_was_changed_is_not_run() {
    let host = Host::new("download");
    host.program("curl", "case $* in *init) exit 22 ;; esac");
    let (well, output) = host.run();
    assert!(
        !well && output.contains("could not be downloaded"),
        "{output}"
    );
    host.program(
        "curl",
        r#"while [ $# -gt 0 ]; do if [ "$1" = -o ]; then out=$2; fi; shift; done
           if [ "$out" != /dev/null ]; then cp "$HOST/installer" "$out"; fi"#,
    );
    let (well, output) = host.run();
    assert!(!well && output.contains("SHA-512"), "{output}");
    assert!(host.arguments().is_empty());
}

#[test]
fn a_role_that_is_denied_is_told_and_the_installer_does_not_run() {
    let host = Host::new("denied");
    host.program(
        "aws",
        "echo 'An error occurred (AccessDenied) when calling the AssumeRole operation' >&2; exit 254",
    );
    let (well, output) = host.run();
    assert!(!well);
    assert!(output.contains("(AccessDenied)"), "{output}");
    assert!(
        output.contains(&format!("the role {ROLE} could not be assumed")),
        "{output}"
    );
    // An answer of another form is no session.
    host.program("aws", "echo None");
    let (well, output) = host.run();
    assert!(!well, "{output}");
    assert!(host.arguments().is_empty());
}

#[test]
fn keys_that_the_installer_repeats_are_hidden() {
    let host = Host::new("leak");
    host.installer("echo \"running with $*\"; echo \"bad key $7\" >&2");
    let (well, output) = host.run();
    assert!(well, "{output}");
    assert!(
        output.contains(
            "--aws-access-key-id **** --aws-secret-access-key **** --aws-session-token ****"
        ),
        "{output}"
    );
    assert!(output.contains("bad key ****"), "{output}");
}

#[test]
fn a_failure_is_told_with_its_exit_code_and_a_silent_one_with_its_words() {
    let host = Host::new("fails");
    host.installer(
        "i=0; while [ $i -lt 300 ]; do echo \"step $i\"; i=$((i + 1)); done
         echo 'Error details: no kernel headers' >&2; exit 7",
    );
    let (well, output) = host.run();
    assert!(!well);
    assert!(
        output.contains("no kernel headers\nlandfall: the installer ended with exit code 7"),
        "{output}"
    );
    // Only its end, for SSM keeps the beginning.
    assert!(!output.contains("step 200\n"), "{output}");

    host.installer("echo 'Installation failed.'");
    let (well, output) = host.run();
    assert!(well);
    let told = silent_failure(&output);
    assert_eq!(told.as_deref(), Some("Installation failed."));
}

#[test]
fn hostile_values_stay_arguments() {
    let mut host = Host::new("hostile");
    host.id = "vm'; touch \"$HOST/owned\"; $(touch $HOST/owned) `touch $HOST/owned` *";
    host.program("touch", ": >\"$1\"");
    host.devices = vec!["/dev/sda".into(), "/dev/sdb".into()];
    host.network = Network {
        proxy_url: Some("https://10.0.0.1:8088".into()),
        no_proxy: Some("169.254.169.254".into()),
        mgn_endpoint: Some("vpce-1.mgn.eu-central-1.vpce.amazonaws.com".into()),
        s3_endpoint: Some("vpce-2.s3.eu-central-1.vpce.amazonaws.com".into()),
    };
    let (well, output) = host.run();
    assert!(well, "{output}");
    assert!(!host.folder.join("owned").exists());
    let arguments = host.arguments();
    assert_eq!(arguments[4], host.id);
    assert_eq!(
        arguments[5..11],
        [
            "--endpoint",
            "vpce-1.mgn.eu-central-1.vpce.amazonaws.com",
            "--s3-endpoint",
            "vpce-2.s3.eu-central-1.vpce.amazonaws.com",
            "--devices",
            "/dev/sda,/dev/sdb",
        ]
    );
    let calls = host.read("calls");
    let web: Vec<&str> = calls
        .lines()
        .filter(|line| line.starts_with("curl proxy=https://10.0.0.1:8088/ "))
        .collect();
    assert_eq!(web.len(), 3, "{calls}");
    for (call, host) in web.iter().zip([
        "https://vpce-1.mgn.eu-central-1.vpce.amazonaws.com/",
        "https://aws-application-migration-service-eu-central-1.bucket.vpce-2.s3.eu-central-1.vpce.amazonaws.com/",
        "https://aws-application-migration-service-hashes-eu-central-1.bucket.vpce-2.s3.eu-central-1.vpce.amazonaws.com/",
    ]) {
        assert!(call.contains(host), "{call}");
    }
}
