//! The MGN replication agent's installer: the commands that SSM runs, and what their output means.
//!
//! Source: MGN user guide, "Installing the AWS Replication Agent" for Linux and Windows, and "on a secured network".
//! The installer can fail with exit code 0; its output then holds one of [`FAILURE_MARKS`] (seen in Cloud Migration
//! Factory's code). The commands themselves are in `installer/linux.sh` and `installer/windows.ps1`; what differs from
//! source to source is set in lines before them.

use crate::mask;
use crate::request::Agent;

/// The operating system family of a source, as SSM's `PlatformType` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Platform {
    /// `Linux`.
    Linux,
    /// `Windows`.
    Windows,
}

impl Platform {
    /// The SSM document that runs the commands.
    pub const fn document(self) -> &'static str {
        match self {
            Self::Linux => "AWS-RunShellScript",
            Self::Windows => "AWS-RunPowerShellScript",
        }
    }

    /// Whether a disk of `agent.devices` may be one of this system: `/dev/sda`, or `c:`.
    pub fn has(self, device: &str) -> bool {
        device.starts_with("/dev/") == (self == Self::Linux)
    }
}

/// How a source reaches AWS. A request's own settings win over the deployment's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Network {
    /// `https_proxy`, for example `https://10.0.0.1:8088/`.
    pub proxy_url: Option<String>,
    /// `no_proxy`: hosts separated by commas.
    pub no_proxy: Option<String>,
    /// The interface endpoint of MGN: a host name.
    pub mgn_endpoint: Option<String>,
    /// The interface endpoint of S3: a host name.
    pub s3_endpoint: Option<String>,
}

impl Network {
    /// What a request asks for.
    pub fn of(agent: Option<&Agent>) -> Self {
        agent.map_or_else(Self::default, |agent| Self {
            proxy_url: agent.proxy_url.clone(),
            no_proxy: agent.no_proxy.clone(),
            mgn_endpoint: agent.mgn_endpoint.clone(),
            s3_endpoint: agent.s3_endpoint.clone(),
        })
    }

    /// These settings, and where one is missing the other's.
    #[must_use]
    pub fn or(&self, other: &Self) -> Self {
        let either =
            |one: &Option<String>, other: &Option<String>| one.as_ref().or(other.as_ref()).cloned();
        Self {
            proxy_url: either(&self.proxy_url, &other.proxy_url),
            no_proxy: either(&self.no_proxy, &other.no_proxy),
            mgn_endpoint: either(&self.mgn_endpoint, &other.mgn_endpoint),
            s3_endpoint: either(&self.s3_endpoint, &other.s3_endpoint),
        }
    }

    /// Whether the proxy's URL carries credentials: SSM would keep and show them.
    pub fn tells_a_secret(&self) -> bool {
        self.proxy_url
            .as_deref()
            .is_some_and(|url| url.contains('@'))
    }
}

/// One installation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Installation<'a> {
    /// The Region the source replicates to.
    pub region: &'a str,
    /// Becomes `--user-provided-id`.
    pub source_vm_id: &'a str,
    /// The role that the source assumes with its own managed-node identity; without one the installer uses that
    /// identity directly.
    pub role_arn: Option<&'a str>,
    /// How it reaches AWS.
    pub network: &'a Network,
    /// The disks to replicate; none means all.
    pub devices: &'a [String],
}

/// Texts that mean failure whatever the exit code says.
pub const FAILURE_MARKS: [&str; 3] = ["Installation failed", "Error details:", "error message"];

/// How much of an installer's output is worth telling: also several preconditions that are told at once.
pub const OUTPUT_LINES: usize = 12;

/// The commands of the SSM document, a line each. No credential stands in them: SSM keeps and shows the parameters of
/// every command. The installer's arguments are its documented ones; the keys are added on the source.
pub fn commands(platform: Platform, installation: &Installation<'_>) -> Vec<String> {
    match platform {
        Platform::Linux => linux(installation),
        Platform::Windows => windows(installation),
    }
}

fn linux(installation: &Installation<'_>) -> Vec<String> {
    let settings = settings(installation, "linux/aws-replication-installer-init");
    let arguments: Vec<String> = arguments(installation)
        .into_iter()
        .map(|argument| match argument {
            Argument::Flag(flag) => flag.to_owned(),
            Argument::Value(value) => sh(&value),
        })
        .collect();
    let mut lines = vec!["set -eu".to_owned()];
    lines.extend(settings.map(|(name, value)| format!("{name}={}", sh(&value))));
    lines.push(format!("set -- {}", arguments.join(" ")));
    lines.extend(
        include_str!("installer/linux.sh")
            .lines()
            .map(str::to_owned),
    );
    lines
}

fn windows(installation: &Installation<'_>) -> Vec<String> {
    let settings = settings(installation, "windows/AwsReplicationWindowsInstaller.exe");
    let arguments: Vec<String> = arguments(installation)
        .into_iter()
        .map(|argument| match argument {
            Argument::Flag(flag) => ps(flag),
            Argument::Value(value) => ps(&value),
        })
        .collect();
    let mut lines = vec!["$ErrorActionPreference = 'Stop'".to_owned()];
    lines.extend(settings.map(|(name, value)| format!("${} = {}", camel(name), ps(&value))));
    lines.push(format!("$installerArguments = @({})", arguments.join(", ")));
    lines.extend(
        include_str!("installer/windows.ps1")
            .lines()
            .map(str::to_owned),
    );
    lines
}

