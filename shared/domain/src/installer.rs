//! The MGN replication agent's installer: the commands that SSM runs, and what their output means.
//!
//! Source: MGN user guide, "Installing the AWS Replication Agent" for Linux and Windows. The installer can fail
//! with exit code 0; its output then holds one of [`FAILURE_MARKS`] (seen in Cloud Migration Factory's code).

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
}

/// Texts that mean failure whatever the exit code says.
pub const FAILURE_MARKS: [&str; 3] = ["Installation failed", "Error details:", "error message"];

/// The line our script prints when the agent already runs, so that installing twice is success.
pub const ALREADY_INSTALLED: &str =
    "landfall: the replication agent is already installed and running";

/// The commands of the SSM document. No credential stands in them: where `agent_role_arn` is given, the source
/// assumes that role itself with its own managed-node identity, else the installer uses that identity directly.
/// SSM keeps and shows the parameters of every command.
pub fn commands(
    platform: Platform,
    region: &str,
    source_vm_id: &str,
    agent_role_arn: Option<&str>,
) -> Vec<String> {
    match platform {
        Platform::Linux => linux(region, source_vm_id, agent_role_arn),
        Platform::Windows => windows(region, source_vm_id, agent_role_arn),
    }
}

fn linux(region: &str, source_vm_id: &str, agent_role_arn: Option<&str>) -> Vec<String> {
    let mut lines = vec![
        "set -eu".to_owned(),
        format!(
            "if systemctl is-active --quiet aws-replication-agent; then echo {}; exit 0; fi",
            sh(ALREADY_INSTALLED)
        ),
        "cd \"$(mktemp -d)\"".to_owned(),
        format!(
            "curl -fsSLo aws-replication-installer-init https://aws-application-migration-service-{region}.s3.{region}.amazonaws.com/latest/linux/aws-replication-installer-init"
        ),
        "chmod +x aws-replication-installer-init".to_owned(),
    ];
    let mut flags = String::new();
    if let Some(role) = agent_role_arn {
        lines.push(format!(
            "set -- $(aws sts assume-role --role-arn {} --role-session-name landfall-agent-install --duration-seconds 3600 --query 'Credentials.[AccessKeyId,SecretAccessKey,SessionToken]' --output text)",
            sh(role)
        ));
        flags.push_str(
            " --aws-access-key-id \"$1\" --aws-secret-access-key \"$2\" --aws-session-token \"$3\"",
        );
    }
    lines.push(format!(
        "sudo ./aws-replication-installer-init --region {region} --no-prompt --user-provided-id {}{flags}",
        sh(source_vm_id)
    ));
    lines
}

fn windows(region: &str, source_vm_id: &str, agent_role_arn: Option<&str>) -> Vec<String> {
    let mut lines = vec![
        "$ErrorActionPreference = 'Stop'".to_owned(),
        format!(
            "if (Get-Service -Name 'AwsReplicationService' -ErrorAction SilentlyContinue | Where-Object Status -eq 'Running') {{ Write-Output {}; exit 0 }}",
            ps(ALREADY_INSTALLED)
        ),
        "$installer = Join-Path $env:TEMP 'AwsReplicationWindowsInstaller.exe'".to_owned(),
        format!(
            "Invoke-WebRequest -UseBasicParsing -Uri https://aws-application-migration-service-{region}.s3.{region}.amazonaws.com/latest/windows/AwsReplicationWindowsInstaller.exe -OutFile $installer"
        ),
    ];
    let mut flags = String::new();
    if let Some(role) = agent_role_arn {
        lines.push(format!(
            "$c = (aws sts assume-role --role-arn {} --role-session-name landfall-agent-install --duration-seconds 3600 --output json | ConvertFrom-Json).Credentials",
            ps(role)
        ));
        flags.push_str(
            " --aws-access-key-id $c.AccessKeyId --aws-secret-access-key $c.SecretAccessKey --aws-session-token $c.SessionToken",
        );
    }
    lines.push(format!(
        "& $installer --region {region} --no-prompt --user-provided-id {}{flags}",
        ps(source_vm_id)
    ));
    lines
}

/// Quotes for a POSIX shell.
fn sh(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Quotes for PowerShell.
fn ps(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Whether output that came with exit code 0 means failure all the same; the text is its last lines.
pub fn silent_failure(output: &str) -> Option<String> {
    FAILURE_MARKS
        .iter()
        .any(|mark| output.contains(mark))
        .then(|| last_lines(output, 5))
}

/// The last `n` lines that are not blank: where installers say what went wrong.
pub fn last_lines(output: &str, n: usize) -> String {
    let lines: Vec<&str> = output
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    lines[lines.len().saturating_sub(n)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_quoted_for_its_shell() {
        let linux = commands(Platform::Linux, "eu-central-1", "vm'; rm -rf /", None).join("\n");
        assert!(
            linux.contains(r"--user-provided-id 'vm'\''; rm -rf /'"),
            "{linux}"
        );
        let windows = commands(Platform::Windows, "eu-central-1", "vm'; x", None).join("\n");
        assert!(
            windows.contains("--user-provided-id 'vm''; x'"),
            "{windows}"
        );
    }

    #[test]
    fn no_command_holds_a_credential() {
        for platform in [Platform::Linux, Platform::Windows] {
            let text =
                commands(platform, "us-east-1", "vm-1", Some("arn:aws:iam::1:role/r")).join("\n");
            assert!(text.contains("arn:aws:iam::1:role/r"));
            assert!(!text.contains("ASIA") && !text.contains("AKIA"));
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
}
