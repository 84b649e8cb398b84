//! No secret can be read by anybody who may read what Landfall stores, logs, says and shows.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use jiff::Timestamp;
use landfall_domain::gate::Gate;
use landfall_domain::{MigrationRecord, Status};
use landfall_e2e::account::{self, EXTERNAL_ID};
use landfall_e2e::chats::Chats;
use landfall_e2e::deployed::{self, Before};
use landfall_e2e::exposed::{self, Secret};
use landfall_e2e::people::Person;
use landfall_e2e::source::{Source, seed};
use landfall_e2e::{Migration, Stack, poll, raw, unique};
use serde_json::{Value, json};

const DEADLINE: Duration = Duration::from_mins(4);

/// The functions that work for a migration that goes all the way or is undone, and for the people around it.
const FUNCTIONS: [&str; 12] = [
    "approvals",
    "callback",
    "control",
    "finalize-cutover",
    "ingress",
    "notify",
    "prepare-source",
    "rollback",
    "trigger-migration",
    "validate-input",
    "verify-migration",
    "watch-migrations",
];

/// A source whose platform is signed in to with a secret of this run.
async fn controlled(stack: &Stack, source: Source, kind: &str, secret: &Value) -> Source {
    let name = format!("landfall/source/{}", source.id());
    let create = stack.secrets.create_secret().name(&name);
    let create = create.secret_string(secret.to_string());
    create.send().await.expect("CreateSecret");
    let mut control = json!({
        "kind": kind, "endpoint": format!("{}/{kind}", stack.info.simulator_url), "credentialsSecretId": name,
        "vmName": source.machine["hostname"],
    });
    if kind == "azure" {
        control["subscriptionId"] = "e2e-subscription".into();
        control["resourceGroup"] = "e2e".into();
    }
    source
        .machine("power", kind)
        .request("sourceControl", control)
}

async fn azure(stack: &Stack, source: Source) -> Source {
    let secret = json!({
        "tenantId": "e2e-tenant", "clientId": "e2e-client",
        "clientSecret": format!("azure-client-secret-{}", unique()),
    });
    controlled(stack, source.request("source", "azure"), "azure", &secret).await
}

async fn vsphere(stack: &Stack, source: Source) -> Source {
    // The one account that the simulated vCenter has.
    let secret =
        json!({"username": "landfall@vsphere.local", "password": "simulated-vcenter-password"});
    controlled(stack, source, "vsphere", &secret).await
}

/// The functions that talk to Cloud Migration Factory.
const OF_FACTORY: [&str; 4] = [
    "finalize-cutover",
    "prepare-source",
    "rollback",
    "validate-input",
];

/// Has Cloud Migration Factory signed in to, which a local stack does not ask for: with a secret of this run, under the
/// prefix that the functions may read. What they were before.
async fn sign_in_to_factory(stack: &Stack, run: &str) -> Vec<Before> {
    let name = format!("landfall/source/e2e-{run}-factory");
    let password = format!("cmf-password-{}", unique());
    let content = json!({"username": "landfall@cmf.local", "password": password});
    let create = stack.secrets.create_secret().name(&name);
    let create = create.secret_string(content.to_string());
    create.send().await.expect("CreateSecret");
    let mut before = Vec::new();
    for function in OF_FACTORY {
        let variable = "LANDFALL_CMF_SECRET_ID";
        before.push(deployed::with_variable(stack, function, variable, &name).await);
    }
    before
}

/// What must not be read: all that Secrets Manager holds, what the stack itself signs with, and whatever STS and the
/// functions' own roles have for keys.
async fn secrets(stack: &Stack) -> Vec<Secret> {
    let mut secrets = exposed::kept_secrets(stack).await;
    secrets.extend(exposed::session_keys());
    secrets.extend(exposed::access_tokens(stack).await);
    secrets.extend(Secret::value(
        "the signing secret",
        stack.info.callback_secret.trim_start_matches("whsec_"),
    ));
    #[cfg(target_os = "linux")]
    secrets.extend(
        landfall_e2e::worker::credentials(&stack.info.ministack_url)
            .iter()
            .filter_map(|value| Secret::value("a key of a function's role", value)),
    );
    secrets
}

