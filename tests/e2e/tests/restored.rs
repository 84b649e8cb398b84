//! Whatever state of the workflow fails, the world is as it was before: the source on and answering, no target instance, DNS,
//! lifecycle, launch settings, CMDB and Cloud Migration Factory as before, and nothing held. The same where each call that a
//! rollback changes something with fails once.
//!
//! The stack's own workflow is changed for as long as this runs: it fails where a migration's ID says so.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

#[path = "restored/workflow.rs"]
mod failing;
#[path = "restored/world.rs"]
mod world;

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use failing::Place;
use landfall_domain::{MigrationRecord, Status};
use landfall_e2e::{Migration, Stack, poll, unique};
use serde_json::{Value, json};
use world::{Known, World, Zone};

/// How long all migrations of a round may take together.
const DEADLINE: Duration = Duration::from_mins(8);

/// A migration that fails at its very last call, before which everything was moved.
const LAST_CALL: &str = "lastFinalizeCutover";

#[tokio::test]
async fn whatever_state_fails_the_world_is_as_it_was() {
    let stack = Stack::load().await;
    stack.delete("faults").await;
    let definition = failing::read(&stack).await;
    let places = failing::places(&definition);
    assert!(places.len() > 30, "{places:?}");
    failing::write(&stack, &failing::failing(&definition, &places)).await;
    // In a task of its own, so that the definition is put back whatever comes of it.
    let local = tokio::task::LocalSet::new();
    let rounds = local.spawn_local({
        let stack = stack.clone();
        async move {
            let first = round(&stack, &places, None).await;
            round(&stack, &places, Some(first)).await;
        }
    });
    let outcome = local.run_until(rounds).await;
    failing::write(&stack, &definition).await;
    stack.delete("faults").await;
    if let Err(failed) = outcome {
        std::panic::resume_unwind(failed.into_panic());
    }
}

/// Where the migrations of a round are known, by the names of their cases.
type Cases = BTreeMap<String, Known>;

/// Fails a migration at each place; with the cases of an earlier round, each call that its rollbacks made fails once.
async fn round(stack: &Stack, places: &[Place], earlier: Option<Cases>) -> Cases {
    let run = unique();
    let zone = Zone::new(stack, &run).await;
    let secret = format!("landfall/source/e2e-{run}");
    let content = json!({"tenantId": "t", "clientId": "c", "clientSecret": "e2e-client-secret"});
    let create = stack.secrets.create_secret().name(&secret);
    let create = create.secret_string(content.to_string());
    create.send().await.expect("CreateSecret");

    let names = places.iter().map(Place::name).chain([LAST_CALL.to_owned()]);
    let mut sources = Vec::new();
    for name in names {
        let source = world::source(stack, &run, &name, &secret, &zone).await;
        // Only who fails there need soak.
        let soaks = name.contains("Soak");
        sources.push(if soaks {
            source.request("policy", json!({"soakSeconds": 60}))
        } else {
            source
        });
    }
    let mut seed = landfall_e2e::source::seed(&sources);
    let known = sources.iter().map(world::known);
    let (cmf, cmdb): (Vec<Value>, Vec<Value>) = known.unzip();
    seed["cmf"] = json!(cmf);
    seed["cmdb"] = json!(cmdb);
    let servers = stack.seed(&seed).await["servers"].clone();
    let mut cases = Cases::new();
    let mut before = BTreeMap::new();
    for source in &sources {
        let known = Known::of(stack, source, &servers).await;
        let case = known.case(&run).to_owned();
        before.insert(case.clone(), known.look(stack, &run, &zone).await);
        cases.insert(case, known);
    }
    let last = &cases[LAST_CALL];
    let refused = json!({
        "service": "mgn", "operation": "FinalizeCutover", "kind": "error", "error": "AccessDeniedException",
        "server": last.server, "count": 1_000,
    });
    stack.post("faults", &refused).await;
    let mut faults = 0;
    if let Some(earlier) = &earlier {
        for (case, known) in &cases {
            for rule in calls_of_rollback(stack, &earlier[case], known, &zone, case).await {
                stack.post("faults", &rule).await;
                faults += 1;
            }
        }
        assert!(faults > 100, "only {faults} calls of rollbacks fail");
    }
    for batch in sources.chunks(10) {
        let messages: Vec<_> = batch
            .iter()
            .map(landfall_e2e::source::Source::message)
            .collect();
        stack.submit(&messages).await;
    }
    for known in cases.values() {
        let migration = Migration::new(stack, known.source.id());
        poll(
            &format!("the record of {}", known.source.id()),
            async || {
                migration
                    .record()
                    .await
                    .map(|_| ())
                    .ok_or("none".to_owned())
            },
        )
        .await;
    }
    for (case, known) in &cases {
        let migration = Migration::new(stack, known.source.id());
        let record = migration.ended_within(DEADLINE).await;
        if case == LAST_CALL {
            assert_moved(&record);
        }
        assert_restored(stack, (case, known), &record, &before[case], (&run, &zone)).await;
    }
    // The one at the very end is for good, and every other one was met.
    let left = stack.simulator("faults").await;
    assert_eq!(
        left.as_array().map(Vec::len),
        Some(1),
        "{faults} faults: {left}"
    );
    stack.delete("faults").await;
    let names: Vec<String> = cases.keys().cloned().collect();
    zone.drop(&names).await;
    println!("{} migrations, {faults} faults", cases.len());
    cases
}

