//! Deploying to the local stack with the Terraform code that deploys to AWS.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::Value;

use super::StackError;
use super::command::{local_aws, output, spawn_error};
use super::console::Console;
use super::layout::{Layout, create_dir};
use super::secrets;

/// Terraform waits far more than it works, so all that can wait shall wait at once.
const PARALLELISM: &str = "-parallelism=30";
/// How often progress is worth a line.
const REPORT: Duration = Duration::from_secs(5);

/// Terraform's outputs by name.
pub(super) type Outputs = BTreeMap<String, Value>;

/// What to deploy, and to where.
pub(super) struct Deployment {
    pub(super) terraform: OsString,
    pub(super) mirror: Option<PathBuf>,
    pub(super) artifacts: PathBuf,
    pub(super) ministack_url: String,
    pub(super) simulator_url: String,
    pub(super) callback_secret: String,
}

/// Fetches the provider and sets the state's place.
pub(super) fn init(
    layout: &Layout,
    terraform: &OsStr,
    mirror: Option<&Path>,
) -> Result<(), StackError> {
    create_dir(&layout.terraform_state())?;
    let state = layout.terraform_state().join("terraform.tfstate");
    let mut backend = OsString::from("-backend-config=path=");
    backend.push(state);
    let mut command = base(layout, terraform, mirror);
    command
        .args(["init", "-no-color", "-reconfigure"])
        .arg(backend);
    output(
        &mut command,
        "terraform init (without a registry, name a folder that holds registry.terraform.io/ in TF_PLUGIN_MIRROR)",
    )?;
    Ok(())
}

/// Applies the configuration and returns its outputs.
pub(super) fn apply(
    layout: &Layout,
    deployment: &Deployment,
    console: Console,
) -> Result<Outputs, StackError> {
    let path = layout.log("terraform");
    create_dir(path.parent().unwrap_or(&path))?;
    let mut log = File::create(&path).map_err(StackError::file("create", &path))?;
    let errors = log.try_clone().map_err(StackError::file("open", &path))?;

    let mut command = base(layout, &deployment.terraform, deployment.mirror.as_deref());
    local_aws(&mut command, &deployment.ministack_url)
        .args([
            "apply",
            "-json",
            "-auto-approve",
            PARALLELISM,
            "-var-file=environments/local.tfvars",
        ])
        .envs(variables(deployment))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(errors);
    let mut child = command.spawn().map_err(spawn_error(&command))?;
    let mut progress = Progress::new(console);
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).lines() {
            let line = line.map_err(StackError::file("read the output of", "terraform apply"))?;
            writeln!(log, "{line}").map_err(StackError::file("write", &path))?;
            progress.read(&line);
        }
    }
    let status = child.wait().map_err(spawn_error(&command))?;
    if !status.success() {
        return Err(StackError::Command {
            what: "terraform apply".to_owned(),
            status: status.to_string(),
            detail: format!(
                "{}\nmore in {}",
                progress.problems.join("\n"),
                path.display()
            ),
        });
    }
    progress.finish();
    Ok(progress.outputs)
}

fn base(layout: &Layout, terraform: &OsStr, mirror: Option<&Path>) -> Command {
    let mut command = Command::new(terraform);
    command
        .current_dir(layout.terraform_module())
        .env("TF_DATA_DIR", layout.terraform_state().join("data"))
        .env("TF_IN_AUTOMATION", "1")
        .env("TF_INPUT", "0")
        .env("CHECKPOINT_DISABLE", "1");
    // A state of another deployment, or arguments meant for it, must not reach this one.
    for name in [
        "TF_WORKSPACE",
        "TF_CLI_ARGS",
        "TF_CLI_ARGS_init",
        "TF_CLI_ARGS_apply",
    ] {
        command.env_remove(name);
    }
    if let Some(path) = mirror {
        command.env("TF_CLI_CONFIG_FILE", path);
    }
    command
}

/// What `environments/local.tfvars` cannot know.
fn variables(deployment: &Deployment) -> Vec<(&'static str, OsString)> {
    let simulator = &deployment.simulator_url;
    let endpoints = ["MGN", "SSM", "EC2", "IAM", "ROUTE_53", "SERVICE_QUOTAS"].map(|service| {
        (
            format!("AWS_ENDPOINT_URL_{service}"),
            Value::from(simulator.as_str()),
        )
    });
    vec![
        (
            "TF_VAR_artifacts_dir",
            deployment.artifacts.clone().into_os_string(),
        ),
        ("TF_VAR_architecture", architecture().into()),
        (
            "TF_VAR_extra_environment",
            Value::Object(endpoints.into_iter().collect())
                .to_string()
                .into(),
        ),
        (
            "TF_VAR_callback_allow",
            serde_json::json!([simulator]).to_string().into(),
        ),
        (
            "TF_VAR_notice_allow",
            serde_json::json!([simulator]).to_string().into(),
        ),
        (
            "TF_VAR_source_api_allow",
            serde_json::json!([simulator]).to_string().into(),
        ),
        (
            "TF_VAR_callback_signing_secret",
            deployment.callback_secret.clone().into(),
        ),
        ("TF_VAR_cmf_url", format!("{simulator}/cmf").into()),
        ("TF_VAR_cmdb_url", format!("{simulator}/cmdb").into()),
        ("TF_VAR_cmdb_secret_id", secrets::CMDB.into()),
    ]
}

/// This machine's instruction set by Lambda's name.
const fn architecture() -> &'static str {
    if cfg!(target_arch = "aarch64") {
        "arm64"
    } else {
        "x86_64"
    }
}