/// Pauses a migration at its cutover gate, lets it go on and agrees, each with a reason.
async fn decide(stack: &Stack, person: &Person, migration: &Migration) {
    let asked = |it: &MigrationRecord| it.gate(Gate::Cutover).is_some();
    migration.until(DEADLINE, "asks", asked).await;
    let id = migration.key.migration_id.as_str();
    for order in ["pause", "resume"] {
        let (status, said) = person.order(stack, id, order).await;
        assert_eq!(status, 200, "{said}");
    }
    let (status, said) = person.answer(stack, id, "cutover", "approve").await;
    assert_eq!(status, 200, "{said}");
}

#[tokio::test]
async fn no_secret_can_be_read_anywhere() {
    let (stack, run, since) = (Stack::load().await, unique(), Timestamp::now());
    account::let_in(&stack).await;
    let before = sign_in_to_factory(&stack, &run).await;
    let events = exposed::listen(&stack, &run).await;
    let ann = Person::new(&stack, &run, "ann").await;
    // One chat takes what it is told, and of the other each notice tells why it was not taken.
    let chats = Chats::open(&stack, &run, [200, 500]).await;
    let source = |name: &str| Source::new(&stack, &run, name);
    let rules = json!([{"gate": "cutover", "approvers": [&ann.arn]}]);
    let good = source("azure").request("policy", json!({"approvals": rules}));
    // Its configuration item is changed with the account of the stack's CMDB.
    let item = json!({"table": "cmdb_ci_server", "sysId": run});
    let good = azure(&stack, good.request("cmdb", item)).await;
    let also = vsphere(&stack, source("vsphere")).await;
    // This one goes into another account, by keys of STS, and is undone.
    let bad = account::moved(source("undone").machine("healthy", false), EXTERNAL_ID);
    let bad = azure(&stack, bad).await;
    let mut all = seed([&good, &also]);
    all["cmdb"] = json!([{"table": "cmdb_ci_server", "sys_id": run}]);
    stack.seed(&all).await;
    stack.seed(&account::seed([&bad])).await;
    let sources = [&good, &also, &bad];
    stack.submit(&sources.map(Source::message)).await;

    let sweeps = account::wake(&stack);
    let migrations = sources.map(|source| Migration::new(&stack, source.id()));
    decide(&stack, &ann, &migrations[0]).await;
    let ends = [Status::Succeeded, Status::Succeeded, Status::RolledBack];
    for (migration, end) in migrations.iter().zip(ends) {
        let record = migration.ended_within(DEADLINE).await;
        let failure = &record.failure;
        assert_eq!(record.status, end, "{}: {failure:?}", migration.key);
        assert!(record.done.snapshot.is_some(), "the platform was asked");
        migration.callback().await;
        let execution = if end == Status::Succeeded {
            "SUCCEEDED"
        } else {
            "FAILED"
        };
        migration.states(execution).await;
    }
    sweeps.abort();
    for function in &before {
        deployed::restore(&stack, function).await;
    }
    let [slack, teams] = &chats.names;
    for chat in [slack, teams] {
        chats.heard(chat, &[good.id(), "succeeded"]).await;
    }
    let correlations = sources.map(|source| source.message().1);
    let said = events.drain(&stack, &correlations).await;
    events.close(&stack).await;

    let [succeeded, also, undone] = &migrations;
    let all = exposed::everything(&stack, since, &[succeeded, also, undone], &said).await;
    let shown = [
        "the table",
        "the events",
        "the execution of",
        "the simulator's callbacks",
        "the simulator's state",
    ];
    for migration in &migrations {
        exposed::assert_read(&all, migration, &shown);
    }
    for function in FUNCTIONS {
        let log = format!("the log /aws/lambda/landfall-{function}");
        let of = if function == "rollback" {
            undone
        } else {
            succeeded
        };
        exposed::assert_read(&all, of, &[&log]);
    }
    let mut secrets = secrets(&stack).await;
    for kept in [
        run.as_str(),
        "slack of ",
        "teams of ",
        "password of landfall/cmdb",
    ] {
        assert!(secrets.iter().any(|it| it.what.contains(kept)), "{kept}");
    }
    let token = Secret::value("what makes a webhook's URL secret", &chats.token);
    secrets.push(token.expect("long enough"));
    for of in ["azure", "cmf", "vim", "vsphere"] {
        let token = format!("an access token of {of}");
        assert!(secrets.iter().any(|it| it.what == token), "{token}");
    }
    let found = exposed::found(&all, &secrets);
    chats.close().await;
    assert_eq!(found, Vec::<String>::new());
}