/// Everything but the last call was made.
fn assert_moved(record: &MigrationRecord) {
    let (done, failure) = (&record.done, record.failure.as_ref().expect("a failure"));
    assert_eq!(failure.state, "FinalizeCutover", "{failure:?}");
    assert!(
        failure.message.contains("mgn:FinalizeCutover"),
        "{failure:?}"
    );
    assert_eq!(done.dns.len(), 2, "{failure:?}");
    assert!(done.cmdb_previous.is_some() && done.source_powered_off_at.is_some());
    let undone = record.rollback.as_ref().expect("a rollback");
    assert!(undone.steps.len() > 8, "{undone:?}");
}

async fn assert_restored(
    stack: &Stack,
    (case, known): (&str, &Known),
    record: &MigrationRecord,
    before: &World,
    (run, zone): (&str, &Zone),
) {
    let what = format!("{case}: {:?}", record.failure);
    let undone = record.status == Status::RolledBack;
    assert!(
        undone || record.status == Status::Failed,
        "{} {what}",
        record.status
    );
    assert!(
        undone || record.done.cutover.is_none() && record.done.test.is_none(),
        "{what}"
    );
    let after = known.look(stack, run, zone).await;
    assert_eq!(after.launched, Value::Null, "{what}");
    assert_eq!(&after, before, "{what}");
    assert!(after.running && after.answers == 200, "{what}: {after:?}");
    // A test that was passed stays passed.
    let lifecycle = match &record.done.cutover {
        Some(_) => "READY_FOR_CUTOVER",
        None => "READY_FOR_TEST",
    };
    assert_eq!(known.lifecycle(stack).await, lifecycle, "{what}");
    for launch in [&record.done.test, &record.done.cutover]
        .into_iter()
        .flatten()
    {
        let Some(instance) = &launch.instance_id else {
            continue;
        };
        let state = stack.instance_state(instance).await;
        let gone = state.as_deref().is_none_or(|it| it == "terminated");
        assert!(gone, "{instance} is {state:?}; {what}");
    }
    assert_nothing_held(stack, known, &what).await;
}

/// No wait, no open launch, no claim.
async fn assert_nothing_held(stack: &Stack, known: &Known, what: &str) {
    let id = known.source.id();
    let migration = Migration::new(stack, id);
    poll(&format!("the end of what {id} holds"), async || {
        let query = stack
            .dynamodb
            .query()
            .table_name(&stack.info.table_name)
            .consistent_read(true)
            .key_condition_expression("pk = :pk")
            .expression_attribute_values(":pk", AttributeValue::S(migration.key.pk()));
        let items = query.send().await.expect("Query").items.unwrap_or_default();
        let held: Vec<_> = items
            .iter()
            .filter(|item| item.contains_key("waitKey"))
            .map(|item| item["sk"].clone())
            .collect();
        if held.is_empty() {
            Ok(())
        } else {
            Err(format!("{held:?}"))
        }
    })
    .await;
    let scan = stack
        .dynamodb
        .scan()
        .table_name(&stack.info.table_name)
        .filter_expression("sk = :claim AND migrationId = :id")
        .expression_attribute_values(":claim", AttributeValue::S("CLAIM".into()))
        .expression_attribute_values(":id", AttributeValue::S(id.to_owned()));
    let mut claims = scan.into_paginator().items().send();
    assert!(claims.next().await.is_none(), "a claim is left of {what}");
}

