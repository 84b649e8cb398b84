//! The night of a cutover as the world sees it: the soak, the order of finalize, its guard, and the end of the source.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

use std::time::Duration;

use landfall_common::state::wait::WaitKind;
use landfall_domain::finalize::{State, Step};
use landfall_domain::gate::{Answer, Gate};
use landfall_domain::{EventType, MigrationRecord, Status};
use landfall_e2e::poll::poll_for;
use landfall_e2e::source::{Source, seed};
use landfall_e2e::{Migration, Stack, raw, unique};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::RwLock;
use tokio::task::{LocalSet, spawn_local};

/// How long a night may take here: waits of the workflow are scaled, soaks and the time to live of names are not.
const DEADLINE: Duration = Duration::from_mins(6);
/// For how long resolvers keep the old address, in seconds.
const OLD_TTL: i64 = 45;
const OLD_ADDRESS: &str = "192.0.2.10";
const APPROVER: &str = "arn:aws:iam::000000000000:user/night";

/// Read by a migration on its way to its soak, which needs the workflow's retries to take their time; written while the
/// waits of the whole stack pass in no time.
static PACE: RwLock<()> = RwLock::const_new(());

/// A server in Azure, with a name of its own, an item in the CMDB, and somebody who may agree to its end.
struct Night {
    stack: Stack,
    source: Source,
    migration: Migration,
    zone: String,
    name: String,
}

impl Night {
    async fn begin(name: &str, policy: Value) -> Self {
        let (stack, run) = (Stack::load().await, unique());
        let secret = format!("landfall/source/e2e-{run}");
        stack
            .secrets
            .create_secret()
            .name(&secret)
            .secret_string(
                r#"{"tenantId": "t", "clientId": "c", "clientSecret": "simulated-azure"}"#,
            )
            .send()
            .await
            .expect("CreateSecret");
        let source = Source::new(&stack, &run, name).machine("power", "azure");
        let zone = zone(&stack, &run).await;
        let name = format!("app.{run}.example.com");
        let set = format!(
            "<ChangeResourceRecordSetsRequest xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\"><ChangeBatch><Changes>\
             <Change><Action>CREATE</Action><ResourceRecordSet><Name>{name}</Name><Type>A</Type><TTL>{OLD_TTL}</TTL>\
             <ResourceRecords><ResourceRecord><Value>{OLD_ADDRESS}</Value></ResourceRecord></ResourceRecords>\
             </ResourceRecordSet></Change></Changes></ChangeBatch></ChangeResourceRecordSetsRequest>"
        );
        let path = format!("hostedzone/{zone}/rrset/");
        raw::route53(&stack, Method::POST, &path, &set).await;
        let mut all = seed([&source]);
        all["cmdb"] =
            json!([{"table": "cmdb_ci_server", "sys_id": run, "ip_address": OLD_ADDRESS}]);
        stack.seed(&all).await;
        let control = json!({
            "kind": "azure", "endpoint": format!("{}/azure", stack.info.simulator_url),
            "credentialsSecretId": secret, "subscriptionId": "sub-1", "resourceGroup": "rg-1",
            "vmName": source.machine["hostname"], "ssmInstanceId": source.machine["ssmInstanceId"],
        });
        let source = source
            .request("source", "azure")
            .request("sourceControl", control)
            .request(
                "dns",
                json!([{"hostedZoneId": zone, "name": name, "type": "A", "ttl": 30}]),
            )
            .request("cmdb", json!({"table": "cmdb_ci_server", "sysId": run}))
            .request("policy", policy);
        stack.submit(&[source.message()]).await;
        let migration = Migration::new(&stack, source.id());
        Self {
            stack,
            source,
            migration,
            zone,
            name,
        }
    }

    /// One that soaks for so many seconds.
    async fn soaking(name: &str, seconds: u32) -> Self {
        let _pace = PACE.read().await;
        let night = Self::begin(name, json!({ "soakSeconds": seconds })).await;
        night
            .until("the soak", |record| record.status == Status::Soaking)
            .await;
        night
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
        let path = format!("hostedzone/{}/rrset", self.zone);
        let text = raw::route53(&self.stack, Method::GET, &path, "").await;
        let (_, set) = text
            .split_once(&format!("<Name>{}.", self.name))
            .expect("the name");
        let (_, value) = set.split_once("<Value>").expect("a value");
        value.split_once("</Value>").expect("its end").0.to_owned()
    }