#[tokio::test]
async fn a_secret_that_is_planted_is_found() {
    let (stack, run, since) = (Stack::load().await, unique(), Timestamp::now());
    let planted = format!("planted-secret-{run}-{}", unique());
    let secret = [Secret::value("the planted secret", &planted).expect("long enough")];
    let nowhere = exposed::everything(&stack, since, &[], &[]).await;
    assert_eq!(exposed::found(&nowhere, &secret), Vec::<String>::new());

    // In an item …
    let key = |name: &str| AttributeValue::S(format!("E2E#{run}#{name}"));
    let put = stack.dynamodb.put_item().table_name(&stack.info.table_name);
    let put = put.item("pk", key("pk")).item("sk", key("sk"));
    let put = put.item("note", AttributeValue::S(planted.clone()));
    put.send().await.expect("PutItem");
    // … a log …
    let group = "/aws/lambda/landfall-ingress";
    let stream = json!({"logGroupName": group, "logStreamName": run});
    raw::json(&stack, "logs", "Logs_20140328.CreateLogStream", &stream).await;
    let mut line = stream.clone();
    line["logEvents"] =
        json!([{"timestamp": Timestamp::now().as_millisecond(), "message": planted}]);
    raw::json(&stack, "logs", "Logs_20140328.PutLogEvents", &line).await;
    // … an event …
    let events = exposed::listen(&stack, &run).await;
    let detail = json!({"correlationId": run, "note": planted});
    let entry = PutEventsRequestEntry::builder()
        .event_bus_name(&stack.info.event_bus_name)
        .source("landfall")
        .detail_type("MigrationSucceeded")
        .detail(detail.to_string());
    let put = stack.events.put_events().entries(entry.build());
    put.send().await.expect("PutEvents");
    let said = events.drain(&stack, std::slice::from_ref(&run)).await;
    events.close(&stack).await;
    // … a callback …
    stack.sink(&run, &json!({"note": planted})).await;
    // … and a dead letter.
    let dlq = &stack.info.request_dlq_url;
    let send = stack.sqs.send_message().queue_url(dlq);
    send.message_body(&planted)
        .send()
        .await
        .expect("SendMessage");

    let all = exposed::everything(&stack, since, &[], &said).await;
    let mut found = exposed::found(&all, &secret);
    found.sort();
    let places = [
        "the events",
        "the log /aws/lambda/landfall-ingress",
        "the queue landfall-requests-dlq",
        "the simulator's callbacks",
        "the table",
    ];
    assert_eq!(
        found,
        places.map(|place| format!("the planted secret in {place}"))
    );

    let item = stack
        .dynamodb
        .delete_item()
        .table_name(&stack.info.table_name);
    let item = item.key("pk", key("pk")).key("sk", key("sk"));
    item.send().await.expect("DeleteItem");
    raw::json(&stack, "logs", "Logs_20140328.DeleteLogStream", &stream).await;
    forget(&stack, dlq, &planted).await;
}

/// Takes a message out of a queue that holds others, too.
async fn forget(stack: &Stack, queue: &str, body: &str) {
    poll("the planted letter", async || {
        for message in landfall_e2e::queue::peek(stack, queue).await {
            if message.body() == Some(body) {
                landfall_e2e::queue::remove(stack, queue, &message).await;
                return Ok(());
            }
        }
        Err("others only, or hidden still".to_owned())
    })
    .await;
}
