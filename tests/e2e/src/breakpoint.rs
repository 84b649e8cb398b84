//! A copy of the stack's workflow that stops before one of its states, for a migration that a test wants to meet there.

use aws_sdk_sfn::types::StateMachineType;
use jiff::Timestamp;
use landfall_common::state::Change;
use landfall_domain::{EventType, MigrationRecord, MigrationRequest, Status};
use serde_json::{Value, json};

use crate::source::Source;
use crate::{Migration, Stack, poll};

/// The state that stops.
const STOP: &str = "Stop";

/// The copy, and the queue in which whoever has come to the state leaves the token that lets it go on.
#[derive(Debug)]
pub struct Breakpoint {
    stack: Stack,
    name: String,
    machine: String,
    queue: String,
}

impl Breakpoint {
    /// A copy that stops before a state; `name` is for the copy and the queue, and no other test's.
    pub async fn before(stack: &Stack, name: &str, state: &str) -> Self {
        let queue = stack.sqs.create_queue().queue_name(name).send().await;
        let queue = queue.expect("CreateQueue").queue_url.expect("a queue URL");
        let ask = stack.sfn.describe_state_machine();
        let ask = ask.state_machine_arn(&stack.info.state_machine_arn);
        let original = ask.send().await.expect("DescribeStateMachine");
        let definition = serde_json::from_str(original.definition()).expect("a definition in JSON");
        let create = stack
            .sfn
            .create_state_machine()
            .name(name)
            .role_arn(original.role_arn())
            .r#type(StateMachineType::Standard)
            .definition(stopping(definition, state, &queue).to_string());
        let machine = create.send().await.expect("CreateStateMachine");
        let copy = Self {
            stack: stack.clone(),
            name: name.to_owned(),
            machine: machine.state_machine_arn,
            queue,
        };
        copy.let_orders_look().await;
        copy
    }

    /// Lets the function that takes orders ask what became of the copy's executions, as it may of the stack's own.
    async fn let_orders_look(&self) {
        let executions = self.machine.replace(":stateMachine:", ":execution:");
        let policy = json!({"Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Action": "states:DescribeExecution", "Resource": format!("{executions}:*"),
        }]});
        let put = self.iam().put_role_policy().role_name(self.role());
        let put = put.policy_name(&self.name);
        let put = put.policy_document(policy.to_string()).send().await;
        put.expect("PutRolePolicy");
    }

    fn iam(&self) -> aws_sdk_iam::Client {
        aws_sdk_iam::Client::new(&self.stack.sdk(self.stack.home()))
    }

    /// A function's role has its name.
    fn role(&self) -> &str {
        &self.stack.info.function_names["control"]
    }

    /// Records a migration as `ingress` does, and starts it here: nobody else is told of it.
    pub async fn begin(&self, source: &Source) -> Migration {
        let request = source.request.clone();
        let request: MigrationRequest = serde_json::from_value(request).expect("a request");
        let digest = request.digest().expect("its digest");
        let (_, correlation_id) = source.message();
        let now = Timestamp::now();
        let record =
            MigrationRecord::new(request, digest, correlation_id.as_str(), 1, now.to_string());
        let change = Change::to(Status::Requested, EventType::MigrationRequested);
        let created = self.stack.store.create(record, &change, now).await;
        let (_, detail) = created.expect("a record");
        let event = json!({"detail-type": EventType::MigrationRequested, "detail": detail});
        let start = self.stack.sfn.start_execution();
        let start = start.state_machine_arn(&self.machine);
        let started = start.input(event.to_string()).send().await;
        started.expect("StartExecution");
        Migration::new(&self.stack, source.id())
    }

    /// Waits until somebody has come to the state; the token that lets it go on.
    pub async fn met(&self) -> String {
        poll("the state before which it stops", async || {
            let ask = self.stack.sqs.receive_message().queue_url(&self.queue);
            let answer = ask.send().await.expect("ReceiveMessage");
            let token = answer.messages().iter().find_map(|it| it.body.clone());
            token.ok_or_else(|| "nobody has come".to_owned())
        })
        .await
    }

    /// Lets whoever has stopped go on.
    pub async fn let_go(&self, token: &str) {
        let answer = self.stack.sfn.send_task_success();
        let sent = answer.task_token(token).output("{}").send().await;
        sent.expect("SendTaskSuccess");
    }

    /// Removes the copy, whose execution has ended, and the queue.
    pub async fn close(self) {
        let gone = self.iam().delete_role_policy().role_name(self.role());
        let gone = gone.policy_name(&self.name).send().await;
        gone.expect("DeleteRolePolicy");
        let gone = self.stack.sqs.delete_queue().queue_url(&self.queue);
        gone.send().await.expect("DeleteQueue");
        let gone = self.stack.sfn.delete_state_machine();
        let gone = gone.state_machine_arn(&self.machine).send().await;
        gone.expect("DeleteStateMachine");
    }
}

/// The definition in which every road into a state leads past the stop.
fn stopping(mut definition: Value, state: &str, queue: &str) -> Value {
    let states = definition["States"].as_object_mut().expect("states");
    assert!(states.contains_key(state), "{state} is no state");
    for from in states.values_mut() {
        redirect(from, state);
    }
    states.insert(
        STOP.to_owned(),
        json!({
            "Type": "Task", "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken",
            "Arguments": {"QueueUrl": queue, "MessageBody": "{% $states.context.Task.Token %}"},
            "Output": "{% $states.input %}", "Next": state,
        }),
    );
    if definition["StartAt"] == state {
        definition["StartAt"] = STOP.into();
    }
    definition
}

fn redirect(from: &mut Value, state: &str) {
    let members = ["Next", "Default"];
    for member in members {
        if from[member] == state {
            from[member] = STOP.into();
        }
    }
    for rules in ["Choices", "Catch"] {
        let rules = from.get_mut(rules).and_then(Value::as_array_mut);
        for rule in rules.into_iter().flatten() {
            redirect(rule, state);
        }
    }
}