    /// The machine as its platform knows it; null once it is gone.
    async fn machine(&self) -> Value {
        let state = self.stack.simulator("state").await;
        let vm = self.source.machine["sourceVmId"].as_str().expect("an ID");
        state["machines"][vm].clone()
    }

    /// The evidence of an event.
    async fn evidence(&self, event: EventType) -> Value {
        let history = self.migration.history().await;
        let entry = history.into_iter().find(|entry| entry.event_type == event);
        entry.expect("the event").detail.evidence.expect("evidence")
    }
}

async fn zone(stack: &Stack, run: &str) -> String {
    let order = format!(
        "<CreateHostedZoneRequest xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\"><Name>{run}.example.com</Name>\
         <CallerReference>{run}</CallerReference></CreateHostedZoneRequest>"
    );
    let text = raw::route53(stack, Method::POST, "hostedzone", &order).await;
    let (_, id) = text.split_once("<Id>/hostedzone/").expect("a zone");
    id.split_once("</Id>").expect("its ID").0.to_owned()
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
async fn users_move_in_order_and_the_source_ends_when_somebody_agrees() {
    let policy = json!({
        "soakSeconds": 2,
        "retention": {"archiveAfterDays": 1, "decommissionSource": true},
        "approvals": [{"gate": "decommission", "approvers": [APPROVER]}],
    });
    let pace = PACE.read().await;
    let night = Night::begin("order", policy).await;
    // While resolvers keep the old address, the source serves those that they send to it.
    let held = night
        .until("the hold", |record| {
            record
                .held
                .as_ref()
                .is_some_and(|held| held.code == "DNS_TTL")
        })
        .await;
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
    // Apart, so that the stack gets its pace back whatever becomes of it.
    let rest = async { spawn_local(after_the_hold(night)).await };
    let rest = LocalSet::new().run_until(rest).await;
    wait_scale(&stack, 1.0 / scale).await;
    rest.expect("the rest of the night");
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
    agree(&night).await;
    night.wait_for(EventType::ServerArchived).await;
    assert_eq!(night.machine().await, Value::Null);
    let server = night.migration.server().await;
    assert_eq!(server["archived"], true, "{server}");
    let evidence = night.evidence(EventType::SourceDecommissioned).await;
    assert_eq!(evidence["approvedBy"], json!([APPROVER]));
    let record = night.migration.record().await.expect("a record");
    assert_eq!(record.status, Status::Succeeded);
    assert_eq!(record.done.decommission.expect("a note").state, State::Done);
    assert!(record.done.archived_at.is_some());
}

/// Agrees as the approvals function does, which has a test of its own, and has the sweep look at once.
async fn agree(night: &Night) {
    poll_for(DEADLINE, "the agreement", async || {
        let mut record = night.migration.record().await.ok_or("no record")?;
        let gates = record.gates.iter_mut();
        let gate = gates.into_iter().find(|it| it.gate == Gate::Decommission);
        gate.ok_or("no gate")?.answers.push(Answer {
            by: APPROVER.to_owned(),
            approve: true,
            reason: "nobody needs it any more".to_owned(),
            change_reference: None,
            at: jiff::Timestamp::now().to_string(),
        });
        let saved = night.stack.store.save(record, jiff::Timestamp::now()).await;
        saved.map(|_| ()).map_err(|error| error.message)
    })
    .await;
    let waits = night
        .stack
        .store
        .waits_of(&night.migration.key)
        .await
        .expect("its waits");
    let wait = waits
        .iter()
        .find(|wait| wait.kind == WaitKind::DecommissionGate);
    let now = jiff::Timestamp::now();
    let due = night
        .stack
        .store
        .postpone_wait(wait.expect("the wait at the gate"), now);
    assert!(due.await.expect("UpdateItem"), "the wait is open");
}

#[tokio::test]
async fn a_check_that_fails_in_the_second_round_of_the_soak_rolls_back() {
    let night = Night::soaking("soak", 120).await;
    night.wait_for(EventType::SoakChecked).await;
    let vm = night.source.machine["sourceVmId"].as_str().expect("an ID");
    let order = json!({"healthy": false});
    night.stack.post(&format!("servers/{vm}"), &order).await;
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
