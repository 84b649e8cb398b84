//! The chats of a run: incoming webhooks of Slack and of Microsoft Teams that the stack's notices go to. It has one secret that
//! names them, so one test at a time has chats.

use std::time::Duration;

use serde_json::{Value, json};

use crate::Stack;
use crate::poll::poll_for;

/// How long a notice may take whose message comes back after its queue's visibility time-out.
const DEADLINE: Duration = Duration::from_mins(5);

/// Both chats.
#[derive(Debug)]
pub struct Chats {
    stack: Stack,
    /// The names of their sinks, Slack's first.
    pub names: [String; 2],
    /// What makes their URLs secret.
    pub token: String,
}

impl Chats {
    /// Has notices go to chats of a run, which answer with these statuses.
    pub async fn open(stack: &Stack, run: &str, statuses: [u16; 2]) -> Self {
        let names = ["slack", "teams"].map(|name| format!("{name}-{run}"));
        let token = format!("chat-webhook-{}", uuid::Uuid::new_v4().simple());
        for (name, status) in names.iter().zip(statuses) {
            // No chat verifies a signature, and the sink would.
            let order = json!({ "name": name, "status": status });
            stack.post("sink", &order).await;
        }
        let simulator = &stack.info.simulator_url;
        let [slack, teams] = names
            .each_ref()
            .map(|name| [format!("{simulator}/sink/{name}?token={token}")]);
        let chats = Self {
            stack: stack.clone(),
            names,
            token,
        };
        chats
            .write(&json!({ "slack": slack, "teams": teams }))
            .await;
        chats
    }

    /// Waits until a chat has got a notice with all of these words.
    pub async fn heard(&self, chat: &str, words: &[&str]) {
        poll_for(DEADLINE, &format!("{words:?} in {chat}"), async || {
            let received = self.stack.simulator("callbacks").await;
            let all = received.as_array().expect("a list of callbacks").iter();
            let ours: Vec<_> = all.filter(|it| it["name"] == chat).collect();
            let found = ours.iter().any(|it| {
                let body = it["body"].to_string();
                words.iter().all(|word| body.contains(word))
            });
            let others = format!("{} other notices", ours.len());
            found.then_some(()).ok_or(others)
        })
        .await;
    }

    /// Nobody else's notices are to go to them.
    pub async fn close(self) {
        self.write(&json!({})).await;
    }

    async fn write(&self, webhooks: &Value) {
        let put = self.stack.secrets.put_secret_value();
        let put = put.secret_id(&self.stack.info.notice_secret_arn);
        let put = put.secret_string(webhooks.to_string()).send().await;
        put.expect("PutSecretValue");
    }
}
