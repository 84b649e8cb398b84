//! People at the gates: who is asked, whose word counts, and what a refusal, a silence and an agreement come to.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

use std::time::Duration;

use landfall_domain::gate::Gate;
use landfall_domain::{EventType, MigrationRecord, Status};
use landfall_e2e::people::Person;
use landfall_e2e::source::{Source, seed};
use landfall_e2e::zone::Zone;
use landfall_e2e::{Migration, Stack, account, poll, unique};
use serde_json::{Value, json};

/// How long a migration may take here: its launches, and what it waits for.
const LONG: Duration = Duration::from_mins(3);

/// Submits a server that goes all the way past rules.
async fn submitted(stack: &Stack, source: Source, rules: Value) -> Migration {
    let mut policy = source.request["policy"].clone();
    if policy.is_null() {
        policy = json!({});
    }
    policy["approvals"] = rules;
    let source = source.request("policy", policy);
    let migration = Migration::new(stack, source.id());
    stack.seed(&seed([&source])).await;
    stack.submit(&[source.message()]).await;
    migration
}

/// Waits until a migration has come to a gate where people are asked.
async fn asked(migration: &Migration, gate: Gate) -> MigrationRecord {
    poll::poll_for(
        LONG,
        &format!("the gate {}", gate.as_str()),
        async || match migration.record().await {
            Some(record) if record.gate(gate).is_some() => Ok(record),
            other => Err(format!("{:?}", other.map(|it| it.status))),
        },
    )
    .await
}

async fn event(migration: &Migration, wanted: EventType) -> Value {
    let history = migration.history().await;
    let entry = history.iter().find(|it| it.event_type == wanted);
    let entry = entry.unwrap_or_else(|| panic!("no {wanted} in {}", migration.key));
    serde_json::to_value(&entry.detail).expect("JSON")
}

/// A server that was tested and not cut over: as before its test, with nothing running and nothing waiting.
async fn assert_as_before(migration: &Migration, record: &MigrationRecord) {
    let server = migration.server().await;
    assert_eq!(server["life_cycle"], "READY_FOR_TEST", "{server}");
    let launch = record.done.test.as_ref().expect("a test");
    let instance = launch.instance_id.as_deref().expect("its instance");
    let state = migration.stack.instance_state(instance).await;
    assert!(
        state.is_none_or(|state| state == "terminated" || state == "shutting-down"),
        "{instance} runs"
    );
    let waits = migration.stack.store.waits_of(&migration.key).await;
    assert_eq!(waits.expect("waits").len(), 0);
    assert_eq!(record.claims, Vec::<String>::new());
}

