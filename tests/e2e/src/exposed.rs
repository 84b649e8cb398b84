//! Everything that somebody with read access to a deployment may see, and what must not stand in it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use regex::Regex;
use serde_json::{Value, json};

use crate::listener::Listener;
use crate::{Migration, Stack, queue, raw};

/// `FilterLogEvents` gives this many at most, and the emulator tells of no next page.
const MOST_LINES: usize = 10_000;
/// Shorter ones, such as `test`, would be found everywhere.
const SHORTEST: usize = 12;

/// A text, and where it can be read.
#[derive(Clone, Debug)]
pub struct Exposed {
    /// Where.
    pub place: String,
    /// What can be read there.
    pub text: String,
}

/// What must not be read.
#[derive(Clone, Debug)]
pub struct Secret {
    /// What it is; the value itself is never shown.
    pub what: String,
    pattern: Regex,
}

impl Secret {
    /// A known value. One too short to tell is none.
    pub fn value(what: &str, value: &str) -> Option<Self> {
        (value.len() >= SHORTEST).then(|| Self::pattern(what, &regex::escape(value)))
    }

    /// Anything of a form.
    pub fn pattern(what: &str, pattern: &str) -> Self {
        Self {
            what: what.to_owned(),
            pattern: Regex::new(pattern).expect("a pattern"),
        }
    }
}

/// What STS hands out: nobody knows it beforehand, but it has a form. `MiniStack`'s tokens begin as AWS's do.
pub fn session_keys() -> [Secret; 2] {
    [
        Secret::pattern("an access key of a session", r"\bASIA[A-Z0-9]{16}\b"),
        Secret::pattern("a session token", r"\b(FwoGZX|IQoJb3)[A-Za-z0-9+/=]{64,}"),
    ]
}

/// What the simulated Azure, vCenter and Cloud Migration Factory have handed out to whoever signed in.
pub async fn access_tokens(stack: &Stack) -> Vec<Secret> {
    let tokens = stack.simulator("tokens").await;
    let tokens = tokens.as_array().expect("a list of tokens");
    let secrets = tokens.iter().filter_map(|it| {
        let (of, token) = (it["of"].as_str()?, it["token"].as_str()?);
        Secret::value(&format!("an access token of {of}"), token)
    });
    secrets.collect()
}

/// Every secret that Secrets Manager holds, by the members that hide something.
pub async fn kept_secrets(stack: &Stack) -> Vec<Secret> {
    let mut pages = stack.secrets.list_secrets().into_paginator().send();
    let mut secrets = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.expect("ListSecrets");
        for name in page.secret_list().iter().filter_map(|it| it.name()) {
            let answer = stack.secrets.get_secret_value().secret_id(name);
            let answer = answer.send().await;
            // One that nobody has filled has no value.
            let Some(value) = answer.ok().and_then(|it| it.secret_string) else {
                continue;
            };
            let parsed = serde_json::from_str(&value).unwrap_or(Value::String(value));
            secrets.extend(basic(name, &parsed));
            secrets.extend(hidden(name, &parsed));
        }
    }
    secrets
}

/// The members of a secret that hide something; a plain one hides all of itself.
fn hidden(name: &str, value: &Value) -> Vec<Secret> {
    match value {
        Value::String(text) => {
            // The key alone would do as well as the whole of `whsec_…`.
            let text = text.strip_prefix("whsec_").unwrap_or(text);
            Secret::value(name, text).into_iter().collect()
        }
        Value::Array(items) => items.iter().flat_map(|it| hidden(name, it)).collect(),
        Value::Object(members) => members
            .iter()
            .filter(|(key, _)| {
                let key = key.to_lowercase();
                // Of a chat's webhook the URL is all that keeps others from writing there.
                ["secret", "password", "token", "key", "slack", "teams"]
                    .iter()
                    .any(|it| key.contains(it))
            })
            .flat_map(|(key, value)| hidden(&format!("{key} of {name}"), value))
            .collect(),
        _ => Vec::new(),
    }
}

