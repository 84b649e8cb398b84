//! The night of a cutover as the world sees it: the soak, the order of finalize, its guard, and the end of the source.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

use std::time::Duration;

use landfall_domain::finalize::{State, Step};
use landfall_domain::gate::Gate;
use landfall_domain::{EventType, MigrationRecord, Status};
use landfall_e2e::people::Person;
use landfall_e2e::poll::poll_for;
use landfall_e2e::source::{Source, seed};
use landfall_e2e::zone::Zone;
use landfall_e2e::{Migration, Stack, account, unique};
use serde_json::{Value, json};
use tokio::sync::RwLock;
use tokio::task::{LocalSet, spawn_local};

/// How long a night may take here: waits of the workflow are scaled, soaks and the time to live of names are not.
const DEADLINE: Duration = Duration::from_mins(6);
/// For how long resolvers keep the old address, in seconds.
const OLD_TTL: i64 = 75;
const OLD_ADDRESS: &str = "192.0.2.10";

/// Read by a migration on its way to its soak, which needs the workflow's retries to take their time; written while the
/// waits of the whole stack pass in no time.
static PACE: RwLock<()> = RwLock::const_new(());

/// A server in Azure, with a name of its own, an item in the CMDB, and somebody who may agree to its end.
struct Night {
    stack: Stack,
    source: Source,
    migration: Migration,
    zone: Zone,
    approver: Person,
}

impl Night {
    /// Submits it, with a policy that may name the approver by the ARN.
    async fn begin(name: &str, policy: impl FnOnce(&str) -> Value) -> Self {
        let (stack, run) = (Stack::load().await, unique());
        let approver = Person::new(&stack, &run, "night").await;
        let zone = Zone::new(&stack, &run).await;
        zone.put("app", OLD_TTL, OLD_ADDRESS).await;
        let source = Source::new(&stack, &run, name).in_azure(&stack).await;
        let mut all = seed([&source]);
        all["cmdb"] =
            json!([{"table": "cmdb_ci_server", "sys_id": run, "ip_address": OLD_ADDRESS}]);
        stack.seed(&all).await;
        let source = source
            .request(
                "dns",
                json!([{"hostedZoneId": zone.id, "name": zone.name("app"), "type": "A", "ttl": 30}]),
            )
            .request("cmdb", json!({"table": "cmdb_ci_server", "sysId": run}))
            .request("policy", policy(&approver.arn));
        stack.submit(&[source.message()]).await;
        let migration = Migration::new(&stack, source.id());
        Self {
            stack,
            source,
            migration,
            zone,
            approver,
        }
    }

    /// One that soaks for so many seconds.
    async fn soaking(name: &str, seconds: u32) -> Self {
        let _pace = PACE.read().await;
        let night = Self::begin(name, |_| json!({ "soakSeconds": seconds })).await;
        night
            .until("the soak", |record| record.status == Status::Soaking)
            .await;
        night
    }

    /// One whose source may be deleted once the approver has agreed, who is given so many seconds.
    async fn retained(name: &str, seconds: u32) -> Self {
        Self::begin(name, |approver| {
            json!({
                "soakSeconds": 2,
                "retention": {"archiveAfterDays": 1, "decommissionSource": true},
                "approvals": [
                    {"gate": "decommission", "approvers": [approver], "deadlineSeconds": seconds},
                ],
            })
        })
        .await
    }

    /// Waits until the old answers of DNS hold it, and pauses it there.
    async fn held_and_paused(&self) -> MigrationRecord {
        let by_dns = |record: &MigrationRecord| {
            let held = record.held.as_ref();
            held.is_some_and(|held| held.code == "DNS_TTL")
        };
        let record = self.until("the hold", by_dns).await;
        self.order("pause").await;
        record
    }

    async fn order(&self, order: &str) {
        let ordered = self.approver.order(&self.stack, self.source.id(), order);
        let (status, said) = ordered.await;
        assert_eq!(status, 200, "{order}: {said}");
    }

    /// Waits until the record is as wanted.
    async fn until(&self, what: &str, is: impl Fn(&MigrationRecord) -> bool) -> MigrationRecord {
        poll_for(
            DEADLINE,
            &format!("{what} of {}", self.source.id()),
            async || {
                let record = self.migration.record().await.ok_or("no record")?;
                if is(&record) {
                    return Ok(record);
                }
                assert!(
                    !record.status.is_end() || record.status == Status::Succeeded,
                    "{record:?}"
                );
                let failure = record.failure.map(|failure| failure.message);
                Err(format!("{} {failure:?}", record.status))
            },
        )
        .await
    }

    async fn wait_for(&self, event: EventType) {
        poll_for(
            DEADLINE,
            &format!("{event} of {}", self.source.id()),
            async || {
                let events = self.migration.events().await;
                let seen = events.contains(&event);
                seen.then_some(()).ok_or_else(|| format!("{events:?}"))
            },
        )
        .await;
    }