/// What a script is told, by the names of the Linux one. What is not set is empty.
fn settings(installation: &Installation<'_>, path: &str) -> [(&'static str, String); 8] {
    let Installation {
        region,
        role_arn,
        network,
        ..
    } = *installation;
    let bucket = format!("aws-application-migration-service-{region}");
    let hashes = format!("aws-application-migration-service-hashes-{region}");
    // The role's own partition: `aws`, `aws-us-gov`.
    let policy_arn = role_arn
        .and_then(|arn| arn.split(':').nth(1))
        .map(|partition| {
            format!(
                "arn:{partition}:iam::aws:policy/AWSApplicationMigrationAgentInstallationPolicy"
            )
        });
    let mgn_host = network
        .mgn_endpoint
        .clone()
        .unwrap_or_else(|| format!("mgn.{region}.amazonaws.com"));
    // The agent asks for the slash at the end.
    let proxy_url = network
        .proxy_url
        .as_deref()
        .map(|url| format!("{}/", url.trim_end_matches('/')));
    let url = |bucket: &str, end: &str| {
        format!(
            "https://{}/latest/{path}{end}",
            s3_host(bucket, installation)
        )
    };
    [
        ("region", region.to_owned()),
        ("mgn_host", mgn_host),
        ("installer_url", url(&bucket, "")),
        ("checksum_url", url(&hashes, ".sha512")),
        ("proxy_url", proxy_url.unwrap_or_default()),
        (
            "no_proxy_hosts",
            network.no_proxy.clone().unwrap_or_default(),
        ),
        ("role_arn", role_arn.unwrap_or_default().to_owned()),
        ("policy_arn", policy_arn.unwrap_or_default()),
    ]
}

/// The host of a bucket: behind an interface endpoint it has a name of its own, for which the endpoint has a
/// certificate. Any other endpoint is a name for S3 itself, that serves the public host names.
fn s3_host(bucket: &str, installation: &Installation<'_>) -> String {
    let endpoint = installation
        .network
        .s3_endpoint
        .as_deref()
        .unwrap_or_default();
    let own = endpoint.strip_prefix("bucket.").unwrap_or(endpoint);
    if own.starts_with("vpce-") {
        format!("{bucket}.bucket.{own}")
    } else {
        format!("{bucket}.s3.{}.amazonaws.com", installation.region)
    }
}

enum Argument {
    /// Our own word, which no shell needs quoted.
    Flag(&'static str),
    /// Of somebody else's choice.
    Value(String),
}

fn arguments(installation: &Installation<'_>) -> Vec<Argument> {
    use Argument::{Flag, Value};
    let network = installation.network;
    let mut all = vec![
        Flag("--region"),
        Value(installation.region.to_owned()),
        Flag("--no-prompt"),
        Flag("--user-provided-id"),
        Value(installation.source_vm_id.to_owned()),
    ];
    let optional = [
        ("--endpoint", &network.mgn_endpoint),
        ("--s3-endpoint", &network.s3_endpoint),
    ];
    for (flag, value) in optional {
        if let Some(value) = value {
            all.extend([Flag(flag), Value(value.clone())]);
        }
    }
    if !installation.devices.is_empty() {
        all.extend([Flag("--devices"), Value(installation.devices.join(","))]);
    }
    all
}

/// Quotes for a POSIX shell.
fn sh(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Quotes for PowerShell, which takes typographic quotes for quotes as well.
fn ps(text: &str) -> String {
    let mut quoted = String::from("'");
    for c in text.chars() {
        if matches!(c, '\'' | '\u{2018}' | '\u{2019}' | '\u{201a}' | '\u{201b}') {
            quoted.push(c);
        }
        quoted.push(c);
    }
    quoted.push('\'');
    quoted
}

/// `mgn_host` as PowerShell's users write it.
fn camel(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |mut text, word| {
        let (head, tail) = word.split_at(1);
        text.push_str(&head.to_ascii_uppercase());
        text.push_str(tail);
        text
    })
}

/// Whether output that came with exit code 0 means failure all the same; the text is its last lines, as
/// [`last_lines`] gives them.
pub fn silent_failure(output: &str) -> Option<String> {
    FAILURE_MARKS
        .iter()
        .any(|mark| output.contains(mark))
        .then(|| last_lines(output))
}

/// The last lines that are not blank, where installers say what went wrong; without anything that looks like an AWS
/// key, for they go into errors, events and records.
pub fn last_lines(output: &str) -> String {
    let lines: Vec<&str> = output
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    // Masked as a whole: a key that stands across lines is still found by its name.
    mask::keys(&lines[lines.len().saturating_sub(OUTPUT_LINES)..].join("\n")).into_owned()
}

#[cfg(test)]
mod tests;
