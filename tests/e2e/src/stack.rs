//! The running local stack.

use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_sqs::config::{Credentials, SharedCredentialsProvider};
use aws_sdk_sqs::types::{MessageAttributeValue, SendMessageBatchRequestEntry};
use landfall_common::{StateStore, correlation};
use serde::Deserialize;
use serde_json::Value;

use crate::account::Place;
use crate::raw;

/// How long an answer may take: one that never comes shall be told of, not waited for.
const PATIENCE: Duration = Duration::from_mins(2);
/// What to say when there is nothing to test against.
const NOT_RUNNING: &str = "run `landfall up` first (make e2e does)";

/// The stack's `stack.json`, as far as the tests need it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Info {
    /// Where `MiniStack` listens.
    pub ministack_url: String,
    /// Where the simulator listens.
    pub simulator_url: String,
    /// The Region it plays.
    pub region: String,
    /// The account it plays.
    pub account_id: String,
    /// The table of migrations.
    pub table_name: String,
    /// Where requests go.
    pub request_queue_url: String,
    /// Where refused requests end.
    pub request_dlq_url: String,
    /// The bus on which Landfall reports.
    pub event_bus_name: String,
    /// The workflow.
    pub state_machine_arn: String,
    /// The functions' names, by their folders.
    pub function_names: std::collections::BTreeMap<String, String>,
    /// Where operators order and approvers answer.
    pub operator_api_url: String,
    /// The topic on which stakeholders hear of migrations.
    pub notice_topic_arn: String,
    /// The secret that names the webhooks of chats.
    pub notice_secret_arn: String,
    /// The secret that signs callbacks.
    pub callback_secret: String,
}

/// The stack and a client for each part of it.
#[derive(Clone, Debug)]
pub struct Stack {
    /// Where everything is.
    pub info: Info,
    /// The table of migrations.
    pub store: StateStore,
    /// The same, raw.
    pub dynamodb: aws_sdk_dynamodb::Client,
    /// Queues.
    pub sqs: aws_sdk_sqs::Client,
    /// Workflows.
    pub sfn: aws_sdk_sfn::Client,
    /// Topics.
    pub sns: aws_sdk_sns::Client,
    /// Events.
    pub events: aws_sdk_eventbridge::Client,
    /// Secrets.
    pub secrets: aws_sdk_secretsmanager::Client,
    pub(crate) http: reqwest::Client,
}

impl Stack {
    /// Finds the stack of this checkout, or with `LANDFALL_STACK` the one of that name.
    ///
    /// # Panics
    /// When it is not running.
    pub async fn load() -> Self {
        let folder = match std::env::var("LANDFALL_STACK") {
            Ok(name) if !name.is_empty() => format!(".landfall-{name}"),
            _ => ".landfall".to_owned(),
        };
        let path = crate::root().join(folder).join("stack.json");
        let content = std::fs::read(path).expect(NOT_RUNNING);
        let info: Info = serde_json::from_slice(&content)
            .expect("stack.json is of another version; run `landfall up` again");
        let http = reqwest::Client::builder().timeout(PATIENCE);
        let http = http.build().expect("a client");
        let health = http.get(format!("{}/_sim/health", info.simulator_url));
        health.send().await.expect(NOT_RUNNING);
        let config = aws_config::defaults(BehaviorVersion::latest())
            .region(Region::new(info.region.clone()))
            .endpoint_url(&info.ministack_url)
            .credentials_provider(Credentials::new("test", "test", None, None, "local stack"))
            .timeout_config(TimeoutConfig::builder().operation_timeout(PATIENCE).build())
            .load()
            .await;
        let dynamodb = aws_sdk_dynamodb::Client::new(&config);
        Self {
            store: StateStore::new(dynamodb.clone(), &info.table_name),
            dynamodb,
            sqs: aws_sdk_sqs::Client::new(&config),
            sfn: aws_sdk_sfn::Client::new(&config),
            sns: aws_sdk_sns::Client::new(&config),
            events: aws_sdk_eventbridge::Client::new(&config),
            secrets: aws_sdk_secretsmanager::Client::new(&config),
            http,
            info,
        }
    }

    /// GETs from the simulator's control plane.
    pub async fn simulator(&self, what: &str) -> Value {
        let url = format!("{}/_sim/{what}", self.info.simulator_url);
        let answer = self.http.get(&url).send().await.expect("the simulator");
        answer.json().await.expect("the simulator speaks JSON")
    }

    /// How many calls of an operation of MGN that named a server took effect.
    pub async fn calls(&self, operation: &str, server: &str) -> usize {
        let calls = self
            .simulator(&format!("calls?operation={operation}"))
            .await;
        let all = calls.as_array().expect("a list of calls").iter();
        let names = |call: &&Value| {
            let servers = call["sourceServerIDs"].as_array();
            servers.is_some_and(|servers| servers.iter().any(|it| it == server))
        };
        all.filter(|call| call["ok"] == true).filter(names).count()
    }

