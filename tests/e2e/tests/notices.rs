//! What stakeholders hear, on the running stack.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

use std::time::Duration;

use aws_sdk_sqs::types::QueueAttributeName;
use landfall_e2e::chats::Chats;
use landfall_e2e::poll::poll_for;
use landfall_e2e::source::Source;
use landfall_e2e::{Migration, Stack, unique};
use serde_json::{Value, json};

const DEADLINE: Duration = Duration::from_mins(3);

/// A queue that subscribes to the topic, and hears of one migration.
async fn subscribed(stack: &Stack, run: &str, migration_id: &str) -> String {
    let name = format!("notices-{run}");
    let arn = format!(
        "arn:aws:sqs:{}:{}:{name}",
        stack.info.region, stack.info.account_id
    );
    let may_send = json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Effect": "Allow", "Principal": { "Service": "sns.amazonaws.com" }, "Action": "sqs:SendMessage", "Resource": arn,
            "Condition": { "ArnEquals": { "aws:SourceArn": stack.info.notice_topic_arn } },
        }],
    });
    let queue = stack
        .sqs
        .create_queue()
        .queue_name(&name)
        .attributes(QueueAttributeName::Policy, may_send.to_string())
        .send()
        .await;
    let url = queue.expect("CreateQueue").queue_url.expect("its URL");
    // A subscription may filter by any attribute of a notice.
    let policy = json!({ "migrationId": [migration_id], "event": ["MigrationFailed"] });
    stack
        .sns
        .subscribe()
        .topic_arn(&stack.info.notice_topic_arn)
        .protocol("sqs")
        .endpoint(arn)
        .attributes("FilterPolicy", policy.to_string())
        .send()
        .await
        .expect("Subscribe");
    url
}

/// The notice that a queue got.
async fn mail(stack: &Stack, url: &str) -> Value {
    poll_for(DEADLINE, "a notice by SNS", async || {
        let answer = stack.sqs.receive_message().queue_url(url).send().await;
        let messages = answer.expect("ReceiveMessage").messages.unwrap_or_default();
        let body = messages.first().and_then(|message| message.body.as_deref());
        let body = body.ok_or("no message")?;
        serde_json::from_str(body).map_err(|error| format!("{error}: {body}"))
    })
    .await
}

/// What a chat got of a migration.
async fn chat(stack: &Stack, name: &str, migration_id: &str) -> Value {
    poll_for(DEADLINE, name, async || {
        let received = stack.simulator("callbacks").await;
        let all = received.as_array().expect("a list of callbacks").iter();
        let mut ours = all.filter(|it| it["name"] == name);
        let found = ours.find(|it| it["body"].to_string().contains(migration_id));
        found.cloned().ok_or_else(|| "nothing".to_owned())
    })
    .await
}

#[tokio::test]
async fn a_failed_migration_is_told_by_mail_in_slack_and_in_teams() {
    let (stack, run) = (Stack::load().await, unique());
    let source = Source::new(&stack, &run, "told").request("subnetId", "subnet-00000000");
    let id = source.id();
    let url = subscribed(&stack, &run, id).await;
    let chats = Chats::open(&stack, &run, [200, 200]).await;
    stack.submit(&[source.message()]).await;
    let record = Migration::new(&stack, id).ended().await;
    let told = mail(&stack, &url).await;
    assert_eq!(
        told["Subject"],
        format!("Landfall: [problem] {id}: the migration failed and left nothing behind")
    );
    let text = told["Message"].as_str().expect("a text");
    for part in [
        "SUBNET_NOT_FOUND",
        "landfall status ",
        &record.correlation_id,
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    assert_eq!(
        told["MessageAttributes"]["event"]["Value"],
        "MigrationFailed"
    );
    let card = chat(&stack, &chats.names[1], id).await;
    assert_eq!(
        card["body"]["attachments"][0]["content"]["type"],
        "AdaptiveCard"
    );
    let line = chat(&stack, &chats.names[0], id).await;
    assert!(line["body"]["text"].is_string(), "{line}");

    chats.close().await;
    let gone = stack.sqs.delete_queue().queue_url(&url).send().await;
    gone.expect("DeleteQueue");
}