#[tokio::test]
async fn two_who_did_not_ask_for_it_agree() {
    let (stack, run) = (Stack::load().await, unique());
    let person = |name: &'static str| Person::new(&stack, &run, name);
    let (ann, bob, eve, mallory) = (
        person("ann").await,
        person("bob").await,
        person("eve").await,
        person("mallory").await,
    );
    let source = Source::new(&stack, &run, "agreed").request("requestedBy", eve.arn.as_str());
    let names = [&ann.arn, &bob.arn, &eve.arn];
    let rules = json!([
        {"gate": "cutover", "approvers": names, "count": 2, "requireChangeReference": true},
        {"gate": "finalize", "approvers": [&ann.arn]},
    ]);
    let migration = submitted(&stack, source, rules).await;
    let id = migration.key.migration_id.as_str();

    poll("the record", async || {
        migration.record().await.ok_or_else(String::new)
    })
    .await;
    let early = ann.answer(&stack, id, "finalize", "approve").await;
    assert_eq!(
        (early.0, &early.1["finding"]["code"]),
        (409, &json!("GATE_NOT_OPEN"))
    );
    let record = asked(&migration, Gate::Cutover).await;
    assert_eq!(record.status, Status::AwaitingApproval);
    assert_eq!(record.stage(), Status::ReadyForCutover);
    assert!(record.done.cutover.is_none());

    let agree = async |person: &Person| {
        let order = json!({
            "migrationId": id, "gate": "cutover", "decision": "approve", "reason": "the board has agreed",
            "changeReference": "CHG0012345",
        });
        person.send(&stack, "approvals", &order).await
    };
    let code = |said: &(u16, Value)| (said.0, said.1["finding"]["code"].clone());
    assert_eq!(
        code(&agree(&eve).await),
        (403, json!("REQUESTER_MAY_NOT_APPROVE"))
    );
    assert_eq!(
        code(&agree(&mallory).await),
        (403, json!("NOT_AN_APPROVER"))
    );
    let bare = ann.answer(&stack, id, "cutover", "approve").await;
    assert_eq!(code(&bare), (400, json!("CHANGE_REFERENCE_MISSING")));
    let unknown = ann.answer(&stack, "e2e-nobody", "cutover", "approve").await;
    assert_eq!(code(&unknown), (404, json!("MIGRATION_UNKNOWN")));
    // Twice by one is once.
    for _ in 0..2 {
        let (status, said) = agree(&ann).await;
        assert_eq!((status, &said["granted"]), (200, &json!(false)), "{said}");
        assert_eq!(said["missing"][0]["count"], 1, "{said}");
    }
    let held = migration.record().await.expect("a record");
    assert_eq!(held.status, Status::AwaitingApproval);
    assert!(held.done.cutover.is_none());
    let (status, said) = agree(&bob).await;
    assert_eq!((status, &said["granted"]), (200, &json!(true)), "{said}");

    let record = asked(&migration, Gate::Finalize).await;
    assert!(record.done.dns.is_empty() && record.done.finalized_at.is_none());
    let (status, said) = ann.answer(&stack, id, "finalize", "approve").await;
    assert_eq!(status, 200, "{said}");
    let record = migration.ended_within(LONG).await;
    assert_eq!((record.status, record.failure), (Status::Succeeded, None));
    assert_eq!(
        code(&agree(&bob).await).0,
        200,
        "an answer that was given is given"
    );
    let late = ann.answer(&stack, id, "cutover", "deny").await;
    assert_eq!(code(&late), (409, json!("GATE_DECIDED")));

    let answers: Vec<_> = migration
        .history()
        .await
        .into_iter()
        .filter(|it| it.event_type == EventType::ApprovalAnswered)
        .map(|it| it.detail.evidence.expect("evidence")["answer"]["by"].clone())
        .collect();
    assert_eq!(
        answers,
        [&ann.arn, &bob.arn, &ann.arn].map(|arn| json!(arn))
    );
    let granted = event(&migration, EventType::ApprovalGranted).await;
    assert_eq!(
        granted["evidence"]["answers"][0]["changeReference"],
        "CHG0012345"
    );
    // What a person waits for costs one state.
    let states = migration.states("SUCCEEDED").await;
    let gates = states.iter().filter(|it| it.ends_with("Gate")).count();
    assert_eq!(gates, 2, "{states:?}");
}

/// It is rolled back because somebody refused at a gate; the refusal as it was told.
async fn assert_refused(
    migration: &Migration,
    record: &MigrationRecord,
    by: &Person,
    state: &str,
) -> Value {
    assert_eq!(record.status, Status::RolledBack);
    let failure = record.failure.as_ref().expect("a failure");
    assert_eq!(
        (failure.error.as_str(), failure.state.as_str()),
        ("ApprovalError", state)
    );
    assert!(failure.message.contains(&by.arn), "{}", failure.message);
    let denied = event(migration, EventType::ApprovalDenied).await;
    assert_eq!(denied["reasonCode"], "APPROVAL_DENIED");
    denied
}

#[tokio::test]
async fn a_refusal_rolls_back() {
    let (stack, run) = (Stack::load().await, unique());
    let ann = Person::new(&stack, &run, "ann").await;
    let rules = json!([{"gate": "cutover", "approvers": [&ann.arn]}]);
    let migration = submitted(&stack, Source::new(&stack, &run, "refused"), rules).await;
    let id = migration.key.migration_id.as_str();
    asked(&migration, Gate::Cutover).await;
    let (status, said) = ann.answer(&stack, id, "cutover", "deny").await;
    assert_eq!((status, &said["granted"]), (200, &json!(false)), "{said}");
    let record = migration.ended_within(LONG).await;
    assert_refused(&migration, &record, &ann, "CutoverGate").await;
    assert_as_before(&migration, &record).await;
}