    /// The address that the name has.
    async fn address(&self) -> String {
        self.zone.held("app").await.1
    }

    /// The machine as its platform knows it; null once it is gone.
    async fn machine(&self) -> Value {
        let state = self.stack.simulator("state").await;
        state["machines"][self.source.vm()].clone()
    }

    /// The evidence of an event.
    async fn evidence(&self, event: EventType) -> Value {
        let history = self.migration.history().await;
        let entry = history.into_iter().find(|entry| entry.event_type == event);
        entry.expect("the event").detail.evidence.expect("evidence")
    }
}

/// Sets how fast the workflow's waits pass, in real seconds for each.
async fn wait_scale(stack: &Stack, scale: f64) {
    let url = format!("{}/_ministack/config", stack.info.ministack_url);
    let body = json!({ "stepfunctions._SFN_WAIT_SCALE": scale });
    let answer = reqwest::Client::new().post(url).json(&body).send().await;
    assert!(answer.expect("MiniStack").status().is_success());
}

fn at(record: &MigrationRecord, step: Step) -> jiff::Timestamp {
    let note = record.done.finalize.iter().find(|note| note.step == step);
    note.expect("the step").at.parse().expect("a time")
}

#[tokio::test]
async fn users_move_in_order_and_the_source_ends_only_when_somebody_agrees() {
    let pace = PACE.read().await;
    let (night, silent) = tokio::join!(
        Night::retained("order", 86_400),
        Night::retained("silent", 3)
    );
    // While resolvers keep the old address, the source serves those that they send to it. Neither goes on from there before its
    // retention can pass in no time, however long the others need the stack's pace.
    let (held, _) = tokio::join!(night.held_and_paused(), silent.held_and_paused());
    assert_eq!(
        (held.status, held.stage()),
        (Status::AwaitingWindow, Status::Finalizing)
    );
    assert_ne!(night.address().await, OLD_ADDRESS);
    assert_eq!(night.machine().await["running"], true);
    // The days of the retention are over as soon as they begin.
    drop(pace);
    let _alone = PACE.write().await;
    let stack = night.stack.clone();
    let clock = stack.simulator("clock").await;
    let scale = clock["scale"].as_f64().expect("a scale");
    wait_scale(&stack, 0.000_01).await;
    night.order("resume").await;
    silent.order("resume").await;
    // Apart, so that the stack gets its pace back whatever becomes of it.
    let rest = async {
        let agreed = spawn_local(after_the_hold(night));
        let expired = spawn_local(nobody_answers(silent));
        (agreed.await, expired.await)
    };
    let (agreed, expired) = LocalSet::new().run_until(rest).await;
    wait_scale(&stack, 1.0 / scale).await;
    agreed.expect("the rest of the night");
    expired.expect("the night in which nobody answers");
}

/// The source of which nobody says that it may go stays, and so does its server.
async fn nobody_answers(night: Night) {
    let ended = night.migration.ended_within(DEADLINE).await;
    assert_eq!(
        (ended.status, ended.failure.clone()),
        (Status::Succeeded, None)
    );
    let waking = account::wake(&night.stack);
    night.wait_for(EventType::ApprovalDenied).await;
    waking.abort();
    // The execution goes no further.
    let states = night.migration.states("SUCCEEDED").await;
    assert!(!states.iter().any(|it| it == "Archive"), "{states:?}");
    let history = night.migration.history().await;
    let last = history.last().expect("an entry");
    assert_eq!(last.event_type, EventType::ApprovalDenied);
    assert_eq!(last.detail.reason_code.as_deref(), Some("APPROVAL_EXPIRED"));
    let evidence = night.evidence(EventType::ApprovalDenied).await;
    assert_eq!(evidence["gate"], "decommission");
    assert_eq!(night.machine().await["running"], false, "it is there");
    let server = night.migration.server().await;
    assert_eq!(server["archived"], false, "{server}");
    let record = night.migration.record().await.expect("a record");
    assert_eq!((record.status, record.failure), (Status::Succeeded, None));
    assert!(record.done.decommission.is_none() && record.done.archived_at.is_none());
    night.migration.waits_for_nothing().await;
    let (status, said) = answer(&night).await;
    assert_eq!(
        (status, &said["finding"]["code"]),
        (409, &json!("GATE_DECIDED"))
    );
}

