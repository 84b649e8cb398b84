//! The three functions and what they work with: the simulator for MGN and EC2, memory for the rest of AWS.

use std::sync::{Arc, Mutex};

use aws_config::{BehaviorVersion, SdkConfig};
use jiff::Timestamp;
use landfall_accounts::Accounts;
use landfall_common::{Env, Invocation};
use landfall_domain::StageError;
use landfall_mgn::Mgn;
use landfall_quotas::Quotas;
use landfall_simulator::Simulator;
use serde_json::{Value, json};

use crate::clients::{self, ACCOUNT, REGION};
use crate::gate;
use crate::queue::{self, Queue};
use crate::support::Aws;
use crate::tasks::{self, Tasks};

/// The functions as they are deployed, and their memory.
pub(crate) struct Functions {
    pub(crate) aws: Aws,
    pub(crate) tasks: Arc<Mutex<Tasks>>,
    pub(crate) queue: Arc<Mutex<Queue>>,
    pub(crate) mgn: aws_sdk_mgn::Client,
    trigger: trigger_migration::Deps,
    watch: watch_migrations::Deps,
    verify: verify_migration::Deps,
}

thread_local! {
    static VERIFY: verify_migration::Deps = {
        let nowhere = SdkConfig::builder().behavior_version(BehaviorVersion::v2026_01_12()).build();
        verify_migration::Deps::load(&nowhere, &mut Env::new(|_| Some("landfall".to_owned())))
    };
}

/// Which function.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Function {
    Trigger,
    Watch,
    Verify,
}

impl Functions {
    pub(crate) fn new(simulator: &Arc<Simulator>, schedule: &str) -> Self {
        let config = clients::sdk_config(simulator);
        let (aws, tasks, queue) = (Aws::default(), Arc::default(), Arc::default());
        aws.calls.fail_as(gate::pass);
        let client = clients::mgn(&config, schedule);
        let mgn = Mgn::with_client(client.clone());
        let sfn = tasks::sfn(&tasks, &aws.calls);
        let journal = aws.journal();
        // Loaded, and then what must not leave this process replaced.
        // Every name is landfall; there is no freeze calendar, and nobody is asked.
        let env = || {
            Env::new(|name| {
                let absent = ["LANDFALL_FREEZE_PARAMETER", "LANDFALL_APPROVALS"];
                (!absent.contains(&name)).then(|| "landfall".to_owned())
            })
        };
        let mut trigger = trigger_migration::Deps::load(&config, &mut env());
        trigger.journal = journal.clone();
        trigger.accounts = Accounts::home_only();
        trigger.mgn = mgn.clone();
        trigger.quotas = Quotas::with_client(clients::quotas(&config, schedule));
        trigger.sfn = sfn.clone();
        trigger.sqs = queue::sqs(&queue, &aws.calls);
        let mut watch = watch_migrations::Deps::load(&config, &mut env());
        watch.journal = journal.clone();
        watch.accounts = Accounts::home_only();
        watch.mgn = mgn.clone();
        watch.sfn = sfn;
        // Its HTTP client reads the machine's certificates, which takes longer than a small schedule.
        let mut verify = VERIFY.with(Clone::clone);
        verify.journal = journal;
        verify.accounts = Accounts::home_only();
        verify.mgn = mgn;
        verify.ec2 = clients::ec2(&config, schedule);
        Self {
            aws,
            tasks,
            queue,
            mgn: client,
            trigger,
            watch,
            verify,
        }
    }

    pub(crate) async fn invoke(
        &self,
        function: Function,
        event: Value,
        now: Timestamp,
        request_id: String,
    ) -> Result<Value, StageError> {
        let invocation = Invocation {
            request_id,
            function_arn: format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:landfall"),
            now,
        };
        match function {
            Function::Trigger => {
                Box::pin(trigger_migration::handle(&self.trigger, event, invocation)).await
            }
            Function::Watch => {
                Box::pin(watch_migrations::handle(&self.watch, event, invocation)).await
            }
            Function::Verify => {
                Box::pin(verify_migration::handle(&self.verify, event, invocation)).await
            }
        }
    }
}

/// An SQS event of messages: each its number, its body, and how often it has been received.
pub(crate) fn sqs_event<'a>(messages: impl Iterator<Item = (u64, &'a str, u32)>) -> Value {
    let records = messages.map(|(number, body, receives)| {
        json!({
            "messageId": format!("message-{number}"), "receiptHandle": format!("receipt-{number}"), "body": body,
            "attributes": {"ApproximateReceiveCount": receives.to_string()}, "messageAttributes": {},
            "eventSource": "aws:sqs", "awsRegion": REGION,
            "eventSourceARN": format!("arn:aws:sqs:{REGION}:{ACCOUNT}:landfall"),
        })
    });
    json!({ "Records": records.collect::<Vec<_>>() })
}