/// Where users came to before the migration, and for how many seconds resolvers keep it.
const BEFORE: (i64, &str) = (1, "192.0.2.10");

/// A server that users find by a name.
async fn named(stack: &Stack, run: &str, name: &str) -> (Source, Zone) {
    let zone = Zone::new(stack, run).await;
    zone.put("app", BEFORE.0, BEFORE.1).await;
    let dns = json!([{"hostedZoneId": zone.id, "name": zone.name("app"), "type": "A", "ttl": 30}]);
    let source = Source::new(stack, run, name).request("dns", dns);
    (source, zone)
}

#[tokio::test]
async fn a_refusal_after_the_cutover_leaves_the_users_and_takes_the_target_away() {
    let (stack, run) = (Stack::load().await, unique());
    let ann = Person::new(&stack, &run, "ann").await;
    let (source, zone) = named(&stack, &run, "kept").await;
    let rules = json!([{"gate": "finalize", "approvers": [&ann.arn]}]);
    let migration = submitted(&stack, source, rules).await;
    let id = migration.key.migration_id.as_str();
    let met = asked(&migration, Gate::Finalize).await;
    assert_eq!(met.stage(), Status::CutoverVerified);
    let target = met.done.cutover.expect("a cutover").instance_id;
    let target = target.expect("its instance");
    let running = stack.instance_state(&target).await;
    assert_eq!(running.as_deref(), Some("running"));
    let (status, said) = ann.answer(&stack, id, "finalize", "deny").await;
    assert_eq!((status, &said["granted"]), (200, &json!(false)), "{said}");

    let record = migration.ended_within(LONG).await;
    let denied = assert_refused(&migration, &record, &ann, "FinalizeGate").await;
    assert_eq!(denied["evidence"]["gate"], "finalize");
    // The users were never moved, and nothing was powered off.
    assert!(record.done.finalize.is_empty() && record.done.dns.is_empty());
    assert_eq!(zone.held("app").await, (BEFORE.0, BEFORE.1.to_owned()));
    let server = record.source_server_id.as_deref().expect("a server");
    assert_eq!(stack.calls("FinalizeCutover", server).await, 0);
    // The target is gone, and the server as it was before its cutover.
    let server = migration.server().await;
    assert_eq!(server["life_cycle"], "READY_FOR_CUTOVER", "{server}");
    let state = stack.instance_state(&target).await;
    assert!(
        state.is_none_or(|state| state == "terminated" || state == "shutting-down"),
        "{target} runs"
    );
    let waits = stack.store.waits_of(&migration.key).await;
    assert_eq!(waits.expect("waits").len(), 0);
}