/// A user name and a password as HTTP's basic authentication sends them.
fn basic(name: &str, value: &Value) -> Option<Secret> {
    let (user, password) = (value["username"].as_str()?, value["password"].as_str()?);
    let sent = STANDARD.encode(format!("{user}:{password}"));
    Secret::value(&format!("the basic credentials of {name}"), &sent)
}

/// Where which secret can be read.
pub fn found(exposed: &[Exposed], secrets: &[Secret]) -> Vec<String> {
    exposed
        .iter()
        .flat_map(|Exposed { place, text }| {
            let here = secrets.iter().filter(|it| it.pattern.is_match(text));
            here.map(move |secret| format!("{} in {place}", secret.what))
        })
        .collect()
}

/// Everything that can be read of some migrations: what is stored, logged, said and shown since an instant.
pub async fn everything(
    stack: &Stack,
    since: Timestamp,
    migrations: &[&Migration],
    events: &[Value],
) -> Vec<Exposed> {
    let mut all = vec![
        table(stack).await,
        functions(stack).await,
        one("the events", &json!(events)),
        simulated(stack, "callbacks").await,
        // With the commands of Systems Manager, their parameters and their output.
        simulated(stack, "state").await,
        simulated(stack, "calls").await,
    ];
    all.extend(logs(stack, since).await);
    all.extend(dead_letters(stack).await);
    for migration in migrations {
        all.push(execution(stack, migration).await);
    }
    all
}

fn one(place: &str, content: &Value) -> Exposed {
    Exposed {
        place: place.to_owned(),
        text: content.to_string(),
    }
}

async fn simulated(stack: &Stack, what: &str) -> Exposed {
    one(
        &format!("the simulator's {what}"),
        &stack.simulator(what).await,
    )
}

async fn table(stack: &Stack) -> Exposed {
    let mut items = stack
        .dynamodb
        .scan()
        .table_name(&stack.info.table_name)
        .into_paginator()
        .items()
        .send();
    let mut text = String::new();
    while let Some(item) = items.next().await {
        text.extend([format!("{:?}", item.expect("Scan")), "\n".to_owned()]);
    }
    Exposed {
        place: "the table".to_owned(),
        text,
    }
}

/// The functions' configurations, their environments among the rest.
async fn functions(stack: &Stack) -> Exposed {
    Exposed {
        place: "the functions' configurations".to_owned(),
        text: raw::get(stack, "lambda", "/2015-03-31/functions/").await,
    }
}

/// Every log of a function or of the workflow.
pub async fn logs(stack: &Stack, since: Timestamp) -> Vec<Exposed> {
    let mut logs = Vec::new();
    let groups = json!({"logGroupNamePrefix": "/aws/"});
    let groups = raw::json(stack, "logs", "Logs_20140328.DescribeLogGroups", &groups).await;
    for group in groups["logGroups"].as_array().expect("log groups") {
        let name = group["logGroupName"].as_str().expect("a name");
        let ask = json!({
            "logGroupName": name, "startTime": since.as_millisecond(), "limit": MOST_LINES,
        });
        let answer = raw::json(stack, "logs", "Logs_20140328.FilterLogEvents", &ask).await;
        let lines = answer["events"].as_array().expect("log events");
        assert!(
            lines.len() < MOST_LINES,
            "{name} has more lines than can be read"
        );
        let text = lines
            .iter()
            .filter_map(|line| line["message"].as_str())
            .collect::<Vec<_>>()
            .join("\n");
        logs.push(Exposed {
            place: format!("the log {name}"),
            text,
        });
    }
    logs
}

/// The queues in which messages strand.
async fn dead_letters(stack: &Stack) -> Vec<Exposed> {
    let list = stack.sqs.list_queues().queue_name_prefix("landfall-");
    let answer = list.send().await.expect("ListQueues");
    let mut letters = Vec::new();
    for url in answer.queue_urls() {
        let name = url.rsplit('/').next().unwrap_or(url);
        if !["-dlq", "-failed", "-undelivered"]
            .iter()
            .any(|end| name.ends_with(end))
        {
            continue;
        }
        let messages = queue::peek(stack, url).await;
        letters.push(Exposed {
            place: format!("the queue {name}"),
            text: format!("{messages:?}"),
        });
    }
    letters
}