    /// Adds to the simulator's world; what there is then, the servers' IDs among the rest.
    pub async fn seed(&self, seed: &Value) -> Value {
        self.post("seed", seed).await
    }

    /// POSTs to the simulator's control plane; its answer.
    pub async fn post(&self, what: &str, body: &Value) -> Value {
        let url = format!("{}/_sim/{what}", self.info.simulator_url);
        let request = self.http.post(&url).json(body);
        let answer = request.send().await.expect("the simulator");
        let (status, text) = (answer.status(), answer.text().await.unwrap_or_default());
        assert!(status.is_success(), "{what} is refused: {text}");
        serde_json::from_str(&text).expect("the simulator speaks JSON")
    }

    /// Calls back to the simulator as Landfall does, but unsigned.
    pub async fn sink(&self, name: &str, body: &Value) {
        let url = format!("{}/sink/{name}", self.info.simulator_url);
        let answer = self.http.post(&url).json(body).send().await;
        // It refuses the signature, and keeps what it got.
        assert_eq!(answer.expect("the simulator").status().as_u16(), 401);
    }

    /// DELETEs on the simulator's control plane.
    pub async fn delete(&self, what: &str) {
        let url = format!("{}/_sim/{what}", self.info.simulator_url);
        let answer = self.http.delete(&url).send().await.expect("the simulator");
        assert!(answer.status().is_success(), "{what} stays");
    }

    /// Puts messages into the request queue, up to ten in one batch; each is a body and its correlation ID.
    pub async fn submit(&self, messages: &[(String, String)]) {
        let entries = messages
            .iter()
            .enumerate()
            .map(|(number, (body, correlation_id))| {
                let attribute = MessageAttributeValue::builder()
                    .data_type("String")
                    .string_value(correlation_id)
                    .build()
                    .expect("an attribute");
                SendMessageBatchRequestEntry::builder()
                    .id(number.to_string())
                    .message_body(body)
                    .message_attributes(correlation::NAME, attribute)
                    .build()
                    .expect("an entry")
            });
        let answer = self
            .sqs
            .send_message_batch()
            .queue_url(&self.info.request_queue_url)
            .set_entries(Some(entries.collect()))
            .send()
            .await
            .expect("the request queue");
        assert!(answer.failed().is_empty(), "{:?}", answer.failed());
    }

    /// What EC2 says of an instance at home: its state's name, or nothing where it does not know the instance.
    pub async fn instance_state(&self, instance_id: &str) -> Option<String> {
        self.instance_state_at(self.home(), instance_id).await
    }

    /// The same in another account and Region.
    pub async fn instance_state_at(&self, place: Place<'_>, instance_id: &str) -> Option<String> {
        let ask = [
            ("Action", "DescribeInstances"),
            ("InstanceId.1", instance_id),
        ];
        let text = raw::ec2(self, place, &ask).await;
        // <instanceState><code>16</code><name>running</name></instanceState>
        let (_, state) = text.split_once("<instanceState>")?;
        let (_, name) = state.split_once("<name>")?;
        name.split_once("</name>").map(|(name, _)| name.to_owned())
    }

    /// Starts an instance that nobody runs anything on, in a Region of the stack's own account; its ID.
    pub async fn run_instance(&self, region: &str) -> String {
        let place = Place {
            region,
            ..self.home()
        };
        let order = [
            ("Action", "RunInstances"),
            ("ImageId", "ami-0c0ffee0c0ffee000"),
            ("InstanceType", "t3.small"),
            ("MinCount", "1"),
            ("MaxCount", "1"),
        ];
        let text = raw::ec2(self, place, &order).await;
        let (_, id) = text.split_once("<instanceId>").expect("an instance");
        let (id, _) = id.split_once("</instanceId>").expect("its ID");
        id.to_owned()
    }

    /// Where the stack's own account is.
    pub fn home(&self) -> Place<'_> {
        Place {
            account: &self.info.account_id,
            region: &self.info.region,
        }
    }

    /// The clients' configuration of another account's root, which `MiniStack` takes its number for.
    pub fn sdk(&self, place: Place<'_>) -> SdkConfig {
        let key = if place.account == self.info.account_id {
            "test"
        } else {
            place.account
        };
        let credentials = Credentials::new(key, "test", None, None, "local stack");
        SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(place.region.to_owned()))
            .endpoint_url(&self.info.ministack_url)
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .build()
    }

    /// The calls of AWS services that the simulator answered, oldest first, of an account and Region.
    pub async fn calls_in(&self, place: Place<'_>) -> Vec<Value> {
        let Place { account, region } = place;
        let path = format!("calls?account={account}&region={region}");
        let calls = self.simulator(&path).await;
        calls.as_array().expect("a list of calls").clone()
    }
}