/// What is left of the night once nothing holds it, and the end of the source.
async fn after_the_hold(night: Night) {
    let record = night.migration.ended_within(DEADLINE).await;
    assert_eq!(
        (record.status, record.failure.clone()),
        (Status::Succeeded, None)
    );

    let steps: Vec<Step> = record.done.finalize.iter().map(|note| note.step).collect();
    let order = [
        Step::Dns,
        Step::Cmdb,
        Step::TargetSealed,
        Step::SourcePowerOff,
        Step::MgnFinalize,
    ];
    // CMF plans no such server, which is told before the last step.
    let others: Vec<Step> = steps
        .iter()
        .copied()
        .filter(|step| *step != Step::Cmf)
        .collect();
    assert_eq!(others, order);
    assert!(order.map(|step| at(&record, step)).is_sorted());
    let after_change = at(&record, Step::SourcePowerOff).duration_since(at(&record, Step::Dns));
    assert!(after_change.as_secs() >= OLD_TTL, "{after_change:?}");
    assert_eq!(
        record
            .done
            .soak
            .as_ref()
            .map(landfall_domain::soak::Soak::is_over),
        Some(true)
    );
    assert_eq!(night.machine().await["running"], false);
    let server = night.migration.server().await;
    assert_eq!(server["life_cycle"], "CUTOVER", "{server}");
    let evidence = night.evidence(EventType::MigrationSucceeded).await;
    let guard = evidence["guard"].as_array().expect("the guard").clone();
    assert_eq!(guard.len(), 7);
    assert!(guard.iter().all(|item| item["met"] == true), "{guard:?}");
    assert!(evidence["outage"]["outageSeconds"].is_u64(), "{evidence}");
    assert!(record.phase_millis.0[&Status::Soaking] >= 2_000);

    // A day passes, and nobody has agreed yet.
    let asked = night
        .until("the gate", |record| {
            record.gate(Gate::Decommission).is_some()
        })
        .await;
    assert_eq!(asked.status, Status::Succeeded);
    assert_ne!(night.machine().await, Value::Null);
    let (status, said) = answer(&night).await;
    assert_eq!((status, &said["granted"]), (200, &json!(true)), "{said}");
    night.wait_for(EventType::ServerArchived).await;
    assert_eq!(night.machine().await, Value::Null);
    let server = night.migration.server().await;
    assert_eq!(server["archived"], true, "{server}");
    let evidence = night.evidence(EventType::SourceDecommissioned).await;
    assert_eq!(evidence["approvedBy"], json!([night.approver.arn]));
    let record = night.migration.record().await.expect("a record");
    assert_eq!(record.status, Status::Succeeded);
    assert_eq!(record.done.decommission.expect("a note").state, State::Done);
    assert!(record.done.archived_at.is_some());
}

/// The approver agrees to the end of the source.
async fn answer(night: &Night) -> (u16, Value) {
    let id = night.source.id();
    let answer = night
        .approver
        .answer(&night.stack, id, "decommission", "approve");
    answer.await
}

#[tokio::test]
async fn a_check_that_fails_in_the_second_round_of_the_soak_rolls_back() {
    let night = Night::soaking("soak", 120).await;
    night.wait_for(EventType::SoakChecked).await;
    let order = json!({"healthy": false});
    let server = format!("servers/{}", night.source.vm());
    night.stack.post(&server, &order).await;
    let record = night.migration.ended_within(DEADLINE).await;
    assert_eq!(record.status, Status::RolledBack);
    let failure = record.failure.expect("a failure");
    assert_eq!(
        (failure.error.as_str(), failure.state.as_str()),
        ("VerificationError", "VerifySoak")
    );
    let soak = record.done.soak.expect("a soak");
    assert_eq!((soak.round, soak.rounds), (1, 2));
    assert_eq!(night.address().await, OLD_ADDRESS);
    assert_eq!(night.machine().await["running"], true);
    let server = record.source_server_id.expect("a server");
    assert_eq!(night.stack.calls("FinalizeCutover", &server).await, 0);
}

#[tokio::test]
async fn without_evidence_of_the_verification_nothing_is_finalized() {
    let night = Night::soaking("guard", 15).await;
    // Somebody takes the proof out of the record.
    poll_for(DEADLINE, "the change of the record", async || {
        let mut record = night.migration.record().await.ok_or("no record")?;
        record
            .done
            .cutover
            .as_mut()
            .ok_or("no cutover")?
            .verified_at = None;
        let saved = night.stack.store.save(record, jiff::Timestamp::now()).await;
        saved.map(|_| ()).map_err(|error| error.message)
    })
    .await;
    let record = night.migration.ended_within(DEADLINE).await;
    assert_eq!(record.status, Status::RolledBack);
    let failure = record.failure.expect("a failure");
    assert_eq!(failure.error, "CutoverError");
    assert!(
        failure.message.ends_with("no evidence of VERIFIED"),
        "{}",
        failure.message
    );
    let server = record.source_server_id.expect("a server");
    assert_eq!(night.stack.calls("FinalizeCutover", &server).await, 0);
    assert_eq!(night.address().await, OLD_ADDRESS);
    assert_eq!(night.machine().await["running"], true);
}