#[tokio::test]
async fn a_rollback_that_nobody_agrees_to_in_time_undoes_nothing() {
    let (stack, run) = (Stack::load().await, unique());
    let ann = Person::new(&stack, &run, "ann").await;
    let (source, zone) = named(&stack, &run, "unasked").await;
    let rules = json!([{"gate": "rollback", "approvers": [&ann.arn], "deadlineSeconds": 3}]);
    // It fails at its very last call, when its users have been moved.
    let refused = json!({
        "service": "mgn", "operation": "FinalizeCutover", "kind": "error", "error": "AccessDeniedException",
        "server": source.vm(), "count": 1_000,
    });
    stack.post("faults", &refused).await;
    let vm = source.vm().to_owned();
    let waking = account::wake(&stack);
    let migration = submitted(&stack, source, rules).await;
    let record = migration.ended_within(LONG).await;
    waking.abort();
    stack.delete(&format!("faults?server={vm}")).await;
    assert_eq!(record.status, Status::Frozen, "{:?}", record.failure);
    let denied = event(&migration, EventType::ApprovalDenied).await;
    assert_eq!(denied["reasonCode"], "APPROVAL_EXPIRED");
    assert_eq!(denied["evidence"]["gate"], "rollback");
    // Why it failed is still told, and what a person finds.
    let failure = record.failure.as_ref().expect("a failure");
    assert_eq!(failure.state, "FinalizeCutover", "{failure:?}");
    let told = record.hand_over.as_ref().expect("a hand-over");
    assert!(told.because.contains("nothing was undone"), "{told:?}");

    let events = migration.events().await;
    assert!(!events.contains(&EventType::RollbackStarted), "{events:?}");
    let (_, address) = zone.held("app").await;
    assert_ne!(address, BEFORE.1, "the users stay where they are");
    let server = migration.server().await;
    assert_eq!(server["life_cycle"], "CUTTING_OVER", "{server}");
    let target = record.done.cutover.and_then(|it| it.instance_id);
    let state = stack.instance_state(&target.expect("a target")).await;
    assert_eq!(state.as_deref(), Some("running"));
    let id = migration.key.migration_id.as_str();
    let (status, said) = ann.answer(&stack, id, "rollback", "approve").await;
    assert_eq!(
        (status, &said["finding"]["code"]),
        (409, &json!("GATE_DECIDED"))
    );
    migration.waits_for_nothing().await;
    migration.states("FAILED").await;
}

#[tokio::test]
async fn silence_is_a_refusal_in_the_end() {
    let (stack, run) = (Stack::load().await, unique());
    let ann = Person::new(&stack, &run, "ann").await;
    let rules = json!([{"gate": "cutover", "approvers": [&ann.arn], "deadlineSeconds": 3}]);
    let waking = account::wake(&stack);
    let migration = submitted(&stack, Source::new(&stack, &run, "silent"), rules).await;
    let record = migration.ended_within(LONG).await;
    waking.abort();
    assert_eq!(record.status, Status::RolledBack);
    let denied = event(&migration, EventType::ApprovalDenied).await;
    assert_eq!(denied["reasonCode"], "APPROVAL_EXPIRED");
    assert_as_before(&migration, &record).await;
    let id = migration.key.migration_id.as_str();
    let (status, said) = ann.answer(&stack, id, "cutover", "approve").await;
    assert_eq!(
        (status, &said["finding"]["code"]),
        (409, &json!("GATE_DECIDED"))
    );
}

#[tokio::test]
async fn others_are_asked_when_nobody_answers() {
    let (stack, run) = (Stack::load().await, unique());
    let (ann, carol) = (
        Person::new(&stack, &run, "ann").await,
        Person::new(&stack, &run, "carol").await,
    );
    let rules = json!([{
        "gate": "cutover", "approvers": [&ann.arn], "escalateAfterSeconds": 30, "escalateTo": [&carol.arn],
    }]);
    let waking = account::wake(&stack);
    let migration = submitted(&stack, Source::new(&stack, &run, "escalated"), rules).await;
    let id = migration.key.migration_id.as_str();
    asked(&migration, Gate::Cutover).await;
    let (status, said) = carol.answer(&stack, id, "cutover", "approve").await;
    assert_eq!(
        (status, &said["finding"]["code"]),
        (403, &json!("NOT_AN_APPROVER"))
    );
    poll("the escalation", async || {
        let record = migration.record().await.expect("a record");
        let gate = record.gate(Gate::Cutover).expect("the gate");
        gate.escalated_at
            .clone()
            .ok_or_else(|| record.status.to_string())
    })
    .await;
    let (status, said) = carol.answer(&stack, id, "cutover", "approve").await;
    assert_eq!((status, &said["granted"]), (200, &json!(true)), "{said}");
    assert_eq!(migration.ended_within(LONG).await.status, Status::Succeeded);
    waking.abort();
    let events = migration.events().await;
    let escalations = events
        .iter()
        .filter(|it| **it == EventType::ApprovalEscalated);
    assert_eq!(escalations.count(), 1);
}
