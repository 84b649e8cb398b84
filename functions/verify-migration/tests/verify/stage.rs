//! A launched instance, and what is around it.

use std::sync::{Arc, Mutex};

use aws_sdk_ec2::operation::{describe_instance_status as status, describe_instances as describe};
use aws_sdk_ec2::types as ec2;
use aws_sdk_ssm::operation::{
    describe_instance_information as nodes, get_command_invocation as invocation_of,
    list_command_invocations as invocations, send_command as sending,
};
use aws_sdk_ssm::types as ssm;
use aws_smithy_mocks::{RuleMode, mock_client};
use landfall_domain::record::Launch;
use landfall_domain::{StageError, Status};
use landfall_mgn::Mgn;
use serde_json::{Value, json};
use verify_migration::{Deps, handle};

use crate::mgn::{self, Account, Server};
use crate::receiver::Receiver;
use crate::support::{self, Aws, Calls, answer, invocation, record, refusal, stage_input};

/// What EC2 says of `i-1`.
pub(crate) struct Instance {
    pub(crate) state: Option<&'static str>,
    pub(crate) checks: &'static str,
}

fn instances(instance: &Arc<Mutex<Instance>>, calls: &Calls) -> aws_sdk_ec2::Client {
    use aws_sdk_ec2::Client;
    let describe = answer!(
        calls,
        instance = instance,
        Client::describe_instances,
        describe::DescribeInstancesError,
        "DescribeInstances",
        |_input| {
            let Some(state) = instance.state else {
                let code = "InvalidInstanceID.NotFound";
                return Err(refusal!(describe::DescribeInstancesError, code));
            };
            let instance = ec2::Instance::builder()
                .state(ec2::InstanceState::builder().name(state.into()).build())
                .private_ip_address("127.0.0.1")
                .build();
            let reservation = ec2::Reservation::builder().instances(instance).build();
            Ok(describe::DescribeInstancesOutput::builder()
                .reservations(reservation)
                .build())
        }
    );
    let status = answer!(
        calls,
        instance = instance,
        Client::describe_instance_status,
        status::DescribeInstanceStatusError,
        "DescribeInstanceStatus",
        |_input| {
            let summary = ec2::InstanceStatusSummary::builder()
                .status(instance.checks.into())
                .build();
            let statuses = ec2::InstanceStatus::builder()
                .instance_status(summary.clone())
                .system_status(summary)
                .build();
            Ok(status::DescribeInstanceStatusOutput::builder()
                .instance_statuses(statuses)
                .build())
        }
    );
    mock_client!(aws_sdk_ec2, RuleMode::MatchAny, [&describe, &status])
}