/// What the workflow's execution shows. By hand: the SDK hides it from a `Debug`.
async fn execution(stack: &Stack, migration: &Migration) -> Exposed {
    let record = migration.record().await.expect("a record");
    let arn = record.execution_arn.expect("an execution claimed it");
    let about = json!({"executionArn": arn});
    let target = |operation: &str| format!("AWSStepFunctions.{operation}");
    let mut text = raw::json(stack, "states", &target("DescribeExecution"), &about)
        .await
        .to_string();
    let mut ask = json!({"executionArn": arn, "maxResults": 1_000});
    loop {
        let page = raw::json(stack, "states", &target("GetExecutionHistory"), &ask).await;
        text.push_str(&page["events"].to_string());
        if page["nextToken"].is_null() {
            break;
        }
        ask["nextToken"] = page["nextToken"].clone();
    }
    Exposed {
        place: format!("the execution of {}", migration.key),
        text,
    }
}

/// Fails unless every place of a kind that a migration must have left a trace in has one: what is not read cannot be
/// found.
///
/// # Panics
/// With the first place that says nothing of the migration.
pub fn assert_read(exposed: &[Exposed], migration: &Migration, places: &[&str]) {
    for place in places {
        let mut here = exposed.iter().filter(|it| it.place.starts_with(place));
        assert!(
            here.any(|it| it.text.contains(&migration.key.migration_id)),
            "{place} says nothing of {}",
            migration.key
        );
    }
}

/// Listens to everything that Landfall says.
pub async fn listen(stack: &Stack, run: &str) -> Listener {
    let pattern = json!({"source": ["landfall"]});
    Listener::start(stack, &format!("e2e-{run}-all"), &pattern).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exposed(text: &str) -> [Exposed; 1] {
        [Exposed {
            place: "here".to_owned(),
            text: text.to_owned(),
        }]
    }

    #[test]
    fn what_hides_something_is_looked_for_and_names_are_not() {
        let secret = json!({
            "tenantId": "0123456789abcdef", "clientSecret": "s3cr3t-0123456789", "userName": "administrator-one",
            "password": "p4ssw0rd-0123456789",
        });
        let secrets = hidden("landfall/source/a", &secret);
        let what: Vec<_> = secrets.iter().map(|it| it.what.as_str()).collect();
        assert_eq!(
            what,
            [
                "clientSecret of landfall/source/a",
                "password of landfall/source/a"
            ]
        );
        let shown = found(&exposed("x s3cr3t-0123456789 y"), &secrets);
        assert_eq!(shown, ["clientSecret of landfall/source/a in here"]);
        assert!(found(&exposed("0123456789abcdef administrator-one"), &secrets).is_empty());
        let signing = hidden("signing", &json!("whsec_c7HOivYbQI+r6Ey77jg4byKEuOfa"));
        assert_eq!(
            found(&exposed("c7HOivYbQI+r6Ey77jg4byKEuOfa"), &signing).len(),
            1
        );
        let url = "https://hooks.slack.com/services/T0/B0/s3cr3t-0123456789";
        let chats = hidden("chats", &json!({"slack": [url], "teams": []}));
        let shown = found(&exposed(&format!("{url} answered 500")), &chats);
        assert_eq!(shown, ["slack of chats in here"]);
    }

    #[test]
    fn session_keys_are_known_by_their_form() {
        let keys = session_keys();
        let shown = |text: &str| found(&exposed(text), &keys).len();
        assert_eq!(shown("key ASIA0123456789ABCDEF."), 1);
        assert_eq!(shown(&format!("FwoGZX{}", "0123456789abcdef".repeat(8))), 1);
        assert_eq!(
            shown("ASIA is a continent, and XASIA0123456789ABCDEF is no key"),
            0
        );
    }
}
