//! What other migrations have, and what an earlier attempt has proved.

use jiff::{SignedDuration, Timestamp};
use landfall_common::Key;
use landfall_common::state::Change;
use landfall_common::state::claim::Claim;
use landfall_domain::record::TestEvidence;
use landfall_domain::{EventType, MigrationRecord, Status};
use landfall_e2e::source::Source;
use landfall_e2e::table::{record_of, requested};
use landfall_e2e::{Stack, unique};
use serde_json::json;

use crate::{REGION, STACK, SUBNET, assert_told, codes, installed, source};

/// A migration in the deployed table that passed its pre-flight: it has its server and its address, and nobody moves it.
async fn passed(stack: &Stack, source: &Source, evidence: Option<TestEvidence>) -> MigrationRecord {
    let mut record = record_of(&source.request);
    record.test_evidence = evidence;
    let (store, now) = (&stack.store, Timestamp::now());
    let own = Key::of(&record);
    let request = &record.request;
    let mut claims = vec![Claim::server(
        &stack.info.account_id,
        REGION,
        &request.source_vm_id,
    )];
    claims.extend(
        request
            .private_ip
            .as_ref()
            .map(|it| Claim::address(SUBNET, it)),
    );
    let mut takings = Vec::new();
    for claim in claims {
        let seen = store.look_at_claim(claim, &own).await.expect("a look");
        takings.push(seen.expect("nobody has it"));
    }
    let created = store.create(record, &requested(), now).await;
    let (record, _) = created.expect("a new record");
    let change = Change::to(Status::Validating, EventType::ValidationPassed).taking(takings);
    let written = store.transition(record, &change, now).await;
    written.expect("it passes").0
}

async fn ended(stack: &Stack, record: MigrationRecord, status: Status) {
    let change = Change::to(status, EventType::MigrationFailed);
    let written = stack.store.transition(record, &change, Timestamp::now());
    written.await.expect("it ends");
}

#[tokio::test]
async fn what_another_migration_has_is_not_given_twice() {
    let (stack, run, _shared) = (Stack::load().await, unique(), STACK.read().await);
    // One of the run's own: what a frozen migration had stays its own until another takes it.
    let host = run.bytes().fold(7_u8, u8::wrapping_add) % 200 + 20;
    let own = source(&stack, &run, "own").request("privateIp", format!("172.31.230.{host}"));
    installed(&stack, &[&own]).await;
    let other = own
        .clone()
        .request("migrationId", format!("{}-other", own.id()));
    assert_told(&stack, &own.request, &[]).await;
    let record = passed(&stack, &other, None).await;
    let expected = ["ALREADY_MIGRATING", "IP_CLAIMED"];
    assert_told(&stack, &own.request, &expected).await;
    ended(&stack, record, Status::Frozen).await;
    assert_told(&stack, &own.request, &["FROZEN_BEFORE"]).await;
    let record = passed(&stack, &own, None).await;
    ended(&stack, record, Status::Failed).await;
    assert_told(&stack, &own.request, &[]).await;
}

#[tokio::test]
async fn an_id_that_is_taken_is_told_before_the_queue_tells_it() {
    let (stack, run, _shared) = (Stack::load().await, unique(), STACK.read().await);
    let known = source(&stack, &run, "taken");
    installed(&stack, &[&known]).await;
    let record = passed(&stack, &known, None).await;
    assert_told(&stack, &known.request, &[]).await;
    let changed = known.request("owner", "somebody").request;
    assert_told(&stack, &changed, &["MIGRATION_ACTIVE"]).await;
    ended(&stack, record, Status::Frozen).await;
    assert_told(&stack, &changed, &["MIGRATION_FROZEN"]).await;
}

#[tokio::test]
async fn a_test_counts_for_the_settings_it_was_made_with_and_not_for_ever() {
    let (stack, run, _shared) = (Stack::load().await, unique(), STACK.read().await);
    let days = |days: i64| Timestamp::now() - SignedDuration::from_hours(24 * days);
    let table: [(&str, i64, bool, &[&str]); 3] = [
        ("tested", 1, true, &[]),
        ("old", 31, true, &["TEST_TOO_OLD"]),
        ("other", 1, false, &["LAUNCH_SETTINGS_CHANGED_SINCE_TEST"]),
    ];
    for (name, age, same, expected) in table {
        let known = source(&stack, &run, name).request("steps", json!(["switch"]));
        installed(&stack, &[&known]).await;
        let tested = record_of(&known.request).request;
        let digest = tested.launch_settings_digest().expect("a digest");
        let evidence = TestEvidence {
            settings_digest: if same { digest } else { "of-others".to_owned() },
            effective_digest: None,
            verified_at: days(age).to_string(),
            job_id: "mgnjob-e2e".to_owned(),
        };
        let record = passed(&stack, &known, Some(evidence)).await;
        ended(&stack, record, Status::Failed).await;
        assert_eq!(
            codes(&stack, &known.request, false).await,
            expected,
            "{name}"
        );
    }
}