/// A command that was sent.
pub(crate) struct Sent {
    pub(crate) document: String,
    pub(crate) script: String,
    pub(crate) comment: String,
    /// How it ended, and what it printed; `None` while it runs.
    pub(crate) ended: Option<(&'static str, i32, String)>,
}

/// Systems Manager, as far as `i-1` goes.
pub(crate) struct Node {
    pub(crate) ping: Option<&'static str>,
    pub(crate) platform: &'static str,
    pub(crate) sent: Vec<Sent>,
}

fn systems_manager(node: &Arc<Mutex<Node>>, calls: &Calls) -> aws_sdk_ssm::Client {
    use aws_sdk_ssm::Client;
    let describe = answer!(
        calls,
        node = node,
        Client::describe_instance_information,
        nodes::DescribeInstanceInformationError,
        "DescribeInstanceInformation",
        |_input| {
            let known = node.ping.map(|ping| {
                ssm::InstanceInformation::builder()
                    .instance_id("i-1")
                    .ping_status(ping.into())
                    .platform_type(node.platform.into())
                    .build()
            });
            Ok(nodes::DescribeInstanceInformationOutput::builder()
                .set_instance_information_list(Some(known.into_iter().collect()))
                .build())
        }
    );
    let send = answer!(
        calls,
        node = node,
        Client::send_command,
        sending::SendCommandError,
        "SendCommand",
        |input| {
            assert_eq!(input.instance_ids(), ["i-1"]);
            node.sent.push(Sent {
                document: input.document_name().unwrap().to_owned(),
                script: input.parameters().unwrap()["commands"].join("\n"),
                comment: input.comment().unwrap().to_owned(),
                ended: None,
            });
            let id = format!("command-{}", node.sent.len());
            Ok(sending::SendCommandOutput::builder()
                .command(ssm::Command::builder().command_id(id).build())
                .build())
        }
    );
    let list = answer!(
        calls,
        node = node,
        Client::list_command_invocations,
        invocations::ListCommandInvocationsError,
        "ListCommandInvocations",
        |_input| {
            let all = node.sent.iter().enumerate().map(|(nth, sent)| {
                ssm::CommandInvocation::builder()
                    .command_id(format!("command-{}", nth + 1))
                    .instance_id("i-1")
                    .comment(&sent.comment)
                    .build()
            });
            Ok(invocations::ListCommandInvocationsOutput::builder()
                .set_command_invocations(Some(all.collect()))
                .build())
        }
    );
    let get = answer!(
        calls,
        node = node,
        Client::get_command_invocation,
        invocation_of::GetCommandInvocationError,
        "GetCommandInvocation",
        |input| {
            let nth: usize = input.command_id().unwrap()["command-".len()..]
                .parse()
                .unwrap();
            let (status, code, output) = match &node.sent[nth - 1].ended {
                Some(ended) => ended.clone(),
                None => ("InProgress", -1, String::new()),
            };
            Ok(invocation_of::GetCommandInvocationOutput::builder()
                .status(status.into())
                .status_details(status)
                .response_code(code)
                .standard_output_content(output)
                .build())
        }
    );
    mock_client!(
        aws_sdk_ssm,
        RuleMode::MatchAny,
        [&describe, &send, &list, &get]
    )
}

pub(crate) struct Stage {
    pub(crate) aws: Aws,
    pub(crate) account: Arc<Mutex<Account>>,
    pub(crate) instance: Arc<Mutex<Instance>>,
    pub(crate) node: Arc<Mutex<Node>>,
    pub(crate) target: Receiver,
}

impl Stage {
    /// A launched instance that runs, and whose application answers in turn with these statuses.
    pub(crate) async fn new(status: Status, answers: &[u16]) -> Self {
        let stage = Self {
            aws: Aws::default(),
            account: Arc::default(),
            instance: Arc::new(Mutex::new(Instance {
                state: Some("running"),
                checks: "ok",
            })),
            node: Arc::new(Mutex::new(Node {
                ping: Some("Online"),
                platform: "Linux",
                sent: Vec::new(),
            })),
            target: Receiver::start(answers),
        };
        let launch = Launch {
            job_id: "mgnjob-1".into(),
            settings_digest: "settings".into(),
            started_at: support::now().to_string(),
            instance_id: Some("i-1".into()),
            verified_at: None,
        };
        let mut launched = record("mig-1", status);
        launched.done.settings_digest = Some("effective".into());
        launched.done.test = Some(launch.clone());
        launched.done.cutover = Some(launch);
        let port = stage.target.port;
        let url = format!("http://{{privateIp}}:{port}/{{instanceId}}/health");
        launched.request.health_checks = serde_json::from_value(json!([
            { "kind": "http", "url": url, "expectedBody": "ok", "attempts": 3 },
        ]))
        .unwrap();
        stage.aws.put(launched).await;
        let server = Server::of("mig-1", "TESTING");
        stage.account.lock().unwrap().servers.push(server);
        stage
    }

    pub(crate) fn deps(&self) -> Deps {
        Deps {
            accounts: landfall_accounts::Accounts::home_only(),
            journal: self.aws.journal(),
            mgn: Mgn::with_client(mgn::client(&self.account, &self.aws.calls)),
            ec2: instances(&self.instance, &self.aws.calls),
            ssm: systems_manager(&self.node, &self.aws.calls),
            http: reqwest::Client::new(),
        }
    }

    pub(crate) async fn verify(&self, phase: &str, retry_count: u32) -> Result<Value, StageError> {
        let more = json!({ "phase": phase, "retryCount": retry_count });
        let event = stage_input("mig-1", more);
        handle(&self.deps(), event, invocation("request-1")).await
    }

    pub(crate) fn instance(&self, state: Option<&'static str>, checks: &'static str) {
        *self.instance.lock().unwrap() = Instance { state, checks };
    }

    /// The same instance, checked by these.
    pub(crate) async fn checked_by(self, checks: Value) -> Self {
        self.aws
            .change("mig-1", |record| {
                record.request.health_checks = serde_json::from_value(checks).unwrap();
            })
            .await;
        self
    }

    /// Runs it a number of seconds later.
    pub(crate) async fn verify_after(
        &self,
        phase: &str,
        seconds: i64,
    ) -> Result<Value, StageError> {
        let event = stage_input("mig-1", json!({ "phase": phase, "retryCount": 1 }));
        let mut invocation = invocation("request-1");
        invocation.now += jiff::SignedDuration::from_secs(seconds);
        handle(&self.deps(), event, invocation).await
    }
}
