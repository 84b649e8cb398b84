//! What a command does on its node: installing the replication agent is simulated; of any other script, lines of `echo`
//! print and a line of `exit` ends it, and all else just succeeds.

use regex::Regex;

use super::Invocation;
use crate::world::World;

pub(super) struct Outcome {
    pub(super) code: i64,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

fn done(stdout: impl Into<String>) -> Outcome {
    Outcome {
        code: 0,
        stdout: stdout.into(),
        stderr: String::new(),
    }
}

pub(super) fn is_installation(script: &str) -> bool {
    script.contains("aws-replication-installer-init")
        || script.contains("AwsReplicationWindowsInstaller")
}

/// A script that installs nothing.
fn plain(script: &str) -> Outcome {
    let mut outcome = done("");
    for line in script.lines().map(str::trim) {
        if let Some(text) = line.strip_prefix("echo ") {
            outcome.stdout.push_str(text);
            outcome.stdout.push('\n');
        } else if let Some(code) = line
            .strip_prefix("exit ")
            .and_then(|code| code.parse().ok())
        {
            outcome.code = code;
            break;
        }
    }
    outcome
}

pub(super) fn run(world: &mut World, invocation: &Invocation) -> Outcome {
    let node = world.node(&invocation.instance_id);
    let Some(machine) = node.map(|(_, machine, _)| machine.clone()) else {
        return Outcome {
            code: 1,
            stdout: String::new(),
            stderr: "the node has gone".into(),
        };
    };
    let script = &invocation.script;
    if !is_installation(script) {
        return plain(script);
    }
    let connected = world.here.servers.values().any(|s| {
        s.user_provided_id.as_deref() == Some(&machine.source_vm_id) && s.connected() && !s.archived
    });
    if connected && let Some(text) = already_running_text(script) {
        return done(format!("{text}\n"));
    }
    if let Some(failure) = &machine.agent_failure {
        return Outcome {
            code: 1,
            stdout: format!(
                "The installation of the AWS Replication Agent has started.\nError details: {failure}\nInstallation failed.\n"
            ),
            stderr: failure.clone(),
        };
    }
    let Some(given) = flag(script, "--user-provided-id") else {
        return Outcome {
            code: 1,
            stdout: String::new(),
            stderr: "--user-provided-id is missing: pass the source VM's identifier".into(),
        };
    };
    // The identifier of another machine would make that one appear; the real installer cannot know either.
    let Some(server_id) = world.register(&given, !script.contains("--no-replication")) else {
        return Outcome {
            code: 1,
            stdout: String::new(),
            stderr: format!("no seeded machine has sourceVmId `{given}`"),
        };
    };
    done(format!(
        "The installation of the AWS Replication Agent has started.\n\
         Identifying volumes for replication.\n\
         All volumes for replication were successfully identified.\n\
         Downloading the AWS Replication Agent onto the source server... Finished.\n\
         Installing the AWS Replication Agent onto the source server... Finished.\n\
         Syncing the source server with the Application Migration Service Console... Finished.\n\
         The following is the source server ID: {server_id}.\n\
         The AWS Replication Agent was successfully installed.\n"
    ))
}

/// What a script prints when it finds the agent running, if it looks.
fn already_running_text(script: &str) -> Option<String> {
    if !(script.contains("is-active") || script.contains("Get-Service")) {
        return None;
    }
    let printed = Regex::new(r#"(?:echo|Write-Output)\s+['"]([^'"]+)['"]"#).ok()?;
    Some(printed.captures(script)?[1].to_owned())
}

/// The value of a flag, with either shell's quotes taken off; in PowerShell it may stand in a list.
fn flag(script: &str, name: &str) -> Option<String> {
    let pattern = format!(
        r#"{}(?:[ =]|['"], )(?:'([^']*)'|"([^"]*)"|([^\s;|&'"]+))"#,
        regex::escape(name)
    );
    let found = Regex::new(&pattern).ok()?.captures(script)?;
    (1..=3)
        .find_map(|i| found.get(i))
        .map(|m| m.as_str().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_is_read_in_either_shell() {
        let table = [
            ("x --user-provided-id vm-1 --y", Some("vm-1")),
            ("x --user-provided-id 'vm 1' --y", Some("vm 1")),
            ("x --user-provided-id \"vm-2\"", Some("vm-2")),
            ("x --user-provided-id=vm-3;", Some("vm-3")),
            ("@('--user-provided-id', 'vm-4', '--y')", Some("vm-4")),
            ("x --no-prompt", None),
        ];
        for (script, value) in table {
            assert_eq!(
                flag(script, "--user-provided-id").as_deref(),
                value,
                "{script}"
            );
        }
    }

    #[test]
    fn a_plain_script_prints_and_ends_as_it_says() {
        let outcome = plain("set -e\n  echo no space\nexit 3\necho never");
        assert_eq!((outcome.stdout.as_str(), outcome.code), ("no space\n", 3));
        assert_eq!(plain("true").code, 0);
    }

    #[test]
    fn a_script_that_looks_first_says_so_in_its_own_words() {
        let script = "if systemctl is-active --quiet aws-replication-agent; then echo 'already there'; exit 0; fi";
        assert_eq!(
            already_running_text(script).as_deref(),
            Some("already there")
        );
        assert_eq!(already_running_text("echo 'x'"), None);
    }
}