/// One line of `terraform apply -json`, as far as we read it.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Event {
    ChangeSummary {
        changes: Changes,
    },
    ApplyComplete {
        hook: Hook,
    },
    Diagnostic {
        diagnostic: Diagnostic,
    },
    Outputs {
        outputs: BTreeMap<String, Output>,
    },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Hook {
    action: String,
}

#[derive(Deserialize)]
struct Changes {
    add: usize,
    change: usize,
    remove: usize,
    operation: String,
}

#[derive(Deserialize)]
struct Diagnostic {
    severity: String,
    summary: String,
    #[serde(default)]
    detail: String,
    address: Option<String>,
}

#[derive(Deserialize)]
struct Output {
    #[serde(default)]
    value: Value,
}

/// Follows an apply by its messages.
struct Progress {
    console: Console,
    began: Instant,
    reported: Instant,
    total: usize,
    done: usize,
    problems: Vec<String>,
    outputs: Outputs,
}

impl Progress {
    fn new(console: Console) -> Self {
        let now = Instant::now();
        Self {
            console,
            began: now,
            reported: now,
            total: 0,
            done: 0,
            problems: Vec::new(),
            outputs: Outputs::new(),
        }
    }

    fn read(&mut self, line: &str) {
        match serde_json::from_str(line) {
            Ok(Event::ChangeSummary { changes }) if changes.operation == "plan" => {
                self.total = changes.add + changes.change + changes.remove;
                self.console.say(&format!(
                    "terraform: {} to create, {} to change, {} to remove",
                    changes.add, changes.change, changes.remove
                ));
            }
            // A data source that is read is no change.
            Ok(Event::ApplyComplete { hook }) if hook.action != "read" => self.done += 1,
            Ok(Event::Diagnostic { diagnostic }) if diagnostic.severity == "error" => {
                self.problems.push(diagnostic.to_string());
            }
            Ok(Event::Outputs { outputs }) => {
                self.outputs = outputs
                    .into_iter()
                    .map(|(name, output)| (name, output.value))
                    .collect();
            }
            _ => {}
        }
        if self.total > self.done && self.reported.elapsed() >= REPORT {
            self.reported = Instant::now();
            self.console.say(&format!(
                "terraform: {} of {} resources",
                self.done, self.total
            ));
        }
    }

    fn finish(&self) {
        self.console.done(
            &format!("terraform: deployed, {} resources changed", self.done),
            self.began,
        );
    }
}

impl std::fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(address) = &self.address {
            write!(f, "{address}: ")?;
        }
        write!(f, "{}", self.summary)?;
        if !self.detail.is_empty() {
            write!(f, ": {}", self.detail.trim())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_counts_collects_outputs_and_keeps_errors() {
        let mut progress = Progress::new(Console::new(true));
        for line in [
            r#"{"@level":"info","type":"version","terraform":"1.11.4"}"#,
            r#"{"type":"planned_change","change":{"action":"create"}}"#,
            r#"{"type":"change_summary","changes":{"add":2,"change":1,"import":0,"remove":0,"operation":"plan"}}"#,
            r#"{"type":"apply_complete","hook":{"resource":{"addr":"data.d"},"action":"read","elapsed_seconds":0}}"#,
            r#"{"type":"apply_complete","hook":{"resource":{"addr":"a.b"},"action":"create","elapsed_seconds":0}}"#,
            r#"{"type":"diagnostic","diagnostic":{"severity":"warning","summary":"old","detail":""}}"#,
            r#"{"type":"diagnostic","diagnostic":{"severity":"error","summary":"no","detail":"why","address":"a.c"}}"#,
            r#"{"type":"change_summary","changes":{"add":1,"change":0,"import":0,"remove":0,"operation":"apply"}}"#,
            r#"{"type":"outputs","outputs":{"table_name":{"sensitive":false,"type":"string","value":"t"}}}"#,
            "not JSON",
        ] {
            progress.read(line);
        }
        assert_eq!((progress.total, progress.done), (3, 1));
        assert_eq!(progress.problems, ["a.c: no: why"]);
        assert_eq!(progress.outputs["table_name"], "t");
    }

    #[test]
    fn the_functions_reach_the_simulator_and_may_call_back_to_it() {
        let variables: BTreeMap<_, _> = variables(&Deployment {
            terraform: "terraform".into(),
            mirror: None,
            artifacts: "/artifacts".into(),
            ministack_url: "http://127.0.0.1:4566".to_owned(),
            simulator_url: "http://127.0.0.1:4570".to_owned(),
            callback_secret: "whsec_c2VjcmV0".to_owned(),
        })
        .into_iter()
        .collect();
        let environment: BTreeMap<String, String> =
            serde_json::from_str(variables["TF_VAR_extra_environment"].to_str().unwrap()).unwrap();
        assert_eq!(
            environment.keys().collect::<Vec<_>>(),
            [
                "AWS_ENDPOINT_URL_EC2",
                "AWS_ENDPOINT_URL_IAM",
                "AWS_ENDPOINT_URL_MGN",
                "AWS_ENDPOINT_URL_ROUTE_53",
                "AWS_ENDPOINT_URL_SERVICE_QUOTAS",
                "AWS_ENDPOINT_URL_SSM"
            ]
        );
        for name in [
            "TF_VAR_callback_allow",
            "TF_VAR_notice_allow",
            "TF_VAR_source_api_allow",
        ] {
            assert_eq!(variables[name], r#"["http://127.0.0.1:4570"]"#, "{name}");
        }
    }
}