/// The faults that meet each call once with which the rollback of a case changed something in the earlier round.
async fn calls_of_rollback(
    stack: &Stack,
    earlier: &Known,
    now: &Known,
    zone: &Zone,
    case: &str,
) -> Vec<Value> {
    let calls = stack.simulator("calls").await;
    let calls = calls.as_array().expect("a list of calls");
    let count = |service: &str, operation: &str, names: &[&str], by: &dyn Fn(&Value) -> bool| {
        let of = |call: &&Value| {
            let said = call["sourceServerIDs"].to_string() + &call["resources"].to_string();
            call["service"] == service
                && call["operation"] == operation
                && (names.is_empty() || names.iter().any(|name| said.contains(name)))
                && by(call)
        };
        calls.iter().filter(of).count()
    };
    let migration = Migration::new(stack, earlier.source.id());
    let done = migration.record().await.expect("a record").done;
    let cutover = done.cutover.and_then(|launch| launch.instance_id);
    let rule = |service: &str, operation: &str, server: &str, after: usize| {
        json!({
            "service": service, "operation": operation, "kind": "error", "error": "AccessDeniedException",
            "status": 403, "server": server, "after": after,
        })
    };
    let mut rules = Vec::new();
    let by_rollback = |call: &Value| call["application"] == "rollback";
    let by_others = |call: &Value| call["application"] != "rollback";
    for operation in [
        "ChangeServerLifeCycleState",
        "TerminateTargetInstances",
        "UpdateLaunchConfiguration",
    ] {
        let names = [earlier.server.as_str()];
        if count("mgn", operation, &names, &by_rollback) > 0 {
            let after = count("mgn", operation, &names, &by_others);
            rules.push(rule("mgn", operation, &now.server, after));
        }
    }
    let template = [earlier.template.as_str()];
    if count("ec2", "ModifyLaunchTemplate", &template, &by_rollback) > 0 {
        let after = count("ec2", "ModifyLaunchTemplate", &template, &by_others);
        rules.push(rule("ec2", "ModifyLaunchTemplate", &now.template, after));
    }
    if let Some(instance) = cutover
        && count("ec2", "ModifyInstanceAttribute", &[&instance], &by_rollback) > 0
    {
        let after = count("ec2", "ModifyInstanceAttribute", &[&instance], &by_others);
        rules.push(rule("ec2", "ModifyInstanceAttribute", &now.server, after));
    }
    // Of these nobody says who called: the rollback's is the last.
    let vm = |known: &Known| {
        known.source.machine["sourceVmId"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    let host = |known: &Known| {
        known.source.machine["hostname"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    let operations = |known: &Known| {
        let machine =
            "subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/virtualMachines";
        [
            ("cmf", format!("PUT /user/server/{}", known.source.id())),
            (
                "cmdb",
                format!(
                    "PATCH /api/now/table/cmdb_ci_server/{}",
                    world::item(&vm(known))
                ),
            ),
            ("azure", format!("POST /{machine}/{}/start", host(known))),
        ]
    };
    let anybody = |_: &Value| true;
    for ((service, before), (_, operation)) in operations(earlier).into_iter().zip(operations(now))
    {
        let all = count(service, &before, &[], &anybody);
        if let Some(after) = all.checked_sub(1) {
            let mut rule = rule(service, &operation, "", after);
            rule.as_object_mut().expect("a rule").remove("server");
            rules.push(rule);
        }
    }
    if !done.dns.is_empty() {
        let [www, _] = zone.names(case);
        rules.push(rule(
            "route53",
            "ChangeResourceRecordSets",
            &zone.before(case),
            0,
        ));
        rules.push(rule("route53", "TestDNSAnswer", &www, 0));
    }
    rules
}
